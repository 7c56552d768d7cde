"""Which weights a denoiser is asked for, and whether they are for it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

from ..engine import load_card

_NEEDED = {"network", "parameters", "input_scaling", "target_scaling"}


def find_weights(
    weights: str | os.PathLike[str],
    *,
    shipped: str | None,
    denoiser: str,
    network: str | None,
) -> tuple[str | os.PathLike[str], dict[str, Any]]:
    """Return the name of weights, as ``load_weights`` takes it, and their card.

    Parameters
    ----------
    weights : "default" or path
    shipped : str or None
        What "default" stands for.
    denoiser, network : str
        The class that asks, and its network's; None for any network.

    Raises
    ------
    ValueError
        Where there are none, or they are not for this network.
    """
    name = weights
    if weights == "default":
        if shipped is None:
            raise ValueError(
                f"stemkit ships no weights for {denoiser}: set weights to the path of a file that "
                "save_weights wrote, or to None and call fit."
            )
        name = shipped
    card = load_card(name)
    missing = _NEEDED - card.keys()
    if missing:
        raise ValueError(
            f"The weights {name} are not a denoiser's, their card lacks {sorted(missing)}: use "
            "'default', or weights that save_weights wrote."
        )
    if network is not None and card["network"] != network:
        raise ValueError(
            f"The weights {name} are for {card['network']}, but {denoiser} has the network "
            f"{network}: use the denoiser that wrote them."
        )
    return name, card


def refuse_another_network(
    denoiser: object,
    asked: Mapping[str, Any],
    parameters: Mapping[str, Any],
    name: str | os.PathLike[str],
) -> None:
    """Raise where a denoiser asks for a network that is not the one of the weights."""
    own = inspect.signature(type(denoiser)).parameters
    for key, value in asked.items():
        if key not in own:
            continue
        default = own[key].default
        # Weights that are older than a parameter don't name it: their network has its default.
        theirs = parameters.get(key, default)
        if value not in (default, theirs):
            raise ValueError(
                f"{key}={value!r} is not that of weights={str(name)!r}, whose network has "
                f"{key}={theirs!r}: leave {key} out, or set weights=None to train a "
                "network of your own."
            )
