"""How well edges are kept: how steep they are, and whether they are where they were."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._stacks import Float64Array, Reduction, check_stacks, cosine, reduce_frames


def epi(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> float | Float64Array:
    r"""Edge preservation index, one value a frame, then averaged.

    It is :math:`\|\nabla \hat y\|_1 / \|\nabla y\|_1`, with differences of neighbouring pixels.

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to judge.
    sample_weight : array-like of shape (n_frames,), optional
        How much each frame counts in the mean.
    reduction : {"mean", "none"}, default="mean"
        The mean over frames, or every frame's own value.

    Returns
    -------
    float, or ndarray of shape (n_frames,)
        0 for a constant frame, 1 where the gradients are as strong as in truth, and above where
        they are stronger; inf where truth is constant and the frame is not, 1 where both are.

    Raises
    ------
    ValueError
        Where the stacks do not fit each other.

    Notes
    -----
    Noise is steep too: noisy frames have an index of 10 and more, and 1 may be blurred edges with
    some noise left over. Look at :func:`gradient_correlation` next to it, which noise lowers.

    scikit-image has no such metric. Nor are these its gradients: by default
    :func:`skimage.filters.sobel` smooths across each difference, which makes noise count for less.

    References
    ----------
    Awan et al., "Physics informed neural network enhanced denoising for atomic resolution STEM
    imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.metrics import epi
    >>> true = np.random.default_rng(0).random((2, 32, 32))
    >>> round(epi(true, 1 - 0.5 * true), 6)
    0.5
    """
    true, pred = check_stacks(y_true, y_pred)

    def one(a: Float64Array, b: Float64Array) -> float:
        in_truth, found = (float(np.abs(_gradient(frame)).sum()) for frame in (a, b))
        if in_truth:
            return found / in_truth
        return np.inf if found else 1.0

    return reduce_frames(one, true, pred, sample_weight, reduction)


def gradient_correlation(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> float | Float64Array:
    """Correlation of the gradients, one value a frame, then averaged.

    It asks whether edges are where they were and point to where they did. Unlike :func:`epi` it
    falls with blur, with noise and with edges that are made up.

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to judge.
    sample_weight : array-like of shape (n_frames,), optional
        How much each frame counts in the mean.
    reduction : {"mean", "none"}, default="mean"
        The mean over frames, or every frame's own value.

    Returns
    -------
    float, or ndarray of shape (n_frames,)
        Cosine of the angle between the two, from -1 to 1: over all differences of neighbouring
        pixels, down and to the right. 0 where one frame is constant, 1 where both are.

    Raises
    ------
    ValueError
        Where the stacks do not fit each other.

    Notes
    -----
    scikit-image has no such metric; see :func:`epi` on its gradients.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.metrics import gradient_correlation
    >>> true = np.random.default_rng(0).random((2, 32, 32))
    >>> round(gradient_correlation(true, 0.5 * true + 3), 6)
    1.0
    """
    true, pred = check_stacks(y_true, y_pred)

    def one(a: Float64Array, b: Float64Array) -> float:
        return cosine(_gradient(a), _gradient(b))

    return reduce_frames(one, true, pred, sample_weight, reduction)


def _gradient(frame: Float64Array) -> Float64Array:
    """Return all differences of neighbours, first down and then to the right."""
    return np.concatenate([np.diff(frame, axis=0).ravel(), np.diff(frame, axis=1).ravel()])
