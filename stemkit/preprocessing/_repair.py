"""Repair of pixels that do not show the specimen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin

from .._bad_pixels import Mask, filled, find_bad, find_fixed, find_marks
from .._constraints import Constraints
from .._validation import Float32Array, check_stack, n_dims, split_missing
from ..base import FrameEstimator
from ..io import FrameStack

if TYPE_CHECKING:
    from sklearn.utils import Tags


class BadPixelRepair(TransformerMixin, FrameEstimator):
    """Find stuck, hot and dead pixels, spikes and lines, and fill them from their neighbours.

    Pixels of frames that are NaN or masked are filled as well.

    An atom is left as it is, since the probe spreads it over several pixels: a bad pixel stands
    out of the noise by eight standard deviations while at most one of its four nearest neighbours
    has a quarter of its height. Frames without bad pixels are not changed.

    `fit` learns the pixels that differ from their neighbours in the same way in all frames of a
    series of three or more, and `transform` adds what it finds in each frame. Without `fit`, each
    frame is repaired by itself.

    Parameters
    ----------
    spikes : bool, default=True
        Whether to look for single pixels in each frame: X-rays, hot and dead pixels.
    lines : bool, default=True
        Whether to look for rows and columns in each frame.

    Attributes
    ----------
    mask_ : ndarray of shape (H, W), bool
        Bad pixels of all frames of the series that was given to `fit`.

    See Also
    --------
    stemkit.io.read_stack : Frames in the type of the file, in which detectors' marks are found.

    Notes
    -----
    In frames of 16 and 32 bits the largest integer is how detectors mark missing pixels, unless
    more than 2 % of a frame has this value, which is saturation. Of two adjacent bad pixels both
    are found, of larger groups only those of a line. Pixels and lines of zeros are found in the
    light alone, not in a vacuum without counts. The atom under a bad pixel is lost.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.datasets import make_damage_sequence
    >>> from stemkit.preprocessing import BadPixelRepair
    >>> frames = make_damage_sequence(n_frames=3, shape=(96, 96), dose=50, random_state=0).frames
    >>> stuck = frames.copy()
    >>> stuck[:, 40, 50] = 65535
    >>> repair = BadPixelRepair().fit(stuck)
    >>> np.argwhere(repair.mask_).tolist()
    [[40, 50]]
    >>> repair.find(stuck).sum(axis=(1, 2)).tolist()
    [1, 1, 1]
    >>> repaired = repair.transform(stuck)
    >>> bool(repaired.max() <= frames.max()), int((repaired != frames).sum())
    (True, 3)
    """

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "spikes": ["boolean"],
        "lines": ["boolean"],
    }

    def __init__(self, *, spikes: bool = True, lines: bool = True) -> None:
        self.spikes = spikes
        self.lines = lines

    def fit(self, X: ArrayLike, y: object = None) -> BadPixelRepair:
        """Find the pixels that are bad in all frames.

        Parameters
        ----------
        X : FrameStack or array-like of shape (n_frames, H, W) or (n_lines, W)
            A series in which the specimen moves, or frames of different places.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `X` is not a stack of real numbers or holds inf.
        """
        self._check_parameters()
        frames, _, bad = self._check_and_find(X, reset=True)
        self.mask_ = find_fixed(frames) | bad.all(axis=0)
        return self

    def find(self, X: ArrayLike) -> Mask:
        """Find the bad pixels of each frame.

        Parameters
        ----------
        X : FrameStack or array-like of shape (n_frames, H, W) or (n_lines, W)
            Frames. The pixels of ``mask_`` are added in frames of the size given to `fit`.

        Returns
        -------
        ndarray of the shape of X, bool

        Raises
        ------
        ValueError
            If `X` is not a stack of real numbers or holds inf.
        """
        _, shape, bad = self._check_and_find(X)
        return bad.reshape(shape)

    def transform(self, X: ArrayLike) -> Float32Array | FrameStack:
        """Repair frames.

        Parameters
        ----------
        X : FrameStack or array-like of shape (n_frames, H, W) or (n_lines, W)
            Frames. The pixels of ``mask_`` are added in frames of the size given to `fit`.

        Returns
        -------
        ndarray of the shape of X, float32, or FrameStack
            A FrameStack for a FrameStack, without its mask: no pixel is missing any more, and
            `find` returns which were.

        Raises
        ------
        ValueError
            If `X` is not a stack of real numbers or holds inf.
        """
        frames, shape, bad = self._check_and_find(X)
        repaired = np.empty_like(frames)
        for index, where in enumerate(bad):
            repaired[index] = filled(frames[index], where)
        if isinstance(X, FrameStack):
            return replace(X, frames=repaired, mask=None)
        return repaired.reshape(shape)

    def _check_and_find(
        self, X: ArrayLike, *, reset: bool = False
    ) -> tuple[Float32Array, tuple[int, ...], Mask]:
        self._check_parameters()
        is_fitted = hasattr(self, "mask_") and not reset
        known = np.zeros(1, bool)
        if n_dims(X) == 3:
            X, missing = split_missing(X, "X")
            known = missing | find_marks(X)
        frames, shape = check_stack(X, self, reset=not is_fitted)
        known = np.broadcast_to(known, frames.shape)
        bad = find_bad(frames, known, spikes=self.spikes, lines=self.lines)
        if is_fitted and frames.shape[1:] == self.mask_.shape:
            bad |= self.mask_
        return frames, shape, bad

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
