"""The confidence of the best candidate, from what is known of it and of its rivals."""

import numpy as np
import pytest

from stemkit.registration._confidence import confidence_of, confidence_within_step


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
