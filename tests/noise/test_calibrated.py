"""Calibrations report what the frames do not determine."""

import warnings

import numpy as np
import pytest

from stemkit.noise import HRTEMNoise


def vacuum(levels, n_frames=40, **truth):
    camera = HRTEMNoise(**truth, random_state=0)
    return [camera.fit_transform(np.full((n_frames, 48, 48), level)) for level in levels]


def test_two_flat_intensities_do_not_distinguish_the_models():
    # Both models fit any two points; a third one in between distinguishes them.
    two, three = (
        HRTEMNoise().fit(vacuum(levels)).calibration_ for levels in ([20, 240], [20, 90, 240])
    )
    assert (two.told_apart, two.preferred, two.holds) == (False, "HRTEMNoise", True)
    assert two.verdict == "HRTEMNoise holds, not distinguished from PoissonGaussianNoise"
    assert "add sequences at other intensities" in str(two)
    assert (three.told_apart, three.verdict) == (True, "HRTEMNoise holds")
    printed = str(three)
    assert printed.startswith("HRTEMNoise holds\nsigma = (")
    assert f"{three.fit.slope:.4g} +- " in printed
    assert "other intensities" not in printed


def test_noise_below_half_a_count_is_warned_of():
    # Halfway between two whole numbers, the least noise takes frames half a count up or down.
    frames = vacuum([60.5, 90.5, 120.5], gain=0.003, offset=0.1, column_sigma=0.0)
    whole = [np.rint(stack) for stack in frames]
    with (
        pytest.warns(UserWarning, match="whole numbers with noise of .* below half a count"),
        pytest.warns(UserWarning, match="another distribution"),
    ):
        biased = HRTEMNoise().fit(whole)
    # With reason: frames as they were before rounding give the truth, without a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise = HRTEMNoise().fit(frames)
    assert abs(noise.offset_ - 0.1) < 4.9 * noise.offset_stderr_
    assert abs(biased.offset_ - 0.1) > 10 * biased.offset_stderr_
