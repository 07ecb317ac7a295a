"""Which files are images and masks, and which mask belongs to which image."""

from pathlib import Path

import pytest

from data.files import InputError
from data.input import pairing


def names(pairs) -> list[tuple[str, str]]:
    return [(str(image), str(mask)) for image, mask in pairs]


def pair(images: list[str], masks: list[str], **options):
    return names(pairing.pair([Path(p) for p in images], [Path(p) for p in masks], **options))


def test_masks_are_matched_by_stem_before_the_last_part_of_the_name():
    assert pair(["i/a.tif", "i/b.tif"], ["m/b.png", "m/a.png"]) == [
        ("i/a.tif", "m/a.png"),
        ("i/b.tif", "m/b.png"),
    ]
    assert pair(["i/town_01.tif", "i/town_02.tif"], ["m/esm_02.tif", "m/esm_01.tif"]) == [
        ("i/town_01.tif", "m/esm_01.tif"),
        ("i/town_02.tif", "m/esm_02.tif"),
    ]
    # tile_0_300 and tile_300_300 end alike; the whole stem decides
    tiles = ["tile_0_300", "tile_300_300"]
    assert pair([f"i/{t}.tif" for t in tiles], [f"m/{t}.tif" for t in tiles])[0] == (
        "i/tile_0_300.tif",
        "m/tile_0_300.tif",
    )


def test_names_that_repeat_from_folder_to_folder_take_the_mask_nearby():
    images = [f"Tile {n}/images/part_1.jpg" for n in (1, 2)]
    masks = [f"Tile {n}/masks/part_1.png" for n in (1, 2)]
    assert pair(images, masks) == list(zip(images, masks))


def test_two_dates_share_a_mask_and_a_single_mask_serves_all():
    assert pair(["april_x.tif", "august_x.tif", "may_y.tif"], ["cover_x.tif", "cover_y.tif"]) == [
        ("april_x.tif", "cover_x.tif"),
        ("august_x.tif", "cover_x.tif"),
        ("may_y.tif", "cover_y.tif"),
    ]
    assert pair(["april.tif", "august.tif"], ["cover.tif"])[1] == ("august.tif", "cover.tif")


def test_a_single_mask_that_is_one_images_own_serves_no_other():
    """Without a CRS, a missing mask of the other image would not be noticed."""
    with pytest.raises(InputError, match=r"1 images without a mask \(b\.png\)"):
        pair(["i/a.png", "i/b.png"], ["m/a.png"])
    with pytest.raises(InputError, match=r"1 images without a mask \(s_1\.tif\)"):
        pair(["s_0.tif", "s_1.tif"], ["m_0.tif"])


def test_all_that_does_not_match_is_listed_in_one_error():
    with pytest.raises(InputError) as error:
        pair(["i/a.tif", "i/b.tif", "i/c.tif"], ["m/a.tif", "m/x.tif", "m/y.tif"])
    for part in (
        "2 images without a mask (b.tif, c.tif)",
        "2 masks without an image (x.tif, y.tif)",
    ):
        assert part in str(error.value)
    with pytest.raises(InputError, match=r"1 images with several masks \(a\.tif\)"):
        pair(["i/a.tif", "i/b.tif"], ["m/a.tif", "m/a.png", "m/b.tif"])
    assert pair(["i/a.tif"], ["m/a.tif", "m/x.tif"], spare_masks=True) == [("i/a.tif", "m/a.tif")]


def test_folders_give_their_rasters_sorted_and_nothing_hidden(tmp_path):
    for name in ("b.tif", "a.PNG", ".hidden.tif", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    assert [p.name for p in pairing.find([tmp_path], "images")] == ["a.PNG", "b.tif"]
    assert len(pairing.find([tmp_path, tmp_path / "b.tif"], "images")) == 2  # each once
    (tmp_path / "folder.tif").mkdir()
    assert [p.name for p in pairing.find([tmp_path], "images")] == ["a.PNG", "b.tif"]
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        pairing.find([tmp_path / "nowhere"], "images")
    with pytest.raises(InputError, match="no images"):
        pairing.find([tmp_path / "deeper"], "images")


def test_maps_beside_their_images_are_not_taken_for_images(tmp_path):
    for name in ("a.tif", "a_landcover.tif", "a_landcover.png", "b_landcover.tif"):
        (tmp_path / name).touch()
    # b_landcover has no image b beside it: a mask of that name, perhaps
    assert [p.name for p in pairing.find([tmp_path], "images")] == ["a.tif", "b_landcover.tif"]
    assert [p.name for p in pairing.find([tmp_path / "a_landcover.tif"], "masks")] == [
        "a_landcover.tif"
    ]
