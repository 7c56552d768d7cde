import json
import os

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import tifffile

import stemkit
from stemkit.drift import Motion, coverage, warp
from stemkit.io import read_stack, write_stack
from stemkit.registration import align_stack, motions_from_table

RESULTS = {
    "trajectory.csv",
    "aligned.tif",
    "average.tif",
    "average_coverage.tif",
    "average.png",
    "decay.tif",
    "trajectory.png",
    "stemkit.json",
}


def assert_one_sentence(result, *expected):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for text in expected:
        assert text in result.stderr


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
    np.testing.assert_allclose(table["dx_nm"], table["dx"] * series.pixel_size, rtol=1e-4)
    np.testing.assert_allclose(table["rotation_deg"], 0, atol=0.5)
    assert table["mean_damage"].is_monotonic_increasing

    aligned = read_stack(out / "aligned.tif")
    assert aligned.pixel_size == pytest.approx(series.pixel_size)
    np.testing.assert_allclose(aligned[0], series.frames[0], atol=1e-6)
    average, coverage = (read_stack(out / f"average{end}.tif") for end in ("", "_coverage"))
    assert average.pixel_size == coverage.pixel_size == pytest.approx(series.pixel_size)
    assert average.dtype == np.float32
    motions = motions_from_table(table, series.frames.shape[1:])
    held = align_stack(series.frames, motions)
    np.testing.assert_array_equal(coverage[0], held.mask.sum(axis=0))
    mean = np.where(held.mask, held, 0).sum(axis=0) / coverage[0]
    np.testing.assert_allclose(average[0], mean, rtol=2e-3)
    decay = read_stack(out / "decay.tif").frames
    assert decay.shape == series.frames.shape
    assert (decay[0] == 1).all()
    assert decay.min() >= 0
    # Stdout has the same table as the file.
    assert f"{table['dy'][2]:z.3f}" in result.stdout
    assert "results are in out" in result.stderr


def test_results_are_those_of_the_model(run, tmp_path, paths, series, true_model):
    result = run("drift", *paths, "-o", "out", "--motion", "rigid", "--seed", 7, "--quiet")
    assert result.exit_code == 0, result.output
    assert true_model.parameters == {
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
    assert (
        run("drift", *paths[:2], "-o", "out", "-q").exit_code == 2
    )  # the substitute has three frames
    assert run("drift", *paths, "-o", "out", "-q").exit_code == 0
    assert json.loads((tmp_path / "out" / "stemkit.json").read_text())["motion"] == "affine"


def test_the_option_for_the_pixel_size_overrides_the_files(run, tmp_path, paths, true_model):
    assert run("drift", *paths, "-o", "out", "--pixel-size", 0.5, "-q").exit_code == 0
    assert read_stack(tmp_path / "out" / "aligned.tif").pixel_size == 0.5


@pytest.mark.parametrize(
    "name, content",
    [("cut.png", b"\x89PNG\r\n\x1a\nhello"), ("cut.tif", b"II*\0"), ("a.jpg", b""), ("x.npy", b"")],
)
def test_the_error_for_a_broken_file_is_one_sentence_with_its_name(
    run, tmp_path, paths, name, content
):
    (tmp_path / name).write_bytes(content)
    before = sorted(os.listdir(tmp_path))
    assert_one_sentence(run("drift", paths[0], name, "-o", "out"), name)
    assert sorted(os.listdir(tmp_path)) == before


def test_errors_in_arguments_are_one_sentence(run, tmp_path, paths):
    assert_one_sentence(run("drift", "missing.png", "-o", "out"), "missing.png does not exist")
    assert_one_sentence(run("drift", paths[0], "-o", "out"), "at least two")
    np.save("small.npy", np.zeros((8, 8)))
    assert_one_sentence(run("drift", paths[0], "small.npy", "-o", "out"), "small.npy", "8 x 8")
    result = run("drift", *paths, "-o", "out", "--pixel-size", "-1")
    assert_one_sentence(result, "--pixel-size")
    result = run("drift", *paths, "-o", "out", "--weights", "missing.safetensors")
    assert_one_sentence(result, "missing.safetensors")
    assert not (tmp_path / "out").exists()


def test_usage_errors_have_status_2_and_no_traceback(run, paths):
    for arguments in (["drift", "-o", "out"], ["drift", *paths], ["drift", "--motion", "x"], ["x"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Error" in result.stderr
        assert "Traceback" not in result.output


def test_an_unusable_output_folder_is_an_error_before_any_work(run, tmp_path, paths):
    (tmp_path / "file").write_text("mine")
    assert_one_sentence(run("drift", *paths, "-o", "file"), "file is a file")
    assert_one_sentence(run("drift", *paths, "-o", "file/out"), "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert_one_sentence(run("drift", *paths, "-o", "full"), "notes.txt")
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(
    not os.path.isdir("/proc/self"), reason="needs /proc, which nobody can write to"
)
def test_the_error_for_a_read_only_folder_is_one_sentence(run, paths):
    assert_one_sentence(run("drift", *paths, "-o", "/proc/stemkit"), "/proc/stemkit can't be")


def test_a_folder_is_a_series_in_natural_order(run, tmp_path, series):
    (tmp_path / "series").mkdir()
    for number, frame in zip((1, 2, 10), series.frames, strict=True):
        write_stack(tmp_path / "series" / f"im{number}.tif", frame)
    result = run("drift", "series", "-o", "out", "--epochs", 0)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "trajectory.csv")
    assert list(table["name"]) == ["im1.tif", "im2.tif", "im10.tif"]


def test_a_detector_of_a_file_is_chosen(run, tmp_path, series):
    both = np.stack([series.frames, series.frames[::-1]], axis=1).astype("float32")
    tifffile.imwrite(tmp_path / "a.tif", both, imagej=True, metadata={"axes": "TCYX"})
    result = run("drift", "a.tif", "-o", "out", "--epochs", 0)
    assert result.exit_code == 2
    assert "several signals, 0: channel 0, 1: channel 1" in result.stderr
    assert "--signal" in result.stderr
    result = run("drift", "a.tif", "--signal", "channel 0", "-o", "out", "--epochs", 0)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "trajectory.csv")
    np.testing.assert_allclose(table[["dy", "dx"]], series.drift, atol=1)


def test_oblong_pixels_are_an_error(run, tmp_path, series):
    write_stack(tmp_path / "a.tif", series.frames, pixel_size=(0.02, 0.03))
    result = run("drift", "a.tif", "-o", "out", "--epochs", 0)
    assert result.exit_code == 2
    assert "pixels are 0.02 x 0.03 nm" in result.stderr
    assert not (tmp_path / "out").exists()
