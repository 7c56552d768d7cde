"""Registration and decay of a series, with stand-ins for the network and for the search."""

import numpy as np
import pandas as pd
import pytest

from stemkit.damage._background_level import backgrounds_of_series
from stemkit.damage._decay_map import DecayMaps
from stemkit.damage._network import DamageNetwork
from stemkit.damage._prediction import mean_over_specimen
from stemkit.drift import _series
from stemkit.networks import DegradationNet
from stemkit.registration import Motion, Registration
from stemkit.registration._search_limits import SearchLimits

SHAPE = (24, 30)
FRAMES = np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)
DRIFTS = np.array([[0, 0], [1, -2], [3, -2], [4, 5]])


def test_pairs_are_registered_from_the_earlier_frame_to_the_later_one():
    def register_pair(first, second, missing):
        i, j = (int(np.argmax((f == FRAMES).all(axis=(1, 2)))) for f in (first, second))
        motion = Motion(SHAPE, DRIFTS[j] - DRIFTS[i])
        return Registration(motion, 0.9, ((motion, 1.0),), 0.8)

    table = _series.register_series(FRAMES, register_pair, verbose=0)
    np.testing.assert_allclose(table[["dy", "dx"]], DRIFTS, atol=1e-6)


def test_limits_of_a_series_follow_what_is_registered():
    asked = {}

    def register_pair(first, second, missing, *, limits):
        i, j = (int(np.argmax((f == FRAMES).all(axis=(1, 2)))) for f in (first, second))
        asked[i, j] = limits
        motion = Motion(SHAPE, DRIFTS[j] - DRIFTS[i])
        return Registration(motion, 0.9, ((motion, 1.0),), 0.8)

    _series.register_series(FRAMES, register_pair, verbose=0, limits=SearchLimits(max_step=9))
    assert all(limits.max_step == 9 for limits in asked.values())
    np.testing.assert_allclose(asked[0, 3].expected, DRIFTS[3])
    assert list(asked)[:3] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("n_evidence", [0, 2])
@pytest.mark.parametrize("binning", [1, 2])
def test_each_frame_is_aligned_and_has_the_background_of_the_series(
    n_evidence, binning, monkeypatch
):
    backgrounds, given = [], []

    def estimate(first, pairs):
        backgrounds.extend(backgrounds_of_series(first, pairs))
        return backgrounds

    def decay(network, pair, times, background):
        given.append((pair, background))
        assert times.tolist() == [1]
        maps = np.full((1, *pair.overlap.shape), 1 / (1 + len(given)), dtype=np.float32)
        return DecayMaps(maps, maps / 10)

    monkeypatch.setattr(_series, "backgrounds_of_series", estimate)
    monkeypatch.setattr(_series, "decay_between", decay)
    network = DamageNetwork(DegradationNet((2, 2, 2), n_evidence=n_evidence))
    motions = [Motion(SHAPE, 2 * drift) for drift in DRIFTS]
    maps, stderr = _series.decay_of_series(network, FRAMES, motions, binning, verbose=0)
    # The first map is 1 and the others are in the order of their frames.
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), [1, 1 / 2, 1 / 3, 1 / 4], rtol=1e-5)
    np.testing.assert_allclose(stderr.mean(axis=(1, 2)), [0, 1 / 20, 1 / 30, 1 / 40], rtol=1e-5)
    assert maps.shape == stderr.shape == FRAMES.shape
    assert len(given) == 3
    if n_evidence:
        assert [background for _, background in given] == backgrounds
    else:
        assert [background for _, background in given] == [None] * 3
        assert not backgrounds
    blocks = FRAMES.reshape(4, 24 // binning, binning, 30 // binning, binning).mean(axis=(2, 4))
    for index, (pair, _) in enumerate(given, start=1):
        np.testing.assert_allclose(pair.first.frame, blocks[0], atol=1e-5)
        dy, dx = 2 * DRIFTS[index] // binning
        here = (slice(max(0, -dy), min(0, -dy) or None), slice(max(0, -dx), min(0, -dx) or None))
        there = (slice(max(0, dy), min(0, dy) or None), slice(max(0, dx), min(0, dx) or None))
        np.testing.assert_allclose(pair.second.frame[here], blocks[index][there], atol=1e-4)
        assert (pair.overlap[here] == 1).all()
        assert pair.overlap.sum() == pair.overlap[here].size


def test_a_single_frame_has_a_decay_of_one():
    network = DamageNetwork(DegradationNet((2, 2, 2), n_evidence=2))
    maps, stderr = _series.decay_of_series(network, FRAMES[:1], [Motion(SHAPE)], 1, verbose=0)
    np.testing.assert_array_equal(maps, np.ones((1, *SHAPE)))
    np.testing.assert_array_equal(stderr, np.zeros((1, *SHAPE)))
    (motion,) = _series.motions_of(None, FRAMES[:1])
    assert motion.shape == SHAPE
    np.testing.assert_array_equal(motion.drift, 0)


def test_damage_is_what_has_not_been_left():
    table = pd.DataFrame({"dy": [0.0, 1.0], "dx": [0.0, 2.0], "confidence": [1.0, 0.9]})
    decay = np.stack([np.ones(SHAPE), FRAMES[1]]).astype("float32")
    even = DecayMaps(decay, np.full_like(decay, 0.2))
    _series.add_time_and_damage(table, np.array([0.0, 7.5]), FRAMES[0], even)
    assert list(table) == ["time", "dy", "dx", "mean_damage", "confidence"]
    assert table["time"].tolist() == [0, 7.5]
    expected = [0, 1 - mean_over_specimen(FRAMES[0], FRAMES[1])]
    np.testing.assert_allclose(table["mean_damage"], expected, atol=1e-5)


def test_a_trajectory_of_another_series_is_named():
    table = pd.DataFrame({"dy": [0.0, 3.0], "dx": [0.0, -2.0]})
    motions = _series.motions_of(table, FRAMES[:2])
    np.testing.assert_array_equal([motion.drift for motion in motions], [[0, 0], [3, -2]])
    with pytest.raises(ValueError, match="trajectory has 2 rows for 4 frames"):
        _series.motions_of(table, FRAMES)
