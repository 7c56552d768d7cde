import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from stemkit import DriftDecayModel
from stemkit._fourier_rings import correlate_rings
from stemkit.exceptions import BadPixelWarning, ExposureChangeWarning, OutOfViewWarning
from stemkit.io import FrameStack
from stemkit.registration import Motion, average, motions_from_table, trajectory_table

from ..registration.drifting_series import record, walk

SHAPE = (96, 104)


def table_of(motions):
    n_frames = len(motions)
    return trajectory_table(motions, np.zeros(n_frames), np.ones(n_frames))


@pytest.fixture(scope="module")
def series():
    return record(walk(5, SHAPE, step=(3.4, -2.2)), 60)


@pytest.fixture(scope="module")
def model():
    return DriftDecayModel(motion="translation")


def test_an_average_needs_no_trajectory(model, series):
    result = model.average(series.frames)
    z = ((result.mean - 60 * series.truth) / result.stderr).compressed()
    assert 0.9 < np.sqrt(np.mean(z**2)) < 1.2
    assert 3 < result.resolution < 8
    assert result.pixel_size is None


def test_it_is_the_average_of_the_motions(model, series):
    table = table_of(series.motions)
    for canvas in ("first", "union", "common"):
        found = model.average(series.frames, trajectory=table, canvas=canvas)
        expected = average(series.frames, motions_from_table(table, SHAPE), canvas=canvas)
        np.testing.assert_array_equal(found.mean, expected.mean)
        assert found.origin == expected.origin
        aligned = model.transform(series.frames, trajectory=table, canvas=canvas)
        assert aligned.origin == found.origin
        np.testing.assert_array_equal(aligned.mask.sum(axis=0), found.coverage)


def test_a_stack_passes_its_pixel_size_on(model, series):
    stack = FrameStack(series.frames, pixel_size=0.03)
    result = model.average(stack, trajectory=table_of(series.motions))
    assert result.pixel_size == 0.03
    assert result.resolution_nm == pytest.approx(0.03 * result.resolution)


def test_missing_and_bad_pixels_are_no_data(model):
    still = record([Motion(SHAPE)] * 5, 60)
    frames = np.ma.masked_array(still.frames, np.zeros(still.frames.shape, bool))
    frames[:, 40, 50] = np.ma.masked
    frames.data[1, 70, 80] = 1e5
    with pytest.warns(BadPixelWarning):
        result = model.average(frames, trajectory=table_of([Motion(SHAPE)] * 5))
    assert result.coverage[40, 50] == 0
    assert result.mean.mask[40, 50]
    assert result.coverage[70, 80] == 4
    assert result.coverage[0, 0] == 5
    assert np.isfinite(result.mean.data).all()


def test_parts_without_data_are_no_data_on_any_canvas(model, series):
    frames = np.ma.masked_array(series.frames, np.zeros(series.frames.shape, bool))
    frames[:, 80:] = np.ma.masked  # a bar with text
    for canvas in ("first", "union"):
        with pytest.warns(BadPixelWarning):
            result = model.average(frames, trajectory=table_of(series.motions), canvas=canvas)
        with pytest.warns(BadPixelWarning):
            aligned = model.transform(frames, trajectory=table_of(series.motions), canvas=canvas)
        np.testing.assert_array_equal(aligned.mask.sum(axis=0), result.coverage)
        # Of a row that is interpolated between the last one and the bar, nothing is used.
        assert 5 * 79 * 104 - 600 < result.coverage.sum() <= 5 * 80 * 104 or canvas == "first"


def test_noisier_frames_get_less_weight():
    doses = np.array([60, 6, 60, 6, 60, 6])
    motions = walk(6, SHAPE)
    series = record(motions, doses)
    frames = series.frames / doses[:, None, None]
    model = DriftDecayModel(exposure=None)
    plain, weighted = (
        model.average(frames, trajectory=table_of(motions), weights=weights)
        for weights in (None, "inverse-variance")
    )
    errors = [np.sqrt(np.mean((r.mean - series.truth) ** 2)) for r in (plain, weighted)]
    assert errors[1] < 0.75 * errors[0]
    assert weighted.n_effective.max() == pytest.approx(198**2 / (3 * 3636), rel=0.1)
    two = model.average(frames[:2], trajectory=table_of(motions[:2]), weights="inverse-variance")
    assert two.n_effective.max() < 1.5


def test_exposures_that_differ_are_divided_out(series):
    doubled = series.frames * np.array([1, 2, 1, 1, 2])[:, None, None]
    model = DriftDecayModel(exposure=[1, 2, 1, 1, 2])
    table = table_of(series.motions)
    result = model.average(doubled, trajectory=table)
    np.testing.assert_allclose(
        result.mean, model.set_params(exposure=None).average(series.frames, trajectory=table).mean
    )
    with pytest.warns(ExposureChangeWarning):
        DriftDecayModel().average(doubled, trajectory=table)


def test_fine_structure_comes_from_the_frames_that_still_have_it():
    rng = np.random.default_rng(0)
    motions = [Motion(SHAPE)] * 8
    sharp = record(motions, 1, sigma=1.3).truth
    clean = [ndimage.gaussian_filter(sharp, 0.35 * i) for i in range(8)]
    frames = rng.normal(clean, 0.3)
    model, table = DriftDecayModel(exposure=None), table_of(motions)
    plain = model.average(frames, trajectory=table)
    weighted = model.average(frames, trajectory=table, dose=10 * np.arange(8))
    assert np.std(weighted.mean - sharp) < np.std(plain.mean - sharp)
    like = [
        correlate_rings(r.mean.data, sharp).correlation[15:25].mean() for r in (plain, weighted)
    ]
    assert like[1] > like[0] + 0.05
    # Film and background keep their intensity.
    assert weighted.mean.mean() == pytest.approx(plain.mean.mean(), rel=1e-3)
    with pytest.raises(ValueError, match="dose needs at least three frames"):
        model.average(frames[:2], trajectory=table[:2], dose=[1, 2])
    with pytest.raises(ValueError, match="dose must be finite and increase"):
        model.average(frames, trajectory=table, dose=np.zeros(8))


def test_one_frame_is_its_own_average(model, series):
    with pytest.warns(UserWarning, match="at least two frames"):
        result = model.average(series.frames[:1])
    np.testing.assert_array_equal(result.mean, series.frames[0])


def test_frames_out_of_view_are_named(model):
    motions = walk(4, SHAPE, step=(50, 0))
    frames = record(motions, 50).frames
    for call in (model.transform, model.average):
        with pytest.warns(OutOfViewWarning, match=r"Frames \[2, 3\]"):
            call(frames, trajectory=table_of(motions))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"canvas": "whole"}, "canvas must be"),
        ({"weights": "noise"}, "weights must be"),
        ({"weights": [1, 2]}, r"weights has shape \(2,\)"),
        ({"weights": [1, 2, 3, 4, -5]}, "weights must be finite"),
        ({"trajectory": pd.DataFrame({"dy": [0], "dx": [0]})}, "trajectory has 1 rows"),
    ],
)
def test_wrong_arguments_are_named(model, series, change, message):
    arguments = {"trajectory": table_of(series.motions)} | change
    with pytest.raises(ValueError, match=message):
        model.average(series.frames, **arguments)


def test_spectrum_images_follow_the_frames(model):
    # Two maps with pixels twice as large as those of the frames.
    table = pd.DataFrame({"dy": [0.0, 4.0], "dx": [0.0, -6.0], "rotation_deg": [0.0, 0.0]})
    maps = np.zeros((2, 20, 30, 3))
    maps[0, 8, 12, 1] = maps[1, 10, 9, 1] = 5
    aligned = model.apply(table, maps, frame_shape=(40, 61))
    assert aligned.shape == maps.shape
    np.testing.assert_allclose(aligned[1, 8, 12], maps[0, 8, 12], atol=1e-6)
    same = model.apply(table, maps, canvas="common")
    assert same.shape == (2, 16, 24, 3)
    with pytest.raises(ValueError, match="not the same field"):
        model.apply(table, maps, frame_shape=(40, 40))
    with pytest.raises(ValueError, match="for 2 motions"):
        model.apply(table, maps[:1])
