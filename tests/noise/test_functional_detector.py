import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from stemkit.noise.functional import afterglow, line_gain, saturate

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6
SIGMAS = stats.norm.isf(LEVEL / 2)


def filtered(frames, share, decay):
    """Afterglow by the recursive filter of SciPy; each row starts in the steady state."""
    q = np.exp(-1 / decay)
    a, b = [1, -q], [1 - share * q, -(1 - share) * q]
    start = signal.lfilter_zi(b, a) * frames[..., :1].astype(float)
    return signal.lfilter(b, a, frames.astype(float), axis=-1, zi=start)[0]


@pytest.mark.parametrize("share, decay", [(0.3, 0.5), (1.0, 2.0), (0.8, 40.0), (0.5, 1e5)])
@pytest.mark.parametrize("width", [1, 2, 37, 500])
def test_afterglow_is_a_one_pole_filter(run, share, decay, width):
    frames = np.random.default_rng(0).random((2, 3, width), dtype="float32")
    glowing = run(afterglow, frames, share, decay, random=False)
    np.testing.assert_allclose(glowing, filtered(frames, share, decay), atol=2e-6)


@given(
    share=st.floats(0, 1),
    decay=st.floats(0.01, 1e3),
    width=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_afterglow_keeps_constants_and_bounds_and_what_came_before(share, decay, width, seed):
    frame = np.random.default_rng(seed).random((2, width), dtype="float32")
    glowing = afterglow(frame, share, decay)
    assert glowing.min() >= frame.min() - 1e-5
    assert glowing.max() <= frame.max() + 1e-5
    np.testing.assert_allclose(afterglow(0 * frame + 9, share, decay), 9, rtol=1e-6)
    # Afterglow only affects later pixels.
    half = width // 2
    np.testing.assert_array_equal(
        afterglow(frame[:, : half + 1], share, decay)[:, half], glowing[:, half]
    )


def test_power_spectrum_of_glowing_white_noise(run):
    share, decay, width = 0.7, 3.0, 2**15
    white = np.random.default_rng(0).standard_normal((2, width)).astype("float32")
    glowing = run(afterglow, white, share, decay, random=False)
    q = np.exp(-1 / decay)
    omega = 2 * np.pi * np.fft.rfftfreq(width)[1:-1]
    response = 1 - share + share * (1 - q) / (1 - q * np.exp(-1j * omega))
    power = np.abs(np.fft.rfft(glowing)[:, 1:-1]) ** 2 / width
    assert stats.kstest((power / np.abs(response) ** 2).ravel(), "expon").pvalue > LEVEL


def test_no_afterglow_without_a_share(run):
    frame = np.random.default_rng(0).random((4, 6), dtype="float32")
    np.testing.assert_array_equal(run(afterglow, frame, 0.0, 5.0, random=False), frame)


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_gains_are_log_normal_independent_and_the_same_along_a_row(run, sigma):
    frames = np.random.default_rng(0).random((40, 500, 3), dtype="float32") + 1
    gains = run(line_gain, frames, sigma) / frames
    np.testing.assert_allclose(gains, gains[..., :1].repeat(3, axis=-1), rtol=1e-6)
    gains = gains[..., 0]
    n = gains.size
    assert abs(gains.mean() - 1) < SIGMAS * sigma / np.sqrt(n)
    squares = (gains - 1) ** 2
    assert abs(squares.mean() - sigma**2) < SIGMAS * squares.std() / np.sqrt(n)
    spread = np.sqrt(np.log1p(sigma**2))
    scaled = (np.log(gains) + spread**2 / 2) / spread
    assert stats.kstest(scaled.ravel(), "norm").pvalue > LEVEL
    power = np.abs(np.fft.rfft(scaled)[:, 1:250]) ** 2 / 500
    assert stats.kstest(power.ravel(), "expon").pvalue > LEVEL
    assert abs((scaled[1:] * scaled[:-1]).mean()) < SIGMAS / np.sqrt(n - 500)


def test_no_line_gain_at_0(run):
    frame = np.random.default_rng(0).random((4, 6), dtype="float32")
    np.testing.assert_array_equal(run(line_gain, frame, 0), frame)


def test_saturation_cuts_each_frame_at_its_own_level(run):
    frames = np.random.default_rng(0).random((3, 20, 30), dtype="float32")
    frames *= np.array([1, 10, 0], dtype="float32").reshape(3, 1, 1)
    cut = run(saturate, frames, 1.5, random=False)
    level = 1.5 * frames.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(cut, np.minimum(frames, level), rtol=1e-6)
    absolute = run(saturate, frames, 255, reference=0.01, random=False)
    np.testing.assert_allclose(absolute, frames.clip(max=2.55), rtol=1e-6)


@pytest.mark.parametrize(
    "function, arguments, what",
    [
        (afterglow, (-0.1,), r"^share must be a finite number in \[0, 1\]"),
        (afterglow, (np.nan,), r"^share must be a finite number in \[0, 1\]"),
        (afterglow, (0.5, 0.0), "^decay must be"),
        (line_gain, (-1.0,), "^sigma must be"),
        (saturate, (0.0,), "^level must be"),
    ],
)
def test_wrong_parameters_are_named(function, arguments, what):
    with pytest.raises(ValueError, match=what):
        function(np.ones((2, 2)), *arguments)
