import numpy as np
import pytest
from scipy import ndimage

from stemkit.datasets import make_drift_pairs
from stemkit.registration import Motion
from stemkit.registration._correlation_search import border, weigh_frequencies
from stemkit.registration._refinement import (
    _correlation_by_patch,
    correlation_margins,
    count_places,
    prepare,
    refine,
)
from stemkit.registration._warping import coverage, warp

SHAPE = (160, 144)


def test_margins_are_in_standard_errors():
    rng = np.random.default_rng(0)
    margins = []
    for _ in range(40):
        common, *own = ndimage.gaussian_filter(rng.normal(size=(3, 128, 128)), (0, 1.5, 1.5))
        frames = [prepare((common + noise).astype(np.float32)) for noise in own]
        # For these two motions frames agree by chance alone, and overlaps differ.
        wrong = [Motion((128, 128), drift) for drift in ((40.0, -20.0), (9.0, 64.0))]
        margins.append(*correlation_margins(frames, wrong))
        right = [Motion((128, 128)), Motion((128, 128), (30, 5))]
        assert correlation_margins(frames, right)[0] > 5
    assert abs(np.mean(margins)) < 0.5
    assert 0.7 < np.std(margins) < 1.4


def test_an_estimate_does_not_depend_on_where_the_refinement_starts():
    data = make_drift_pairs(4, shape=SHAPE, random_state=31)
    # Without `full_steps`, noise shortens the steps, which then end before the optimum.
    for pair, motion in zip(data.pairs, data.motion, strict=True):
        frames = [prepare(weigh_frequencies(frame.astype(np.float32), 0.0)) for frame in pair]
        displaced = motion.drift + np.array([0.6, -0.5])
        turned = Motion.from_parameters(
            SHAPE, drift=displaced, rotation=motion.rotation + np.deg2rad(1)
        )
        from_truth, from_displaced = (
            refine(frames, m, ("rotation",), full_steps=True) for m in (motion, turned)
        )
        places = [[0, 0], [159, 143]]
        np.testing.assert_allclose(
            from_displaced.motion.apply(places), from_truth.motion.apply(places), atol=0.1
        )


def textured(shape=(96, 80), seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    frame = ndimage.gaussian_filter(noise, 2)
    return (frame / frame.std()).astype(np.float32)


@pytest.mark.parametrize("gain", [0.01, 30.0])
def test_prepared_frames_do_not_depend_on_the_unit_and_have_even_contrast(gain):
    frame = textured() * np.linspace(0.5, 2, 80, dtype=np.float32)
    values = prepare(frame).values
    np.testing.assert_allclose(prepare(np.float32(gain) * frame).values, values, atol=1e-4)
    before, after = (f[:, 60:].std() / f[:, :20].std() for f in (frame, values))
    assert before > 2
    assert after < 1.6


def test_contrast_far_below_that_of_the_frame_is_not_amplified():
    frame = textured()
    frame[:, 40:] *= 0.01
    values = prepare(frame).values
    assert values[:, 65:].std() < 0.1 * values[:, :15].std()


def test_frames_without_structure_agree_nowhere():
    frames = [prepare(np.zeros((40, 50), "float32"))] * 2
    still = Motion((40, 50))
    found = refine(frames, still, ("rotation",))
    assert found.correlation == 0
    assert found.overlap == 1
    np.testing.assert_array_equal(found.motion.drift, 0)
    assert count_places(frames, still) == 0
    np.testing.assert_array_equal(correlation_margins(frames, [still, still]), 0)


@pytest.mark.parametrize("full_steps", [False, True])
@pytest.mark.parametrize(
    "true, fitted",
    [
        ({}, ()),
        ({"rotation": 0.02}, ("rotation",)),
        ({"shear": 0.02, "stretch": -0.015}, ("shear", "stretch")),
        ({"rotation": -0.02, "scale": 1.01}, ("rotation", "shear", "stretch", "scale")),
    ],
)
def test_a_small_motion_is_refined_to_a_hundredth_of_a_px(true, fitted, full_steps):
    frame = textured((120, 100))
    expected = Motion.from_parameters(frame.shape, drift=(0.7, -1.1), **true)
    frames = [prepare(frame), prepare(warp(frame, expected))]
    found = refine(frames, Motion(frame.shape), fitted, full_steps=full_steps)
    places = [[30, 30], [30, 70], [90, 30], [90, 70]]
    difference = found.motion.apply(places) - expected.apply(places)
    assert np.abs(difference).max() < 0.03
    assert found.correlation > 0.99
    assert found.overlap == pytest.approx(coverage(expected.inverse()).mean(), abs=0.01)


def test_parameters_that_are_not_fitted_stay():
    frame = textured()
    turned = warp(frame, Motion.from_parameters(frame.shape, drift=(0.5, 0), rotation=0.02))
    start = Motion.from_parameters(frame.shape, shear=0.004)
    found = refine([prepare(frame), prepare(turned)], start, ()).motion
    np.testing.assert_allclose(found.matrix, start.matrix, atol=1e-12)


def test_places_are_counted():
    y, x = np.indices((128, 128))
    sites = [(30, 20), (60, 90), (100, 50), (24, 76), (92, 100)]
    for n in (1, 2, 5):
        frame = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 2) for a, b in sites[:n])
        frames = [prepare(frame.astype(np.float32))] * 2
        # A spot extends over about two blocks along each axis, however many spots there are.
        places = count_places(frames, Motion((128, 128)))
        assert 0.9 * n < places < 6 * n


def test_places_in_which_frames_do_not_agree_are_not_counted():
    one, other = (prepare(textured(seed=seed)) for seed in (0, 1))
    opposite = prepare(-textured())
    still = Motion((96, 80))
    assert count_places([one, opposite], still) == 0
    assert count_places([one, other], still) < 0.1 * count_places([one, one], still)


def test_the_influences_of_all_patches_on_the_correlation_cancel():
    frame = textured()
    moved = Motion((96, 80), (3, -2))
    frames = [prepare(frame), prepare(warp(frame + 0.5 * textured(seed=1), moved))]
    correlation, influence = _correlation_by_patch(frames, moved)
    assert 0.5 < correlation < 0.95
    assert influence.shape == (12, 10)
    assert influence.std() > 1e-4
    assert influence.sum() == pytest.approx(0, abs=1e-6)


def test_steps_follow_the_frames_however_far_they_are_turned():
    frame = textured((100, 100))
    expected = Motion.from_parameters(frame.shape, drift=(4, -6), rotation=2.0)
    frames = [prepare(frame), prepare(warp(frame, expected))]
    start = Motion.from_parameters(frame.shape, drift=(4.9, -6.8), rotation=2.01)
    found = refine(frames, start, ("rotation",)).motion
    np.testing.assert_allclose(found.drift, expected.drift, atol=0.03)
    assert found.rotation == pytest.approx(expected.rotation, abs=1e-3)


@pytest.mark.parametrize("drift", [(0.0, 0.0), (0.4, -1.3), (60.0, -50.0)])
def test_correlations_are_those_of_the_frames_where_they_overlap(drift):
    frame = textured((80, 70))
    motion = Motion(frame.shape, drift)
    noisy = warp(frame, motion, fill=0.0) + 0.5 * textured((80, 70), seed=1)
    frames = [prepare(frame), prepare(noisy)]
    margin = border(frame.shape)
    inside = coverage(motion.inverse(), margin=margin)
    # The last rows and columns fill no patch of 8 px.
    inside[80:], inside[:, 64:] = False, False
    a = frames[0].values[inside]
    b = warp(frames[1].values, motion.inverse())[inside]
    correlation, _ = _correlation_by_patch(frames, motion)
    assert correlation == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-3)
    assert refine(frames, motion, (), max_steps=0).correlation == pytest.approx(
        correlation, abs=0.05
    )


def test_prepared_frames_of_even_contrast_keep_their_values_and_splines_give_these_back():
    wave = np.sin(np.indices((90, 120)).sum(axis=0) / 2.5).astype("float32")
    found = prepare(wave)
    # Contrast is limited by the root of the sum of squares of its own and 0.3 of the frame's.
    expected = wave * np.sqrt(2 / (1 + 0.3**2))
    inside = (slice(15, -15), slice(15, -15))
    np.testing.assert_allclose(found.values[inside], expected[inside], atol=0.08)
    given_back = ndimage.spline_filter(found.values, 3, output=np.float32)
    np.testing.assert_allclose(found.coefficients, given_back, atol=1e-5)
    at = np.indices(wave.shape)
    again = ndimage.map_coordinates(found.coefficients, at, order=3, prefilter=False)
    np.testing.assert_allclose(again[inside], found.values[inside], atol=1e-4)
    for gradient, slope in zip(found.gradient, np.gradient(found.values), strict=True):
        np.testing.assert_array_equal(gradient, slope)
