"""Record the outputs of the published networks, layer by layer: tests/recorded/networks.npz.

    git clone https://github.com/milesial/Pytorch-UNet
    python tests/bench/record_networks.py Pytorch-UNet

The tests compare the networks of this project with this file. Recording needs torchvision,
transformers and segmentation_models_pytorch beside torch. Weights and images come from the rule in
tests/seeded.py, sizes from tests/originals.py. Of each layer 64 values are kept. The file names the
versions that made it.
"""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import originals  # noqa: E402
import seeded  # noqa: E402

from unet.networks.segformer import SIZES  # noqa: E402


def milesial(folder: str, bilinear: bool) -> dict:
    """Return the outputs of the UNet in a clone of milesial/Pytorch-UNet, layer by layer.

    Its package is called `unet`, as that of this project is.
    """
    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "unet"}
    for name in ours:
        del sys.modules[name]
    sys.path.insert(0, folder)
    network = importlib.import_module("unet").UNet
    sys.path.remove(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "unet"]:
        del sys.modules[name]
    sys.modules.update(ours)
    built = seeded.filled(lambda: network(n_channels=3, n_classes=5, bilinear=bilinear))
    return originals.outputs(built, originals.UNET_LAYERS, seeded.image(*originals.SHAPES["unet"]))


def main() -> None:
    """Record all networks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("clone", type=Path, help="folder of a clone of milesial/Pytorch-UNet")
    parser.add_argument("-o", "--output", type=Path, default=originals.RECORDED, metavar="FILE")
    args = parser.parse_args()
    if not (args.clone / "unet").is_dir():
        parser.error(f"{args.clone}: is not a clone of milesial/Pytorch-UNet")
    libraries = ("torch", "torchvision", "transformers", "segmentation_models_pytorch")
    versions = [f"{name} {originals.installed(name).__version__}" for name in libraries]
    networks = {
        "unet": milesial(str(args.clone), bilinear=False),
        "unet-bilinear": milesial(str(args.clone), bilinear=True),
        "resnet50": originals.resnet50(),
        "resnet50-unet": originals.resnet50_unet(),
        "deeplabv3": originals.deeplabv3(),
        **{f"segformer-{size}": originals.segformer(size) for size in SIZES},
        "segformer-b0-odd": originals.segformer("b0", "odd"),
    }
    values = {
        f"{network}/{layer}": seeded.spread(output).numpy()
        for network, layers in networks.items()
        for layer, output in layers.items()
    }
    args.output.parent.mkdir(exist_ok=True)
    np.savez_compressed(args.output, versions=np.array(versions), **values)
    size = args.output.stat().st_size / 1e3
    print(f"{args.output}: {len(values)} layers, {size:.0f} kB")
    print("; ".join(versions))
    for name, value in values.items():
        if name.endswith(("logits", "outc", "layer4")):
            print(f"  {name}: from {value.min():.3f} to {value.max():.3f}")


if __name__ == "__main__":
    main()
