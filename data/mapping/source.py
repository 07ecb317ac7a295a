"""The pixels of a scene for its map: read ahead in threads, and converted to a network's input.

Each pixel is read once, in whole blocks of the file. `ReadAhead` holds the rows that the windows
need now, and releases the rows above them. So memory does not grow with the height of the scene.

Read beside it: tests/data/mapping/test_source.py.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from data.grid import Window
from data.input.inputs import Input
from data.scaling import Scaling, network_input, sample_pixels, spread_windows, valid_pixels
from data.tiling import round_up

PART = 64, 1024  # rows and columns that are read at a time, rounded up to whole blocks of the file


class Source:
    """An image whose pixels are converted to a network's input.

    Attributes:
        name: Name of the image's file.
        height, width: Size in pixels.
        block_shape: Height and width of the file's blocks.

    Args:
        image: The open image, with its bands in the order that the network expects.
        checkpoint: A loaded checkpoint. Three entries are used: the names of the `bands`, the names
            of the spectral `indices` that follow them, and the state of the `scaling`.
        step: `thumbnail` keeps every `step`-th row and column.
    """

    def __init__(self, image: Input, checkpoint: dict, step: int = 1):
        self.name, self.block_shape = image.path.name, image.block_shape
        self.height, self.width = image.grid.height, image.grid.width
        self.read = image.read  # Window -> (bands, h, w)
        self._nodata, self._step = image.nodata, step
        bands, indices = self._channels = checkpoint["bands"], checkpoint["indices"]
        spread = spread_windows(self.height, self.width)
        windows = [(image.read, window, image.nodata) for window in spread]
        # The method `image` fits its scaling to this image. Other scalings come from the training.
        self._scaling = Scaling.from_state(checkpoint["scaling"]).for_image(
            lambda: sample_pixels(windows, bands, indices)
        )

    def prepare(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Convert pixels (bands, h, w) to the network's input.

        Returns:
            The input (C, h, w) float32, and which pixels hold data, (h, w) bool.
        """
        return network_input(pixels, *self._channels, self._scaling, self._nodata)

    def means(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the mean (C,) of the network's input over pixels (bands, h, w) with data.

        It is NaN if there are no such pixels.
        """
        inputs, valid = self.prepare(pixels)
        known = inputs[:, valid]  # (C, n)
        return known.mean(1) if known.size else np.full(len(inputs), np.nan, np.float32)

    def valid(self, pixels: np.ndarray) -> np.ndarray:
        """Return which pixels (bands, h, w) hold data, as (h, w) bool."""
        return valid_pixels(pixels, self._nodata)

    def thumbnail(self, pixels: np.ndarray, row: int) -> np.ndarray:
        """Copy every `step`-th row and column of the scene from pixels that begin at `row`."""
        return pixels[:, -row % self._step :: self._step, :: self._step].copy()


class ReadAhead:
    """The rows of a source that are needed now. Threads read them in parts.

    Rows are requested and released from top to bottom.
    """

    def __init__(self, source: Source):
        self._source = source
        self._rows, self._cols = (
            round_up(least, side) for least, side in zip(PART, source.block_shape)
        )
        self._end = 0  # the rows above this one have been requested
        self._parts: list[tuple[Window, Future[np.ndarray]]] = []  # (window, its pixels)

    def release(self, top: int) -> None:
        """Drop the parts that end above row `top`."""
        self._parts = [part for part in self._parts if part[0].row + part[0].height > top]

    def request(self, top: int, bottom: int, pool: ThreadPoolExecutor) -> None:
        """Start to read the rows from `top` to `bottom` that have not been requested before."""
        block = self._source.block_shape[0]
        first = max(self._end, top // block * block)
        self._end = max(first, min(round_up(bottom, block), self._source.height))
        for row in range(first, self._end, self._rows):
            height = min(self._rows, self._end - row)
            for col in range(0, self._source.width, self._cols):
                part = Window(row, col, height, min(self._cols, self._source.width - col))
                self._parts.append((part, pool.submit(self._source.read, part)))

    def pixels(self, window: Window) -> np.ndarray:
        """Assemble the pixels (bands, h, w) of a window that has been requested."""
        like = self._parts[0][1].result()
        out = np.empty((len(like), window.height, window.width), like.dtype)
        for part, pixels in self._parts:
            top = max(part.row, window.row)
            bottom = min(part.row + part.height, window.row + window.height)
            left = max(part.col, window.col)
            right = min(part.col + part.width, window.col + window.width)
            if top < bottom and left < right:
                to_rows = slice(top - window.row, bottom - window.row)
                to_cols = slice(left - window.col, right - window.col)
                rows = slice(top - part.row, bottom - part.row)
                cols = slice(left - part.col, right - part.col)
                out[:, to_rows, to_cols] = pixels.result()[:, rows, cols]
        return out
