"""Fine-tuning: unet/networks/transfer.py. Which slices of another run are copied."""

import functools

import pytest
import seeded
import small as scenes
import torch
from torch import nn

import unet
from unet import checkpoint
from unet.checkpoint import CheckpointError
from unet.networks import transfer
from unet.networks.layers import first_weights, last_weights
from unet.networks.transfer import fine_tune

NETWORKS = [
    name for name in unet.MODELS if not name.startswith("segformer-b") or name == "segformer-b0"
]
BANDS, CLASSES = ["Green", "Red", "NIR", "NDVI"], ["water", "forest", "town"]
NOT_COPIED = "not copied (random, also with --encoder-lr 0)"
FIRST, HEAD = "inc.double_conv.0.weight", ("outc.conv.weight", "outc.conv.bias")


def network(seed: int, inputs: int = 4, classes: int = 3, base: int = 2, **options) -> nn.Module:
    torch.manual_seed(seed)
    model = unet.build("unet", inputs, classes, base=base, **options)
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.fill_(seed)  # running statistics that differ from the initial ones
    return model


def source(**options) -> dict:
    """Make the checkpoint of a run with Green, Red, NIR, NDVI and classes water, forest, town."""
    records = [
        {"name": name, "ignore": "true" if name == "none" else ""}
        for name in ("none", "water", "forest", "forest", "town")
    ]
    weights = network(7, **options).state_dict()
    about = {"model": {"name": "unet"}, "bands": BANDS[:3], "indices": BANDS[3:]}
    return {"weights": weights, "classes": records, **about}


def test_an_equal_network_takes_all():
    old, model = source(), network(1)
    printed = fine_tune(old, model, BANDS, CLASSES)
    assert all(value.equal(old["weights"][name]) for name, value in model.state_dict().items())
    count = len(old["weights"])
    assert printed == f"copied: {count} tensors of {count}"


def test_tensors_of_a_deeper_network_that_have_no_place_are_told():
    old, model = source(), unet.build("unet-3", 4, 3, base=2)
    first, second = fine_tune(old, model, BANDS, CLASSES).split("\n")
    taken = len(model.state_dict())
    assert first == f"copied: {taken} tensors of {taken}"
    assert second == f"not used: {len(old['weights']) - taken} tensors of the checkpoint, a unet"


def test_of_other_classes_those_of_the_same_name_take_their_rows():
    old, model = source(), network(1, classes=4)
    made = {name: value.clone() for name, value in model.state_dict().items()}
    printed = fine_tune(old, model, BANDS, ["town", "road", "water", "field"])
    for name in HEAD:
        now, before = model.state_dict()[name], old["weights"][name]
        assert now[0].equal(before[2]) and now[2].equal(before[0])
        assert now[1].equal(made[name][1]) and now[3].equal(made[name][3])
    others = [name for name in made if name not in HEAD]
    assert all(model.state_dict()[name].equal(old["weights"][name]) for name in others)
    count = len(made)
    part = "outc.conv.weight (town, water); outc.conv.bias (town, water)"
    assert printed == f"copied: {count - 2} tensors of {count}\ncopied in part: {part}"


def test_of_other_bands_those_of_the_same_name_take_their_slices():
    old, model = source(), network(1, inputs=3)
    made = model.state_dict()[FIRST].clone()
    printed = fine_tune(old, model, ["NIR", "SWIR1", "Green"], CLASSES)
    now, before = model.state_dict()[FIRST], old["weights"][FIRST]
    assert (
        now[:, 0].equal(before[:, 2])
        and now[:, 2].equal(before[:, 0])
        and now[:, 1].equal(made[:, 1])
    )
    assert printed.endswith("\ncopied in part: inc.double_conv.0.weight (NIR, Green)")


def test_the_same_names_in_another_order_go_to_their_places():
    old, model = source(), network(1)
    fine_tune(old, model, BANDS[::-1], CLASSES[::-1])
    assert model.state_dict()[FIRST].equal(old["weights"][FIRST].flip(1))
    for name in HEAD:
        assert model.state_dict()[name].equal(old["weights"][name].flip(0))


def test_without_a_common_name_the_layer_is_made_anew_and_the_inside_taken():
    old, model = source(), network(1)
    made = {name: value.clone() for name, value in model.state_dict().items()}
    printed = fine_tune(old, model, ["B1", "B2", "B3", "B4"], ["corn", "wheat", "rye"])
    outside = (FIRST, *HEAD)
    for name, value in model.state_dict().items():
        assert value.equal(made[name] if name in outside else old["weights"][name])
    assert (
        printed
        == f"copied: {len(made) - 3} tensors of {len(made)}\n{NOT_COPIED}: {', '.join(outside)}"
    )


@pytest.mark.parametrize("classes", [CLASSES, ["corn"]])
def test_a_network_of_another_width_is_an_error_though_its_counters_and_bias_would_fit(classes):
    model = network(1, classes=len(classes), base=4)
    with pytest.raises(
        CheckpointError, match="--weights: no tensor fits; give the --model and --base that"
    ):
        fine_tune(source(), model, BANDS, classes)


def test_a_network_of_other_layers_takes_those_it_has():
    """Bilinear doubling has no transposed convolutions, and the decoder has half the channels."""
    old, model = source(), network(1, bilinear=True)
    printed = fine_tune(old, model, BANDS, CLASSES)
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    assert (
        model.down1.maxpool_conv[1]
        .double_conv[0]
        .weight.equal(old["weights"]["down1.maxpool_conv.1.double_conv.0.weight"])
    )
    assert "up1.conv.double_conv.3.weight" in lines[NOT_COPIED] and "down1" not in lines[NOT_COPIED]
    copied, count = (int(word) for word in lines["copied"].split() if word.isdigit())
    assert copied + len(lines[NOT_COPIED].split(", ")) == count == len(model.state_dict())


def test_dropout_and_memory_format_do_not_matter():
    old, model = (
        source(),
        network(1, dropout=0.3, head_dropout=0.1).to(memory_format=torch.channels_last),
    )
    fine_tune(old, model, BANDS, CLASSES)
    assert all(value.equal(old["weights"][name]) for name, value in model.state_dict().items())


def test_what_was_taken_predicts_as_its_source_did():
    old, model = source(), network(1).eval()
    teacher = network(7).eval()
    image = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    fine_tune(old, model, BANDS[::-1], CLASSES)
    torch.testing.assert_close(model(image.flip(1)), teacher(image))


def test_the_source_is_left_alone():
    old, model = source(), network(1)
    before = {name: value.clone() for name, value in old["weights"].items()}
    fine_tune(old, model, BANDS, CLASSES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(value.equal(before[name]) for name, value in old["weights"].items())


# Every network. The weights of the old one are drawn; those of the new one are -1.

CHANGES = {
    "permuted": (BANDS[::-1], ["town", "water", "forest"]),
    "added": ([*BANDS, "SWIR1"], ["road", *CLASSES]),
    "removed": (["NIR", "Red"], ["forest", "town"]),
    "all": (["SWIR1", "NIR", "Green", "Red"], ["road", "town", "water", "field"]),
}
CASES = [("unet", change) for change in CHANGES] + [(name, "all") for name in NETWORKS[1:]]


def small(name: str, inputs: int, classes: int) -> nn.Module:
    """A network on the meta device."""
    with torch.device("meta"):
        return unet.build(name, inputs, classes, **({"base": 4} if name == "unet" else {}))


@functools.cache
def old_weights(name: str) -> dict:
    return seeded.filled(lambda: small(name, len(BANDS), len(CLASSES))).state_dict()


@pytest.mark.parametrize("name, change", CASES)
def test_each_network_takes_the_slices_of_bands_and_classes_that_both_runs_name(name, change):
    inputs, classes = CHANGES[change]
    old = {**source(), "weights": old_weights(name)}
    model = small(name, len(inputs), len(classes)).to_empty(device="cpu")
    new = model.state_dict()
    for tensor in new.values():
        tensor.fill_(-1)
    printed = fine_tune(old, model, inputs, classes)
    sliced = {key: (1, inputs, BANDS) for key in first_weights(model)}
    sliced |= {key: (0, classes, CLASSES) for key in last_weights(model)}
    for key, tensor in new.items():
        before = old["weights"][key]
        if key not in sliced:
            assert tensor.equal(before), key
            continue
        axis, names, old_names = sliced[key]
        for number, one in enumerate(names):
            found = tensor.select(axis, number)
            if one in old_names:
                assert found.equal(before.select(axis, old_names.index(one))), (key, one)
            else:
                assert found.eq(-1).all(), (key, one)
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    assert lines["copied"] == f"{len(new) - len(sliced)} tensors of {len(new)}"
    assert {part.split(" ")[0] for part in lines["copied in part"].split("; ")} == set(sliced)
    assert NOT_COPIED not in lines


@pytest.mark.parametrize("name", NETWORKS)
def test_what_each_network_took_predicts_as_its_source_did(name):
    teacher = small(name, len(BANDS), len(CLASSES))
    teacher.load_state_dict(old_weights(name), assign=True)
    student = small(name, len(BANDS), len(CLASSES)).to_empty(device="cpu")
    fine_tune({**source(), "weights": old_weights(name)}, student, BANDS[::-1], CLASSES[::-1])
    image = torch.randn(1, len(BANDS), 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = teacher.eval()(image), student.eval()(image.flip(1))
    torch.testing.assert_close(found.flip(1), expected, rtol=1e-4, atol=1e-4)


def test_a_file_is_a_checkpoint_or_published_weights(tmp_path):
    """A checkpoint with an error is not read as a file of published weights."""
    torch.manual_seed(0)
    path = tmp_path / "best.pt"
    scenes.untrained(path)
    inputs, classes = scenes.BANDS, ["land", "water"]
    model = unet.build("unet", 4, 2, base=4)
    printed = transfer.load(model, path, inputs, classes)
    assert printed.startswith(f"{path}:\ncopied: ")
    trained = checkpoint.load(path)["weights"]
    assert all(value.equal(trained[name]) for name, value in model.state_dict().items())
    for file in (tmp_path / "weights.pth", tmp_path / "old.pth"):
        torch.save(trained, file, _use_new_zipfile_serialization=file.stem == "weights")
        printed = transfer.load(unet.build("unet", 4, 2, base=4), file, inputs, classes)
        assert printed.startswith(f"{file}: tensors: ")
    wrong = torch.load(path, weights_only=True) | {"size": 0}
    torch.save(wrong, path)
    with pytest.raises(CheckpointError, match="best.pt: size is 0, expected"):
        transfer.load(model, tmp_path, inputs, classes)
