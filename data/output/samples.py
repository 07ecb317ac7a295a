"""Samples: small pictures of image, truth and prediction, for the report and for TensorBoard.

A sample is a dict with a "title", an "rgb" picture (h, w, 3) uint8, and labels (h, w) uint8 of the
"truth" and the "prediction". For a report it may have an "accuracy", by which samples are chosen,
and a "text", its figures in words.

Read beside it: tests/data/output/test_samples.py.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE
from data.output.preview import NO_DATA, beside, colored, png, rgb
from data.training.dataset import Windows

SHOWN = 6  # samples of a report, at most
WORST, BEST = "Worst samples: lowest accuracy", "Best samples: highest accuracy"
LABELLED = 0.1  # share of labelled pixels that a window needs to be among the worst or the best
RIGHT, WRONG = (232, 232, 228), (214, 0, 72)  # colours of the map of errors


def of_windows(windows: Windows, predictions: np.ndarray, count: int) -> list[dict]:
    """Choose `count` evenly spread windows as samples.

    Args:
        windows: The windows of a data set.
        predictions: (n, S, S) uint8 predicted labels of all windows.
        count: The number of samples. If there are fewer windows, each one is a sample.
    """
    spread = sorted({round(n) for n in np.linspace(0, len(windows) - 1, count)})
    return [_of_window(windows, predictions, number) for number in spread]


def of_extreme_windows(windows: Windows, predictions: np.ndarray) -> list[dict]:
    """Choose the windows with the lowest and with the highest accuracy, as `worst_and_best` does.

    Args:
        windows: The windows of a data set.
        predictions: (n, S, S) uint8 predicted labels of all windows.
    """
    found = []
    for number in range(len(windows)):
        labels = _labels(windows, predictions, number)
        enough = (labels["truth"] != IGNORE).mean() >= LABELLED
        accuracy = _accuracy(**labels) if enough else math.nan
        title = _title(windows, number)
        found.append({"title": title, "number": number, "accuracy": accuracy})
    return [
        each | _of_window(windows, predictions, each["number"]) for each in worst_and_best(found)
    ]


def worst_and_best(samples: Iterable[dict]) -> list[dict]:
    """Choose SHOWN samples: half of them with the lowest "accuracy", half with the highest.

    Args:
        samples: The samples. Empty ones are left out.

    Returns:
        The worst, the lowest first, and then the best, the highest first. "group" is WORST or BEST.
        Samples without a known accuracy are chosen only if no other is there, without "group".
    """
    samples = [sample for sample in samples if sample]
    known = [sample for sample in samples if not math.isnan(sample["accuracy"])]
    if len(known) < 2:
        return (known or samples)[:SHOWN]
    order = sorted(known, key=lambda sample: sample["accuracy"])
    best = min(SHOWN, len(order)) // 2
    worst = min(SHOWN, len(order)) - best
    chosen = [sample | {"group": WORST} for sample in order[:worst]]
    return chosen + [sample | {"group": BEST} for sample in order[: -best - 1 : -1]]


def forget_others(samples: Iterable[dict]) -> None:
    """Empty the samples that `worst_and_best` does not choose, so that few pictures are kept.

    The choice from what is kept, together with further samples, is the choice from all of them.
    The samples have different titles.
    """
    samples = [sample for sample in samples if sample]
    chosen = {sample["title"] for sample in worst_and_best(samples)}
    for sample in samples:
        if sample["title"] not in chosen:
            sample.clear()


def _of_window(windows: Windows, predictions: np.ndarray, number: int) -> dict:
    """Make a sample of a window."""
    scene, window = windows.scene_of(number), windows.items[number].window
    picture = rgb(scene.read(window), windows.names, scene.nodata)
    labels = _labels(windows, predictions, number)
    return {"title": _title(windows, number), "rgb": picture, **labels}


def _title(windows: Windows, number: int) -> str:
    """Name a window by its image and place."""
    path, window = windows.place(number)
    return f"{path.name}, row {window.row}, column {window.col}"


def _labels(windows: Windows, predictions: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Return "truth" and "prediction" (h, w) of a window, without its padding."""
    scene, window = windows.scene_of(number), windows.items[number].window
    prediction = predictions[number, : window.height, : window.width]
    return {"truth": np.array(scene.read_labels(window)), "prediction": prediction}


def side_by_side(samples: Sequence[dict], table: ClassTable) -> list[tuple[str, np.ndarray]]:
    """Draw image, truth and prediction of each sample as one picture.

    Returns:
        (title, picture (h, w, 3) uint8) of each sample.
    """
    drawn = []
    for sample in samples:
        maps = (colored(sample[name], table) for name in ("truth", "prediction"))
        drawn.append((sample["title"], beside(sample["rgb"], *maps)))
    return drawn


def gallery(samples: Sequence[dict], table: ClassTable) -> dict:
    """Draw samples for the report: image, truth, prediction, and a map of the errors.

    Returns:
        A dict for unet.evaluation.report.html: "samples", [{"title", "pictures": {caption: bytes of
        a PNG file}}], with "text" and "group" if the sample has them, and "legend", [(name, (red,
        green, blue))].
    """
    classes = list(zip(table.names, table.colors))
    marks = [("no label", NO_DATA), ("error map: right", RIGHT), ("error map: wrong", WRONG)]
    drawn = []
    for sample in samples:
        truth, prediction = sample["truth"], sample["prediction"]
        pictures = {
            "image": sample["rgb"],
            "truth": colored(truth, table),
            "prediction": colored(prediction, table),
            _caption(sample): _errors(truth, prediction),
        }
        encoded = {caption: png(picture) for caption, picture in pictures.items()}
        words = {key: sample[key] for key in ("title", "text", "group") if key in sample}
        drawn.append({**words, "pictures": encoded})
    return {"samples": drawn, "legend": classes + marks}


def _caption(sample: dict) -> str:
    """Name the picture of the errors. A thinned picture has the "accuracy" of its whole image."""
    accuracy = sample.get("accuracy", _accuracy(sample["truth"], sample["prediction"]))
    share = "\N{EN DASH}" if math.isnan(accuracy) else f"{100 * accuracy:.1f}"
    return f"errors; {share} % right"


def _accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Compute the share of right pixels of those with a label; NaN if there are none."""
    known = truth != IGNORE
    return float((truth == prediction)[known].mean()) if known.any() else math.nan


def _errors(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Draw the errors in pixels with a label, as (h, w, 3) uint8."""
    known, right = truth != IGNORE, truth == prediction
    picture = np.full((*truth.shape, 3), NO_DATA, np.uint8)
    picture[known & right] = RIGHT
    picture[known & ~right] = WRONG
    return picture
