"""Samples: small pictures of image, truth and prediction, for the report and for TensorBoard.

A sample is a dict with a "title", an "rgb" picture (h, w, 3) uint8, and labels (h, w) uint8 of the
"truth" and the "prediction".

Read beside it: tests/data/output/test_samples.py.
"""

from collections.abc import Sequence

import numpy as np

from data.classes import ClassTable
from data.files import IGNORE
from data.output.preview import NO_DATA, beside, colored, png, rgb
from data.training.dataset import Windows

RIGHT, WRONG = (232, 232, 228), (214, 0, 72)  # colours of the map of errors


def of_windows(windows: Windows, predictions: np.ndarray, count: int) -> list[dict]:
    """Choose `count` evenly spread windows as samples.

    Args:
        windows: The windows of a data set.
        predictions: (n, S, S) uint8 predicted labels of all windows.
        count: The number of samples. If there are fewer windows, each one is a sample.
    """
    chosen = []
    for number in sorted({round(n) for n in np.linspace(0, len(windows) - 1, count)}):
        scene, window = windows.scene_of(number), windows.items[number].window
        chosen.append(
            {
                "title": f"{scene.image_path.name}, row {window.row}, column {window.col}",
                "rgb": rgb(scene.read(window), windows.names, scene.nodata),
                "truth": np.array(scene.read_labels(window)),
                "prediction": predictions[number, : window.height, : window.width],
            }
        )
    return chosen


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
        a PNG file}}], and "legend", [(name, (red, green, blue))].
    """
    classes = list(zip(table.names, table.colors))
    marks = [("no label", NO_DATA), ("error map: right", RIGHT), ("error map: wrong", WRONG)]
    drawn = []
    for sample in samples:
        caption, errors = _errors(sample["truth"], sample["prediction"])
        pictures = {
            "image": sample["rgb"],
            "truth": colored(sample["truth"], table),
            "prediction": colored(sample["prediction"], table),
            caption: errors,
        }
        encoded = {caption: png(picture) for caption, picture in pictures.items()}
        drawn.append({"title": sample["title"], "pictures": encoded})
    return {"samples": drawn, "legend": classes + marks}


def _errors(truth: np.ndarray, prediction: np.ndarray) -> tuple[str, np.ndarray]:
    """Draw the errors in pixels with a label: (caption, picture (h, w, 3) uint8)."""
    known, right = truth != IGNORE, truth == prediction
    picture = np.full((*truth.shape, 3), NO_DATA, np.uint8)
    picture[known & right] = RIGHT
    picture[known & ~right] = WRONG
    share = f"{100 * right[known].mean():.1f}" if known.any() else "\N{EN DASH}"
    return f"errors; {share} % right", picture
