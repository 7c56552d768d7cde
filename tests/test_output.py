import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stemkit._output import whole_file, whole_folder, write_whole


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_results_appear_together_with_their_record(tmp_path):
    with whole_folder(tmp_path / "a" / "out", command="drift") as folder:
        (folder / "table.csv").write_text("1")
        assert not (tmp_path / "a").exists()
        assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    assert set(os.listdir(tmp_path / "a" / "out")) == {"table.csv", "stemkit.json"}
    record = json.loads((tmp_path / "a" / "out" / "stemkit.json").read_text())
    assert record == {"command": "drift", "files": ["table.csv"]}
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_a_failed_run_leaves_nothing_and_keeps_earlier_results(tmp_path, error):
    def run(table, then=None):
        with whole_folder(tmp_path / "out") as folder:
            (folder / "table.csv").write_text(table)
            if then is not None:
                raise then

    run("earlier")
    before = contents(tmp_path)
    with pytest.raises(error):
        run("half", then=error)
    assert contents(tmp_path) == before


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_the_next_run_removes_files_of_a_killed_run_but_not_of_a_running_one(tmp_path):
    (tmp_path / ".out-notes.partial").mkdir()
    (tmp_path / ".out-00000000.partial").symlink_to("gone")  # a broken link is not an error
    with whole_folder(tmp_path / "out"):
        pass
    assert (tmp_path / ".out-00000000.partial").is_symlink()
    shutil.rmtree(tmp_path / "out")
    (tmp_path / ".out-00000000.partial").unlink()
    code = (
        "import os, signal; from stemkit._output import whole_file, whole_folder, write_whole\n"
        "with whole_folder('out') as folder:\n"
        "    (folder / 'half.csv').write_text('1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert {Path(name).suffix for name in os.listdir(tmp_path)} == {".partial", ".lock"}
    with whole_folder(tmp_path / "out") as running:
        lock = running.with_suffix(".lock").name
        assert set(os.listdir(tmp_path)) == {".out-notes.partial", running.name, lock}
        with whole_folder(tmp_path / "out"):
            assert running.is_dir()
    assert set(os.listdir(tmp_path)) == {".out-notes.partial", "out"}


def test_earlier_results_are_replaced_as_a_whole(tmp_path):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "old.csv").write_text("1")
    with whole_folder(tmp_path / "out") as folder:
        (folder / "new.csv").write_text("2")
        assert (tmp_path / "out" / "old.csv").exists()
    assert set(os.listdir(tmp_path / "out")) == {"new.csv", "stemkit.json"}
    assert os.listdir(tmp_path) == ["out"]


def test_an_empty_folder_is_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as folder:
        (folder / "new.csv").write_text("2")
    assert (tmp_path / "out" / "new.csv").exists()


@pytest.mark.parametrize("record", [None, "no json", "[]", '{"files": ["table.csv"]}'])
def test_files_of_the_user_are_never_removed(tmp_path, record):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    if record is not None:
        (out / "stemkit.json").write_text(record)
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=r"notes\.txt|stemkit\.json"), whole_folder(out):
        pytest.fail("the block must not be entered")
    assert contents(tmp_path) == before


def test_a_file_or_the_working_folder_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"), whole_folder(tmp_path / "file"):
        pass
    (tmp_path / "in" / "side").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in" / "side")
    for out in (".", ".."):
        with pytest.raises(FileExistsError, match="in use"), whole_folder(out):
            pass


def test_a_folder_without_write_permission_is_an_error_before_the_block(tmp_path, monkeypatch):
    def deny(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", deny)
    with pytest.raises(PermissionError, match="out can't be"), whole_folder(tmp_path / "out"):
        pytest.fail("the block must not be entered")


def test_a_failed_swap_restores_the_earlier_results(tmp_path, monkeypatch):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "table.csv").write_text("earlier")
    before = contents(tmp_path)
    rename = Path.rename

    def fail_for_new(self, target):
        if self.suffix == ".partial":
            raise OSError(errno.EBUSY, "busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(OSError, match="busy"), whole_folder(tmp_path / "out") as folder:
        (folder / "table.csv").write_text("new")
    assert contents(tmp_path) == before


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.bin"
    write_whole(path, b"earlier")
    with whole_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"earlier"
        assert temporary.parent == tmp_path
    assert path.read_bytes() == b"new"
    write_whole(str(path), memoryview(b"newest"))
    assert path.read_bytes() == b"newest"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), OSError(28, "disk full")])
def test_an_unfinished_file_changes_nothing(tmp_path, error):
    path = tmp_path / "a.bin"

    def write_half():
        with whole_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    for before in ([], ["a.bin"]):
        with pytest.raises(type(error)) as caught:
            write_half()
        assert os.listdir(tmp_path) == before
        if isinstance(error, OSError):
            assert f"{path} can't be written: disk full" in str(caught.value)
            assert ("left as it was" in str(caught.value)) == bool(before)
        write_whole(path, b"earlier")
        assert path.read_bytes() == b"earlier"


def test_the_error_for_a_missing_folder_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.a\.bin can't be written"):
        write_whole(tmp_path / "nowhere" / "a.bin", b"")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_the_next_write_removes_the_file_of_a_killed_one(tmp_path):
    code = (
        "import os, signal; from stemkit._output import whole_file\n"
        "with whole_file('a.bin') as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path)
        assert len(os.listdir(tmp_path)) == 2
    with whole_file(tmp_path / "a.bin") as running:
        running.write_bytes(b"1")
        write_whole(tmp_path / "a.bin", b"2")
        assert running.exists()
    assert (tmp_path / "a.bin").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_files_are_written_on_disks_without_locks(tmp_path, monkeypatch):
    import filelock

    def acquire(self, timeout):
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    (tmp_path / ".a.bin-00000000.partial").write_bytes(b"perhaps of a running process")
    write_whole(tmp_path / "a.bin", b"1")
    assert (tmp_path / "a.bin").read_bytes() == b"1"
    assert (tmp_path / ".a.bin-00000000.partial").exists()
