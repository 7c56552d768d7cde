"""The decay by spatial frequency of series whose drift is not known."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from stemkit import DriftDecayModel
from stemkit.datasets import make_llzo_series
from stemkit.exceptions import SharpnessChangeWarning

DOSE = np.arange(5.0)


def series(*, damage=True, blur=0.0, counts=50):
    made = make_llzo_series(
        5,
        shape=(160, 160),
        pixel_size=0.03,
        dose=None,
        frame_dose=2000 if damage else 1e-3,
        row_jitter=0.3,
        random_state=0,
    )
    rng = np.random.default_rng(0)
    frames = [
        ndimage.gaussian_filter(frame, blur * np.sqrt(k)) if blur and k else frame
        for k, frame in enumerate(made.frames)
    ]
    path = pd.DataFrame(made.drift, columns=["dy", "dx"])
    path["rotation_deg"], path["shear"] = np.rad2deg(made.rotation), made.shear
    return (rng.poisson(np.maximum(frames, 0) * counts) / counts).astype(np.float32), path


def with_warnings(frames, path):
    """Return bands, and warnings of decay_bands and of critical_dose."""
    model = DriftDecayModel()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bands = model.decay_bands(frames, trajectory=path)
        model.critical_dose(frames, DOSE, trajectory=path)
    kinds = [each.category for each in caught]
    return bands, kinds.count(SharpnessChangeWarning)


def test_damage_gives_no_warning():
    bands, n_warnings = with_warnings(*series())
    assert bands.kind == ("none", *["common"] * 4)
    assert n_warnings == 0


def test_an_undamaged_series_has_lower_limits():
    bands, n_warnings = with_warnings(*series(damage=False))
    assert set(bands.kind) == {"none"}
    assert n_warnings == 0
    critical = bands.critical_dose(DOSE)
    assert np.isinf(critical.dose[critical.lower_limit > 0]).mean() > 0.7
    assert critical.lower_limit.max() > 50


@pytest.mark.parametrize("damage", [True, False])
def test_blur_gives_no_critical_dose_in_silence(damage):
    bands, n_warnings = with_warnings(*series(damage=damage, blur=0.8))
    assert bands.kind[-1] == ("both" if damage else "grows with frequency")
    assert n_warnings == 2
    assert bands.blur[-1] == pytest.approx(1.6, rel=0.2)


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.LowConfidenceWarning")
def test_small_frames_have_no_bands():
    stack = np.random.default_rng(0).normal(5, 1, (3, 24, 24))
    assert DriftDecayModel().decay_bands(stack).kind == ("none", "undetermined", "undetermined")


def test_one_frame_has_no_bands():
    with pytest.raises(ValueError, match="stack"):
        DriftDecayModel().decay_bands(np.ones((1, 64, 64)))
