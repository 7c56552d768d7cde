"""Metrics of frames, computed as in the papers on atomic denoising."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from skimage.metrics import structural_similarity

from .._constraints import Constraints, check_arguments
from .._validation import Float32Array
from ._stacks import DATA_RANGE, Float64Array, Reduction, check_stacks, reduce_frames

# The papers' frames are 0..255.
_DATA_RANGE = 255.0
# Gaussian window of 11 x 11 px, as scikit-image cuts it at 3.5 sigma.
_WINDOW = 11
_WINDOW_SIGMA = 1.5
_ARGUMENTS: dict[str, Constraints] = {"data_range": [DATA_RANGE], "quantize": ["boolean"]}


@check_arguments(**_ARGUMENTS)
def psnr(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    data_range: float = _DATA_RANGE,
    quantize: bool = True,
    reduction: Reduction = "mean",
) -> float | Float64Array:
    """Compute the peak signal-to-noise ratio in dB of each frame, averaged.

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to score.
    sample_weight : array-like of shape (n_frames,), optional
        Weight of each frame in the mean.
    data_range : float, default=255
        Distance from the darkest to the brightest possible value.
    quantize : bool, default=True
        Whether to clip ``y_pred`` to 0..data_range and truncate it to whole numbers first, as a
        conversion to bytes does. The papers' numbers are computed so.
    reduction : {"mean", "none"}, default="mean"
        Return the mean over frames, or the value of each frame.

    Returns
    -------
    float, or ndarray of shape (n_frames,)
        Infinite if a frame is exactly right.

    Raises
    ------
    ValueError
        If the stacks differ in shape or are not finite, or a parameter is out of range.

    Notes
    -----
    :func:`skimage.metrics.peak_signal_noise_ratio` computes one mean square error over the whole
    array, which a single bad frame dominates. It derives the data range from the dtype, so that
    floats above 1 need ``data_range=255``. It neither clips nor truncates.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.metrics import psnr
    >>> true = np.full((2, 16, 16), 100.0)
    >>> round(psnr(true, true + [[[5.0]], [[10.0]]]), 2)
    31.14
    """
    true, pred = check_stacks(y_true, y_pred)
    pred = _quantized(pred, data_range=data_range, quantize=quantize)

    def one(a: Float64Array, b: Float64Array) -> float:
        with np.errstate(divide="ignore"):
            return float(10 * np.log10(data_range**2 / np.mean((a - b) ** 2)))

    return reduce_frames(one, true, pred, sample_weight, reduction)


@check_arguments(**_ARGUMENTS)
def ssim(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    data_range: float = _DATA_RANGE,
    quantize: bool = True,
    reduction: Reduction = "mean",
) -> float | Float64Array:
    """Compute the structural similarity of each frame, averaged.

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames, of at least 11 x 11 px.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to score.
    sample_weight : array-like of shape (n_frames,), optional
        Weight of each frame in the mean.
    data_range : float, default=255
        Distance from the darkest to the brightest possible value.
    quantize : bool, default=True
        As for :func:`psnr`.
    reduction : {"mean", "none"}, default="mean"
        Return the mean over frames, or the value of each frame.

    Returns
    -------
    float, or ndarray of shape (n_frames,)
        1 if a frame is exactly right.

    Raises
    ------
    ValueError
        If the stacks differ in shape or are not finite, their frames are smaller than the window,
        or a parameter is out of range.

    Notes
    -----
    As in the paper of Wang et al. [1]_: a Gaussian window of 11 x 11 px with sigma 1.5, population
    moments, K1 = 0.01, K2 = 0.03, averaged where the window lies within the frame.
    :func:`skimage.metrics.structural_similarity` uses a uniform window of 7 x 7 px and sample
    covariances by default; with ``gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False`` it gives these values. It needs the data range of floats, and
    treats a stack as one volume, whose frames its window mixes. It neither clips nor truncates.

    References
    ----------
    .. [1] Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
       structural similarity", IEEE Trans. Image Processing 13 (2004) 600.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.metrics import ssim
    >>> true = np.random.default_rng(0).integers(0, 256, (1, 32, 32))
    >>> round(ssim(true, true), 3), round(ssim(true, 255 - true), 3)
    (1.0, -0.968)
    """
    true, pred = check_stacks(y_true, y_pred)
    pred = _quantized(pred, data_range=data_range, quantize=quantize)
    if min(true.shape[1:]) < _WINDOW:
        raise ValueError(
            f"y_true has frames of shape {true.shape[1:]}, but SSIM has a window of "
            f"{_WINDOW} x {_WINDOW} px; pass larger frames."
        )

    def one(a: Float64Array, b: Float64Array) -> float:
        return float(
            structural_similarity(
                a,
                b,
                data_range=data_range,
                gaussian_weights=True,
                sigma=_WINDOW_SIGMA,
                use_sample_covariance=False,
            )
        )

    return reduce_frames(one, true, pred, sample_weight, reduction)


@check_arguments(**_ARGUMENTS)
def atom_iou(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    data_range: float = _DATA_RANGE,
    quantize: bool = True,
    reduction: Reduction = "mean",
) -> float | Float64Array:
    """Compute the intersection over union of the atoms' pixels in each frame, averaged.

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames: dots on a dark background.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to score.
    sample_weight : array-like of shape (n_frames,), optional
        Weight of each frame in the mean.
    data_range : float, default=255
        Distance from the darkest to the brightest possible value. A pixel above half of it
        belongs to an atom: above 127.5 of 255, as in the papers.
    quantize : bool, default=True
        As for :func:`psnr`; it affects values between 127.5 and 128.
    reduction : {"mean", "none"}, default="mean"
        Return the mean over frames, or the value of each frame.

    Returns
    -------
    float, or ndarray of shape (n_frames,)
        1 if neither frame has an atom.

    Raises
    ------
    ValueError
        If the stacks differ in shape or are not finite, or a parameter is out of range.

    Notes
    -----
    scikit-image has no intersection over union: in :mod:`skimage.metrics`,
    :func:`~skimage.metrics.adapted_rand_error` and
    :func:`~skimage.metrics.variation_of_information` compare labelled segments, which touching dots
    would merge, and :func:`~skimage.metrics.hausdorff_distance` depends on the worst pixel alone.
    :func:`sklearn.metrics.jaccard_score` of the thresholded pixels of one frame is the same, but
    gives 0 with a warning if neither has an atom.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.metrics import atom_iou
    >>> true, pred = np.zeros((2, 1, 8, 8))
    >>> true[0, 2:4, 2:4] = pred[0, 2:4, 3:5] = 255
    >>> round(atom_iou(true, pred), 3)
    0.333
    """
    true, pred = check_stacks(y_true, y_pred)
    pred = _quantized(pred, data_range=data_range, quantize=quantize)

    def one(a: Float64Array, b: Float64Array) -> float:
        in_a, in_b = a > data_range / 2, b > data_range / 2
        union = np.count_nonzero(in_a | in_b)
        return np.count_nonzero(in_a & in_b) / union if union else 1.0

    return reduce_frames(one, true, pred, sample_weight, reduction)


def _quantized(pred: Float32Array, *, data_range: float, quantize: bool) -> Float32Array:
    """Return frames as whole numbers of the data range, if they are to be quantized."""
    if quantize:
        if data_range < _DATA_RANGE:
            raise ValueError(
                f"quantize=True truncates frames to whole numbers, too coarse for data_range="
                f"{data_range:g}; scale the frames to 0..255 or pass quantize=False."
            )
        pred = np.floor(np.clip(pred, 0, data_range))
    return pred
