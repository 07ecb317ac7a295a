"""The prediction script: predict.py."""

import csv
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import small
import torch
import warm
from pyproj import CRS

import predict
import train
import unet
from data.classes import ClassTable
from data.files import InputError
from data.grid import Grid
from data.output.preview import LINE
from data.raster import cog, geotiff
from unet import checkpoint

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder with in/ (small scenes) and runs/lakes/best.pt, a network that knows them."""
    return small.trained(tmp_path_factory.mktemp("lakes"))


@pytest.fixture
def here(trained, tmp_path, monkeypatch) -> Path:
    """An own copy of the folder, as the current one."""
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def mapped(path) -> np.ndarray:
    with geotiff.Raster(path) as raster:
        return raster.read()[0]


def test_an_image_becomes_a_map_on_its_own_grid_that_rasterio_reads(here, capsys):
    rasterio = pytest.importorskip("rasterio")
    predict.main(["in/images/s_0.tif"])
    with (
        rasterio.open("in/images/s_0.tif") as image,
        rasterio.open("in/images/s_0_landcover.tif") as result,
    ):
        assert (result.crs, result.transform, result.shape) == (
            image.crs,
            image.transform,
            image.shape,
        )
        assert result.nodata == 0 and result.dtypes == ("uint8",)
        assert result.colormap(1)[10][:3] == (0xC8, 0xB4, 0x78) and result.colormap(1)[20][:3] == (
            0,
            0x64,
            0xC8,
        )
        codes = result.read(1)
    assert set(np.unique(codes)) == {10, 20}
    assert (codes == mapped("in/masks/m_0.tif")).mean() > 0.97
    lake = (codes == 20).sum()
    out = capsys.readouterr().out
    assert "in/images/s_0_landcover.tif" in out
    # 48 x 48 pixels of 10 m, in UTM at 4e5 m east: true areas differ by twice the scale error, 0.08
    # % or less
    words = next(line for line in out.splitlines() if "water" in line).split()
    assert (
        words[1] == "20"
        and words[2] == f"{lake / 48**2:.2%}"
        and float(words[3]) == pytest.approx(lake * 1e-4, rel=2e-3)
    )
    assert (
        Path("in/images/s_0_landcover_areas.csv").exists()
        and not Path("in/images/areas.csv").exists()
    )


def test_the_preview_shows_image_and_map_side_by_side(here):
    predict.main(["in/images/s_0.tif"])
    picture = imagecodecs.png_decode(Path("in/images/s_0_landcover.png").read_bytes())
    top, side = 8 + LINE, 6 * 48  # below the title; the pixels of the picture are repeated
    assert picture.shape[0] > top + side and picture.shape[1] > 2 * (8 + side) + 8  # and the legend
    colors = {10: (0xC8, 0xB4, 0x78), 20: (0, 0x64, 0xC8)}
    codes = mapped("in/images/s_0_landcover.tif")
    assert tuple(picture[top + 6 * 5, 8 + side + 8 + 6 * 7]) == colors[codes[5, 7]]


def test_several_images_give_a_row_each(here, capsys):
    predict.main(["in/images", "--output", "maps", "--truth", "in/masks"])
    assert sorted(p.name for p in Path("maps").glob("*.tif")) == [
        f"s_{n}_landcover.tif" for n in range(4)
    ]
    with open("maps/areas.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["class"]) for row in rows] == [
        (image, name)
        for image in (*(f"in/images/s_{n}.tif" for n in range(4)), "all")
        for name in ("land", "water")
    ]
    for land, water in zip(rows[::2], rows[1::2]):
        images = 4 if land["image"] == "all" else 1
        assert float(land["share"]) + float(water["share"]) == pytest.approx(1, abs=2e-6)
        assert float(land["km2"]) + float(water["km2"]) == pytest.approx(
            images * 48 * 48 * 1e-4, rel=2e-3
        )
        # The validation of this small run is one image.
        assert "fewer than 10" in land["not_adjusted"] and not land["adjusted_km2"]
    out = capsys.readouterr().out
    assert out.count("against the truth") == 5 and "all 4 images" in out


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode there")
def test_a_name_that_is_not_utf_8_is_mapped_and_trained(here):
    odd = Path(os.fsdecode(b"in/images/s_\xff.tif"))
    odd.write_bytes(Path("in/images/s_1.tif").read_bytes())
    mask = Path(os.fsdecode(b"in/masks/s_\xff.tif"))
    mask.write_bytes(Path("in/masks/m_1.tif").read_bytes())
    options = ["--images", odd, "--masks", mask, "--classes", "in/table.csv", "--overfit", "1"]
    options += ["--epochs", "1", "--base", "2", "--output", "run"]
    train.main([*map(str, options)])
    options = [odd, "--checkpoint", "run/best.pt", "--truth", mask, "--output", "maps"]
    predict.main([*map(str, options)])
    areas = next(Path("maps").glob("*_areas.csv")).read_bytes()
    assert b"s_\xff.tif" in areas
    assert r" $'in/images/s_\xff.tif' " in Path("run/train.log").read_text()  # for a shell
    assert r"s_\xff.tif" in next(Path("maps").glob("*_report.html")).read_text()


def test_an_unexpected_error_in_one_of_many_images_does_not_lose_the_others(
    here, monkeypatch, capsys
):
    images = sorted(Path("in/images").glob("*.tif"))
    read = predict.Input.read

    def broken(image, *arguments):
        if image.path == images[1]:
            raise ZeroDivisionError("an error of the program")
        return read(image, *arguments)

    monkeypatch.setattr(predict.Input, "read", broken)
    with pytest.raises(InputError, match=r"1 of 4 images failed: in/images/s_1.tif"):
        predict.main([*map(str, images), "--checkpoint", "runs/lakes/best.pt"])
    said = capsys.readouterr().err
    assert "Traceback" in said and "def broken" not in said
    assert "error: in/images/s_1.tif: ZeroDivisionError: an error of the program" in said
    assert len(list(Path("in/images").glob("*_landcover.tif"))) == 3
    with pytest.raises(ZeroDivisionError):  # a single image: the traceback is the message
        predict.main([str(images[1]), "--checkpoint", "runs/lakes/best.pt"])


def test_a_damaged_image_among_many_does_not_lose_the_others(here, monkeypatch, capsys):
    path = Path("in/images/s_1.tif")
    path.write_bytes(path.read_bytes()[:3000])
    status, said = script(
        ["in/images", "--output", "maps", "--truth", "in/masks"], monkeypatch, capsys
    )
    assert status == 2 and len(said.splitlines()) == 2
    assert said.startswith("predict.py: error: in/images/s_1.tif: ")
    assert "error: 1 of 4 images failed: in/images/s_1.tif; see above" in said
    assert {p.name for p in Path("maps").iterdir()} == {
        *("areas.csv", "report.html", "scores.csv"),
        *(
            f"s_{n}_landcover.{kind}"
            for n in (0, 2, 3)
            for kind in ("png", "qml", "tif", "tif.aux.xml")
        ),
    }
    with open("maps/areas.csv", newline="") as file:
        named = [row["image"] for row in csv.DictReader(file) if row["class"] == "land"]
    assert named == [*(f"in/images/s_{n}.tif" for n in (0, 2, 3)), "all"]


def test_remarks_and_failures_of_many_images_are_counted(here, monkeypatch, capsys):
    for number in range(8):
        with geotiff.Raster(f"in/images/s_{number % 4}.tif") as raster:
            pixels, grid = raster.read(), raster.grid
        bands = 4 if number < 2 else 3
        names = small.BANDS[:bands]
        cog.write(f"in/images/t_{number}.tif", pixels[:bands] / 1e4, grid, descriptions=names)
    images = map(str, sorted(Path("in/images").glob("t_*.tif")))
    status, said = script([*images, "--output", "new/maps"], monkeypatch, capsys)
    assert status == 2
    assert said.count(": is in reflectance, the training images are in reflectance x 10,000") == 2
    assert "note: 1 more file like in/images/t_0.tif: is in reflectance, " in said
    failed = ", ".join(f"in/images/t_{number}.tif" for number in range(2, 7))
    assert f"error: 6 of 8 images failed: {failed} and 1 more; see above" in said


@pytest.mark.parametrize("folder", ["new/maps", "new"])
def test_a_folder_without_a_map_is_not_left_behind(here, monkeypatch, capsys, folder):
    path = Path("in/images/s_1.tif")
    path.write_bytes(path.read_bytes()[:-2000])  # its pixels are damaged, not its header
    Path(folder).parent.mkdir(exist_ok=True)
    status, said = script([str(path), "--output", f"{folder}/deep"], monkeypatch, capsys)
    assert status == 2 and "s_1.tif: " in said
    assert not Path(folder).exists() and Path(folder).parent.exists()


def test_a_second_call_does_not_map_the_maps(here):
    for _ in range(2):
        predict.main(["in/images"])
    assert not list(Path("in/images").glob("*_landcover_landcover.tif"))


def test_figures_against_the_truth_are_those_of_the_written_map(here, capsys):
    predict.main(["in/images/s_1.tif", "--truth", "in/masks/m_1.tif"])
    truth, codes = mapped("in/masks/m_1.tif"), mapped("in/images/s_1_landcover.tif")
    both = ((truth == 20) & (codes == 20)).sum()
    dice = 2 * both / ((truth == 20).sum() + (codes == 20).sum())
    line = [
        line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("water")
    ][-1]
    assert float(line.split()[2]) == pytest.approx(dice, abs=5e-4)


def test_no_data_stays_no_data(here):
    with geotiff.Raster("in/images/s_0.tif") as raster:
        pixels, grid = raster.read().astype(np.float32), raster.grid
    pixels[:, :5], pixels[1, 20, 20] = 0, np.nan
    cog.write("in/holes.tif", pixels, grid, nodata=0, descriptions=small.BANDS)
    predict.main(["in/holes.tif"])
    codes = mapped("in/holes_landcover.tif")
    assert (codes[:5] == 0).all() and codes[20, 20] == 0 and (codes[5:] == 0).sum() == 1
    cog.write("in/empty.tif", np.full_like(pixels, np.nan), grid, descriptions=small.BANDS)
    predict.main(["in/empty.tif"])
    assert (mapped("in/empty_landcover.tif") == 0).all()


def test_no_data_given_by_hand_in_training_is_so_in_prediction(here, capsys):
    """So that a map never needs the training's options again; another value may be given all the
    same.
    """
    loaded = checkpoint.load("runs/lakes/best.pt")
    checkpoint.save("marked.pt", {**loaded, "nodata": 7.0})
    with geotiff.Raster("in/images/s_0.tif") as raster:
        pixels, grid = raster.read(), raster.grid
    pixels[:, :5], pixels[:, 5:7] = 7, 8
    cog.write("in/holes.tif", pixels, grid, descriptions=small.BANDS)
    for options, rows in ([], slice(0, 5)), (["--nodata", "8"], slice(5, 7)):
        predict.main(["in/holes.tif", "--checkpoint", "marked.pt", *options])
        assert [*np.flatnonzero((mapped("in/holes_landcover.tif") == 0).all(1))] == [*range(48)][
            rows
        ]


def test_an_image_without_any_data_has_dashes_for_shares(here, capsys):
    grid = Grid(CRS.from_epsg(32631), (10, 0, 4e5, 0, -10, 5e6), 20, 20)
    cog.write("empty.tif", np.full((4, 20, 20), np.nan, np.float32), grid, descriptions=small.BANDS)
    predict.main(["empty.tif"])
    out = capsys.readouterr().out
    assert "nan" not in out and "400 pixels" in out
    assert next(line for line in out.splitlines() if "water" in line).split() == [
        "water",
        "20",
        "-",
        "0.0000",
    ]


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (7, 3), (48, 49), (131, 97)])
def test_any_size_is_mapped_in_full(here, shape):
    grid = Grid(CRS.from_epsg(4326), (1e-4, 0, 3.0, 0, -1e-4, 45.0), *shape)
    cog.write("odd.tif", np.full((4, *shape), 2000, np.uint16), grid, descriptions=small.BANDS)
    predict.main(["odd.tif"])
    with geotiff.Raster("odd_landcover.tif") as result:
        assert result.grid.matches(grid)
        assert set(np.unique(result.read())) <= {10, 20}


def test_windows_do_not_show_in_the_map(here):
    """The network sees 256 pixels at a time; the map is that of the whole image but for a pixel in
    a thousand.
    """
    random = np.random.default_rng(3)
    noise = np.kron(random.integers(400, 2000, (60, 10)), np.ones((10, 10)))
    grid = Grid(None, (1, 0, 0, 0, 1, 0), *noise.shape)
    cog.write("scene.tif", np.stack([noise] * 4).astype(np.uint16), grid, descriptions=small.BANDS)
    predict.main(["scene.tif", "--output", "a"])
    loaded = checkpoint.load("runs/lakes/best.pt")
    checkpoint.save("whole.pt", {**loaded, "size": 600})
    predict.main(["scene.tif", "--output", "b", "--checkpoint", "whole.pt"])
    assert (mapped("a/scene_landcover.tif") == mapped("b/scene_landcover.tif")).mean() > 0.999


def test_bands_are_matched_by_name(here):
    predict.main(["in/images/s_0.tif", "--output", "a"])
    with geotiff.Raster("in/images/s_0.tif") as raster:
        pixels, grid = raster.read(), raster.grid
    pixels[0] *= 2  # so that the bands differ
    cog.write("in/plain.tif", pixels, grid, nodata=0, descriptions=small.BANDS)
    cog.write("in/turned.tif", pixels[::-1], grid, nodata=0, descriptions=small.BANDS[::-1])
    predict.main(["in/plain.tif", "in/turned.tif", "--output", "b"])
    assert (mapped("b/plain_landcover.tif") == mapped("b/turned_landcover.tif")).all()


def test_a_crs_that_nobody_can_parse_survives(here):
    tifffile = pytest.importorskip("tifffile")
    with geotiff.Raster("in/images/s_0.tif") as raster:
        pixels = raster.read()
    keys = (
        1,
        1,
        0,
        3,
        1024,
        0,
        1,
        1,
        1025,
        0,
        1,
        1,
        3072,
        0,
        1,
        32767,
    )  # user-defined, and not a word more
    tags = [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 7.0, 8.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    tifffile.imwrite(
        "strange.tif",
        pixels,
        photometric="minisblack",
        planarconfig="separate",
        extratags=tags,
        metadata=None,
    )
    predict.main(["strange.tif"])
    with tifffile.TiffFile("strange_landcover.tif") as result:
        found = result.pages[0].tags
        assert tuple(found[34735].value) == keys and tuple(found[33922].value) == (0, 0, 0, 7, 8, 0)


def test_a_picture_without_georeference_is_mapped_and_its_areas_are_pixels(here, capsys):
    torch.manual_seed(0)
    table = ClassTable.load("deepglobe")
    classes, made = len(table.names), {"base": 2}
    state = {
        "model": {"name": "unet", "in_channels": 3, "num_classes": classes, "options": made},
        "weights": unet.build("unet", 3, classes, **made).state_dict(),
        "classes": table.records,
        "class_table": table.name,
        "bands": ["1", "2", "3"],
        "indices": [],
        "size": 32,
        "scaling": {"method": "minmax", "offset": [0.0] * 3, "scale": [255.0] * 3},
    }
    checkpoint.save("rgb.pt", state)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Path("photo.png").write_bytes(imagecodecs.png_encode(pixels))
    predict.main(["photo.png", "--checkpoint", "rgb.pt"])
    with geotiff.Raster("photo_landcover.tif") as result:
        assert result.grid.crs is None and (result.grid.height, result.grid.width) == (40, 50)
        assert result.colormap[0] == (0, 255, 255)
    out = capsys.readouterr().out
    assert "pixels" in out and "km2" not in out


def script(options, monkeypatch, capsys) -> tuple[int, str]:
    """(status, what it wrote to stderr) of `python predict.py ...`."""
    monkeypatch.setattr(sys, "argv", ["predict.py", *options])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "predict.py"), run_name="__main__")
    return left.value.code, capsys.readouterr().err


def test_bad_input_is_one_line_and_status_2_and_leaves_the_earlier_map(here, monkeypatch, capsys):
    predict.main(["in/images/s_0.tif"])
    before = Path("in/images/s_0_landcover.tif").read_bytes()
    with geotiff.Raster("in/images/s_0.tif") as raster:
        cog.write(
            "three.tif", raster.read(bands=[1, 2, 3]), raster.grid, descriptions=small.BANDS[:3]
        )
    whole = Path("in/images/s_0.tif").read_bytes()
    Path("in/images/s_0.tif").write_bytes(whole[: len(whole) // 2])
    Path("text.tif").write_text("not a raster")
    Path("broken.pt").write_bytes(b"PK nothing")
    for options, message in [
        (
            ["three.tif"],
            "three.tif: 3 bands (Green, Red, NIR), but the checkpoint was trained on 4",
        ),
        (["in/images/s_0.tif"], "s_0.tif: "),
        (["missing.tif"], "missing.tif: no such file"),
        (["text.tif"], "text.tif: "),
        (["in/images/s_1.tif", "--checkpoint", "broken.pt"], "broken.pt: "),
        (
            ["in/images/s_1.tif", "--overlap", "256"],
            "--overlap 256: must be less than the window's 256 pixels",
        ),
        (["in/images/s_1.tif", "--overlap", "-1"], "--overlap: -1 must be"),
        (["in/images/s_1.tif", "--batch", "0"], "--batch: 0 must be"),
        ([], "arguments are required: images"),
        (
            ["in/images/s_1.tif", "in/images/s_2.tif", "--truth", "in/masks/m_1.tif"],
            "images without a mask (s_2.tif)",
        ),
        (["in/images/s_1.tif", "--output", "text.tif"], "text.tif"),
        (["in/images/s_1.tif", "--truth", "in/images/s_1_landcover.tif"], "no such file"),
    ]:
        status, said = script(options, monkeypatch, capsys)
        assert status == 2 and len(said.splitlines()) == 1, said
        assert said.startswith("predict.py: error: ") and message in said
    assert Path("in/images/s_0_landcover.tif").read_bytes() == before
    assert not list(here.rglob("*.tmp"))


def test_options_in_front_of_the_images_do_not_swallow_them(here, capsys):
    args = predict.parse(["--truth", "m_0.tif", "--truth", "m_1.tif", "a.tif", "b.tif"])
    assert args.images == [Path("a.tif"), Path("b.tif")]
    assert args.truth == [Path("m_0.tif"), Path("m_1.tif")]
    args = predict.parse(["--bands", "4", "3", "in/images/s_0.tif", "in/masks"])
    assert (args.bands, args.images) == (["4", "3"], [Path("in/images/s_0.tif"), Path("in/masks")])
    args = predict.parse(["in/images", "--bands", "4", "in/masks"])
    assert (args.bands, args.images) == (["4", "in/masks"], [Path("in/images")])
    for options in ["a.tif", "--truth", "m_0.tif", "m_1.tif"], ["a.tif", "--overlay", "m_1.tif"]:
        with pytest.raises(InputError, match="m_1.tif: give images before options, and one path "):
            predict.parse(options)
    with pytest.raises(InputError, match="required: images"):
        predict.parse(["--bands", "4", "3", "missing.tif"])
    predict.main(["--truth", "in/masks/m_0.tif", "in/images/s_0.tif"])
    assert "against the truth" in capsys.readouterr().out


def test_a_wrong_mask_costs_the_table_but_not_the_map(here, monkeypatch, capsys):
    Path("truth.tif").write_bytes(Path("in/masks/m_0.tif").read_bytes())
    status, said = script(["in/images/s_1.tif", "--truth", "truth.tif"], monkeypatch, capsys)
    assert status == 2 and "truth.tif: lies wholly outside the image; check" in said
    assert (mapped("in/images/s_1_landcover.tif") > 0).all()


def test_without_a_run_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, said = script(["x.tif"], monkeypatch, capsys)
    assert status == 2 and "no checkpoint; train a network (" in said


def test_the_script_runs_as_a_program(here):
    """From another folder, as a user calls it: nothing depends on the tests' own paths."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "predict.py"), "in/images/s_0.tif"],
        capture_output=True,
        text=True,
        cwd=here,
    )
    assert done.returncode == 0 and "s_0_landcover.tif" in done.stdout and done.stderr == ""


# predict.py, which gets Ctrl-C in the middle of the scene.
INTERRUPTED = """
import runpy, signal, sys
from data.mapping import strips
script = sys.argv[1]
sys.argv = [script, "in/images/s_0.tif"]

def progress(text):
    if "%" in text:
        signal.raise_signal(signal.SIGINT)

strips.progress = progress
runpy.run_path(script, run_name="__main__")
"""


def test_ctrl_c_leaves_the_earlier_map_and_nothing_half_written(here):
    predict.main(["in/images/s_0.tif"])
    before = Path("in/images/s_0_landcover.tif").read_bytes()
    with geotiff.Raster("in/images/s_0.tif") as raster:
        pixels, grid = (
            np.tile(raster.read(), (1, 40, 10)),
            Grid(None, raster.grid.transform, 1920, 480),
        )
    cog.write("in/images/s_0.tif", pixels, grid, descriptions=small.BANDS)
    # A process of its own, because the program ends its process.
    done = warm.run(INTERRUPTED, str(ROOT / "predict.py"))
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == "predict.py: stopped"
    assert "Traceback" not in done.stderr
    assert Path("in/images/s_0_landcover.tif").read_bytes() == before
    assert not list(here.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("option", "successor"),
    [("--export", "python -m unet.export"), ("--compare", "python -m data.output.change")],
)
def test_an_option_of_an_earlier_version_names_its_successor(option, successor):
    for arguments in (["a.tif", option], [option, "x"], ["a.tif", f"{option}=x"]):
        with pytest.raises(InputError, match=f"^{option} is gone; use {successor}"):
            predict.parse(arguments)
