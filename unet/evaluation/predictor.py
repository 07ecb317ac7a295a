"""A trained network as `predict.py` uses it: from windows to probabilities of the classes.

One pass gives softmax(logits). Several passes, with dropout (`passes`) or over the eight flips and
quarter turns (`views`), are averaged, and one layer more gives their mutual information, divided by
ln K (unet/evaluation/uncertainty.py). The test beside this file is
tests/unet/evaluation/test_predictor.py.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.files import InputError
from unet import checkpoint
from unet.evaluation import area_estimation, uncertainty
from unet.metrics import ConfusionMatrix
from unet.training.device import autocast, pick_device, pick_precision, to_device

STATES = "weights", "optimizer", "scheduler", "scaler", "random"  # not kept beside the network


class Predictor:
    """The network of a checkpoint on a device, ready to map windows.

    Attributes:
        checkpoint: What the checkpoint says beside the weights: bands, scaling, classes, ...
        size: Side of the windows in training, in pixels.
        classes: Number of classes, K.
        layers: Number of layers that `probabilities` returns: K, or K + 1 of several passes.

    Args:
        path: The checkpoint's file.
        device: "auto", or a name that torch knows.
        precision: "auto", "float32", "bfloat16" or "float16".
        passes: Passes with dropout on; 0 for none.
        views: Whether the eight views of each window are averaged.

    Raises:
        InputError: If passes with dropout are wanted of a network without dropout.
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
        self.model = to_device(checkpoint.build_model(loaded), self.device)
        if passes and not uncertainty.has_dropout(self.model):
            raise InputError(
                f"{path}: --mc-dropout needs a network with dropout; train one with --dropout 0.2"
            )
        kept = {key: value for key, value in loaded.items() if key not in STATES}
        self.checkpoint = {"class_table": "class table", **kept}
        self.size, self.classes = loaded["size"], loaded["model"]["num_classes"]
        self.layers = self.classes + bool(passes or views)
        matrix = loaded.get("metrics", {}).get("confusion")
        self._confusion = None if matrix is None else ConfusionMatrix(self.classes, matrix)

    @torch.inference_mode()
    def probabilities(self, inputs: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Predict windows.

        Args:
            inputs: (N, C, H, W) float32.
            seeds: N numbers. The dropout of a window is drawn from its seed alone.

        Returns:
            (N, layers, H, W) float32: the mean over all passes, and the mutual information by ln K
            behind the classes where there are several passes.
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
        with autocast(self.device, self.precision):
            return self.model(images).float().softmax(1)

    @property
    def _ln_k(self) -> float:
        """The largest entropy: all classes have the same probability."""
        return math.log(max(2, self.classes))

    @property
    def uncertainty_names(self) -> list[str]:
        """Names of the layers of `uncertainty_layers`."""
        several = self.layers > self.classes
        return ["predictive entropy", "mutual information"] if several else ["predictive entropy"]

    def uncertainty_layers(self, probabilities: np.ndarray) -> np.ndarray:
        """Turn blended layers (layers, H, W) into uncertainty (1 or 2, H, W), from 0 to 1."""
        classes = torch.from_numpy(probabilities[: self.classes])
        entropy = uncertainty.entropy(classes, dim=0).numpy()[None] / self._ln_k
        return np.concatenate([entropy, probabilities[self.classes :]])

    @property
    def adjust(self) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None:
        """Function that frees mapped areas from the errors of the validation; None without them.

        It takes areas (K,), and returns adjusted areas and half widths of their 95 % confidence
        intervals, (K,) in the same unit: unet/evaluation/area_estimation.py.
        """
        confusion = self._confusion
        if confusion is None:
            return None

        def adjusted(areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            estimate = area_estimation.stratified(confusion, torch.from_numpy(areas))
            return estimate.area.numpy(), estimate.half_width.numpy()

        return adjusted
