"""Make the figures of the course: tests/figures/pictures, and the page that shows them.

    make figures
    python tests/figures/make.py resample tiling     only those whose names begin so

The figures are drawn from a synthetic town by the functions of the product. Six of them need a
trained network. It is trained as by `make train`, once: its checkpoints stay in runs/figures. These
figures differ between machines and numbers of threads, because sums are rounded in another order.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from figures import maps, network, rasters, scores, trained, values, votes  # noqa: E402
from figures.svg import Figure  # noqa: E402

from data.files import replacing  # noqa: E402
from data.sample.towns import Sample  # noqa: E402
from data.terminal import one_line_errors  # noqa: E402
from unet import checkpoint  # noqa: E402

PICTURES = Path(__file__).with_name("pictures")
PAGE = Path(__file__).with_name("README.md")


class Materials:
    """What figures are drawn from. Each part is made when it is first asked for.

    Args:
        folder: For the checkpoints of the training.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def town(self) -> Sample:
        """The town of the figures."""
        return trained.town(trained.TOWN)

    @cached_property
    def checkpoints(self) -> dict[int, Path]:
        """{epoch: checkpoint}."""
        return trained.checkpoints(self.folder)

    @cached_property
    def loaded(self) -> dict:
        """The checkpoint of the last epoch."""
        return checkpoint.load(self.checkpoints[max(self.checkpoints)])

    @cached_property
    def measured(self) -> maps.Measured:
        """What was measured with towns that the network has not seen."""
        others = [number for number in trained.UNSEEN if number != trained.TOWN]
        towns = {trained.TOWN: self.town} | {number: trained.town(number) for number in others}
        with tempfile.TemporaryDirectory() as folder:
            return maps.measure(towns, self.checkpoints, Path(folder))


class Entry(NamedTuple):
    """A figure of the course."""

    station: int
    draw: Callable[[Materials], Figure]
    caption: str


FIGURES = {
    "grid": Entry(
        1,
        lambda have: rasters.grids(have.town),
        "A town's mask on its own grid (EPSG:3035) and on the grid of the image (EPSG:3857), with "
        "the lines of both grids, and one pixel centre computed from the map of the one to that of "
        "the other.",
    ),
    "pixel_area": Entry(
        1,
        lambda have: rasters.pixel_area(have.town),
        "The ground area of a pixel of 10 m x 10 m in Web Mercator by latitude: it falls from "
        "about 100 square metres at the equator to a quarter at 60 degrees.",
    ),
    "resample": Entry(
        2,
        lambda have: votes.target_pixel(have.town),
        "One target pixel over the source pixels of a mask: each source pixel whose centre lies "
        "inside votes for its class; mode takes the class with the most votes, nearest the class "
        "under the centre.",
    ),
    "classes": Entry(
        3,
        lambda have: values.classes(have.town),
        "A mask, the codes of some of its pixels, the labels to which the class table esm converts "
        "them, and the rows of the table with their pixels in this mask.",
    ),
    "bands": Entry(
        4,
        lambda have: values.scaling(have.town),
        "A town in red, green and blue, its NDVI, and the histograms of red, near infrared and "
        "NDVI before and after scaling: the 1st and 99th percentile become 0 and 1.",
    ),
    "tiling": Entry(
        5,
        lambda have: values.blending(),
        "Three windows that overlap along one axis of a scene, the blending weight of each at "
        "every pixel, and the sum of the weights, which is 1 everywhere in the scene.",
    ),
    "unet": Entry(
        6,
        lambda have: network.unet(have.town, have.loaded),
        "The U-Net with feature maps of a town at each of its five levels: the encoder on the "
        "left, the decoder on the right, and the skip connections between them.",
    ),
    "receptive_field": Entry(
        6,
        lambda have: network.receptive_field(have.town, have.loaded),
        "The gradients of one output pixel of a trained U-Net by its input, the square that the "
        "formula of the receptive field gives, and the farthest gradient that was measured.",
    ),
    "losses": Entry(
        7,
        lambda have: scores.curves(),
        "Cross-entropy, focal and Dice loss over the probability of the right class, and their "
        "slopes by the logit, for two equal classes and for one pixel of a rare class among 99 "
        "others, which Dice pulls most. There are no class weights.",
    ),
    "metrics": Entry(
        8,
        lambda have: scores.taken_apart(have.measured.confusion, maps.unseen(trained.UNSEEN)),
        "A confusion matrix of three classes, the cells that recall, precision, IoU and Dice take "
        "from it, and their values for each class.",
    ),
    "epochs": Entry(
        9,
        lambda have: maps.epochs(have.town, have.measured),
        "The image of a town that no training saw, the truth, and its map after epochs 1, 3, 10 "
        "and 36 of `make train`, each with its macro Dice and its accuracy.",
    ),
    "reliability": Entry(
        10,
        lambda have: maps.diagram(have.measured, len(trained.UNSEEN)),
        "A reliability diagram: the share of right pixels over the confidence of the network, for "
        "eight towns that no training saw, and the share of the pixels in each bin.",
    ),
    "areas": Entry(
        10,
        lambda have: maps.intervals(have.measured),
        "Shares of two classes in eight towns that no training saw: the truth, the share as "
        "mapped, and the adjusted share with its 95 % interval.",
    ),
}
TRAINED = "unet", "receptive_field", "metrics", "epochs", "reliability", "areas"


def path_of(name: str) -> Path:
    """Return the file of a figure."""
    return PICTURES / f"{FIGURES[name].station:02}_{name}.svg"


def text_of(name: str, have: Materials) -> str:
    """Draw a figure. Returns the text of its file."""
    return FIGURES[name].draw(have).svg(FIGURES[name].caption)


def page() -> str:
    """Return the page that shows all figures, in the order of the stations."""
    parts = [
        "# Figures of the course",
        "`make figures` makes these figures again, from a synthetic town and with the functions of "
        "the\nproduct. `python tests/figures/make.py grid` makes one. "
        "`tests/figures/test_figures.py` checks the\nnumbers that they draw. Six come from "
        "a training, and differ between machines.",
    ]
    for name, entry in FIGURES.items():
        file = path_of(name).relative_to(PAGE.parent)
        parts.append(f"## {entry.station}. {name.replace('_', ' ')}")
        parts.append(f"![{entry.caption}]({file})")
        parts.append(f"*{entry.caption}*")
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Make the figures that are named, or all, and print what was written."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", help="figures, by the start of a name (default: all)")
    default = ROOT / "runs/figures"
    parser.add_argument("--trained", type=Path, default=default, help="checkpoints")
    args = parser.parse_args(arguments)
    chosen = [n for n in FIGURES if not args.names or n.startswith(tuple(args.names))]
    if not chosen:
        parser.error(f"{' '.join(args.names)}: no such figure; there are {', '.join(FIGURES)}")
    have, began = Materials(args.trained), time.monotonic()
    for name in chosen:
        start, path = time.monotonic(), path_of(name)
        text = text_of(name, have)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        seconds = time.monotonic() - start
        shown = path.relative_to(ROOT)
        print(f"{shown}  {len(text.encode()) / 1000:.0f} kB, {seconds:.1f} s", flush=True)
    with replacing(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}  ({time.monotonic() - began:.1f} s for {len(chosen)} figures)")


if __name__ == "__main__":
    with one_line_errors("make.py"):
        main()
