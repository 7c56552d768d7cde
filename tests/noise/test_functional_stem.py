import numpy as np
import pytest
from scipy import stats

from stemkit.noise.functional import (
    afterglow,
    flyback,
    line_gain,
    row_jitter,
    saturate,
    shot_noise,
    slow_background,
    stem_noise,
)

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6
SIGMAS = stats.norm.isf(LEVEL / 2)

OFF = dict.fromkeys(
    ["dose", "row_jitter", "flyback", "background", "afterglow", "line_gain", "saturation"]
)


def test_parts_follow_each_other_in_the_documented_order(run):
    clean = np.random.default_rng(0).gamma(2, size=(2, 30, 40)).astype("float32") * 60

    def one_after_the_other(frames, *, generator):
        mean = frames.mean(axis=(-2, -1), keepdims=True)
        moved = row_jitter(frames, 0.6, 3.0, generator=generator)
        moved = flyback(moved, 2.0, 5.0).clip(min=0)
        lit = slow_background(moved, 0.3, 0.4, 20.0, reference=mean, generator=generator)
        counted = shot_noise(lit, 500, pixel_size=0.1, reference=mean, generator=generator)
        glowing = afterglow(counted, 0.4, 2.0)
        uneven = line_gain(glowing, 0.05, generator=generator)
        return saturate(uneven, 3.0, reference=mean)

    parameters = {
        "dose": 500,
        "pixel_size": 0.1,
        "row_jitter": 0.6,
        "row_correlation": 3.0,
        "flyback": 2.0,
        "flyback_decay": 5.0,
        "background": 0.3,
        "background_contrast": 0.4,
        "background_length": 20.0,
        "afterglow": 0.4,
        "afterglow_decay": 2.0,
        "line_gain": 0.05,
        "saturation": 3.0,
    }
    np.testing.assert_array_equal(
        run(stem_noise, clean, **parameters), run(one_after_the_other, clean)
    )


def test_mean_variance_and_correlations_of_a_flat_frame(run):
    """Closed forms of all parts together. Scan distortions do not change a flat frame."""
    n, height, width = 6000, 3, 16
    dose, level, contrast, length, share, decay, gain = 9.0, 0.4, 0.5, 30.0, 0.6, 1.5, 0.2
    recorded = run(
        stem_noise,
        np.full((n, height, width), 5.0, dtype="float32"),
        dose=dose,
        row_jitter=0.5,
        flyback=0.0,
        background=level,
        background_contrast=contrast,
        background_length=length,
        afterglow=share,
        afterglow_decay=decay,
        line_gain=gain,
    )
    values = recorded / 5
    mean = 1 + level
    q = np.exp(-1 / decay)
    response = share * (1 - q) * q ** np.arange(100)
    response[0] += 1 - share

    def background(distance):
        """Covariance of the log-normal background."""
        alike = np.exp(-(distance**2) / (2 * length**2))
        return level**2 * ((1 + contrast**2) ** alike - 1)

    def check(product, expected):
        stderr = product.std() / np.sqrt(n)
        # The afterglow also blurs the background slightly, so the tolerance is larger.
        assert abs(product.mean() - expected) < SIGMAS * stderr + 2e-3 * background(0)

    last = values[:, 0, -1]
    check(last, mean)
    residual = values - mean
    for lag in (0, 1, 2, 5):
        shot = mean / dose * (response[lag:] * response[: 100 - lag]).sum()
        along_row = (1 + gain**2) * (shot + background(lag) + mean**2) - mean**2
        check(residual[:, 0, -1] * residual[:, 0, -1 - lag], along_row)
    check(residual[:, 0, -1] * residual[:, 2, -1], background(2))
    check(residual[1:, 0, -1] * residual[:-1, 0, -1], 0)


def test_scan_does_not_smooth_the_noise(run):
    flat = np.full((50, 64, 64), 2.0, dtype="float32")
    noisy = run(stem_noise, flat, **(OFF | {"dose": 400.0, "row_jitter": 0.5, "flyback": 2.0}))
    share = stats.chi2.cdf(((noisy - 2) ** 2).sum() / (4 / 400), noisy.size)
    assert LEVEL / 2 < share < 1 - LEVEL / 2
    power = np.abs(np.fft.rfft(noisy - 2)[..., 1:32]) ** 2 / 64 / (4 / 400)
    assert stats.kstest(power.ravel(), "expon").pvalue > LEVEL


def test_background_does_not_change_what_the_dose_means(run):
    flat = np.full((1, 200, 200), 3.0, dtype="float32")
    parameters = OFF | {"dose": 4.0, "background": 5.0, "background_contrast": 0.0}
    counts = run(stem_noise, flat, **parameters) * 4 / 3
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
    assert abs(counts.mean() - 24) < SIGMAS * np.sqrt(24 / counts.size)


def test_saturation_is_of_what_was_recorded(run):
    flat = np.full((2, 50, 60), 8.0, dtype="float32")
    recorded = run(stem_noise, flat, dose=5.0, saturation=1.25)
    assert recorded.max() == 10
    assert (recorded == 10).mean() > 0.1


def test_interpolation_makes_no_negative_signal(run):
    edges = np.zeros((1, 40, 60), dtype="float32")
    edges[..., ::7] = 1000
    assert run(row_jitter, edges, 1.0).min() < 0
    assert run(stem_noise, edges, dose=1e4, row_jitter=1.0).min() >= 0


def test_high_dose_alone_leaves_the_clean_frame(run):
    clean = np.random.default_rng(0).random((2, 9, 11), dtype="float32")
    np.testing.assert_array_equal(run(stem_noise, clean, **OFF), clean)
    nearly = run(stem_noise, clean, **(OFF | {"dose": 1e11}))
    np.testing.assert_allclose(nearly, clean, atol=3e-5)


def test_each_frame_has_its_own_reference(run):
    clean = np.random.default_rng(0).random((2, 30, 40), dtype="float32") + 0.5
    scaled = clean * np.array([1, 1000], dtype="float32").reshape(2, 1, 1)
    parameters = {"saturation": 1.5}
    noisy = run(stem_noise, clean, **parameters)
    np.testing.assert_allclose(
        run(stem_noise, scaled, **parameters)[0], noisy[0], rtol=1e-5, atol=1e-5
    )
    ratio = run(stem_noise, scaled, **parameters)[1].mean() / noisy[1].mean()
    assert ratio == pytest.approx(1000, rel=0.01)
