"""TensorBoard files of a run. TensorBoard's own reader reads them back."""

import builtins
import io
import math
import threading

import disks
import numpy as np
import pytest
import torch

from data.files import InputError
from unet.training.tensorboard import SIDE, Board, BoardError, matrix_picture

ROW = {
    "epoch": 1,
    "lr": 0.5,
    "macro_dice": 0.25,
    "accuracy": 0.125,
    "iou_water": 0.75,
    "iou_town": math.nan,
    "dice_water": 0.875,
    "accuracy_old_town": 0.5,
}


def test_without_the_package_the_error_names_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *more):
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(
        BoardError, match="^--tensorboard needs another package: pip install tensorboard$"
    ) as caught:
        Board(tmp_path, 0)
    assert isinstance(caught.value, InputError)  # which train.py prints in one line
    assert list(tmp_path.iterdir()) == []


def test_a_matrix_is_shaded_by_the_share_of_its_row():
    """The first class has 3 pixels right of 4, the second all of 5, the third has no pixel."""
    picture = matrix_picture(torch.tensor([[3, 1, 0], [0, 5, 0], [0, 0, 0]]))
    assert picture.shape == (3 * SIDE, 3 * SIDE, 3) and picture.dtype == np.uint8
    cells = picture.reshape(3, SIDE, 3, SIDE, 3)
    assert (cells == cells[:, :1, :, :1]).all()  # each cell in one colour
    white, dark = [255, 255, 255], [8, 48, 107]
    three_quarters, quarter = [70, 100, 144], [193, 203, 218]  # 255 - share * (247, 207, 148)
    assert cells[:, 0, :, 0].tolist() == [
        [three_quarters, quarter, white],
        [white, dark, white],
        [white, white, white],
    ]


def read(folder):
    """(scalars {tag: {step: value}}, pictures {tag: {step: array}}) of a folder, by TensorBoard's
    own reader.
    """
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    image = pytest.importorskip("PIL.Image")
    reader = accumulator.EventAccumulator(str(folder))
    reader.Reload()
    tags = reader.Tags()
    scalars = {
        tag: {event.step: event.value for event in reader.Scalars(tag)} for tag in tags["scalars"]
    }
    pictures = {
        tag: {
            event.step: np.array(image.open(io.BytesIO(event.encoded_image_string)))
            for event in reader.Images(tag)
        }
        for tag in tags["images"]
    }
    return scalars, pictures


def test_an_epoch_reads_back_as_it_was_written(tmp_path):
    pytest.importorskip("tensorboard")
    matrix = torch.tensor([[3, 1], [0, 5]])
    maps = [("s_1.tif, row 0", np.arange(60, dtype=np.uint8).reshape(4, 5, 3))]
    board = Board(tmp_path, 0)
    board.epoch(ROW, matrix, maps)
    board.epoch({**ROW, "epoch": 2, "lr": 0.125}, matrix.T, maps)
    scalars, pictures = read(tmp_path)
    assert scalars == {
        "epoch/lr": {1: 0.5, 2: 0.125},
        "epoch/macro_dice": {1: 0.25, 2: 0.25},
        "epoch/accuracy": {1: 0.125, 2: 0.125},
        "dice/water": {1: 0.875, 2: 0.875},
        "accuracy/old_town": {1: 0.5, 2: 0.5},
        "iou/water": {1: 0.75, 2: 0.75},  # and no NaN of the town, nor the epoch itself
    }
    assert set(pictures) == {"confusion, rows truth, columns prediction", "s_1.tif, row 0"}
    confusion = pictures["confusion, rows truth, columns prediction"]
    assert np.array_equal(confusion[1], matrix_picture(matrix)) and np.array_equal(
        confusion[2], matrix_picture(matrix.T)
    )
    assert np.array_equal(pictures["s_1.tif, row 0"][2], maps[0][1])


def test_a_resumed_run_takes_back_what_was_written_of_later_epochs(tmp_path):
    """Killed after epoch 3 was shown and before it was saved: the checkpoint has two, and epoch 3
    comes again.
    """
    pytest.importorskip("tensorboard")
    first = Board(tmp_path, 0)
    for epoch in (1, 2, 3):
        first.epoch({"epoch": epoch, "lr": 0.5}, torch.eye(2), [])
    first.writer.close()
    second = Board(tmp_path, 2)
    second.epoch({"epoch": 3, "lr": 0.25}, torch.eye(2), [])
    scalars, _ = read(tmp_path)
    assert scalars == {"epoch/lr": {1: 0.5, 2: 0.5, 3: 0.25}}


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("most", [10, 3000])
def test_a_full_disk_is_one_error_that_names_the_folder(tmp_path, capfd, most):
    """TensorBoard writes in a thread, whose traceback would be printed, too."""
    pytest.importorskip("tensorboard")
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    hook = threading.excepthook
    try:
        with disks.largest_file(most), pytest.raises(OSError, match="File too large") as error:
            Board(tmp_path, 0).epoch(ROW, torch.eye(2), [("town", picture)])
        assert error.value.filename == str(tmp_path) and capfd.readouterr().err == ""
    finally:
        threading.excepthook = hook
