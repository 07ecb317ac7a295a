"""Several processes, one map: started as torchrun starts them, on a scene of four strips."""

import socket
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from warm import Warm

import predict
from data.grid import Grid
from data.mapping.sharing import OneProcess, in_order
from data.raster import cog, geotiff
from unet.training import processes

ROOT = Path(__file__).parents[3]
DROPOUT = ["--mc-dropout", "2", "--uncertainty"]


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with a network, a scene of 600 x 300 pixels, and its map by one process in one/."""
    folder = tmp_path_factory.mktemp("sharing")
    small.untrained(folder / "net.pt", dropout=0.3)
    random = np.random.default_rng(0)
    image = np.kron(random.integers(1, 4000, (4, 60, 30)), np.ones((10, 10))).astype(np.uint16)
    image[:, :40, :40] = 0
    grid = Grid(None, (1, 0, 0, 0, 1, 0), 600, 300)
    cog.write(folder / "scene.tif", image, grid, nodata=0, descriptions=small.BANDS)
    cog.write(
        folder / "part.tif", image[:, :300, :200], Grid(None, grid.transform, 300, 200), nodata=0
    )
    images = [str(folder / name) for name in ("part.tif", "scene.tif")]
    predict.main([*images, *DROPOUT, *options(folder, "one")])
    return folder


def options(folder: Path, output: str) -> list[str]:
    return ["--checkpoint", str(folder / "net.pt"), "--output", str(folder / output)]


def start(world: int, arguments: list[str]) -> list[Warm]:
    """predict.py in `world` processes, with the variables that torchrun sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "OMP_NUM_THREADS": "1",
    }
    return [
        Warm(ROOT / "predict.py", *arguments, **shared, RANK=str(rank)) for rank in range(world)
    ]


def ended(processes: list[Warm]) -> list[tuple[int, str, str]]:
    """(status, stdout, stderr) of each."""
    said = [process.communicate() for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, said)]


def test_two_processes_write_the_same_files_as_one(here):
    """Also what dropout draws, without the image that the one process has mapped before."""
    call = [str(here / "scene.tif"), *DROPOUT, *options(here, "two")]
    (status, said, errors), (other_status, other_said, other_errors) = ended(start(2, call))
    assert (status, other_status, errors, other_errors, other_said) == (0, 0, "", "", "")
    assert "scene_landcover.tif" in said
    for name in "scene_landcover.tif", "scene_landcover.png", "scene_landcover_uncertainty.tif":
        assert (here / "two" / name).read_bytes() == (here / "one" / name).read_bytes()
    with geotiff.Raster(here / "two/scene_landcover_uncertainty.tif") as raster:
        mutual = raster.read()[1]
    assert (mutual[mutual != 255] > 9).mean() > 0.2  # the passes do differ


def test_of_several_images_each_process_takes_its_own_and_the_first_writes_the_table(here):
    """Three processes, so that the last one has no image."""
    images = [str(here / "part.tif"), str(here / "scene.tif")]
    done = ended(start(3, [*images, *DROPOUT, *options(here, "many")]))
    assert [status for status, _, _ in done] == [0, 0, 0]
    assert "part_landcover.tif" in done[0][1] and "scene_landcover.tif" in done[1][1]
    assert ["areas.csv" in said for _, said, _ in done] == [True, False, False]
    for name in "scene_landcover.tif", "part_landcover_uncertainty.tif", "areas.csv":
        assert (here / "many" / name).read_bytes() == (here / "one" / name).read_bytes()


def damage(here: Path, path: Path) -> None:
    """The scene with a block that cannot be decoded; no row of windows but the second begins to
    need it.
    """
    with geotiff.Raster(here / "scene.tif") as raster:
        offset = raster._pages[0]._page.dataoffsets[2]  # rows 256 to 511
    damaged = bytearray((here / "scene.tif").read_bytes())
    damaged[offset : offset + 200] = bytes(200)
    path.write_bytes(damaged)


def test_an_image_that_fails_in_one_process_loses_no_other(here, tmp_path):
    damage(here, tmp_path / "bad.tif")
    images = [here / "part.tif", tmp_path / "bad.tif"]
    done = ended(start(2, [*map(str, images), *options(here, str(tmp_path / "maps"))]))
    assert [status for status, _, _ in done] == [
        2,
        0,
    ]  # who writes the table says what is missing in it
    assert "bad.tif: block" in done[1][2] and "1 of 2 images failed" in done[0][2]
    names = {
        "areas.csv",
        *(f"part_landcover.{kind}" for kind in ("tif", "tif.aux.xml", "qml", "png")),
    }
    assert {path.name for path in (tmp_path / "maps").iterdir()} == names


def test_a_rank_that_fails_ends_the_run_and_leaves_nothing_half_written(here, tmp_path):
    damage(here, tmp_path / "scene.tif")
    done = ended(start(2, [str(tmp_path / "scene.tif"), *options(here, str(tmp_path / "maps"))]))
    assert [status for status, _, _ in done] == [2, 2], done
    errors = [said.splitlines() for _, _, said in done]
    assert [len(lines) for lines in errors] == [1, 1]
    # Whoever reads the block first stops the other one.
    assert any("scene.tif: block" in lines[0] for lines in errors)
    assert all(lines[0].startswith("predict.py: error: ") for lines in errors)
    assert not (tmp_path / "maps").exists()


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    processes.start(torch.device("cpu"))
    assert processes.messages() is None
    alone = OneProcess()
    alone.send("a carry", 0)
    assert alone.receive((), 0) == "a carry" and (alone.rank, alone.world) == (0, 1)
    assert list(in_order(iter("abc"), 3, alone)) == ["a", "b", "c"]
