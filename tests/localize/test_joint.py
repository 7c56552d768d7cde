"""The joint step of all atoms, compared with finite differences and a dense solver."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit.localize import _joint
from stemkit.localize._joint import _derivatives, joint_step, smooth_background
from stemkit.localize._windows import Atoms


def atoms_of(*rows):
    y, x, amplitude, sigma = np.array(rows).T
    atoms = Atoms.at(np.stack([y, x], axis=1), amplitude, 1.5)
    atoms.sigma[:] = sigma
    return atoms


ATOMS = atoms_of(
    (8.2, 9.7, 40, 1.5), (11.6, 10.4, 25, 1.2), (0.1, 24.8, 30, 1.8), (23.4, -0.4, 50, 1.5)
)
SHAPE = (24, 26)


def draw(atoms, shape=SHAPE):
    rows, columns = np.indices(shape)
    return sum(
        a * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * s**2))
        for y, x, a, s in zip(atoms.y, atoms.x, atoms.amplitude, atoms.sigma, strict=True)
    )


def numeric_jacobian(atoms, shape=SHAPE):
    columns = []
    for name in ("amplitude", "y", "x", "sigma"):
        for index in range(len(atoms)):
            drawn = []
            for step in (1e-5, -1e-5):
                moved = atoms.take(np.arange(len(atoms)))
                getattr(moved, name)[index] += step
                drawn.append(draw(moved, shape).ravel())
            columns.append((drawn[0] - drawn[1]) / 2e-5)
    return np.stack(columns, axis=1)


def test_derivatives_are_differences():
    found = _derivatives(ATOMS, SHAPE).toarray().T
    expected = numeric_jacobian(ATOMS)
    # Gaussians have a cutoff.
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())


def test_an_atom_far_outside_has_no_derivatives():
    far = atoms_of((8.0, 9.0, 40, 1.5), (-90.0, 5.0, 30, 1.5))
    found = _derivatives(far, SHAPE).toarray()
    assert found.shape == (8, SHAPE[0] * SHAPE[1])
    assert (found[1::2] == 0).all()
    assert (np.abs(found[::2]).sum(axis=1) > 0).all()


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_a_constant_is_its_own_background_and_a_slope_almost(sigma):
    np.testing.assert_allclose(smooth_background(np.full((30, 40), 7.0), sigma), 7)
    slope = np.arange(200.0) * np.ones((5, 1))
    inner = slice(60, 140)
    np.testing.assert_allclose(smooth_background(slope, sigma)[:, inner], slope[:, inner])


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_the_background_is_smoothed_over_several_atoms(sigma):
    # Two boxcars of 16 sigma: that of n px has the variance (n^2 - 1) / 12.
    impulse = np.zeros((241, 241))
    impulse[120, 120] = 1
    found = smooth_background(impulse, sigma)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, found.T, atol=1e-15)
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-15)
    variance = (found.sum(axis=0) * (np.arange(241) - 120) ** 2).sum()
    assert np.sqrt(variance) == pytest.approx(16 * sigma / np.sqrt(6), rel=0.08)


def smoothing_matrix(shape, side):
    size = shape[0] * shape[1]
    columns = []
    for unit in np.eye(size):
        once = ndimage.uniform_filter(unit.reshape(shape), side, mode="reflect")
        columns.append(ndimage.uniform_filter(once, side, mode="reflect").ravel())
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("scatter", [0.05, 0.3])
def test_a_step_is_the_dense_least_squares_solution(scatter, monkeypatch):
    monkeypatch.setattr(_joint, "_TOLERANCE", 1e-9)
    monkeypatch.setattr(_joint, "_MAX_ITERATIONS", 500)
    sigma, n = 1.5, len(ATOMS)
    rng = np.random.default_rng(0)
    residual, variance = rng.normal(size=SHAPE), rng.uniform(0.5, 2, SHAPE)
    residual -= smooth_background(residual, sigma)
    # The reference minimises the residuals of pixels and widths, in standard deviations.
    jacobian = numeric_jacobian(ATOMS)
    jacobian -= smoothing_matrix(SHAPE, 25) @ jacobian
    weights = 1 / np.sqrt(variance.ravel())
    prior = np.zeros((n, 4 * n))
    prior[:, 3 * n :] = np.eye(n) / scatter
    design = np.concatenate([weights[:, None] * jacobian, prior])
    misfit = np.concatenate([weights * residual.ravel(), (sigma - ATOMS.sigma) / scatter])
    expected = np.linalg.lstsq(design, misfit, rcond=None)[0].reshape(4, n).T
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design))).reshape(4, n).T
    found = joint_step(ATOMS, residual, variance, sigma, scatter)
    assert found.shape == (n, 4)
    assert (np.abs(found - expected) < 0.02 * errors).all()


def test_a_step_leads_to_the_atoms_that_made_the_frame():
    truth = ATOMS.take(np.arange(len(ATOMS)))
    start = ATOMS.take(np.arange(len(ATOMS)))
    shift = np.random.default_rng(0).normal(0, 1e-3, (len(start), 4))
    for index, name in enumerate(("amplitude", "y", "x", "sigma")):
        getattr(start, name)[:] += shift[:, index]
    residual = draw(truth) - draw(start)
    residual -= smooth_background(residual, 1.5)
    found = joint_step(start, residual, np.full(SHAPE, 1e-8), 1.5, 10.0)
    np.testing.assert_allclose(found[:3, 1:], -shift[:3, 1:], atol=2e-4)


def test_an_atom_that_no_pixel_shows_does_not_move():
    far = atoms_of((8.0, 9.0, 40, 1.5), (-90.0, 5.0, 30, 1.5))
    residual = np.random.default_rng(0).normal(size=SHAPE)
    found = joint_step(far, residual, np.ones(SHAPE), 1.5, 0.2)
    assert np.isfinite(found).all()
    assert (found[1] == 0).all()
    assert (found[0] != 0).all()
