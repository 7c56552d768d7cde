import os
import signal
import subprocess
import sys
import time

import pytest

from stemkit.cli._results import UNITS


@pytest.mark.parametrize(
    "error, status, message",
    [
        (MemoryError(), 2, "not enough memory"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (ValueError("frames are\n odd."), 2, "stemkit: frames are odd\n"),
        (ZeroDivisionError("oh"), 2, "ZeroDivisionError: oh (this is a bug, --debug shows where)"),
        (KeyboardInterrupt(), 130, "stopped, nothing was written"),
    ],
)
def test_a_failed_run_leaves_no_files(
    run, tmp_path, paths, true_model, monkeypatch, error, status, message
):
    def fail(self, frames, trajectory):
        raise error

    monkeypatch.setattr(true_model, "transform", fail)
    before = sorted(os.listdir(tmp_path))
    result = run("drift", *paths, "-o", "out", "-q")
    assert result.exit_code == status
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert sorted(os.listdir(tmp_path)) == before
    if isinstance(error, ZeroDivisionError):
        debugged = run("drift", *paths, "-o", "out", "-q", "--debug")
        assert debugged.exception is error


def test_warnings_are_one_plain_line_each(run, paths, true_model, monkeypatch):
    def warn(self, frames):
        import warnings

        warnings.warn("frame 2 is doubtful", UserWarning, stacklevel=2)
        warnings.warn("of no use to a microscopist", DeprecationWarning, stacklevel=2)
        return self

    monkeypatch.setattr(true_model, "fit", warn)
    monkeypatch.setattr("warnings.filters", [])
    result = run("drift", *paths, "-o", "out", "-q")
    assert result.stderr == f"warning: frame 2 is doubtful\n{UNITS}\nresults are in out\n"


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_terminated_run_leaves_no_files(tmp_path, paths, number, status):
    before = sorted(os.listdir(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "stemkit", "drift", *paths, "-o", "out", "--epochs", "1000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Background jobs of a shell ignore Ctrl-C, and their child processes too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        # The first line of progress shows that the training has started.
        first = process.stderr.read(1)
        assert first
        assert len(os.listdir(tmp_path)) > len(before)
        time.sleep(0.2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits of file sizes")
def test_the_error_for_a_full_disk_is_one_sentence(tmp_path):
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from stemkit.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "demo", "-q", "-o", "out", "--frames", "2", "--size", "64"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("stemkit: frames.tif can't be written: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
