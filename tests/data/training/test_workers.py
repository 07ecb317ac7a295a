"""Worker processes that load windows: data/training/workers.py."""

import multiprocessing
import os
import signal

import pytest
from torch.utils.data import DataLoader, Dataset

from data.files import InputError
from data.training.workers import ignore_signals, supervised


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
        worker_init_fn=ignore_signals,
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
