import numpy as np
import pytest
import torch
from scipy import stats

from stemkit.noise.functional import shot_noise

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6
SIGMAS = stats.norm.isf(LEVEL / 2)


def counts_of(run, electrons, n=40_000, signal=3.0):
    """Counts of pixels of one signal, converted back to electrons."""
    noisy = run(shot_noise, np.full((4, 10, n // 40), signal, dtype="float32"), electrons)
    return noisy.ravel() * (electrons / signal)


@pytest.mark.parametrize("electrons", [0.02, 0.37, 1.0, 4.7, 11.5, 120.25])
def test_counts_follow_poissons_law(run, electrons):
    counts = counts_of(run, electrons)
    whole = np.rint(counts)
    np.testing.assert_allclose(counts, whole, rtol=1e-6)
    low, high = stats.poisson(electrons).interval(1 - 1e-3)
    edges = np.arange(max(low, 0), high + 2)
    below = stats.poisson(electrons).cdf(edges - 1)
    probability = np.diff(np.concatenate([[0.0], below, [1.0]]))
    observed = np.histogram(whole, np.concatenate([[-0.5], edges - 0.5, [np.inf]]))[0]
    keep = probability * whole.size > 5
    rest = [observed[~keep].sum(), probability[~keep].sum() * whole.size]
    observed = np.append(observed[keep], rest[0])
    expected = np.append(probability[keep] * whole.size, rest[1])
    some = expected > 0
    test = stats.chisquare(observed[some], expected[some] * observed.sum() / expected[some].sum())
    assert test.pvalue > LEVEL


@pytest.mark.parametrize("electrons", [30.0, 2.5e3, 1.7e6, 4e9])
def test_large_doses_have_poissons_moments_and_a_normal_law(run, electrons):
    counts = counts_of(run, electrons)
    n = counts.size
    assert abs(counts.mean() - electrons) < SIGMAS * np.sqrt(electrons / n)
    stderr = np.sqrt((2 * electrons**2 + electrons) / n)
    assert abs(counts.var() - electrons) < SIGMAS * stderr
    if electrons > 1e6:
        assert stats.kstest((counts - electrons) / np.sqrt(electrons), "norm").pvalue > LEVEL


def test_each_pixel_has_its_own_mean(run):
    clean = np.linspace(0, 90, 2000, dtype="float32").reshape(1, 20, 100).repeat(100, axis=0)
    noisy = run(shot_noise, clean, 2.0, reference=1.0)
    z = (noisy.mean(axis=0) - clean[0])[clean[0] > 0] / np.sqrt(clean[0][clean[0] > 0] / 200)
    share = stats.chi2.cdf((z**2).sum(), z.size)
    assert LEVEL / 2 < share < 1 - LEVEL / 2
    assert (noisy[clean == 0] == 0).all()


def test_shot_noise_is_white(run):
    noise = run(shot_noise, np.full((256, 256), 5.0, dtype="float32"), 25.0) - 5
    power = np.abs(np.fft.rfft2(noise)[1:128, 1:128]) ** 2 / noise.size
    # For independent pixels, the power at each frequency is exponential; its mean is the variance.
    assert stats.kstest(power.ravel() / (5**2 / 25), "expon").pvalue > LEVEL


def test_dose_is_the_mean_count_of_each_frame(run):
    """The noise depends neither on the unit of the frames nor on other frames."""
    rng = np.random.default_rng(0)
    clean = rng.gamma(2, size=(3, 100, 200)) * np.array([1e-3, 1, 4e4]).reshape(3, 1, 1)
    clean = clean.astype("float32")
    noisy = run(shot_noise, clean, 6.0)
    for one, other in zip(noisy, clean, strict=True):
        counts = one * 6 / other.mean(dtype=float)
        assert abs(counts.mean() - 6) < SIGMAS * np.sqrt(6 / counts.size)
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)


def test_dose_per_area_and_dose_of_a_reference_are_the_same_noise(run):
    clean = np.random.default_rng(0).gamma(2, size=(50, 60)).astype("float32")
    expected = run(shot_noise, clean, 8.0, reference=2.0)
    np.testing.assert_allclose(
        run(shot_noise, clean, 200.0, pixel_size=0.02, reference=2.0), expected, rtol=1e-6
    )
    np.testing.assert_allclose(run(shot_noise, clean, 4.0, reference=1.0), expected, rtol=1e-6)


def test_empty_frames_stay_empty(run):
    frames = np.zeros((2, 4, 5), dtype="float32")
    frames[0] = 3
    noisy = run(shot_noise, frames, 10.0)
    assert (noisy[1] == 0).all()
    assert (noisy[0] > 0).any()


def test_high_doses_leave_the_clean_frame(run):
    clean = np.random.default_rng(0).random((40, 50)).astype("float32")
    np.testing.assert_allclose(run(shot_noise, clean, 1e12), clean, atol=1e-5)


@pytest.mark.parametrize("dose", [0, -1.0, np.nan, np.inf, "low", None])
def test_wrong_doses_are_named(run, dose):
    with pytest.raises(ValueError, match=r"^dose must be a finite number of electrons in \(0,"):
        run(shot_noise, np.ones((2, 2), dtype="float32"), dose)


@pytest.mark.parametrize("pixel_size", [0, -0.1, np.nan])
def test_wrong_pixel_sizes_are_named(run, pixel_size):
    with pytest.raises(ValueError, match="pixel_size must be a finite number of nm"):
        run(shot_noise, np.ones((2, 2), dtype="float32"), 1.0, pixel_size=pixel_size)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_frames_that_are_not_finite_are_an_error_with_a_remedy(run, bad):
    frames = np.array([[1.0, bad]], dtype="float32")
    for reference in ("mean", 1.0):
        with pytest.raises(ValueError, match=r"^frames contains (NaN|inf).*replace these pixels"):
            run(shot_noise, frames, 1.0, reference=reference)


def test_more_electrons_than_can_be_counted_are_an_error(run):
    frames = np.full((2, 2), 1e20, dtype="float32")
    with pytest.raises(ValueError, match=r"^frames have a pixel of 1e\+20 electrons.*the dose"):
        run(shot_noise, frames, 1.0, reference=1.0)


@pytest.mark.parametrize(
    "reference", [[[[1.0]], [[-1.0]]], [[[0.0]]], [[[np.nan]]], [1.0, 2.0], [[1.0], [2.0]]]
)
def test_wrong_references_are_named(run, reference):
    def with_reference(frames, *, generator):
        values = np.array(reference, dtype="float32")
        if isinstance(frames, torch.Tensor):
            values = torch.from_numpy(values)
        return shot_noise(frames, 4.0, reference=values, generator=generator)

    with pytest.raises(ValueError, match=r"^reference must be 'mean', or a finite signal above 0"):
        run(with_reference, np.ones((2, 2, 2), dtype="float32"))


def test_negative_signals_are_an_error_with_a_remedy(run):
    frames = np.array([[1.0, -0.25]], dtype="float32")
    with pytest.raises(ValueError, match=r"down to -0\.25, .*Subtract the dark level"):
        run(shot_noise, frames, 1.0)
