"""The options of predict.py.

Read beside it: tests/test_predict.py.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from unet.training.device import PRECISIONS


def add_map_options(parser: ArgumentParser, within: Callable, overlap: int) -> None:
    """Add the images and the options to a parser, in four groups.

    Args:
        parser: The parser of the script.
        within: `data.terminal.within`, which makes the types of numbers.
        overlap: Default of --overlap, in pixels.
    """
    add = parser.add_argument
    text = "images to map (GeoTIFF, PNG, JPEG, folders of Sentinel-2), or folders of them"
    add("images", nargs="*", type=Path, help=text)
    text = "best.pt of a training, or the folder of a run (default: newest finished run in runs/)"
    add("--checkpoint", type=Path, metavar="FILE", help=text)
    text = "folder for the maps (default: beside each image)"
    add("--output", type=Path, metavar="FOLDER", help=text)
    text = "mask to compare the map with, or folder of masks named as the images; may be repeated"
    add("--truth", type=Path, action="append", metavar="MASK", help=text)

    add = parser.add_argument_group("reading the image").add_argument
    text = "names or numbers (from 1) of the bands to use (default: by the names in the file)"
    add("--bands", nargs="+", metavar="BAND", help=text)
    text = "number added to each pixel; -1000 for Sentinel-2 from baseline 04.00 on"
    add("--offset", type=within(float), default=0, metavar="NUMBER", help=text)
    text = "pixel value that means no data (default: that of the training, else as declared)"
    add("--nodata", type=float, metavar="VALUE", help=text)

    add = parser.add_argument_group("mapping").add_argument
    text = "pixels that neighbouring windows share; more hide seams better and take longer"
    add("--overlap", type=within(int, 0), default=overlap, metavar="PIXELS", help=text)
    text = "windows mapped at a time; fewer need less memory"
    add("--batch", type=within(int, 1, 2**24), default=4, metavar="N", help=text)
    text = "average over the eight flips and quarter turns of a window (test-time augmentation)"
    add("--tta", action="store_true", help=text)
    text = "average N maps with dropout on, which differ where the network is unsure"
    add("--mc-dropout", type=within(int, 2), metavar="N", help=text)
    add("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1 or mps")
    text = "numbers that the network computes with; auto: 16 bits on a GPU"
    add("--precision", choices=PRECISIONS, default="auto", help=text)

    add = parser.add_argument_group("files beside the map").add_argument
    add("--overlay", action="store_true", help="a picture of the map over the image")
    text = "a raster with a band of probabilities for each class, as 0 to 254 or as 0.0 to 1.0"
    kinds = ("uint8", "float32")
    add("--probabilities", nargs="?", const="uint8", choices=kinds, help=text)
    text = "a raster of how unsure pixels are: entropy and, with --mc-dropout, mutual information"
    add("--uncertainty", action="store_true", help=text)
