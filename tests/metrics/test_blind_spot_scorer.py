import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import spearmanr
from sklearn.model_selection import GridSearchCV

from stemkit.datasets import make_crystal_images
from stemkit.denoise import GaussianDenoiser
from stemkit.denoise._base import Denoiser
from stemkit.metrics import BlindSpotScorer, blind_spot_scorer
from stemkit.metrics._blind_spot_scorer import _masks, _refill
from stemkit.noise.functional import column_noise


class Function(Denoiser):
    """A denoiser that applies a function to frames."""

    def __init__(self, function=None):
        self.function = function

    def _denoise(self, frames):
        return np.stack([self.function(frame) for frame in frames])


def filtered(sigma):
    return Function(lambda frame: ndimage.gaussian_filter(frame, sigma))


DENOISERS = {
    **{f"gaussian {s}": filtered(s) for s in (0, 0.5, 1, 2, 4)},
    **{f"median {n}": Function(lambda frame, n=n: ndimage.median_filter(frame, n)) for n in (3, 7)},
    "rows": filtered((0, 1.5)),
    "columns": filtered((1.5, 0)),
}


@pytest.fixture(scope="module")
def clean():
    return make_crystal_images(
        "SrTiO3", 3, shape=(64, 64), pixel_size=0.02, rotation=None, peak=100, random_state=0
    ).frames


@pytest.fixture(scope="module")
def noisy(clean):
    return clean + 20 * np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)


def errors(clean, noisy, denoisers=DENOISERS):
    return [float(((d.fit(noisy).predict(noisy) - clean) ** 2).mean()) for d in denoisers.values()]


def scores(scorer, noisy, denoisers=DENOISERS):
    return [scorer(d.fit(noisy), noisy) for d in denoisers.values()]


def test_it_is_the_error_to_the_truth_and_the_noise(clean, noisy):
    """This holds for all kinds of denoisers, also for one that does nothing."""
    found = -np.array(scores(BlindSpotScorer(n_masks=16), noisy)) - 20**2
    np.testing.assert_allclose(found, errors(clean, noisy), rtol=0.25, atol=8)


def test_ranks_are_those_of_truth(clean, noisy):
    assert spearmanr(scores(blind_spot_scorer, noisy), errors(clean, noisy))[0] < -0.95


def test_doing_nothing_is_not_rewarded(noisy):
    grid = {"sigma": [0.0, 1.0]}
    search = GridSearchCV(GaussianDenoiser(), grid, scoring=blind_spot_scorer, cv=3).fit(noisy)
    assert search.best_params_ == {"sigma": 1.0}


@pytest.mark.parametrize("structure", ["pixel", "row", "column"])
def test_score_of_noise_alone_is_its_variance_for_linear_filters(structure):
    """If the truth is 0, the error of a filter is its sum of squared weights times the variance."""
    noise = np.random.default_rng(0).standard_normal((2, 200, 200))
    impulse = np.zeros((31, 31))
    impulse[15, 15] = 1
    for sigma in (0, 0.6, 1.2):
        share = (ndimage.gaussian_filter(impulse, sigma) ** 2).sum()
        scorer = BlindSpotScorer(structure=structure, n_masks=4)
        value = -scorer(GaussianDenoiser(sigma=sigma).fit(noise), noise)
        assert value == pytest.approx(1 + share, abs=0.06)


def test_columns_that_share_noise_have_to_be_hidden_together():
    """Otherwise a denoiser that keeps the column noise has the best score."""
    clean = np.full((2, 48, 400), 100, np.float32)  # vacuum, with enough columns for a mean
    noisy = column_noise(clean, 10.0, generator=np.random.default_rng(0))
    noisy += 10 * np.random.default_rng(1).standard_normal(noisy.shape)
    pair = {name: DENOISERS[name] for name in ("rows", "columns")}
    truth = errors(clean, noisy, pair)
    assert truth[0] < 0.5 * truth[1]
    fooled = scores(blind_spot_scorer, noisy, pair)
    assert fooled[0] < fooled[1]
    mended = scores(BlindSpotScorer(structure="column"), noisy, pair)
    assert mended[0] > mended[1]
    found = -np.array(scores(BlindSpotScorer(structure="column"), noisy)) - 200
    np.testing.assert_allclose(found, errors(clean, noisy), rtol=0.15, atol=8)


def test_rows_are_columns_turned(noisy):
    model = filtered((0.5, 1)).fit(noisy)
    turned = filtered((1, 0.5)).fit(noisy)
    value = BlindSpotScorer(structure="row", n_masks=4)(model, noisy)
    other = BlindSpotScorer(structure="column", n_masks=4)(turned, noisy.swapaxes(1, 2))
    assert value == pytest.approx(other, rel=0.01)  # hidden pixels differ


def test_score_of_a_frame_is_its_own(noisy):
    model = filtered(1).fit(noisy)
    each = [blind_spot_scorer(model, noisy[[i]]) for i in range(3)]
    assert blind_spot_scorer(model, noisy) == pytest.approx(np.mean(each), rel=1e-12)
    assert blind_spot_scorer(model, noisy[::-1]) == pytest.approx(np.mean(each), rel=1e-12)
    assert blind_spot_scorer(model, noisy) != BlindSpotScorer(random_state=1)(model, noisy)


def test_input_and_global_randomness_are_left_alone(noisy):
    before, state = noisy.copy(), np.random.get_state()[1].copy()
    blind_spot_scorer(filtered(1).fit(noisy), noisy)
    np.testing.assert_array_equal(noisy, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("shape", [(3, 2, 2), (3, 1, 5), (3, 5, 1), (3, 7), (2, 3, 9)])
def test_small_frames_and_lines(shape):
    X = np.random.default_rng(0).random(shape)
    assert np.isfinite(blind_spot_scorer(GaussianDenoiser(sigma=0.5).fit(X), X))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: BlindSpotScorer(structure="line"), '^structure must be one of "pixel"'),
        (
            lambda: BlindSpotScorer(n_masks=17),
            r"^n_masks with structure='pixel' must be an int in \[1, 16\]",
        ),
        (
            lambda: BlindSpotScorer(structure="row", n_masks=5),
            r"^n_masks with structure='row' must be an int in \[1, 4\]",
        ),
        (lambda: blind_spot_scorer(filtered(1), np.ones((2, 1, 1))), "has no neighbour"),
        (
            lambda: BlindSpotScorer(structure="row")(filtered(1), np.ones((2, 1, 9))),
            "a row has no neighbour",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("structure", ["pixel", "row", "column"])
def test_replacements_vary_as_much_as_the_pixels(structure):
    rng = np.random.default_rng(0)
    noisy = rng.normal(size=(40, 64, 64))
    mask = next(_masks((64, 64), structure, 1, rng))
    hidden = np.broadcast_to(mask, noisy.shape)
    filled, _ = _refill(noisy, hidden, structure, [(5, -4)] * len(noisy))
    # The variance of at least 10,000 pixels has a standard error of 1.4 %.
    inside = filled[:, 8:-8, 8:-8][hidden[:, 8:-8, 8:-8]]
    assert inside.var() == pytest.approx(1, abs=0.07)
