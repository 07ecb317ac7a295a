"""tests/bench/compare.py: folds share no ground, a change keeps labels right, seeds are pooled."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu import exact, needs_gpu
from small import UTM31, scene, write

import unet
from data.files import IGNORE
from unet.unet import DoubleConv, UNet

sys.path.append(str(Path(__file__).with_name("bench")))

import changes  # noqa: E402
import compare  # noqa: E402
import compare_gpu  # noqa: E402
import folds  # noqa: E402


def at(east: float):
    """Make a scene of 20 x 20 pixels, `east` pixels to the east of others."""
    return scene(20, 20, crs=UTM31, transform=(10, 0, 4e5 + 10 * east, 0, -10, 4.6e6))


def test_scenes_that_overlap_or_have_one_place_share_ground_also_through_a_chain():
    scenes = [at(0), at(15), at(30), at(100), at(200)]
    ground = folds.grounds(scenes, ["a", "b", "c", "d", "e"])
    assert ground[0] == ground[1] == ground[2] and len(set(ground)) == 3
    ground = folds.grounds(scenes, ["a", "b", "c", "d", "a"])
    assert ground[0] == ground[4] and len(set(ground)) == 2


def test_the_largest_ground_goes_to_the_smallest_fold():
    ground = [7] * 5 + [1, 2, 3, 4, 5, 6]
    fold_of = folds.deal(ground)
    assert len(set(fold_of[:5])) == 1
    assert sorted(map(fold_of.count, range(3))) == [3, 3, 5]
    assert fold_of == folds.deal(ground)


def line(fold: int, seed: int, matrix: list, row: str = "unet") -> dict:
    """Make a line of the results with two classes, without doubt about any pixel."""
    pixels, right = np.sum(matrix), np.trace(matrix)
    bins = np.zeros((3, 15))
    bins[:, -1] = pixels, pixels, right
    figures = {"parameters": 2e6, "steps": 10, "seconds": 180, "peak_mb": 500}
    figures["confusion"] = matrix
    key = {"set": "hls", "minutes": 3, "row": row, "settings": "", "every": 1}
    return key | {"fold": fold, "seed": seed} | figures | {"bins": bins.tolist()}


def test_folds_of_a_seed_are_added_and_seeds_are_averaged():
    lines = [
        line(0, 0, [[8, 2], [0, 0]]),
        line(1, 0, [[0, 0], [2, 8]]),
        line(0, 1, [[10, 0], [0, 0]]),
        line(1, 1, [[0, 0], [0, 10]]),
        line(0, 2, [[0, 10], [0, 0]]),  # a seed whose folds are not complete
    ]
    *_, row = compare.table(lines)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["hls", "3", "unet"]
    assert cells[3] == cells[5] == "0.900 (0.800 to 1.000)"
    assert cells[4] == "0.833 (0.667 to 1.000)"
    assert cells[6] == "0.100 (0.000 to 0.200)"  # all probabilities are 1
    assert cells[7:] == ["2.0", "10", "180", "500", "2 x 2"]
    other = lines[0] | {"settings": "--base 8"}
    fewer = lines[0] | {"every": 4}
    rows = [row.split("|")[3].strip() for row in compare.table([*lines, other, fewer])[2:]]
    assert rows == ["unet", "unet --base 8", "unet, 1/4 of the images"]


def data(folder: Path) -> Path:
    """Write small scenes as the set hls, of four places."""
    _, _, table = write(folder / "hls-worldcover", 4)
    table.rename(folder / "worldcover.csv")
    rows = "".join(f"s_{number},{number}\n" for number in range(4))
    (folder / "hls-worldcover/places.csv").write_text(f"tile,place\n{rows}")
    return folder


def given(folder: Path) -> argparse.Namespace:
    """Return options of compare.py."""
    return argparse.Namespace(data=data(folder), results=folder / "runs/results.jsonl")


KEY = {"set": "hls", "fold": 0, "seed": 0, "every": 1, "settings": "--base 2 --size 16"}


@pytest.mark.parametrize("row", ["default", "unet", "copy-rare", "ema", "turns", "drop-path"])
def test_a_row_trains_for_its_time_and_measures_each_pixel_of_its_fold_once(tmp_path, row):
    key = KEY | {"row": row, "minutes": 0.01}
    found = compare.train_once(key, given(tmp_path))
    scenes = found["windows"] / 9  # 9 windows of 16 x 16 in a scene of 48 x 48
    assert np.sum(found["confusion"]) == (4 - scenes) * 48 * 48 == np.sum(found["bins"][0])
    assert found["steps"] >= 1 and found["seconds"] >= 0.6
    assert json.loads(json.dumps(found)) == found


def test_options_of_a_training_do_not_reach_the_next_one(tmp_path):
    where = given(tmp_path)
    first, second = (
        compare.parse(KEY | {"row": row, "settings": settings}, where)
        for row, settings in (("dropout", "--batch 48"), ("unet", ""))
    )
    assert (first.dropout, first.batch) == (0.1, 48)
    assert (second.dropout, second.batch) == (0.0, None)  # loading sets it


def test_fewer_images_train_and_the_same_ones_measure(tmp_path):
    where = given(tmp_path)
    all_of_them, half = (
        compare.load(compare.parse(KEY | {"row": "unet", "every": every}, where), where)
        for every in (1, 2)
    )

    def measured(data) -> list[str]:
        return [data.validation.scene_of(n).paths[0].name for n in range(len(data.validation))]

    assert measured(half) == measured(all_of_them)
    assert len(half.training) == -(-len(all_of_them.training) // 9 // 2) * 9


def test_options_of_a_training_on_a_gpu_do_not_reach_the_next_one(tmp_path, monkeypatch):
    found = []

    class Training:
        stream = None

        def __init__(self, key, ready, bank, device):
            args = ready.args
            found.append((args.model, args.batch, args.weight_decay, len(ready.data.training)))

        def go_on(self) -> bool:
            return False

        def line(self, validation) -> dict:
            return KEY | {"row": "", "steps": 0}

    monkeypatch.setattr(compare_gpu, "Training", Training)
    where = given(tmp_path)
    where.results.parent.mkdir()
    where.device, where.streams = "cpu", 4
    keys = [("unet", "--batch 24 --weight-decay 0.05", 1), ("unet", "", 1), ("unet", "", 2)]
    keys += [("default", "", 1), ("unet-3", "", 1)]
    made = [KEY | {"row": row, "settings": words, "every": every} for row, words, every in keys]
    compare_gpu.work(made, where)
    small, large = ("unet-3", 48, 0.05), ("unet", 12, 1e-4)
    assert [one[:3] for one in found] == [("unet", 24, 0.05), large, large, small, small]
    assert found[2][3] < found[1][3] == found[0][3]


def test_maps_are_measured_in_windows_of_predict_py(tmp_path):
    where = given(tmp_path)
    data = compare.load(compare.parse(KEY | {"row": "unet"}, where), where)
    assert (data.training.size, data.validation.size) == (16, 48)  # the whole image
    assert len({item.scene for item in data.validation.items}) == len(data.validation)


def test_the_steps_of_a_gpu_are_those_of_a_processor(tmp_path):
    def line(name: str, row: str, steps: int, settings: str = "") -> dict:
        key = {"set": name, "row": row, "settings": settings, "fold": 0, "seed": 0}
        return key | {"steps": steps, "seconds": 30}

    def steps(name: str, row: str, settings: str = "") -> int:
        key = {"set": name, "row": row, "settings": settings, "minutes": 3}
        return compare_gpu.steps_of(key, rates)

    rates = [line("hls", "unet", 60), line("india", "unet", 30), line("hls", "residual", 20)]
    rates += [line("hls", "unet", 90, "--size 32")]
    assert steps("hls", "unet") == steps("hls", "dropout") == 360
    assert steps("hls", "jitter", "--size 32") == 540 and steps("india", "dropout") == 180
    assert steps("india", "residual") == 60
    with pytest.raises(SystemExit, match="no rate of"):
        steps("hls", "group-norm")


def test_a_gpu_trains_the_networks_of_compare_py(tmp_path, capsys):
    where = given(tmp_path)
    where.results.parent.mkdir()
    where.device, where.streams = "cpu", 2
    keys = [KEY | {"row": row, "minutes": 3, "steps": 3} for row in ("unet", "dropout", "cutmix")]
    compare_gpu.work(keys, where)
    found = compare.read(where.results)
    assert [line["row"] for line in found] == ["unet", "dropout", "cutmix"]
    assert {line["parameters"] for line in found} == {found[0]["parameters"]}
    assert {np.sum(line["confusion"]) for line in found} <= {48 * 48, 2 * 48 * 48, 3 * 48 * 48}
    assert capsys.readouterr().out.count(" 3\n") == 3


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_windows_are_turned_with_their_labels(tmp_path, device):
    where = given(tmp_path)
    windows = compare.load(compare.parse(KEY | {"row": "unet"}, where), where).training
    bank = compare_gpu.Bank(windows, torch.device(device), torch.float32)
    numbers = torch.arange(8, device=device)
    images, targets = bank.batch(torch.ones_like(numbers), numbers)
    image, target, _ = windows.only([1])[0]
    turned = [(image.rot90(k, (1, 2)), target.rot90(k)) for k in range(4)]
    turned += [(image.flip(2).rot90(k, (1, 2)), target.flip(1).rot90(k)) for k in range(4)]
    for number, (pixels, labels) in enumerate(turned):
        assert torch.equal(images[number].cpu(), pixels)
        assert torch.equal(targets[number].cpu(), labels)


@needs_gpu
def test_a_graph_repeats_the_step(tmp_path):
    where = given(tmp_path)
    key = KEY | {
        "row": "unet",
        "minutes": 3,
        "steps": 4,
        "settings": "--base 2 --size 16 --batch 4",
    }
    args = compare.parse(key, where)
    data = compare.load(args, where)
    still = changes.Change(build=lambda model: model.apply(lambda part: setattr(part, "p", 0.0)))
    ready = compare.prepare("unet", args, data)._replace(usual=True, change=still)
    found = []
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        bank = compare_gpu.Bank(data.training, device, torch.float32)
        with exact():
            training = compare_gpu.Training(key, ready, bank, device)
            assert not training.go_on()
        found.append([p.detach().cpu() for p in training.model.parameters()])
    assert max((a - b).abs().max() for a, b in zip(*found)) < 0.02


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Make four windows whose pixels tell their label and the window that they come from."""
    targets = torch.randint(0, 3, (4, 8, 8), generator=torch.Generator().manual_seed(0))
    targets[targets == 2] = torch.where(torch.rand((targets == 2).sum()) < 0.2, 2, 1)
    window = torch.arange(4).view(4, 1, 1).expand_as(targets)
    return torch.stack([targets, window], 1).float(), targets.to(torch.uint8)


@pytest.mark.parametrize("change", [changes.cutmix, changes.copy_rare])
def test_pasted_pixels_bring_their_labels(change):
    images, targets = batch()
    torch.manual_seed(1)
    mixed, labels = change(images, targets)
    assert (mixed[:, 0] == labels).all()
    assert (mixed[:, 1] != images[:, 1]).any()


def test_the_rim_is_the_pixels_beside_another_label():
    targets = torch.tensor([[[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]], dtype=torch.uint8)
    _, left = changes.ignore_rim(torch.zeros(1, 1, 3, 4), targets)
    expected = [[0, 0, IGNORE, IGNORE], [0, 0, 0, IGNORE], [0, 0, 0, 0]]
    assert left.tolist() == [expected]


def test_rates_begin_low_where_they_warm_up_and_end_at_0():
    assert changes.cosine(0) == 1 and changes.cosine(1) == 0
    assert changes.warm_up(0) == 0 and changes.warm_up(0.1) == 1
    assert changes.one_cycle(0) == pytest.approx(0.04) and changes.one_cycle(0.3) == 1
    assert changes.one_cycle(1) == changes.warm_up(1) == 0


def test_a_residual_block_adds_its_input():
    model = changes.CHANGES["residual"].build(UNet(3, 2, base=2))
    assert not any(isinstance(module, DoubleConv) for module in model.modules())
    block = model.inc.eval()
    block.body[4].weight.data.zero_()  # the last normalisation
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(block(x), torch.relu(block.skip(x)))
    assert model.eval()(torch.rand(1, 3, 16, 16)).shape == (1, 2, 16, 16)


def test_mixed_styles_keep_the_pattern_and_change_mean_and_deviation():
    torch.manual_seed(0)
    layer = changes.MixStyle(torch.nn.Identity())
    x = torch.rand(6, 3, 8, 8) * torch.arange(1, 7).view(6, 1, 1, 1)
    assert layer.eval()(x) is x
    found = next(y for y in (layer.train()(x) for _ in range(20)) if y is not x)
    assert not torch.allclose(found.mean((2, 3)), x.mean((2, 3)))
    for before, after in zip(torch.std_mean(x, (2, 3)), torch.std_mean(found, (2, 3))):
        assert (after > before.amin(0) - 1e-3).all() and (after < before.amax(0) + 1e-3).all()

    def pattern(values):
        deviation, mean = torch.std_mean(values, (2, 3), keepdim=True)
        return (values - mean) / deviation

    assert torch.allclose(pattern(found), pattern(x), atol=1e-4)


@pytest.mark.parametrize("name", ["two-levels", "half", "mix-style"])
def test_a_changed_network_gives_logits_of_each_pixel_and_learns(name):
    model = changes.CHANGES[name].build(UNet(3, 2, base=2))
    logits = model(torch.rand(2, 3, 37, 34))
    assert logits.shape == (2, 2, 37, 34)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_half_of_the_resolution_sees_the_mean_of_four_pixels():
    seen = []
    model = changes.Half(torch.nn.Identity())
    model.net.register_forward_hook(lambda module, args, out: seen.append(out))
    x = torch.rand(1, 3, 8, 8)
    assert model(x).shape == x.shape
    assert torch.allclose(seen[0][0, 0, 0, 0], x[0, 0, :2, :2].mean())


def test_rates_of_stochastic_depth_are_multiplied():
    model = unet.build("segformer-b0", 3, 2)
    before = [m.p for name, m in model.named_modules() if name.endswith("drop_path")]
    assert max(before) == pytest.approx(0.1)
    changes.CHANGES["drop-path-0.3"].build(model)
    after = [m.p for name, m in model.named_modules() if name.endswith("drop_path")]
    assert after == pytest.approx([3 * rate for rate in before])


def test_turns_give_the_probabilities_of_a_turned_image():
    change, model = changes.Change(turns=True), UNet(3, 2, base=2).eval()
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        found, turned = (
            change.probabilities(model, x),
            change.probabilities(model, x.rot90(1, (2, 3))),
        )
    assert torch.allclose(found.rot90(1, (2, 3)), turned, atol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(2, 16, 16))
