"""Published weights: unet/networks/transfer.py. Which tensors are copied, adapted and not copied.

The tests of fine-tuning are in test_fine_tune.py.
"""

from argparse import Namespace

import originals
import pytest
import seeded
import small
import torch
from torch import nn

import train
import unet
from data import bands
from unet.checkpoint import CheckpointError
from unet.networks import transfer
from unet.networks.resnet import ResNet50
from unet.networks.segformer import MixTransformer
from unet.networks.transfer import SENTINEL2, load_weights


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


# Encoders of Sentinel-2 images. In these files each tensor repeats one number, so they are small.

INPUT = "NIR Red NDVI SWIR2 Blue VV RE1 Green RE4 SWIR1 RE2 MNDWI RE3".split()  # 13 channels, too
TEN = [name for name in INPUT if name in bands.ALIASES]


@pytest.fixture(scope="module")
def encoder():
    """Make ResNet-50's tensors with the names of torchgeo's files. Band b of conv1 is b from 1."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in ResNet50(13).state_dict().items()}
    made = {
        name: torch.tensor(float(number)).expand(shape)
        for number, (name, shape) in enumerate(shapes.items(), start=1)
    }
    return made | {"conv1.weight": torch.arange(1.0, 14).view(1, 13, 1, 1).expand(64, 13, 7, 7)}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the content of a file, and returns its path."""

    def written(content):
        torch.save(content, tmp_path / "sentinel2.pth")
        return tmp_path / "sentinel2.pth"

    return written


def before(words, tensors):
    return {words + name: tensor for name, tensor in tensors.items()}


def kernels(model, layer="encoder.conv1"):
    """Return the number of each channel's kernel. All values of a kernel are equal."""
    weight = model.state_dict()[layer + ".weight"]
    numbers = weight[0, :, 0, 0]
    assert weight.equal(numbers.view(1, -1, 1, 1).expand_as(weight))
    return numbers.tolist()


def test_the_order_is_that_of_the_bands_numbers():
    numbers = "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12".split()
    assert [bands.canonical(number) for number in numbers] == SENTINEL2


@pytest.mark.parametrize(
    "name, layer",
    [
        ("resnet50-unet", "encoder.conv1"),
        ("deeplabv3", "backbone.conv1"),
        ("segformer-resnet-unet", "resnet.conv1"),
    ],
)
def test_bands_are_matched_by_name_also_if_the_input_has_thirteen(name, layer, encoder, write):
    model = network(name, len(INPUT))
    for first in model.first_layers:
        model.get_submodule(first).weight.data.fill_(-1)
    path = write({**encoder, "fc.weight": torch.zeros(10, 2048), "fc.bias": torch.zeros(10)})
    loaded = load_weights(model, path, INPUT)
    file = {band: float(number) for number, band in enumerate(SENTINEL2, start=1)}
    assert kernels(model, layer) == [file.get(one, -1.0) for one in INPUT]
    assert loaded.adapted == [layer + ".weight"] and loaded.unused == ["fc.weight", "fc.bias"]
    assert len(loaded.copied) == len(encoder) - 1
    assert all(
        first + ".weight" in loaded.initial + [layer + ".weight"] for first in model.first_layers
    )
    for key in loaded.copied:
        assert model.state_dict()[key].equal(encoder[key.removeprefix(layer.split(".")[0] + ".")])
    assert str(loaded).splitlines()[1:] == [
        f"of the file's 13 bands (SSL4EO-S12), by name: {', '.join(TEN)}",
        "left out, not in the input: Coastal, WV, Cirrus",
        "begun anew, not in the file (random with --encoder-lr 0): NDVI, VV, MNDWI",
    ]


def test_all_thirteen_bands_in_the_order_of_the_input(encoder, write):
    model = network("resnet50-unet", 13)
    loaded = load_weights(model, write(encoder), SENTINEL2[::-1])
    assert kernels(model) == [*map(float, range(13, 0, -1))]
    assert len(loaded.lines) == 1  # nothing is left out, and nothing begins anew


def test_two_equal_dates_have_the_features_of_one_image(encoder, write):
    model = network("resnet50-unet", 5)
    names = ["Red", "NIR", "Red@2", "NIR@2", "NDVI@2"]
    printed = transfer.load(model, write(encoder), names, [])
    assert kernels(model) == [4 / 2, 8 / 2, 4 / 2, 8 / 2, 0]
    assert "by name: Red, NIR, Red@2, NIR@2\n" in printed and "--encoder-lr 0): NDVI@2" in printed


@pytest.mark.parametrize(
    "packed",
    [
        lambda encoder: encoder,
        lambda encoder: before("module.", encoder),
        lambda encoder: before("backbone.", encoder),
        lambda encoder: before("encoder_q.", encoder),
        lambda encoder: before("module.base_encoder.", encoder),
        lambda encoder: {"state_dict": before("module.encoder_k.", encoder)},
        lambda encoder: {"teacher": before("backbone.", encoder), "epoch": 100},
        lambda encoder: {"student": before("module.backbone.", encoder)},
    ],
)
def test_words_before_the_names_are_removed(packed, encoder, write):
    model = network("resnet50-unet", 2)
    loaded = load_weights(model, write(packed(encoder)), ["Red", "NDVI"])
    assert kernels(model) == [4, 0] and loaded.unused == [] and len(loaded.lines) == 3
    assert all(name.startswith(("decoder.", "head.")) for name in loaded.initial)


def moco2(taken, left):
    """The file of zhu-xlab/SSL4EO-S12, pretrain_moco_v2_s2c.py: with projection heads and queue."""
    head = {"fc.0.weight": torch.zeros(4, 4), "fc.2.weight": torch.zeros(2, 4)}
    both = before("module.encoder_q.", taken | head) | before("module.encoder_k.", left | head)
    queue = {"module.queue": torch.zeros(2, 8), "module.queue_ptr": torch.zeros(1).long()}
    return {
        "epoch": 100,
        "arch": "resnet50",
        "state_dict": both | queue,
        "optimizer": {"state": {}},
    }


def moco3(taken, left):
    """The file of moco-v3 (its builder.py)."""
    both = before("module.momentum_encoder.", left) | before("module.base_encoder.", taken)
    return {"state_dict": both | {"module.predictor.0.weight": torch.zeros(2, 2)}}


def dino(taken, left):
    """The file of zhu-xlab/SSL4EO-S12, pretrain_dino_s2c.py: with heads, and options."""
    head = {"module.head.mlp.0.weight": torch.zeros(2, 2)}
    student = before("module.backbone.", left) | head
    teacher = before("module.backbone.", taken) | head
    return {"student": student, "teacher": teacher, "args": Namespace(arch="resnet50", lr=0.03)}


@pytest.mark.parametrize(
    "packed, taken, left",
    [
        (moco2, "encoder_q", "encoder_k"),
        (moco3, "base_encoder", "momentum_encoder"),
        (dino, "teacher", "student"),
    ],
)
def test_of_two_encoders_the_one_that_the_authors_evaluate_is_taken(
    packed, taken, left, encoder, write
):
    other = {name: -tensor for name, tensor in encoder.items()}
    path, model = write(packed(encoder, other)), network("resnet50-unet", 1)
    loaded = load_weights(model, path, ["Cirrus"])
    assert kernels(model) == [11] and model.encoder.bn1.weight[0] == encoder["bn1.weight"][0]
    assert len(loaded.copied) == len(encoder) - 1
    assert sum(left in name for name in loaded.unused) >= len(other)
    line = f"the file has two encoders: {taken} is taken, {left} is not"
    assert loaded.lines[0] == line
    printed = transfer.load(network("resnet50-unet", 1), path, ["Cirrus"], [])
    assert printed == f"{path}: {loaded}" and line in printed.splitlines()


def test_photographs_weights_do_not_look_at_the_names_of_the_bands(resnet_file):
    model = network("resnet50-unet")
    loaded = load_weights(model, resnet_file, ["Red", "Green", "Blue", "NIR"])
    mean = torch.load(resnet_file)["conv1.weight"].mean(1, keepdim=True) * 3 / 4
    torch.testing.assert_close(model.encoder.conv1.weight.data, mean.repeat(1, 4, 1, 1))
    assert loaded.lines == []


@pytest.mark.parametrize(
    "packed, name, inputs, message",
    [
        (
            dict,
            "resnet50-unet",
            ["1", "2"],
            r"bands are Coastal, .* of them \(1, 2\); name the bands",
        ),
        (dict, "deeplabv3", ["VV", "VH"], "the input has none of them"),
        (dict, "segformer-b0", ["Red"], "holds no encoder of this network; choose the --model"),
        (dict, "unet", ["Red"], "holds no encoder of this network; choose the --model"),
        (
            lambda encoder: {n: t for n, t in encoder.items() if ".bn3." not in n},  # ResNet-18
            "resnet50-unet",
            ["Red"],
            "another network: it lacks layer1.0.bn3.bias; choose the --model",
        ),
        (
            lambda encoder: encoder | before("module.", encoder),
            "resnet50-unet",
            ["Red"],
            r"holds two networks \(conv1.weight, module.conv1.weight\); give a file with one",
        ),
        (
            lambda encoder: encoder | {"conv1.weight": torch.zeros(64, 13, 3, 3)},
            "resnet50-unet",
            ["Red"],
            r"another size: conv1.weight is \(64, 13, 3, 3\), the network's \(64, 1, 7, 7\)",
        ),
    ],
)
def test_a_file_for_sentinel_2_that_does_not_fit_is_an_error(
    packed, name, inputs, message, encoder, write
):
    model = network(name, len(inputs))
    with pytest.raises(CheckpointError, match=f"sentinel2.pth: .*{message}") as caught:
        load_weights(model, write(packed(encoder)), inputs)
    assert "\n" not in str(caught.value)
    assert not any(tensor.any() for tensor in model.state_dict().values())


def test_the_training_script_gives_the_names_of_the_bands(encoder, write, tmp_path):
    """Without a name in common the training does not begin."""
    images, masks, table = small.write(tmp_path / "in")
    options = [
        "--images",
        images,
        "--masks",
        masks,
        "--classes",
        table,
        "--bands",
        *"1 2 3 4".split(),
    ]
    options += [
        "--model",
        "resnet50-unet",
        "--weights",
        write(encoder),
        "--output",
        tmp_path / "run",
    ]
    with pytest.raises(CheckpointError, match=r"none of them \(1, 2, 3, 4\); name the bands"):
        train.main([*map(str, options)])


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
        CheckpointError, match=f"other.pth: .*{message}.*; choose the --model .* and its --base"
    ) as caught:
        load_weights(model, tmp_path / "other.pth")
    assert "\n" not in str(caught.value)
    assert not any(tensor.any() for tensor in model.state_dict().values())
