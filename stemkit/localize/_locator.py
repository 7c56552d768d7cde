"""AtomLocator: a table of atoms from a stack of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._arrays import as_array
from .._constraints import Constraints, Interval, Options, check_parameters, check_value
from .._missing import Mask
from .._noise_spectrum import shares_noise
from .._validation import BAD_OR_MISSING, BadOrMissing, check_masked_stack
from .._warnings import warn_caller
from ..exceptions import OutOfDomainWarning
from ..io._conversion import calibration_of
from ..metrics import atom_score
from ..metrics._localization import TOLERANCE
from ._peaks import find_spots, guess_sigma, scales
from ._polarity import choose_polarity
from ._search import SIGNIFICANCE, center, fit_brightest, like, locate
from ._sparse import (
    LEAST_CLEARNESS,
    LEAST_MAXIMA,
    LocalThreshold,
    examine,
    find_few,
    maxima,
    significance,
    size_of_few,
    split,
)
from ._tables import add_nm, table_of_frames
from ._texture import background_amplitude, most_crowded, noise_amplitude
from ._windows import Atoms, Float64Array

if TYPE_CHECKING:
    from sklearn.utils import Tags


# If the background varies by this many times the white noise, it is a film with a texture of its
# own. Atoms that hide each other in noisy crowds leave up to 1.25 times the white noise.
_TEXTURED = 1.5
# Minimum amplitude relative to the atoms' median: without noise, every misfit would be an atom.
_FAINTEST = 0.05
# Number of frames from which the size is learned, evenly spaced in the stack.
_MAX_FRAMES = 4
_DEFAULT_SIGMA = 1.5
# Share of the local threshold that the amplitude of an atom on a film must have after the fit.
_SHARE_ON_FILM = 0.5

# Least variation of the background, in amplitudes of the atoms, at which shared noise matters.
_VARIED = 0.1
_SIGNS: dict[str, np.float32] = {"bright": np.float32(1), "dark": np.float32(-1)}

COLUMNS = [
    "frame",
    "y",
    "x",
    "amplitude",
    "sigma",
    "background",
    "y_err",
    "x_err",
    "amplitude_err",
    "sigma_err",
    "background_err",
]


class AtomLocator(BaseEstimator):
    """Find atoms, and fit each with a Gaussian on a local background.

    Candidates are the maxima of a Laplacian of Gaussian. They are fitted by least squares, weighted
    by the noise of the frame, overlapping neighbours together; then the residual is searched for
    atoms that were hidden by a brighter neighbour, and all are fitted again.

    Parameters
    ----------
    sigma : float, optional
        Expected standard deviation of an atom, in px. By default ``fit`` learns it.
    threshold : float, optional
        Minimum amplitude of an atom, or depth of a dark one, in the frames' unit. By default
        ``fit`` learns it: 4 times the standard deviation of an atom's amplitude due to noise or to
        the texture of a supporting film, but at least 5 % of the atoms' median amplitude. Where
        atoms are few among maxima of noise or of a film, see the notes, it varies over a frame.
    polarity : {"auto", "bright", "dark"}, default="auto"
        Whether atoms are brighter or darker than what surrounds them, as in dark field or in bright
        field. By default ``fit`` takes them to be bright unless dark spots are clearly stronger,
        which it tells with a :class:`~stemkit.exceptions.PolarityWarning`.
    n_jobs : int, optional
        Number of frames processed at a time, as for joblib: None is 1, -1 all cores.
    bad_pixels : {"repair", "mask"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. Parts that were not
        recorded or are masked, of 5 x 5 px and more, have no atoms and no weight in the fit of
        those beside them. With "mask" none of these pixels has a weight, and single ones may lie on
        an atom. With None, frames are used as they are, and NaN is an error.

    Attributes
    ----------
    sigma_ : float
        Expected standard deviation of an atom, in px.
    threshold_ : float
        Minimum amplitude of an atom; where it varies over a frame, its median.
    polarity_ : {"bright", "dark"}
        Which atoms are found.
    frame_shape_ : tuple of int
        Shape (H, W) of the frames given to ``fit``, or (W,) of one-line frames.
    n_features_in_ : int
        W, if ``fit`` was given a stack (n_lines, W) of one-line frames.

    Notes
    -----
    If the maxima of a frame are mostly those of noise or of a supporting film, their heights in
    units of the local spread of the filtered frame follow a law, which is fitted to their bulk.
    Atoms are those above the height from which most maxima exceed the law. Their size is that of
    the mean of all atoms, at the width of the filter that tells them best. Films whose own grains
    are much brighter than their gaps are dark have grains that are taken for atoms.

    Errors are those of the fit: the noise is assumed to be independent between pixels, with a
    variance that grows linearly with the signal and is measured on the residual. The prior of an
    atom's sigma has the mean ``sigma_`` and a standard deviation of 15 % of it. The errors of atoms
    that are not Gaussian, or nearer to each other than about 2.5 sigma, are too small.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.localize import AtomLocator
    >>> y, x = np.indices((32, 32))
    >>> frame = 50 + 200 * np.exp(-((y - 10.3) ** 2 + (x - 20.6) ** 2) / (2 * 1.5**2))
    >>> frame += np.random.default_rng(0).normal(0, 5, frame.shape)
    >>> atoms = AtomLocator().fit([frame]).predict([frame])
    >>> atoms[["y", "x", "amplitude"]].round(1).to_numpy().tolist()
    [[10.3, 20.6, 201.1]]

    Compare with known positions:

    >>> AtomLocator().fit([frame]).score([frame], [[10.3, 20.6]])
    1.0
    """

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "sigma": [Interval(float, 0.1, 200, unit="px"), None],
        "threshold": [Interval(float, 0, None, closed="neither"), None],
        "polarity": [Options("auto", *_SIGNS)],
        "n_jobs": [Interval(int, 1, 10_000), Interval(int, -10_000, -1), None],
        "bad_pixels": BAD_OR_MISSING,
    }

    def __init__(
        self,
        *,
        sigma: float | None = None,
        threshold: float | None = None,
        polarity: Literal["auto", "bright", "dark"] = "auto",
        n_jobs: int | None = None,
        bad_pixels: BadOrMissing = "repair",
    ) -> None:
        self.sigma = sigma
        self.threshold = threshold
        self.polarity = polarity
        self.n_jobs = n_jobs
        self.bad_pixels = bad_pixels

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn the size of atoms and the amplitude that distinguishes them from noise.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W)
            Frames with atoms. A 2-D array is a stack of one-line frames.
        y : None, optional
            Not used.

        Returns
        -------
        AtomLocator
            The locator itself.

        Raises
        ------
        ValueError
            If `X` is not a stack of finite numbers, or a parameter is out of its range.
        """
        check_parameters(self)
        stack, _, missing = check_masked_stack(X, self, reset=True)
        chosen = np.unique(np.linspace(0, len(stack) - 1, _MAX_FRAMES).round().astype(int))
        frames = _masked(stack[chosen], None if missing is None else missing[chosen])
        polarities = list(_SIGNS) if self.polarity == "auto" else [self.polarity]
        signs = [float(_SIGNS[polarity]) for polarity in polarities]
        found = find_spots(frames, 1.5 * SIGNIFICANCE, self.n_jobs, signs=signs)
        spots = dict(zip(polarities, found, strict=True))
        self.polarity_ = self.polarity
        if self.polarity == "auto":
            self.polarity_ = choose_polarity(frames, spots["bright"], spots["dark"])
        guess = guess_sigma(spots[self.polarity_]) or _DEFAULT_SIGMA
        sign = _SIGNS[self.polarity_]
        frames = [like(frame, sign * np.ma.getdata(frame)) for frame in frames]
        self._local: LocalThreshold | None = None
        centered = [np.ma.getdata(center(frame)[0]) for frame in frames]
        kinds = [examine(frame, guess) for frame in centered]
        sparse, textured = (np.mean(of_frames) > 0.5 for of_frames in zip(*kinds, strict=True))
        # White noise without atoms tells no size either.
        if sparse and (textured or not _shows_atoms(centered, self.sigma or guess)):
            self._learn_few(centered if textured else [])
        else:
            self._learn(frames, guess)
        if sparse and self.threshold is None:
            self._learn_local_threshold(centered, textured=bool(textured))
        return self

    def _learn_few(self, frames: list[Float64Array]) -> None:
        """Learn from few atoms on a film, or among noise that neighbours share; or from none."""
        sigma = self.sigma
        if sigma is None and frames:
            sigma = size_of_few(frames, scales(frames[0].shape))
        self.sigma_ = float(sigma or _DEFAULT_SIGMA)
        self.threshold_ = float(self.threshold or 0.0)

    def _learn_local_threshold(self, frames: list[Float64Array], *, textured: bool) -> None:
        heights = np.sort(
            np.concatenate([maxima(significance(frame, self.sigma_)[0]) for frame in frames])
        )
        if len(heights) < LEAST_MAXIMA:
            return
        least, _ = split(heights)
        local = LocalThreshold(least, self.threshold_, _SHARE_ON_FILM if textured else 1.0)
        self._local = local
        atoms = heights[heights > least]
        if textured and (len(atoms) == 0 or np.median(atoms) < 1 / _VARIED):
            self._warn_of_shared_noise(frames, found=False)
        limits = [np.median(local.over(frame, self.sigma_)) for frame in frames]
        self.threshold_ = float(np.median(limits))

    def _learn(self, frames: list[NDArray[np.float32]], guess: float) -> None:
        self.sigma_ = float(self.sigma or guess)
        texture, textured, varied = 0.0, False, False
        # Crowded atoms appear smaller than they are until they are fitted. But the grains of a film
        # distort the fits until the threshold excludes them.
        for sweep in range(3):
            noise = noise_amplitude(frames, self.sigma_)
            threshold = SIGNIFICANCE * max(noise, texture)
            atoms = self._each(fit_brightest, frames, self.sigma_, threshold)
            sigma = np.concatenate([a.sigma for a in atoms])
            if len(sigma) == 0:
                break
            amplitudes = np.concatenate([a.amplitude for a in atoms])
            threshold = max(threshold, _FAINTEST * np.median(amplitudes))
            background = background_amplitude(frames, atoms, self.sigma_)
            if sweep == 0 and background > _TEXTURED * noise:
                # A coarse fit misses atoms of a crowd; so all atoms of a part are located.
                parts = [
                    most_crowded(*each, self.sigma_) for each in zip(frames, atoms, strict=True)
                ]
                located = self._each(locate, parts, self.sigma_, threshold)
                textured = background_amplitude(parts, located, self.sigma_) > _TEXTURED * noise
            if textured:
                texture = background
            if self.sigma is None:
                self.sigma_ = float(np.median(sigma).clip(0.75 * guess, 1.33 * guess))
            varied = background > _VARIED * np.median(amplitudes)
        self.threshold_ = float(self.threshold or threshold)
        if varied:
            self._warn_of_shared_noise(frames, found=True)

    def _warn_of_shared_noise(self, frames: Iterable[NDArray], *, found: bool) -> None:
        if self.threshold is None and all(shares_noise(np.ma.getdata(frame)) for frame in frames):
            reason = "that maxima of the noise may be taken for atoms and " if found else "that "
            warn_caller(
                "Neighbouring pixels share noise, as after interpolation, smoothing or by a "
                f"camera's blur, so {reason}errors are "
                "too small; pass the frames as they were recorded, or a threshold.",
                OutOfDomainWarning,
            )

    def predict(self, X: ArrayLike) -> pd.DataFrame:
        """Find the atoms of each frame.

        Parameters
        ----------
        X : FrameStack or array-like of shape (n_frames, H, W)
            Frames.

        Returns
        -------
        DataFrame
            One row for each atom, in the order of frames: ``frame``, counted from 0; ``y`` and
            ``x`` in px; ``amplitude``, negative for dark atoms, and ``background`` in the frames'
            unit; ``sigma`` in px; and
            the standard errors ``y_err``, ``x_err``, ``amplitude_err``, ``sigma_err`` and
            ``background_err``, inf if a frame does not determine a value, such as ``y`` in a line.
            It has no rows if no atom was found.

            If `X` has a pixel size, as a :class:`~stemkit.io.FrameStack` or a signal of HyperSpy
            may, also ``y_nm``, ``x_nm``, ``y_err_nm``, ``x_err_nm`` and ``sigma_nm``, all in nm.
            For oblong pixels, ``sigma_nm`` is the geometric mean of the two directions.

        Raises
        ------
        ValueError
            If `X` is not a stack of finite numbers.
        """
        check_is_fitted(self)
        stack, _, missing = check_masked_stack(X, self, reset=False)
        sign = _SIGNS[self.polarity_]
        frames = _masked(sign * stack, missing)
        found = self._each(locate, frames, self.sigma_, self._local or self.threshold_)
        for atoms in found:
            atoms.amplitude *= sign
            atoms.background *= sign
        tables = [pd.DataFrame({"frame": i, **asdict(atoms)}) for i, atoms in enumerate(found)]
        table = pd.concat(tables, ignore_index=True)[COLUMNS].astype({"frame": np.int64})
        return add_nm(table, calibration_of(X).pixel_size)

    def _each(
        self,
        function: Callable[[NDArray[np.float32], float, Any], Atoms],
        frames: Iterable[NDArray[np.float32]],
        sigma: float,
        threshold: float | LocalThreshold,
    ) -> list[Atoms]:
        return Parallel(n_jobs=self.n_jobs)(
            delayed(function)(frame, sigma, threshold) for frame in frames
        )

    def score(
        self,
        X: ArrayLike,
        y: pd.DataFrame | ArrayLike,
        sample_weight: None = None,
        *,
        tolerance: float = 2.0,
    ) -> float:
        """Return the F1 score of the atoms that are found.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W)
            Frames.
        y : DataFrame, array-like of shape (n_atoms, 2), or list of these
            True positions: columns ``frame``, ``y`` and ``x``; (y, x), all of one frame; or a list
            with the positions in each frame, which grid searches can split as they split `X`.
        sample_weight : None, optional
            Not used.
        tolerance : float, default=2.0
            Largest distance of a match, in px.

        Returns
        -------
        float
            See :func:`stemkit.metrics.atom_score`.

        Raises
        ------
        ValueError
            If `X` is not a stack of finite numbers, or `y` lacks the frames of positions in
            several frames.
        """
        check_value(tolerance, "tolerance", [TOLERANCE])
        y = table_of_frames(y, X)
        found = self.predict(X)
        if not (isinstance(y, pd.DataFrame) and "frame" in y.columns):
            n_frames = len(as_array(X, "X"))
            if n_frames != 1:
                raise ValueError(
                    f"X holds {n_frames} frames, but y has no column 'frame' to assign positions; "
                    f"pass a DataFrame with columns frame, y and x."
                )
            found = found.drop(columns="frame")
        return float(atom_score(y, found, tolerance=tolerance).f1)


def _shows_atoms(frames: list[Float64Array], sigma: float) -> bool:
    return sum(find_few(frame, sigma)[0] for frame in frames) > LEAST_CLEARNESS


def _masked(stack: NDArray[np.float32], missing: Mask | None) -> list[NDArray[np.float32]]:
    """Return the frames of a stack, as masked arrays where they lack data."""
    if missing is None:
        return list(stack)
    pairs = zip(stack, missing, strict=True)
    return [np.ma.MaskedArray(frame, mask) if mask.any() else frame for frame, mask in pairs]
