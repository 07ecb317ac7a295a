"""Images, their masks and the names of their maps: what is refused before anything is mapped."""

import re
from pathlib import Path

import pytest

from data.files import InputError
from data.output import jobs


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in "in/a_1.tif", "in/b_2.tif", "other/a_1.tif", "masks/m_1.tif", "masks/m_2.tif":
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    return tmp_path


def test_each_image_has_its_mask_and_a_map_beside_it_or_in_the_folder(here):
    a, b = jobs.find([Path("in")], [Path("masks")], None, 1)
    assert a == (((Path("in/a_1.tif")),), Path("in/a_1_landcover.tif"), Path("masks/m_1.tif"))
    assert (a.image, b.image, b.truth) == (a.dates[0], Path("in/b_2.tif"), Path("masks/m_2.tif"))
    assert jobs.find([Path("in/b_2.tif")], [], Path("maps"), 1) == [
        ((Path("in/b_2.tif"),), Path("maps/b_2_landcover.tif"), None)
    ]


def test_one_folder_of_images_and_masks_and_a_preview_beside_an_image(here, capsys):
    for name in "d/1_sat.jpg", "d/2_sat.jpg", "d/2_sat.png", "d/1_mask.png", "d/2_mask.png":
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    found = [
        (job.image.name, job.truth.name) for job in jobs.find([Path("d")], [Path("d")], None, 1)
    ]
    assert found == [("1_sat.jpg", "1_mask.png"), ("2_sat.png", "2_mask.png")]
    assert "2_sat.jpg: left out, because 2_sat.png beside it" in capsys.readouterr().err


def test_masks_beside_images_are_not_mapped_and_a_mask_for_several_images_is_told(here, capsys):
    for name in "d/1_sat.jpg", "d/1_mask.png", "i/april_7.tif", "i/may_7.tif", "i/may_8.tif":
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert [job.image.name for job in jobs.find([Path("d")], [], None, 1)] == ["1_sat.jpg"]
    assert "1_mask.png: left out" in capsys.readouterr().err
    for name in "t/m_7.tif", "t/m_8.tif":
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    jobs.find([Path("i")], [Path("t")], None, 1)
    line = "note: 2 images share 1 mask, such as april_7.tif and may_7.tif: m_7.tif\n"
    assert capsys.readouterr().err == line


def test_the_table_of_one_image_is_named_after_its_map(here):
    both = jobs.find([Path("in")], [], None, 1)
    assert jobs.table_path(both[:1], None, "areas.csv") == Path("in/a_1_landcover_areas.csv")
    assert jobs.table_path(both, None, "areas.csv") == Path("in/areas.csv")
    assert jobs.table_path(both, Path("maps"), "areas.csv") == Path("maps/areas.csv")


def test_two_maps_of_one_name_are_refused(here):
    images = [Path("in/a_1.tif"), Path("other/a_1.tif")]
    assert len(jobs.find(images, [], None, 1)) == 2
    with pytest.raises(InputError, match="maps/a_1_landcover.tif: would be the map of several"):
        jobs.find(images, [], Path("maps"), 1)


@pytest.mark.parametrize(
    "name", ["a_1_landcover.tif", "a_1_landcover.png", "a_1_landcover_probabilities.tif"]
)
def test_no_map_replaces_an_image_or_a_mask_of_the_same_call(here, name):
    given = Path("in") / name
    given.touch()
    expected = re.escape(f"{given}: is an input; give the output another name or folder")
    with pytest.raises(InputError, match=expected):
        jobs.find([Path("in/a_1.tif")], [given], None, 1)
    with pytest.raises(InputError, match=expected):
        jobs.find([given, Path("in/a_1.tif")], [], None, 1)
    assert jobs.find([Path("in/a_1.tif")], [given], Path("maps"), 1)
