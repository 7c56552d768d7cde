"""Tests of the noise law of one frame."""

import numpy as np
import pytest

from stemkit._noise_law import noise_law


@pytest.mark.parametrize("gain, readout", [(1.0, 0.0), (4.0, 3.0), (0.5, 5.0)])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_gain_and_readout_are_those_of_the_noise(gain, readout, scale):
    rng = np.random.default_rng(0)
    electrons = np.broadcast_to(np.linspace(20, 400, 300), (300, 300))
    frame = gain * rng.poisson(electrons) + rng.normal(0, readout, electrons.shape) + 50
    law = noise_law((scale * frame).astype("float32"))
    # The darkest twentieth has 20 to 39 electrons.
    assert law.low / scale == pytest.approx(50 + gain * 39, rel=0.1)
    assert law.readout / scale == pytest.approx(np.hypot(readout, gain * np.sqrt(30)), rel=0.2)
    assert law.gain / scale == pytest.approx(gain, rel=0.25)


def test_single_electrons_give_their_gain():
    counts = np.random.default_rng(0).poisson(0.05, (128, 128))
    assert noise_law((7 * counts).astype("float32")).gain == pytest.approx(7, rel=0.1)
