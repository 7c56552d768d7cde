"""Parts of the least-squares fit, compared with brute force, theory and invariants."""

import numpy as np
import pytest
from scipy import optimize

from stemkit.localize._fit import (
    _advance,
    _find_neighbors,
    _fit_variance,
    _leverage,
    _residual,
    _windows,
    _write_errors,
    fit_atoms,
    fit_coarsely,
)
from stemkit.localize._joint import Background
from stemkit.localize._windows import Atoms

from .drawn_atoms import draw

SIGMA = 1.5


def gaussian(shape, amplitude, y, x, sigma):
    rows, columns = np.indices(shape)
    return amplitude * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))


def numeric_jacobian(shape, *parameters):
    """Derivatives of all pixels by amplitude, y, x and sigma, from differences."""
    columns = []
    for index in range(4):
        step = np.zeros(4)
        step[index] = 1e-5
        more, less = (gaussian(shape, *(np.array(parameters) + s)) for s in (step, -step))
        columns.append((more - less).ravel() / 2e-5)
    return np.stack(columns, axis=1)


# Neighbours


@pytest.mark.parametrize("n, reach", [(1, 3), (2, 3), (2, 0.01), (12, 2), (60, 1.2), (60, 9)])
@pytest.mark.parametrize("n_twins", [0, 2])
def test_neighbors_are_those_of_brute_force(n, reach, n_twins):
    points = np.random.default_rng(n).uniform(0, 10, (n, 2))
    points[n - min(n_twins, n - 1) :] = points[0]  # several points coincide
    found = _find_neighbors(points, reach)
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    n_most = 0
    for own, row in enumerate(found):
        others = np.sort(np.delete(distance[own], own))
        others = others[others < reach][:8]
        n_most = max(n_most, len(others))
        chosen = row[: len(others)]
        assert own not in chosen
        assert len(set(chosen)) == len(others)
        # The nearest eight, the nearest first.
        np.testing.assert_allclose(distance[own][chosen], others)
        assert (row[len(others) :] == -1).all()
    # The table is not wider than needed.
    assert found.shape[1] == (0 if n == 1 else max(1, n_most))


# Background and noise


def test_the_background_of_an_atom_is_that_of_its_nearest_pixel():
    background = np.arange(5 * 7.0).reshape(5, 7) ** 2
    # Positions are up to half a pixel beyond the border.
    along = [
        np.array([-0.5, *(i + d for i in range(n) for d in (-0.3, 0.3)), n - 0.5]) for n in (5, 7)
    ]
    y, x = (values.ravel() for values in np.meshgrid(*along))
    atoms = Atoms.at(np.stack([y, x], axis=1), np.ones(y.size), SIGMA)
    step, error = np.zeros((y.size, 5)), np.arange(5.0) * np.ones((y.size, 1))
    step[:, 4] = 1000
    _write_errors(atoms, (np.arange(y.size), step, error), background)
    rows, columns = np.indices(background.shape)
    distance = np.hypot(y[:, None, None] - rows, x[:, None, None] - columns)
    nearest = distance.reshape(y.size, -1).argmin(axis=1)
    np.testing.assert_array_equal(atoms.background - 1000, background.ravel()[nearest])
    errors = atoms.amplitude_err, atoms.y_err, atoms.x_err, atoms.sigma_err, atoms.background_err
    np.testing.assert_array_equal(np.stack(errors, axis=1), error)


@pytest.mark.parametrize("level", [0.0, -7.0, 1e4])
def test_a_frame_of_known_atoms_leaves_its_background(level):
    shape = (60, 50)
    frame = level + gaussian(shape, 30, 20.3, 25.6, SIGMA) + gaussian(shape, 20, 40.0, 9.2, 2.0)
    atoms = Atoms.at(np.array([[20.3, 25.6], [40.0, 9.2]]), np.array([30.0, 20.0]), SIGMA)
    atoms.sigma[1] = 2.0
    residual, background = _residual(atoms, frame, Background(SIGMA))
    np.testing.assert_allclose(background, level, atol=1e-3)
    np.testing.assert_allclose(residual, 0, atol=1e-2)


@pytest.mark.parametrize("sigma", [1.2, 1.5, 2.5, 4.0])
def test_leverage_is_that_of_the_hat_matrix(sigma):
    shape, (y, x) = (61, 61), (30.2, 29.7)
    jacobian = numeric_jacobian(shape, 50.0, y, x, sigma)
    hat = np.einsum("ij,ij->i", jacobian @ np.linalg.inv(jacobian.T @ jacobian), jacobian)
    atoms = Atoms.at(np.array([[y, x]]), np.array([50.0]), sigma)
    leverage = _leverage(atoms, shape)
    # The sum is the same, the number of parameters; peak and width are similar.
    assert leverage.sum() == pytest.approx(hat.sum(), rel=0.02) == 4
    assert leverage.max() == pytest.approx(hat.max(), rel=0.2)
    rows, columns = np.indices(shape)
    square = (rows - y) ** 2 + (columns - x) ** 2
    width, expected = ((square.ravel() @ w.ravel()) / w.sum() for w in (leverage, hat))
    assert width == pytest.approx(2 * sigma**2, rel=0.05)
    assert 1 <= expected / width < 1.8


def test_leverage_of_narrow_or_crowded_atoms_is_at_most_a_half():
    narrow = Atoms.at(np.array([[5.0, 5.0]]), np.array([1.0]), 0.6)
    crowded = Atoms.at(np.full((20, 2), 5.0), np.ones(20), 2.0)
    for atoms in (narrow, crowded):
        assert _leverage(atoms, (11, 11)).max() == 0.5


def residual_and_signal(slope, base, seed=0, n=200):
    rng = np.random.default_rng(seed)
    signal = rng.uniform(-40, 160, (n, n))
    variance = base + slope * (signal - signal.min())
    return rng.normal(size=(n, n)) * np.sqrt(variance), signal, variance


@pytest.mark.parametrize("slope, base", [(0.0, 9.0), (0.5, 4.0), (2.0, 100.0)])
def test_variance_is_fitted_along_the_signal(slope, base):
    residual, signal, variance = residual_and_signal(slope, base)
    np.testing.assert_allclose(_fit_variance(residual, signal), variance, rtol=0.06)


def test_noise_that_falls_with_the_signal_counts_as_constant():
    residual, signal, variance = residual_and_signal(-0.4, 100.0)
    found = _fit_variance(residual, signal)
    assert np.ptp(found) == 0
    assert found[0, 0] == pytest.approx(variance.mean(), rel=0.02)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("offset", [0.0, -50.0, 1e3])
def test_variance_does_not_depend_on_the_unit_or_zero_of_the_signal(unit, offset):
    residual, signal, _ = residual_and_signal(0.5, 4.0, n=40)
    expected = _fit_variance(residual, signal)
    found = _fit_variance(unit * residual, unit * (signal + offset))
    np.testing.assert_allclose(found, unit**2 * expected, rtol=1e-6)


def test_variance_of_a_flat_signal_is_the_mean_square():
    residual = np.random.default_rng(0).normal(size=(9, 8))
    found = _fit_variance(residual, np.full((9, 8), 3.0))
    np.testing.assert_allclose(found, np.mean(residual**2))


def test_pixels_without_noise_have_some_variance():
    residual, signal = np.zeros((9, 8)), np.arange(72.0).reshape(9, 8)
    # The error of single precision is about a millionth of the range.
    np.testing.assert_allclose(_fit_variance(residual, signal), (1e-6 * 71) ** 2)
    residual[4:] = np.random.default_rng(0).normal(0, 5, (5, 8))
    found = _fit_variance(residual, signal)
    assert found.min() == pytest.approx(0.03 * np.mean(residual**2))


# Steps


def stepped(step, sigma=2.0, n_times=1, amplitude=10.0):
    atoms = Atoms.at(np.array([[20.0, 30.0], [40.0, 50.0]]), np.full(2, amplitude), sigma)
    start = np.stack([atoms.y, atoms.x], axis=1)
    for _ in range(n_times):
        _advance(atoms, np.array([1]), np.array([[*step, 0.0]]), start, sigma)
    assert [getattr(atoms, name)[0] for name in ("amplitude", "y", "x", "sigma")] == [
        amplitude,
        20,
        30,
        sigma,
    ]
    return np.array([atoms.amplitude[1], atoms.y[1] - 40, atoms.x[1] - 50, atoms.sigma[1]])


def test_small_steps_are_taken_as_they_are():
    np.testing.assert_allclose(stepped([3, 0.2, -0.3, 0.1]), [13, 0.2, -0.3, 2.1])
    np.testing.assert_allclose(stepped([-3, -0.2, 0.3, -0.1]), [7, -0.2, 0.3, 1.9])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_large_steps_are_limited_in_units_of_sigma(sign, sigma):
    once = stepped([sign * 1e6] * 4, sigma)
    amplitude = 10 * 3.0**sign
    np.testing.assert_allclose(once[0], amplitude)
    np.testing.assert_allclose(once[1:3], sign * 0.5 * sigma)
    np.testing.assert_allclose(once[3], (1 + sign * 0.2) * sigma)
    # Repeated steps end within one sigma of the start and within a factor of 2 of its width.
    often = stepped([0.0] + [sign * 1e6] * 3, sigma, n_times=20)
    np.testing.assert_allclose(often[1:3], sign * sigma)
    np.testing.assert_allclose(often[3], sigma * 2.0**sign)


def test_amplitudes_stay_positive():
    assert 0 < stepped([-1e6, 0, 0, 0], n_times=50)[0] < 1e-20


# The fit


def scene(seed=0, n=4, spacing=9.0, noise=1.0):
    rng = np.random.default_rng(seed)
    shape = (int(n * spacing),) * 2
    places = (np.indices((n, n)).reshape(2, -1).T + 0.5) * spacing + rng.uniform(-1, 1, (n * n, 2))
    frame = noise * rng.normal(size=shape)
    for y, x in places:
        frame += gaussian(shape, 40, y, x, SIGMA)
    return frame, places


def fitted(frame, places, amplitude=30.0, sigma=SIGMA):
    atoms, _ = fit_coarsely(frame, Atoms.at(places, np.full(len(places), amplitude), sigma), sigma)
    return fit_atoms(frame, atoms, sigma)


def test_a_fit_without_atoms_gives_no_atoms():
    atoms, variance = fit_coarsely(np.random.default_rng(0).normal(0, 3, (40, 40)), none(), SIGMA)
    assert len(atoms) == 0
    assert variance.shape == (40, 40)
    assert np.sqrt(variance).mean() == pytest.approx(3, rel=0.1)
    assert len(fit_atoms(np.zeros((9, 9)), atoms, SIGMA)) == 0


def none():
    return Atoms.at(np.empty((0, 2)), np.empty(0), SIGMA)


@pytest.mark.parametrize("gain", [2.0**-20, 0.25, 2.0**12])
def test_the_unit_of_the_frame_changes_nothing(gain):
    # A power of two is exact in floating point, so that results agree to the last digits.
    frame, places = scene()
    expected, found = fitted(frame, places.round()), fitted(gain * frame, places.round(), gain * 30)
    for name in ("y", "x", "sigma", "y_err", "x_err", "sigma_err"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
    for name in ("amplitude", "background", "amplitude_err", "background_err"):
        np.testing.assert_allclose(getattr(found, name), gain * getattr(expected, name), rtol=1e-9)


def test_the_order_of_the_atoms_changes_nothing():
    frame, places = scene()
    order = np.random.default_rng(1).permutation(len(places))
    expected, found = fitted(frame, places.round()), fitted(frame, places.round()[order])
    for name in ("y", "x", "amplitude", "sigma", "background", "y_err"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name)[order], rtol=1e-2, atol=1e-3
        )


def test_starts_within_half_a_sigma_lead_to_one_fit():
    frame, places = scene(noise=0.0)
    for offset in ([0.7, -0.7], [-0.7, 0.2], [0.0, 0.0]):
        atoms = fitted(frame, places + offset, amplitude=25.0)
        np.testing.assert_allclose(atoms.y, places[:, 0], atol=5e-3)
        np.testing.assert_allclose(atoms.x, places[:, 1], atol=5e-3)
        np.testing.assert_allclose(atoms.sigma, SIGMA, rtol=5e-3)
        np.testing.assert_allclose(atoms.amplitude, 40, rtol=1e-2)


def test_standard_errors_grow_with_the_noise():
    quiet, loud = (fitted(*scene(noise=noise)) for noise in (0.5, 2.0))
    for name in ("y_err", "x_err", "amplitude_err", "background_err"):
        ratio = np.median(getattr(loud, name)) / np.median(getattr(quiet, name))
        assert ratio == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("distance", [4.0, 5.5, 30.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_that_of_a_general_solver(distance, seed):
    # The reference fits all parameters, with a constant background and a prior for widths.
    rng, shape = np.random.default_rng(seed), (40, 71)
    truth = np.array([[18.3, 20.6, 40, 1.5], [19.5, 20.6 + distance, 30, 1.6]])
    clean = sum(gaussian(shape, a, y, x, s) for y, x, a, s in truth)
    frame = 12 + clean + 2 * rng.normal(size=shape)

    def misfit(parameters):
        atoms = parameters[:-1].reshape(2, 4)
        model = parameters[-1] + sum(gaussian(shape, a, y, x, s) for y, x, a, s in atoms)
        widths = (atoms[:, 3] - SIGMA) / (0.15 * SIGMA)
        return np.concatenate([(frame - model).ravel() / 2, widths])

    expected = optimize.least_squares(misfit, np.append(truth, 12.0)).x[:-1].reshape(2, 4)
    found = fitted(frame, truth[:, :2].round(), amplitude=35.0)
    for column, name in enumerate(("y", "x", "amplitude", "sigma")):
        error = getattr(found, f"{name}_err")
        # The fit estimates noise and background in one window per atom, so results differ slightly.
        assert (np.abs(getattr(found, name) - expected[:, column]) < error).all()
    # Errors agree roughly, since few pixels determine how the noise increases with the signal.
    jacobian = optimize.least_squares(misfit, np.append(truth, 12.0)).jac
    errors = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))[:8].reshape(2, 4)
    for column, name in enumerate(("y", "x", "amplitude", "sigma")):
        np.testing.assert_allclose(getattr(found, f"{name}_err"), errors[:, column], rtol=0.5)


def test_the_width_of_an_atom_that_noise_hides_is_the_expected_one():
    frame = np.random.default_rng(0).normal(0, 100, (60, 60))
    atoms = fitted(frame, np.array([[20.0, 20.0], [40.0, 41.0]]), amplitude=1.0)
    np.testing.assert_allclose(atoms.sigma_err, 0.15 * SIGMA, rtol=0.1)
    assert (np.abs(atoms.sigma - SIGMA) < 3 * 0.15 * SIGMA).all()


@pytest.mark.parametrize("n", [1, 64, 65, 200])
def test_any_number_of_atoms_is_fitted_at_once(n):
    side = int(np.ceil(np.sqrt(n)))
    places = (np.indices((side, side)).reshape(2, -1).T[:n] + 0.5) * 14 + 0.3
    shape = (14 * side,) * 2
    frame = sum(gaussian(shape, 40, y, x, SIGMA) for y, x in places)
    atoms = fitted(frame, places.round())
    assert len(atoms) == n
    np.testing.assert_allclose(np.stack([atoms.y, atoms.x], axis=1), places, atol=5e-3)
    assert (atoms.y_err > 0).all()


def test_an_atom_on_the_last_half_pixel_is_fitted_again():
    # A fit can end there, and its atoms are the start of the next fit.
    place = np.array([[10.0, 31.5]])
    frame = 5 + draw((32, 32), place)
    fitted = fit_atoms(frame, Atoms.at(place, np.array([80.0]), SIGMA), SIGMA)
    np.testing.assert_allclose([fitted.y[0], fitted.x[0]], place[0], atol=0.01)


def test_atoms_are_grouped_by_their_number_of_neighbours():
    # Three within reach of each other, a chain of three, and one alone.
    places = [(10, 10), (12, 10), (11, 12), (40, 10), (40, 14), (40, 18), (70, 70)]
    atoms = Atoms.at(np.array(places, dtype=float), np.full(7, 10.0), 1.5)
    start, neighbors, batches = _windows(atoms, 1.5, (90, 90))
    np.testing.assert_array_equal(start, places)
    apart = np.hypot(*(start[:, None] - start[None]).T)
    within = (apart < 3.5 * 1.5) & (apart > 0)
    assert [set(row[row >= 0]) for row in neighbors] == [set(np.flatnonzero(w)) for w in within]
    assert sorted(sorted(batch.members.tolist()) for batch in batches) == [
        [0, 1, 2, 4],
        [3, 5],
        [6],
    ]
