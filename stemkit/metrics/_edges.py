"""How well edges are preserved: their steepness and their place."""

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
    r"""Compute the edge preservation index of each frame, averaged.

    It is :math:`\|\nabla \hat y\|_1 / \|\nabla y\|_1`, with differences of neighbouring pixels.

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to score.
    sample_weight : array-like of shape (n_frames,), optional
        Weight of each frame in the mean.
    reduction : {"mean", "none"}, default="mean"
        Return the mean over frames, or the value of each frame.

    Returns
    -------
    float, or ndarray of shape (n_frames,)
        0 for a constant frame, 1 if the gradients are as strong as the true ones, above 1 if they
        are stronger; inf if only the true frame is constant, 1 if both are.

    Raises
    ------
    ValueError
        If the stacks differ in shape or are not finite.

    Notes
    -----
    Noise has gradients, too: noisy frames have an index of 10 and more, and 1 may be blurred edges
    with some noise left. Use it together with :func:`gradient_correlation`, which noise lowers.

    scikit-image has no such metric, and other gradients: by default :func:`skimage.filters.sobel`
    smooths across each difference, which reduces the weight of noise.

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
        true_sum, pred_sum = (float(np.abs(_gradient(frame)).sum()) for frame in (a, b))
        if true_sum:
            return pred_sum / true_sum
        return np.inf if pred_sum else 1.0

    return reduce_frames(one, true, pred, sample_weight, reduction)


def gradient_correlation(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> float | Float64Array:
    """Compute the correlation of the gradients of each frame, averaged.

    It measures whether edges have the same place and direction. Unlike :func:`epi` it decreases
    with blur, with noise and with invented edges.

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to score.
    sample_weight : array-like of shape (n_frames,), optional
        Weight of each frame in the mean.
    reduction : {"mean", "none"}, default="mean"
        Return the mean over frames, or the value of each frame.

    Returns
    -------
    float, or ndarray of shape (n_frames,)
        Cosine of the angle between the two vectors of all differences of neighbouring pixels, down
        and to the right, from -1 to 1. 0 if one frame is constant, 1 if both are.

    Raises
    ------
    ValueError
        If the stacks differ in shape or are not finite.

    Notes
    -----
    scikit-image has no such metric; on its gradients see :func:`epi`.

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
    """Return the differences of neighbouring pixels, first down and then to the right."""
    return np.concatenate([np.diff(frame, axis=0).ravel(), np.diff(frame, axis=1).ravel()])
