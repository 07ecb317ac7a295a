"""Images in another unit, with an offset, of another resolution or with other bands:
data/input/inputs.py, predict.py.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import small
from pyproj import CRS

import predict
from data.files import InputError
from data.grid import Grid, Window
from data.input import inputs
from data.raster import cog, geotiff
from data.scaling import Scaling
from unet import checkpoint

UTM = CRS.from_epsg(32631)


def image(path: Path, pixels, grid=None, nodata=None, names=None) -> Path:
    pixels = np.asarray(pixels)
    cog.write(
        path, pixels, grid or Grid(None, (1, 0, 0, 0, 1, 0), *pixels.shape[1:]), nodata, None, names
    )
    return path


def wanted(
    count: int, resolution: float | None = None, nodata: float | None = None
) -> inputs.Expected:
    """By a network that was trained on so many bands '1', '2', ... of numbers up to 3000."""
    scaling = Scaling("minmax", (0,) * count, (3000,) * count)
    return inputs.Expected(
        [str(n + 1) for n in range(count)], 1, nodata, scaling, resolution, False
    )


# --- ground resolution ----------------------------------------------------------------------------


def test_ten_metres_on_the_map_are_what_they_are_on_the_ground():
    utm = Grid(UTM, (10, 0, 5e5, 0, -10, 5e6), 9, 9)
    assert inputs.ground_resolution(utm) == pytest.approx(10, rel=5e-4)
    # Mercator stretches by 1 / cos(latitude): by two at 60 degrees north, y = 8,399,738
    web = Grid(CRS.from_epsg(3857), (10, 0, 0, 0, -10, 8399738), 2, 2)
    assert inputs.ground_resolution(web) == pytest.approx(5, rel=4e-3)
    # At the equator a ten-thousandth of a degree is 11.13 x 11.06 m.
    degrees = Grid(CRS.from_epsg(4326), (1e-4, 0, 2, 0, -1e-4, 1e-4), 2, 2)
    assert inputs.ground_resolution(degrees) == pytest.approx(11.1, rel=2e-3)
    oblong = Grid(UTM, (5, 0, 5e5, 0, -20, 5e6), 9, 9)
    assert inputs.ground_resolution(oblong) == pytest.approx(10, rel=5e-4)
    assert inputs.ground_resolution(Grid(None, (10, 0, 0, 0, -10, 0), 9, 9)) is None
    of_crs = [inputs.crs_resolution(grid) for grid in (utm, web, degrees)]
    assert of_crs == pytest.approx([10, 10, 11.1319], rel=1e-5)
    assert inputs.crs_resolution(Grid(None, (10, 0, 0, 0, -10, 0), 9, 9)) is None


@pytest.mark.parametrize(
    ("pixel", "warned"),
    [(10, False), (12.4, False), (12.7, True), (7.6, False), (7.4, True), (60, True)],
)
def test_another_resolution_is_told_where_it_is_off_by_more_than_a_quarter(tmp_path, pixel, warned):
    path = image(
        tmp_path / "a.tif",
        np.ones((1, 4, 4), np.uint16),
        Grid(UTM, (pixel, 0, 5e5, 0, -pixel, 5e6), 4, 4),
    )
    said = f"{path}: pixels of {pixel:.3g} m on the ground, but the network was trained on 10 m"
    with inputs.Input([path], wanted(1, resolution=10.0)) as found:
        assert [remark.partition(";")[0] for remark in found.remarks] == ([said] if warned else [])
    with inputs.Input([path], wanted(1)) as found:
        assert not found.remarks


def test_what_needs_no_change_is_read_as_it_is_in_the_network_s_order(tmp_path):
    numbers = np.arange(12, dtype=np.uint16).reshape(3, 2, 2)
    path = image(tmp_path / "a.tif", numbers, nodata=7, names=["B4", "B3", "B8"])
    want = wanted(2)._replace(bands=["NIR", "Red"])
    with inputs.Input([path], want) as found:
        assert (found.descriptions, found.count, found.dtype, found.nodata) == (
            ("NIR", "Red"),
            2,
            np.uint16,
            7,
        )
        assert (found.read() == numbers[[2, 0]]).all() and (
            found.read(None, [2]) == numbers[:1]
        ).all()
    with (
        inputs.Input([path], want._replace(nodata=5)) as found,
        inputs.Input([path], want, nodata=6) as other,
    ):
        assert (
            found.nodata == 5 and other.nodata == 6
        )  # the user's, before the training's, before the file's


# --- units ----------------------------------------------------------------------------------------


def test_the_sum_of_number_and_offset_is_never_below_1_and_no_data_is_nan(tmp_path):
    numbers = np.array([[[0, 900, 1001], [3000, 65535, 1000]]], np.uint16)
    with inputs.Input(
        [image(tmp_path / "a.tif", numbers, nodata=0)], wanted(1), offset=-1000
    ) as adjusted:
        assert adjusted.dtype == np.float32 and adjusted.nodata is None
        expected = [[[np.nan, 1, 1], [2000, 64535, 1]]]
        np.testing.assert_array_equal(adjusted.read(), np.array(expected, np.float32))
        np.testing.assert_array_equal(adjusted.read(Window(0, 1, 1, 2), [1]), [[[1, 1]]])
        assert (
            len(adjusted.remarks) == 1 and "20% of the numbers lie outside" in adjusted.remarks[0]
        )
    # Floats may be anything, and are not held at 1 or above.
    path = image(tmp_path / "b.tif", np.array([[[0.05, 0.2, np.nan]]], np.float32))
    with inputs.Input([path], wanted(1), offset=-0.1) as adjusted:
        np.testing.assert_allclose(adjusted.read(), [[[-500, 1000, np.nan]]], rtol=1e-5)


# --- as a user meets it ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with in/ (small scenes) and runs/lakes/best.pt."""
    return small.trained(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def here(trained, tmp_path, monkeypatch) -> Path:
    """An own copy of the folder, as the current one."""
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def scene(number=0) -> tuple[np.ndarray, Grid]:
    with geotiff.Raster(f"in/images/s_{number}.tif") as raster:
        return raster.read(), raster.grid


def mapped(path: str, *options: str) -> np.ndarray:
    predict.main([path, "--output", "maps", *options])
    with geotiff.Raster(f"maps/{Path(path).stem}_landcover.tif") as raster:
        return raster.read()[0]


def test_the_same_ground_in_another_unit_gives_the_same_map_and_a_note(here, capsys):
    pixels, grid = scene()
    plain = mapped("in/images/s_0.tif")
    assert "note:" not in capsys.readouterr().err
    # Numbers of new products are 1000 higher; as reflectance and as whole numbers in floats
    image(
        Path("new.tif"),
        np.where(pixels == 0, 0, pixels + 1000).astype(np.uint16),
        grid,
        0,
        small.BANDS,
    )
    image(Path("float.tif"), pixels.astype(np.float32), grid, 0, small.BANDS)
    image(Path("reflectance.tif"), (pixels / 10000).astype(np.float32), grid, 0, small.BANDS)
    assert (mapped("new.tif") != plain).mean() > 0.02
    said = capsys.readouterr().err
    assert "note: new.tif: " in said and "numbers lie outside what the network was trained" in said
    assert (mapped("new.tif", "--offset", "-1000") == plain).all()
    assert (mapped("float.tif") == plain).all() and "note:" not in capsys.readouterr().err
    assert (mapped("reflectance.tif") == plain).mean() > 0.998  # but for rounding
    assert (
        "reflectance.tif: is in reflectance, the training images are in reflectance x 10,000: "
        "multiplied by 10000" in capsys.readouterr().err
    )


def test_the_checkpoint_knows_the_training_s_resolution(here, capsys):
    assert checkpoint.load("runs/lakes/best.pt")["resolution"] == pytest.approx(10, abs=0.02)
    pixels, grid = scene()
    image(
        Path("coarse.tif"),
        pixels,
        Grid(grid.crs, (30, 0, 4e5, 0, -30, 5e6), 48, 48),
        0,
        small.BANDS,
    )
    mapped("coarse.tif")
    assert (
        "coarse.tif: pixels of 30 m on the ground, but the network was trained on 10 m"
        in capsys.readouterr().err
    )
    image(Path("nowhere.tif"), pixels, None, 0, small.BANDS)
    mapped("nowhere.tif")
    out, err = capsys.readouterr()
    assert "note:" not in err and "pixels" in out and "km2" not in out


def test_bands_are_given_by_name_or_by_number(here):
    pixels, grid = scene()
    pixels[0] *= 2  # so that the bands differ
    image(Path("named.tif"), pixels, grid, 0, small.BANDS)
    plain = mapped("named.tif")
    image(Path("turned.tif"), pixels[::-1], grid, 0)
    for given in ("SWIR1 NIR Red Green", "B11 B8 B4 B3", "4 3 2 1"):
        assert (mapped("turned.tif", "--bands", *given.split()) == plain).all()
    extra = np.concatenate([pixels[:1] * 0 + 77, pixels, pixels[:1] * 0 + 5])
    image(Path("more.tif"), extra, grid, 0, ["Blue", *small.BANDS, "VV"])
    assert (mapped("more.tif") == plain).all() and (
        mapped("more.tif", "--bands", *"2345") == plain
    ).all()
    image(Path("unnamed.tif"), extra, grid, 0)
    assert (mapped("unnamed.tif", "--bands", *"2345") == plain).all()
    assert (mapped("unnamed.tif", "--bands", "Blue", *small.BANDS, "VV") == plain).all()


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (
            small.BANDS[::-1],
            small.BANDS,
            "band 1 is Green by --bands, but SWIR1 by the file; if the file's names are wrong",
        ),
        (
            None,
            "1 2 3",
            "a.tif: --bands 1 2 3: give 4 numbers from 1 to 4, for Green, Red, NIR, SWIR1",
        ),
        (None, "1 2 3 5", "give 4 numbers from 1 to 4"),
        (None, "Red NIR", "a.tif: 4 bands, but --bands names 2"),
        (
            ["Blue", "Red", "NIR", "SWIR1"],
            "",
            "Blue cannot replace another band; if the names are wrong",
        ),
    ],
)
def test_bands_that_contradict_each_other_are_an_error_and_not_a_guess(
    here, names, options, message
):
    pixels, grid = scene()
    image(Path("a.tif"), pixels, grid, 0, names)
    options = options.split() if isinstance(options, str) else options
    with pytest.raises(InputError) as error:
        predict.main(["a.tif", *(["--bands", *options] if options else [])])
    assert message in str(error.value) and not Path("a_landcover.tif").exists()
    if names:
        mapped("a.tif", "--bands", *"1234")  # numbers are the last word


def test_one_band_fewer_names_what_is_missing_and_one_more_without_names_is_no_guess_either(here):
    pixels, grid = scene()
    image(Path("fewer.tif"), pixels[:3], grid, 0, small.BANDS[:3])
    with pytest.raises(
        InputError,
        match=r"fewer.tif: 3 bands \(Green, Red, NIR\).* 4 .*; SWIR1 must be in the image",
    ):
        predict.main(["fewer.tif"])
    image(Path("more.tif"), np.concatenate([pixels, pixels[:1]]), grid, 0)
    with pytest.raises(
        InputError,
        match=r"more.tif: 5 bands \(1, 2, 3, 4, 5\).*give an image with these bands, or --bands",
    ):
        predict.main(["more.tif"])


def test_bands_renamed_in_training_do_not_change_places_in_prediction(here):
    """--bands held in training against the file's names: in prediction these must not turn the
    bands.
    """
    loaded = checkpoint.load("runs/lakes/best.pt")
    checkpoint.save(
        "renamed.pt", {**loaded, "settings": {**loaded["settings"], "bands": small.BANDS}}
    )
    pixels, grid = scene()
    image(Path("a.tif"), pixels, grid, 0, small.BANDS[::-1])
    with pytest.raises(
        InputError,
        match="a.tif: its bands are named SWIR1, .* but --bands in training named them Green, ",
    ):
        predict.main(["a.tif", "--checkpoint", "renamed.pt"])
    plain = mapped("in/images/s_0.tif")
    assert (mapped("a.tif", "--checkpoint", "renamed.pt", "--bands", *"1234") == plain).all()


def test_what_concerns_all_images_of_a_run_is_said_once(here, capsys):
    """The order of bands without names, and an --offset that only the training had."""
    loaded = checkpoint.load("runs/lakes/best.pt")
    settings = {**loaded["settings"], "offset": -1000.0}
    checkpoint.save("offset.pt", {**loaded, "settings": settings})
    for number in range(2):
        image(Path(f"plain_{number}.tif"), *scene(number), 0)
    paths = ["plain_0.tif", "plain_1.tif", "--output", "maps", "--checkpoint", "offset.pt"]
    predict.main(paths)
    said = capsys.readouterr().err
    order = "note: bands are taken in the file's order: 1, 2, 3, 4 as Green, Red, NIR, SWIR1\n"
    assert said.count(order) == 1
    assert said.count("note: --offset -1000 was given in training and is not given now") == 1
    predict.main([*paths, "--offset", "0.5", "--bands", *small.BANDS])
    assert "note:" not in capsys.readouterr().err


def test_a_fill_value_is_told_with_its_share_and_the_remedy_works(here, capsys):
    pixels, grid = scene()
    pixels = pixels.astype(np.float32)
    pixels[:, :6] = -9999
    image(Path("a.tif"), pixels, grid, None, small.BANDS)
    mapped("a.tif")
    said = capsys.readouterr().err
    assert "a.tif: 12.5% of the numbers are -9999, far from all others; if that is no data" in said
    codes = mapped("a.tif", said.rsplit(" ", 1)[1].strip())
    assert (codes[:6] == 0).all() and (codes[6:] > 0).all()
    assert "note:" not in capsys.readouterr().err


def test_one_date_in_another_unit_is_converted_alone(tmp_path):
    numbers = np.random.default_rng(0).integers(300, 3000, (1, 9, 9)).astype(np.uint16)
    paths = [image(tmp_path / "a.tif", numbers)]
    paths.append(image(tmp_path / "b.tif", (numbers / 1e4).astype(np.float32)))
    expected = wanted(2)._replace(bands=["1", "1@2"], dates=2)
    with inputs.Input(paths, expected) as found:
        np.testing.assert_allclose(*found.read(), atol=0.01)
        assert found.remarks[1] == (
            f"{paths[1]}: is in reflectance, the training images are in reflectance x 10,000: "
            "multiplied by 10000"
        )
