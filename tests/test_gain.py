"""Tests of the gain of a frame."""

import numpy as np
import pytest

from stemkit._gain import fit_noise, gain
from stemkit._scene import render_columns
from stemkit.datasets import make_damage_sequence, make_scene


@pytest.mark.parametrize("spacing", [(6, 8), (9, 12), (14, 20)])
def test_the_gain_of_faint_structure_is_that_of_strong_structure(spacing):
    rng = np.random.default_rng(0)
    shape = (256, 256)
    columns = render_columns(make_scene(shape, spacing=spacing, random_state=0), shape)
    for left in (1.0, 0.5, 0.25):
        electrons = rng.poisson(50 * (0.1 + left * columns)).astype("f4")
        found = gain(3 * electrons + 100)
        assert found.error < 0.2
        assert abs(found.value / 3 - 1) < 4 * found.error


def test_the_line_is_the_variance_of_counts_with_readout_noise():
    rng = np.random.default_rng(0)
    electrons = 50 + 40 * np.sin(np.arange(256) / 9) * np.sin(np.arange(256)[:, None] / 7)
    frame = 2 * rng.poisson(electrons) + rng.normal(100, 5, electrons.shape)
    fit = fit_noise(frame.astype("f4"))
    assert fit.slope == pytest.approx(2, abs=4 * fit.error)
    assert fit.darkest == pytest.approx(100 + 2 * 15, abs=10)
    for n in (15, 50, 85):
        assert fit.at(100 + 2 * n) == pytest.approx(4 * n + 25, rel=0.1)
    assert fit.at(-1e4) == 0


def test_noise_that_does_not_rise_has_no_gain():
    rng = np.random.default_rng(0)
    frame = 100 * np.sin(np.arange(128) / 9) + rng.normal(0, 5, (128, 128))
    assert not np.isfinite(gain(frame.astype("f4")).error)
    fit = fit_noise(frame.astype("f4"))
    assert abs(fit.slope) < 4 * fit.error
    assert fit_noise(np.ones((64, 64), "f4")) is None


def test_a_vacuum_with_hardly_any_counts_does_not_decide_alone():
    frames = make_damage_sequence("perlin", 7, dose=1000, background=0, random_state=1).frames
    fit = fit_noise(frames[3])
    assert fit is not None
    # The frame is in units of 1,000 electrons.
    assert fit.slope == pytest.approx(1e-3, rel=0.5)
