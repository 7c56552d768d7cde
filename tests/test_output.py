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


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_results_appear_together_with_a_record_of_how_they_came_about(tmp_path):
    with whole_folder(tmp_path / "a" / "out", command="drift") as folder:
        (folder / "table.csv").write_text("1")
        assert not (tmp_path / "a").exists()
        assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    assert set(os.listdir(tmp_path / "a" / "out")) == {"table.csv", "stemkit.json"}
    record = json.loads((tmp_path / "a" / "out" / "stemkit.json").read_text())
    assert record == {"command": "drift", "files": ["table.csv"]}
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_is_left_of_a_run_that_failed_and_earlier_results_stay(tmp_path, error):
    def run(table, then=None):
        with whole_folder(tmp_path / "out") as folder:
            (folder / "table.csv").write_text(table)
            if then is not None:
                raise then

    run("earlier")
    before = _contents(tmp_path)
    with pytest.raises(error):
        run("half", then=error)
    assert _contents(tmp_path) == before


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed as POSIX has it")
def test_what_a_killed_run_left_is_removed_by_the_next_and_a_living_one_keeps_its_own(tmp_path):
    (tmp_path / ".out-notes.partial").mkdir()
    (tmp_path / ".out-00000000.partial").symlink_to("gone")  # and what can't be opened is no error
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
    with whole_folder(tmp_path / "out") as living:
        lock = living.with_suffix(".lock").name
        assert set(os.listdir(tmp_path)) == {".out-notes.partial", living.name, lock}
        with whole_folder(tmp_path / "out"):
            assert living.is_dir()
    assert set(os.listdir(tmp_path)) == {".out-notes.partial", "out"}


def test_earlier_results_are_replaced_as_a_whole(tmp_path):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "old.csv").write_text("1")
    with whole_folder(tmp_path / "out") as folder:
        (folder / "new.csv").write_text("2")
        assert (tmp_path / "out" / "old.csv").exists()
    assert set(os.listdir(tmp_path / "out")) == {"new.csv", "stemkit.json"}
    assert os.listdir(tmp_path) == ["out"]


def test_an_empty_folder_may_be_given(tmp_path):
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as folder:
        (folder / "new.csv").write_text("2")
    assert (tmp_path / "out" / "new.csv").exists()


@pytest.mark.parametrize("record", [None, "no json", "[]", '{"files": ["table.csv"]}'])
def test_what_a_person_put_there_is_never_removed(tmp_path, record):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    if record is not None:
        (out / "stemkit.json").write_text(record)
    before = _contents(tmp_path)
    with pytest.raises(FileExistsError, match=r"notes\.txt|stemkit\.json"), whole_folder(out):
        pytest.fail("the block must not be entered")
    assert _contents(tmp_path) == before


def test_a_file_or_the_folder_one_works_in_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"), whole_folder(tmp_path / "file"):
        pass
    (tmp_path / "in" / "side").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in" / "side")
    for out in (".", ".."):
        with pytest.raises(FileExistsError, match="in use"), whole_folder(out):
            pass


def test_a_folder_that_can_not_be_written_is_found_out_before_any_work(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match="out can't be"), whole_folder(tmp_path / "out"):
        pytest.fail("the block must not be entered")


def test_a_swap_that_fails_puts_the_earlier_results_back(tmp_path, monkeypatch):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "table.csv").write_text("earlier")
    before = _contents(tmp_path)
    rename = Path.rename

    def refuse_new(self, target):
        if self.suffix == ".partial":
            raise OSError(errno.EBUSY, "busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(OSError, match="busy"), whole_folder(tmp_path / "out") as folder:
        (folder / "table.csv").write_text("new")
    assert _contents(tmp_path) == before


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
def test_a_file_that_is_not_finished_changes_nothing(tmp_path, error):
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


def test_a_file_in_a_missing_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.a\.bin can't be written"):
        write_whole(tmp_path / "nowhere" / "a.bin", b"")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed as POSIX has it")
def test_the_next_write_removes_what_a_killed_one_left(tmp_path):
    code = (
        "import os, signal; from stemkit._output import whole_file\n"
        "with whole_file('a.bin') as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path)
        assert len(os.listdir(tmp_path)) == 2
    with whole_file(tmp_path / "a.bin") as living:
        living.write_bytes(b"1")
        write_whole(tmp_path / "a.bin", b"2")
        assert living.exists()
    assert (tmp_path / "a.bin").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_without_locks_on_the_disk_files_are_written_all_the_same(tmp_path, monkeypatch):
    import filelock

    def acquire(self, timeout):
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    (tmp_path / ".a.bin-00000000.partial").write_bytes(b"perhaps of a living process")
    write_whole(tmp_path / "a.bin", b"1")
    assert (tmp_path / "a.bin").read_bytes() == b"1"
    assert (tmp_path / ".a.bin-00000000.partial").exists()
