"""Full disks: each writer ends in one line that names its file, and leaves nothing half-written."""

from pathlib import Path

import disks
import numpy as np
import products
import pytest
import small
from warm import Warm, run

import predict
import train
from data.grid import Grid
from data.raster import cog
from unet import checkpoint

# Without the look at the free space, in which two processes may find enough for each.
PREPARE = """
import sys
from pathlib import Path
from data.classes import ClassTable
from data.terminal import one_line_errors
from data.training import scene_files, scenes
scene_files.check_room = lambda cache, raster: None
image, mask, cache = map(Path, sys.argv[1:])
with one_line_errors("prepare"):
    scenes.prepare(image, mask, ClassTable.load("esm"), cache, "nearest")
"""
READ = """
import sys
from pathlib import Path
from types import SimpleNamespace
from data.raster import safe
from data.terminal import one_line_errors
safe.shutil.disk_usage = lambda folder: SimpleNamespace(free=2**40)
with one_line_errors("read"), safe.Safe(Path(sys.argv[1])) as product:
    product.read()
"""


def test_two_processes_on_one_nearly_full_disk_end_in_one_line_and_tidy_up(tmp_path):
    """Each scene has 2.25 MB. A map of a full disk would end a process by SIGBUS."""
    grid = Grid(small.UTM31, (10, 0, 4e5, 0, -10, 5e6), 500, 500)
    for name in ("a", "b"):
        cog.write(tmp_path / f"{name}.tif", np.ones((4, 500, 500), np.uint16), grid)
    cog.write(tmp_path / "mask.tif", np.ones((500, 500), np.uint8), grid)
    with disks.small_disk(tmp_path / "disk", 3_500_000) as disk:
        cache = disk / "cache"
        images = [tmp_path / f"{name}.tif" for name in ("a", "b")]
        both = [Warm(PREPARE, image, tmp_path / "mask.tif", cache) for image in images]
        ends = [(process.communicate()[1], process.returncode) for process in both]
        failed = [text for text, code in ends if code]
        assert failed and all(code in (0, 2) for _, code in ends), ends
        line = f"prepare: error: {cache}: No space left on device; make room and run again\n"
        assert {*failed} == {line}
        assert len(list(cache.iterdir())) == 2 - len(failed)


def test_a_full_folder_for_temporary_files_is_named(tmp_path):
    """The band has 2 MB."""
    path = products.write(tmp_path, {("B02", 10): np.full((1000, 1000), 2500)})
    with disks.small_disk(tmp_path / "disk", 1_000_000) as disk:
        done = run(READ, path, TMPDIR=str(disk))
        expected = f"{disk}: No space left on device; make room, or name another folder by TMPDIR"
        assert (done.stderr, done.returncode) == (f"read: error: {expected}\n", 2)
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("most", [0, 50, 1000, 30_000])
def test_a_training_that_cannot_write_a_file_names_it(tmp_path, capsys, most):
    images, masks, table = small.write(tmp_path / "in")
    places = ["--images", images, "--masks", masks, "--classes", table]
    options = "--model unet --overfit 2 --epochs 1 --base 1 --batch 2".split()
    arguments = [*options, *map(str, places), "--output", str(tmp_path / "runs/a")]
    small.load(small.options(tmp_path, output=tmp_path / "runs/a"))  # prepares the scenes
    with disks.largest_file(most), pytest.raises(OSError, match="File too large") as error:
        train.main(arguments)
    names = {0: "split.csv", 50: "split.csv", 1000: "train.log|best.pt", 30_000: "best.pt"}
    assert Path(error.value.filename).name in names[most].split("|")
    assert not list((tmp_path / "runs").rglob("*.tmp"))


@pytest.mark.parametrize("most", [0, 100, 500, 2000, 6000])
def test_a_map_that_cannot_be_written_is_named_and_an_earlier_one_stays(tmp_path, capsys, most):
    images, masks, _ = small.write(tmp_path / "in", count=1)
    weights = small.untrained(tmp_path / "a.pt")
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "s_0_landcover.tif").write_bytes(b"earlier")
    arguments = f"{images}/s_0.tif --checkpoint {weights} --output {maps}".split()
    arguments += f"--truth {masks}/m_0.tif --probabilities --uncertainty --overlay".split()
    with disks.largest_file(most), pytest.raises(OSError, match="File too large") as error:
        predict.main(arguments)
    assert Path(error.value.filename).parent == maps and not list(maps.rglob(".*"))
    assert most > 2000 or (maps / "s_0_landcover.tif").read_bytes() == b"earlier"


def test_a_checkpoint_that_cannot_be_written_is_named_wherever_its_writing_stops(tmp_path):
    """torch.save turns the error into others, which depend on the part of the file."""
    path = small.untrained(tmp_path / "a.pt", base=1)
    state, length = checkpoint.load(path), path.stat().st_size
    before = path.read_bytes()
    for most in (*range(0, length, length // 40), length - 1):
        with disks.largest_file(most), pytest.raises(OSError, match="File too large") as error:
            checkpoint.save(path, state)
        assert error.value.filename == str(path)
    assert path.read_bytes() == before and not list(tmp_path.glob(".*"))
