"""reproject.py with files and as a script: blocks, tags, bad input, a full disk."""

import os
import sys
from collections import Counter
from pathlib import Path

import disks
import imagecodecs
import numpy as np
import pytest
import torch
import warm
from landcover import CASES, NO, UTM, grid, patches

import reproject as module
from data import resample
from data.files import InputError
from data.grid import IDENTITY, Grid
from data.output import maps
from data.raster import blocks, cache, cog, geotiff
from data.raster.targetgrid import target_grid_for
from data.resample import reproject
from reproject import reproject_file

# --- files

COLORS = {code: (20 * code, 250 - 20 * code, 7 * code) for code in range(12)}


def write(path, array, where, nodata=NO, **options):
    cog.write(path, array, where, nodata=nodata, **options)
    return path


@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_a_file_becomes_what_its_array_becomes_and_keeps_colours_no_data_and_name(tmp_path, method):
    rasterio = pytest.importorskip("rasterio")
    source_grid, target_grid = CASES["1 m to 13.3 m"]
    source = patches(source_grid.height, source_grid.width)
    mask = write(
        tmp_path / "mask.tif", source, source_grid, colormap=COLORS, descriptions=["land cover"]
    )
    reproject_file(mask, tmp_path / "out.tif", target_grid, method)
    expected = reproject(source, source_grid, target_grid, method, NO)
    with rasterio.open(tmp_path / "out.tif") as out:
        assert (out.read(1) == expected).all()
        assert (
            out.nodata == NO and out.descriptions == ("land cover",) and out.crs.to_epsg() == 3857
        )
        assert {code: out.colormap(1)[code][:3] for code in COLORS} == COLORS
        assert out.transform[:6] == pytest.approx(target_grid.transform) and out.profile["tiled"]
        assert out.compression is not None and out.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_the_names_of_classes_are_kept_inside_beside_and_in_the_style(tmp_path):
    source_grid, target_grid = CASES["1 m to 13.3 m"]
    names, codes = (
        {2: "<town>", 5: "wood"},
        np.full((source_grid.height, source_grid.width), 5, np.uint8),
    )
    given = np.dtype("uint8"), NO, names, COLORS, "land cover"
    with maps.coded(tmp_path / "map.tif", source_grid, *given) as add:
        add(codes)
    reproject_file(tmp_path / "map.tif", tmp_path / "out.tif", target_grid)
    with geotiff.Raster(tmp_path / "out.tif") as out:
        assert maps.class_names(out) == names and (out.read() == 5).any()
    for ending in ".qml", ".tif.aux.xml":
        assert (tmp_path / f"out{ending}").read_text() == (tmp_path / f"map{ending}").read_text()


@pytest.fixture(scope="module")
def wide() -> np.ndarray:
    return patches(3000, 4000)


@pytest.mark.parametrize(
    "layout", ["tiles of 256", "tiles of 512", "strips of 1 row", "strips of 16 rows"]
)
@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_every_block_is_decoded_about_once_and_only_if_needed(
    tmp_path, wide, method, layout, monkeypatch
):
    rasterio = pytest.importorskip("rasterio")
    size = int(layout.split()[2])
    shape = (
        {"tiled": True, "blockxsize": size, "blockysize": size}
        if "tiles" in layout
        else {"blockysize": size}
    )
    source = wide
    where = grid("EPSG:25831", 430_000, 4_610_000, 1, 3000, 4000)
    profile = dict(
        driver="GTiff",
        count=1,
        dtype="uint8",
        height=3000,
        width=4000,
        nodata=NO,
        compress="lzw",
        **shape,
    )
    transform = rasterio.Affine(*where.transform)
    with rasterio.open(
        tmp_path / "mask.tif", "w", crs="EPSG:25831", transform=transform, **profile
    ) as file:
        file.write(source, 1)
    decoded, block = Counter(), blocks.Blocks._block

    def counting(self, number, needed):
        decoded[number] += 1
        return block(self, number, needed)

    monkeypatch.setattr(blocks.Blocks, "_block", counting)
    monkeypatch.setattr(module, "TILE", 64)
    monkeypatch.setattr(resample, "TILE", 64)
    monkeypatch.setattr(cache, "CACHE_BYTES", 3 * 2**20)  # a quarter of the raster
    target = grid("EPSG:32631", 430_000, 4_609_995, 10, 150, 399)  # the upper half
    # Two threads that need a block at the same time both decode it.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    reproject_file(tmp_path / "mask.tif", tmp_path / "out.tif", target, method)
    times = Counter(decoded)  # a copy, because reading the output counts its blocks, too
    with geotiff.Raster(tmp_path / "out.tif") as out:
        assert (out.read()[0] == reproject(source, where, target, method, NO)).all()
    # A block that two strips of the target need may be decoded again after the cache dropped it.
    assert max(times.values()) <= 3 and times.total() <= 2 * len(times)
    with geotiff.Raster(tmp_path / "mask.tif") as raster:
        rows = np.array(sorted(times)) // -(-4000 // raster.block_shape[1]) * raster.block_shape[0]
    assert rows.max() < 1500 + 5 + max(512, size)


def test_the_script_aligns_a_mask_with_an_image(tmp_path):
    source_grid, target_grid = CASES["3035 to UTM"]
    source = patches(source_grid.height, source_grid.width)
    mask = write(tmp_path / "mask.tif", source, source_grid)
    image = np.zeros((2, target_grid.height, target_grid.width), np.float32)
    cog.write(tmp_path / "image.tif", image, target_grid)
    words = "--like", tmp_path / "image.tif", "-o", tmp_path / "aligned.tif", "--method", "mode"
    done = warm.run(Path(module.__file__), mask, *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'aligned.tif'}\n", "")
    with geotiff.Raster(tmp_path / "aligned.tif") as out:
        assert out.grid.matches(target_grid)
        assert (out.read()[0] == reproject(source, source_grid, target_grid, "mode", NO)).all()


@pytest.mark.parametrize("like", [True, False])
def test_a_report_beside_the_output_has_the_shares_before_and_after(tmp_path, monkeypatch, like):
    """16 pixels of 10 m become one of class 1; it had 10 of them, and class 2 had 4."""
    codes = np.ones((4, 4), np.uint8)
    codes[:2, :2], codes[2, :2] = 2, 3
    write(tmp_path / "mask.tif", codes, grid("EPSG:32631", 400_000, 4_600_000, 10, 4, 4))
    one = grid("EPSG:32631", 400_000, 4_600_000, 40, 1, 1)
    write(tmp_path / "image.tif", np.full((3, 1, 1), 7, np.uint8), one)
    monkeypatch.chdir(tmp_path)
    to = "--like image.tif" if like else "--crs EPSG:32631 --resolution 40"
    command = f"reproject.py mask.tif {to} -o out.tif --method mode --report"
    monkeypatch.setattr(sys, "argv", command.split())
    module.main()
    page = (tmp_path / "out_report.html").read_text()
    assert "largest change of a share 37.50 percentage points, code 1 in mask.tif" in page
    assert "<td>62.50</td><td>100.00</td><td>37.500</td>" in page
    assert "<td>25.00</td><td>0.00</td><td>25.000</td>" in page
    assert page.count("<img") == 2 + like


def test_a_report_never_replaces_an_input(tmp_path, monkeypatch, capsys):
    where = grid("EPSG:32631", 400_000, 4_600_000, 10, 4, 4)
    write(tmp_path / "m_report.html", np.ones((4, 4), np.uint8), where)
    monkeypatch.chdir(tmp_path)
    command = "reproject.py m_report.html --crs EPSG:3857 -o m.tif --report"
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit):
        module.main()
    assert "m_report.html: is an input" in capsys.readouterr().err
    assert not Path("m.tif").exists()


@pytest.mark.parametrize("weights", ["3=2.5,4=1e9", "inverse"])
def test_the_script_makes_a_coarser_map_with_weighted_votes(weights, tmp_path, monkeypatch):
    source_grid = CASES["3035 to UTM"][0]
    source = patches(source_grid.height, source_grid.width)
    mask = write(tmp_path / "mask.tif", source, source_grid)
    options = f"-o {tmp_path}/coarse.tif --crs EPSG:3857 --resolution 40 --method mode"
    command = ["reproject.py", str(mask), *options.split(), "--vote-weights", weights]
    monkeypatch.setattr(sys, "argv", command)
    module.main()
    target_grid = target_grid_for(source_grid, "EPSG:3857", 40)
    given = {3: 2.5, 4: 1e9} if "=" in weights else weights
    expected = reproject(source, source_grid, target_grid, "mode", NO, vote_weights=given)
    with geotiff.Raster(tmp_path / "coarse.tif") as out:
        assert out.grid.matches(target_grid)
        assert (out.read()[0] == expected).all()
    unweighted = reproject(source, source_grid, target_grid, "mode", NO)
    assert (expected != unweighted).any()
    if "=" in weights:
        assert (expected == 4).sum() > 1.5 * (unweighted == 4).sum()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "int32", "uint32", "int64", "uint64"])
def test_a_file_of_any_integer_type(dtype, tmp_path):
    info = np.iinfo(dtype)
    codes = np.array([info.min, info.max, 3, 7, 11], dtype)
    source = codes[patches(700, 650, classes=5)]
    mask = write(tmp_path / "mask.tif", source, UTM, nodata=7)
    target_grid = CASES["1 m to 13.3 m"][1]
    reproject_file(mask, tmp_path / "out.tif", target_grid, "mode")
    with geotiff.Raster(tmp_path / "out.tif") as out:
        assert out.dtype == dtype and out.nodata == 7
        assert (out.read()[0] == reproject(source, UTM, target_grid, "mode", 7)).all()


def test_a_source_without_no_data_needs_none_inside_and_gets_an_unused_one_outside(tmp_path):
    inside = grid("EPSG:25831", 430_010, 4_609_900, 10, 20, 20)
    beyond = grid("EPSG:25831", 429_990, 4_609_900, 10, 20, 20)
    mask = write(tmp_path / "mask.tif", patches(700, 650), UTM, nodata=None)
    for target, nodata in ((inside, None), (beyond, NO)):
        reproject_file(mask, tmp_path / "out.tif", target)
        with geotiff.Raster(tmp_path / "out.tif") as out:
            assert out.nodata == nodata and (out.read()[0] == NO).sum() == (20 if nodata else 0)
    full = write(
        tmp_path / "full.tif",
        np.where(patches(700, 650) == 0, np.uint8(255), np.uint8(1)),
        UTM,
        nodata=None,
    )
    reproject_file(full, tmp_path / "out.tif", inside)
    with pytest.raises(
        InputError, match=r"full.tif: declares no value as no-data, and 255 is a class; .* --nodata"
    ):
        reproject_file(full, tmp_path / "out.tif", beyond)
    reproject_file(full, tmp_path / "out.tif", beyond, nodata=0)
    with geotiff.Raster(tmp_path / "out.tif") as out:
        assert out.nodata == 0 and set(np.unique(out.read())) == {0, 1, 255}


def info(path) -> tuple:
    with geotiff.Raster(path) as raster:
        return raster.read()[0], raster.nodata, raster.grid


def test_a_float_raster_of_whole_numbers_becomes_integers(tmp_path):
    codes = patches(70, 65).astype(np.float32)
    codes[:9] = np.nan
    where = grid("EPSG:25831", 430_000, 4_609_900, 10, 70, 65)
    write(tmp_path / "mask.tif", codes, where, nodata=None)
    for method in ("nearest", "mode"):
        reproject_file(tmp_path / "mask.tif", tmp_path / "out.tif", where, method)
        made, nodata, _ = info(tmp_path / "out.tif")
        assert (made.dtype, nodata) == (np.uint8, 255)
        assert np.array_equal(made, np.where(np.isnan(codes), 255, codes))


def test_three_equal_channels_become_one_band_and_that_is_told(tmp_path, capsys):
    codes = patches(70, 65)
    where = grid("EPSG:25831", 430_000, 4_609_900, 10, 70, 65)
    write(tmp_path / "mask.tif", np.stack([codes] * 3), where, descriptions=["r", "g", "b"])
    reproject_file(tmp_path / "mask.tif", tmp_path / "out.tif", where)
    assert np.array_equal(info(tmp_path / "out.tif")[0], codes)
    said = capsys.readouterr().err
    assert (
        said
        == f"note: {tmp_path / 'mask.tif'}: its three channels are equal; one of them is used\n"
    )


def test_a_picture_of_the_size_of_its_image_gets_the_place_of_the_image(tmp_path):
    where, codes = grid("EPSG:25831", 430_000, 4_609_900, 10, 70, 65), patches(70, 65)
    (tmp_path / "mask.png").write_bytes(imagecodecs.png_encode(codes))
    for method in ("nearest", "mode"):
        reproject_file(tmp_path / "mask.png", tmp_path / "out.tif", where, method)
        made, nodata, at = info(tmp_path / "out.tif")
        assert np.array_equal(made, codes) and nodata is None and at.matches(where)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_a_source_across_180_degrees_keeps_its_pixels_and_is_told(tmp_path, crs, capsys):
    source = grid("EPSG:32701", 170_000, 8_000_000, 2000, 100, 100)
    write(tmp_path / "mask.tif", patches(100, 100), source)
    target = target_grid_for(source, crs)
    reproject_file(tmp_path / "mask.tif", tmp_path / "out.tif", target)
    made = info(tmp_path / "out.tif")[0]
    assert (made != NO).sum() == pytest.approx(10_000, rel=0.02)
    assert (made[:, : made.shape[1] // 2] != NO).any(1).mean() > 0.9  # on both sides of the cut
    assert (made[:, made.shape[1] // 2 :] != NO).any(1).mean() > 0.9
    said = capsys.readouterr().err
    assert "mask.tif: the source crosses a cut of" in said and " have a class; check" in said


def test_a_resolution_in_the_wrong_unit_is_told_or_refused(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for options, message in (
        (
            "--crs EPSG:4326 --resolution 10",
            "note: mask.tif: the output has 1 x 1 pixels of 10 deg",
        ),
        ("--crs EPSG:3857 --resolution 1e-5", "reproject.py: error: the target would have "),
    ):
        monkeypatch.setattr(sys, "argv", f"reproject.py mask.tif {options} -o unit.tif".split())
        with pytest.raises(SystemExit) as stopped:
            module.main()
        assert stopped.value.code == 2 and message in capsys.readouterr().err
        assert not Path("unit.tif").exists()


WRONG = {
    "no CRS in the source": (
        "bare.tif --like image.tif",
        "bare.tif: has 65 x 70 pixels and the target 30 x 30, and it has no CRS to align them by",
    ),
    "no CRS in the target": (
        "mask.tif --like bare.tif",
        "mask.tif: has 650 x 700 pixels and the target 65 x 70, and the target has no CRS",
    ),
    "no CRS for another one": ("bare.tif --crs EPSG:3857", "bare.tif: CRS is missing; assign"),
    "transforms that differ": (
        "plane.tif --like image.tif",
        "plane.tif: its transform differs from that of the target (x from ",
    ),
    "disjoint": (
        "mask.tif --like far.tif",
        "mask.tif: the target lies wholly outside the source; check",
    ),
    "disjoint, by mode": (
        "mask.tif --like far.tif --method mode",
        "mask.tif: the target lies wholly outside",
    ),
    "fractions": (
        "float.tif --like image.tif",
        "float.tif: holds fractions or infinity (",
    ),
    "bands": ("bands.tif --like image.tif", "bands.tif: has 2 bands of uint8, and classes are one"),
    "colours": ("colors.tif --like mask.tif", "colors.tif: its three channels differ, so it"),
    "no such CRS": ("mask.tif --crs EPSG:99 --resolution 9", "'EPSG:99' is not a CRS; give"),
    "no such file": ("none.tif --like image.tif", "none.tif: no such file"),
    "not a raster": ("text.tif --like image.tif", "text.tif: "),
    "no-data": (
        "mask.tif --like image.tif --nodata 256",
        "mask.tif: no-data 256 is not a value of uint8; give",
    ),
    "a weight": (
        "mask.tif --like image.tif --method mode --vote-weights 1=0",
        "mask.tif: a vote weight is not above 0",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    write(folder / "mask.tif", patches(700, 650), UTM)
    write(folder / "bare.tif", patches(70, 65), Grid(None, IDENTITY, 70, 65))
    write(folder / "plane.tif", patches(30, 30), grid(None, 240_712, 5_106_000, 12, 30, 30))
    write(folder / "image.tif", patches(30, 30), grid("EPSG:3857", 240_700, 5_106_000, 12, 30, 30))
    write(folder / "far.tif", patches(30, 30), grid("EPSG:3857", 340_700, 5_106_000, 12, 30, 30))
    write(folder / "float.tif", patches(700, 650) / np.float32(2), UTM)
    write(folder / "bands.tif", np.stack([patches(700, 650)] * 2), UTM)
    write(folder / "colors.tif", np.stack([patches(700, 650, seed=seed) for seed in range(3)]), UTM)
    (folder / "text.tif").write_text("not a raster")
    return folder


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_line_and_leaves_the_earlier_output(case, folder, monkeypatch, capsys):
    arguments, message = WRONG[case]
    (folder / "out.tif").write_bytes(b"earlier")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["reproject.py", *arguments.split(), "-o", "out.tif"])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith(f"reproject.py: error: {message}") and error.count("\n") == 1
    assert (folder / "out.tif").read_bytes() == b"earlier" and not list(folder.glob(".out.tif*"))


INPUTS = [
    "mask.tif",
    "symbolic.tif",
    "hard.tif",
    "image.tif",
    "./../{folder}/image.tif",
    "like.tif",
]


@pytest.mark.parametrize("output", INPUTS)
def test_an_output_that_is_an_input_is_refused(output, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name, link, target in (
        ("symbolic.tif", os.symlink, "mask.tif"),
        ("hard.tif", os.link, "mask.tif"),
        ("like.tif", os.link, "image.tif"),
    ):
        if not os.path.lexists(name):
            link(target, name)
    before = Path("mask.tif").read_bytes(), Path("image.tif").read_bytes()
    output = Path(output.format(folder=folder.name))
    command = ["reproject.py", "mask.tif", "-o", str(output), "--like", "image.tif"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        module.main()
    expected = (
        f"reproject.py: error: {output}: is an input; give the output another name or folder\n"
    )
    assert (stopped.value.code, capsys.readouterr().err) == (2, expected)
    assert (Path("mask.tif").read_bytes(), Path("image.tif").read_bytes()) == before


def test_a_file_does_not_become_itself(folder):
    with pytest.raises(InputError, match="is an input"):
        reproject_file(folder / "mask.tif", folder / "mask.tif", UTM)


def test_a_full_disk_is_one_line_and_leaves_the_earlier_output(folder, monkeypatch, capsys):
    (folder / "kept.tif").write_bytes(b"earlier")
    words = f"reproject.py {folder}/mask.tif --crs EPSG:3857 --resolution 1 -o {folder}/kept.tif"
    monkeypatch.setattr(sys, "argv", words.split())
    with disks.largest_file(20_000), pytest.raises(SystemExit) as left:
        module.main()
    error = capsys.readouterr().err
    assert left.value.code == 2 and error.count("\n") == 1
    assert error.startswith(f"reproject.py: error: {folder / 'kept.tif'}: ")
    assert (folder / "kept.tif").read_bytes() == b"earlier" and not list(folder.glob(".kept.tif*"))


OPTIONS = {
    "": "give either --like, or --crs and perhaps --resolution",
    "--like image.tif --crs EPSG:3857": "give either --like, or --crs",
    "--like image.tif --resolution 5": "give either --like, or --crs",
    "--like image.tif --vote-weights inverse": "--vote-weights is for --method mode",
    "--like image.tif --method cubic": "argument --method: invalid choice: 'cubic'",
    "--like image.tif --nodata none": "argument --nodata: invalid int value: 'none'",
    "--like image.tif --rotate 90": "unrecognized arguments: --rotate 90",
    "--crs EPSG:3857 --resolution 0": "argument --resolution: 0 must be a number above 0",
    "--crs EPSG:3857 --resolution -10": "argument --resolution: -10 must be a number above 0",
    "--crs EPSG:3857 --resolution ten": "argument --resolution: invalid float value: 'ten'",
    "--like image.tif --method mode --vote-weights 1:2": "argument --vote-weights: 1:2 must be",
    "--like image.tif --method mode --vote-weights 1=a": "argument --vote-weights: 1=a must be",
    "--like image.tif --method mode --vote-weights 1=2,": "argument --vote-weights: 1=2, must be",
    "--like image.tif --method mode --vote-weights 1=2,1=3": "argument --vote-weights: 1=2,1=3",
}


@pytest.mark.parametrize("arguments", OPTIONS)
def test_an_error_of_options_is_one_line(arguments, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = ["reproject.py", "mask.tif", "-o", "made.tif", *arguments.split()]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        module.main()
    out, error = capsys.readouterr()
    assert stopped.value.code == 2 and out == ""
    assert error.startswith(f"reproject.py: error: {OPTIONS[arguments]}"), error
    assert error.endswith("; --help lists the options\n") and error.count("\n") == 1
    assert not Path("made.tif").exists()


def test_the_script_has_the_name_that_others_import():
    assert module.reproject is resample.reproject
