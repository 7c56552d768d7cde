"""Registration, prediction and score of a pair, with stand-ins for the network."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from stemkit.damage._decay_map import DecayMaps
from stemkit.drift import _pairs
from stemkit.exceptions import LowConfidenceWarning, OutOfDomainWarning
from stemkit.registration import Motion, Registration, register, warp

SHAPE = (48, 60)
FIRST = np.random.default_rng(0).random(SHAPE, dtype=np.float32)


class Network:
    """A network that returns a given motion in px of the binned frames."""

    def __init__(self, drift, rotation):
        self.drift, self.rotation = drift, rotation

    def motion(self, first, second):
        assert (first <= second).all()
        return Motion.from_parameters(first.shape, drift=self.drift, rotation=self.rotation)


@pytest.mark.parametrize("translation", [False, True])
@pytest.mark.parametrize("binning", [1, 3])
def test_a_motion_of_the_network_is_in_px_of_the_frames(binning, translation):
    network = Network((1.0, -2.0), 0.1)
    register_pair = _pairs.network_registration(network, lambda frame: binning, translation)
    found = register_pair(FIRST, FIRST + 1)
    assert found.motion.shape == SHAPE
    np.testing.assert_allclose(found.motion.drift, (binning, -2 * binning))
    assert found.motion.rotation == pytest.approx(0 if translation else 0.1)
    # The head of the network gives neither alternatives nor a confidence.
    assert found.candidates == ((found.motion, 1.0),)
    assert found.confidence == 0


@pytest.mark.parametrize("drift", [(0, 0), (6, 0), (-9, 12), (0, -60)])
def test_the_overlap_of_a_motion_of_the_network_is_the_share_of_pixels_in_both_frames(drift):
    network = Network(np.divide(drift, 3), 0)
    register_pair = _pairs.network_registration(network, lambda frame: 3, True)
    (height, width), (dy, dx) = SHAPE, np.abs(drift)
    expected = (height - dy) * (width - dx) / (height * width)
    assert register_pair(FIRST, FIRST).overlap == pytest.approx(expected)


def test_the_overlap_of_a_motion_of_the_network_is_that_of_the_correlation():
    motion = Motion.from_parameters((128, 128), drift=(9, -15), rotation=0.04)
    first = ndimage.gaussian_filter(np.random.default_rng(1).random((128, 128)), 2)
    second = warp(first.astype(np.float32), motion)
    by_correlation = register(first, second)
    np.testing.assert_allclose(by_correlation.motion.drift, motion.drift, atol=0.2)
    register_pair = _pairs.network_registration(Network((9, -15), 0.04), lambda frame: 1, False)
    by_network = register_pair(first, first)
    assert 0.7 < by_network.overlap < 0.9
    assert by_network.overlap == pytest.approx(by_correlation.overlap, abs=0.01)


def registration(motion, confidence=0.8):
    return Registration(motion, confidence, ((motion, 0.7), (Motion(SHAPE), 0.3)), 0.9)


def test_only_pairs_below_the_limit_of_confidence_get_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _pairs.warn_of_pair(registration(Motion(SHAPE), 0.5), pytest.fail)
    with pytest.warns(LowConfidenceWarning, match="0.49: they are dark"):
        _pairs.warn_of_pair(registration(Motion(SHAPE), 0.49), lambda found: "they are dark")


@pytest.fixture
def half(monkeypatch):
    """Replace the estimate of the decay by one half at the second frame."""
    monkeypatch.setattr(
        _pairs,
        "decay_between",
        lambda network, pair, times: DecayMaps(
            *np.stack([np.full((2, *pair.overlap.shape), 0.5**t, "float32") for t in times], axis=1)
        ),
    )


MOVED = Motion.from_parameters(SHAPE, drift=(4, -6), rotation=0.05)


@pytest.mark.usefixtures("half")
def test_a_state_at_one_time_is_that_among_several():
    arguments = (None, FIRST, warp(FIRST, MOVED), registration(MOVED))
    times = np.array([0.0, 0.25, 1.0])
    several = _pairs.predict_pair(*arguments, times, 2, np.float32(3))
    for index, t in enumerate(times):
        one = _pairs.predict_pair(*arguments, np.array(t), 2, np.float32(3))
        assert one.t == t
        for name in ("drift", "rotation", "decay", "decay_stderr", "frame"):
            np.testing.assert_array_equal(getattr(one, name), getattr(several, name)[index])
        np.testing.assert_allclose(one.drift, t * MOVED.drift)
        np.testing.assert_allclose(one.rotation, t * MOVED.rotation, atol=1e-5)
        np.testing.assert_allclose(one.decay, 0.5**t)
        assert (one.confidence, one.candidates) == (0.8, arguments[3].candidates)
        assert one.motion is MOVED
    np.testing.assert_array_equal(several.frame[0], 3 * FIRST)


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize("binning", [1, 2])
def test_a_second_frame_of_half_the_structure_is_explained(binning):
    first = warp(FIRST, MOVED)  # interpolated, hence as smooth as the second
    second = 0.5 * warp(first, MOVED) + 3
    found = _pairs.score_pair(None, first, second, MOVED, binning)
    wrong = _pairs.score_pair(None, first, second, MOVED.inverse(), binning)
    assert found > 0.9
    assert wrong < 0.2


def test_pairs_are_binned_and_overlap_where_whole_blocks_do():
    overlap = np.ones(SHAPE, dtype=bool)
    overlap[:, -1] = False
    first = _pairs.DetailedFrame(FIRST[::2, ::2])
    pair = _pairs.binned_pair(first, FIRST, overlap, 2)
    assert pair.first is first
    blocks = FIRST.reshape(24, 2, 30, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(pair.second.frame, blocks, atol=1e-6)
    assert (pair.overlap[:, :-1] == 1).all()
    assert (pair.overlap[:, -1] == 0).all()


def test_pairs_of_reversed_contrast_are_named():
    plain = registration(Motion(SHAPE), 0.9)
    reverse = replace(plain, contrast=-1)
    with pytest.warns(OutOfDomainWarning, match="frames 0 and 2, 1 and 2 is reversed"):
        _pairs.warn_of_contrast({(0, 1): plain, (0, 2): reverse, (1, 2): reverse})
