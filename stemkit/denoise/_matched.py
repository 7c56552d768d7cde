"""Scale frames to those of a network's training, and map the dots that it draws back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._constraints import Constraints, HasMethods, Interval, Options
from .._validation import (
    BAD_PIXELS,
    BadPixels,
    Float32Array,
    check_stack,
    rescale_to_float32,
    without_repair,
)
from .._warnings import warn_once
from ..localize import AtomLocator
from ._base import Denoiser
from ._matching import bin_mean, enlarge, scale_noise
from ._scgn import SCGNDenoiser

Atoms = Literal["bright", "dark"]
_SIGMA = Interval(float, 0, 10_000, closed="right", unit="px")
# Width of the filter for slow changes of brightness, in standard deviations of an atom.
_SLOW = 7.0


class MatchedDenoiser(Denoiser):
    """Apply a network that draws dots for atoms to frames of another scale.

    A network draws atoms of the size in its training frames, and expects their noise level; on
    frames of another scale it invents atoms. Here slow changes of brightness are subtracted, frames
    are binned until atoms have the size in the training frames, and each frame is scaled until its
    noise has their level. The dots are mapped back to the positions of the atoms.

    Parameters
    ----------
    denoiser : estimator, optional
        A denoiser trained to draw dots, or with ``weights``. To keep a fitted one through `clone`
        and grid searches wrap it in `sklearn.frozen.FrozenEstimator`. By default a
        :class:`SCGNDenoiser` with the weights that are shipped.
    atom_sigma : float, optional
        Standard deviation of an atom in the frames, in px. By default ``fit`` measures it with
        :class:`stemkit.AtomLocator`, which needs atoms clearly above the noise.
    known_sigma : float, default=1.5
        Standard deviation in px of the atoms in the network's training frames.
    background_sigma : float, optional
        Standard deviation in px of the Gaussian filter that determines slow changes of brightness.
        By default 7 times that of an atom.
    atoms : {"bright", "dark"}, default="bright"
        Whether atoms are brighter than what surrounds them. The network draws bright dots for
        either.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Attributes
    ----------
    denoiser_ : estimator
        The denoiser that is used.
    atom_sigma_ : float
        Standard deviation of an atom in the frames, in px.
    binning_ : int
        Number of px that are averaged along each axis.
    frame_shape_ : tuple of int
        Shape (H, W) of the frames in ``fit``, or (W,) of one-line frames.

    Notes
    -----
    Matching doesn't correct noise that neighbouring pixels share, a film with grains of the size of
    atoms, or atoms smaller than those of the training, since frames are never enlarged. For these
    fine-tune a network on the result of :meth:`match`. For how far to rely on the dots see
    :ref:`denoised-frames`.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import MatchedDenoiser
    >>> data = make_nucleation(2, (64, 64), contrast="high", random_state=0)
    >>> counts = 40 * data.noisy.repeat(2, axis=1).repeat(2, axis=2) + 5000
    >>> counts += np.random.default_rng(0).normal(0, 200, counts.shape)
    >>> model = MatchedDenoiser().fit(counts)
    >>> model.binning_
    2
    >>> model.transform(counts).shape
    (2, 128, 128)

    The network gets binned frames on its own scale, on which it can be fine-tuned:

    >>> model.match(counts).shape
    (2, 64, 64)
    """

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "denoiser": [None, HasMethods("fit", "transform", example="SCGNDenoiser()")],
        "atom_sigma": [None, _SIGMA],
        "known_sigma": [_SIGMA],
        "background_sigma": [None, _SIGMA],
        "atoms": [Options(*get_args(Atoms))],
        "bad_pixels": BAD_PIXELS,
    }

    def __init__(
        self,
        *,
        denoiser: Any = None,
        atom_sigma: float | None = None,
        known_sigma: float = 1.5,
        background_sigma: float | None = None,
        atoms: Atoms = "bright",
        bad_pixels: BadPixels = "repair",
    ) -> None:
        self.denoiser = denoiser
        self.atom_sigma = atom_sigma
        self.known_sigma = known_sigma
        self.background_sigma = background_sigma
        self.atoms = atoms
        self.bad_pixels = bad_pixels

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Measure the size of atoms, unless it is given.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames; a 2-D array is read as a stack of one-line frames.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not a stack of finite numbers, a parameter is invalid, or the denoiser has no
            record of the noise level of its training frames.
        """
        self._check_parameters()
        frames, _ = check_stack(X, self, reset=True)
        self.denoiser_ = self._ready_denoiser()
        sign = self._sign
        self.atom_sigma_ = float(self.atom_sigma or AtomLocator().fit(sign * frames).sigma_)
        self.binning_ = max(1, round(self.atom_sigma_ / self.known_sigma))
        return self

    def match(self, X: ArrayLike) -> Float32Array:
        """Return the frames that the network gets, to inspect, or to fine-tune it on.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.

        Returns
        -------
        ndarray of shape (n_frames, ceil(H / b), ceil(W / b)), float32
            Pixel (i, j) is the mean of those from (b i, b j) on, where b is ``binning_``. Of lines
            only the pixels of a line are binned, and the result is (n_lines, 1, ceil(W / b)).

        Raises
        ------
        ValueError
            If ``X`` is not a stack of finite numbers.
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        frames, _ = check_stack(X, self, reset=False)
        return np.stack([self._match(frame) for frame in frames])

    def _denoise(self, frames: Float32Array) -> Float32Array:
        bins = self._bins(frames.shape[1:])
        dots = []
        # One at a time: a stack of all results would be a second copy of the frames.
        with warn_once(), without_repair():
            for frame in frames:
                drawn = self.denoiser_.transform(self._match(frame)[np.newaxis])[0]
                dots.append(enlarge(drawn, bins, frame.shape))
        return np.stack(dots)

    def _match(self, frame: Float32Array) -> Float32Array:
        rescaled, _ = rescale_to_float32(frame)
        level = self._sign * rescaled.astype(float)
        level -= ndimage.gaussian_filter(level, self.background_sigma or _SLOW * self.atom_sigma_)
        binned = bin_mean(level, self._bins(frame.shape))
        rounding = 1e-6 * float(np.abs(rescaled).max())
        return scale_noise(
            binned, self.denoiser_.input_scaling_[0], self.denoiser_.input_noise_, rounding
        )

    def _bins(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(min(self.binning_, n) for n in shape)

    @property
    def _sign(self) -> np.float32:
        return np.float32(1 if self.atoms == "bright" else -1)

    def _ready_denoiser(self) -> Any:
        """Return a fitted denoiser; the parameter ``denoiser`` is not changed."""
        if self.denoiser is None:
            denoiser = SCGNDenoiser(weights="default", normalize="training")
        else:
            denoiser = self.denoiser if hasattr(self.denoiser, "module_") else clone(self.denoiser)
        try:
            check_is_fitted(denoiser)
        except (NotFittedError, TypeError) as error:
            raise ValueError(
                f"denoiser must be fitted or have weights, as "
                f"SCGNDenoiser(weights='default'); got {self.denoiser!r}. Fit it first, and wrap "
                f"it in sklearn.frozen.FrozenEstimator if it is cloned."
            ) from error
        if not hasattr(denoiser, "module_"):
            denoiser._ready_network()  # loads its weights
        if getattr(denoiser, "input_noise_", None) is None:
            raise ValueError(
                f"denoiser has no record of how noisy its training frames were; got "
                f"{self.denoiser!r}. Use one that stemkit has trained, as "
                f"SCGNDenoiser(weights='default')."
            )
        return denoiser
