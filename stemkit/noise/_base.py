"""What every simulator of noise shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._arrays import Frames, Generator, as_frames
from .._random import RandomState, frame_generators
from .._validation import Float32Array, check_stack

if TYPE_CHECKING:
    from sklearn.utils import Tags


class FrameNoise(TransformerMixin, BaseEstimator, ABC):
    """Base of transformers that make noisy frames of clean ones.

    A subclass stores its parameters, ``random_state`` among them, says in ``_check_parameters``
    what they may be, and degrades frames in ``_degrade``.

    :meth:`transform` draws the noise of each frame from ``random_state``, the frame itself and how
    often that frame came before in ``X``: the same whatever the order or the subset, but never
    shared by two frames. One seed for all frames would put the same noise into the train and the
    test fold of a cross-validation.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import FrameNoise
    >>> class Fog(FrameNoise):
    ...     def __init__(self, *, level=100.0, random_state=None):
    ...         self.level = level
    ...         self.random_state = random_state
    ...
    ...     def _degrade(self, frames, generator):
    ...         return frames + self.level
    >>> Fog().fit_transform(np.ones((1, 1, 2)))
    array([[[101., 101.]]], dtype=float32)

    In training the noise is drawn anew for every batch, of arrays and of tensors:

    >>> model = Fog().fit(np.ones((1, 1, 2)))
    >>> model.degrade(model.transform(np.ones((1, 1, 2))), generator=np.random.default_rng(0))
    array([[[201., 201.]]], dtype=float32)
    """

    random_state: RandomState

    def fit(self, X: ArrayLike, y: object = None) -> FrameNoise:
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Clean frames; 2-D is a stack of one-line frames.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where a parameter is not what it may be, or ``X`` no stack of finite numbers
            that can be a signal.
        """
        self._check_parameters()
        frames, _ = check_stack(X, self, reset=True)
        self._check_signal(frames)
        return self

    def transform(self, X: ArrayLike) -> Float32Array:
        """Make noisy frames of clean ones.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Clean frames of any size, with as many dimensions as those of `fit`.

        Returns
        -------
        ndarray of the shape of X, float32

        Raises
        ------
        ValueError
            Where ``X`` is not a stack of finite numbers that can be a signal.
        """
        check_is_fitted(self)
        frames, shape = check_stack(X, self, reset=False)
        self._check_signal(frames)
        noisy = np.empty_like(frames)
        for index, generator in enumerate(frame_generators(frames, self.random_state)):
            noisy[index] = self._degrade(frames[index], generator)
        return noisy.reshape(shape)

    def degrade(self, frames: Frames, *, generator: Generator | None = None) -> Frames:
        """Make noisy frames with draws of a generator, as training does for every batch.

        Parameters
        ----------
        frames : ndarray or torch.Tensor of shape (..., H, W)
            Clean frames. Tensors stay on their device.
        generator : numpy.random.Generator or torch.Generator, optional
            Source of the noise, of the same library and device; a fresh one by default.

        Returns
        -------
        ndarray or torch.Tensor of the same shape, float32

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        return self._degrade(as_frames(frames), generator)

    def _check_parameters(self) -> None:
        """Raise ValueError where a parameter is not what it may be."""

    def _check_signal(self, frames: Float32Array) -> None:
        """Raise ValueError where clean frames hold what can't be degraded."""

    @abstractmethod
    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        """Degrade float32 frames (..., H, W), array or tensor, without writing into them."""

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = self.random_state is None
        return tags
