"""Several dates of one place as one image: data/input/stack.py, and what train.py and predict.py
make of it.
"""

from pathlib import Path

import numpy as np
import pytest
import small
from pyproj import CRS

import predict
import train
from data import bands
from data.files import InputError
from data.grid import Grid, Window
from data.input import stack
from data.raster import cog, geotiff
from unet import checkpoint

PLACE = Grid(CRS.from_epsg(32631), (10, 0, 4e5, 0, -10, 5e6), 2, 3)


def date(path: Path, pixels, grid=PLACE, nodata=0, names=("B4", "NIR"), dtype=np.uint16) -> Path:
    cog.write(path, np.asarray(pixels, dtype), grid, nodata=nodata, descriptions=names)
    return path


@pytest.fixture
def april(tmp_path) -> Path:
    return date(tmp_path / "april.tif", [[[1, 2, 3], [4, 5, 0]], [[11, 12, 13], [14, 0, 0]]])


@pytest.fixture
def august(tmp_path) -> Path:
    return date(tmp_path / "august.tif", [[[0, 22, 23], [24, 25, 26]], [[0, 32, 33], [34, 35, 36]]])


# --- one raster of several ------------------------------------------------------------------------


def test_two_dates_of_two_bands_are_four_bands_and_what_one_lacks_none_has(april, august):
    with stack.Stack([april, august]) as both:
        assert (both.path, both.count, both.dtype) == (april, 4, np.uint16)
        assert (both.nodata, both.colormap) == (0, None)
        assert both.grid.matches(PLACE) and both.descriptions == ("Red", "NIR", "Red@2", "NIR@2")
        # April lacks the last pixel, August the first. A 0 in one band alone (5, 0) is dark ground.
        april = [[[0, 2, 3], [4, 5, 0]], [[0, 12, 13], [14, 0, 0]]]
        august = [[[0, 22, 23], [24, 25, 0]], [[0, 32, 33], [34, 35, 0]]]
        assert both.read().tolist() == april + august
        assert both.read(Window(0, 1, 2, 1), [4, 1]).tolist() == [[[32], [35]], [[2], [5]]]


def test_dates_of_several_types_meet_in_the_wider_one_and_no_data_of_floats_is_nan(april, tmp_path):
    nan = np.nan
    june = date(
        tmp_path / "june.tif",
        [[[nan, 2, 3], [4, 5, 6]], [[1, 2, -9], [4, 5, 6]]],
        nodata=-9,
        dtype=np.float32,
    )
    with stack.Stack([june, april]) as both:
        assert both.dtype == np.float32 and both.nodata is None
        # June has no first and no third pixel, because no measurement is -9; April has no last.
        missing = [[True, False, True], [False, False, True]]
        assert (np.isnan(both.read()) == missing).all() and both.read()[2, 0, 1] == 2


def test_each_date_has_a_no_data_value_of_its_own_and_one_given_by_hand_holds_for_all(
    april, tmp_path
):
    june = date(tmp_path / "june.tif", [[[7, 7, 3], [4, 5, 6]], [[7, 2, 6], [4, 5, 6]]], nodata=7)
    with stack.Stack([april, june]) as both:  # neither value means the same at both dates
        assert both.nodata is None and both.dtype == np.float32
        assert np.isnan(both.read()).all(0).tolist() == [[True, True, False], [False, False, True]]
        assert both.read()[0, 1].tolist()[:2] == [4, 5]
    with stack.Stack([april, june], nodata=5) as both:
        assert both.nodata == 5  # which June shows in one pixel, in both bands
        assert (both.read() == 5).all(0).tolist() == [[False, False, False], [False, True, False]]
    undeclared = date(tmp_path / "plain.tif", np.zeros((2, 2, 3)), nodata=None)
    with stack.Stack([undeclared, undeclared]) as both:  # 0 is never assumed to be no data
        assert both.nodata is None and not both.read().any()


def test_bands_without_names_are_numbers_and_a_third_date_has_a_3(april, tmp_path):
    plain = date(tmp_path / "plain.tif", np.ones((2, 2, 3)), names=None)
    with stack.Stack([plain, plain, plain]) as three:
        assert three.descriptions == ("1", "2", "1@2", "2@2", "1@3", "2@3")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"grid": Grid(PLACE.crs, (10, 0, 4e5 + 10, 0, -10, 5e6), 2, 3)},
            "3 x 2 pixels of 10 from 400010, 5000000",
        ),
        ({"grid": Grid(None, PLACE.transform, 2, 3)}, "in no CRS"),
        ({"names": ("NIR", "Red")}, "bands NIR, Red, but .*april.tif has Red, NIR"),
        (
            {"pixels": np.ones((1, 2, 3)), "names": ("Red",)},
            "bands Red, but .*april.tif has Red, NIR",
        ),
    ],
)
def test_dates_that_do_not_fit_are_both_named(april, tmp_path, changes, said):
    odd = date(tmp_path / "odd.tif", **{"pixels": np.ones((2, 2, 3)), **changes})
    with pytest.raises(InputError, match=said) as error:
        stack.Stack([april, odd])
    assert "odd.tif: " in str(error.value) and "april.tif has" in str(error.value)


@pytest.mark.parametrize("seed", range(3))
def test_any_window_is_the_part_of_the_whole_and_valid_where_all_dates_are(tmp_path, seed):
    random = np.random.default_rng(seed)
    grid = Grid(None, (1, 0, 0, 0, 1, 0), 40, 30)
    pixels = random.integers(0, 2, (3, 2, 40, 30)).astype(np.uint8)
    paths = [
        date(tmp_path / f"{n}.tif", part, grid, dtype=np.uint8) for n, part in enumerate(pixels)
    ]
    with stack.Stack(paths) as three:
        whole = three.read()
        valid = pixels.any(1).all(0)
        assert (whole == np.where(valid, pixels.reshape(6, 40, 30), 0)).all()
        for _ in range(10):
            row, col = random.integers(0, 40), random.integers(0, 30)
            height, width = random.integers(1, 41 - row), random.integers(1, 31 - col)
            chosen = random.permutation(6)[:4]
            part = three.read(Window(row, col, height, width), (chosen + 1).tolist())
            assert (part == whole[chosen, row : row + height, col : col + width]).all()


# --- training and prediction ----------------------------------------------------------------------


def two_dates(folder: Path, **changes) -> list[str]:
    """Options for scenes whose lakes show at date b alone: a_ is noise; a_1 and b_1 share m_1."""
    images, masks, table = small.write(folder, **changes)
    random = np.random.default_rng(1)
    for path in list(images.iterdir()):
        number = path.stem[-1]
        with geotiff.Raster(path) as raster:
            noise = random.integers(1, 3000, raster.read().shape).astype(np.uint16)
            cog.write(
                images / f"a_{number}.tif", noise, raster.grid, nodata=0, descriptions=small.BANDS
            )
        path.rename(images / f"b_{number}.tif")
    return [
        "--images",
        str(images),
        "--masks",
        str(masks),
        "--classes",
        str(table),
    ]


def test_two_dates_are_learned_and_mapped_together(tmp_path, monkeypatch, capsys):
    options = two_dates(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    options += "--stack-dates --overfit 4 --base 8 --epochs 4 --lr 0.01 --batch 2".split()
    run = train.main([*options, "--output", "run"])
    loaded = checkpoint.load(run / "best.pt")
    assert loaded["dates"] == 2 and loaded["bands"] == small.BANDS + [
        f"{name}@2" for name in small.BANDS
    ]
    assert (
        loaded["indices"] == ["NDVI", "MNDWI", "NDVI@2", "MNDWI@2"]
        and loaded["model"]["in_channels"] == 12
    )
    said = capsys.readouterr().out
    assert "2 dates of each place are stacked, such as a_0.tif + b_0.tif" in said
    assert (
        "in/images/a_" in said.splitlines()[-1] and "in/images/b_" in said.splitlines()[-1]
    )  # the next command

    predict.main(
        ["in/images", "--checkpoint", "run/best.pt", "--truth", "in/masks", "--output", "maps"]
    )
    assert sorted(p.name for p in Path("maps").glob("*.tif")) == [
        f"a_{n}_landcover.tif" for n in range(4)
    ]
    assert "note: a_0.tif + b_0.tif: dates of one place, in this order" in capsys.readouterr().err
    with (
        geotiff.Raster("maps/a_0_landcover.tif") as found,
        geotiff.Raster("in/masks/m_0.tif") as truth,
    ):
        assert (found.read() == truth.read()).mean() > 0.95
    predict.main(
        [
            "in/images/b_0.tif",
            "in/images/a_0.tif",
            "--checkpoint",
            "run/best.pt",
            "--output",
            "turned",
        ]
    )
    with (
        geotiff.Raster("maps/a_0_landcover.tif") as one,
        geotiff.Raster("turned/a_0_landcover.tif") as other,
    ):
        assert (one.read() == other.read()).all()
    with pytest.raises(InputError, match="a_0.tif: 1 image of the place '0'"):
        predict.main(["in/images/a_0.tif", "--checkpoint", "run/best.pt"])


def test_a_changed_later_date_is_prepared_anew_and_dates_alone_are_other_scenes(tmp_path):
    two_dates(tmp_path / "in")
    options = small.options(tmp_path, stack_dates=True, augment=[])
    data, _ = small.load(options)
    number = next(
        n
        for n, (scene, _, _) in enumerate(data.training.items)
        if data.training.scenes[scene].name == "a_1"
    )
    before = data.training[number][0]
    path = tmp_path / "in/images/b_1.tif"
    with geotiff.Raster(path) as raster:
        pixels, grid = raster.read(), raster.grid
    pixels[:, 0, 0] = 0
    cog.write(path, pixels, grid, nodata=0, descriptions=small.BANDS)
    image, target, _ = small.load(options)[0].training[number]
    assert not image[:, 0, 0].any() and before[:, 0, 0].any() and target[0, 0] == 255
    options.stack_dates = False
    data, said = small.load(options)
    assert "8 scenes" in said and data.training.channels == 6 and data.checkpoint["dates"] == 1


@pytest.mark.parametrize("crs", [32631, None])
@pytest.mark.parametrize("stacked", [False, True])
def test_two_dates_of_one_place_are_never_on_both_sides_of_the_split(tmp_path, crs, stacked):
    two_dates(tmp_path / "in", count=6, size=32, crs=crs)
    for seed in range(6):
        data, _ = small.load(small.options(tmp_path, stack_dates=stacked, seed=seed))
        sides = [
            {w.scene_of(n).mask_path for n in range(len(w))}
            for w in (data.training, data.validation)
        ]
        assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 6 and sides[1]
        for windows in (data.training, data.validation):
            for n in range(len(windows)):
                scene = windows.scene_of(n)
                assert len(scene.later_dates) == stacked
                assert all(
                    p.stem[-1] == scene.mask_path.stem[-1]
                    for p in (scene.image_path, *scene.later_dates)
                )


def test_bands_and_indices_given_by_hand_are_those_of_each_date(tmp_path):
    two_dates(tmp_path / "in")
    names = ["B3", "Red", "B8", "VV"]
    data, said = small.load(
        small.options(tmp_path, stack_dates=True, bands=names, indices=["NDVI"])
    )
    assert data.checkpoint["bands"] == [
        "Green",
        "Red",
        "NIR",
        "VV",
        "Green@2",
        "Red@2",
        "NIR@2",
        "VV@2",
    ]
    assert data.checkpoint["indices"] == ["NDVI", "NDVI@2"] and bands.rgb(
        data.checkpoint["bands"]
    ) == [0, 1, 2]
