"""Worker processes that load windows: data/training/workers.py."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from multiprocessing.util import get_temp_dir
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from warm import Warm

from data.files import InputError
from data.training import workers
from data.training.workers import Loader, share_temporary_folder, start_worker, supervised


class Numbers(Dataset):
    """Numbers from 0 to 99. `at_five` is called for the number 5."""

    def __init__(self, at_five):
        self.at_five = at_five

    def __len__(self):
        return 100

    def __getitem__(self, number):
        if number == 5:
            self.at_five()
        return number


def read_all(at_five) -> int:
    loader = DataLoader(
        Numbers(at_five),
        num_workers=2,
        worker_init_fn=start_worker,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    with supervised():
        return len(list(loader))


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def remove_a_file() -> None:
    os.remove("no such file.npy")


def refuse() -> None:
    raise InputError("a.tif: damaged; take another copy")


def bug() -> None:
    raise ZeroDivisionError("a bug")


def get_signals() -> None:
    """Receive what a terminal, or a batch system, sends to all processes."""
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("at_five", "message"), [
    (kill_itself, "^a worker process that loads windows was killed.*; try fewer --workers$"),
    (remove_a_file, r"^\[Errno 2\] No such file or directory: 'no such file.npy'$"),
    (refuse, "^a.tif: damaged; take another copy$"),
])  # fmt: skip
def test_the_errors_of_a_worker_are_one_line_and_the_others_are_ended(at_five, message):
    with pytest.raises(InputError, match=message):
        read_all(at_five)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), EOFError()])
def test_a_worker_that_is_killed_while_it_sends_is_the_same_line(error):
    with pytest.raises(InputError, match="^a worker process that loads windows was killed"):
        with supervised():
            raise error


def test_a_bug_in_a_worker_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError, match="Original Traceback"):
        read_all(bug)
    with pytest.raises(RuntimeError, match="another"), supervised():
        raise RuntimeError("another")


def test_workers_outlive_the_signals_that_all_processes_get_and_end_with_the_block():
    before = signal.getsignal(signal.SIGCHLD)
    assert read_all(get_signals) == 100
    assert multiprocessing.active_children() == []
    assert before in (signal.getsignal(signal.SIGCHLD), signal.SIG_DFL)


def test_workers_answer_although_their_temporary_folder_was_removed_meanwhile(
    tmp_path, monkeypatch
):
    # Not the folder of this process: tests/warm.py has its socket there.
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", str(tmp_path))
    shutil.rmtree(get_temp_dir())
    share_temporary_folder()
    loader = DataLoader(
        Tensors(), num_workers=1, worker_init_fn=start_worker, multiprocessing_context="fork"
    )
    with supervised():
        assert len(list(loader)) == 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_signal_to_all_processes_does_not_end_a_worker_that_starts(method, monkeypatch):
    """As the terminal sends Ctrl-C, while a worker has the handlers of Python."""
    begin = multiprocessing.get_context(method).Process.start
    received = []

    def start_and_send(process):
        begin(process)
        os.kill(process.pid, signal.SIGINT)

    monkeypatch.setattr(multiprocessing.get_context(method).Process, "start", start_and_send)
    loader = Loader(
        Tensors(), num_workers=1, worker_init_fn=start_worker, multiprocessing_context=method
    )
    with supervised():
        received += loader
    assert len(received) == 4


def train_by_workers(folder: str) -> None:
    """Make a loader with two workers that share a temporary folder, and read it for ever."""
    tempfile.tempdir = folder
    share_temporary_folder()
    loader = DataLoader(
        Tensors(),
        num_workers=2,
        worker_init_fn=start_worker,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    while True:
        for _ in loader:
            Path(folder, "reads").touch()


class Tensors(Dataset):
    """Tensors, which are sent through sockets in the temporary folder."""

    def __len__(self):
        return 4

    def __getitem__(self, number):
        return torch.zeros(9)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_training_and_leave_no_folder_of_sockets(tmp_path, number):
    code = (
        "from test_workers import *\n"
        "from data.files.interrupts import stopping\n"
        f"with stopping('train.py'): train_by_workers({str(tmp_path)!r})"
    )
    process = Warm(code)
    try:
        while not (tmp_path / "reads").exists():
            assert process.poll() is None
            time.sleep(0.01)
        assert [*tmp_path.glob("pymp-*/*")]
        process.send_signal(number)
        process.wait(20)
        end = time.monotonic() + 3  # torch's own watch looks every five seconds
        while [*tmp_path.glob("pymp-*")] and time.monotonic() < end:
            time.sleep(0.01)
        assert [path.name for path in tmp_path.iterdir()] == ["reads"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_worker_is_silent_about_a_connection_that_another_process_broke(capsys):
    for error in (ConnectionResetError(), BrokenPipeError(), EOFError()):
        workers.tell_unless_left_alone(type(error), error, None)
    assert capsys.readouterr().err == ""
    for other in (ValueError("wrong"), OSError("disk")):
        workers.tell_unless_left_alone(type(other), other, None)
    assert capsys.readouterr().err == "ValueError: wrong\nOSError: disk\n"
