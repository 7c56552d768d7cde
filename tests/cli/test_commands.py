import json
import os
import signal
import subprocess
import sys
import time

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import stemkit
from stemkit.cli import app
from stemkit.cli._app import COMMANDS
from stemkit.cli._results import UNITS
from stemkit.datasets import make_llzo_series
from stemkit.drift import Motion, coverage, warp
from stemkit.io import read_stack, write_stack

RESULTS = {"trajectory.csv", "aligned.tif", "decay.tif", "trajectory.png", "stemkit.json"}


@pytest.fixture(scope="module")
def series():
    return make_llzo_series(3, shape=(256, 240), max_rotation=0, max_shear=0, random_state=6)


@pytest.fixture
def paths(tmp_path, series):
    files = [tmp_path / f"{i}.tif" for i in range(3)]
    for path, frame in zip(files, series.frames, strict=True):
        write_stack(path, frame, pixel_size=series.pixel_size)
    return [str(path) for path in files]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


class TruthfulModel:
    """Stands in for the estimator where only what the command does with it is tested."""

    series = None

    def __init__(self, **parameters):
        type(self).parameters = parameters

    def fit(self, frames):
        return self

    def analyze(self, frames):
        dy, dx = self.series.drift.T
        zero = np.zeros(len(frames))
        table = {"dy": dy, "dx": dx, "rotation_deg": zero, "shear": zero}
        table |= {"stretch": zero, "scale": zero + 1, "mean_damage": zero, "closure": zero}
        return pd.DataFrame(table | {"confidence": zero + 1}), self.series.decay

    def transform(self, frames, trajectory):
        return np.stack(
            [
                warp(frame, motion.inverse())
                for frame, motion in zip(frames, self.series.motion, strict=True)
            ]
        )


@pytest.fixture
def truthful(monkeypatch, series):
    monkeypatch.setattr("stemkit.drift.DriftDecayModel", TruthfulModel)
    monkeypatch.setattr(TruthfulModel, "series", series)
    return TruthfulModel


def _assert_one_sentence(result, *words):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_drift_finds_the_motion_of_a_series(run, tmp_path, paths, series):
    result = run("drift", *paths, "-o", "out", "--epochs", 0)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert set(os.listdir(out)) == RESULTS | {"frame_0001.png", "frame_0002.png"}

    table = pd.read_csv(out / "trajectory.csv", index_col="frame")
    assert list(table["name"]) == ["0.tif", "1.tif", "2.tif"]
    wanted = {"dy", "dx", "rotation_deg", "shear", "mean_damage", "confidence", "closure"}
    assert wanted <= set(table)
    np.testing.assert_allclose(table[["dy", "dx"]], series.drift, atol=1)
    np.testing.assert_allclose(table["rotation_deg"], 0, atol=0.5)
    assert table["mean_damage"].is_monotonic_increasing

    aligned, size, _ = read_stack(out / "aligned.tif")
    assert size == series.pixel_size
    np.testing.assert_allclose(aligned[0], series.frames[0], atol=1e-6)
    decay = read_stack(out / "decay.tif").frames
    assert decay.shape == series.frames.shape
    assert (decay[0] == 1).all()
    assert decay.min() >= 0
    # The table on stdout is the one in the file.
    assert f"{table['dy'][2]:z.3f}" in result.stdout
    assert "results are in out" in result.stderr


def test_results_are_those_of_the_model(run, tmp_path, paths, series, truthful):
    result = run("drift", *paths, "-o", "out", "--motion", "rigid", "--seed", 7, "--quiet")
    assert result.exit_code == 0, result.output
    assert truthful.parameters == {
        "motion": "rigid",
        "registration": "correlation",
        "weights": "default",
        "device": "auto",
        "random_state": 7,
        "verbose": 0,
    }
    aligned = read_stack(tmp_path / "out" / "aligned.tif").frames
    inside = coverage(series.motion[2].inverse())
    expected = warp(series.frames[2], Motion(inside.shape, -series.drift[2]))
    np.testing.assert_array_equal(aligned[2][inside], expected[inside])
    np.testing.assert_array_equal(read_stack(tmp_path / "out" / "decay.tif").frames, series.decay)
    figure = iio.imread(tmp_path / "out" / "frame_0002.png")
    assert min(figure.shape[:2]) > 800
    assert figure.std() > 20
    record = json.loads((tmp_path / "out" / "stemkit.json").read_text())
    assert record["motion"] == "rigid"
    assert record["frames"] == ["0.tif", "1.tif", "2.tif"]
    assert record["pixel_size"] == series.pixel_size
    assert record["stemkit"] == stemkit.__version__
    # A second run replaces the first.
    assert run("drift", *paths[:2], "-o", "out", "-q").exit_code == 2  # the stand-in knows three
    assert run("drift", *paths, "-o", "out", "-q").exit_code == 0
    assert json.loads((tmp_path / "out" / "stemkit.json").read_text())["motion"] == "affine"


def test_pixel_size_given_by_hand_comes_before_that_of_the_files(run, tmp_path, paths, truthful):
    assert run("drift", *paths, "-o", "out", "--pixel-size", 0.5, "-q").exit_code == 0
    assert read_stack(tmp_path / "out" / "aligned.tif").pixel_size == 0.5


@pytest.mark.parametrize(
    "name, content",
    [("cut.png", b"\x89PNG\r\n\x1a\nhello"), ("cut.tif", b"II*\0"), ("a.jpg", b""), ("x.npy", b"")],
)
def test_a_broken_file_is_one_sentence_that_names_it(run, tmp_path, paths, name, content):
    (tmp_path / name).write_bytes(content)
    before = sorted(os.listdir(tmp_path))
    _assert_one_sentence(run("drift", paths[0], name, "-o", "out"), name)
    assert sorted(os.listdir(tmp_path)) == before


def test_arguments_that_make_no_sense_are_one_sentence(run, tmp_path, paths):
    _assert_one_sentence(run("drift", "missing.png", "-o", "out"), "missing.png does not exist")
    _assert_one_sentence(run("drift", paths[0], "-o", "out"), "at least two")
    np.save("small.npy", np.zeros((8, 8)))
    _assert_one_sentence(run("drift", paths[0], "small.npy", "-o", "out"), "small.npy", "8 x 8")
    result = run("drift", *paths, "-o", "out", "--pixel-size", "-1")
    _assert_one_sentence(result, "--pixel-size")
    result = run("drift", *paths, "-o", "out", "--weights", "missing.safetensors")
    _assert_one_sentence(result, "missing.safetensors")
    assert not (tmp_path / "out").exists()


def test_usage_errors_have_status_2_and_no_traceback(run, paths):
    for arguments in (["drift", "-o", "out"], ["drift", *paths], ["drift", "--motion", "x"], ["x"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Error" in result.stderr
        assert "Traceback" not in result.output


def test_an_output_that_can_not_be_written_is_found_out_before_any_work(run, tmp_path, paths):
    (tmp_path / "file").write_text("mine")
    _assert_one_sentence(run("drift", *paths, "-o", "file"), "file is a file")
    _assert_one_sentence(run("drift", *paths, "-o", "file/out"), "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    _assert_one_sentence(run("drift", *paths, "-o", "full"), "notes.txt")
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder nobody can write to")
def test_a_read_only_place_is_one_sentence(run, paths):
    _assert_one_sentence(run("drift", *paths, "-o", "/proc/stemkit"), "/proc/stemkit can't be")


@pytest.mark.parametrize(
    "error, status, words",
    [
        (MemoryError(), 2, "not enough memory"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (ValueError("frames are\n odd."), 2, "stemkit: frames are odd\n"),
        (ZeroDivisionError("oh"), 2, "ZeroDivisionError: oh (this is a bug, --debug shows where)"),
        (KeyboardInterrupt(), 130, "stopped, nothing was written"),
    ],
)
def test_failures_halfway_leave_nothing(
    run, tmp_path, paths, truthful, monkeypatch, error, status, words
):
    def fail(self, frames, trajectory):
        raise error

    monkeypatch.setattr(truthful, "transform", fail)
    before = sorted(os.listdir(tmp_path))
    result = run("drift", *paths, "-o", "out", "-q")
    assert result.exit_code == status
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert sorted(os.listdir(tmp_path)) == before
    if isinstance(error, ZeroDivisionError):
        debugged = run("drift", *paths, "-o", "out", "-q", "--debug")
        assert debugged.exception is error


def test_warnings_are_one_plain_line_each(run, paths, truthful, monkeypatch):
    def warn(self, frames):
        import warnings

        warnings.warn("frame 2 is doubtful", UserWarning, stacklevel=2)
        warnings.warn("of no use to a microscopist", DeprecationWarning, stacklevel=2)
        return self

    monkeypatch.setattr(truthful, "fit", warn)
    monkeypatch.setattr("warnings.filters", [])
    result = run("drift", *paths, "-o", "out", "-q")
    assert result.stderr == f"warning: frame 2 is doubtful\n{UNITS}\nresults are in out\n"


def test_demo_compares_estimate_and_truth(run, tmp_path):
    result = run("demo", "-o", "out", "--frames", 2, "--size", 192, "--seed", 2)
    assert result.exit_code == 0, result.output
    for word in ("dy", "dx", "rotation_deg", "mean_damage", "estimate", "truth", "error"):
        assert word in result.stdout
    out = tmp_path / "out"
    expected = RESULTS | {"frame_0001.png", "frames.tif", "truth.csv", "demo.png"}
    assert set(os.listdir(out)) == expected
    assert read_stack(out / "frames.tif").frames.shape == (2, 192, 192)
    truth = pd.read_csv(out / "truth.csv", index_col="frame")
    assert (truth.loc[0] == 0).all()
    series = make_llzo_series(2, shape=(192, 192), random_state=2)
    np.testing.assert_allclose(truth[["dy", "dx"]], series.drift)
    np.testing.assert_allclose(truth["rotation_deg"], np.rad2deg(series.rotation))
    np.testing.assert_allclose(truth["shear"], series.shear)
    damage = 1 - series.decay[1]
    assert damage.min() < truth["mean_damage"][1] < damage.max()


def test_help_and_version_answer_without_the_heavy_libraries():
    code = (
        "import sys; from stemkit.cli import app; app(['--version'], standalone_mode=False);"
        "heavy = {'torch', 'matplotlib', 'ase', 'skimage', 'pandas', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"stemkit {stemkit.__version__}\n[]\n"


def test_the_command_runs_as_a_process_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "stemkit", "drift", "missing.png", "-o", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "stemkit: missing.png does not exist\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path, paths, number, status):
    before = sorted(os.listdir(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "stemkit", "drift", *paths, "-o", "out", "--epochs", "1000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it runs in the background ignore Ctrl-C, and so would all its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        # The first line of progress says that it is in the middle of its work.
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


@pytest.mark.skipif(os.name != "posix", reason="the size of files is limited as POSIX has it")
def test_a_disk_that_takes_half_a_file_is_one_sentence_and_leaves_nothing(tmp_path):
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


def test_every_subcommand_has_a_module_and_is_listed_in_the_help(run):
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command.__module__ == f"stemkit.cli._{command.__name__}"
        assert f"\n  {command.__name__} " in result.stdout
    assert "png, tif, tiff, npy" in " ".join(run("drift", "--help").stdout.split())


def test_a_subcommand_is_added_by_a_module_and_a_name_in_a_list():
    def count(frames: list[str]) -> None:
        print(len(frames))

    extended = typer.Typer()
    for command in [*COMMANDS, count]:
        extended.command()(command)
    assert CliRunner().invoke(extended, ["count", "a", "b"]).stdout == "2\n"
