"""The figures of the course draw what they claim: numbers read back from the SVG.

Each figure is drawn again. Those of a trained network are drawn with a small stand-in, and what is
committed must agree with itself.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from figures import make, maps, network, rasters, scores, trained, values, votes
from figures.reading import Drawn, decoded
from figures.svg import Figure, Plot, grey, number, ticks
from pyproj import Geod, Transformer
from test_makefile import command

import train
import unet
from data import bands, resample
from data.classes import ClassTable
from data.files import InputError
from data.output import preview
from data.sample.towns import BANDS
from data.scaling import Scaling
from unet import checkpoint
from unet.evaluation.calibration import BINS

ESM = ClassTable.load("esm")
FIXED = [name for name in make.FIGURES if name not in make.TRAINED]
HALF = 0.006  # of a unit in the SVG: coordinates have two decimals


@pytest.fixture(scope="module")
def town():
    return trained.town(trained.TOWN)


@pytest.fixture(scope="module")
def stand_in(town, tmp_path_factory) -> Path:
    """The checkpoint of a small network that nobody trained, with invented validation windows."""
    torch.manual_seed(0)
    pixels = bands.stack(town.image[:, ::7, ::7].reshape(11, -1), BANDS, list(bands.INDICES))
    options = {"base": 2, "dropout": 0.0}
    model = unet.build("unet", 15, 3, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_().add_(0.05)  # so that no gradient is 0 by chance
        model.outc.conv.weight.copy_(torch.tensor([[0, 0], [1.0, 0], [0, 1]])[..., None, None])
        loaded = {"scaling": Scaling.fit(pixels, "minmax").state(), "indices": list(bands.INDICES)}
        logits = model.eval()(network.inputs(town, loaded))[0]
        model.outc.conv.bias.copy_(-logits.flatten(1).median(dim=1).values)
        model.outc.conv.weight /= 0.2 + logits.flatten(1).std(dim=1)[:, None, None, None]
        model.outc.conv.bias /= 0.2 + logits.flatten(1).std(dim=1)
    windows = torch.randint(1, 50, (12, 3, 3), dtype=torch.int32)
    windows += 400 * torch.eye(3, dtype=torch.int32)
    metrics = {"windows": windows, "scenes": torch.arange(12) // 3, "temperature": 1.0}
    metrics |= {"confusion": windows.sum(0), "inputs": torch.rand(12, 15)}
    path = tmp_path_factory.mktemp("stand_in") / "best.pt"
    described = {"name": "unet", "in_channels": 15, "num_classes": 3, "options": options}
    state = {"model": described, "weights": model.state_dict(), "classes": ESM.records}
    state |= {"class_table": "esm", "bands": list(BANDS), "size": 150, "metrics": metrics}
    checkpoint.save(path, {**state, **loaded})
    return path


@pytest.fixture(scope="module")
def measured(town, stand_in, tmp_path_factory) -> maps.Measured:
    """What is measured with one town and the stand-in, for two epochs."""
    folder = tmp_path_factory.mktemp("measured")
    return maps.measure({30: town}, {1: stand_in, 36: stand_in}, folder)


def drawn(figure: Figure) -> Drawn:
    return Drawn(figure.svg("caption"))


def committed(name: str) -> Drawn:
    return Drawn(make.path_of(name).read_text(encoding="utf-8"))


# The style, and how numbers are read back.


def test_a_value_that_is_drawn_is_read_back():
    figure = Figure(200, "title")
    plot = Plot(figure, "p", (10, 20, 110, 120), ticks([-1, 3]), ticks([0, 50]))
    plot.curve("a", [-1, 0, 2.5], [0, 12.5, 50], "#000000")
    plot.bars("b", [0, 1, 2], [10, 20], "#000000")
    plot.dot("c", 1, 25, "#000000")
    read = drawn(figure)
    np.testing.assert_allclose(read.curve("p", "a"), [[-1, 0, 2.5], [0, 12.5, 50]], atol=1e-9)
    edges, heights = read.bars("p", "b")
    np.testing.assert_allclose(edges, [[0, 1], [1, 2]], atol=1e-9)
    np.testing.assert_allclose(heights, [10, 20], atol=1e-9)
    assert read.dot("p", "c") == (1, 25)
    assert (number(-0.5), number(-0.001), number(3.0), number(12.345)) == (
        "-0.5",
        "0",
        "3",
        "12.35",
    )


# Stations 1 and 2.


def test_the_grids_show_the_mask_and_the_pixel_under_the_dot(town):
    read = drawn(rasters.grids(town))
    np.testing.assert_array_equal(
        read.picture("panel20"), preview.colored(ESM.encode(town.mask), ESM)
    )
    codes = resample.reproject(town.mask, town.mask_grid, town.image_grid, nodata=0)
    np.testing.assert_array_equal(read.picture("panel295"), preview.colored(ESM.encode(codes), ESM))
    row, col = read.number(r"Image, row (\d+)"), read.number(r"Image, .* column (\d+)")
    x, y = read.number(r"Image.* = (\d+),  y"), read.number(r"Image.* = (\d+)$")
    assert (x, y) == town.image_grid.xy(row + 0.5, col + 0.5)
    to_mask = Transformer.from_crs(3857, 3035, always_xy=True)
    there = to_mask.transform(x, y)
    assert read.number(r"point in EPSG:3035:  x = ([\d.]+)") == pytest.approx(there[0], abs=0.051)
    assert read.number(r"point in EPSG:3035: .* y = ([\d.]+)") == pytest.approx(there[1], abs=0.051)
    place = town.mask_grid.rowcol(*there)
    assert read.number(r"mask:  row = ([\d.]+),") == pytest.approx(place[0], abs=0.0051)
    assert read.number(r"mask: .* col = ([\d.]+)\.  So") == pytest.approx(place[1], abs=0.0051)
    label = ESM.encode(town.mask)[int(place[0]), int(place[1])]
    assert read.words[-1].endswith(f"of the class {ESM.names[label]}.")


def test_the_area_of_a_pixel_is_that_of_its_polygon_on_the_ellipsoid(town):
    latitudes, areas = drawn(rasters.pixel_area(town)).curve("area", "ground")
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    to_metres = Transformer.from_crs(4326, 3857, always_xy=True)
    for at in (0, 20, 30):
        _, y = to_metres.transform(0, latitudes[at])
        corners = to_degrees.transform([0, 10, 10, 0], [y - 5, y - 5, y + 5, y + 5])
        area, _ = Geod(ellps="WGS84").polygon_area_perimeter(*corners)
        assert areas[at] == pytest.approx(abs(area), abs=0.02)
    assert latitudes[0] == 0 and latitudes[30] == pytest.approx(60, abs=0.02)


def test_the_votes_that_are_drawn_are_those_that_resample_counts(town):
    read = drawn(votes.target_pixel(town))
    target = votes.coarse_grid(town)
    row, col = votes.contested(town, target)
    # Naively: the target pixel that holds the centre of each source pixel.
    rows, cols = (each.ravel() for each in np.indices(town.mask.shape) + 0.5)
    to_target = Transformer.from_crs(3035, 3857, always_xy=True)
    there = target.rowcol(*to_target.transform(*town.mask_grid.xy(rows, cols)))
    inside = (np.floor(there[0]) == row) & (np.floor(there[1]) == col)
    counts = np.bincount(ESM.encode(town.mask).ravel()[inside], minlength=3)
    assert len(set(counts)) > 1 and counts.min() > 1
    for label, name in enumerate(ESM.names):
        assert len(read.all("circle", class_=f"voter {name}")) == counts[label]
        bar = read.one("rect", data_votes=name)
        assert float(bar.get("width")) == 26 * counts[label]
    assert [int(w.split()[0]) for w in read.words if w.endswith("votes")] == counts.tolist()
    assert read.number(r"(\d+) source pixels") == counts.sum()
    given = town.mask, town.mask_grid, target
    for method in ("mode", "nearest"):
        code = resample.reproject(*given, method, 0)[row, col]
        assert f"{method}:  {ESM.names[ESM.codes.index(code)]}" in read.words
    assert f"mode:  {ESM.names[counts.argmax()]}" in read.words


# Stations 3 to 5.


def test_codes_and_labels_are_those_of_the_mask(town):
    read = drawn(values.classes(town))
    row, col = rasters.busiest(ESM.encode(town.mask), values.CELLS)
    part = town.mask[row : row + values.CELLS, col : col + values.CELLS]
    shown = [[int(words) for words in read.words_in(name)] for name in ("codes", "labels")]
    assert shown[0] == part.ravel().tolist()
    assert shown[1] == [{1: 0, 0: 0, 250: 1, 255: 2}[code] for code in shown[0]]
    pixels = {}
    for code in (0, 1, 250, 255):
        cells = [text.text for text in read.all("text", data_row=str(code))]
        assert cells[1] == ESM.names[int(cells[2])] and int(cells[3]) == ESM.codes[int(cells[2])]
        pixels[code] = int(cells[4].replace(",", ""))
    assert pixels == {code: (town.mask == code).sum() for code in pixels}
    assert sum(pixels.values()) == town.mask.size


def test_histograms_count_all_pixels_and_percentiles_become_0_and_1(town):
    read = drawn(values.scaling(town))
    image = town.image.astype(float)
    red, nir = image[BANDS.index("Red")], image[BANDS.index("NIR")]
    for name, band in {"Red": red, "NIR": nir, "NDVI": (nir - red) / (nir + red)}.items():
        for when in ("before", "after"):
            edges, shares = read.bars(f"{when} {name}", "share")
            assert len(edges) == values.BINS and shares.sum() == pytest.approx(100, abs=0.5)
        ends = np.percentile(band, (1, 99))
        for when, expected in (("before", ends), ("after", [0, 1])):
            lines = [read.all("path", data_mark=f"{name} {p}")[when == "after"] for p in (1, 99)]
            x = [float(re.match(r"M([\d.]+) ", line.get("d"))[1]) for line in lines]
            at, _ = read.values(f"{when} {name}", x, [0, 0])
            span = np.ptp([*expected])
            np.testing.assert_allclose(at, expected, atol=0.02 * span)
        scaled = ((band - ends[0]) / (ends[1] - ends[0])).clip(-0.5, 1.5)
        naive = np.histogram(scaled, np.linspace(-0.5, 1.5, values.BINS + 1))[0] / band.size
        np.testing.assert_allclose(shares / 100, naive, atol=0.002)
    ndvi = ((nir - red) / (nir + red))[values.CROP, values.CROP]
    picture = read.picture("ndvi").astype(int)
    assert picture.shape == (*ndvi.shape, 3)
    # Green is where red is low, and dense vegetation is the greenest.
    assert ndvi[picture[..., 0] == picture[..., 0].min()].min() > 0.7


def test_the_weights_of_the_windows_sum_to_one_at_every_pixel():
    read = drawn(values.blending())
    length, size, _ = values.SCENE
    pixel, total = read.curve("weights", "sum")
    np.testing.assert_allclose(pixel, np.arange(length) + 0.5, atol=0.01)
    np.testing.assert_allclose(total, 1, atol=1e-3)
    summed, starts = np.zeros(length), []
    for n in range(3):
        x, weights = read.curve("weights", f"window {n}")
        places = np.floor(x + 1e-6).astype(int)
        inside = (places >= 0) & (places < length)
        summed[places[inside]] += weights[inside]
        np.testing.assert_allclose(weights[~inside], 0, atol=1e-6)
        assert len(x) == size
        starts.append(places[0])
    np.testing.assert_allclose(summed, 1, atol=1e-3)
    assert [
        int(rect.get("data-window")) for rect in read.all("rect") if rect.get("data-window")
    ] == (starts)


# Station 6.


def test_feature_maps_are_those_of_the_blocks(town, stand_in):
    loaded = checkpoint.load(stand_in)
    read = drawn(network.unet(town, loaded))
    model, x = checkpoint.build_model(loaded), network.inputs(town, loaded)
    with torch.no_grad():  # the forward pass, written out
        found = {"inc": model.inc(x)}
        for name, before in zip(network.ENCODER[1:], network.ENCODER):
            found[name] = getattr(model, name)(found[before])
        below = found["down4"]
        for name, skip in zip(("up1", "up2", "up3", "up4"), ("down3", "down2", "down1", "inc")):
            below = found[name] = getattr(model, name)(below, found[skip])
        labels = model.outc(below)[0].argmax(0).numpy().astype(np.uint8)
    row, col, side = network.CROP
    expected = preview.colored(labels[row : row + side, col : col + side], ESM)
    np.testing.assert_array_equal(read.picture("map"), expected)
    assert len(np.unique(labels)) > 1
    pictures = [image.get("data-name") for image in read.all("image") if image.get("data-name")]
    for name, block in found.items():
        channels, height = block.shape[1], block.shape[-1]
        factor = network.SIDE // height
        shown = [decoded(read.one("image", data_name=n)) for n in pictures if f"{name}:" in n]
        cut = (
            slice(row // factor, (row + side) // factor),
            slice(col // factor, (col + side) // factor),
        )
        drawable = [grey(channel[cut].numpy()) for channel in block[0]]
        assert shown and all(any(np.array_equal(s, d) for d in drawable) for s in shown)
        assert any(words.startswith(f"{name}: {channels} × ") for words in read.words)


def test_the_gradients_reach_as_far_as_the_formula_says(town, stand_in):
    loaded = checkpoint.load(stand_in)
    read = drawn(network.receptive_field(town, loaded))
    model = checkpoint.build_model(loaded)
    for name in ("formula", "measured"):
        words = read.one("text", data_distance=name).text
        assert f": {model.receptive_radius} pixels" in words
        for box in read.all("rect", data_box=name):
            pixels = float(box.get("width")) * network.SIDE / 250
            assert pixels == pytest.approx(2 * model.receptive_radius + 1, abs=0.02)
    distance, share = read.curve("share", "within")
    assert (np.diff(share) >= -1e-9).all()
    assert share[distance.round() == model.receptive_radius] == pytest.approx(1, abs=1e-6)


# Stations 7 and 8.


def test_the_losses_at_a_half_and_their_slopes():
    read = drawn(scores.curves())
    expected = {"cross_entropy": np.log(2), "focal": np.log(2) / 4, "dice": 0.5}
    # By hand, for one of two pixels: (1 - p) / 2, p (1 - p) / 2, and for the focal loss
    # p (1 - p) (2 (1 - p) (-log p) + (1 - p)^2 / p) / 2.
    slopes = {"cross_entropy": 1 / 4, "dice": 1 / 8, "focal": (np.log(2) + 1 / 2) / 8}
    for name, value in expected.items():
        p, loss = read.curve("equal loss", name)
        half = abs(p - 0.5).argmin()
        assert p[half] == pytest.approx(0.5, abs=1e-4) and loss[half] == pytest.approx(
            value, abs=1e-3
        )
        p, pull = read.curve("equal slope", name)
        assert pull[p.round(2) == 0.5] == pytest.approx(slopes[name], abs=1e-3)
        for plot in ("rare", "equal"):
            x, y = read.curve(f"{plot} loss", name)
            x, y = x[abs(x - 0.6) < 0.3], y[abs(x - 0.6) < 0.3]
            parts = 2 if plot == "equal" else 1  # both pixels change with p, and one pulls
            # d loss / d logit = d loss / d p * p (1 - p)
            by_p = -np.gradient(y, x) * x * (1 - x) / parts
            _, drawn_pull = read.curve(f"{plot} slope", name)
            drawn_pull = drawn_pull[np.searchsorted(p, x - 1e-4)]
            np.testing.assert_allclose(drawn_pull[3:-3], by_p[3:-3], atol=6e-3)
    # For the rare class only Dice pulls.
    pulls = {name: read.curve("rare slope", name)[1].max() for name in expected}
    assert pulls["dice"] > 8 * max(pulls["cross_entropy"], pulls["focal"])


def check_metrics(read: Drawn) -> None:
    """Compute all metrics of a figure from the matrix that it shows."""
    cells = [float(words.replace(",", "")) for words in read.words_in("matrix")]
    matrix = np.array(cells).reshape(3, 3)
    right, truth, mapped = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    expected = {
        "recall": right / truth,
        "precision": right / mapped,
        "IoU": right / (truth + mapped - right),
        "Dice": 2 * right / (truth + mapped),
    }
    for metric, of_classes in expected.items():
        text = read.one("text", data_metric=metric).text
        assert text == f"{metric} = {of_classes[2]:.3f}"
        for name, value in zip(ESM.names, of_classes):
            _, (height,) = read.bars("metrics", f"{metric} {name}")
            assert height == pytest.approx(value, abs=1e-3)
    words = " ".join(read.words)
    assert f"macro Dice {expected['Dice'].mean():.3f}" in words
    assert f"weighted Dice {(expected['Dice'] * truth).sum() / truth.sum():.3f}" in words
    assert f"mean IoU {expected['IoU'].mean():.3f}" in words
    sums = {f"{int(each):,}" for each in (*truth, *mapped)}
    assert sums <= set(read.words)


def test_the_bars_are_the_metrics_of_the_matrix():
    random = np.random.default_rng(0)
    for _ in range(5):
        matrix = torch.from_numpy(random.integers(1, 99999, (3, 3)))
        read = drawn(scores.taken_apart(matrix, "source"))
        check_metrics(read)
        assert read.words_in("matrix") == [f"{cell:,}" for cell in matrix.flatten().tolist()]


# Stations 9 and 10.


def test_what_is_measured_is_what_the_maps_show(town, measured):
    truth, mapped = rasters.on_image(town), measured.maps[36]
    assert mapped.shape == truth.shape and len(np.unique(mapped)) > 1
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (truth[mapped < 255], mapped[mapped < 255]), 1)
    np.testing.assert_array_equal(measured.confusion, counts)
    np.testing.assert_array_equal(measured.matrices[1], counts)
    assert measured.bins[0].sum() == counts.sum()
    assert measured.bins[2].sum() == counts.trace()
    for label, row in enumerate(measured.areas):
        assert (row.town, row.label) == (30, label)
        assert row.truth == counts[label].sum() / counts.sum()
        assert row.mapped == pytest.approx(counts[:, label].sum() / counts.sum(), abs=1e-5)


def check_scores(read: Drawn, epochs) -> None:
    for epoch in epochs:
        words = read.one("text", data_score=f"after epoch {epoch}").text
        found = re.fullmatch(r"macro Dice (0\.\d{3}), accuracy (0\.\d{3})", words)
        assert found and all(0 < float(value) < 1 for value in found.groups())
        shape = read.picture(f"after epoch {epoch}").shape
        assert shape == read.picture("truth").shape


def test_the_maps_of_the_epochs(town, measured):
    read = drawn(maps.epochs(town, measured))
    check_scores(read, (1, 36))
    part = (maps.CROP, maps.CROP)
    expected = preview.colored(measured.maps[1][part], ESM)
    np.testing.assert_array_equal(read.picture("after epoch 1"), expected)
    expected = preview.colored(rasters.on_image(town)[part], ESM)
    np.testing.assert_array_equal(read.picture("truth"), expected)
    matrix = measured.confusion.double().numpy()
    dice = 2 * matrix.diagonal() / (matrix.sum(0) + matrix.sum(1))
    words = f"macro Dice {np.nanmean(dice):.3f}, accuracy {matrix.trace() / matrix.sum():.3f}"
    assert read.one("text", data_score="after epoch 36").text == words


def test_the_reliability_diagram(measured):
    bins = torch.zeros(3, BINS, dtype=torch.float64)
    bins[:, 7] = torch.tensor([100, 50.0, 40])
    bins[:, 14] = torch.tensor([300, 294.0, 297])
    read = drawn(maps.diagram(measured._replace(bins=bins), 8))
    confidence, accuracy = read.curve("reliability", "line")
    np.testing.assert_allclose(confidence, [0.5, 0.98], atol=1e-3)
    np.testing.assert_allclose(accuracy, [0.4, 0.99], atol=1e-3)
    _, shares = read.bars("reliability", "pixels")
    np.testing.assert_allclose(shares[[7, 14]], [0.25, 0.75], atol=1e-3)
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    assert read.number(r"error: ([\d.]+) %") == pytest.approx(100 * (10 + 3) / 400, abs=0.006)


def check_intervals(read: Drawn, towns: int) -> None:
    """Count the intervals that hold the truth, from where they are drawn."""
    intervals = [rect for rect in read.all("rect") if rect.get("data-interval")]
    inside = 0
    for rect in intervals:
        truth = read.one("circle", data_truth=rect.get("data-interval"))
        left, wide = float(rect.get("x")), float(rect.get("width"))
        inside += left - HALF <= float(truth.get("cx")) <= left + wide + HALF
    assert len(intervals) <= 2 * towns
    words = f"{inside} of {len(intervals)} intervals hold the truth"
    assert read.one("text", data_held="held").text == words


def test_the_intervals_of_the_areas(measured):
    rows = [
        maps.Areas(24, 1, 0.04, 0.06, 0.05, 0.03, 0.07),
        maps.Areas(24, 2, 0.2, 0.14, 0.15, 0.1, 0.19),
        maps.Areas(25, 1, 0.03, 0.02, np.nan, np.nan, np.nan),
        maps.Areas(25, 2, 0.1, 0.1, 0.1, 0.05, 0.15),
    ]
    read = drawn(maps.intervals(measured._replace(areas=rows)))
    check_intervals(read, 2)
    assert read.one("text", data_held="held").text == "2 of 3 intervals hold the truth"
    rect = read.one("rect", data_interval="residential 24")
    ends = float(rect.get("x")) + np.array([0, float(rect.get("width"))])
    np.testing.assert_allclose(read.values("residential", ends, [0, 0])[0], [0.1, 0.19], atol=1e-4)


# The training.


def test_the_recipe_is_that_of_make_train():
    assert command("train")[1:] == ["train.py", *sorted_like_make(trained.RECIPE)]


def sorted_like_make(recipe: list[str]) -> list[str]:
    """Put --epochs first, as the Makefile does."""
    at = recipe.index("--epochs")
    return recipe[at : at + 2] + recipe[:at] + recipe[at + 2 :]


def test_the_checkpoints_of_some_epochs_are_kept(tmp_path):
    images, masks, table = small.write(tmp_path / "in", count=1, size=32)
    words = f"--images {images} --masks {masks} --classes {table} --base 2 --epochs 3"
    words += " --overfit 1 --batch 1"
    before = train.Run
    trained.run(tmp_path / "run", (1, 3), words.split())
    assert train.Run is before
    kept = sorted(tmp_path.glob("run/epoch_*"))
    assert [path.name for path in kept] == ["epoch_01.pt", "epoch_03.pt"]
    assert [checkpoint.load(path)["epoch"] for path in kept] == [1, 3]


def test_a_folder_without_checkpoints_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="has no epoch_01.pt, .*remove it or name another"):
        trained.checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_network_is_trained_if_the_checkpoints_are_there(tmp_path, monkeypatch):
    for epoch in trained.EPOCHS:
        (tmp_path / trained.file_of(epoch)).touch()
    monkeypatch.setattr(trained, "run", lambda *given: pytest.fail("trained again"))
    assert list(trained.checkpoints(tmp_path)) == list(trained.EPOCHS)


# What is committed.


@pytest.mark.parametrize("name", make.FIGURES)
def test_the_committed_file_is_small_and_loads_nothing(name):
    path = make.path_of(name)
    read, text = committed(name), path.read_text(encoding="utf-8")
    assert len(text) < 60_000
    assert read.one("desc").text == make.FIGURES[name].caption
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    width, height = float(read.root.get("width")), float(read.root.get("height"))
    for words in read.all("text"):
        assert 0 <= float(words.get("x")) <= width and 0 < float(words.get("y")) < height - 4


def test_nothing_else_is_committed_and_all_together_is_small():
    files = sorted(make.PICTURES.iterdir())
    assert files == sorted(make.path_of(name) for name in make.FIGURES)
    assert sum(path.stat().st_size for path in files) < 600_000


@pytest.mark.parametrize("name", FIXED)
def test_the_committed_file_is_what_the_code_draws(name, town):
    have = make.Materials(Path("no such folder"))
    have.__dict__["town"] = town
    there, here = committed(name).root, Drawn(make.text_of(name, have)).root
    for one, other in zip(there.iter(), here.iter(), strict=True):
        assert one.tag == other.tag and one.attrib.keys() == other.attrib.keys()
        same_numbers(one.text or "", other.text or "")
        for key in one.attrib.keys() - {"href"}:
            same_numbers(one.get(key), other.get(key))
        if "href" in one.attrib:
            difference = decoded(one).astype(int) - decoded(other)
            assert np.percentile(abs(difference), 99) <= 4


def same_numbers(one: str, other: str) -> None:
    """Compare texts: words must be equal, and numbers nearly so, as another processor rounds."""
    pattern = r"\d+\.\d+|\d+"
    assert re.sub(pattern, "0", one) == re.sub(pattern, "0", other)
    pairs = zip(re.findall(pattern, one), re.findall(pattern, other))
    assert all(abs(float(a) - float(b)) <= 0.05 + 1e-6 * float(a) for a, b in pairs)


def test_the_committed_figures_of_the_trained_network_agree_with_themselves():
    check_metrics(committed("metrics"))
    check_scores(committed("epochs"), trained.EPOCHS)
    check_intervals(committed("areas"), len(trained.UNSEEN))
    field = committed("receptive_field")
    told = [field.one("text", data_distance=name).text for name in ("formula", "measured")]
    numbers = [int(re.search(r": (\d+) ", words)[1]) for words in told]
    assert numbers[1] <= numbers[0] == unet.build("unet", 15, 3, base=16).receptive_radius
    blocks = {image.get("data-name") for image in committed("unet").all("image")} - {None}
    named = {name.split(":")[0] for name in blocks}
    assert named == {"map", *network.ENCODER, *network.DECODER}
    confidence, _ = committed("reliability").curve("reliability", "line")
    assert (np.diff(confidence) > 0).all() and confidence[0] >= 1 / 3 - 0.01
    cells = committed("metrics").words_in("matrix")
    pixels = sum(int(words.replace(",", "")) for words in cells)
    assert committed("reliability").number(r"([\d,]+) pixels of 8 towns") == pixels


def test_the_page_shows_every_figure():
    assert make.PAGE.read_text(encoding="utf-8") == make.page()
    for name in make.FIGURES:
        assert f"]({make.path_of(name).relative_to(make.PAGE.parent)})" in make.page()


def test_a_figure_is_made_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make, "ROOT", tmp_path)
    monkeypatch.setattr(make, "PICTURES", tmp_path)
    monkeypatch.setattr(make, "PAGE", tmp_path / "README.md")
    make.main(["tiling"])
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["05_tiling.svg", "README.md"]
    assert "05_tiling.svg  " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        make.main(["nothing"])
