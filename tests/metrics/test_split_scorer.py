import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.model_selection import GridSearchCV

from stemkit.datasets import make_crystal_images
from stemkit.denoise import GaussianDenoiser
from stemkit.metrics import SplitScorer, split_scorer
from stemkit.noise import PoissonGaussianNoise

CAMERA = PoissonGaussianNoise(gain=10.0)
SIGMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


@pytest.fixture(scope="module")
def frames():
    clean = make_crystal_images("SrTiO3", 3, shape=(64, 64), peak=100, random_state=0).frames
    noisy = [
        PoissonGaussianNoise(gain=10.0, random_state=seed).fit_transform(clean) for seed in (0, 1)
    ]
    return clean, *noisy


def scores(scorer, *frames):
    return [scorer(GaussianDenoiser(sigma=sigma).fit(frames[0]), *frames) for sigma in SIGMAS]


def errors(clean, noisy):
    models = [GaussianDenoiser(sigma=sigma).fit(noisy) for sigma in SIGMAS]
    return np.array([((model.predict(noisy) - clean) ** 2).mean() for model in models])


def test_two_exposures_give_the_error_to_the_truth_and_the_noise(frames):
    clean, first, second = frames
    variance = 10 * clean.mean()
    found = -np.array(scores(split_scorer, first, second)) - variance
    np.testing.assert_allclose(found, errors(clean, first), atol=0.1 * variance)


def test_one_exposure_split_gives_the_error_at_its_share_of_the_dose(frames):
    clean, first, _ = frames
    variance = 10 * clean.mean()
    found = -np.array(scores(SplitScorer(noise=CAMERA, fraction=0.5), first)) - 2 * variance
    half = PoissonGaussianNoise(gain=20.0, random_state=3).fit_transform(clean)
    np.testing.assert_allclose(found, errors(clean, half), atol=0.15 * variance)
    assert spearmanr(scores(SplitScorer(noise=CAMERA), first), errors(clean, first))[0] < -0.9


def test_search(frames):
    clean, first, second = frames
    best = SIGMAS[int(np.argmin(errors(clean, first)))]
    for scorer, y in ((split_scorer, second), (SplitScorer(noise=CAMERA), None)):
        search = GridSearchCV(GaussianDenoiser(), {"sigma": SIGMAS}, scoring=scorer, cv=3)
        assert search.fit(first, y).best_params_["sigma"] == best


def test_split_of_a_frame_is_its_own(frames):
    _, first, _ = frames
    scorer = SplitScorer(noise=CAMERA)
    model = GaussianDenoiser(sigma=1).fit(first)
    each = [scorer(model, first[[i]]) for i in range(3)]
    assert scorer(model, first[::-1]) == pytest.approx(np.mean(each), rel=1e-12)


def test_lines(frames):
    _, first, second = frames
    lines = [stack[:, 0] for stack in (first, second)]
    assert np.isfinite(split_scorer(GaussianDenoiser().fit(lines[0]), *lines))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, X: split_scorer(m, X), "y is missing, and so is noise"),
        (lambda m, X: split_scorer(m, X, X[:1]), r"y has shape \(1, 64, 64\), but X has"),
        (
            lambda m, X: SplitScorer(noise=CAMERA, fraction=1.0)(m, X),
            r"^fraction must be a finite number in \(0, 1\)",
        ),
        (
            lambda m, X: SplitScorer(noise="camera")(m, X),
            "^noise must be an object with unstabilize",
        ),
    ],
)
def test_bad_input_is_named(frames, call, message):
    X = frames[1]
    with pytest.raises(ValueError, match=message):
        call(GaussianDenoiser().fit(X), X)
