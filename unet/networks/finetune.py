"""Fine-tuning: a network that begins with what another run has learned, perhaps of other classes
and bands.

A tensor of the same name and shape is taken as it is. Two layers speak of the outside: the first
convolution has a slice for each channel of the input, the last one a row for each class. They take
the slices and rows of those that both runs name; the rest of them stays as it was made.

The test beside this file is tests/unet/networks/test_finetune.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unet.checkpoint import CheckpointError


def transfer(source: dict, model: nn.Module, inputs: Sequence[str], classes: Sequence[str]) -> str:
    """Take what fits from a loaded checkpoint; returns what was taken, taken in part, and made
    anew, as text.

    inputs, classes: names of the channels and classes of `model`. Raises CheckpointError where
    nothing fits.
    """
    old, new = source["weights"], model.state_dict()
    old_classes = list(
        dict.fromkeys(record["name"] for record in source["classes"] if not record["ignore"])
    )
    outside = {
        next(iter(new)): (1, list(inputs), source["bands"] + source["indices"])
    }  # axis, names here and there
    head = next(reversed(new)).rpartition(".")[
        0
    ]  # the layer of the last tensor: its weight, and its bias
    outside |= {
        name: (0, list(classes), old_classes) for name in new if name.startswith(head + ".")
    }
    taken, part, anew = [], [], []
    for name, tensor in new.items():
        axis, here, there = outside.get(name, (0, [], []))
        both = [one for one in here if one in there]
        if (
            name not in old
            or (here and not both)
            or not _fits(tensor, old[name], axis if here != there else None)
        ):
            anew.append(name)
        elif here == there:
            tensor.copy_(old[name])
            taken.append(name)
        else:
            to, fro = (
                torch.tensor([names.index(one) for one in both], dtype=torch.long)
                for names in (here, there)
            )
            tensor.index_copy_(
                axis, to.to(tensor.device), old[name].index_select(axis, fro).to(tensor)
            )
            part.append(f"{name} ({', '.join(both)})")
    if all(
        new[name].ndim < 2 for name in taken
    ):  # counters and biases may be equal where no layer is
        raise CheckpointError(
            "--finetune: no tensor fits; give the --model and --base that the checkpoint has"
        )
    said = {
        "taken": f"{len(taken)} tensors of {len(new)}",
        "in part": "; ".join(part),
        "made anew": ", ".join(anew),
    }
    return "\n".join(f"{what}: {which}" for what, which in said.items() if which)


def _fits(tensor: Tensor, other: Tensor, free: int | None) -> bool:
    """Whether the shapes are equal, but for the axis `free`."""
    shapes = [[n for axis, n in enumerate(t.shape) if axis != free] for t in (tensor, other)]
    return shapes[0] == shapes[1]
