"""The trained network of `predict.py`: from windows to probabilities of the classes.

One pass through the network gives softmax(logits / T), with the temperature T of the checkpoint
(unet/evaluation/calibration.py). There can be several passes: with dropout (`passes`), or for the
eight flips and quarter turns of the window (`views`). Their probabilities are averaged, and a
further layer has their mutual information divided by ln K (unet/evaluation/uncertainty.py). T was
fitted to single passes. A mean of several is less sure.

Read beside it: tests/unet/evaluation/test_predictor.py.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.files import InputError
from unet import checkpoint
from unet.evaluation import uncertainty
from unet.evaluation.area_estimation import Estimator
from unet.evaluation.folding import fold
from unet.training.device import autocast, pick_device, pick_precision, to_device

# Entries of a checkpoint that are not kept in memory.
STATES = ("weights", "optimizer", "scheduler", "scaler", "random")


class Predictor:
    """The network of a checkpoint on a device, which predicts windows.

    Attributes:
        checkpoint: The entries of the checkpoint without weights and states: bands, scaling,
            classes and so on.
        size: Side of the windows in training, in pixels.
        classes: Number of classes, K.
        temperature: T, by which the logits are divided.
        layers: Number of layers that `probabilities` returns: K, or K + 1 for several passes.

    Args:
        path: Path of the checkpoint.
        device: "auto", or a device of torch.
        precision: "auto", "float32", "bfloat16" or "float16".
        passes: Number of passes with dropout. 0: one pass without dropout.
        views: Whether the eight views of each window are averaged.

    Raises:
        InputError: `passes` is above 0, and the network has no dropout.
    """

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        precision: str = "auto",
        passes: int = 0,
        views: bool = False,
    ):
        loaded = checkpoint.load(path)
        self.path, self.passes, self.views = path, passes, views
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.model = to_device(fold(checkpoint.build_model(loaded)), self.device)
        if passes and not uncertainty.has_dropout(self.model):
            raise InputError(
                f"{path}: --mc-dropout needs a network with dropout; train one with --dropout 0.2"
            )
        kept = {key: value for key, value in loaded.items() if key not in STATES}
        self.checkpoint = {"class_table": "class table", **kept}
        self.size, self.classes = loaded["size"], loaded["model"]["num_classes"]
        self.temperature = checkpoint.temperature(loaded)
        self.layers = self.classes + bool(passes or views)
        self._areas = _estimator(loaded.get("metrics", {}))

    @torch.inference_mode()
    def probabilities(self, inputs: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Predict windows.

        Args:
            inputs: (N, C, H, W) float32.
            seeds: N numbers. The dropout of a window depends only on its seed.

        Returns:
            (N, layers, H, W) float32: probabilities, the mean over all passes. With several passes,
            the last layer is the mutual information divided by ln K.
        """
        images = torch.from_numpy(inputs).to(self.device, memory_format=torch.channels_last)
        if not self.passes and not self.views:
            return self._softmax(images).cpu().numpy()  # (N, K, H, W)
        dropout = uncertainty.mc_dropout(self.model, seeds) if self.passes else nullcontext()
        with dropout:
            mean, _, mutual = uncertainty.average(self._predictions(images))
        return torch.cat([mean, mutual[:, None] / self._ln_k], 1).cpu().numpy()  # (N, K + 1, H, W)

    def _predictions(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the probabilities (N, K, H, W) of each pass."""
        for _ in range(self.passes or 1):
            if self.views:
                yield from uncertainty.eight_views(self._softmax, images)
            else:
                yield self._softmax(images)

    def _softmax(self, images: Tensor) -> Tensor:
        """Compute the probabilities (N, K, H, W) of one pass, float32."""
        with autocast(self.device, self.precision):
            return (self.model(images).float() / self.temperature).softmax(1)

    def __str__(self) -> str:
        calibrated = f", temperature {self.temperature:.3g}" if self.temperature != 1 else ""
        return f"{self.classes} classes, on {self.device}{calibrated}"

    @property
    def _ln_k(self) -> float:
        """ln K, the largest entropy: that of K equal probabilities."""
        return math.log(max(2, self.classes))

    @property
    def uncertainty_names(self) -> list[str]:
        """Names of the layers of `uncertainty_layers`."""
        several = self.layers > self.classes
        return ["predictive entropy", "mutual information"] if several else ["predictive entropy"]

    def uncertainty_layers(self, probabilities: np.ndarray) -> np.ndarray:
        """Compute uncertainty (1 or 2, H, W), from 0 to 1, of blended layers (layers, H, W)."""
        classes = torch.from_numpy(probabilities[: self.classes])
        entropy = uncertainty.entropy(classes, dim=0).numpy()[None] / self._ln_k
        return np.concatenate([entropy, probabilities[self.classes :]])

    def objection(self, areas: np.ndarray, inputs: np.ndarray, classes: Sequence[str]) -> str:
        """Say why the areas of a map cannot be adjusted, or "".

        Args:
            areas: (K,) area of each class in the map, in any unit.
            inputs: (C,) mean of each input channel in the image.
            classes: The names of the classes.
        """
        if self._areas is None or not areas.any():
            return ""
        channels = [*self.checkpoint["bands"], *self.checkpoint["indices"]]
        shares = torch.from_numpy(areas / areas.sum())
        return self._areas.objection(shares, torch.from_numpy(inputs), classes, channels)

    @property
    def adjust(self) -> Callable[[np.ndarray, int, int], np.ndarray] | None:
        """Function that adjusts areas for the errors that the network had in validation.

        It takes areas (K,) in any unit, the number of pixels and of images. It returns the adjusted
        shares, and both ends of their 95 % intervals, (3, K): unet/evaluation/area_estimation.py.
        None if the checkpoint has no validation windows.
        """
        estimator = self._areas
        if estimator is None:
            return None

        def adjusted(areas: np.ndarray, pixels: int, images: int) -> np.ndarray:
            shares = torch.from_numpy(areas / areas.sum())
            return torch.stack(estimator.estimate(shares, pixels, images)).numpy()

        return adjusted


def _estimator(metrics: Mapping) -> Estimator | None:
    """Make the estimator of areas from the metrics of a checkpoint, if they have windows."""
    if not {"windows", "scenes"} <= metrics.keys():
        return None
    return Estimator(metrics["windows"], metrics["scenes"], metrics.get("inputs"))
