"""A trained network as an ONNX file, for the plugin Deepness of QGIS and for onnxruntime.

The graph takes images (N, bands, H, W) float32 with numbers as in the raster, and returns the
probabilities (N, classes, H, W) of the classes. Between them are the computations of
run_exported.py: no-data, indices, scaling, the network, and softmax. N is free. H and W are fixed,
because the plugin cuts an image into square tiles of the size that the file states.

The plugin divides all numbers by 255, whatever their type, subtracts `standardization_mean` and
divides by `standardization_std`. With 0 and 1/255 the graph gets the numbers of the raster. Without
the entries `seg_thresh` and `seg_small_segment` the plugin would replace unlikely classes by the
first class, and smooth the map. The plugin has no no-data: such pixels get a class. Class 0 is a
class like the others. The keys are those of its documentation (Adding metadata to ONNX model,
https://qgis-plugin-deepness.readthedocs.io) and of version 0.6.5, which reads `tile_size` where the
documentation has `tiles_size`.

Read beside it: tests/unet/test_export_onnx.py.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from unet.checkpoint import CheckpointError
from unet.evaluation import run_exported

# onnxruntime 1.14 and newer reads these versions; the plugin installs 1.17 or older.
OPSET, IR_VERSION = 18, 8
# Windows of predict.py: data/tiling.py.
LEAST, STEP, OVERLAP = 256, 32, 64
MOST = 2**16  # images of a batch
TOLERANCE = 1e-4  # largest difference of a probability


class MissingPackageError(CheckpointError):
    """The packages that write ONNX files are not installed."""


class WholePath(nn.Module):
    """From the numbers of a raster to probabilities: (N, bands, H, W) -> (N, classes, H, W).

    Args:
        network: the network, in evaluation mode.
        about: the description that is landcover.json in files .pt2.
    """

    def __init__(self, network: nn.Module, about: dict):
        super().__init__()
        self.network, self.about = network, about

    def forward(self, images: Tensor) -> Tensor:
        return run_exported.softmax(self.network, self.about, images)


def window(size: int) -> int:
    """Return the side of the tiles for a network that was trained on windows of `size` pixels.

    >>> window(150), window(512), window(300)
    (256, 512, 320)
    """
    return max(LEAST, -(-size // STEP) * STEP)


def write(network: nn.Module, about: dict, size: int, path: Path) -> tuple[bytes, str]:
    """Convert a network to the bytes of an ONNX file, and compare both.

    Args:
        network: the network, in evaluation mode.
        about: the description that is landcover.json in files .pt2.
        size: side in pixels of the windows in training.
        path: path of the file, for messages.

    Returns:
        The bytes, and the images that the file takes, in words.

    Raises:
        MissingPackageError: a package is missing.
        CheckpointError: the network cannot be converted, or the file gives other probabilities.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError:
        needs = "needs the packages onnx and onnxscript; pip install onnx onnxscript"
        raise MissingPackageError(f"{path}: {needs}") from None
    if about["scaling"]["method"] == "image":
        raise CheckpointError(
            f"{path}: --scaling image fits the scaling to the whole image, and an ONNX file sees "
            "one tile; train with --scaling minmax or standard, or export to .pt2"
        )
    side = window(size)
    whole = WholePath(network, about).eval()
    example = torch.zeros(2, len(about["bands"]), side, side)
    try:
        program = torch.export.export(
            whole, (example,), dynamic_shapes=({0: Dim("batch", min=1, max=MOST)},)
        )
        model = torch.onnx.export(
            program,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probabilities"],
            verbose=False,
        ).model_proto
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path}: the network cannot be converted: {reason}") from error
    model.ir_version = IR_VERSION
    for node in model.graph.node:  # they hold paths of this computer
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    model.graph.ClearField("value_info")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, metadata(about, side))
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    _compare(whole, _runner(content), about, side, path)
    offset = about["image_offset"]
    added = f" (the file adds the offset {offset:g} of the training)" if offset else ""
    return content, (
        f"any number of images of {side} x {side} pixels, bands as in the raster{added}: "
        + ", ".join(about["bands"])
    )


def metadata(about: dict, side: int) -> dict[str, str]:
    """Return what the plugin reads from a file, each value as JSON, and the description.

    Args:
        about: the description that is landcover.json in files .pt2.
        side: side in pixels of the tiles.
    """
    metres = about.get("crs_resolution_metres") or about["resolution_metres"]
    bands = len(about["bands"])
    values = {
        "model_type": "Segmentor",
        "class_names": {str(one["label"]): one["name"] for one in about["classes"]},
        "tile_size": side,
        "tiles_size": side,
        "tiles_overlap": math.ceil(100 * OVERLAP / side),  # per cent
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1 / 255] * bands,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
        **({"resolution": round(metres * 100, 2)} if metres else {}),  # centimetres per pixel
        "landcover": about,
    }
    return {name: json.dumps(value) for name, value in values.items()}


def _runner(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs the file: by onnxruntime, else by the slow evaluator of onnx."""
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(content)
        return lambda images: evaluator.run(None, {"image": images})[0]
    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})[0]


@torch.no_grad()
def _compare(whole: nn.Module, run: Callable, about: dict, side: int, path: Path) -> None:
    """Raise CheckpointError if the file gives other probabilities for random numbers."""
    bands, generator = len(about["bands"]), torch.Generator().manual_seed(0)
    offset, scale = (
        torch.tensor(about["scaling"][key][:bands])[:, None, None] for key in ("offset", "scale")
    )
    images = torch.rand((1, bands, side, side), generator=generator) * scale + offset
    images = images - about["image_offset"]
    images[:, :, :8, :8] = about["nodata_value"] or 0
    images[:, 0, 8:16, :8] = torch.nan
    difference = np.abs(run(images.numpy()) - whole(images).numpy()).max()
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"{path}: the exported network's probabilities are off by {difference:.1e}; "
            "please report it"
        )
