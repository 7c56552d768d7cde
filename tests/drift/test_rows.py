import warnings

import numpy as np
import pandas as pd
import pytest

from stemkit import DriftDecayModel
from stemkit.damage import fit_critical_dose
from stemkit.damage._bands import bands_of_series
from stemkit.exceptions import (
    InvalidParameterError,
    LowConfidenceWarning,
    ModelMismatchWarning,
    SharpnessChangeWarning,
)
from stemkit.registration import Motion, register_rows
from tests.registration.scanned_series import errors_of_rows, record, settling

SIDE = 128


@pytest.fixture(scope="module")
def paths():
    return settling(3, SIDE, (14.0, -16.0))


@pytest.fixture(scope="module")
def frames(paths):
    return record(paths, dose=200)


@pytest.fixture(scope="module")
def model():
    return DriftDecayModel(motion="path")


@pytest.fixture(scope="module")
def table(model, frames):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowConfidenceWarning)
        return model.trajectory(frames)


def test_the_trajectory_is_that_of_the_middle_rows(table, paths):
    middle = paths[:, SIDE // 2] - paths[0, SIDE // 2]
    # What all frames share is unknown, as the mean bend is.
    assert np.abs(table[["dy", "dx"]].to_numpy() - middle).max() < 1.5
    columns = ["time", "dy", "dx", "rotation_deg", "shear", "stretch", "scale", "mean_damage"]
    assert list(table.columns) == [*columns, "confidence", "closure"]
    assert (table[["rotation_deg", "shear", "stretch"]] == 0).all().all()


def test_row_paths_are_those_that_the_trajectory_carries(model, table, frames, paths):
    path, std = model.row_paths(frames, trajectory=table, return_std=True)
    assert path.shape == std.shape == (3, SIDE, 2)
    assert np.median(errors_of_rows(path, paths)) < 0.15
    np.testing.assert_allclose(path[:, SIDE // 2], table[["dy", "dx"]])
    assert np.array_equal(path, model.row_paths(frames, trajectory=table))


def test_a_saved_trajectory_is_a_start(model, table, frames):
    saved = pd.DataFrame(table.to_dict("list"))
    again = model.row_paths(frames, trajectory=saved)
    path = model.row_paths(frames, trajectory=table)
    assert np.median(np.abs(again - path)) < 0.1


def test_aligned_rows_agree(model, table, frames):
    aligned = model.transform(frames, trajectory=table)
    assert aligned.shape == frames.shape
    inner = aligned.mask.all(0)
    inner[:20] = inner[-20:] = False
    rest = (np.asarray(aligned[1]) - np.asarray(aligned[2]))[inner]
    plain = (frames[1] - frames[2])[inner]
    assert rest.std() < 0.7 * plain.std()


@pytest.mark.parametrize("canvas", ["first", "union", "common"])
def test_the_average_is_on_the_canvas(model, table, frames, canvas):
    average = model.average(frames, trajectory=table, canvas=canvas)
    aligned = model.transform(frames, trajectory=table, canvas=canvas)
    assert average.mean.shape == aligned.shape[1:]
    assert average.origin == aligned.origin
    assert np.array_equal(average.coverage, aligned.mask.sum(0))
    shown = average.coverage == 3
    np.testing.assert_allclose(
        average.mean[shown], np.asarray(aligned).mean(0)[shown], rtol=0.02, atol=0.1
    )


def test_bending_is_no_damage(model, table, frames):
    maps = model.decay_maps(frames, trajectory=table)
    assert maps.shape == frames.shape
    assert abs(maps[1:, 30:-30, 30:-30].mean() - 1) < 0.05


def test_the_critical_dose_and_bands_are_those_of_straight_rows(model, table, frames):
    dose = [1.0, 2.0, 3.0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SharpnessChangeWarning)
        critical = model.critical_dose(frames, dose, trajectory=table)
        bands = model.decay_bands(frames, trajectory=table)
    maps, stderr = model.decay_maps(frames, trajectory=table, return_stderr=True)
    np.testing.assert_array_equal(critical.dose, fit_critical_dose(maps, dose, stderr=stderr).dose)
    aligned = model.transform(frames, trajectory=table)
    still = [Motion((SIDE, SIDE))] * 3
    expected = bands_of_series(np.asarray(aligned), still, ~aligned.mask)
    np.testing.assert_allclose(bands.decay, expected.decay, rtol=1e-3, atol=1e-3)


def test_data_are_laid_along(model, table, frames):
    both = np.stack([frames, 2 * frames], axis=-1)
    aligned = model.apply(table, both, fill=-1.0)
    assert aligned.shape == (*frames.shape, 2)
    assert (np.asarray(aligned)[~aligned.mask] == -1).all()
    shown = aligned.mask[..., 0]
    one, twice = (np.asarray(aligned)[..., k][shown] for k in (0, 1))
    np.testing.assert_allclose(twice, 2 * one, rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="carries no paths"):
        model.apply(pd.DataFrame(table.to_dict("list")), both)
    with pytest.raises(ValueError, match="128 rows"):
        model.apply(table, both[:, :64])


@pytest.fixture(scope="module")
def bent():
    """Return frames of which the second one bends by a sine of 6 px."""
    wave = 6 * np.sin(2 * np.pi * np.arange(SIDE) / SIDE)
    still = np.zeros((SIDE, 2))
    return record(np.stack([still, np.stack([np.zeros(SIDE), wave], -1)]), dose=30)


@pytest.mark.parametrize("motion", ["affine", "rigid", "translation"])
def test_a_motion_of_whole_frames_says_that_rows_are_displaced(bent, motion):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowConfidenceWarning)
        with pytest.warns(ModelMismatchWarning, match="motion='path'"):
            table = DriftDecayModel(motion=motion).trajectory(bent)
        assert table["confidence"][1] < 0.5
        with pytest.warns(ModelMismatchWarning):
            assert DriftDecayModel(motion=motion).register(bent).confidence < 0.5


def test_frames_of_a_camera_have_no_rows(bent):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelMismatchWarning)
        warnings.simplefilter("ignore", LowConfidenceWarning)
        DriftDecayModel(readout="frame").register(bent)


def test_still_rows_are_named_by_no_warning():
    still = np.zeros((3, 96, 2)) + np.array([[[0, 0]], [[3, -2]], [[5, -5]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = DriftDecayModel().trajectory(record(still, dose=30))
    assert (table["confidence"] > 0.5).all()


def test_orthogonal_scans_are_aligned():
    paths = np.zeros((2, 96, 2))
    paths[1] = 3, -2
    frames = record(paths, dose=50, degrees=(0, 90))
    model = DriftDecayModel(motion="path", scan_direction=[0, 90])
    table = model.trajectory(frames)
    assert table["rotation_deg"].tolist() == [0, -90]
    aligned = model.transform(frames, trajectory=table)
    shown = aligned.mask.all(0)
    one, other = (np.asarray(a)[shown] for a in aligned)
    assert np.corrcoef(one, other)[0, 1] > 0.8
    rows = register_rows(frames, scan_direction=[0, 90])
    assert np.abs(np.median(rows.path[1], axis=0) - (3, -2)).max() < 0.2


def test_parameters_that_do_not_go_together_are_an_error(frames):
    with pytest.raises(InvalidParameterError, match="readout='frame'"):
        DriftDecayModel(motion="path", readout="frame").trajectory(frames)
    with pytest.raises(InvalidParameterError, match="scan_direction"):
        DriftDecayModel(scan_direction=[0, 90, 0]).trajectory(frames)
    with pytest.raises(ValueError, match="scan_direction"):
        DriftDecayModel(motion="path", scan_direction=[0, 90]).trajectory(frames)
    with pytest.raises(ValueError, match="at least 32"):
        DriftDecayModel(motion="path").trajectory(frames[:, :16])


@pytest.mark.parametrize("trajectory", [3, [0.5, 1.0], "x"])
def test_a_trajectory_that_is_no_table_is_named(model, frames, trajectory):
    with pytest.raises((TypeError, ValueError), match="trajectory"):
        model.row_paths(frames, trajectory=trajectory)
