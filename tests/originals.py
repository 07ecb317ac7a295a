"""The outputs of the layers of published networks, from the libraries that publish them.

The weights are those of `seeded.py`. Tests use this file if the libraries are installed.
tests/bench/record_networks.py uses it to record the outputs, which the tests compare with if the
libraries are not installed. Names of weights and layers are the published ones.
"""

import importlib
import json
import re
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import seeded
import torch
from torch import Tensor, nn

import unet
from unet.networks.segformer import SIZES

RECORDED = Path(__file__).with_name("recorded") / "networks.npz"
SHAPES = {
    "unet": (1, 3, 35, 50),
    "resnet50": (1, 3, 65, 40),
    "resnet50-unet": (2, 3, 64, 96),
    "deeplabv3": (1, 3, 49, 66),
    "segformer": (1, 3, 32, 32),
}
SHAPES["odd"] = (1, 3, 45, 70)  # for segformer-b0, beside the other

# Published names, which are also ours, and the names inside transformers 5. That package renames
# the weights when it loads and saves files.
RENAMED = [
    (r"encoder\.patch_embeddings\.(\d+)\.", r"stages.\1.patch_embeddings."),
    (r"encoder\.block\.(\d+)\.", r"stages.\1.blocks."),
    (r"encoder\.layer_norm\.(\d+)", r"stages.\1.layer_norm"),
    (r"attention\.self\.query", "attention.q_proj"),
    (r"attention\.self\.key", "attention.k_proj"),
    (r"attention\.self\.value", "attention.v_proj"),
    (r"attention\.self\.sr", "attention.sequence_reduction.sequence_reduction"),
    (r"attention\.self\.layer_norm", "attention.sequence_reduction.layer_norm"),
    (r"attention\.output\.dense", "attention.o_proj"),
    (r"mlp\.dense", "mlp.fc"),
    ("layer_norm_1", "layernorm_before"),
    ("layer_norm_2", "layernorm_after"),
    (r"decode_head\.linear_c", "decode_head.linear_projections"),
]


def installed(name: str) -> types.ModuleType:
    """Import a module. Skips the test if it is missing or broken."""
    # A torchvision for another version of torch fails in this module, which no network here needs.
    sys.modules.setdefault(
        "torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations")
    )
    try:
        return importlib.import_module(name)
    except Exception as error:
        pytest.skip(f"{name} is not available: {error}")


def recorded(network: str) -> dict[str, Tensor]:
    """Read the recorded outputs of a network: {layer: up to 64 values by `seeded.spread`}."""
    with np.load(RECORDED) as file:
        names = [name for name in file.files if name.startswith(network + "/")]
        return {name.removeprefix(network + "/"): torch.from_numpy(file[name]) for name in names}


def check(found: Tensor, expected: Tensor, layer: str) -> None:
    """Assert that two tensors are equal to 1e-5, relative to the largest value if it is above 1.

    They are not exactly equal, because another processor adds numbers in another order.
    """
    tolerance = 1e-5 * max(1, expected.abs().max().item())
    torch.testing.assert_close(
        found, expected, rtol=1e-5, atol=tolerance, msg=lambda text: f"{layer}: {text}"
    )


def outputs(network: nn.Module, layers: list[str], x: Tensor) -> dict[str, Tensor]:
    """Run a network on x. Returns copies of the outputs of these layers.

    Copies are needed because the next layer may work in place.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        return lambda module, inputs, output: found.__setitem__(name, output.clone())

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found


RESNET_LAYERS = ["bn1", "maxpool", "layer1", "layer2", "layer3", "layer4"]
DEEPLAB_LAYERS = [
    *(f"backbone.layer{i}" for i in (1, 2, 3, 4)),
    *(f"classifier.0.convs.{i}" for i in range(4)),
]
DEEPLAB_LAYERS += ["classifier.0.project", "classifier.1", "classifier.4"]
UNET_LAYERS = ["inc", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "outc"]


def resnet50() -> dict[str, Tensor]:
    """Return the outputs of the layers of torchvision's resnet50, without the last classifier."""
    models = installed("torchvision.models")
    return outputs(
        seeded.filled(lambda: models.resnet50(weights=None)),
        RESNET_LAYERS,
        seeded.image(*SHAPES["resnet50"]),
    )


def resnet50_unet() -> dict[str, Tensor]:
    """Return the logits of Unet("resnet50") of segmentation_models_pytorch with 5 classes."""
    installed("torchvision")  # which it imports
    smp = installed("segmentation_models_pytorch")
    with torch.device("meta"):
        published = unet.build("resnet50-unet", 3, 5).state_dict()
        network = smp.Unet("resnet50", encoder_weights=None, in_channels=3, classes=5)
    inside = {}
    for name, tensor in seeded.weights(published).items():
        name = name.replace("head.", "segmentation_head.0.").replace("conv.double_conv.", "")
        renamed = {"0": "conv1.0", "1": "conv1.1", "3": "conv2.0", "4": "conv2.1"}
        for ours, theirs in renamed.items():
            name = re.sub(rf"^(decoder\.blocks\.\d)\.{ours}\.", rf"\1.{theirs}.", name)
        inside[name] = tensor
    network.load_state_dict(inside, assign=True)
    with torch.no_grad():
        return {"logits": network.eval()(seeded.image(*SHAPES["resnet50-unet"]))}


def deeplabv3_model() -> nn.Module:
    """Build torchvision's deeplabv3_resnet50 with 5 classes and the auxiliary classifier."""
    segmentation = installed("torchvision.models.segmentation")
    arguments = {"weights": None, "weights_backbone": None, "num_classes": 5, "aux_loss": True}
    return seeded.filled(lambda: segmentation.deeplabv3_resnet50(**arguments))


def deeplabv3() -> dict[str, Tensor]:
    """Return the outputs of the layers of torchvision's deeplabv3_resnet50, and its logits."""
    network, x = deeplabv3_model(), seeded.image(*SHAPES["deeplabv3"])
    with torch.no_grad():
        return {**outputs(network, DEEPLAB_LAYERS, x), "logits": network(x)["out"]}


def segformer_model(size: str) -> nn.Module:
    """Build transformers' SegformerForSemanticSegmentation with 5 classes."""
    transformers, (channels, depths, width) = installed("transformers"), SIZES[size]
    config = transformers.SegformerConfig(
        hidden_sizes=channels,
        depths=depths,
        decoder_hidden_size=width,
        num_labels=5,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        network = transformers.SegformerForSemanticSegmentation(config)
        published = unet.build(f"segformer-{size}", 3, 5).state_dict()
    renamed = RENAMED if any(".stages." in name for name in network.state_dict()) else []
    inside = {}
    for name, tensor in seeded.weights(published).items():
        for pattern, replacement in renamed:
            name = re.sub(pattern, replacement, name)
        inside[name] = tensor
    network.load_state_dict(inside, assign=True)
    return network.eval()


def segformer(size: str, shape: str = "segformer") -> dict[str, Tensor]:
    """Return the outputs of the four stages of transformers' network, and its logits (H/4, W/4)."""
    with torch.no_grad():
        found = segformer_model(size)(seeded.image(*SHAPES[shape]), output_hidden_states=True)
    return {
        **{f"stage{i + 1}": x for i, x in enumerate(found.hidden_states)},
        "logits": found.logits,
    }


def write_safetensors(path: Path, tensors: dict[str, Tensor], **more) -> Path:
    """Write the format of transformers' files: length of the header, header, numbers.

    `more` replaces entries of every tensor in the header.
    """
    kinds = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        raw = tensor.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        offsets = [len(data), len(data) + len(raw)]
        entry = {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        header[name] = {**entry, **more}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path
