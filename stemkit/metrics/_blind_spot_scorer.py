"""Score denoisers without true frames, by hiding pixels from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .._constraints import Interval, Options, check_value
from .._random import frame_generators
from .._validation import Float32Array, check_weights, n_dims
from ._stacks import Float64Array, frames_or_lines, predicted_frames

Structure = Literal["pixel", "row", "column"]
_Shift = tuple[int, int]

# Two predictions of a pixel from different neighbours, so that their noise is independent. The
# first is exact to second order, which is enough, since only the product of their errors matters.
# Lines have too few neighbours for two predictions, and use one that is exact to second order.
_CROSS = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 4, 0, 0], [-1, 4, 0, 4, -1], [0, 0, 4, 0, 0], [0, 0, -1, 0, 0]]
)
_DIAGONAL = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]])
_ALONG = np.array([[-1, 4, 0, 4, -1]])


@dataclass(frozen=True, kw_only=True)
class BlindSpotScorer:
    r"""Score a denoiser without true frames, by hiding pixels from it; greater is better.

    The error to the noisy input is no score: it is zero for a denoiser that copies its input. It
    lacks the share of each pixel's own noise that is left in the output. To measure that share,
    pixels are hidden: each in turn is replaced by the mean of its neighbours plus noise from
    another place, and the change of the output at the pixel is multiplied by the difference of the
    pixel from its neighbours. The score is minus

    .. math:: \frac1N \sum_i (\hat x_i - y_i)^2 +
              2\, \big\langle (\hat x_i - \hat x_i^{\text{hidden}})(y_i - \bar y_i) \big\rangle

    which on average is the mean square error to the true frame plus the variance of the noise,
    which is the same for all denoisers [1]_. It needs no noise model and is valid for any denoiser.

    Parameters
    ----------
    structure : {"pixel", "row", "column"}, default="pixel"
        What is hidden at once: single pixels, if noise is independent between pixels; whole columns
        or rows, if their pixels share noise, as with a camera's column noise, the jitter of scanned
        rows or a detector's afterglow along them.
    n_masks : int, default=4
        Number of times each frame is denoised with pixels hidden, 1 to 16 (1 to 4 for rows and
        columns); each time a 16th of the pixels (a quarter of the lines) is hidden.
    random_state : int, default=0
        Seed of the hidden pixels. A frame's contribution to the score depends on this and on the
        frame alone, so that it is the same in any order, subset or fold.

    See Also
    --------
    blind_spot_scorer : One with these defaults, ready to be passed as ``scoring``.
    SplitScorer : Needs two exposures or a noise model, and has fewer limitations.

    Notes
    -----
    Limitations:

    - *Correlated noise.* Whatever neighbouring pixels share counts as specimen: with column noise,
      the score favours denoisers that keep the columns. Hide columns then, or subtract the column
      noise first. Denoisers that average over less than the correlation length of the noise get
      scores that are too good.
    - *Details finer than about 2 px*, such as isolated bright pixels, count as noise. Atoms should
      have a standard deviation of 1.3 px or more; if rows or columns are hidden, which leaves
      neighbours on two sides only, wider.
    - *Another target*: a denoiser that draws dots instead of the clean image is scored by the
      difference of its dots from the frame.
    - *Rare artefacts*: an invented atom changes the mean square error by very little.

    To hide pixels and measure the error at these alone, as [2]_ and
    ``skimage.restoration.calibrate_denoiser`` do, scores a denoiser that does not use a pixel's own
    value, and can rank denoisers differently.

    References
    ----------
    .. [1] Efron, "The estimation of prediction error: covariance penalties and cross-validation",
       J. Am. Stat. Assoc. 99 (2004) 619.
    .. [2] Batson and Royer, "Noise2Self: blind denoising by self-supervision", ICML 2019.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from stemkit.datasets import make_crystal_images
    >>> from stemkit.denoise import GaussianDenoiser
    >>> from stemkit.metrics import blind_spot_scorer
    >>> from stemkit.noise import PoissonGaussianNoise
    >>> clean = make_crystal_images("SrTiO3", 4, shape=(64, 64), random_state=0).frames
    >>> frames = PoissonGaussianNoise(gain=20.0, random_state=0).fit_transform(clean)
    >>> search = GridSearchCV(
    ...     GaussianDenoiser(), {"sigma": [0.1, 1.0, 5.0]}, scoring=blind_spot_scorer, cv=2
    ... )
    >>> search.fit(frames).best_params_
    {'sigma': 1.0}
    """

    structure: Structure = "pixel"
    n_masks: int = 4
    random_state: int = 0

    def __post_init__(self) -> None:
        check_value(self.structure, "structure", [Options(*get_args(Structure))])
        most = 16 if self.structure == "pixel" else 4
        name = f"n_masks with structure={self.structure!r}"
        check_value(self.n_masks, name, [Interval(int, 1, most)])
        check_value(self.random_state, "random_state", ["random_state"])

    def __call__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: object = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score a fitted denoiser on noisy frames.

        Parameters
        ----------
        estimator : object
            Its ``predict`` returns denoised frames on the scale of the noisy ones.
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.
        y : object
            Not used.
        sample_weight : array-like of shape (n_frames,), optional
            Weight of each frame.

        Returns
        -------
        float
            Minus the estimated mean square error to the true frames, minus the variance of the
            noise; in the frames' unit squared.
        """
        lines = n_dims(X) == 2
        frames = frames_or_lines(X)
        structure = _possible_structure(self.structure, frames.shape[1:])
        generators = list(frame_generators(frames, self.random_state))
        masks = [_masks(frames.shape[1:], structure, self.n_masks, rng) for rng in generators]
        shifts = [_shift(frames.shape[1:], rng) for rng in generators]

        def denoise(stack: Float32Array) -> Float64Array:
            return predicted_frames(estimator, stack[:, 0] if lines else stack, frames.shape)

        noisy = frames.astype(float)
        denoised = denoise(frames)
        penalties = []
        for hidden in (np.stack(turn) for turn in zip(*masks, strict=True)):
            filled, own = _refill(noisy, hidden, structure, shifts)
            change = denoised - denoise(np.where(hidden, filled, noisy).astype(np.float32))
            penalties.append((change * own * hidden).sum((1, 2)) / hidden.sum((1, 2)))
        error = ((denoised - noisy) ** 2).mean((1, 2)) + 2 * np.mean(penalties, axis=0)
        return -float(np.average(error, weights=check_weights(sample_weight, len(error))))


blind_spot_scorer = BlindSpotScorer()


def _possible_structure(structure: Structure, shape: tuple[int, ...]) -> Structure:
    """Return the structure to hide in frames of a shape: in a line, pixels are columns."""
    height, width = shape
    if structure == "pixel" and min(shape) == 1:
        structure = "column" if height == 1 else "row"
    if {"pixel": min(shape), "row": height, "column": width}[structure] < 2:
        raise ValueError(
            f"X has frames of shape {shape}, in which a {structure} has no neighbour to replace "
            f"it; pass larger frames."
        )
    return structure


def _kernels(structure: Structure) -> tuple[Float64Array, Float64Array]:
    """Return the neighbours' weights for two predictions, on a grid of 5 x 5 px or 5 px."""
    if structure == "pixel":
        return _CROSS / _CROSS.sum(), np.pad(_DIAGONAL / _DIAGONAL.sum(), 1)
    along = _ALONG / _ALONG.sum()
    weights = along if structure == "column" else along.T
    return weights, weights


def _refill(
    noisy: Float64Array, hidden: NDArray[np.bool_], structure: Structure, shifts: list[_Shift]
) -> tuple[Float64Array, Float64Array]:
    """Return replacements for hidden pixels, and the difference of each from its neighbours.

    A replacement is the mean of the neighbours plus noise of a pixel's strength taken from another
    place: a smooth value would change how denoisers such as the median treat the neighbours. If
    both predictions share their noise, the difference is scaled to that of a pixel.
    """
    first, second = _kernels(structure)
    predicted, variance = _predict(noisy, ~hidden, second)
    everywhere, other_variance = _predict(noisy, np.ones_like(hidden), second)
    noise = (noisy - everywhere) * np.sqrt((1 - other_variance).clip(0) / (1 + other_variance))
    noise = np.stack([np.roll(a, shift, (0, 1)) for a, shift in zip(noise, shifts, strict=True)])
    own = noisy - _predict(noisy, ~hidden, first)[0]
    return predicted + noise, own / (1 + variance) if first is second else own


def _predict(
    noisy: Float64Array, visible: NDArray[np.bool_], weights: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Predict each pixel from its visible neighbours within the frame.

    Also returns the variance of the prediction, relative to that of a pixel.
    """
    total, weight, square = (
        ndimage.correlate(values, kernel[np.newaxis], mode="constant")
        for values, kernel in (
            (noisy * visible, weights),
            (visible.astype(float), weights),
            (visible.astype(float), weights**2),
        )
    )
    # A visible pixel may have no visible neighbour; its prediction is not used.
    weight[weight < 1e-9] = np.inf
    return total / weight, square / weight**2


def _shift(shape: tuple[int, ...], generator: np.random.Generator) -> _Shift:
    """Draw the place from which noise is taken: beyond the neighbours, but in similar specimen."""
    down, right = (
        int(generator.choice([-1, 1]) * generator.integers(3, min(8, side // 2 + 1)))
        if side >= 6
        else side // 2
        for side in shape
    )
    return down, right


def _masks(
    shape: tuple[int, ...], structure: Structure, n_masks: int, generator: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Generate masks of every fourth pixel, line or column."""
    periods = [min(4, side) for side in shape]
    if structure == "row":
        periods[1] = 1
    elif structure == "column":
        periods[0] = 1
    starts = generator.permutation(periods[0] * periods[1])
    for turn in range(n_masks):
        row, column = divmod(int(starts[turn % len(starts)]), periods[1])
        hidden = np.zeros(shape, dtype=bool)
        hidden[row :: periods[0], column :: periods[1]] = True
        yield hidden
