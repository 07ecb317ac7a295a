"""Checkpoints: saving and loading, damaged files, interrupted writing."""

import math
import os
import pickle
import random
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy
import pytest
import torch

import unet
from data.files import version
from unet.checkpoint import CheckpointError, build_model, load, save
from unet.training.checkpoint_format import FORMAT, NEEDED


def example(**more):
    """Make a small but complete checkpoint."""
    torch.manual_seed(0)
    network = unet.build("unet", 2, 3, base=2)
    return {
        "model": {"name": "unet", "in_channels": 2, "num_classes": 3, "options": {"base": 2}},
        "weights": network.state_dict(),
        "classes": [{"code": str(n), "name": f"class {n}", "color": "#00ff00"} for n in range(3)],
        "bands": ["Red", "NIR"],
        "indices": [],
        "scaling": {"method": "minmax", "offset": [0.0, 1.5], "scale": [1.0, 2.0]},
        "size": 64,
        **more,
    }


def assert_same(found, expected):
    """Assert that values and types are equal at all levels."""
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and found.equal(expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


def test_what_is_loaded_is_what_was_saved(tmp_path):
    settings = {"lr": 5e-4, "crop": None, "sizes": (298, 300), "more": {7: True}, "inf": math.inf}
    state = example(settings=settings, best=0.5)
    save(tmp_path / "best.pt", state)
    assert_same(load(str(tmp_path / "best.pt")), {**state, "format": FORMAT, "version": version()})
    assert "format" not in state  # the caller's dict is left as it was


def test_a_network_is_built_without_random_numbers_and_in_float32():
    state = example()
    expected = build_model(state).state_dict()
    state["weights"] = {
        name: value.double() if value.is_floating_point() else value
        for name, value in state["weights"].items()
    }
    before = torch.get_rng_state()
    found = build_model(state)
    assert torch.get_rng_state().equal(before) and not found.training
    for name, value in found.state_dict().items():
        assert value.dtype == expected[name].dtype and value.equal(expected[name])
    assert all(p.requires_grad and not p.is_meta for p in found.parameters())


def test_the_states_that_resuming_needs_are_plain_and_come_back(tmp_path):
    network = build_model(example()).train()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(2, 2, 32, 32)).sum().backward()
    optimizer.step()
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3)
    plateau.step(0.7)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    state = example(
        optimizer=optimizer.state_dict(),
        scheduler={"plateau": plateau.state_dict(), "cosine": cosine.state_dict()},
        random={
            "torch": [torch.get_rng_state()],
            "python": random.getstate(),
            "numpy": numpy.random.default_rng(1).bit_generator.state,
        },
        metrics={"confusion": torch.tensor([[2**40, 1, 0], [0, 3, 0], [0, 0, 0]])},
    )
    save(tmp_path / "last.pt", state)
    loaded = load(tmp_path / "last.pt")
    assert_same(loaded, {**state, "format": FORMAT, "version": version()})
    random.setstate(loaded["random"]["python"])
    optimizer.load_state_dict(loaded["optimizer"])


def test_the_network_built_from_a_checkpoint_gives_the_same_logits(tmp_path):
    state = example()
    state["model"]["options"] = {"base": 2, "dropout": 0.5, "head_dropout": 0.5}
    save(tmp_path / "best.pt", state)
    network, x = build_model(load(tmp_path / "best.pt")), torch.randn(1, 2, 20, 20)
    original = unet.build("unet", 2, 3, base=2)
    original.load_state_dict(state["weights"])
    assert not network.training
    assert network(x).equal(original.eval()(x))


# Values that are not plain.


class Number(int):
    pass


@pytest.mark.parametrize(
    "more, place",
    [
        ({"best": numpy.float64(0.5)}, "best is a numpy.float64"),
        ({"epoch": numpy.int64(3)}, "epoch is a numpy.int64"),
        ({"settings": {"out": Path("runs")}}, r"settings\['out'\] is a pathlib"),
        ({"classes": [{"code": 1}, {"code": Number(2)}]}, r"classes\[1\]\['code'\] is a"),
        ({"scaling": {"low": numpy.zeros(2)}}, r"scaling\['low'\] is a numpy.ndarray"),
        ({"settings": {"bands": {1, 2}}}, r"settings\['bands'\] is a set"),
        ({"random": {"device": torch.device("cpu")}}, r"random\['device'\] is a torch.device"),
        ({"settings": {(1, 2): 3}}, "settings has a key that is a tuple"),
    ],
)
def test_a_value_that_is_not_plain_is_refused_with_its_place(tmp_path, more, place):
    with pytest.raises(TypeError, match=place):
        save(tmp_path / "best.pt", example(**more))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_key_is_refused_when_saving(tmp_path, key):
    state = example()
    del state[key]
    with pytest.raises(KeyError, match=key):
        save(tmp_path / "best.pt", state)
    assert list(tmp_path.iterdir()) == []


# Files that are not whole, or not ours.


def assert_refused(path, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_missing_file_is_a_one_line_error(tmp_path):
    assert_refused(tmp_path / "none.pt", "no such file")


def test_a_file_cut_off_anywhere_is_a_one_line_error(tmp_path):
    save(tmp_path / "best.pt", example())
    whole = (tmp_path / "best.pt").read_bytes()
    source = random.Random(0)
    for length in [
        0,
        1,
        3,
        4,
        30,
        len(whole) - 1,
        *(source.randrange(len(whole)) for _ in range(40)),
    ]:
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        assert_refused(tmp_path / "cut.pt", "cut off" if length not in (1, 3) else "not one of our")


def test_a_flipped_bit_is_refused_or_has_changed_nothing(tmp_path):
    save(tmp_path / "best.pt", example())
    expected, whole = load(tmp_path / "best.pt"), (tmp_path / "best.pt").read_bytes()
    source, refused = random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[source.randrange(len(whole))] ^= 1 << source.randrange(8)
        (tmp_path / "damaged.pt").write_bytes(damaged)
        try:
            found = load(tmp_path / "damaged.pt")
        except CheckpointError:
            refused += 1
        else:
            assert_same(found, expected)
    assert refused > 30


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code-was-run",)


def test_a_strangers_file_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({**example(), "format": FORMAT, "settings": RunsCode()}, "evil.pt")
    assert_refused(Path("evil.pt"), "not plain values, and was not loaded")
    assert not Path("code-was-run").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        ({"conv.weight": torch.zeros(2)}, "weights alone"),
        (OrderedDict(mask_values=[0, 1], weight=torch.zeros(2)), "weights alone"),
        ({"state_dict": {"conv.weight": torch.zeros(2)}}, "not one of our checkpoints"),
        ([1, 2], "not one of our checkpoints"),
        ({"format": "1"}, "not one of our checkpoints"),
        ({"format": FORMAT + 1}, f"newer version .format {FORMAT + 1}"),
        ({"format": FORMAT, **{key: None for key in [*NEEDED][2:]}}, "model, weights missing"),
        (torch.nn.Linear(1, 1), "not plain values"),
    ],
)
def test_a_file_that_is_not_one_of_ours_is_a_one_line_error(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    assert_refused(tmp_path / "other.pt", message)


@pytest.mark.parametrize(
    "content", [b"epoch,loss\n", b"\x89PNG\r\n\x1a\n", pickle.dumps({"format": 1})]
)
def test_a_file_of_another_kind_is_a_one_line_error_without_warnings(tmp_path, content):
    (tmp_path / "other.pt").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_refused(tmp_path / "other.pt", "not one of our checkpoints")


# The file at the target is whole at every moment.


@pytest.mark.parametrize("moment", ["save", "fsync", "replace"])
def test_an_interrupted_save_leaves_the_earlier_file_and_nothing_else(
    tmp_path, monkeypatch, moment
):
    save(tmp_path / "last.pt", example(epoch=1))

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr({"save": torch, "fsync": os, "replace": os}[moment], moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "last.pt", example(epoch=2))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert load(tmp_path / "last.pt")["epoch"] == 1


def test_the_target_is_not_touched_before_the_new_file_is_complete(tmp_path, monkeypatch):
    save(tmp_path / "last.pt", example(epoch=1))
    replace, seen = os.replace, []

    def look_then_replace(source, target):
        seen.append((load(source)["epoch"], load(target)["epoch"]))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look_then_replace)
    save(tmp_path / "last.pt", example(epoch=2))
    assert seen == [(2, 1)] and load(tmp_path / "last.pt")["epoch"] == 2


@pytest.mark.parametrize("room", [0, 5000])
def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_the_earlier_one(
    tmp_path, monkeypatch, room
):
    save(tmp_path / "last.pt", example(epoch=1))
    torch_save = torch.save

    class FullDisk:
        """A file on a disk with room for `room` bytes."""

        def __init__(self, file):
            self.file, self.left = file, room

        def write(self, data):
            self.left -= len(data)
            if self.left < 0:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

    monkeypatch.setattr(torch, "save", lambda state, file: torch_save(state, FullDisk(file)))
    with pytest.raises(OSError, match="No space left on device.*last.pt"):
        save(tmp_path / "last.pt", example(epoch=2))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert load(tmp_path / "last.pt")["epoch"] == 1
