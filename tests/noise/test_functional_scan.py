import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stemkit.noise.functional import _scan, flyback, row_jitter, shift_rows

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6


def measured_shift(jittered):
    """Displacement of each row of a ramp: x is recorded at x + shift."""
    middle = jittered.shape[-1] // 2
    return middle - jittered[..., middle]


def ramps(*shape):
    return np.broadcast_to(np.arange(shape[-1], dtype="float32"), shape).copy()


@pytest.mark.parametrize("correlation", [0.0, 0.8, 6.0, 200.0])
def test_law_of_the_rows_displacements(run, correlation):
    sigma, (n, height) = 0.6, (150, 120)
    shift = measured_shift(run(row_jitter, ramps(n, height, 24), sigma, correlation)) / sigma
    # An Ornstein-Uhlenbeck process is normal, and so are its innovations, each by itself.
    rho = np.exp(-1 / correlation) if correlation else 0.0
    innovation = (shift[:, 1:] - rho * shift[:, :-1]) / np.sqrt(1 - rho**2)
    assert stats.kstest(shift[:, 0], "norm").pvalue > LEVEL
    assert stats.kstest(innovation.ravel(), "norm").pvalue > LEVEL
    share = stats.chi2.cdf((innovation**2).sum(), innovation.size)
    assert LEVEL / 2 < share < 1 - LEVEL / 2
    # Innovations are independent of each other, of the first row, and of the previous frame.
    for one, other in (
        (innovation[:, 1:], innovation[:, :-1]),
        (innovation[1:], innovation[:-1]),
        (innovation, np.broadcast_to(shift[:, :1], innovation.shape)),
    ):
        product = one * other
        assert abs(product.sum() / np.sqrt((other**2).sum())) < stats.norm.isf(LEVEL / 2)


def test_variance_and_correlation_of_the_displacements(run):
    sigma, correlation, n = 1.5, 5.0, 4000
    shift = measured_shift(run(row_jitter, ramps(n, 30, 24), sigma, correlation))
    for row in (0, 13, 29):
        for other in (0, 14, 29):
            expected = sigma**2 * np.exp(-abs(row - other) / correlation)
            stderr = np.sqrt((sigma**4 + expected**2) / n)
            measured = (shift[:, row] * shift[:, other]).mean()
            assert abs(measured - expected) < stats.norm.isf(LEVEL / 18) * stderr


def test_power_spectrum_of_the_displacements(run):
    sigma, correlation, height = 0.5, 3.0, 2**15
    shift = measured_shift(run(row_jitter, ramps(height, 12), sigma, correlation))
    rho = np.exp(-1 / correlation)
    omega = 2 * np.pi * np.fft.rfftfreq(height)[1:-1]
    expected = sigma**2 * (1 - rho**2) / np.abs(1 - rho * np.exp(-1j * omega)) ** 2
    power = np.abs(np.fft.rfft(shift)[1:-1]) ** 2 / height
    assert stats.kstest(power / expected, "expon").pvalue > LEVEL


def waves(position, frequency):
    return np.cos(2 * np.pi * frequency * position + 0.7)


@pytest.mark.parametrize(
    "frequency, tolerance",
    [(0.02, 2e-6), (0.1, 5e-6), (0.15, 1.1e-4), (0.2, 1.5e-3), (0.25, 0.011)],
)
def test_shift_of_a_wave_is_the_analytic_one(run, frequency, tolerance):
    column = np.arange(96.0)
    shift = np.linspace(-3, 3, 49).astype("float32")
    frame = np.tile(waves(column, frequency), (49, 1)).astype("float32")
    shifted = run(lambda f: shift_rows(f, like(f, shift)), frame, random=False)
    expected = waves(column - shift[:, np.newaxis].astype(float), frequency)
    assert np.abs(shifted - expected)[:, 8:-8].max() < tolerance
    linear = [np.interp(column - s, column, row) for s, row in zip(shift, frame, strict=True)]
    assert np.abs(linear - expected)[:, 8:-8].max() > 25 * tolerance


def like(frames, values):
    return torch.from_numpy(values) if isinstance(frames, torch.Tensor) else values


@pytest.mark.parametrize("sigma, tolerance", [(1.3, 3e-3), (1.7, 4e-4), (2.5, 2e-5)])
def test_shift_of_an_atom_is_the_analytic_one(run, sigma, tolerance):
    column = np.arange(48.0)
    shift = np.linspace(-1, 1, 41).astype("float32")

    def atoms(position):
        return np.exp(-((position - 23.4) ** 2) / (2 * sigma**2))

    frame = np.tile(atoms(column), (41, 1)).astype("float32")
    shifted = run(lambda f: shift_rows(f, like(f, shift)), frame, random=False)
    expected = atoms(column - shift[:, np.newaxis].astype(float))
    assert np.abs(shifted - expected).max() < tolerance
    centre = (shifted * column).sum(axis=1) / shifted.sum(axis=1)
    np.testing.assert_allclose(centre, 23.4 + shift, atol=2e-4)


def test_polynomials_of_the_ninth_degree_are_exact(run):
    x = (np.arange(40.0) - 19.5) / 20
    shift = np.array([-0.5, 0.3], dtype="float32")
    coefficients = np.random.default_rng(0).normal(size=10)
    frame = np.tile(np.polyval(coefficients, x), (2, 1)).astype("float32")
    shifted = run(lambda f: shift_rows(f, like(f, shift)), frame, random=False)
    expected = np.polyval(coefficients, x - shift[:, np.newaxis].astype(float) / 20)
    np.testing.assert_allclose(shifted[:, 6:-6], expected[:, 6:-6], atol=3e-6)


@given(st.lists(st.integers(-150, 150), min_size=1, max_size=6), st.integers(1, 30))
def test_whole_pixels_only_move_and_mirror_at_the_border(shifts, width):
    frame = np.random.default_rng(0).random((len(shifts), width), dtype="float32")
    shifted = shift_rows(frame, np.array(shifts, dtype="float32"))
    padded = np.pad(frame, ((0, 0), (160, 160)), mode="symmetric")
    expected = [row[160 - s : 160 - s + width] for s, row in zip(shifts, padded, strict=True)]
    np.testing.assert_array_equal(shifted, expected)
    torch_shifted = shift_rows(torch.from_numpy(frame), torch.tensor(shifts).float())
    np.testing.assert_array_equal(torch_shifted, expected)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_shifts_may_be_of_any_real_type(dtype, as_tensor):
    frame, shift = np.arange(12, dtype="f4").reshape(1, 12), np.ones(1, dtype=dtype)
    expected = shift_rows(frame, np.ones(1, dtype="f4"))
    if as_tensor:
        found = shift_rows(torch.tensor(frame), torch.tensor(shift)).numpy()
    else:
        found = shift_rows(frame, shift)
    np.testing.assert_array_equal(found, expected)


def test_wrong_shifts_are_named(run):
    frames = np.ones((2, 4, 5), dtype="float32")
    with pytest.raises(ValueError, match=r"^shift must .* shape \(2, 4\) .*of shape \(2, 3\)"):
        run(lambda f: shift_rows(f, like(f, np.zeros((2, 3), "float32"))), frames, random=False)
    for bad in (np.nan, np.inf, 1e20):
        with pytest.raises(ValueError, match=r"^shift must be finite and at most"):
            run(
                lambda f, bad=bad: shift_rows(f, like(f, np.full((2, 4), bad, "float32"))),
                frames,
                random=False,
            )
    with pytest.raises(ValueError, match=r"^shift must .* library of frames"):
        shift_rows(frames, torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"^shift must hold a number for each row"):
        shift_rows(frames, np.zeros((2, 4), complex))
    with pytest.raises(ValueError, match=r"^shift holds frames of different shapes"):
        shift_rows(frames, [[0.0], [0.0, 1.0]])


def test_large_stacks_are_shifted_like_single_rows():
    frames = np.random.default_rng(0).random((5, 300, 256), dtype="float32")  # several blocks
    shift = np.random.default_rng(1).normal(0, 3, (5, 300)).astype("float32")
    shifted = shift_rows(frames, shift)
    for index in ((0, 0), (2, 150), (4, 299)):
        row = shift_rows(frames[index][np.newaxis], shift[index][np.newaxis])[0]
        np.testing.assert_array_equal(shifted[index], row)


def test_temporary_arrays_stay_small(monkeypatch):
    sizes = []
    gather = _scan._gather

    def recorded(rows, index):
        sizes.append(index.size)
        return gather(rows, index)

    monkeypatch.setattr(_scan, "_gather", recorded)
    for shape in ((4, 1000, 256), (1, 2, 300_000)):
        sizes.clear()
        shift_rows(np.zeros(shape, "float32"), np.full(shape[:2], 0.5, "float32"))
        assert max(sizes) < max(400_000, shape[2] + 10)  # pixels, or one row
        assert len(sizes) < 10


def test_strided_frames_are_shifted_like_compact_ones():
    frames = np.random.default_rng(0).random((2, 16, 32), dtype="float32").transpose(0, 2, 1)
    shift = np.random.default_rng(1).normal(size=(2, 32)).astype("float32")
    np.testing.assert_array_equal(
        shift_rows(frames, shift), shift_rows(np.ascontiguousarray(frames), shift)
    )


def test_a_constant_frame_stays_constant(run):
    flat = np.full((3, 40, 50), 7.0, dtype="float32")
    np.testing.assert_allclose(run(row_jitter, flat, 2.0, 3.0), 7, rtol=2e-6)
    np.testing.assert_allclose(run(flyback, flat, 5.0, 6.0, random=False), 7, rtol=2e-6)


@pytest.mark.parametrize("amplitude, decay", [(0.5, 3.0), (4.0, 8.0), (12.0, 5.0)])
def test_flyback_is_an_exponential_relaxation(run, amplitude, decay):
    column = np.arange(128.0)
    frame = np.tile(waves(column, 0.05), (2, 3, 1)).astype("float32")
    distorted = run(flyback, frame, amplitude, decay, random=False)
    expected = waves(column + amplitude * np.exp(-column / decay), 0.05)
    error = np.abs(distorted - expected)
    assert error[..., 4:].max() < 4e-4  # 2 pi 0.05 times the smallest displacement, 0.001 px
    settled = int(np.ceil(decay * np.log(amplitude / 1e-3)))
    np.testing.assert_array_equal(distorted[..., settled:], frame[..., settled:])


def test_rows_shorter_than_the_flyback_are_fine(run):
    short = ramps(2, 3, 5)
    assert np.isfinite(run(flyback, short, 30.0, 10.0, random=False)).all()
    assert np.isfinite(run(row_jitter, ramps(2, 3, 1), 30.0, 10.0)).all()


@pytest.mark.parametrize("function", [row_jitter, flyback])
def test_nothing_moves_at_0(run, function):
    frame = np.random.default_rng(0).random((2, 5, 6), dtype="float32")
    np.testing.assert_array_equal(run(function, frame, 0, random=function is row_jitter), frame)
