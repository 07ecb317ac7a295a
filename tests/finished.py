"""Folders of runs as train.py leaves them, written in milliseconds: nothing is trained."""

import functools
from pathlib import Path

import numpy as np
import torch

import unet
from data.output.preview import png
from unet import checkpoint
from unet.evaluation import samples_file

CLASSES = ["land", "water"]


@functools.cache
def network(classes: int) -> tuple[dict, dict]:
    """Return the entries model and weights of a small U-Net."""
    model = {"name": "unet", "in_channels": 1, "num_classes": classes, "options": {"base": 1}}
    return model, unet.build("unet", 1, classes, base=1).state_dict()


def epoch(number: int, macro_dice: float, iou: list[float], names: list[str], **changes) -> dict:
    """Return a row of the history."""
    row = {"epoch": number, "lr": 1e-3, "train_loss": 1 / number, "val_loss": 2 / number}
    row |= {"macro_dice": macro_dice, "weighted_dice": 0.6, "mean_iou": 0.4, "accuracy": 0.7}
    return row | {f"iou_{n}": v for n, v in zip(names, iou)} | {"seconds": 10.0} | changes


def state(history: list[dict], names: list[str], **settings) -> dict:
    """Return a checkpoint with this history."""
    model, weights = network(len(names))
    classes = [{"code": str(n), "name": name, "color": "#C8B478"} for n, name in enumerate(names)]
    tensors = [name for name in weights if name.endswith(("weight", "bias"))]
    values = [row["macro_dice"] for row in history]
    best = max(values, default=0.0)
    return {
        "model": model,
        "weights": weights,
        "classes": classes,
        "bands": ["Red"],
        "indices": [],
        "scaling": {"method": "minmax", "offset": [0.0], "scale": [1.0]},
        "size": 16,
        "content": "0123456789abcdef",
        "settings": {"epochs": 3, "bands": None, "offset": 0, "seed": 0, "lr": 1e-3, **settings},
        "epoch": len(history),
        "position": {"batch": 0, "windows": 0, "loss": 0.0},
        "best": best,
        "best_epoch": values.index(best) + 1 if values else 0,
        "history": history,
        "optimizer": {
            "state": {},
            "param_groups": [{"params": list(range(len(tensors))), "lr": 1e-3}],
        },
        "scheduler": {},
        "scaler": {},
        "random": {"torch": [torch.get_rng_state()]},
    }


def picture(seed: int, side: int = 8) -> bytes:
    """Return a PNG file of random colours."""
    return png(np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8))


def sample(title: str, prediction: int = 3, truth: int = 2, side: int = 8) -> dict:
    """Return a sample whose pictures are those of these seeds."""
    drawn = {"image": picture(1, side), "truth": picture(truth), "prediction": picture(prediction)}
    return {"title": title, "pictures": {**drawn, "errors; 93.1 % right": picture(4)}}


def write(
    folder: Path,
    dice: tuple[float, ...] = (0.5, 0.7, 0.6),
    iou: tuple[float, ...] = (0.8, 0.25),
    names: list[str] = CLASSES,
    samples: list[dict] | None = None,
    **settings,
) -> Path:
    """Write best.pt, last.pt and samples.json of a run with this macro Dice of its epochs.

    Args:
        folder: the folder of the run.
        dice: macro Dice of each epoch.
        iou: IoU of each class, in all epochs.
        names: the classes.
        samples: as in samples.json; None for no such file.
        settings: changes of the settings.
    """
    folder.mkdir(parents=True)
    history = [epoch(n, value, list(iou), names) for n, value in enumerate(dice, start=1)]
    best = dice.index(max(dice)) + 1
    settings = {"output": str(folder), **settings}
    checkpoint.save(folder / "best.pt", state(history[:best], names, **settings))
    checkpoint.save(folder / "last.pt", state(history, names, **settings))
    if samples is not None:
        legend = [(name, (200, 180, 120)) for name in names] + [("error map: wrong", (214, 0, 72))]
        samples_file.write(folder / "samples.json", {"samples": samples, "legend": legend})
    return folder
