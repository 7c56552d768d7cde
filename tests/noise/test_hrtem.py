import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from stemkit.noise import HRTEMNoise
from stemkit.noise.functional import hrtem_noise, stabilize_log, unstabilize_log

LEVEL = 1e-6
PARAMETERS = {"gain": 0.1, "offset": 2.0, "column_sigma": 1.0}


class Scale(TransformerMixin, BaseEstimator):
    """Denoiser that multiplies by a number, and stores the noise of its input."""

    def __init__(self, *, factor=1.0):
        self.factor = factor

    def fit(self, X, y):
        self.noise_ = X - y
        return self

    def transform(self, X):
        return self.factor * X

    predict = transform

    def score(self, X, y, sample_weight=None):
        return -np.mean((self.factor * X - y) ** 2)


def vacuum(noise, levels=(40, 80, 120), n_frames=20, side=48):
    return [noise.fit_transform(np.full((n_frames, side, side), level)) for level in levels]


def test_frames_have_the_models_variances():
    clean = np.full((60, 64, 64), 30.0)
    noise = HRTEMNoise(**PARAMETERS, random_state=0).fit_transform(clean) - clean
    point, column = (0.1 * 30 + 2) ** 2, 1.0
    means = noise.mean(axis=1)
    assert stats.kstest(means.ravel() / np.sqrt(column + point / 64), "norm").pvalue > LEVEL
    residual = noise - means[:, np.newaxis]
    share = stats.chi2.cdf(np.sum(residual**2) / point, 60 * 64 * 63)
    assert LEVEL / 2 < share < 1 - LEVEL / 2


def test_plain_fit_keeps_the_parameters():
    noise = HRTEMNoise(**PARAMETERS).fit(np.ones((2, 8, 8)), np.ones((2, 8, 8)))
    assert (noise.gain_, noise.offset_, noise.column_sigma_) == tuple(PARAMETERS.values())
    assert np.isnan([noise.gain_stderr_, noise.offset_stderr_, noise.column_sigma_stderr_]).all()
    assert noise.calibration_ is None


def test_defaults_are_the_papers():
    assert HRTEMNoise().get_params() == {
        "gain": 0.03583,
        "offset": 1.379,
        "column_sigma": 0.6641,
        "random_state": None,
    }


@pytest.mark.parametrize("name, value", [("gain", -1), ("offset", np.nan), ("column_sigma", -0.1)])
def test_wrong_parameters_are_named_in_fit(name, value):
    with pytest.raises(ValueError, match=f"^{name} must"):
        HRTEMNoise(**{name: value}).fit(np.ones((1, 4, 4)))


def test_pipeline_trains_on_pairs_of_the_given_noise():
    clean = np.random.default_rng(0).uniform(20, 90, (12, 32, 32)).astype("float32")
    pipeline = make_pipeline(HRTEMNoise(**PARAMETERS, random_state=0), Scale()).fit(clean, clean)
    scaled = pipeline[-1].noise_ / (0.1 * clean + 2)
    # Column noise increases the scaled variance by 1 / sd**2, at most 1/16.
    assert 1 < scaled.var() < 1 + 1 / 16
    search = GridSearchCV(
        make_pipeline(HRTEMNoise(random_state=0), Scale()),
        {"hrtemnoise__gain": [0.0, 0.3], "scale__factor": [0.9, 1.0]},
        cv=3,
    ).fit(clean, clean)
    assert search.best_params_ == {"hrtemnoise__gain": 0.0, "scale__factor": 1.0}


def test_calibrated_noise_is_used_in_a_pipeline_when_frozen():
    measured = HRTEMNoise(random_state=0).fit(vacuum(HRTEMNoise(**PARAMETERS, random_state=1)))
    clean = np.full((4, 48, 48), 50, dtype="float32")
    pipeline = make_pipeline(FrozenEstimator(measured), Scale()).fit(clean, clean)
    np.testing.assert_array_equal(pipeline[-1].noise_, measured.transform(clean) - clean)
    assert abs(pipeline[-1].noise_.std() / np.hypot(0.1 * 50 + 2, 1) - 1) < 0.05


def test_degraded_batches_follow_the_measured_parameters():
    noise = HRTEMNoise().fit(vacuum(HRTEMNoise(**PARAMETERS, random_state=1)))
    measured = (noise.gain_, noise.offset_, noise.column_sigma_)
    batch = torch.full((2, 1, 16, 16), 40.0)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    np.testing.assert_array_equal(
        noise.degrade(batch, generator=generators[0]),
        hrtem_noise(batch, *measured, generator=generators[1]),
    )


def test_stabilised_noise_is_1_at_every_intensity_and_can_be_undone():
    clean = np.linspace(10, 200, 16)[:, np.newaxis, np.newaxis] * np.ones((16, 64, 64))
    noise = HRTEMNoise(column_sigma=0, random_state=0).fit(clean)
    noisy = noise.transform(clean)
    stable = noise.stabilize(noisy)
    expected = 1 + 1.25 * noise.gain**2
    assert np.abs(stable.std(axis=(1, 2)) - expected).max() < 5 / np.sqrt(2 * 64 * 64)
    np.testing.assert_allclose(noise.unstabilize(stable), noisy, atol=1e-3)
    np.testing.assert_array_equal(stable, stabilize_log(noisy, noise.gain, noise.offset))
    np.testing.assert_array_equal(
        noise.unstabilize(stable), unstabilize_log(stable, noise.gain, noise.offset)
    )
