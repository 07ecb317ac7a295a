"""Sentinel-2 products and checkpoints that were changed at random, for tests/bench/soak_runs.py."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from mutants import mutate
from pyproj import CRS

from data.grid import Grid
from data.raster import cog

sys.path.append(str(Path(__file__).with_name("data") / "raster"))

from test_safe import write  # noqa: E402

SIZE = 96  # pixels of 10 m of the product
TEXTS = (
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e-320",
    "1e300",
    "-10000",
    "2147483648",
    "9" * 400,
    "1 2",
    "10,000",
    "true",
    "EPSG:0",
    "EPSG:4326",
    "EPSG:32632 ",
    "+proj=nonsense",
    "\x85\u2028",
    "\u0661\u0662",
    "../../../../etc/passwd",
    "B99",
    "=1+1",
)
ENTITIES = '<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij")
)
DEVICES = "/dev/zero", "/dev/null", "/dev/full", "/nowhere", "."
VALUES = (
    None,
    {},
    [],
    "",
    "unknown",
    "\udc80",
    "\x1b[31m",
    "=1+1",
    0,
    -1,
    3000,
    2**31,
    2**70,
    0.5,
    float("nan"),
    float("inf"),
    True,
    [None],
    [[]] * 3,
    {"a": 1},
    {1: 2},
    b"bytes",
    (1, 2),
)


def write_product(folder: Path) -> Path:
    """Write a small product with the bands of tests/small.py, and its mask, product.tif."""
    random = np.random.default_rng(0)
    shapes = {("B03", 10): 1, ("B04", 10): 1, ("B08", 10): 1, ("B11", 20): 2}
    labels = random.choice([10, 20], (SIZE, SIZE)).astype(np.uint8)
    grid = Grid(CRS.from_epsg(32632), (10, 0, 600000, 0, -10, 5100000), SIZE, SIZE)
    cog.write(folder / "product.tif", labels, grid)
    return write(
        folder,
        {
            key: random.integers(1001, 9000, (SIZE // factor,) * 2).astype(np.uint16)
            for key, factor in shapes.items()
        },
    )


def change_product(folder: Path, random: np.random.Generator) -> str:
    """Change the product in a folder in one to three ways. Return its path, from the parent."""
    path = next(folder.glob("*.SAFE"))
    for _ in range(random.integers(1, 4)):
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.stat().st_size]
        kind = ".xml" if random.random() < 0.7 else ".jp2"
        if files := [file for file in files if file.suffix == kind]:
            file = files[random.integers(len(files))]
            if kind == ".xml" and random.random() < 0.7:
                _change_xml(file, random)
            elif random.random() < 0.4:
                file.write_bytes(mutate(file.read_bytes(), file.name, random))
            else:
                _change_file(file, random)
    if random.random() < 0.05:
        names = "product", "S2.SAFE", "\x1b[31m.SAFE", "a\nb.SAFE", "=1+1.SAFE", ".SAFE"
        path = path.rename(path.with_name(str(random.choice(names))))
    return str(path.relative_to(folder.parent))


def _change_xml(file: Path, random: np.random.Generator) -> None:
    """Change a text, an attribute, an element, the encoding or the document type."""
    text = file.read_text("utf-8", "surrogateescape")
    new = str(random.choice(TEXTS))
    way = random.integers(7)
    pattern = (r">([^<>\s][^<>]*)<", r'"([^"<>]*)"', r"(<(\w+)[^<>/]*>[^<>]*</\2>)")[way % 3]
    if way < 5 and (places := [*re.finditer(pattern, text)]):
        start, end = places[random.integers(len(places))].span(1)
        if way % 3 == 2:
            new = text[start:end] * random.choice([0, 2])
        text = text[:start] + new + text[end:]
    elif way == 5:
        encodings = "UTF-16", "latin-1", "nonsense", "UTF-7", "cp037", ""
        text = text.replace("UTF-8", str(random.choice(encodings)), 1)
    else:
        text = text.replace("?>", f"?>{ENTITIES}]>", 1).replace("EPSG", "&j;")
    file.write_bytes(text.encode("utf-8", "surrogateescape"))


def _change_file(file: Path, random: np.random.Generator) -> None:
    """Remove, replace, rename or repeat a file."""
    way, content = random.integers(8), file.read_bytes()
    others = [other for other in file.parent.parent.rglob("*.jp2")]
    others = [other for other in others if other.is_file() and other != file]
    if way < 5:
        file.unlink()
    if way == 1:
        file.mkdir()
    elif way == 2:
        os.mkfifo(file)
    elif way == 3:
        file.symlink_to(str(random.choice(DEVICES)))
    elif way == 4 and others:
        shutil.copy(others[random.integers(len(others))], file)
    elif way == 5:
        file.write_bytes(content[: random.integers(len(content))])
    elif way == 6:
        file.rename(file.with_name(f"{random.choice(list('ab'))}_{file.name}"))
    elif way == 7:
        second = file.parent.with_name("second")
        shutil.copytree(file.parent, second, dirs_exist_ok=True, symlinks=True)


def change_checkpoint(path: Path, random: np.random.Generator) -> None:
    """Change the bytes of a checkpoint, or one to three of its values."""
    if random.random() < 0.15:
        path.write_bytes(mutate(path.read_bytes(), path.name, random))
        return
    state = torch.load(path, weights_only=True)
    for _ in range(random.integers(1, 4)):
        _change_value(state, random)
    torch.save(state, path)


def _change_value(value: dict | list, random: np.random.Generator) -> None:
    """Go down to a random place of nested values. Replace, remove or nest the value there."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = keys[random.integers(len(keys))]
    inner, way = value[key], random.random()
    if isinstance(inner, (dict, list)) and inner and random.random() < 0.8:
        _change_value(inner, random)
    elif isinstance(inner, torch.Tensor) and way < 0.6:
        value[key] = _changed_tensor(inner, random)
    elif way < 0.15:
        del value[key]
    elif way < 0.25 and isinstance(inner, (int, float)):
        value[key] = inner * random.choice([-1, 2, 1000])
    elif way < 0.3:
        nested: list = []
        for _ in range(random.choice([3, 300])):
            nested = [nested]
        value[key] = nested
    else:
        value[key] = VALUES[random.integers(len(VALUES))]


def _changed_tensor(tensor: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Give a tensor another shape, another type, or numbers that are not finite."""
    ways = (
        lambda: tensor.flatten()[:-1],
        lambda: tensor[None],
        lambda: tensor.double() * float("nan"),
        lambda: tensor.double() * float("inf"),
        lambda: tensor.to(torch.int8),
        lambda: tensor.to(torch.complex64),
        lambda: torch.zeros(0),
        lambda: tensor * -1,
        lambda: tensor.new_zeros(1).expand(2**20, 2**10),
        lambda: tensor.to_sparse() if tensor.dim() else tensor,
    )
    return ways[random.integers(len(ways))]()
