"""A trained network as one file that runs without this repository: torch.export.

torch.export traces a network once and records a graph of tensor operations, with the weights beside
it. Sizes stay open where nothing in the network depends on them: any batch, and heights and widths
of any multiple of the network's `stride`. The archive (.pt2) has two more files:

    landcover.json   bands, indices, scaling and classes: how an image becomes the input, and the
                     output a map
    run.py           twenty lines that do so, with torch alone

The archive is read again and compared with the network before the file gets its name.

    network = torch.export.load("model.pt2").module()
    logits = network(torch.zeros(1, 6, 256, 256))

The test beside this file is tests/unet/test_export.py.
"""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from data.files import replacing
from unet.checkpoint import CheckpointError, build_model

TOLERANCE = 1e-4  # of a logit, relative to the largest
LARGEST = 2**16  # pixels along a side, and windows in a batch
# What torch.export raises.
UNTRACEABLE = (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError)

RUN = '''"""From an image's numbers to probabilities of the classes.

    python run.py model.pt2      with random numbers, as a trial
"""
import json
import sys

import torch

extra = {"landcover.json": ""}
network = torch.export.load(sys.argv[1], extra_files=extra).module()
about = json.loads(extra["landcover.json"])


@torch.no_grad()
def probabilities(image: torch.Tensor) -> torch.Tensor:
    """Numbers (bands, H, W) in the order of about["bands"] -> (classes, H, W)."""
    image, band = image.float(), dict(zip(about["bands"], image.float()))
    pairs = [(band[a] - band[b], band[a] + band[b]) for a, b in about["indices"].values()]
    ratios = [torch.where(total == 0, 0, difference / total) for difference, total in pairs]
    x = torch.stack([*image, *ratios])
    offset, scale = (torch.tensor(about["scaling"][key]) for key in ("offset", "scale"))
    if about["scaling"]["method"] == "image":  # each image by itself
        flat = x.flatten(1)[:, :: max(1, x[0].numel() // 2**20)]
        offset, high = flat.quantile(0.01, 1), flat.quantile(0.99, 1)
        scale = torch.where(high > offset, high - offset, 1)
    x = ((x - offset[:, None, None]) / scale[:, None, None]).clamp(*about["scaling"]["limits"])
    return network(x[None]).softmax(1)[0]


if __name__ == "__main__":
    print(json.dumps(about, indent=1))
    side = about["input"]["smallest"]
    print(probabilities(torch.rand(len(about["bands"]), side, side)).mean((1, 2)))
'''


def export(checkpoint: dict, path: str | Path, about: dict) -> str:
    """Write the network of a loaded checkpoint to a file.

    Where the sizes cannot stay open, the file takes one window of the training's size.

    Args:
        checkpoint: as `unet.checkpoint.load` returns it.
        path: of the file, ending in .pt2.
        about: plain values for landcover.json; the network's `input` and `output` are added.

    Returns:
        The sizes that the file takes, in words.

    Raises:
        CheckpointError: if the network cannot be exported, or the file gives other logits.
        OSError: if the file cannot be written.
    """
    path, network = Path(path), build_model(checkpoint)
    channels, stride = checkpoint["model"]["in_channels"], network.stride
    size = -(-checkpoint["size"] // stride) * stride
    with _quiet():
        try:
            program, sides = _open(network, channels, stride), (2 * stride, 3 * stride)
            sizes = f"any batch, heights and widths of multiples of {stride} from {2 * stride}"
        except UNTRACEABLE:
            program, sides = _fixed(network, channels, size, path), (size, size)
            sizes = f"one window of {size} x {size} pixels"
        about = {
            **about,
            "input": {
                "channels": channels,
                "sizes": sizes,
                "multiple_of": stride,
                "smallest": sides[0],
            },
            "output": "logits of each class; softmax over axis 1 makes them probabilities",
        }
        extra = {"landcover.json": json.dumps(about, indent=1), "run.py": RUN}
        archive = io.BytesIO()  # a file would leave its temporary name on everything inside
        torch.export.save(program, archive, extra_files=extra)
        _compare(network, torch.export.load(archive).module(), (1, channels, *sides), path)
    with replacing(path) as temporary:
        temporary.write_bytes(archive.getbuffer())
    return sizes


def _open(network: nn.Module, channels: int, stride: int) -> ExportedProgram:
    """Trace the network for any batch, and heights and widths of two or more times `stride`."""
    batch, most = Dim("batch", min=1, max=LARGEST), LARGEST // stride
    rows, columns = Dim("rows", min=2, max=most), Dim("columns", min=2, max=most)
    example = torch.zeros(2, channels, 2 * stride, 3 * stride)  # sides alike would be tied together
    sizes = ({0: batch, 2: stride * rows, 3: stride * columns},)
    return torch.export.export(network, (example,), dynamic_shapes=sizes)


def _fixed(network: nn.Module, channels: int, size: int, path: Path) -> ExportedProgram:
    """Trace the network for one window of size x size."""
    try:
        return torch.export.export(network, (torch.zeros(1, channels, size, size),))
    except UNTRACEABLE as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path}: the network cannot be exported: {reason}") from error


@torch.no_grad()
def _compare(network: nn.Module, exported, shape: tuple[int, ...], path: Path) -> None:
    """Raise CheckpointError where the two give different logits for random numbers."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    expected = network(x)
    difference = (exported(x) - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"{path}: the exported network's logits are off by {difference:.1e}; please report it"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch.export's log and warnings, which are about its own working."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
