"""A step of Gauss and Newton for all atoms of a frame at once.

Where atoms crowd, each leans on the next, and a fit of one window after the other hands an error on
from neighbour to neighbour long after it looks settled. So their steps are solved for together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import LinearOperator, lsmr

from .._scene import CUT
from ._windows import Atoms

Float64Array = NDArray[np.float64]

# Over what the background is smooth, in units of the expected sigma.
_BACKGROUND = 8.0
# A step need not be better than that: the next one makes up for it.
_TOLERANCE, _MAX_ITERATIONS = 1e-2, 50


def smooth(image: Float64Array, sigma: float) -> Float64Array:
    """Return what is background in an image without atoms."""
    # Twice a box is nearly a Gaussian, and takes no longer where it is wide.
    side = 2 * int(_BACKGROUND * sigma) + 1
    return ndimage.uniform_filter(ndimage.uniform_filter(image, side), side)


def joint_step(
    atoms: Atoms,
    residual: Float64Array,
    variance: Float64Array,
    sigma: float,
    scatter: float,
) -> Float64Array:
    """Return the least-squares step of all atoms, on a background that follows.

    Parameters
    ----------
    atoms : Atoms
        All atoms of the frame.
    residual, variance : ndarray of shape (H, W)
        What atoms and background leave of the frame, and the noise of it.
    sigma, scatter : float
        Expected sigma of an atom, and the scatter around it.

    Returns
    -------
    ndarray of shape (n_atoms, 4)
        Of amplitude, y, x and sigma.
    """
    n, shape = len(atoms), residual.shape
    transposed = _derivatives(atoms, shape)
    jacobian = transposed.T
    root, prior, widths = 1 / np.sqrt(variance), 1 / scatter, slice(3 * n, 4 * n)
    curvature = transposed.power(2) @ (root.ravel() ** 2)
    curvature[widths] += prior**2
    # Steps in units of their own errors, or the iteration would mind those of large units only.
    # What no pixel tells anything of stays where it is.
    scale = np.divide(1, np.sqrt(curvature), out=np.zeros(4 * n), where=curvature > 0)

    def forward(step: Float64Array) -> Float64Array:
        step = scale * step
        drawn = (jacobian @ step).reshape(shape)
        drawn = root * (drawn - smooth(drawn, sigma))
        return np.concatenate([drawn.ravel(), prior * step[widths]])

    def backward(misfit: Float64Array) -> Float64Array:
        # Smoothing that reflects at the border is its own transpose.
        image = root * misfit[: residual.size].reshape(shape)
        gradient = transposed @ (image - smooth(image, sigma)).ravel()
        gradient[widths] += prior * misfit[residual.size :]
        return scale * gradient

    operator = LinearOperator((residual.size + n, 4 * n), matvec=forward, rmatvec=backward)
    misfit = np.concatenate([(root * residual).ravel(), prior * (sigma - atoms.sigma)])
    step = lsmr(operator, misfit, atol=_TOLERANCE, btol=_TOLERANCE, maxiter=_MAX_ITERATIONS)[0]
    return (scale * step).reshape(4, n).T


def _derivatives(atoms: Atoms, shape: tuple[int, ...]) -> sparse.csr_array:
    """Return what each parameter of each atom does to each pixel, of shape (4 n, H W).

    First all amplitudes, then all y, x and sigma.
    """
    offset = np.arange(-(reach := int(np.ceil(CUT * atoms.sigma.max()))), reach + 1)
    gaussians, distances, places, seen = [], [], [], []
    for center, length in ((atoms.y, shape[0]), (atoms.x, shape[1])):
        place = np.rint(center).astype(int)[:, np.newaxis] + offset
        distance = (place - center[:, np.newaxis]) / atoms.sigma[:, np.newaxis]
        gaussians.append(np.exp(-0.5 * distance**2))
        distances.append(distance)
        places.append(place)
        seen.append((place >= 0) & (place < length) & (np.abs(distance) < CUT))
    # Of each atom the rows where it is seen, and of each of these the columns.
    atom, row = np.nonzero(seen[0])
    line, column = np.nonzero(seen[1][atom])
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
