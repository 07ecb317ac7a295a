"""What predict.py leaves behind: layers, pictures, tables, comparison and report, of a network that
was not trained.
"""

import csv
import math
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import small
import torch

import predict
import unet
from data.classes import ClassTable
from data.files import InputError
from data.output import change
from data.output.preview import LINE
from data.raster import cog, geotiff
from unet import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """in/images with three scenes of one place, and a network with dropout whose weights are
    random.
    """
    monkeypatch.chdir(tmp_path)
    _, _, table_path = small.write(tmp_path / "in", count=3, size=40)
    with geotiff.Raster("in/images/s_0.tif") as first:
        for path in (
            path for n in (1, 2) for path in (f"in/images/s_{n}.tif", f"in/masks/m_{n}.tif")
        ):
            with geotiff.Raster(path) as raster:
                pixels, nodata, names = raster.read(), raster.nodata, raster.descriptions
            cog.write(path, pixels, first.grid, nodata=nodata, descriptions=names)
    torch.manual_seed(3)
    table, options = ClassTable.load(table_path), {"base": 4, "dropout": 0.4}
    model = unet.build("unet", len(small.BANDS), 2, **options)
    with (
        geotiff.Raster("in/images/s_0.tif") as raster,
        torch.no_grad(),
    ):  # so that both classes come out
        logits = model.eval()(torch.from_numpy(raster.read() / np.float32(2500))[None])
        difference = logits[:, 1] - logits[:, 0]
        model.outc.conv.weight *= 2 / difference.std()
        model.outc.conv.bias[:] = torch.tensor([2 * difference.median() / difference.std(), 0])
    state = {
        "model": {"name": "unet", "in_channels": 4, "num_classes": 2, "options": options},
        "weights": model.state_dict(),
        "classes": table.records,
        "class_table": table.name,
        "bands": small.BANDS,
        "indices": [],
        "size": 32,
        "scaling": {"method": "minmax", "offset": [0.0] * 4, "scale": [2500.0] * 4},
        "metrics": {
            "confusion": torch.tensor([[80, 20], [10, 90]]),
            "windows": torch.tensor([[[8, 2], [1, 9]]] * 10).int(),
            "scenes": torch.arange(10),
        },
    }
    checkpoint.save(tmp_path / "net.pt", state)
    return tmp_path


def run(*options) -> None:
    predict.main([*map(str, options), "--checkpoint", "net.pt"])


def bands(path) -> tuple[np.ndarray, tuple]:
    with geotiff.Raster(path) as raster:
        pixels = raster.read()
        return np.where(
            pixels == 255, np.nan, pixels / 254
        ) if raster.dtype == np.uint8 else pixels, raster.descriptions


def test_every_file_is_a_valid_cloud_optimised_geotiff(here):
    rio_cogeo, rasterio = pytest.importorskip("rio_cogeo"), pytest.importorskip("rasterio")
    run(
        "in/images/s_0.tif",
        "in/images/s_1.tif",
        "--probabilities",
        "--uncertainty",
        "--overlay",
    )
    found = sorted(Path("in/images").glob("*_landcover*.tif"))
    assert [path.stem for path in found] == [
        "s_0_landcover",
        "s_0_landcover_probabilities",
        "s_0_landcover_uncertainty",
        "s_1_landcover",
        "s_1_landcover_probabilities",
        "s_1_landcover_uncertainty",
    ]
    for path in found:
        assert rio_cogeo.cog_validate(path, strict=True, quiet=True)[0]
        with rasterio.open(path) as written, rasterio.open("in/images/s_0.tif") as image:
            assert written.crs == image.crs and written.shape == image.shape


@pytest.mark.parametrize("kind, step", [("uint8", 0.5 / 254), ("float32", 0)])
def test_the_map_is_the_likeliest_class_of_the_probabilities(here, kind, step):
    run("in/images/s_0.tif", "--probabilities", kind)
    shares, names = bands("in/images/s_0_landcover_probabilities.tif")
    with geotiff.Raster("in/images/s_0_landcover.tif") as raster:
        codes = raster.read()[0]
    assert names == ("land", "water") and np.abs(shares.sum(0) - 1).max() <= 2 * step + 1e-6
    clear = np.abs(shares[0] - shares[1]) > 2 * step
    assert clear.mean() > 0.9 and (codes == np.where(shares[0] > shares[1], 10, 20))[clear].all()


def test_entropy_is_that_of_the_probabilities(here):
    run("in/images/s_0.tif", "--probabilities", "float32", "--uncertainty")
    shares, _ = bands("in/images/s_0_landcover_probabilities.tif")
    doubt, names = bands("in/images/s_0_landcover_uncertainty.tif")
    assert names == ("predictive entropy",)
    expected = -(shares * np.log(shares)).sum(0) / math.log(2)
    assert np.abs(doubt[0] - expected).max() <= 0.5 / 254 + 1e-5


def test_several_opinions_have_mutual_information_and_are_the_same_every_time(here):
    loaded, first = checkpoint.load("net.pt"), None
    loaded["weights"]["outc.conv.bias"] *= 0  # or it would outweigh what dropout leaves
    checkpoint.save("net.pt", loaded)
    for _ in range(2):
        run("in/images/s_0.tif", "--mc-dropout", 4, "--uncertainty")
        doubt, names = bands("in/images/s_0_landcover_uncertainty.tif")
        assert names == ("predictive entropy", "mutual information")
        assert (doubt[1] <= doubt[0] + 0.01).all() and doubt[1].any()
        assert first is None or np.array_equal(first, doubt)
        first = doubt
    run("in/images/s_0.tif", "--tta", "--uncertainty")
    assert not np.array_equal(bands("in/images/s_0_landcover_uncertainty.tif")[0], first)


def test_no_data_is_no_data_in_every_layer(here):
    with geotiff.Raster("in/images/s_0.tif") as raster:
        pixels, grid = raster.read(), raster.grid
    pixels[:, 3:6] = 0
    cog.write("in/holes.tif", pixels, grid, nodata=0, descriptions=small.BANDS)
    run("in/holes.tif", "--probabilities", "--uncertainty", "--mc-dropout", 2, "--overlay")
    for what in "probabilities", "uncertainty":
        layer, _ = bands(f"in/holes_landcover_{what}.tif")
        assert (
            np.isnan(layer[:, 3:6]).all()
            and np.isfinite(np.delete(layer, range(3, 6), axis=1)).all()
        )
    drawn = imagecodecs.png_decode(Path("in/holes_landcover_overlay.png").read_bytes())
    below = drawn[8 + 2 * LINE :, 8:]  # the margin, and a title of two lines; pixels are repeated
    assert not below[8 * 3 : 8 * 6, : 8 * 40].any() and below[8 * 3 - 1, : 8 * 40].any()


def test_areas_are_freed_from_the_errors_of_the_validation(here, capsys):
    run("in/images/s_0.tif")
    with open("in/images/s_0_landcover_areas.csv", newline="") as file:
        land, water = csv.DictReader(file)
    # Of what is mapped as land 80 of 90 is land; of what is mapped as water, 20 of 110 is.
    share = float(land["share"]) * 80 / 90 + float(water["share"]) * 20 / 110
    assert float(land["adjusted_share"]) == pytest.approx(share, abs=1e-3)
    low, high = (float(land[f"adjusted_share_{end}"]) for end in ("low", "high"))
    assert low <= share + 1e-3 and share - 1e-3 <= high  # all windows have the same errors
    assert "adjusted  (95 % interval)" in capsys.readouterr().out


def test_the_areas_of_an_image_unlike_the_validation_are_not_adjusted(here, capsys):
    with geotiff.Raster("in/images/s_0.tif") as raster:
        means = torch.from_numpy(raster.read() / np.float32(2500)).mean((1, 2))
    path = Path("net.pt")
    loaded = checkpoint.load(path)
    like = torch.stack([means - 0.1, means + 0.1] * 5)
    for inputs, adjusted in ((like, True), (like + torch.tensor([0, 0, 0.5, 0]), False)):
        checkpoint.save(path, loaded | {"metrics": {**loaded["metrics"], "inputs": inputs}})
        run("in/images/s_0.tif")
        with open("in/images/s_0_landcover_areas.csv", newline="") as file:
            land, _ = csv.DictReader(file)
        assert bool(land["adjusted_share"]) == bool(land["adjusted_km2_low"]) == adjusted
        assert land["km2"] and (land["not_adjusted"] == "") == adjusted
        text = f"  areas are not adjusted for errors: its mean {small.BANDS[2]}, scaled, is "
        assert (text in capsys.readouterr().out) == (not adjusted)


def test_truth_leaves_a_report(here, capsys):
    run("in/images", "--truth", "in/masks", "--output", "out")
    text = Path("out/report.html").read_text()
    assert (
        text.count("<circle") == 2 * 3 and "Share of water" in text and text.count("<section") == 3
    )
    assert "Images, the worst first" in text
    worst, best = text.split("Best samples")
    assert worst.count("<section") == 2 and best.count("accuracy 0.") == 1
    printed = capsys.readouterr().out
    assert "out/report.html" in printed and "out/scores.csv" in printed
    run("in/images/s_0.tif", "--truth", "in/masks/m_0.tif", "--output", "one")
    page = Path("one/s_0_landcover_report.html").read_text()
    assert "Share of" not in page and "Images, the worst first" not in page


@pytest.mark.parametrize("images", [1, 3])
def test_scores_of_each_image_are_those_of_its_map_and_its_mask(here, images):
    several = images > 1
    given = "in/images" if several else "in/images/s_0.tif"
    run(given, "--truth", "in/masks" if several else "in/masks/m_0.tif", "--output", "out")
    name = "scores.csv" if several else "s_0_landcover_scores.csv"
    with open(f"out/{name}", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"in/images/s_{n}.tif" for n in range(images)]
    for n, row in enumerate(rows):
        codes = []
        for path in f"in/masks/m_{n}.tif", f"out/s_{n}_landcover.tif":
            with geotiff.Raster(path) as raster:
                codes.append(raster.read())
        for name, code in ("land", 10), ("water", 20):
            truth, mapped = (each == code for each in codes)
            both = truth & mapped
            expected = {
                "true_share": truth.mean(),
                "mapped_share": mapped.mean(),
                "share_difference": mapped.mean() - truth.mean(),
                "dice": 2 * both.sum() / (truth.sum() + mapped.sum()),
                "iou": both.sum() / (truth | mapped).sum(),
            }
            found = {key: float(row[f"{key}_{name}"]) for key in expected}
            assert found == pytest.approx(expected, abs=1e-6)
        assert float(row["accuracy"]) == pytest.approx((mapped == truth).mean(), abs=1e-6)


def test_what_was_left_beside_the_images_is_not_mapped_again(here):
    for _ in range(2):
        run("in/images", "--probabilities", "--overlay", "--uncertainty", "--truth", "in/masks")
    change.main(["in/images/s_0_landcover.tif", "in/images/s_1_landcover.tif"])
    before = {path.name for path in Path("in/images").iterdir()}
    run("in/images")
    assert {path.name for path in Path("in/images").iterdir()} == before
    assert not any("landcover_landcover" in name for name in before)


def test_dropout_that_the_network_does_not_have_is_one_line(here):
    loaded = checkpoint.load("net.pt")
    loaded["model"]["options"] = {"base": 4}
    checkpoint.save("net.pt", loaded)
    with pytest.raises(InputError, match="net.pt: --mc-dropout needs a network with dropout"):
        run("in/images/s_0.tif", "--mc-dropout", 3)
