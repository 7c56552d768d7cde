"""Frames on either side of focus, whose contrast is reversed."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit.datasets import make_scene
from stemkit.degradation import degrade, record
from stemkit.registration import Motion, register

SHAPE = (128, 128)


def through_focus(focus, drifts):
    """Return frames of a random film by a transfer function of sin(pi focus q^2), in counts."""
    rng = np.random.default_rng(2)
    spectrum = np.fft.fft2(ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.0, mode="wrap"))
    qy, qx = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.fftfreq(SHAPE[1])
    frames = []
    for f, (dy, dx) in zip(focus, drifts, strict=True):
        transfer = np.sin(np.pi * f * 40 * (qy**2 + qx**2) + 0.05)
        wave = np.fft.ifft2(spectrum * transfer * np.exp(-2j * np.pi * (qy * dy + qx * dx))).real
        frames.append(rng.poisson(50 * (1 + 0.3 * wave / wave.std()).clip(0)))
    return frames


@pytest.mark.parametrize("focus, contrast", [((0.9, -0.9), -1), ((0.9, 0.8), 1)])
def test_the_drift_through_focus_is_that_of_the_specimen(focus, contrast):
    result = register(*through_focus(focus, ((0, 0), (7, -4))), motion="translation")
    np.testing.assert_allclose(result.motion.drift, (7, -4), atol=0.2)
    assert result.confidence > 0.5
    assert result.contrast == contrast


def test_a_negative_has_the_motion_of_its_frame():
    scene = make_scene(SHAPE, random_state=4)
    motion = Motion.from_parameters(SHAPE, drift=(4, -6), rotation=0.02)
    rng = np.random.default_rng(0)
    first, second = (
        record(degrade(scene, SHAPE, motion=m)[0], dose=50, background=0.1, random_state=rng)
        for m in (None, motion)
    )
    plain, negative = register(first, second), register(first, second.max() - second)
    np.testing.assert_allclose(negative.motion.drift, plain.motion.drift, atol=0.05)
    assert (plain.contrast, negative.contrast) == (1, -1)
    assert negative.confidence > 0.5
