"""Figures of station 6: the U-Net with feature maps of a town, and its receptive field."""

from collections.abc import Mapping

import numpy as np
import torch
from figures.svg import BLUE, INK, MUTED, ORANGE, Figure, Plot, grey, ticks
from torch import Tensor

from data.classes import ClassTable
from data.output import preview
from data.sample.towns import BANDS, Sample
from data.scaling import Scaling, network_input
from unet import checkpoint
from unet.networks.layers import Network

ESM = ClassTable.load("esm")
SIDE = 288  # pixels of the town that the network sees; a multiple of 16
CROP = 112, 96, 96  # first row, first column and side of what is shown
ENCODER, DECODER = ("inc", "down1", "down2", "down3", "down4"), ("up4", "up3", "up2", "up1")
SHOWN = 2, 3, 3, 3, 5  # channels of each level
SIZES = 92, 66, 52, 46, 40  # of a picture of each level
GAP = 6  # between two channels
NOISE = 2  # random inputs for the reach of the gradients


def inputs(town: Sample, loaded: Mapping) -> Tensor:
    """Return the input (1, C, SIDE, SIDE) of the network of a checkpoint."""
    scaling = Scaling.from_state(loaded["scaling"])
    image = town.image[:, :SIDE, :SIDE]
    values, _ = network_input(image, BANDS, loaded["indices"], scaling, 0)
    return torch.from_numpy(np.ascontiguousarray(values))[None]


def features(model: Network, x: Tensor) -> dict[str, Tensor]:
    """Return what each block of a U-Net gives, {name: (channels, h, w)}, and "logits"."""
    found = {}
    hooks = [
        getattr(model, name).register_forward_hook(
            lambda block, given, out, name=name: found.update({name: out[0].detach()})
        )
        for name in (*ENCODER, *DECODER)
    ]
    with torch.no_grad():
        found["logits"] = model(x)[0]
    for hook in hooks:
        hook.remove()
    return found


def cut(feature: Tensor) -> Tensor:
    """Cut the part that is shown out of a feature (..., h, w) of any level."""
    factor = SIDE // feature.shape[-1]
    row, col, side = (number // factor for number in CROP)
    return feature[..., row : row + side, col : col + side]


def shown(feature: Tensor, labels: Tensor, count: int) -> np.ndarray:
    """Take the channels of a feature (C, h, w) that tell the classes of a map apart best.

    These have the largest variance between the classes, as a share of their variance.

    Args:
        feature: What a block of the network gives.
        labels: The map (SIDE, SIDE).
        count: Number of channels.

    Returns:
        (count, side, side), the part that is shown.
    """
    factor = SIDE // feature.shape[-1]
    here = cut(labels[factor // 2 :: factor, factor // 2 :: factor]).flatten()
    part = cut(feature)
    values = part.flatten(1).double()  # (C, pixels)
    between = torch.zeros(len(values), dtype=torch.float64)
    for label in here.unique():
        own = values[:, here == label]
        between += own.shape[1] * (own.mean(1) - values.mean(1)).square()
    share = between / values.var(1, correction=0).clamp(min=1e-12) / values.shape[1]
    return part[share.argsort(descending=True, stable=True)[:count]].numpy()


def unet(town: Sample, loaded: Mapping) -> Figure:
    """Draw feature maps of each level of the U-Net of a checkpoint."""
    figure = Figure(596, "The U-Net, with feature maps of a town at each level")
    x = inputs(town, loaded)
    found = features(checkpoint.build_model(loaded), x)
    row, col, side = CROP
    size, y = SIZES[0], 84
    picture = preview.rgb(town.image[:, row : row + side, col : col + side], BANDS, 0)
    figure.image(20, y, size, size, picture, photo=True)
    labels = found["logits"].argmax(0)
    drawn = preview.colored(cut(labels).numpy().astype(np.uint8), ESM)
    figure.image(820 - size, y, size, size, drawn, data_name="map")
    figure.text(20, y - 7, f"{x.shape[1]} × H × W", size=12)
    figure.text(820, y - 7, f"map, {len(found['logits'])} classes", size=12, anchor="end")
    for level, (name, count, size) in enumerate(zip(ENCODER, SHOWN, SIZES)):
        wide = count * (size + GAP) - GAP
        last = level == len(ENCODER) - 1
        left = 420 - wide / 2 if last else 136 + 30 * level
        _pictures(figure, shape(name, found), shown(found[name], labels, count), left, y, size)
        if not last:
            other = DECODER[level]
            right = 840 - left - wide
            drawn = shown(found[other], labels, count)
            _pictures(figure, shape(other, found), drawn, right, y, size)
            middle = y + size / 2
            figure.arrow(left + wide + 8, middle, right - 8, middle)
            figure.text(420, middle - 7, "skip", size=12, anchor="middle", fill=MUTED)
            below = y + size + 38
            figure.arrow(left - 14, y + size - 10, left - 14, below + 10, BLUE)
            figure.arrow(854 - left, below + 10, 854 - left, y + size - 10, ORANGE)
        y += size + 38
    figure.arrow(20 + SIZES[0] + 3, 84 + SIZES[0] / 2, 133, 84 + SIZES[0] / 2)
    figure.arrow(707, 84 + SIZES[0] / 2, 820 - SIZES[0] - 3, 84 + SIZES[0] / 2)
    figure.swatch(20, y - 32, BLUE, "maximum of 2 × 2,", size=12)
    figure.text(38, y - 16, "then two convolutions", size=12)
    figure.swatch(640, y - 32, ORANGE, "twice the size, join the skip,", size=12)
    figure.text(658, y - 16, "then two convolutions", size=12)
    words = f"Each grey picture is one channel over {side} × {side} pixels of the image. "
    more = "Shown are those that tell the classes apart best."
    figure.text(20, y + 12, words + more, size=12, fill=MUTED)
    return figure


def shape(name: str, found: Mapping[str, Tensor]) -> str:
    """Write the name and the shape of what a block gives: "down1: 32 × H/2 × W/2"."""
    factor = SIDE // found[name].shape[-1]
    side = "HW" if factor == 1 else (f"H/{factor}", f"W/{factor}")
    return f"{name}: {len(found[name])} × {side[0]} × {side[1]}"


def _pictures(figure: Figure, name: str, drawn: np.ndarray, x, y, size) -> None:
    """Draw channels of a block beside each other, and its shape above."""
    for n, channel in enumerate(drawn):
        figure.image(x + n * (size + GAP), y, size, size, grey(channel), data_name=f"{name} {n}")
    figure.text(x, y - 7, name, size=12)


def gradient(model: Network, x: Tensor, row: int, col: int) -> np.ndarray:
    """Compute how an output pixel depends on each pixel of the input (1, C, H, W).

    Returns:
        (H, W): the sum of |d logit / d input| over the classes and the input channels.
    """
    x = x.clone().requires_grad_()
    logits = model(x)[0, :, row, col]
    slopes = [torch.autograd.grad(logit, x, retain_graph=True)[0] for logit in logits]
    return sum(slope[0].abs().sum(0) for slope in slopes).numpy()


def reach(slopes: np.ndarray, row: int, col: int) -> int:
    """Return the largest distance, in rows or columns, of a pixel with a gradient."""
    rows, cols = np.nonzero(slopes)
    return int(max(abs(rows - row).max(), abs(cols - col).max()))


def measured(model: Network, x: Tensor) -> tuple[int, int]:
    """Find an output pixel in the middle whose gradients reach farthest, and how far they reach.

    A ReLU and a maximum make some gradients 0 by chance. So the gradients of random inputs are
    summed. A strip of 16 columns tells which row of a cell of 16 reaches farthest.

    Returns:
        Row (and column) of the output pixel, and the largest distance of a gradient from it.
    """
    generator = torch.Generator().manual_seed(0)

    def summed(rows: range, columns: int) -> dict[int, np.ndarray]:
        """Sum the gradients of the output pixels (row, columns / 2) by NOISE inputs."""
        shape = (*x.shape[:3], columns)
        sums = {row: torch.zeros(shape[2:], dtype=x.dtype) for row in rows}
        for _ in range(NOISE):
            values = torch.randn(shape, generator=generator, dtype=x.dtype).requires_grad_()
            logits = model(values)[0].sum(0)
            for row in rows:
                pixel = logits[row, columns // 2 + (row - SIDE // 2) * (columns == SIDE)]
                (slope,) = torch.autograd.grad(pixel, values, retain_graph=True)
                sums[row] += slope[0].abs().sum(0)
        return {row: slopes.numpy() for row, slopes in sums.items()}

    strips = summed(range(SIDE // 2 - 8, SIDE // 2 + 8), 16)
    far = {row: abs(np.nonzero(slopes)[0] - row).max() for row, slopes in strips.items()}
    at = max(far, key=lambda row: (far[row], -abs(row - SIDE // 2)))
    return at, reach(summed(range(at, at + 1), SIDE)[at], at, at)


def receptive_field(town: Sample, loaded: Mapping) -> Figure:
    """Draw the gradients of one output pixel by the input, and the distance of the formula."""
    figure = Figure(416, "How far one pixel of the map looks: its receptive field")
    model, x = checkpoint.build_model(loaded).double(), inputs(town, loaded).double()
    radius, side, top = model.receptive_radius, 250, 84
    at, far = measured(model, x)
    slopes = gradient(model, x, at, at)
    scale = side / SIDE
    photo = preview.rgb(town.image[:, :SIDE, :SIDE], BANDS, 0)[::2, ::2]
    strength = np.log10(np.maximum(slopes / slopes.max(), 1e-6))
    level = np.rint((strength + 6) / 6 * 15) * 17
    shaded = level.astype(np.uint8)[..., None].repeat(3, axis=2)
    figure.image(20, top, side, side, photo, photo=True)
    figure.image(292, top, side, side, shaded, data_name="gradient")
    for left in (20, 292):
        for distance, stroke, name in ((radius, ORANGE, "formula"), (far, BLUE, "measured")):
            dash = "6 4" if name == "measured" else None
            edge = (left + (at - distance) * scale, top + (at - distance) * scale)
            wide = (2 * distance + 1) * scale
            style = {"stroke": stroke, "stroke_width": 2.5, "stroke_dasharray": dash}
            figure.rect(*edge, wide, wide, **style, data_box=name)
        figure.circle(
            left + (at + 0.5) * scale, top + (at + 0.5) * scale, 4, fill="#ffe14d", stroke=INK
        )
    figure.text(20, top - 14, f"the town, {SIDE} × {SIDE} pixels", weight=600)
    figure.text(292, top - 14, "how much each input pixel counts", weight=600)
    figure.text(
        20,
        top + side + 26,
        f"orange, by receptive_radius of unet/unet.py: {radius} pixels to a side at most",
        data_distance="formula",
    )
    figure.text(
        20,
        top + side + 46,
        f"blue, farthest gradient of {NOISE} random inputs: {far} pixels",
        data_distance="measured",
    )
    words = "Yellow: the output pixel. Grey: |d output / d input| of this town, on a log scale; "
    figure.text(20, top + side + 68, words + "black is 10⁻⁶ of the largest.", size=12, fill=MUTED)
    _shares(figure, slopes, at, radius)
    return figure


def _shares(figure: Figure, slopes: np.ndarray, at: int, radius: int) -> None:
    """Draw which share of the gradients lies within a distance."""
    rows, cols = np.indices(slopes.shape)
    distance = np.maximum(abs(rows - at), abs(cols - at)).ravel()
    within = np.bincount(distance, slopes.ravel()).cumsum() / slopes.sum()
    x = ticks(range(0, SIDE // 2 + 1, 48))
    names = "distance, pixels", "share of that, by distance"
    plot = Plot(
        figure, "share", (608, 106, 820, 290), x, {n / 4: f"{25 * n} %" for n in range(5)}, *names
    )
    plot.curve("within", range(SIDE // 2 + 1), within[: SIDE // 2 + 1], INK)
    edge = plot.to_x(radius)
    figure.line(edge, 106, edge, 290, stroke=ORANGE, stroke_width=2)
    half = int(np.argmax(within >= 0.5))
    figure.text(plot.to_x(half) + 10, plot.to_y(0.5) + 16, f"half within {half} pixels", size=12)
    plot.dot("half", half, float(within[half]), BLUE, 4)
