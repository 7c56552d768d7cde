"""AtomLocator: a table of atoms from a stack of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._validation import check_stack
from ..metrics import atom_score
from ._fit import fit_atoms, sketch_atoms
from ._peaks import atom_response, find_peaks, guess_sigma, response_noise, white_noise
from ._windows import Atoms, Float64Array

if TYPE_CHECKING:
    from sklearn.utils import Tags

# What stands out of the noise by so many standard deviations is an atom: white noise reaches it a
# few times in a frame of 256 x 256 px.
_SIGNIFICANCE = 4.0
# Where what lies beside atoms varies by so many times what white noise makes, they lie on a film
# with a texture of its own. Atoms that hide each other in noisy crowds leave up to 1.25 times that.
_TEXTURED = 1.5
# What tells of it keeps clear of the border, and is looked at again in a part of a frame. In sigma.
_MARGIN, _PART = 4.0, 36.0
_ONE_SIGMA = 0.1587  # of a normal law, what lies lower by more than a standard deviation
# An atom whose amplitude is less certain than this is none.
_MIN_CERTAINTY = 2.0
# Nor is one that is fainter than this share of the others' median: without noise, the least misfit
# would be an atom.
_FAINTEST = 0.05
# What is at least this share of the brightest is looked at first.
_RELATIVE = 0.4
# Fits of a frame, each with what the one before left unexplained.
_ROUNDS = 5
# Nearer than this to an atom, in units of its sigma, what is left over is misfit and no new atom.
_NEW = 1.2
# Frames that the size is learned from, taken evenly from the stack.
_MAX_FRAMES = 4
_DEFAULT_SIGMA = 1.5

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
    """Find bright atoms, and fit each with a Gaussian on a local background.

    Maxima of a Laplacian of Gaussian are the candidates. Then all are fitted by least squares
    weighted with the noise that the frame shows, overlapping neighbours together; what is left over
    is searched for atoms that a brighter neighbour hid, and all are fitted again.

    Parameters
    ----------
    sigma : float, optional
        Expected standard deviation of an atom, in px. By default ``fit`` learns it.
    threshold : float, optional
        Smallest amplitude of an atom, in the frames' unit. By default ``fit`` learns it: 4 times
        the standard deviation that noise, or the texture of a supporting film, gives the amplitude
        of an atom of this size, but no less than 5 % of the atoms' median amplitude.
    n_jobs : int, optional
        Frames that are worked on at a time, as for joblib: None is 1, -1 all cores.

    Attributes
    ----------
    sigma_ : float
        Expected standard deviation of an atom, in px.
    threshold_ : float
        Smallest amplitude of an atom.
    frame_shape_ : tuple of int
        Shape (H, W) of the frames that ``fit`` has seen, or (W,) of one-line frames.
    n_features_in_ : int
        W, where ``fit`` has seen a stack (n_lines, W) of one-line frames.

    Notes
    -----
    Errors are those of the fit: the noise is taken for independent between pixels, with a variance
    that grows linearly with the signal and is measured on what the fit leaves. An atom's sigma is
    believed to lie near ``sigma_``, to 15 % of it, as far as the frame does not tell better. Atoms
    that are not Gaussian, or nearer to each other than about 2.5 sigma, are fitted less well than
    the errors say.

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

    Against the truth, where that is known:

    >>> AtomLocator().fit([frame]).score([frame], [[10.3, 20.6]])
    1.0
    """

    def __init__(
        self,
        *,
        sigma: float | None = None,
        threshold: float | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.sigma = sigma
        self.threshold = threshold
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn from frames how large atoms are, and how bright one must be to be told from noise.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W)
            Frames with bright atoms. 2-D is a stack of one-line frames.
        y : None, optional
            Not used.

        Returns
        -------
        AtomLocator
            The locator itself.

        Raises
        ------
        ValueError
            Where ``X`` is not a stack of finite numbers, or a parameter is not positive.
        """
        for name in ("sigma", "threshold"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"{name} must be positive and finite, or None; got {value!r}.")
        frames, _ = check_stack(X, self, reset=True)
        chosen = np.unique(np.linspace(0, len(frames) - 1, _MAX_FRAMES).round().astype(int))
        self._learn(frames[chosen])
        return self

    def _learn(self, frames: NDArray[np.float32]) -> None:
        guess = guess_sigma(frames, 1.5 * _SIGNIFICANCE, self.n_jobs) or _DEFAULT_SIGMA
        self.sigma_ = float(self.sigma or guess)
        texture, textured = 0.0, False
        # Crowded atoms look smaller than they are, until they are fitted. But a film's grains can
        # draw the fits away, until they are known for what they are.
        for sweep in range(3):
            noise = _noise_amplitude(frames, self.sigma_)
            least = _SIGNIFICANCE * max(noise, texture)
            atoms = self._each(_sketch, frames, self.sigma_, least)
            sigma = np.concatenate([a.sigma for a in atoms])
            if len(sigma) == 0:
                break
            least = max(least, _FAINTEST * np.median(np.concatenate([a.amplitude for a in atoms])))
            beside = _beside(frames, atoms, self.sigma_)
            if sweep == 0 and beside > _TEXTURED * noise:
                # A sketch misses atoms of a crowd, and misfits others; all are found in a part.
                parts = [_crowded(*each, self.sigma_) for each in zip(frames, atoms, strict=True)]
                located = self._each(_locate, parts, self.sigma_, least)
                textured = _beside(parts, located, self.sigma_) > _TEXTURED * noise
            if textured:
                texture = beside
            if self.sigma is None:
                self.sigma_ = float(np.median(sigma).clip(0.75 * guess, 1.33 * guess))
        self.threshold_ = float(self.threshold or least)

    def predict(self, X: ArrayLike) -> pd.DataFrame:
        """Find the atoms of each frame.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W)
            Frames.

        Returns
        -------
        DataFrame
            One row an atom, in the order of frames: ``frame``, counted from 0; ``y`` and ``x`` in
            px; ``amplitude`` and ``background`` in the frames' unit; ``sigma`` in px; and the
            standard errors ``y_err``, ``x_err``, ``amplitude_err``, ``sigma_err`` and
            ``background_err``. It has no rows where no atom was found.

        Raises
        ------
        ValueError
            Where ``X`` is not a stack of finite numbers.
        """
        check_is_fitted(self)
        frames, _ = check_stack(X, self, reset=False)
        found = self._each(_locate, frames, self.sigma_, self.threshold_)
        tables = [pd.DataFrame({"frame": i, **asdict(atoms)}) for i, atoms in enumerate(found)]
        return pd.concat(tables, ignore_index=True)[COLUMNS].astype({"frame": np.int64})

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
        y : DataFrame, or array-like of shape (n_atoms, 2)
            True positions: columns ``frame``, ``y`` and ``x``; or (y, x), all of one frame.
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
            Where ``X`` is not a stack of finite numbers, or ``y`` doesn't say which frame a place
            is of.
        """
        found = self.predict(X)
        if not (isinstance(y, pd.DataFrame) and "frame" in y.columns):
            n_frames = np.shape(X)[0]
            if n_frames != 1:
                raise ValueError(
                    f"X holds {n_frames} frames, but y does not say which each position is of; "
                    f"pass a DataFrame with columns frame, y and x."
                )
            found = found.drop(columns="frame")
        return float(atom_score(y, found, tolerance=tolerance).f1)


def _noise_amplitude(frames: NDArray[np.float32], sigma: float) -> float:
    """Return the standard deviation that white noise gives the amplitude of an atom."""
    noise = np.median([white_noise(frame) for frame in frames.astype(float)])
    return float(noise) * response_noise(sigma)


def _beside(frames: Iterable[NDArray[np.float32]], atoms: list[Atoms], sigma: float) -> float:
    """Return the standard deviation that what lies beside atoms gives the amplitude of an atom.

    A film's grains are bright and dark alike, so the dark ones tell how bright the others are that
    count as atoms as yet. Noise is in it too.
    """
    depths = []
    for frame, known in zip(frames, atoms, strict=True):
        pixels, _ = _center(frame)
        response = atom_response(pixels - known.draw(pixels.shape), sigma)
        # Atoms beyond the border are not known.
        margins = [min(round(_MARGIN * sigma), length // 4) for length in response.shape]
        inner = response[
            tuple(slice(m, n - m) for m, n in zip(margins, response.shape, strict=True))
        ]
        depths.append(np.median(inner) - np.quantile(inner, _ONE_SIGMA))
    return float(np.median(depths))


def _crowded(frame: NDArray[np.float32], atoms: Atoms, sigma: float) -> NDArray[np.float32]:
    """Return the part of a frame with most atoms, of some hundred in a crowd."""
    sides = [min(round(_PART * sigma), length) for length in frame.shape]
    places = np.rint([atoms.y, atoms.x]).astype(int)
    there = np.zeros(frame.shape)
    np.add.at(there, tuple(places.clip(0, np.array(frame.shape)[:, np.newaxis] - 1)), 1)
    center = np.unravel_index(np.argmax(ndimage.uniform_filter(there, sides)), frame.shape)
    firsts = [
        min(max(c - side // 2, 0), length - side)
        for c, side, length in zip(center, sides, frame.shape, strict=True)
    ]
    return frame[tuple(slice(f, f + side) for f, side in zip(firsts, sides, strict=True))]


def _center(frame: NDArray[np.float32]) -> tuple[Float64Array, float]:
    """Return the frame with values near 0, so that squares of large offsets eat no digits."""
    offset = float(np.median(frame))
    return frame.astype(float) - offset, offset


def _sketch(frame: NDArray[np.float32], sigma: float, threshold: float) -> Atoms:
    """Fit the brightest atoms of a frame, roughly."""
    pixels, _ = _center(frame)
    response = atom_response(pixels, sigma)
    peaks = find_peaks(response, max(threshold, _RELATIVE * np.quantile(response, 0.999)))
    start = Atoms.at(peaks, response[tuple(peaks.T)], sigma)
    atoms, _ = sketch_atoms(pixels, start, sigma)
    return atoms.take(_trusted(atoms, threshold) & _inside(atoms, pixels.shape))


def _locate(frame: NDArray[np.float32], sigma: float, threshold: float) -> Atoms:
    """Find and fit the atoms of one frame."""
    pixels, offset = _center(frame)
    unexplained, noise = pixels, np.zeros(pixels.shape)
    atoms = Atoms.at(np.empty((0, 2)), np.empty(0), sigma)
    for _ in range(_ROUNDS):
        response = atom_response(unexplained, sigma)
        peaks = find_peaks(response, threshold)
        height = response[tuple(peaks.T)]
        # Where the signal is bright there is more noise.
        new = height > _SIGNIFICANCE * noise[tuple(peaks.T)]
        if len(atoms):
            known = np.stack([atoms.y, atoms.x], axis=1)
            new &= KDTree(known).query(peaks)[0] > _NEW * sigma
            # Of what is left only the brightest: around an atom that was missed, its neighbours'
            # misfit looks like more.
            new &= height >= _RELATIVE * height[new].max(initial=0.0)
        if not new.any():
            break
        seen = Atoms.at(peaks[new], height[new], sigma)
        atoms, variance = sketch_atoms(pixels, atoms.join(seen), sigma)
        atoms = atoms.take(_trusted(atoms, threshold))
        unexplained = pixels - atoms.draw(pixels.shape)
        noise = np.sqrt(ndimage.gaussian_filter(variance, sigma)) * response_noise(sigma)
    for _ in range(_ROUNDS):
        atoms = fit_atoms(pixels, atoms, sigma)
        real = _trusted(atoms, threshold) & ~_doubled(atoms, sigma)
        atoms = atoms.take(real)
        if real.all():
            break
    # Till here one just beyond the border was kept, as its light is in the frame.
    atoms = atoms.take(_inside(atoms, pixels.shape))
    atoms.background += offset
    return atoms


def _trusted(atoms: Atoms, threshold: float) -> NDArray[np.bool_]:
    certain = atoms.amplitude >= _MIN_CERTAINTY * atoms.amplitude_err
    return certain & (atoms.amplitude >= threshold)


def _doubled(atoms: Atoms, sigma: float) -> NDArray[np.bool_]:
    """Return which atoms have run into a brighter one, whose misfit they had been."""
    pairs = KDTree(np.stack([atoms.y, atoms.x], axis=1)).query_pairs(
        _NEW * sigma, output_type="ndarray"
    )
    fainter = np.zeros(len(atoms), dtype=bool)
    fainter[pairs[np.arange(len(pairs)), np.argmin(atoms.amplitude[pairs], axis=1)]] = True
    return fainter


def _inside(atoms: Atoms, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = shape
    return (np.abs(atoms.y - (height - 1) / 2) <= height / 2) & (
        np.abs(atoms.x - (width - 1) / 2) <= width / 2
    )
