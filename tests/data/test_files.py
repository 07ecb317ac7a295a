"""Files that are written whole or not at all, and errors that name them: data/files/."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import disks
import pytest

from data.files import (
    VERSION,
    InputError,
    folder_for,
    git_version,
    naming,
    naming_full_disk,
    read_bytes,
    refuse_input,
    replacing,
    replacing_folder,
    require_file,
    version,
    write_csv,
    writing,
)


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "table.csv"
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path and temporary.name.startswith(".table.csv.")
        assert temporary.read_bytes() == b""
        temporary.write_text("a,b\n")
        assert not path.exists()
    assert path.read_text() == "a,b\n" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError, SystemExit, OSError])
def test_whatever_ends_the_block_the_earlier_file_stays(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("earlier")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_path_do_not_mix(tmp_path):
    path = tmp_path / "map.tif"
    with replacing(path) as outer:
        outer.write_text("outer")
        with replacing(path) as inner:
            inner.write_text("inner")
        assert path.read_text() == "inner" and outer.read_text() == "outer"
    assert path.read_text() == "outer" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_an_ordinary_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask


def test_the_content_is_on_the_disk_before_the_file_gets_its_name(tmp_path, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append("fsync") or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: order.append("rename") or replace(*paths))
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("a")
    assert order == ["fsync", "rename"]


def test_a_folder_that_is_missing_or_in_the_way_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere; make it first"):
        with replacing(tmp_path / "nowhere" / "map.tif"):
            pytest.fail("the block is not entered")
    with pytest.raises(IsADirectoryError, match="is a folder"), replacing(tmp_path):
        pytest.fail("the block is not entered")


def test_an_error_names_the_file_that_the_user_knows(tmp_path):
    with pytest.raises(PermissionError) as error, replacing(tmp_path / "map.tif") as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    assert error.value.filename == str(tmp_path / "map.tif")


def test_a_full_disk_names_the_file_and_what_to_do(tmp_path):
    with pytest.raises(OSError, match="make room and run again") as error:
        with replacing(tmp_path / "map.tif"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(tmp_path / "map.tif") and not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_that_a_writer_names_is_not_blamed_on_the_output(tmp_path, code):
    with pytest.raises(OSError, match="make room, or set TMPDIR") as error:
        with replacing(tmp_path / "map.tif"):
            with naming_full_disk(tmp_path / "elsewhere", "make room, or set TMPDIR"):
                raise OSError(code, os.strerror(code))
    assert error.value.filename == str(tmp_path / "elsewhere") and error.value.errno == code


@pytest.mark.parametrize("named", [OSError(errno.ENOSPC, "full", "other"), OSError(5, "failed")])
def test_other_errors_stay_as_they_are(tmp_path, named):
    with pytest.raises(OSError) as error, naming_full_disk(tmp_path):
        raise named
    assert error.value is named


def test_a_limit_of_file_sizes_is_named_as_such(tmp_path):
    with disks.largest_file(10), pytest.raises(OSError, match="ulimit -f") as error:
        write_csv(tmp_path / "a.csv", [["water", 1]] * 100)
    assert error.value.filename == str(tmp_path / "a.csv") and not list(tmp_path.iterdir())


@pytest.mark.parametrize("named", [True, False])
def test_a_full_disk_in_a_folder_names_the_folder_above(tmp_path, named):
    with pytest.raises(OSError) as error, replacing_folder(tmp_path / "scene") as folder:
        raise OSError(errno.ENOSPC, "full", *[str(folder / "a.npy")] * named)
    assert error.value.filename == str(tmp_path) and not list(tmp_path.iterdir())


def test_every_error_of_reading_a_file_names_it(tmp_path, monkeypatch):
    path = tmp_path / "a.xml"
    path.write_bytes(b"0123456789")
    assert read_bytes(path) == b"0123456789" and read_bytes(path, 4) == b"0123"
    with pytest.raises(InputError, match="is a folder; give a file"):
        read_bytes(tmp_path)

    def fails(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("builtins.open", fails)
    with pytest.raises(OSError, match="Input/output error") as error:
        read_bytes(path)
    assert error.value.filename == str(path)


def test_the_version_is_that_of_git_or_the_constant(monkeypatch):
    outputs = iter(["v3.1.0-2-gabc", "abc1234-dirty", "", None])

    def run(command, **options):
        output = next(outputs)
        if output is None:
            raise FileNotFoundError("git")
        assert command[3] == "describe"
        return SimpleNamespace(stdout=output + "\n")

    monkeypatch.setattr("data.files.git_version.subprocess.run", run)
    versions = [version.__wrapped__() for _ in range(4)]
    assert versions == ["v3.1.0-2-gabc", f"{VERSION}+abc1234-dirty", VERSION, VERSION]


def test_git_under_a_limit_of_file_sizes_leaves_the_checkout_unlocked(tmp_path, monkeypatch):
    """`git describe --dirty` writes the index. A lock that stays would refuse every commit."""
    monkeypatch.setattr(git_version, "__file__", str(tmp_path / "data/files/git_version.py"))
    for number in range(60):  # an index of more than 1,000 bytes
        (tmp_path / f"{number}.txt").write_text("a")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    for path in tmp_path.glob("*.txt"):
        os.utime(path, (1, 1))
    with disks.largest_file(1000):
        version.__wrapped__()
    assert not (tmp_path / ".git/index.lock").exists()


def test_an_output_that_is_one_of_the_inputs_is_refused_under_any_of_its_names(tmp_path):
    given, other = tmp_path / "mask.tif", tmp_path / "image.tif"
    given.write_text("pixels")
    other.write_text("others")
    (tmp_path / "symbolic.tif").symlink_to(given)
    (tmp_path / "hard.tif").hardlink_to(given)
    (tmp_path / "folder").mkdir()
    refuse_input([tmp_path / "new.tif"], [given, tmp_path / "missing.tif"])
    refuse_input([other], [given])
    for name in ("mask.tif", "symbolic.tif", "hard.tif", "folder/../mask.tif"):
        with pytest.raises(InputError, match=f"{name}: is an input; give the output another name"):
            refuse_input([tmp_path / "new.tif", tmp_path / name], iter([other, given]))


def test_files_in_a_folder_of_inputs_are_inputs_and_links_to_folders_are_not_followed(tmp_path):
    deep = tmp_path / "x.SAFE/GRANULE/L2A/B02.jp2"
    deep.parent.mkdir(parents=True)
    deep.write_text("pixels")
    (tmp_path / "elsewhere.tif").write_text("others")
    (deep.parent / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "hard.tif").hardlink_to(deep)
    for path in (deep, tmp_path / "hard.tif"):
        with pytest.raises(InputError, match=f"{path.name}: is an input"):
            refuse_input([path], [tmp_path / "x.SAFE"])
    refuse_input([tmp_path / "elsewhere.tif", deep.parent / "new.tif"], [tmp_path / "x.SAFE"])


def test_names_of_missing_files_are_compared_without_case_and_in_their_folder(tmp_path):
    """x.tif.msk would become the mask of x.tif, and so would X.TIF.MSK."""
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for path in ("x.tif.msk", "X.TIF.MSK", "link/x.tif.msk"):
        with pytest.raises(InputError, match="is an input"):
            refuse_input([tmp_path / path], [tmp_path / "x.tif.msk"])
    refuse_input([tmp_path / "none/x.tif.msk"], [tmp_path / "x.tif.msk"])


def test_a_pipe_a_device_and_a_folder_are_no_files(tmp_path):
    pipe, link = tmp_path / "pipe.tif", tmp_path / "link.tif"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path, kind in (
        (pipe, "a pipe or a device"),
        (link, "a pipe or a device"),
        ("/dev/null", "a pipe or a device"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(InputError, match=f"^{path}: is {kind}; give a file$"):
            require_file(path)
    with pytest.raises(FileNotFoundError, match="nothing: no such file; check its name"):
        require_file(tmp_path / "nothing")
    (tmp_path / "file.tif").write_text("")
    (tmp_path / "other.tif").symlink_to(tmp_path / "file.tif")
    assert require_file(tmp_path / "file.tif") is require_file(tmp_path / "other.tif") is None


def test_an_error_names_its_file_once():
    for text in ("is cut short", "folder/m.tif: is cut short"):
        with pytest.raises(InputError, match="^folder/m.tif: is cut short$"):
            with naming(Path("folder/m.tif")):
                raise InputError(text)
    with pytest.raises(OSError, match="^full$"), naming("m.tif"):
        raise OSError("full")


KILLED = """
import os, signal, sys
from pathlib import Path
from data.files import replacing, replacing_folder
path = Path(sys.argv[1])
with replacing(path) as temporary, replacing_folder(path.with_name("folder")) as folder:
    temporary.write_text("half")
    (folder / "array.npy").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITES = """
import sys
from data.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("whole")
"""


def program(text: str, *arguments) -> int:
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.run(command, cwd=Path(__file__).parents[2]).returncode


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    assert program(KILLED, tmp_path / "a.txt") == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / ".notes.tmp").write_text("a file of somebody else")
    assert program(WRITES, tmp_path / "b.txt") == 0
    assert {path.name for path in tmp_path.iterdir()} == {".notes.tmp", "b.txt"}


def test_a_temporary_file_of_a_living_process_is_left_alone(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        assert program(WRITES, tmp_path / "a.txt") == 0
        assert temporary.read_text() == "half"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "half"}


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def unsupported(*arguments):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(writing.fcntl, "flock", unsupported)
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_stays_empty_is_removed_with_those_made_for_it(tmp_path):
    (tmp_path / "there").mkdir()
    with folder_for(tmp_path / "there/one/two/a.tif"):
        assert (tmp_path / "there/one/two").is_dir()
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert list((tmp_path / "there").iterdir()) == []
    with folder_for(tmp_path / "there/one/two/a.tif"):
        (tmp_path / "there/one/b.tif").touch()
    assert [path.name for path in (tmp_path / "there/one").iterdir()] == ["b.tif"]
