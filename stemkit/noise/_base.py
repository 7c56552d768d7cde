"""The base of all noise simulators, and how others get a fitted one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._arrays import Frames, Generator, as_frames, is_finite
from .._constraints import Constraints, check_parameters, shorten
from .._random import RandomState, frame_generators
from .._validation import Float32Array, check_stack
from .functional._checks import check_no_negative_frames

if TYPE_CHECKING:
    from sklearn.utils import Tags


class FrameNoise(TransformerMixin, BaseEstimator, ABC):
    """Base of transformers that add noise to clean frames.

    A subclass stores its parameters, ``random_state`` among them, lists their constraints in
    ``_parameter_constraints`` and degrades frames in ``_degrade``.

    :meth:`transform` draws the noise of each frame from ``random_state``, the frame itself and the
    number of times that frame came before in ``X``. So it does not depend on the order of the
    frames or on the subset, and no two frames share it. With one seed for all frames, the training
    and the test fold of a cross-validation would have the same noise.

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

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {"random_state": ["random_state"]}

    def fit(self, X: ArrayLike, y: object = None) -> FrameNoise:
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Clean frames; a 2-D array is a stack of one-line frames.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `X` is not a stack of finite numbers that can be
            a signal.
        """
        self._check_parameters()
        frames, _ = check_stack(X, self, reset=True)
        self._check_signal(frames)
        return self

    def transform(self, X: ArrayLike) -> Float32Array:
        """Add noise to clean frames.

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
            If `X` is not a stack of finite numbers that can be a signal, or so large that the
            result is beyond float32.
        """
        check_is_fitted(self)
        frames, shape = check_stack(X, self, reset=False)
        self._check_signal(frames)
        noisy = np.empty_like(frames)
        for index, generator in enumerate(frame_generators(frames, self.random_state)):
            noisy[index] = self._degrade(frames[index], generator)
        return self._check_result(noisy).reshape(shape)

    def degrade(self, frames: Frames, *, generator: Generator | None = None) -> Frames:
        """Add noise drawn from a generator, as training does for every batch.

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
        ValueError
            If `frames` are not finite numbers that can be a signal, or so large that the result is
            beyond float32.
        """
        check_is_fitted(self)
        return self._check_result(self._degrade(as_frames(frames), generator))

    def _check_parameters(self) -> None:
        """Check the parameters against their constraints, and relations between them."""
        check_parameters(self)

    def _check_signal(self, frames: Float32Array) -> None:
        """Raise ValueError if clean frames hold values that can't be degraded."""

    @abstractmethod
    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        """Degrade float32 frames (..., H, W), array or tensor, without modifying them."""

    def _check_result(self, noisy: Frames) -> Frames:
        if not is_finite(noisy):
            raise ValueError(
                f"X gives values beyond float32 in {type(self).__name__}; rescale the frames, or "
                f"check the parameters."
            )
        return noisy

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = self.random_state is None
        return tags


class SignalNoise(FrameNoise):
    """Base of simulators that require non-negative frames."""

    def _check_signal(self, frames: Float32Array) -> None:
        check_no_negative_frames(frames)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


def fitted_noise(noise: Any, frames: ArrayLike | None = None) -> Any:
    """Return a simulator that is fitted: itself if it is, or else a fitted copy.

    Parameters
    ----------
    noise : FrameNoise
        The simulator.
    frames : array-like of shape (n_frames, H, W), optional
        Clean frames to fit a copy to; a dark pixel by default.

    Returns
    -------
    FrameNoise

    Raises
    ------
    ValueError
        If `noise` is no simulator, or its parameters or the frames are not valid.
    """
    if not hasattr(noise, "degrade") or isinstance(noise, type):
        raise ValueError(
            f"noise must be one of stemkit.noise's simulators; got {shorten(noise)}. Pass "
            f"HRTEMNoise() or another one."
        )
    try:
        check_is_fitted(noise)
    except NotFittedError:
        if frames is None:
            frames = np.full((1, 1, 1), max(getattr(noise, "pedestal", 0.0), 0.0))
        return clone(noise).fit(frames)
    return noise
