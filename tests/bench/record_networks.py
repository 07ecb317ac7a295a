"""Records what the published networks give, layer by layer, for the tests of ours:
tests/recorded/networks.npz.

    git clone https://github.com/milesial/Pytorch-UNet
    python tests/bench/record_networks.py Pytorch-UNet

Needs torchvision, transformers and segmentation_models_pytorch beside torch. Weights and images
come from the rule in tests/seeded.py, sizes from tests/originals.py; of each layer 64 values are
kept. The file names the versions that it was made with.
"""

import importlib
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import originals  # noqa: E402
import seeded  # noqa: E402

from unet.networks.segformer import SIZES  # noqa: E402


def milesial(folder: str, bilinear: bool) -> dict:
    """Layer by layer, the UNet of a clone of milesial/Pytorch-UNet, which is called `unet` as ours
    is.
    """
    ours = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "unet"
    }
    sys.path.insert(0, folder)
    network = importlib.import_module("unet").UNet
    sys.path.remove(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "unet"]:
        del sys.modules[name]
    sys.modules.update(ours)
    built = seeded.filled(lambda: network(n_channels=3, n_classes=5, bilinear=bilinear))
    return originals.outputs(built, originals.UNET_LAYERS, seeded.image(*originals.SHAPES["unet"]))


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1], "unet").is_dir():
        sys.exit(__doc__)
    versions = [
        f"{name} {originals.installed(name).__version__}"
        for name in ("torch", "torchvision", "transformers", "segmentation_models_pytorch")
    ]
    networks = {
        "unet": milesial(sys.argv[1], bilinear=False),
        "unet-bilinear": milesial(sys.argv[1], bilinear=True),
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
    originals.RECORDED.parent.mkdir(exist_ok=True)
    np.savez_compressed(originals.RECORDED, versions=np.array(versions), **values)
    size = originals.RECORDED.stat().st_size / 1e3
    print(f"{originals.RECORDED}: {len(values)} layers, {size:.0f} kB")
    print("; ".join(versions))
    for name, value in values.items():
        if name.endswith(("logits", "outc", "layer4")):
            print(f"  {name}: from {value.min():.3f} to {value.max():.3f}")


if __name__ == "__main__":
    main()
