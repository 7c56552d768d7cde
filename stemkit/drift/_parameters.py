"""Checks of the parameters of DriftDecayModel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, get_args

import numpy as np

from ..engine import pick_device, pick_precision
from ..registration._pair import MotionModel

if TYPE_CHECKING:
    from ._drift_decay import DriftDecayModel


def check_parameters(model: DriftDecayModel) -> None:
    """Refuse what is no parameter of a model, before anything is computed."""
    for name, allowed in (
        ("motion", get_args(MotionModel)),
        ("registration", ("correlation", "network")),
    ):
        value = getattr(model, name)
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}; got {value!r}.")
    if not (model.weights is None or isinstance(model.weights, str | os.PathLike)):
        raise ValueError(
            f'weights must be "default", the path of a file or None; got {model.weights!r}.'
        )
    pick_precision(model.precision, pick_device(model.device))
    if not isinstance(model.max_epochs, (int, np.integer)) or model.max_epochs < 0:
        raise ValueError(f"max_epochs must be an int of at least 0; got {model.max_epochs!r}.")
    if model.binning != "auto" and (
        not isinstance(model.binning, (int, np.integer)) or model.binning < 1
    ):
        raise ValueError(f'binning must be "auto" or an int of at least 1; got {model.binning!r}.')
