"""Losses by name, and losses that a user passes as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import OutOfMemoryError, Tensor
from torch.nn import functional as F

from .._constraints import Function, reason_of, shorten
from ..exceptions import InvalidParameterError

Loss = Callable[..., Tensor | Mapping[str, Tensor]]

LOSSES: dict[str, Loss] = {"l1": F.l1_loss, "l2": F.mse_loss}


def make_loss(loss: str | Loss) -> Loss:
    """Return a loss as a function; one of the user's is checked at every call."""
    if isinstance(loss, str):
        return LOSSES[loss]
    if isinstance(loss, type):
        raise InvalidParameterError(
            f"loss is a class; pass an instance of it, as loss={loss.__name__}()."
        )

    if not Function("outputs", "targets").accepts(loss):
        raise InvalidParameterError(
            f"loss must take two arguments, the outputs and the targets; got {shorten(loss)}."
        )

    def checked(outputs: Tensor, targets: Tensor) -> Tensor | Mapping[str, Tensor]:
        try:
            value = loss(outputs, targets)
        except OutOfMemoryError:
            raise
        except Exception as error:  # the user's own may raise anything
            raise ValueError(
                f"loss fails for outputs and targets of shape {tuple(targets.shape)}: "
                f"{reason_of(error)}."
            ) from error
        terms = dict(value) if isinstance(value, Mapping) else {"loss": value}
        is_valid = all(isinstance(term, Tensor) and term.numel() == 1 for term in terms.values())
        if (
            not is_valid
            or "loss" not in terms
            or not terms["loss"].requires_grad
            or terms["loss"].is_complex()
        ):
            raise ValueError(
                "loss must return a tensor of one number that torch has computed from the outputs, "
                f"or a dict of such tensors with a key 'loss'; it returned {shorten(value)}."
            )
        return {name: term.reshape(()) for name, term in terms.items()}

    return checked
