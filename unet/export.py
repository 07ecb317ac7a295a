"""Export of a trained network to one file that runs without this repository.

    python -m unet.export runs/a/best.pt -o model.pt2     for torch
    python -m unet.export runs/a/best.pt -o model.onnx    for QGIS and onnxruntime

evaluation/export_onnx.py makes the second file. The first one is made by torch.export. It runs a
network once and records a graph of its tensor operations. The archive (.pt2) holds this graph and
the weights. Most graphs take batches of any size, and sides of two or more times the network's
`stride`. A graph whose sizes cannot stay open takes one window. The archive also has two files:

    landcover.json   bands, indices, scaling and classes: how to make the input from an image, and a
                     map from the output
    run.py           a script that makes the input and runs the network, with torch alone

The archive is loaded again and its logits are compared with those of the network. Only then is the
file written. Use it so:

    network = torch.export.load("model.pt2").module()
    logits = network(torch.zeros(1, 6, 256, 256))

Read beside it: tests/unet/test_export.py.
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

from data.files import InputError, printable, put, refuse_input, replacing
from unet.checkpoint import CheckpointError, build_model, find, load, temperature
from unet.evaluation import export_onnx
from unet.evaluation.command import Parser, one_line_errors
from unet.networks.layers import Network

TOLERANCE = 1e-4  # largest difference of a logit, relative to the largest logit
LARGEST = 2**16  # most pixels along a side, and most windows in a batch
# The errors of torch.export for a network whose operations it cannot record.
UNTRACEABLE = (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError)

RUN = Path(__file__).with_name("evaluation") / "run_exported.py"


def export(checkpoint: dict, path: str | Path) -> str:
    """Write the network of a loaded checkpoint to a file.

    Args:
        checkpoint: result of `unet.checkpoint.load`. Its recipe is written into the file, together
            with a description of input and output.
        path: path of the file, ending in .pt2 or .onnx.

    Returns:
        The images that the file takes, in words.

    Raises:
        InputError: the path or the checkpoint cannot be used, a package is missing, the network
            cannot be exported, or the file computes something else.
    """
    path = Path(path)
    if path.suffix not in (".pt2", ".onnx"):
        raise InputError(f"{path}: the name of an exported network ends in .pt2 or .onnx")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    if "recipe" not in checkpoint:
        raise InputError(f"{path}: the checkpoint is of version 1; export it with that version")
    network, about, size = build_model(checkpoint), description(checkpoint), checkpoint["size"]
    with _quiet():
        if path.suffix == ".onnx":
            content, taken = export_onnx.write(network, about, size, path)
        else:
            content, taken = _archive(network, about, size, path)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return taken


def description(checkpoint: dict) -> dict:
    """Describe the way from the numbers of an image to probabilities: see run_exported.py."""
    return {
        "nodata_value": checkpoint.get("nodata"),  # older recipes do not have it
        **checkpoint["recipe"],
        "image_offset": (checkpoint.get("settings") or {}).get("offset", 0),
        "temperature": temperature(checkpoint),
    }


def _archive(network: Network, about: dict, size: int, path: Path) -> tuple[bytes, str]:
    """Return the bytes of a file .pt2, and the sizes of images that it takes, in words.

    If the sizes cannot stay open, the file takes one window as large as those of the training.
    """
    channels, stride = len(about["bands"]) + len(about["indices"]), network.stride
    size = -(-size // stride) * stride
    try:
        program = _open(network, channels, stride)
        sides = (2 * stride, 3 * stride)
        sizes = f"any batch, heights and widths of multiples of {stride} from {2 * stride}"
    except UNTRACEABLE:
        program = _fixed(network, channels, size, path)
        sides = (size, size)
        sizes = f"one window of {size} x {size} pixels"
    taken = {"channels": channels, "sizes": sizes, "multiple_of": stride, "smallest": sides[0]}
    given = "logits of each class; softmax(logits / temperature) over axis 1: probabilities"
    extra = {
        "landcover.json": json.dumps({**about, "input": taken, "output": given}, indent=1),
        "run.py": RUN.read_text(encoding="utf-8"),
    }
    archive = io.BytesIO()  # torch would write the name of a temporary file into it
    torch.export.save(program, archive, extra_files=extra)
    _compare(network, torch.export.load(archive).module(), (1, channels, *sides), path)
    return archive.getvalue(), sizes


def _open(network: Network, channels: int, stride: int) -> ExportedProgram:
    """Trace the network for any batch, and for sides of 2, 3, 4, ... times `stride`."""
    batch, most = Dim("batch", min=1, max=LARGEST), LARGEST // stride
    rows, columns = Dim("rows", min=2, max=most), Dim("columns", min=2, max=most)
    # The sides differ, because torch.export would assume that equal sides are always equal.
    example = torch.zeros(2, channels, 2 * stride, 3 * stride)
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
    """Raise CheckpointError if the two networks compute different logits for random input."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    expected = network(x)
    difference = (exported(x) - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"{path}: the exported network's logits are off by {difference:.1e}; please report it"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the log messages and warnings of torch.export."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    about = "Write the network of a checkpoint as a file that runs without this program."
    parser = Parser("python -m unet.export", description=about)
    parser.add_argument("checkpoint", type=Path, help="best.pt, or the folder of a run")
    ending = "the file: .pt2 for torch, .onnx for QGIS and onnxruntime"
    parser.add_argument("-o", "--output", type=Path, required=True, help=ending)
    args = parser.parse_args(arguments)
    path = find(args.checkpoint)
    refuse_input([args.output], [path])
    put(printable(f"{args.output}: takes {export(load(path), args.output)}"))


if __name__ == "__main__":
    with one_line_errors("unet.export"):
        main()
