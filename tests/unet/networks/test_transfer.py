"""Published weights: unet/networks/transfer.py. Which tensors are copied, adapted and not copied.

The tests of fine-tuning are in test_fine_tune.py.
"""

import originals
import pytest
import seeded
import torch
from torch import nn

import unet
from unet.checkpoint import CheckpointError
from unet.networks.resnet import ResNet50
from unet.networks.segformer import MixTransformer
from unet.networks.transfer import load_weights


def state(build):
    """Make the content of a published file, with weights by the rule of seeded.py."""
    return seeded.filled(build).state_dict()


def network(name, bands=4, classes=3, **options):
    """Make a network whose weights are all 0, so that loaded weights are visible."""
    with torch.device("meta"):
        model = unet.build(name, bands, classes, **options)
    return model.to_empty(device="cpu").requires_grad_(False).apply(zero).requires_grad_(True)


def zero(module):
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        tensor.zero_()


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    """Make a file like torchvision's resnet50: encoder without counters, and a classifier."""
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    encoder = {
        name: tensor
        for name, tensor in state(lambda: ResNet50(3)).items()
        if tensor.is_floating_point()
    }
    torch.save(
        {**encoder, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, path
    )
    return path


# Which tensors are copied, adapted and not copied.


def test_four_bands_get_the_mean_of_red_green_and_blue_times_three_quarters(tmp_path):
    weights = unet.build("unet", 3, 2, base=2).state_dict()
    weights["inc.double_conv.0.weight"] = (
        torch.tensor([1.0, 2, 6]).view(1, 3, 1, 1).expand(2, 3, 3, 3)
    )
    torch.save(weights, tmp_path / "unet.pth")
    model = network("unet", base=2)
    loaded = load_weights(model, tmp_path / "unet.pth")
    assert loaded.adapted == ["inc.double_conv.0.weight"]
    assert model.inc.double_conv[0].weight.unique().tolist() == [
        3 * 3 / 4
    ]  # the sum of all bands stays 9
    grey = torch.randn(1, 1, 5, 5)
    original = nn.functional.conv2d(grey.repeat(1, 3, 1, 1), weights["inc.double_conv.0.weight"])
    torch.testing.assert_close(
        nn.functional.conv2d(grey.repeat(1, 4, 1, 1), model.inc.double_conv[0].weight), original
    )


def test_three_bands_are_taken_as_they_are(resnet_file):
    model = network("resnet50-unet", bands=3)
    assert load_weights(model, resnet_file).adapted == []
    assert model.encoder.conv1.weight.equal(torch.load(resnet_file)["conv1.weight"])


@pytest.mark.parametrize(
    "name, before",
    [
        ("resnet50-unet", "encoder."),
        ("deeplabv3", "backbone."),
        ("segformer-resnet-unet", "resnet."),
    ],
)
def test_resnet50_becomes_the_encoder_and_its_classifier_is_left(name, before, resnet_file):
    model = network(name)
    loaded, published = load_weights(model, resnet_file), torch.load(resnet_file)
    assert loaded.adapted == [before + "conv1.weight"]
    assert loaded.unused == ["fc.weight", "fc.bias"]
    assert len(loaded.copied) == len(published) - 3
    own = {key for key in model.state_dict() if not key.endswith("num_batches_tracked")}
    assert {*loaded.copied, *loaded.adapted, *loaded.initial} == own
    for key, tensor in model.state_dict().items():
        if key in loaded.copied:
            assert tensor.equal(published[key.removeprefix(before)]), key
        elif key in loaded.initial:
            assert not tensor.any() and not key.startswith(before), key


def test_deeplabv3_is_taken_whole_but_for_other_classes_and_the_auxiliary_classifier(tmp_path):
    published = state(lambda: unet.build("deeplabv3", 3, 21))
    torch.save(
        {**published, "aux_classifier.4.weight": torch.zeros(21, 256, 1, 1)},
        tmp_path / "deeplab.pth",
    )
    loaded = load_weights(network("deeplabv3", 3, 5), tmp_path / "deeplab.pth")
    assert loaded.unused == ["classifier.4.weight", "classifier.4.bias", "aux_classifier.4.weight"]
    assert loaded.initial == ["classifier.4.weight", "classifier.4.bias"]
    assert load_weights(network("deeplabv3", 3, 21), tmp_path / "deeplab.pth").initial == []


@pytest.mark.parametrize("before", ["segformer.encoder.", "encoder.", ""])
@pytest.mark.parametrize(
    "name, own", [("segformer-b0", "segformer.encoder."), ("segformer-unet", "encoder.")]
)
def test_mit_b0_becomes_the_encoder_whatever_stands_before_its_names(before, name, own, tmp_path):
    published = state(lambda: MixTransformer("b0", 3))
    file = {before + key: tensor for key, tensor in published.items()}
    path = originals.write_safetensors(
        tmp_path / "model.safetensors", {**file, "classifier.bias": torch.zeros(1000)}
    )
    model = network(name)
    loaded = load_weights(model, path)
    assert loaded.adapted == [own + "patch_embeddings.0.proj.weight"]
    assert loaded.unused == ["classifier.bias"] and len(loaded.copied) == len(published) - 1
    assert all(
        model.state_dict()[key].equal(published[key.removeprefix(own)]) for key in loaded.copied
    )


@pytest.mark.parametrize("bilinear", [False, True])
def test_milesials_unet_is_taken_whole_and_its_mask_values_are_no_tensor(bilinear, tmp_path):
    published = state(lambda: unet.build("unet", 3, 2, base=8, bilinear=bilinear))
    torch.save({**published, "mask_values": [0, 1]}, tmp_path / "unet.pth")
    model = network("unet", 3, 2, base=8, bilinear=bilinear)
    loaded = load_weights(model, tmp_path / "unet.pth")
    assert (
        len(loaded.copied) == len(published)
        and loaded.adapted == loaded.unused == loaded.initial == []
    )
    assert all(model.state_dict()[key].equal(tensor) for key, tensor in published.items())


def test_weights_in_half_precision_and_from_our_own_checkpoint_or_a_training_script(tmp_path):
    published = state(lambda: unet.build("unet", 4, 2, base=4))
    half = {"module." + name: tensor.half() for name, tensor in published.items()}
    for content in (
        {"model": {"name": "unet"}, "weights": half},
        {"state_dict": half, "epoch": 3},
        {"model": half},
    ):
        torch.save(content, tmp_path / "best.pt")
        model = network("unet", base=4)
        loaded = load_weights(model, tmp_path / "best.pt")
        assert loaded.initial == ["outc.conv.weight", "outc.conv.bias"]
        assert model.inc.double_conv[0].weight.equal(
            published["inc.double_conv.0.weight"].half().float()
        )


def test_every_first_layer_of_a_hybrid_is_adapted(tmp_path):
    torch.save(state(lambda: unet.build("segformer-unet", 3, 2)), tmp_path / "hybrid.pth")
    loaded = load_weights(network("segformer-unet", 4, 2), tmp_path / "hybrid.pth")
    first = ["encoder.patch_embeddings.0.proj.weight", "stem1.double_conv.0.weight"]
    assert loaded.adapted == first and loaded.initial == loaded.unused == []


def test_the_printed_line_names_the_modules(resnet_file):
    printed = str(load_weights(network("resnet50-unet"), resnet_file))
    assert printed == (
        "tensors: 264 copied (encoder.bn1, encoder.layer1, encoder.layer2, encoder.layer3, ...), "
        "1 adapted (encoder.conv1.weight), 2 unused (fc.weight, fc.bias), "
        "52 initial (decoder.blocks, head.weight, head.bias)"
    )


def test_files_that_torchvision_and_transformers_write_are_taken(tmp_path):
    models, transformers = (
        originals.installed("torchvision.models"),
        originals.installed("transformers"),
    )
    torch.save(
        models.resnet50(weights=None).state_dict(),
        tmp_path / "resnet50.pth",
        _use_new_zipfile_serialization=False,
    )
    assert load_weights(network("deeplabv3"), tmp_path / "resnet50.pth").unused == [
        "fc.weight",
        "fc.bias",
    ]
    for kind in (
        transformers.SegformerForSemanticSegmentation,
        transformers.SegformerForImageClassification,
    ):
        kind(transformers.SegformerConfig(num_labels=3)).save_pretrained(tmp_path)
        loaded = load_weights(network("segformer-b0", 3), tmp_path / "model.safetensors")
        whole = kind is transformers.SegformerForSemanticSegmentation
        assert loaded.unused == ([] if whole else ["classifier.bias", "classifier.weight"])
        assert (
            all(name.startswith("decode_head") for name in loaded.initial)
            and bool(loaded.initial) != whole
        )


# Files that do not fit or are inconsistent. The network stays unchanged.


@pytest.mark.parametrize(
    "build, name, message",
    [
        (lambda: MixTransformer("b2", 3), "segformer-b0", "another network: it has block.0.2"),
        (lambda: MixTransformer("b0", 3), "segformer-b2", "another network: it lacks block.0.2"),
        (
            lambda: MixTransformer("b1", 3),
            "segformer-b0",
            r"another size: .* \(64, 3, 7, 7\), the network's \(32, ",
        ),
        (lambda: MixTransformer("b0", 3), "resnet50-unet", "holds no encoder of this network"),
        (
            lambda: unet.build("unet", 3, 2, base=4),
            "unet",
            r"another size: .* \(4, 3, 3, 3\), the network's \(2, ",
        ),
        (lambda: nn.Linear(2, 2), "unet", "holds no encoder of this network"),
    ],
)
def test_weights_of_another_network_are_an_error_and_change_nothing(build, name, message, tmp_path):
    torch.save(state(build), tmp_path / "other.pth")
    model = network(name, 3, **({"base": 2} if name == "unet" else {}))
    with pytest.raises(
        CheckpointError, match=f"other.pth: .*{message}.*; choose the network"
    ) as caught:
        load_weights(model, tmp_path / "other.pth")
    assert "\n" not in str(caught.value)
    assert not any(tensor.any() for tensor in model.state_dict().values())
