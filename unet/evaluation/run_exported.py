"""Run an exported network: from the pixels of an image to probabilities of the classes.

    python run.py model.pt2      runs the network on random pixels

unet/export.py copies this file, as run.py, into each exported network. It imports only torch.

Read beside it: tests/unet/test_export.py.
"""

import json
import sys

import torch


def load(path: str) -> tuple[torch.nn.Module, dict]:
    """Load an exported network and its landcover.json."""
    extra = {"landcover.json": ""}
    network = torch.export.load(path, extra_files=extra).module()
    return network, json.loads(extra["landcover.json"])


@torch.no_grad()
def probabilities(network: torch.nn.Module, about: dict, image: torch.Tensor) -> torch.Tensor:
    """Compute the probabilities of the classes.

    Args:
        network: from `load`.
        about: from `load`.
        image: (bands, H, W), bands in the order of about["bands"].

    Returns:
        (classes, H, W).
    """
    image = image.float()
    band = dict(zip(about["bands"], image))
    pairs = [(band[a] - band[b], band[a] + band[b]) for a, b in about["indices"].values()]
    indices = [torch.where(total == 0, 0, difference / total) for difference, total in pairs]
    x = torch.stack([*image, *indices])
    offset, scale = (torch.tensor(about["scaling"][key]) for key in ("offset", "scale"))
    if about["scaling"]["method"] == "image":  # each image is scaled by itself
        flat = x.flatten(1)[:, :: max(1, x[0].numel() // 2**20)]
        offset, high = flat.quantile(0.01, 1), flat.quantile(0.99, 1)
        scale = torch.where(high > offset, high - offset, 1)
    x = ((x - offset[:, None, None]) / scale[:, None, None]).clamp(*about["scaling"]["limits"])
    return (network(x[None]) / about["temperature"]).softmax(1)[0]


if __name__ == "__main__":
    network, about = load(sys.argv[1])
    print(json.dumps(about, indent=1))
    side = about["input"]["smallest"]
    image = torch.rand(len(about["bands"]), side, side)
    print(probabilities(network, about, image).mean((1, 2)))
