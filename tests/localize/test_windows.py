"""Tables of atoms, and the fits of single windows, compared with a dense solver."""

import numpy as np
import pytest

from stemkit.localize._windows import Atoms, WindowBatch

SHAPE = (30, 34)
RADIUS = 5


def atoms_of(*rows):
    y, x, amplitude, sigma = np.array(rows, dtype=float).T
    atoms = Atoms.at(np.stack([y, x], axis=1), amplitude, 1.5)
    atoms.sigma[:] = sigma
    return atoms


def gaussian(rows, columns, y, x, amplitude, sigma):
    return amplitude * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))


def dense_fit(atoms, chosen, center, residual, variance, expected):
    """Step and errors of the first chosen atom, and the level, by lstsq and differences."""
    window = [
        slice(max(round(c) - RADIUS, 0), min(round(c) + RADIUS + 1, n))
        for c, n in zip(center, SHAPE, strict=True)
    ]
    rows, columns = (index[tuple(window)].ravel() for index in np.indices(SHAPE))
    columns_of_design = []
    for atom in chosen:
        at = np.array([getattr(atoms, n)[atom] for n in ("amplitude", "y", "x", "sigma")])
        for index in range(4):
            drawn = []
            for step in (1e-5, -1e-5):
                a, y, x, s = at + step * (np.arange(4) == index)
                drawn.append(gaussian(rows, columns, y, x, a, s))
            columns_of_design.append((drawn[0] - drawn[1]) / 2e-5)
    design = np.stack([*columns_of_design, np.ones(len(rows))], axis=1)
    weights = 1 / np.sqrt(variance[rows, columns])
    prior = np.zeros((len(chosen), design.shape[1]))
    prior[np.arange(len(chosen)), 3 + 4 * np.arange(len(chosen))] = 1 / expected[1]
    full = np.concatenate([weights[:, None] * design, prior])
    misfit = np.concatenate(
        [weights * residual[rows, columns], (expected[0] - atoms.sigma[chosen]) / expected[1]]
    )
    own = [0, 1, 2, 3, -1]
    errors = np.sqrt(np.diag(np.linalg.inv(full.T @ full)))
    return np.linalg.lstsq(full, misfit, rcond=None)[0][own], errors[own]


ATOMS = atoms_of(
    (12.2, 14.7, 40, 1.5),
    (15.9, 16.4, 25, 1.2),
    (0.3, 25.6, 30, 1.8),
    (28.6, 32.9, 50, 1.5),
    (11.1, 19.0, 35, 1.4),
)
NEIGHBORS = np.array([[1, 4], [0, -1], [-1, -1], [-1, -1], [0, 1]])


@pytest.mark.parametrize("members", [[0, 4], [1], [2, 3]])
@pytest.mark.parametrize("scatter", [0.02, 0.5])
def test_windows_are_solved_as_by_dense_least_squares(members, scatter):
    rng = np.random.default_rng(0)
    residual, variance = 3 + rng.normal(size=SHAPE), rng.uniform(0.5, 2, SHAPE)
    # Atoms may have moved since their windows were chosen.
    start = np.stack([ATOMS.y, ATOMS.x], axis=1) + rng.uniform(-0.4, 0.4, (len(ATOMS), 2))
    batch = WindowBatch(start, np.array(members), NEIGHBORS, RADIUS, SHAPE)
    on = np.arange(len(members))[::-1]
    steps, errors = batch.solve(ATOMS, residual, variance, (1.5, scatter), on)
    assert steps.shape == errors.shape == (len(members), 5)
    for index, step, error in zip(on, steps, errors, strict=True):
        own = members[index]
        chosen = [own, *(n for n in NEIGHBORS[own] if n >= 0)]
        expected = dense_fit(ATOMS, chosen, start[own], residual, variance, (1.5, scatter))
        # Damping shortens steps by about 1 in 10,000, and by more where atoms overlap.
        np.testing.assert_allclose(step, expected[0], atol=5e-3 * np.abs(expected[1]).max())
        np.testing.assert_allclose(error, expected[1], rtol=5e-3)


def test_a_window_that_shows_nothing_of_its_atom_leaves_it():
    atoms = atoms_of((12.0, 14.0, 40, 1.5), (200.0, 14.0, 40, 1.5))
    start = np.array([[12.0, 14.0], [28.0, 14.0]])
    batch = WindowBatch(start, np.array([1]), np.full((2, 1), -1), RADIUS, SHAPE)
    step, error = batch.solve(atoms, np.ones(SHAPE), np.ones(SHAPE), (1.5, 0.2), np.array([0]))
    np.testing.assert_array_equal(step[0, :3], 0)
    assert np.isinf(error[0, :3]).all()
    # The width is the expected one, and the level is that of the window.
    assert error[0, 3] == pytest.approx(0.2, rel=1e-3)
    assert step[0, 4] == pytest.approx(1, rel=1e-3)


NAMES = (
    *("y", "x", "amplitude", "sigma", "background"),
    *("y_err", "x_err", "amplitude_err", "sigma_err", "background_err"),
)


def numbered(n, first=0):
    return Atoms(*(first + 100.0 * k + np.arange(n) for k in range(len(NAMES))))


def table(atoms):
    return np.stack([getattr(atoms, name) for name in NAMES], axis=1)


def test_atoms_are_taken_put_and_joined_by_rows():
    atoms, others = numbered(5), numbered(2, first=5000)
    np.testing.assert_array_equal(table(atoms.take(np.array([3, 1]))), table(atoms)[[3, 1]])
    mask = np.array([True, False, False, True, False])
    np.testing.assert_array_equal(table(atoms.take(mask)), table(atoms)[mask])
    together = atoms.join(others)
    assert len(together) == 7
    np.testing.assert_array_equal(table(together), np.concatenate([table(atoms), table(others)]))
    expected = table(atoms)
    expected[mask] = table(others)
    atoms.put(mask, others)
    np.testing.assert_array_equal(table(atoms), expected)


def test_new_atoms_share_no_memory_and_have_no_errors():
    places, amplitude = np.array([[1, 2], [3, 4]]), np.array([5.0, 6.0])
    atoms = Atoms.at(places, amplitude, 1.5)
    np.testing.assert_array_equal(
        table(atoms), [[1, 2, 5, 1.5] + [0] * 6, [3, 4, 6, 1.5] + [0] * 6]
    )
    for index, name in enumerate(NAMES):
        getattr(atoms, name)[:] = 7 + index
    np.testing.assert_array_equal(table(atoms), np.arange(7.0, 17) * np.ones((2, 1)))
    np.testing.assert_array_equal(places, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(amplitude, [5, 6])
    assert len(Atoms.at(np.empty((0, 2)), np.empty(0), 1.5)) == 0


def test_atoms_are_drawn_as_gaussians_without_their_background():
    atoms = atoms_of((12.2, 14.7, 40, 1.5), (0.3, 25.6, 30, 1.8))
    atoms.background[:] = 99
    rows, columns = np.indices(SHAPE)
    expected = sum(
        gaussian(rows, columns, *values)
        for values in zip(atoms.y, atoms.x, atoms.amplitude, atoms.sigma, strict=True)
    )
    drawn = atoms.draw(SHAPE)
    assert drawn.dtype == float
    np.testing.assert_allclose(drawn, expected, atol=0.02)
