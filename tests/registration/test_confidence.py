"""The confidence of the best candidate, from what is known of it and of its rivals."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit.registration._confidence import (
    confidence_of,
    confidence_within_step,
    expected_correlation,
)
from stemkit.registration._correlation_search import weigh_and_rate


def test_a_single_peak_needs_height_and_places_to_compare():
    alone, none, whole = np.ones(1), np.empty(0), np.ones(1)
    assert confidence_of(5.0, alone, none, whole, n_places=50) < 0.1
    assert confidence_of(12.0, alone, none, whole, n_places=50) > 0.9
    assert confidence_of(12.0, alone, none, whole, n_places=3) < 0.1


def test_a_rival_lowers_the_confidence_by_its_agreement_and_its_overlap():
    def confidence(height, margin, overlap):
        heights, overlaps = np.array([1.0, height]), np.array([0.8, overlap])
        return confidence_of(12.0, heights, np.array([margin]), overlaps, n_places=50)

    assert confidence(0.99, 5.0, 0.8) < 0.1
    assert confidence(0.6, 5.0, 0.8) > 0.9
    # Another motion agrees as well: over the same area, over a larger one, and over a corner.
    assert confidence(0.6, 0.0, 0.8) < 0.5
    assert confidence(0.6, 0.0, 0.9) == confidence(0.6, 0.0, 0.8)
    assert confidence(0.6, 0.0, 0.1) > 0.8


@pytest.mark.parametrize(
    "correlation, beyond, certain", [(30, 1.0, True), (3, 1.0, False), (30, 2.0, False)]
)
def test_within_a_step_chance_and_better_motions_beyond_lower_the_confidence(
    correlation, beyond, certain
):
    evidence = (np.ones(1), np.empty(0), np.ones(1), 50)
    assert (confidence_within_step(correlation, beyond, *evidence) > 0.5) == certain


def test_a_high_peak_of_many_places_without_a_rival_is_nearly_certain():
    assert confidence_of(20.0, np.ones(1), np.empty(0), np.ones(1), n_places=100) > 0.99


@pytest.mark.parametrize(
    "height, n_places, certain", [(10, 15, False), (10, 60, True), (30, 15, True)]
)
def test_a_peak_that_is_hardly_above_the_runner_up_needs_more_places(height, n_places, certain):
    # Frames without overlap agree by chance in up to 35 places under the best of all motions.
    evidence = (np.array([1.0, 0.6]), np.array([5.0]), np.ones(2), n_places)
    assert (confidence_of(height, *evidence) > 0.7) == certain


@pytest.mark.parametrize(
    "height, correlation, expected, certain",
    [
        (12, 0.5, 0.85, False),
        (12, 0.85, 0.85, True),
        (12, 0.1, 0.45, True),
        (40, 0.5, 0.85, True),
    ],
)
def test_frames_of_little_noise_that_hardly_correlate_are_of_different_places(
    height, correlation, expected, certain
):
    evidence = (np.array([1.0, 0.6]), np.array([5.0]), np.ones(2), 60)
    found = confidence_of(height, *evidence, correlation=correlation, expected=expected)
    assert (found > 0.7) == certain


def test_the_correlation_expected_is_that_of_the_signals():
    # White noise has peaks in its spectrum that look like three tenths of signal.
    assert expected_correlation(1.0, 1.0) == 1
    assert expected_correlation(0.3, 1.0) == 0
    np.testing.assert_allclose(expected_correlation(0.65, 0.65), 0.5)


def test_the_share_of_signal_is_that_of_the_spectrum():
    rng = np.random.default_rng(0)
    structure = ndimage.gaussian_filter(rng.normal(size=(128, 128)), 2)
    structure /= structure.std()
    shares = [
        weigh_and_rate((structure + sigma * rng.normal(size=(128, 128))).astype("f4"), 1.0)[1]
        for sigma in (0.0, 0.5, 20.0)
    ]
    assert shares[0] > 0.8
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.5
    assert weigh_and_rate(np.ones((32, 32), "f4"), 1.0)[1] == 0
