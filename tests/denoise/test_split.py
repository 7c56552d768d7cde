import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from stemkit.denoise import BlindSpotDenoiser, GaussianDenoiser, SplitPairs
from stemkit.denoise._supervised import SupervisedDenoiser
from stemkit.metrics import SplitScorer, split_scorer
from stemkit.noise import HRTEMNoise, PoissonGaussianNoise

from .small_net import SmallNet


class SmallDenoiser(SupervisedDenoiser):
    _network = SmallNet
    _network_takes = ()

    def __init__(self, *, max_epochs=30, steps_per_epoch=6, lr=0.02, random_state=0):
        super().__init__(
            loss="l2",
            max_epochs=max_epochs,
            steps_per_epoch=steps_per_epoch,
            batch_size=8,
            lr=lr,
            device="cpu",
            random_state=random_state,
        )


def lattice(n=24, side=32):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    phase = rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    return 100 + 15 * (1 + np.cos(0.7 * y + phase[0])) * (1 + np.cos(0.7 * x + phase[1]))


CLEAN = lattice()


def exposures(**camera):
    return [HRTEMNoise(**camera, random_state=seed).fit_transform(CLEAN) for seed in (0, 1)]


def share_of_noise(model, noisy):
    """Return the remaining share of the noise's variance."""
    return ((model.transform(noisy) - CLEAN) ** 2).mean() / ((noisy - CLEAN) ** 2).mean()


def test_it_learns_from_two_exposures():
    """Column noise is removed too, since it differs between the exposures."""
    first, second = exposures(offset=15, column_sigma=12)
    model = SplitPairs(denoiser=SmallDenoiser()).fit(first, second)
    assert share_of_noise(model, first) < 0.35
    assert share_of_noise(model, second) < 0.35
    assert model.score(first, second) == split_scorer(model, first, second)


@pytest.mark.parametrize(
    "camera",
    [HRTEMNoise(offset=15, column_sigma=12), PoissonGaussianNoise(gain=4.0)],
    ids=["normal", "electrons"],
)
def test_it_learns_from_one_exposure_if_its_noise_is_known(camera):
    noisy = clone(camera).set_params(random_state=0).fit_transform(CLEAN)
    model = SplitPairs(denoiser=SmallDenoiser(), noise=camera).fit(noisy)
    assert share_of_noise(model, noisy) < 0.4
    assert model.score(noisy) == SplitScorer(noise=camera, fraction=0.5)(model, noisy)


def test_every_batch_is_split_afresh():
    first, _ = exposures()
    model = SplitPairs(denoiser=SmallDenoiser(max_epochs=2), noise=HRTEMNoise())
    losses = model.fit(first).denoiser_.history_["train_loss"]
    assert losses.nunique() == 2
    again = clone(model).fit(first)
    np.testing.assert_array_equal(again.transform(first), model.transform(first))


def test_copies_and_measured_noise():
    first, second = exposures()
    vacuum = [HRTEMNoise(random_state=0).fit_transform(np.full((8, 32, 32), i)) for i in (60, 120)]
    noise = FrozenEstimator(HRTEMNoise().fit(vacuum))
    model = SplitPairs(denoiser=SmallDenoiser(max_epochs=1), noise=noise).fit(first)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(first), model.transform(first))
    assert clone(model).noise.gain_ == noise.gain_
    assert model.denoiser_ is not model.denoiser
    assert not hasattr(model.denoiser, "module_")
    np.testing.assert_array_equal(model.predict(second), model.transform(second))


def test_pipeline_and_search():
    first, second = exposures()
    pairs = SplitPairs(denoiser=SmallDenoiser(max_epochs=1))
    pipe = make_pipeline(FunctionTransformer(np.sqrt), pairs)
    search = GridSearchCV(pipe, {"splitpairs__denoiser__lr": [1e-5, 0.02]}, cv=2)
    search.fit(first[:4], np.sqrt(second[:4]))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        (SplitPairs(denoiser=GaussianDenoiser()), (CLEAN,), "must be one that learns from pairs"),
        (SplitPairs(denoiser=BlindSpotDenoiser()), (CLEAN,), "must be one that learns from pairs"),
        (SplitPairs(denoiser=SmallDenoiser()), (CLEAN,), "y is missing, and so is noise"),
        (SplitPairs(denoiser=SmallDenoiser()), (CLEAN, CLEAN[:2]), r"y has shape \(2, 32, 32\)"),
        (
            SplitPairs(denoiser=SmallDenoiser(), noise=3),
            (CLEAN,),
            "noise must be None or an object with unstabilize",
        ),
    ],
)
def test_bad_input_is_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*arguments)
