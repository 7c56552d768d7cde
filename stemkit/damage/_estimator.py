"""Base of an estimator with a damage network: its weights, and its training on a series."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from .._constraints import Constraints, Interval, Options
from .._random import RandomState, check_resumable, check_seed
from .._validation import (
    Float32Array,
    check_increasing,
    check_pairs,
    check_stack,
    n_dims,
    rescale_to_float32,
)
from ..base import FrameEstimator
from ..engine import fit_parameters, pick_device, pick_precision, read_checkpoint
from ..networks.degradation import DegradationNet
from ..registration._binning import bin_frame, choose_binning
from ._critical_dose import CriticalDose, fit_critical_dose
from ._network import DamageNetwork, initial_network, network_from_weights
from ._normalization import Units

if TYPE_CHECKING:
    from torch import Tensor


class DamageEstimator(FrameEstimator):
    """Base of an estimator with a damage network, see :class:`stemkit.drift.DriftDecayModel`."""

    module_: DegradationNet
    units_: Units

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "weights": [Options("default"), "path", None],
        "max_epochs": [Interval(int, 0, None)],
        "binning": [Options("auto"), Interval(int, 1, None)],
        "device": ["device"],
        "precision": [Options("auto", "32-true", "bf16-mixed")],
        "checkpoint_dir": ["path", None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        weights: str | os.PathLike[str] | None,
        max_epochs: int,
        binning: Literal["auto"] | int,
        device: str,
        precision: str,
        checkpoint_dir: str | os.PathLike[str] | None,
        random_state: RandomState,
        verbose: int,
    ) -> None:
        self.weights = weights
        self.max_epochs = max_epochs
        self.binning = binning
        self.device = device
        self.precision = precision
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Make a model from the weights that the paper's authors released.

        Parameters
        ----------
        path : path
            A ``.pth`` file in the released layout; nothing in it is executed.
        **parameters
            Parameters of the model.

        Returns
        -------
        DriftDecayModel
            A fitted model. Its network takes frames scaled to 0..1.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, holds more than weights, or those of another network.
        """
        model = cls(**parameters)
        model.module_ = network_from_weights(read_checkpoint(path), str(path))
        model.units_ = "released"
        model.history_ = pd.DataFrame()
        model.n_epochs_ = 0
        return model

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Adapt the network to a series, by training on synthetic damage of its frames.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W), (n_lines, W) or (n_pairs, 2, H, W)
            A stack, or pairs with the earlier frame first; 2-D is a stack of one-line frames.
        y : None, optional
            Ignored.

        Returns
        -------
        DriftDecayModel
            The model itself.

        Raises
        ------
        InvalidParameterError
            If a parameter of the model is invalid.
        ValueError
            If ``X`` is not a stack or pairs of finite numbers.
        """
        self._check_parameters()
        check_resumable(self.checkpoint_dir, self.random_state)
        if n_dims(X) == 4:
            frames, _ = check_stack(np.concatenate(check_pairs(X)), self, reset=True)
        else:
            frames, _ = check_stack(X, self, reset=True)
        seed = check_seed(self.random_state)
        self.binning_ = (
            choose_binning(frames[0]) if isinstance(self.binning, str) else int(self.binning)
        )
        module = initial_network(self.weights, seed)
        self.history_ = pd.DataFrame()
        if self.max_epochs:
            # Imported here, since inference needs no generator of frames.
            from ._training import adapt_network

            result = adapt_network(
                module,
                [bin_frame(frame, self.binning_) for frame in rescale_to_float32(frames)[0]],
                n_epochs=self.max_epochs,
                pretrained=self.weights is not None,
                random_state=seed,
                checkpoint_dir=self.checkpoint_dir,
                fingerprint=fit_parameters(self),
                device=self.device,
                precision=self.precision,
                verbose=self.verbose,
            )
            self.history_ = result.history
        self.module_ = module.eval()
        self.units_ = "local"
        self.n_epochs_ = len(self.history_)
        return self

    def decay_maps(
        self, stack: ArrayLike, *, trajectory: pd.DataFrame | None = None
    ) -> Float32Array:
        """Compute the decay from the first frame to each; a subclass aligns the frames first."""
        raise NotImplementedError

    def critical_dose(
        self, stack: ArrayLike, dose: ArrayLike, *, trajectory: pd.DataFrame | None = None
    ) -> CriticalDose:
        """Fit ``exp(-dose / D)`` to the signal of each pixel.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series, of at least three frames.
        dose : array-like of shape (n_frames,)
            Accumulated dose at each frame, increasing, in any unit.
        trajectory : DataFrame, optional
            The result of :meth:`trajectory`.

        Returns
        -------
        CriticalDose
            Maps of D and of its standard error, in the unit of ``dose``.

        Raises
        ------
        ValueError
            If ``stack`` has less than three frames or is not finite, or ``dose`` does not increase.
        """
        self._network()
        frames, _ = check_stack(stack, self, reset=False, name="stack", min_frames=3)
        doses = check_increasing(dose, len(frames), "dose")
        return fit_critical_dose(self.decay_maps(frames, trajectory=trajectory), doses)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def _check_parameters(self) -> None:
        super()._check_parameters()
        pick_precision(self.precision, pick_device(self.device))

    @staticmethod
    def _build_module(weights: Mapping[str, Tensor]) -> DegradationNet:
        return network_from_weights(weights, "weights")

    def _network(self) -> DamageNetwork:
        """Check the parameters, and return the fitted network or else that of ``weights``."""
        self._check_parameters()
        if hasattr(self, "module_"):
            return DamageNetwork(self.module_, self.units_, self.device, self.precision)
        if self.weights is None:
            raise NotFittedError(
                f"This {type(self).__name__} has weights=None and is not fitted; call fit first, "
                'or use weights="default".'
            )
        module = initial_network(self.weights, seed=0)
        return DamageNetwork(module, "local", self.device, self.precision)

    def _binning_for(self, frame: Float32Array) -> int:
        if isinstance(self.binning, str):
            binning = getattr(self, "binning_", None) or choose_binning(frame)
        else:
            binning = int(self.binning)
        return min(binning, *frame.shape)
