import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from stemkit import metrics
from stemkit.datasets import make_nucleation
from stemkit.denoise import GaussianDenoiser, LoGRenderDenoiser
from stemkit.localize import AtomLocator
from stemkit.metrics import BlindSpotScorer, get_scorer, get_scorer_names
from stemkit.noise import HRTEMNoise

WITH_TRUTH = sorted(set(get_scorer_names()) - {"blind_spot", "split"})


@pytest.fixture(scope="module")
def data():
    return make_nucleation(4, (48, 48), contrast="high", mask_threshold=0.0, random_state=0)


@pytest.mark.parametrize("name", get_scorer_names())
def test_copies_score_alike(name, data):
    scorer = get_scorer(name)
    model = LoGRenderDenoiser().fit(data.noisy)
    value = scorer(model, data.noisy, data.target)
    for copy in (clone(scorer, safe=False), pickle.loads(pickle.dumps(scorer)), get_scorer(name)):
        assert copy(model, data.noisy, data.target) == value
        assert repr(copy) == repr(scorer)


@pytest.mark.parametrize("name", ["psnr", "ssim", "fsc", "atom_iou", "atom_f1"])
def test_value_is_the_metrics(name, data):
    model = LoGRenderDenoiser().fit(data.noisy)
    expected = getattr(metrics, name)(data.target, model.predict(data.noisy))
    assert get_scorer(name)(model, data.noisy, data.target) == expected


@pytest.mark.parametrize("name", WITH_TRUTH)
def test_truth_scores_best(name, data):
    """The true frames have a higher score than blurred and noisy ones."""
    scorer = get_scorer(name)
    model = GaussianDenoiser(sigma=0).fit(data.target)
    right = scorer(model, data.target, data.target)
    assert right > scorer(model, data.noisy, data.target)
    assert right > scorer(GaussianDenoiser(sigma=3).fit(data.target), data.target, data.target)


def test_edges_of_noise_do_not_raise_the_score(data):
    noise = 20 * np.random.default_rng(0).standard_normal(data.clean.shape)
    scores = [
        get_scorer("epi")(GaussianDenoiser(sigma=0).fit(X), X, data.clean)
        for X in (data.clean + noise, data.clean + 0.1 * noise, data.clean)
    ]
    assert scores[0] < scores[1] < scores[2] == 0


def test_data_range_is_said():
    assert "data_range=255.0, quantize=True" in repr(get_scorer("psnr"))
    assert "data_range=1.0, quantize=False" in repr(
        get_scorer("ssim", data_range=1.0, quantize=False)
    )
    frames = np.random.default_rng(0).random((2, 16, 16))
    model = GaussianDenoiser().fit(frames)
    in_counts = get_scorer("psnr", quantize=False)(model, 255 * frames, 255 * frames)
    in_shares = get_scorer("psnr", data_range=1.0, quantize=False)(model, frames, frames)
    assert in_counts == pytest.approx(in_shares)


def test_several_at_once(data):
    scoring = {name: get_scorer(name) for name in get_scorer_names()}
    result = cross_validate(LoGRenderDenoiser(), data.noisy, data.target, scoring=scoring, cv=2)
    for name in get_scorer_names():
        assert np.isfinite(result[f"test_{name}"]).all()


def test_weights_of_frames(data):
    model = GaussianDenoiser(sigma=1).fit(data.noisy)
    for name in ("psnr", "fsc", "epi", "blind_spot", "split"):
        scorer = get_scorer(name)
        weighted = scorer(model, data.noisy, data.clean, sample_weight=[0, 0, 2, 0])
        assert weighted == pytest.approx(scorer(model, data.noisy[[2]], data.clean[[2]]))


def test_search_over_a_pipeline_with_noise(data):
    pipe = make_pipeline(HRTEMNoise(offset=15, random_state=0), GaussianDenoiser())
    grid = {"gaussiandenoiser__sigma": [0.1, 0.8, 6.0]}
    search = GridSearchCV(pipe, grid, scoring=get_scorer("psnr"), cv=2)
    assert search.fit(data.clean, data.clean).best_params_ == {"gaussiandenoiser__sigma": 0.8}


# After strong smoothing, noise is shared by neighbouring pixels and atoms are hardly seen.
@pytest.mark.filterwarnings("ignore::stemkit.exceptions.OutOfDomainWarning")
@pytest.mark.filterwarnings("ignore::stemkit.exceptions.PolarityWarning")
def test_search_for_the_filter_that_shows_most_atoms(data):
    positions = [group[["y", "x"]].to_numpy() for _, group in data.positions.groupby("frame")]
    pipe = make_pipeline(GaussianDenoiser(), AtomLocator(sigma=1.5))
    grid = {"gaussiandenoiser__sigma": [0.3, 4.0]}
    search = GridSearchCV(pipe, grid, scoring=get_scorer("atom_f1"), cv=2)
    search.fit(data.noisy[:2, :32, :32], [p[(p < 31.5).all(1)] for p in positions[:2]])
    assert search.best_params_ == {"gaussiandenoiser__sigma": 0.3}
    assert search.best_score_ > 0.7


def test_names_and_errors_are_as_scikit_learns():
    with pytest.raises(ValueError, match=r"^'pnsr' is not a valid scoring value. Use stemkit"):
        get_scorer("pnsr")
    scorer = BlindSpotScorer()
    assert get_scorer(scorer) is scorer
    with pytest.raises(ValueError, match="options have no use"):
        get_scorer(scorer, n_masks=3)
    for bad in (len, int, BlindSpotScorer, lambda estimator: 0.0):
        with pytest.raises(ValueError, match="scoring must take an estimator, X and y"):
            get_scorer(bad)
    for bad in (None, np.nan, 3):
        with pytest.raises(ValueError, match=r"^scoring must be a str or a callable"):
            get_scorer(bad)


class Predicting:
    """An estimator with a given prediction."""

    def __init__(self, result):
        self.result = result

    def predict(self, X):
        return self.result


@pytest.mark.parametrize(
    "result, message",
    [
        (np.full((2, 12, 12), np.nan), "^estimator predicts NaN or inf"),
        (np.zeros((2, 12, 11)), r"^estimator gives float64 of shape \(2, 12, 11\)"),
        (np.zeros((2, 12, 12), complex), "^estimator gives complex128"),
    ],
)
@pytest.mark.parametrize("name", ["blind_spot", "split"])
def test_predictions_without_a_score_are_named(name, result, message):
    X = np.random.default_rng(0).random((2, 12, 12))
    with pytest.raises(ValueError, match=message):
        get_scorer(name)(Predicting(result), X, X)
    with pytest.raises(ValueError, match=r"^estimator must have predict"):
        get_scorer(name)(object(), X, X)
