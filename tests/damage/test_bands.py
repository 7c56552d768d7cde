import re
import warnings

import numpy as np
import pytest
from scipy import ndimage

from stemkit.damage import BandCriticalDose, BandDecay, decay_bands
from stemkit.damage._band_products import FREQUENCY
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, degrade, record
from stemkit.exceptions import InvalidParameterError, SharpnessChangeWarning
from stemkit.registration import Motion

SHAPE = (144, 160)
N_FRAMES = 5
FADES, GROWS = 0.25, 0.6


def even(y, x):
    return np.ones(np.broadcast_shapes(np.shape(y), np.shape(x)))


def series(*, dose=40.0, rate=0.0, blur=0.0, content="aperiodic", pattern=even, kept=0.0, seed=0):
    """Return drifting frames that fade at a rate a frame and get blurred, and their motions."""
    rng = np.random.default_rng(seed)
    scene = make_scene(SHAPE, content=content, spacing=(8, 14), random_state=seed)
    frames, motions = [], []
    for k in range(N_FRAMES):
        motion = Motion.from_parameters(
            SHAPE, drift=rng.normal(0, 2, 2) * (k > 0), rotation=0.002 * k
        )
        strength = 1 - np.exp(-rate * k)
        signal, _ = degrade(
            scene, SHAPE, motion=motion, damage=pattern, strength=strength, amorphous=kept
        )
        if blur and k:
            signal = ndimage.gaussian_filter(signal, blur * np.sqrt(k))
        frames.append(record(signal, dose=dose, background=0.2, random_state=rng))
        motions.append(motion)
    return np.array(frames), motions


def measured(frames, motions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SharpnessChangeWarning)
        return decay_bands(frames, motions)


def test_without_a_loss_none_is_found():
    deviations = []
    for seed in range(3):
        for content in ("aperiodic", "perfect"):
            result = decay_bands(*series(dose=10, content=content, seed=seed))
            assert set(result.kind) == {"none"}
            deviations.append((result.decay[1:] - 1) / result.stderr[1:])
    assert 0.6 < np.sqrt(np.nanmean(np.square(deviations))) < 1.3


@pytest.mark.parametrize("content", ["aperiodic", "perfect"])
@pytest.mark.parametrize("kept", [0.0, 1.0])
@pytest.mark.parametrize("dose", [5, 200])
def test_damage_is_the_same_in_all_bands(dose, kept, content):
    result = decay_bands(*series(dose=dose, rate=FADES, content=content, kept=kept))
    assert result.kind == ("none", *["common"] * 4)
    expected = np.exp(-FADES * np.arange(N_FRAMES))
    np.testing.assert_allclose(result.common_loss, FADES * np.arange(N_FRAMES), atol=0.12)
    best = np.nanargmin(result.stderr[-1])
    np.testing.assert_allclose(result.decay[:, best], expected, atol=0.05)


def test_damage_that_differs_from_place_to_place_is_no_blur():
    for seed in range(3):
        patchy = damage_pattern("perlin", SHAPE, random_state=seed)
        result = decay_bands(*series(dose=100, rate=0.4, pattern=patchy, kept=0.5, seed=seed))
        assert result.kind[-1] == "common"


@pytest.mark.parametrize("content", ["aperiodic", "perfect"])
@pytest.mark.parametrize("dose", [20, 200])
def test_blur_alone_takes_more_at_high_frequencies(dose, content):
    with pytest.warns(SharpnessChangeWarning, match=r"lose the more structure the finer"):
        result = decay_bands(*series(dose=dose, blur=GROWS, content=content))
    assert result.kind[-1] in ("grows with frequency", "both")
    assert abs(result.common_loss[-1]) < 0.15
    assert result.blur[-1] == pytest.approx(GROWS * 2, rel=0.2)


def test_damage_and_blur_are_told_apart():
    with pytest.warns(SharpnessChangeWarning, match="beside what all bands lose"):
        result = decay_bands(*series(dose=100, rate=FADES, blur=GROWS))
    assert result.kind[-1] == "both"
    assert result.common_loss[-1] == pytest.approx(4 * FADES, abs=0.12)
    assert result.blur[-1] == pytest.approx(2 * GROWS, rel=0.25)


def test_two_frames_are_enough():
    frames, motions = series(rate=FADES)
    result = decay_bands(frames[[0, 4]], [motions[0], motions[4]])
    assert result.kind == ("none", "common")
    assert result.common_loss[1] == pytest.approx(1, abs=0.12)


def test_noise_alone_holds_no_structure():
    frames = np.random.default_rng(0).normal(1, 1, (4, 96, 96))
    result = decay_bands(frames, [Motion((96, 96))] * 4)
    assert np.isnan(result.decay[1:]).all()
    assert np.isinf(result.stderr[1:]).all()
    assert result.kind == ("none", *["undetermined"] * 3)
    critical = result.critical_dose(np.arange(4.0))
    assert np.isinf(critical.dose).all()
    assert (critical.lower_limit == 0).all()
    assert "no band can be measured" in repr(critical)


@pytest.mark.parametrize("shape", [(1, 200), (40, 200)])
def test_small_frames_are_undetermined(shape):
    result = decay_bands(np.ones((3, *shape)), [Motion(shape)] * 3)
    assert result.kind == ("none", "undetermined", "undetermined")


def test_frames_without_a_common_part_are_undetermined():
    frames, motions = series()
    motions[2] = Motion.from_parameters(SHAPE, drift=(500, 0))
    assert decay_bands(frames, motions).kind[1] == "undetermined"


@pytest.mark.parametrize(("factor", "offset"), [(1e-9, 0.0), (1e6, 0.0), (1.0, 1000.0)])
def test_the_unit_of_the_intensity_does_not_matter(factor, offset):
    frames, motions = series(rate=FADES)
    expected = decay_bands(frames, motions)
    result = decay_bands(factor * frames.astype(float) + offset, motions)
    assert result.kind == expected.kind
    np.testing.assert_allclose(result.decay, expected.decay, atol=2e-3)


def test_critical_doses_by_band_are_those_of_the_series():
    frames, motions = series(rate=FADES, dose=60)
    critical = decay_bands(frames, motions).critical_dose(3 * np.arange(N_FRAMES))
    assert isinstance(critical, BandCriticalDose)
    assert critical.kind == "common"
    known = np.isfinite(critical.dose)
    assert known.sum() >= 5
    deviation = (critical.dose[known] - 3 / FADES) / critical.stderr[known]
    assert np.abs(deviation).max() < 3.5
    assert (critical.lower_limit[known] < critical.dose[known]).all()
    assert (critical.dose[known] < critical.upper_limit[known]).all()
    assert re.search(r"0\.098: 1[12]\S* ± 0\.\d", repr(critical))


def test_without_damage_critical_doses_have_lower_limits_alone():
    critical = decay_bands(*series(dose=60)).critical_dose(np.arange(N_FRAMES))
    limited = critical.lower_limit > 0
    assert limited.sum() >= 5
    assert np.isinf(critical.upper_limit[limited]).mean() > 0.7
    assert (np.isinf(critical.dose) == np.isinf(critical.upper_limit)).all()
    assert critical.lower_limit.max() > 20
    assert "above" in repr(critical)


def test_what_is_lost_at_once_has_an_upper_limit_alone():
    result = measured(*series(dose=60, rate=9))
    critical = result.critical_dose(np.arange(N_FRAMES))
    lost = np.isfinite(critical.upper_limit)
    assert lost.sum() >= 4
    assert (critical.upper_limit[lost] < 1).all()
    assert (critical.lower_limit[lost] == 0).all()
    assert "below" in repr(critical)
    assert "none" not in result.kind[1:]


def test_blur_lowers_critical_doses_at_high_frequencies():
    critical = measured(*series(dose=60, blur=GROWS)).critical_dose(np.arange(N_FRAMES))
    known = np.isfinite(critical.dose)
    assert (np.diff(critical.dose[known]) < 0).mean() > 0.7
    assert critical.kind == "grows with frequency"


def test_motions_that_do_not_fit_are_named():
    frames, motions = series()
    for wrong in (motions[:3], [Motion((9, 9))] * N_FRAMES):
        with pytest.raises(ValueError, match=r"^motions must be one for each of the 5 frames"):
            decay_bands(frames, wrong)
    for wrong in (None, 3, [None] * N_FRAMES):
        with pytest.raises(InvalidParameterError, match="motions"):
            decay_bands(frames, wrong)
    with pytest.raises(ValueError, match="frames"):
        decay_bands(frames[:1], motions[:1])


def test_results_have_documented_shapes():
    result = decay_bands(*series())
    assert isinstance(result, BandDecay)
    n_bands = len(FREQUENCY)
    assert result.frequency.shape == (n_bands,)
    assert result.decay.shape == result.stderr.shape == (N_FRAMES, n_bands)
    assert (result.decay[0] == 1).all()
    assert (result.stderr[0] == 0).all()
    for values in (result.common_loss, result.common_z, result.blur, result.growth_z):
        assert values.shape == (N_FRAMES,)
        assert values[0] == 0
    assert repr(result).startswith("BandDecay(frequency=")
