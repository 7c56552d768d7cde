"""AtomLocator: a table of atoms from a stack of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._arrays import as_array
from .._bad_pixels import fill
from .._constraints import Constraints, Interval, Options, check_parameters, check_value
from .._frame_statistics import DARK, contrast_skewness
from .._missing import Mask, missing_regions
from .._noise_spectrum import shares_noise
from .._validation import BAD_OR_MISSING, BadOrMissing, check_masked_stack
from .._warnings import warn_caller
from ..exceptions import OutOfDomainWarning, PolarityWarning
from ..io._conversion import calibration_of, pixel_sides
from ..metrics import atom_score
from ..metrics._localization import TOLERANCE, check_positions, table_of_positions
from ._fit import fit_atoms, fit_coarsely
from ._peaks import (
    Spots,
    atom_response,
    find_peaks,
    find_spots,
    guess_sigma,
    pixels_with_data,
    response_noise,
    typical_height,
    white_noise,
)
from ._windows import Atoms, Float64Array

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from ..io._frame_stack import PixelSize

# Standard deviations of the noise at which a maximum counts as an atom: white noise reaches it a
# few times in a frame of 256 x 256 px.
_SIGNIFICANCE = 4.0
# If the background varies by this many times the white noise, it is a film with a texture of its
# own. Atoms that hide each other in noisy crowds leave up to 1.25 times the white noise.
_TEXTURED = 1.5
# In sigma: the border that is left out when texture is measured, and the side of the part of a
# frame in which it is measured again.
_MARGIN, _PART = 4.0, 36.0
_ONE_SIGMA = 0.1587  # quantile of a normal distribution at minus one standard deviation
# Minimum amplitude in standard errors.
_MIN_CERTAINTY = 2.0
# Minimum amplitude relative to the atoms' median: without noise, every misfit would be an atom.
_FAINTEST = 0.05
# Maxima below this share of the brightest are left to a later round.
_RELATIVE = 0.4
# Number of fits of a frame, each of which adds atoms found in the residual of the one before.
_ROUNDS = 5
# In sigma: nearer to an atom than this, a maximum of the residual is misfit and not a new atom.
_NEW = 1.2
# Number of frames from which the size is learned, evenly spaced in the stack.
_MAX_FRAMES = 4
_DEFAULT_SIGMA = 1.5

# Ratio of the strengths of dark and bright spots above which atoms are dark. Lattices may have
# spots between their atoms that are as strong.
_CLEARLY_DARK = 1.25
_MIN_SIDE = 16
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
        the texture of a supporting film, but at least 5 % of the atoms' median amplitude.
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
        Minimum amplitude of an atom.
    polarity_ : {"bright", "dark"}
        Which atoms are found.
    frame_shape_ : tuple of int
        Shape (H, W) of the frames given to ``fit``, or (W,) of one-line frames.
    n_features_in_ : int
        W, if ``fit`` was given a stack (n_lines, W) of one-line frames.

    Notes
    -----
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
        found = find_spots(frames, 1.5 * _SIGNIFICANCE, self.n_jobs, signs=signs)
        spots = dict(zip(polarities, found, strict=True))
        self.polarity_ = self.polarity
        if self.polarity == "auto":
            self.polarity_ = _choose_polarity(frames, spots["bright"], spots["dark"])
        guess = guess_sigma(spots[self.polarity_]) or _DEFAULT_SIGMA
        sign = _SIGNS[self.polarity_]
        self._learn([_like(frame, sign * np.ma.getdata(frame)) for frame in frames], guess)
        return self

    def _learn(self, frames: list[NDArray[np.float32]], guess: float) -> None:
        self.sigma_ = float(self.sigma or guess)
        texture, textured, varied = 0.0, False, False
        # Crowded atoms appear smaller than they are until they are fitted. But the grains of a film
        # distort the fits until the threshold excludes them.
        for sweep in range(3):
            noise = _noise_amplitude(frames, self.sigma_)
            threshold = _SIGNIFICANCE * max(noise, texture)
            atoms = self._each(_fit_brightest, frames, self.sigma_, threshold)
            sigma = np.concatenate([a.sigma for a in atoms])
            if len(sigma) == 0:
                break
            amplitudes = np.concatenate([a.amplitude for a in atoms])
            threshold = max(threshold, _FAINTEST * np.median(amplitudes))
            background = _background_amplitude(frames, atoms, self.sigma_)
            if sweep == 0 and background > _TEXTURED * noise:
                # A coarse fit misses atoms of a crowd; so all atoms of a part are located.
                parts = [
                    _most_crowded(*each, self.sigma_) for each in zip(frames, atoms, strict=True)
                ]
                located = self._each(_locate, parts, self.sigma_, threshold)
                textured = _background_amplitude(parts, located, self.sigma_) > _TEXTURED * noise
            if textured:
                texture = background
            if self.sigma is None:
                self.sigma_ = float(np.median(sigma).clip(0.75 * guess, 1.33 * guess))
            varied = background > _VARIED * np.median(amplitudes)
        self.threshold_ = float(self.threshold or threshold)
        if (
            varied
            and self.threshold is None
            and all(shares_noise(np.ma.getdata(frame)) for frame in frames)
        ):
            warn_caller(
                "Neighbouring pixels share noise, as after interpolation, smoothing or by a "
                "camera's blur, so that maxima of the noise may be taken for atoms and errors are "
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
        found = self._each(_locate, frames, self.sigma_, self.threshold_)
        for atoms in found:
            atoms.amplitude *= sign
            atoms.background *= sign
        tables = [pd.DataFrame({"frame": i, **asdict(atoms)}) for i, atoms in enumerate(found)]
        table = pd.concat(tables, ignore_index=True)[COLUMNS].astype({"frame": np.int64})
        return _with_nm(table, calibration_of(X).pixel_size)

    def _each(
        self,
        function: Callable[[NDArray[np.float32], float, float], Atoms],
        frames: Iterable[NDArray[np.float32]],
        sigma: float,
        threshold: float,
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
        y = _table_of_frames(y, X)
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


def _with_nm(table: pd.DataFrame, pixel_size: PixelSize | None) -> pd.DataFrame:
    """Return a table of atoms with columns in nm, if the pixel size is known."""
    if pixel_size is None:
        return table
    y, x = pixel_sides(pixel_size)
    sides = {"y": y, "x": x, "y_err": y, "x_err": x, "sigma": np.sqrt(y * x)}
    return table.assign(**{f"{name}_nm": table[name] * side for name, side in sides.items()})


def _table_of_frames(y: Any, X: ArrayLike) -> Any:
    """Return a table of positions with their frame if y is a list with those of each frame."""
    is_list = isinstance(y, list | tuple) or (isinstance(y, np.ndarray) and y.dtype == object)
    if not is_list or not len(y) or not all(np.ndim(places) == 2 for places in y):
        return y
    n_frames = len(as_array(X, "X"))
    if len(y) != n_frames:
        raise ValueError(
            f"y lists the positions in {len(y)} frames, but X holds {n_frames}; pass one array of "
            f"(y, x) for each."
        )
    return table_of_positions([check_positions(p, f"y[{i}]")[0] for i, p in enumerate(y)])


def _masked(stack: NDArray[np.float32], missing: Mask | None) -> list[NDArray[np.float32]]:
    """Return the frames of a stack, as masked arrays where they lack data."""
    if missing is None:
        return list(stack)
    pairs = zip(stack, missing, strict=True)
    return [np.ma.MaskedArray(frame, mask) if mask.any() else frame for frame, mask in pairs]


def _choose_polarity(
    frames: list[NDArray[np.float32]], bright: list[Spots], dark: list[Spots]
) -> Literal["bright", "dark"]:
    """Return "dark" if dark spots are much stronger than bright ones, with a warning."""
    height, depth = typical_height(bright), typical_height(dark)
    if min(frames[0].shape) < _MIN_SIDE or depth <= _CLEARLY_DARK * height:
        return "bright"
    # Beside few bright spots there are dark places, but the frame has more bright extremes.
    sigma = guess_sigma(dark) or _DEFAULT_SIGMA
    if np.median([contrast_skewness(np.ma.getdata(f), sigma) for f in frames]) > DARK:
        return "bright"
    reason = (
        f"dark spots are {depth / height:.1f} times as strong as bright ones"
        if height
        else "there are no bright spots"
    )
    warn_caller(
        f"Atoms are taken to be dark, since {reason}; pass polarity='dark', or 'bright' if that is "
        f"wrong.",
        PolarityWarning,
    )
    return "dark"


def _noise_amplitude(frames: Iterable[NDArray[np.float32]], sigma: float) -> float:
    """Return the standard deviation of an atom's amplitude due to white noise."""
    noise = np.median([white_noise(frame.astype(float)) for frame in frames])
    return float(noise) * response_noise(sigma)


def _background_amplitude(
    frames: Iterable[NDArray[np.float32]], atoms: list[Atoms], sigma: float
) -> float:
    """Return the standard deviation of an atom's amplitude due to the background and its noise.

    Grains of a film are bright and dark alike. It is measured on the dark ones, since bright ones
    may still count as atoms.
    """
    depths = []
    for frame, known in zip(frames, atoms, strict=True):
        pixels, _ = _center(frame)
        response = atom_response(_unexplained(pixels, known), sigma)
        regions = _regions(frame)
        # Without the border, where atoms outside the frame are missing.
        margins = [min(round(_MARGIN * sigma), length // 4) for length in response.shape]
        inside = tuple(slice(m, n - m) for m, n in zip(margins, response.shape, strict=True))
        inner = response[inside]
        if regions is not None:
            near = ndimage.distance_transform_edt(~regions) <= _MARGIN * sigma
            inner = response[inside][~near[inside]]
            if not inner.size:
                continue
        depths.append(np.median(inner) - np.quantile(inner, _ONE_SIGMA))
    return float(np.median(depths)) if depths else 0.0


def _most_crowded(frame: NDArray[np.float32], atoms: Atoms, sigma: float) -> NDArray[np.float32]:
    """Return the part of a frame with the most atoms, about a hundred in a crowd."""
    sides = [min(round(_PART * sigma), length) for length in frame.shape]
    places = np.rint([atoms.y, atoms.x]).astype(int)
    count = np.zeros(frame.shape)
    np.add.at(count, tuple(places.clip(0, np.array(frame.shape)[:, np.newaxis] - 1)), 1)
    center = np.unravel_index(np.argmax(ndimage.uniform_filter(count, sides)), frame.shape)
    firsts = [
        min(max(c - side // 2, 0), length - side)
        for c, side, length in zip(center, sides, frame.shape, strict=True)
    ]
    return frame[tuple(slice(f, f + side) for f, side in zip(firsts, sides, strict=True))]


def _center(frame: NDArray[np.float32]) -> tuple[Float64Array, float]:
    """Return the frame minus its median, to keep the precision of squares, and the median."""
    values = np.ma.getdata(frame).astype(float)
    offset = float(np.median(values))
    return _like(frame, values - offset), offset


def _like(frame: NDArray, values: NDArray) -> NDArray:
    """Return values with the mask of a frame, whose own arithmetic leaves masked values out."""
    return np.ma.MaskedArray(values, frame.mask) if isinstance(frame, np.ma.MaskedArray) else values


def _unexplained(pixels: Float64Array, atoms: Atoms) -> Float64Array:
    """Return a frame minus its atoms; where it lacks data, what its neighbours have left."""
    residual = np.ma.getdata(pixels) - atoms.draw(pixels.shape)
    known = pixels_with_data(pixels)
    return residual if known is None else fill(residual.astype(np.float32), ~known).astype(float)


def _regions(frame: NDArray[np.float32]) -> Mask | None:
    """Return the parts of a frame without data, which are masked; None if there are none."""
    known = pixels_with_data(frame)
    regions = None if known is None else missing_regions(~known)
    return regions if regions is not None and regions.any() else None


def _near_data(peaks: NDArray, regions: Mask | None, sigma: float) -> NDArray:
    """Return the places (n, 2) that are at most one sigma from data, whose atoms are seen there."""
    if regions is None:
        return peaks
    return peaks[ndimage.distance_transform_edt(regions)[tuple(peaks.T)] <= sigma]


def _fit_brightest(frame: NDArray[np.float32], sigma: float, threshold: float) -> Atoms:
    """Fit the brightest atoms of a frame coarsely."""
    pixels, _ = _center(frame)
    regions = _regions(frame)
    response = atom_response(np.ma.getdata(pixels), sigma)
    peaks = find_peaks(response, max(threshold, _RELATIVE * np.quantile(response, 0.999)))
    peaks = _near_data(peaks, regions, sigma)
    start = Atoms.at(peaks, response[tuple(peaks.T)], sigma)
    atoms, _ = fit_coarsely(pixels, start, sigma)
    return atoms.take(_significant(atoms, threshold) & _inside(atoms, pixels.shape, regions))


def _locate(frame: NDArray[np.float32], sigma: float, threshold: float) -> Atoms:
    """Find and fit the atoms of one frame."""
    pixels, offset = _center(frame)
    regions = _regions(frame)
    residual, noise = np.ma.getdata(pixels), np.zeros(pixels.shape)
    atoms = Atoms.at(np.empty((0, 2)), np.empty(0), sigma)
    for _ in range(_ROUNDS):
        response = atom_response(residual, sigma)
        peaks = _near_data(find_peaks(response, threshold), regions, sigma)
        height = response[tuple(peaks.T)]
        # Bright areas have more noise.
        new = height > _SIGNIFICANCE * noise[tuple(peaks.T)]
        if len(atoms):
            known = np.stack([atoms.y, atoms.x], axis=1)
            new &= KDTree(known).query(peaks)[0] > _NEW * sigma
            # Only the brightest, since the misfit of neighbours around a missed atom has maxima.
            new &= height >= _RELATIVE * height[new].max(initial=0.0)
        if not new.any():
            break
        candidates = Atoms.at(peaks[new], height[new], sigma)
        atoms, variance = fit_coarsely(pixels, atoms.join(candidates), sigma)
        atoms = atoms.take(_significant(atoms, threshold))
        residual = _unexplained(pixels, atoms)
        noise = np.sqrt(ndimage.gaussian_filter(variance, sigma)) * response_noise(sigma)
    for _ in range(_ROUNDS):
        atoms = fit_atoms(pixels, atoms, sigma)
        kept = _significant(atoms, threshold) & ~_merged(atoms, sigma)
        atoms = atoms.take(kept)
        if kept.all():
            break
    # Atoms just outside the border were kept until here, since they contribute to the frame.
    atoms = atoms.take(_inside(atoms, pixels.shape, regions))
    atoms.background += offset
    return atoms


def _significant(atoms: Atoms, threshold: float) -> NDArray[np.bool_]:
    certain = atoms.amplitude >= _MIN_CERTAINTY * atoms.amplitude_err
    return certain & (atoms.amplitude >= threshold)


def _merged(atoms: Atoms, sigma: float) -> NDArray[np.bool_]:
    """Return a mask of atoms that have moved onto a brighter one."""
    pairs = KDTree(np.stack([atoms.y, atoms.x], axis=1)).query_pairs(
        _NEW * sigma, output_type="ndarray"
    )
    fainter = np.zeros(len(atoms), dtype=bool)
    fainter[pairs[np.arange(len(pairs)), np.argmin(atoms.amplitude[pairs], axis=1)]] = True
    return fainter


def _inside(atoms: Atoms, shape: tuple[int, ...], regions: Mask | None = None) -> NDArray[np.bool_]:
    """Return a mask of atoms in a frame, and outside of its parts without data."""
    height, width = shape
    inside = (np.abs(atoms.y - (height - 1) / 2) <= height / 2) & (
        np.abs(atoms.x - (width - 1) / 2) <= width / 2
    )
    if regions is not None:
        place = np.rint([atoms.y, atoms.x]).astype(int)
        place = place.clip(0, np.array(shape)[:, np.newaxis] - 1)
        inside &= ~regions[tuple(place)]
    return inside
