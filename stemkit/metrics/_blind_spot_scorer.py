"""How far a denoiser is from the truth, told from noisy frames alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .._random import frame_generators
from .._validation import Float32Array, check_weights, n_dims
from ._stacks import Float64Array, frames_or_lines

Structure = Literal["pixel", "row", "column"]
_Shift = tuple[int, int]

# Two guesses at a pixel, of different neighbours, so that their noise is independent. The first is
# right even where the frame bends, which is enough: only the product of their errors counts. Lines
# have too few neighbours for two guesses, and take one that is right where the frame bends.
_CROSS = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 4, 0, 0], [-1, 4, 0, 4, -1], [0, 0, 4, 0, 0], [0, 0, -1, 0, 0]]
)
_DIAGONAL = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]])
_ALONG = np.array([[-1, 4, 0, 4, -1]])


@dataclass(frozen=True, kw_only=True)
class BlindSpotScorer:
    r"""Score a denoiser without truth, by hiding pixels from it; greater is better.

    A denoiser that only copies its input is as far from it as can be: not at all. What that
    hides is how much of each pixel's own noise comes through. It is found by hiding pixels: each
    in turn is replaced with the mean of its neighbours and noise from elsewhere, and what that
    changes in the output at the pixel is multiplied with how the pixel differs from its neighbours.
    The score is minus

    .. math:: \frac1N \sum_i (\hat x_i - y_i)^2 +
              2\, \big\langle (\hat x_i - \hat x_i^{\text{hidden}})(y_i - \bar y_i) \big\rangle

    which on average is the mean square error to the truth, plus the variance of the noise, which is
    the same for all denoisers [1]_. It needs no model of the noise, and holds for any denoiser.

    Parameters
    ----------
    structure : {"pixel", "row", "column"}, default="pixel"
        What is hidden at once: single pixels, where noise is independent between pixels; whole
        columns or rows, where the pixels of one share noise, as with a camera's column noise, the
        jitter of scanned rows or a detector's afterglow along them.
    n_masks : int, default=4
        How often each frame is denoised with pixels hidden, 1 to 16 (1 to 4 for rows and columns);
        every time a 16th of the pixels (a quarter of the lines) is.
    random_state : int, default=0
        Which pixels are hidden of which frame. A frame's share of the score depends on this and on
        the frame alone, so it is the same in whatever order, subset or fold.

    See Also
    --------
    blind_spot_scorer : One with these defaults, ready to be passed as ``scoring``.
    SplitScorer : Needs two exposures or the noise's law, and sees more.

    Notes
    -----
    What it can't see:

    - *Noise that neighbours share.* What two pixels have in common is taken for specimen: with
      column noise, a denoiser is praised for keeping the columns. Hide columns then, or take the
      column noise off first. Denoisers that average over less than the length over which noise is
      correlated get scores that are too good.
    - *Details finer than its neighbours can tell*: where the frame bends within 2 px, as at lone
      bright pixels, they count as noise. Atoms should be 1.3 px wide (standard deviation) or more;
      with rows and columns hidden, which leaves neighbours on two sides only, wider.
    - *Another target*: a denoiser that draws dots instead of the clean image is judged by how
      little its dots look like the frame.
    - *Invention that is rare*: an atom made up changes the mean square error by very little.

    Hiding pixels and looking at the error at these alone, as [2]_ and
    ``skimage.restoration.calibrate_denoiser`` do, judges the denoiser that knows no pixel's own
    value; its ranks are others'.

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
        if self.structure not in get_args(Structure):
            raise ValueError(
                f"structure must be one of {get_args(Structure)}; got {self.structure!r}."
            )
        most = 16 if self.structure == "pixel" else 4
        if not 1 <= self.n_masks <= most:
            raise ValueError(
                f"n_masks must lie between 1 and {most} for structure={self.structure!r}; got "
                f"{self.n_masks!r}."
            )

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
            Its ``predict`` gives denoised frames on the scale of the noisy ones.
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.
        y : object
            Not used.
        sample_weight : array-like of shape (n_frames,), optional
            How much each frame counts.

        Returns
        -------
        float
            Minus the mean square error to the truth, as far as it can be told, minus the noise's
            variance; in the frames' unit squared.
        """
        lines = n_dims(X) == 2
        frames = frames_or_lines(X)
        structure = _possible_structure(self.structure, frames.shape[1:])
        generators = list(frame_generators(frames, self.random_state))
        masks = [_masks(frames.shape[1:], structure, self.n_masks, rng) for rng in generators]
        shifts = [_shift(frames.shape[1:], rng) for rng in generators]

        def denoise(stack: Float32Array) -> Float64Array:
            denoised = np.asarray(estimator.predict(stack[:, 0] if lines else stack), dtype=float)
            return denoised.reshape(frames.shape)

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
    """Return what can be hidden of frames of a shape: in a line, pixels are columns."""
    height, width = shape
    if structure == "pixel" and min(shape) == 1:
        structure = "column" if height == 1 else "row"
    if {"pixel": min(shape), "row": height, "column": width}[structure] < 2:
        raise ValueError(
            f"X has frames of shape {shape}, in which a {structure} has no neighbour to be "
            f"replaced with; pass larger frames."
        )
    return structure


def _guesses(structure: Structure) -> tuple[Float64Array, Float64Array]:
    """Return the weights of neighbours for two guesses, on one grid of 5 x 5 px or 5 px."""
    if structure == "pixel":
        return _CROSS / _CROSS.sum(), np.pad(_DIAGONAL / _DIAGONAL.sum(), 1)
    along = _ALONG / _ALONG.sum()
    weights = along if structure == "column" else along.T
    return weights, weights


def _refill(
    noisy: Float64Array, hidden: NDArray[np.bool_], structure: Structure, shifts: list[_Shift]
) -> tuple[Float64Array, Float64Array]:
    """Return what to put in the place of hidden pixels, and what is these pixels' own.

    What is put there has a pixel's mean, told by its neighbours, and noise as strong as a pixel's,
    which another place lends: a smooth value would change what denoisers like the median make of
    the neighbours. What is their own is scaled to their noise, where both guesses share some.
    """
    first, second = _guesses(structure)
    guess, share = _guess(noisy, ~hidden, second)
    elsewhere, lent_share = _guess(noisy, np.ones_like(hidden), second)
    lent = (noisy - elsewhere) * np.sqrt((1 - lent_share).clip(0) / (1 + lent_share))
    lent = np.stack([np.roll(a, shift, (0, 1)) for a, shift in zip(lent, shifts, strict=True)])
    own = noisy - _guess(noisy, ~hidden, first)[0]
    return guess + lent, own / (1 + share) if first is second else own


def _guess(
    noisy: Float64Array, seen: NDArray[np.bool_], weights: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Guess each pixel from its neighbours, as far as they lie in the frame and are seen.

    Also returns the variance of the guess in shares of a pixel's.
    """
    total, weight, square = (
        ndimage.correlate(values, kernel[np.newaxis], mode="constant")
        for values, kernel in (
            (noisy * seen, weights),
            (seen.astype(float), weights),
            (seen.astype(float), weights**2),
        )
    )
    # Pixels that are seen may have no neighbour that is; nothing is asked about them.
    weight[weight < 1e-9] = np.inf
    return total / weight, square / weight**2


def _shift(shape: tuple[int, ...], generator: np.random.Generator) -> _Shift:
    """Say from where to lend noise: from beyond the neighbours, but near enough to be alike."""
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
    """Give masks of every fourth pixel, line or column, from the frame's own generator."""
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
