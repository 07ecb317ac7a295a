"""Run an exported network: from the pixels of an image to probabilities of the classes.

    python run.py model.pt2      runs the network on random pixels

unet/export.py copies this file, as run.py, into each file .pt2, and records its computation in
each file .onnx. It imports only torch.

Read beside it: tests/unet/test_export.py.
"""

import json
import sys

import torch
from torch import Tensor

# Declared values that may also be a dark or a saturated surface: 0, and the largest of 8 and 16
# bits. A pixel has no data only if all its bands have the value.
MEASURABLE = (0, 255, 65535)
# Relative difference at which a number is the declared value. Programs that divide by 255 and
# multiply again change the last digits.
SAME = 1e-6
LEAST_OFFSET = 2.55  # smaller offsets are in reflectance from 0 to 1


def load(path: str) -> tuple[torch.nn.Module, dict]:
    """Load an exported network and its landcover.json."""
    extra = {"landcover.json": ""}
    network = torch.export.load(path, extra_files=extra).module()
    return network, json.loads(extra["landcover.json"])


@torch.no_grad()
def probabilities(network: torch.nn.Module, about: dict, image: Tensor) -> Tensor:
    """Compute the probabilities of the classes.

    Args:
        network: from `load`.
        about: from `load`.
        image: (bands, H, W), bands in the order of about["bands"], numbers as in the file.

    Returns:
        (classes, H, W).
    """
    return softmax(network, about, image[None])[0]


def softmax(network: torch.nn.Module, about: dict, images: Tensor) -> Tensor:
    """Compute the probabilities (N, classes, H, W) of images (N, bands, H, W)."""
    logits = network(network_input(about, images))
    return (logits / about["temperature"]).softmax(1)


def network_input(about: dict, images: Tensor) -> Tensor:
    """Make the input (N, bands + indices, H, W) of images (N, bands, H, W).

    The input is 0 for pixels without data, and where a band has the declared value.
    """
    images = _numbers(about, images.float())
    band = dict(zip(about["bands"], images.unbind(1)))
    pairs = [(band[a] - band[b], band[a] + band[b]) for a, b in about["indices"].values()]
    indices = [torch.where(total == 0, 0, difference / total) for difference, total in pairs]
    x = torch.stack([*band.values(), *indices], 1)
    offset, scale = _scaling(about["scaling"], x)
    scaled = (x - offset[..., None, None]) / scale[..., None, None]
    return torch.where(x.isnan(), 0, scaled.clamp(*about["scaling"]["limits"]))


def _numbers(about: dict, images: Tensor) -> Tensor:
    """Add the offset of the training to the numbers, and replace those without data by NaN."""
    offset, nodata = about["image_offset"], about["nodata_value"]
    absent = ~images.isfinite().all(1, keepdim=True)
    if nodata is not None:
        declared = (images - nodata).abs() <= abs(nodata) * SAME
        every = nodata in MEASURABLE
        absent = absent | (declared.all(1, True) if every else declared.any(1, True))
        absent = absent if offset else absent | declared
    if offset:
        images = images + offset
        # A whole number plus an offset is at least 1, since reflectances are positive.
        least = 1 if abs(offset) >= LEAST_OFFSET else -torch.inf
        images = torch.where(images < least, least, images)
    return torch.where(absent, torch.nan, images)


def _scaling(scaling: dict, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return offset and scale of each channel. With method image, each image has its own."""
    if scaling["method"] != "image":
        return torch.tensor(scaling["offset"]), torch.tensor(scaling["scale"])
    flat = x.flatten(2)[:, :, :: max(1, x[0, 0].numel() // 2**20)]
    low, high = flat.nanquantile(0.01, 2), flat.nanquantile(0.99, 2)
    return low, torch.where(high > low, high - low, 1)


if __name__ == "__main__":
    network, about = load(sys.argv[1])
    print(json.dumps(about, indent=1))
    side = about["input"]["smallest"]
    image = torch.rand(len(about["bands"]), side, side)
    print(probabilities(network, about, image).mean((1, 2)))
