"""A small DriftDecayModel and a pair of frames for it."""

from stemkit import DriftDecayModel
from stemkit.datasets import make_drift_pairs


def fitted_model():
    """Return a model with the shipped weights, fitted without training."""
    pairs = make_drift_pairs(1, shape=(128, 128), random_state=1).pairs
    return DriftDecayModel(max_epochs=0, binning=1, random_state=0).fit(pairs)


def noisy_pair():
    """Make a pair that drifts, rotates and fades, with its truth."""
    return make_drift_pairs(
        1, shape=(160, 160), max_drift=0.08, max_rotation=2, dose=50, random_state=7
    )
