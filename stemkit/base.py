"""The common base of estimators of frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.base import BaseEstimator

from ._constraints import Constraints, check_parameters

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from torch import Tensor, nn


class FrameEstimator(BaseEstimator):
    """Base of estimators whose ``X`` is a stack of frames and whose network is ``module_``.

    A fitted estimator is pickled with its weights, and the columns of its ``history_``, as NumPy
    arrays. So an estimator trained on a GPU can be loaded on a CPU, and skops can load its file,
    which contains no objects of torch or pandas.
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        # An estimator with pretrained weights can be used without fit.
        tags.requires_fit = self.get_params(deep=False).get("weights") is None
        tags.non_deterministic = self.get_params(deep=False).get("random_state", 0) is None
        return tags

    module_: Any
    history_: Any

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {}
    """Constraints of each parameter, see :mod:`stemkit._constraints`."""

    _unused_in_fit: ClassVar[frozenset[str]] = frozenset()
    """Parameters that only `predict` uses, which are not compared with a checkpoint."""

    def _check_parameters(self) -> None:
        """Check the parameters against their constraints and their relations."""
        check_parameters(self)

    def _build_module(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """Return the network with these weights."""
        raise TypeError("an estimator with a module_ must override _build_module")

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__().copy()
        module = state.pop("module_", None)
        if module is not None:
            state["_weights"] = {
                key: value.detach().cpu().numpy() for key, value in module.state_dict().items()
            }
        history = state.pop("history_", None)
        if history is not None:
            state["_history"] = {name: column.to_numpy() for name, column in history.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = state.copy()
        weights = state.pop("_weights", None)
        history = state.pop("_history", None)
        super().__setstate__(state)
        if history is not None:
            import pandas as pd

            # Copied, since a memory map may be read-only.
            self.history_ = pd.DataFrame({key: column.copy() for key, column in history.items()})
        if weights is not None:
            import torch

            # Copied, since weights in a read-only memory map can't be trained.
            tensors = {key: torch.tensor(value) for key, value in weights.items()}
            self.module_ = self._build_module(tensors).eval()
