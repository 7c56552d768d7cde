"""A Gauss-Newton step for all atoms of a frame at once.

Overlapping atoms pass errors on from neighbour to neighbour if they are fitted window by window,
long after each window seems converged. So their steps are solved together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import LinearOperator, lsmr

from .._scene import CUT
from ._windows import Atoms

Float64Array = NDArray[np.float64]

# Width over which the background is smoothed, in units of the expected sigma.
_BACKGROUND = 8.0
# Least share of pixels with data among those over which the background is smoothed.
_LEAST_SHARE = 1e-3
# Precision of one step; the next one corrects for it.
_TOLERANCE, _MAX_ITERATIONS = 1e-2, 50


def smooth_background(image: Float64Array, sigma: float) -> Float64Array:
    """Return the background of an image without atoms."""
    # Two box filters are nearly a Gaussian, and as fast for any width.
    side = 2 * int(_BACKGROUND * sigma) + 1
    return ndimage.uniform_filter(ndimage.uniform_filter(image, side), side)


class Background:
    """The smooth background of an image without atoms, as a linear function of its pixels.

    Parameters
    ----------
    sigma : float
        Expected sigma of an atom, in px.
    known : ndarray of shape (H, W), bool, optional
        Pixels with data; by default all.
    """

    def __init__(self, sigma: float, known: NDArray[np.bool_] | None = None) -> None:
        self._sigma, self._known = sigma, known
        if known is not None:
            # Of pixels without data alone, the background is 0.
            self._share = smooth_background(known.astype(float), sigma).clip(_LEAST_SHARE)

    def __call__(self, image: Float64Array) -> Float64Array:
        """Return the background of an image."""
        if self._known is None:
            return smooth_background(image, self._sigma)
        return smooth_background(image * self._known, self._sigma) / self._share

    def transposed(self, image: Float64Array) -> Float64Array:
        """Return the product of an image with the transpose of the function."""
        # Smoothing with reflection at the border is its own transpose.
        if self._known is None:
            return smooth_background(image, self._sigma)
        return self._known * smooth_background(image / self._share, self._sigma)


def joint_step(
    atoms: Atoms,
    residual: Float64Array,
    variance: Float64Array,
    sigma: float,
    scatter: float,
    background: Background | None = None,
) -> Float64Array:
    """Return the least-squares step of all atoms, on a smooth background that is fitted, too.

    Parameters
    ----------
    atoms : Atoms
        All atoms of the frame.
    residual, variance : ndarray of shape (H, W)
        The frame minus atoms and background, and the variance of its noise, infinite where there
        are no data.
    sigma, scatter : float
        Expected sigma of an atom, and its standard deviation.
    background : Background, optional
        The smooth background; by default that of a frame that holds data everywhere.

    Returns
    -------
    ndarray of shape (n_atoms, 4)
        Of amplitude, y, x and sigma.
    """
    n, shape = len(atoms), residual.shape
    background = background or Background(sigma)
    transposed = _derivatives(atoms, shape)
    jacobian = transposed.T
    root, prior, widths = 1 / np.sqrt(variance), 1 / scatter, slice(3 * n, 4 * n)
    curvature = transposed.power(2) @ (root.ravel() ** 2)
    curvature[widths] += prior**2
    # Steps are in units of their standard errors, for the iteration to converge. Parameters that no
    # pixel depends on do not move.
    scale = np.divide(1, np.sqrt(curvature), out=np.zeros(4 * n), where=curvature > 0)

    def forward(step: Float64Array) -> Float64Array:
        step = scale * step
        drawn = (jacobian @ step).reshape(shape)
        drawn = root * (drawn - background(drawn))
        return np.concatenate([drawn.ravel(), prior * step[widths]])

    def backward(misfit: Float64Array) -> Float64Array:
        image = root * misfit[: residual.size].reshape(shape)
        gradient = transposed @ (image - background.transposed(image)).ravel()
        gradient[widths] += prior * misfit[residual.size :]
        return scale * gradient

    operator = LinearOperator((residual.size + n, 4 * n), matvec=forward, rmatvec=backward)
    misfit = np.concatenate([(root * residual).ravel(), prior * (sigma - atoms.sigma)])
    step = lsmr(operator, misfit, atol=_TOLERANCE, btol=_TOLERANCE, maxiter=_MAX_ITERATIONS)[0]
    return (scale * step).reshape(4, n).T


def _derivatives(atoms: Atoms, shape: tuple[int, ...]) -> sparse.csr_array:
    """Return the derivatives of all pixels by all parameters, of shape (4 n, H W).

    The parameters are all amplitudes, then all y, x and sigma.
    """
    offset = np.arange(-(reach := int(np.ceil(CUT * atoms.sigma.max()))), reach + 1)
    gaussians, distances, places, inside = [], [], [], []
    for center, length in ((atoms.y, shape[0]), (atoms.x, shape[1])):
        place = np.rint(center).astype(int)[:, np.newaxis] + offset
        distance = (place - center[:, np.newaxis]) / atoms.sigma[:, np.newaxis]
        gaussians.append(np.exp(-0.5 * distance**2))
        distances.append(distance)
        places.append(place)
        inside.append((place >= 0) & (place < length) & (np.abs(distance) < CUT))
    # The rows that each atom covers within the frame, and the columns in each of these.
    atom, row = np.nonzero(inside[0])
    line, column = np.nonzero(inside[1][atom])
    atom, row = atom[line], row[line]
    dy, dx = distances[0][atom, row], distances[1][atom, column]
    gaussian = gaussians[0][atom, row] * gaussians[1][atom, column]
    slope = (atoms.amplitude / atoms.sigma)[atom] * gaussian
    values = np.concatenate([gaussian, slope * dy, slope * dx, slope * (dy**2 + dx**2)])
    pixel = places[0][atom, row] * shape[1] + places[1][atom, column]
    n_pixels = np.tile(np.bincount(atom, minlength=len(atoms)), 4)
    starts = np.concatenate([[0], np.cumsum(n_pixels)])
    return sparse.csr_array(
        (values, np.tile(pixel, 4), starts), shape=(4 * len(atoms), shape[0] * shape[1])
    )
