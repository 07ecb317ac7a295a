"""Load answers to the exercises, and try them with the checks of tests/exercises/test_ex*.py.

A check is a function test_...(ex). `ex` is the module of the answers: under pytest the solved one
(solved/), in show.py the reader's own.
"""

import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).parent
STATIONS = {  # file of the exercise: the station, its lesson
    "ex01_grid": ("the grid", "data/grid.py"),
    "ex02_resample": ("two grids meet", "data/resample.py"),
    "ex03_classes": ("codes and labels", "data/classes.py"),
    "ex04_scaling": ("bands and numbers", "data/scaling.py"),
    "ex05_tiling": ("windows and seams", "data/tiling.py"),
    "ex06_unet": ("the U-Net", "unet/unet.py"),
    "ex07_losses": ("losses", "unet/losses.py"),
    "ex08_metrics": ("the confusion matrix", "unet/metrics.py"),
    "ex09_loop": ("the training loop", "train.py"),
    "ex10_map": ("the map", "predict.py"),
}
SOLVED, NOT_YET, WRONG = "solved", "not yet", "wrong"


class Result(NamedTuple):
    """How an exercise stands."""

    state: str  # SOLVED, NOT_YET or WRONG
    right: int  # checks that pass
    checks: int
    text: str  # of WRONG: the first line of what differs
    details: str = ""  # of WRONG: the traceback


def load(path: Path) -> ModuleType:
    """Run a file, and return it as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checks(name: str) -> dict[str, Callable]:
    """Return the checks of an exercise by name."""
    module = load(HERE / f"test_{name}.py")
    return {key: value for key, value in vars(module).items() if key.startswith("test_")}


def attempt(name: str, path: Path) -> Result:
    """Try the answers in a file with all checks of an exercise. No error of theirs gets out."""
    tried = checks(name)
    try:
        answers = load(path)
    except Exception as error:
        return Result(WRONG, 0, len(tried), _line(error, path), traceback.format_exc())
    return attempt_module(name, answers, path)


def attempt_module(name: str, answers: ModuleType, path: Path) -> Result:
    """Try a module of answers with all checks of an exercise."""
    tried = checks(name)
    right, missing, first = 0, 0, None
    for check in tried.values():
        try:
            check(answers)
            right += 1
        except NotImplementedError:
            missing += 1
        except Exception as error:
            first = first or (_line(error, path), traceback.format_exc())
    if first:
        return Result(WRONG, right, len(tried), *first)
    return Result(NOT_YET if missing else SOLVED, right, len(tried), "")


def _line(error: Exception, path: Path) -> str:
    """Say in one line what differs or, for an error in the answers, where it arose."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, AssertionError):
        return text
    if isinstance(error, SyntaxError):
        return f"{path.name}, line {error.lineno}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    here = [frame.lineno for frame in frames if Path(frame.filename) == path]
    place = f"{path.name}, line {here[-1]}: " if here else ""
    return f"{place}{type(error).__name__}: {text}"


def same(what: str, got: object, expected: object, within: float = 1e-6) -> None:
    """Compare numbers or arrays. `within` is relative to values above 1, else absolute.

    Raises:
        AssertionError: They differ. The message is one line.
    """
    assert got is not None, f"{what}: returns None"
    have, want = (np.asarray(value, np.float64) for value in (got, expected))
    assert have.shape == want.shape, (
        f"{what}: the shape is {have.shape}, and should be {want.shape}"
    )
    near = np.isclose(have, want, rtol=within, atol=within, equal_nan=True)
    if not near.all():
        place = tuple(int(n) for n in np.argwhere(~near)[0])
        at = f", at {place if len(place) > 1 else place[0]}" if place else ""
        values = f"{have[place]:.6g}, and should be {want[place]:.6g}"
        raise AssertionError(f"{what}{at}: is {values}")


def raises(what: str, call: Callable, kind: type[Exception], pattern: str) -> None:
    """Require that a call raises an error of a kind, whose message holds a pattern.

    Raises:
        AssertionError: It does not. The message is one line.
    """
    try:
        call()
    except NotImplementedError:
        raise
    except kind as error:
        assert re.search(pattern, str(error)), f"{what}: the message {error!s:.60} lacks {pattern}"
        return
    raise AssertionError(f"{what}: no {kind.__name__} is raised")


ROOT = HERE.parents[1]
for folder in (ROOT, HERE.parent):  # the product, and what tests share
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
