"""The format of a checkpoint, unet/training/checkpoint_format.py: which values are refused."""

import copy
import math
import zipfile

import pytest
import torch

import unet
from unet.checkpoint import CheckpointError, build_model, load
from unet.training import checkpoint_format
from unet.training.checkpoint_format import COLUMNS, FORMAT, NEEDED, RECORD, RESUME, check
from unet.training.optimizer import SCHEDULES, end_epoch


def whole_checkpoint() -> dict:
    """A checkpoint of one epoch, with every key."""
    torch.manual_seed(0)
    network = unet.build("unet", 3, 2, base=2)
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    scheduler = SCHEDULES["plateau"](optimizer, 3, "macro_dice")
    network(torch.randn(2, 3, 16, 16)).square().mean().backward()
    optimizer.step()
    end_epoch(scheduler, 0.5)
    rows = [("1", "land", ""), ("3", "land", ""), ("2", "water", ""), ("0", "none", "true")]
    background = {"land": "true", "water": "", "none": ""}
    return {
        "format": FORMAT,
        "model": {"name": "unet", "in_channels": 3, "num_classes": 2, "options": {"base": 2}},
        "weights": network.state_dict(),
        "classes": [
            {"code": code, "name": name, "color": "#C8B478", "ignore": ignore}
            | {"background": background[name]}
            for code, name, ignore in rows
        ],
        "bands": ["Red", "NIR"],
        "indices": ["NDVI"],
        "scaling": {"method": "minmax", "offset": [0.0, 1.5, -1], "scale": [1.0, 2.0, 2]},
        "size": 64,
        "class_table": "lakes",
        "version": "1.0",
        "nodata": math.nan,
        "content": "0123456789abcdef",
        "resolution": 10.0,
        "dates": 2,
        "split": {
            "images": ["a.tif", "b.png"],
            "pixels": ["0123", "4567"],
            "crs": ["EPSG:32631"],
            "places": torch.tensor([[0, 0, 64, 70], [-1, 1, 9, 8]], dtype=torch.int32),
            "transforms": torch.tensor([[10.0, 0, 4e5, 0, -10, 5e6], [1, 0, 0, 0, 1, 0]]).double(),
            "windows": torch.tensor([[0, 0, 6, 64, 64, 0], [1, 0, 0, 9, 8, 2]]).int(),
        },
        "metrics": {
            "confusion": torch.tensor([[2**31, 1], [0, 3]]),
            "windows": torch.tensor([[[2**30, 1], [0, 0]], [[2**30, 0], [0, 3]]]).int(),
            "scenes": torch.tensor([0, 0]),
            "inputs": torch.tensor([[0.5, 0.25, 0], [0.25, 0.5, 1]]),
            "temperature": 1.5,
        },
        "settings": {
            "lr": 0.01,
            "bands": None,
            "images": ["a.tif"],
            "crop": (1, 2),
            "monitor": "loss",
        },
        "epoch": 1,
        "position": {"batch": 0, "windows": 0, "loss": 0.0},
        "best": -math.inf,
        "best_epoch": 1,
        "history": [dict.fromkeys(COLUMNS, math.nan) | {"epoch": 1}],
        "waiting_since": 1,
        "recipe": {"bands": ["Red", "NIR"], "limits": (0, 1)},
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "scaler": torch.amp.GradScaler(enabled=False).state_dict(),
        "random": {"torch": [torch.get_rng_state()] * 2, "cuda": [torch.zeros(16).byte()]},
    }


WHOLE = whole_checkpoint()


def changed(place: tuple, value: object) -> dict:
    """The checkpoint with another value at a place."""
    state = inner = dict(WHOLE)
    for key in place[:-1]:
        inner[key] = copy.copy(inner[key])
        inner = inner[key]
    inner[place[-1]] = value
    return state


def test_every_key_has_a_rule_and_a_whole_checkpoint_obeys_them():
    assert set(WHOLE) == {"format", *NEEDED, *RECORD, *RESUME}
    check(WHOLE, to_resume=True)


@pytest.mark.parametrize("key", [*NEEDED, *RESUME])
def test_a_missing_key_is_named_if_it_is_needed(key):
    state = {name: value for name, value in WHOLE.items() if name != key}
    if key in RESUME:
        check(state)
    with pytest.raises(ValueError, match=f"^{key} missing$"):
        check(state, to_resume=True)


def test_what_the_record_lacks_is_no_error():
    check({name: value for name, value in WHOLE.items() if name not in RECORD}, to_resume=True)


def test_classes_of_an_earlier_version_do_not_name_the_background():
    rows = [{k: v for k, v in row.items() if k != "background"} for row in WHOLE["classes"]]
    check(changed(("classes",), rows), to_resume=True)


def test_a_scaling_of_each_image_has_no_numbers():
    check(changed(("scaling",), {"method": "image", "offset": [], "scale": []}))


ONES = torch.ones(2)


@pytest.mark.parametrize(
    "place, value, message",
    [
        (("model",), [1], "model is a list, expected a dict"),
        (
            ("model", "name"),
            "vnet",
            r"model\['name'\] is 'vnet', expected one of unet, unet-3, resnet50-",
        ),
        (
            ("model", "in_channels"),
            True,
            r"model\['in_channels'\] is True, expected a whole number",
        ),
        (("model", "in_channels"), 3.0, r"model\['in_channels'\] is 3.0, expected a whole number"),
        (
            ("classes", 0, "background"),
            "maybe",
            r"'background'\] is 'maybe', expected one of , true",
        ),
        (
            ("settings", "monitor"),
            "best",
            r"'monitor'\] is 'best', expected one of macro_dice, loss",
        ),
        (("model", "num_classes"), 255, r"model\['num_classes'\] is 255, .* from 1 to 254"),
        (("model", "options"), {"depth": 5}, "model: .* no option 'depth'; it has: base"),
        (("model", "options", "base"), "2", r"model\['options'\]\['base'\] is '2', expected a num"),
        (("model", "options", "base"), -2, "model: its network cannot be built"),
        (("model", "options", "base"), 4, r"weights\['inc.* is \(2, 3, 3, 3\) .*, expected \(4, 3"),
        (("model", "options", "base"), 2**40, "model: its network cannot be built|weights"),
        (("model", "options", "dropout"), math.nan, "is nan, expected a number"),
        (("model", "options", "dropout"), 1.5, "model: its network cannot be built: dropout"),
        (("weights", 7), ONES, "weights has a key that is 7, expected str keys"),
        (("weights", "more"), ONES, "weights have a strange more"),
        (("weights", "outc.conv.bias"), [0.0, 0.0], r"weights\['outc.conv.bias'\] is a list"),
        (
            ("weights", "outc.conv.bias"),
            ONES[:1],
            r"weights\['outc.* is \(1,\) .*, expected \(2,\)",
        ),
        (("weights", "outc.conv.bias"), ONES.long(), "is .* torch.int64, expected"),
        (("weights", "outc.conv.bias"), ONES.to_sparse(), "expected a tensor of numbers"),
        (("weights", "outc.conv.bias"), ONES.to("meta"), "expected a tensor of numbers"),
        (("classes",), [], "classes is a list, expected a list of 1 or more"),
        (("classes", 1), "land", r"classes\[1\] is 'land', expected a dict"),
        (("classes", 1), {"code": "1", "name": "a"}, r"classes\[1\] has no 'color'"),
        (("classes", 0, "name"), " ", r"classes\[0\]\['name'\] is ' ', expected a text"),
        (("classes", 0, "code"), 1, r"classes\[0\]\['code'\] is 1, expected a text"),
        (("classes", 0, "color"), "red", r"classes\[0\]\['color'\] is 'red', expected a colour"),
        (("classes", 3, "ignore"), "perhaps", "'perhaps', expected one of , true"),
        (("classes", 3, "ignore"), "", "classes have 3 names, the network 2 classes"),
        (("bands",), ["Red"], "bands and indices are 2, the network's channels 3"),
        (("bands", 1), None, r"bands\[1\] is None, expected a text"),
        (("indices", 0), 1, r"indices\[0\] is 1, expected a text"),
        (("scaling", "method"), "log", "'log', expected one of minmax, standard, image"),
        (("scaling", "offset"), [0.0], "scaling has 1 offsets and 3 scales for 3"),
        (("scaling", "offset", 0), math.inf, r"scaling\['offset'\]\[0\] is inf, expected a finite"),
        (("scaling", "offset", 0), 1e39, r"is 1e\+39, expected a finite number"),
        (("scaling", "scale", 2), 0.0, r"scaling\['scale'\]\[2\] is 0.0, expected .* above 0"),
        (("scaling", "scale"), (1.0, 1.0, 1.0), "is a tuple, expected a list"),
        (("size",), 0, "size is 0, expected a whole number from 1"),
        (("class_table",), Ellipsis, "class_table is a ellipsis, expected a text"),
        (("nodata",), "0", "nodata is '0', expected a number"),
        (("resolution",), -10.0, "resolution is -10.0, expected a finite number above 0"),
        (("dates",), 0, "dates is 0"),
        (("dates",), 3, "bands are 2, no multiple of 3 dates"),
        (("metrics", "confusion"), torch.ones(2, 2), "expected a tensor of int64"),
        (("metrics", "confusion"), torch.ones(3, 3).long(), "is not 2 x 2 counts"),
        (("metrics", "confusion"), -torch.ones(2, 2).long(), "is not 2 x 2 counts"),
        (("metrics", "confusion"), torch.ones(2, 2).long(), "windows'] has another sum"),
        (("metrics", "windows"), torch.ones(2, 2, 2).long(), "expected a tensor of int32"),
        (("metrics", "windows"), torch.ones(2, 3, 3).int(), "is not n x 2 x 2 counts"),
        (("metrics", "windows"), torch.ones(2, 2).int(), "is not n x 2 x 2 counts"),
        (("metrics", "windows"), -torch.ones(2, 2, 2).int(), "is not n x 2 x 2 counts"),
        (("metrics", "inputs"), torch.zeros(2, 2), "is not 2 x 3 means"),
        (("metrics", "inputs"), torch.tensor([[math.nan] * 3] * 2), "a tensor of finite float32"),
        (("metrics", "inputs"), torch.zeros(2, 3).double(), "a tensor of finite float32"),
        (("metrics", "scenes"), torch.zeros(3).long(), "is not 2 numbers of 0 or more"),
        (("metrics", "scenes"), torch.tensor([0, -1]), "is not 2 numbers of 0 or more"),
        (("metrics",), {"scenes": torch.zeros(2).long()}, "metrics has only some of confusion"),
        (("metrics", "temperature"), 1, "is 1, expected a number from 0.1 to 10.0"),
        (("metrics", "temperature"), 0.0, "is 0.0, expected a number from 0.1 to 10.0"),
        (("metrics", "temperature"), math.nan, "is nan, expected a number from 0.1"),
        (("settings", "lr"), {1, 2}, r"settings\['lr'\] is a set, expected a plain value"),
        (("epoch",), -1, "epoch is -1"),
        (("epoch",), 2, "history has 1 rows, epoch is 2"),
        (("position", "batch"), None, r"position\['batch'\] is None, expected a whole number"),
        (("best",), None, "best is None, expected a number"),
        (("best_epoch",), 2, "best_epoch is 2, epoch is 1"),
        (("history", 0), {"loss": "0.5"}, r"history\[0\]\['loss'\] is '0.5', expected a number"),
        (("optimizer", "state"), {"a": {}}, r"optimizer\['state'\] has a key that is 'a'"),
        (("optimizer", "param_groups"), [], "expected a list of 1 or more"),
        (("optimizer", "param_groups", 0, "params"), [0], "optimizer has 1 tensors, not those"),
        (("scheduler",), None, "scheduler is None, expected a dict"),
        (("random", "torch"), [], r"random\['torch'\] is a list, expected a list of 1 or more"),
        (("random", "torch", 0), ONES, r"random\['torch'\]\[0\] is .*, expected a random state"),
    ],
)
def test_a_malformed_value_is_refused_with_its_place(place, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        check(changed(place, value))
    assert str(caught.value).startswith((place[0], "bands", "weights", "history"))


def test_rows_of_different_columns_are_refused():
    rows = [{"epoch": 1}, {"epoch": 2, "loss": 0.5}]
    with pytest.raises(ValueError, match="history has rows of different columns"):
        check({**WHOLE, "history": rows, "epoch": 2})


def places(value: object, place: tuple = ()):
    """The address of every value in a checkpoint; of lists, of the first item alone."""
    if place:
        yield place
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*place, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*place, 0))


def test_whatever_value_is_replaced_it_is_refused_or_a_network_can_be_built(monkeypatch):
    """Of the many weights and moments, one of each kind."""
    strange = [
        None,
        "x",
        -1,
        0,
        2**70,
        math.nan,
        True,
        [],
        {},
        (1,),
        {"x": 1},
        torch.ones(3, 3),
        b"x",
    ]
    kept = [p for p in places(WHOLE) if p[0] not in ("format", "weights", "optimizer")]
    kept += [("weights",), ("weights", "inc.double_conv.0.weight"), ("optimizer",)]
    kept += [("optimizer", "state", 0, "exp_avg"), ("optimizer", "param_groups", 0)]
    check_weights, refused = checkpoint_format._check_weights, 0
    for place in kept:
        of_network = place[0] in ("model", "weights", "optimizer")
        monkeypatch.setattr(
            checkpoint_format, "_check_weights", check_weights if of_network else lambda state: None
        )
        for value in strange:
            state = changed(place, value)
            try:
                check(state, to_resume=True)
            except ValueError:
                refused += 1
            else:
                assert not of_network or build_model(state)
    assert refused > 8 * len(kept)


def test_load_names_the_file_and_the_key_in_one_line(tmp_path):
    for key, value in (("size", "64"), ("bands", ["Red\nGreen"])):
        path = tmp_path / f"{key}.pt"
        torch.save({**WHOLE, key: value}, path)
        with pytest.raises(
            CheckpointError, match=f"^{path}: {key} .*; give a checkpoint"
        ) as caught:
            load(path)
        assert "\n" not in str(caught.value)


def test_values_that_are_nested_too_deeply_or_without_end_are_refused_at_once(tmp_path):
    doubled, deep, circle = [], [], []
    circle.append(circle)
    for _ in range(40):  # few bytes, but 2 to the power of 40 lists
        doubled = [doubled, doubled]
    for _ in range(200):
        deep = [deep]
    for value in (doubled, deep, circle):
        torch.save({**WHOLE, "settings": {"x": value}}, tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match="a.pt: has values nested in more than 64 levels"):
            load(tmp_path / "a.pt")


def test_a_part_that_is_larger_than_the_file_is_not_unpacked(tmp_path):
    torch.save({**WHOLE, "settings": {"x": torch.zeros(10**6)}}, tmp_path / "a.pt")
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(tmp_path / "a.pt") as parts:
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
            for name in parts.namelist():
                packed.writestr(name, parts.read(name))
    assert bomb.stat().st_size < 400_000
    with pytest.raises(CheckpointError, match="bomb.pt: damaged"):
        load(bomb)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    for number in (math.nan, math.inf):
        weights = {**WHOLE["weights"], "outc.conv.bias": torch.tensor([0, number])}
        torch.save({**WHOLE, "weights": weights}, tmp_path / "a.pt")
        with pytest.raises(
            CheckpointError, match=r"weights\['outc.conv.bias'\] has NaN or infinity"
        ):
            load(tmp_path / "a.pt")


def test_a_checkpoint_that_cannot_be_resumed_says_so(tmp_path):
    torch.save({key: value for key, value in WHOLE.items() if key != "random"}, tmp_path / "a.pt")
    assert load(tmp_path / "a.pt")["epoch"] == 1
    with pytest.raises(CheckpointError, match="a.pt: random missing; give a checkpoint"):
        load(tmp_path / "a.pt", to_resume=True)
