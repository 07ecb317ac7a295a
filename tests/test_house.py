"""The walls of the house: which file may import which. Read from the imports themselves.

Arrows go down, from a floor to those below it:

    train.py, predict.py, reproject.py
    data/output, data/mapping
    data/training
    data/input, data/sample
    data/resample.py
    data/raster
    the other lessons of data/: grid, classes, bands, scaling, tiling
    data/tables, data/terminal
    data/files

unet/ stands beside data/ and knows its data/files alone.
"""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ("train", "predict", "reproject")
FILES = [
    *(ROOT / f"{script}.py" for script in SCRIPTS),
    *sorted((ROOT / "data").rglob("*.py")),
    *sorted((ROOT / "unet").rglob("*.py")),
]
FLOORS = {
    "data.files": 0,
    "data.tables": 0.5,
    "data.terminal": 0.5,
    "data.raster": 2,
    "data.resample": 3,
    "data.input": 4,
    "data.sample": 4,
    "data.training": 5,
    "data.output": 6,
    "data.mapping": 6,
}
LESSON = 1  # the floor of what stands open in data/


def module(path: Path) -> str:
    """data/raster/cog.py is data.raster.cog, data/raster/__init__.py is data.raster."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """All modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: line {node.lineno} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def arrows(name: str) -> set[str]:
    """The modules of this project that one of them imports."""
    return {other for other in imports(MODULES[name]) if other in MODULES} - {name}


def floor(name: str) -> int:
    """The floor of a module of data/."""
    return FLOORS[name] if name in FLOORS else FLOORS.get(".".join(name.split(".")[:2]), LESSON)


def wrong(importer: str, imported: str) -> bool:
    """Whether an arrow between two modules goes through a wall, or up."""
    here, there = importer.split(".")[0], imported.split(".")[0]
    if there in SCRIPTS:
        return True
    if here == "unet":
        return there == "data" and imported != "data.files"
    if here == "data":
        return there == "unet" or floor(imported) > floor(importer)
    return False


@pytest.mark.parametrize("name", MODULES)
def test_arrows_go_down(name):
    assert [other for other in arrows(name) if wrong(name, other)] == []


def circle(graph: dict[str, set[str]]) -> list[str]:
    """What is left of a graph when modules without an arrow out of them are taken away in turn."""
    left = {name: set(others) for name, others in graph.items()}
    while ends := [name for name, others in left.items() if not others & left.keys()]:
        for name in ends:
            del left[name]
    return sorted(left)


def test_there_is_no_circle():
    assert circle({name: arrows(name) for name in MODULES}) == []


def test_these_checks_can_fail():
    assert {"data.training.pipeline", "unet.losses", "data.terminal"} <= arrows("train")
    assert wrong("unet.losses", "data.grid") and not wrong("unet.losses", "data.files")
    assert wrong("data.grid", "unet.losses") and wrong("data.raster.cog", "data.resample")
    assert wrong("data.files", "data.grid") and not wrong("data.resample", "data.raster.warp")
    assert wrong("data.training.scenes", "data.output.maps") and wrong("predict", "reproject")
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circle({"a": {"b"}, "b": {"c"}}) == []


def test_torch_distributed_has_one_place():
    using = [name for name, path in MODULES.items() if "torch.distributed" in imports(path)]
    assert using == ["unet.training.processes"]


def test_packages_are_the_few_that_requirements_names():
    allowed = {"torch", "numpy", "tifffile", "imagecodecs", "pyproj", *sys.stdlib_module_names}
    for path in FILES:
        tops = {name.split(".")[0] for name in imports(path)}
        optional = {"onnx", "onnxscript", "onnxruntime"} if path.name == "export_onnx.py" else set()
        assert tops <= allowed | optional | {"data", "unet", *SCRIPTS}, path


@pytest.mark.parametrize(
    ("files", "most"), [("train.py", 250), ("predict.py", 220), ("reproject.py", 120)]
)
def test_a_script_is_read_in_one_sitting(files, most):
    assert len((ROOT / files).read_text().splitlines()) <= most


def test_the_open_lessons_are_read_in_an_afternoon():
    """The scripts and what stands on top of data/ and unet/, with lines that fit a page."""
    lessons = [path for path in FILES if len(path.relative_to(ROOT).parts) <= 2]
    assert sum(len(path.read_text().splitlines()) for path in lessons) <= 3000
    assert max(len(line) for path in FILES for line in path.read_text().splitlines()) <= 100
    assert [p.name for p in FILES if len(p.read_text().splitlines()) > 300] == []
