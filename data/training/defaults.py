"""Options of a training that were not given, and that depend on the images or the network.

    --model         unet-3 if all images are small tiles, else unet
    --size, --batch, --weight-decay
                    small windows, large batches and a strong decay for unet-3
    --lr            a lower one for the large networks
    --scaling       image if the bands of the images seem to be stretched one by one, else minmax

What they are worth was measured on three sets of images: tests/bench/README.md, "What helps".

Read beside it: tests/data/training/test_defaults.py.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data.grid import Window
from data.scaling import valid_pixels
from data.training.scenes import Scene
from data.training.windows import WHOLE

OF_NETWORK: dict[str, dict[str, Any]] = {
    "unet-3": {"size": 32, "batch": 48, "weight_decay": 0.05, "lr": 2e-3},
    "unet": {"size": None, "batch": 12, "weight_decay": 1e-4, "lr": 2e-3},
    "others": {"size": None, "batch": 12, "weight_decay": 1e-4, "lr": 5e-4},
}

# Images whose bands were stretched: at both ends, this share of the bands of all images reaches the
# extreme of the set, in no larger share of its image than RARE, or in one pixel. 24 random images
# of s2-india are found in 96 % of the draws, 24 of dubai-aerial in none.
REACHED, RARE = 0.25, 3e-4
AT_LEAST, AT_MOST = 24, 48  # images that are looked at
LARGEST = 1 << 20  # pixels of such an image


def complete(args: Namespace, scenes: Sequence[Scene], say: Callable) -> None:
    """Set the options of train.py that were not given, and say what is chosen by the images.

    A resumed run keeps its options, also those that have no value.

    Args:
        args: The options. Those that are None are set; --scaling if it is "auto".
        scenes: All scenes of the training, with the numbers of their files.
        say: Prints a line.
    """
    if args.resume:
        return
    longest = max(max(scene.grid.height, scene.grid.width) for scene in scenes)
    chosen = not args.model
    args.model = args.model or ("unet-3" if longest <= WHOLE else "unet")
    defaults = dict(OF_NETWORK.get(args.model, OF_NETWORK["others"]))
    if args.optimizer == "adam":  # it adds the decay to the gradient, where 0.05 is far too much
        defaults["weight_decay"] = OF_NETWORK["others"]["weight_decay"]
    if defaults["size"]:  # a window larger than all images would be padded
        defaults["size"] = min(defaults["size"], longest)
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if chosen and longest <= WHOLE:
        say(
            f"no image is longer than {WHOLE} pixels: --model {args.model} --size {args.size} "
            f"--batch {args.batch} --weight-decay {args.weight_decay:g}"
        )
    if args.scaling == "auto":
        args.scaling = "image" if scaled_by_itself(scenes) else "minmax"
        if args.scaling == "image":
            say(
                "the bands of the images seem to be stretched one by one, so equal numbers are not "
                "equally bright: --scaling image (minmax scales all alike)"
            )


def scaled_by_itself(scenes: Sequence[Scene]) -> bool:
    """Return whether the bands of the images seem to be stretched one by one to the same range.

    If they were stretched from minimum to maximum, the extremes of many bands are those of the
    whole set, and few pixels have them. The extremes of reflectances differ from image to image. In
    most photographs, many pixels are black or white. Photographs in which few are, but some in each
    band, look stretched. A stretch between percentiles, which cuts off both ends, is not found, nor
    one in few or large images.
    """
    small = [s for s in scenes if s.grid.height * s.grid.width <= LARGEST]
    ends: list[np.ndarray] = []
    rare: list[list] = []
    for scene in small[:: -(-len(small) // AT_MOST) or 1]:
        image = scene.read(Window(0, 0, scene.grid.height, scene.grid.width))
        pixels = image[:, valid_pixels(image, scene.nodata)]
        if pixels.size and (not ends or len(pixels) == ends[0].shape[1]):
            ends.append(np.stack([pixels.min(1), pixels.max(1)]))  # (2, C)
            few = max(1, RARE * pixels.shape[1])
            rare.append([np.count_nonzero(pixels == e[:, None], 1) <= few for e in ends[-1]])
    if len(ends) < AT_LEAST:
        return False
    each = np.stack(ends)  # (n, 2, C)
    extremes = np.stack([each[:, 0].min(0), each[:, 1].max(0)])
    reached = (each == extremes) & np.stack(rare)
    return bool((reached.mean((0, 2)) >= REACHED).all())
