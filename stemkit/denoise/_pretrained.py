"""Weights from files: which file, whether it fits the denoiser, and the authors' checkpoints."""

from __future__ import annotations

import inspect
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import pandas as pd
from torch import Tensor

from .._constraints import Constraints, Interval, check_value
from ..engine import load_card, load_weights, read_checkpoint
from ..networks import rename_released
from ._training_frames import CommonLevel

# Beyond these limits float32 frames cannot be scaled.
_LARGEST = 1e30


class _ScalingOfCard:
    """Constraint: an offset and a scale above 0, both finite and within the range of float32."""

    def accepts(self, value: object) -> bool:
        """Return whether the value is such a pair."""
        if not isinstance(value, list) or len(value) != 2:
            return False
        offset, scale = Interval(float, -_LARGEST, _LARGEST), Interval(float, 1e-30, _LARGEST)
        return offset.accepts(value[0]) and scale.accepts(value[1])

    def __str__(self) -> str:
        return "[offset, scale], finite numbers with scale above 0"


class _ParametersOfCard:
    """Constraint: an object all of whose numbers are finite and at most a limit."""

    def __init__(self, largest: float) -> None:
        self.largest = largest

    def accepts(self, value: object) -> bool:
        """Return whether the value is such an object."""
        return isinstance(value, dict) and all(map(self._is_within_limits, value.values()))

    def _is_within_limits(self, value: object) -> bool:
        if isinstance(value, dict | list):
            items = value.values() if isinstance(value, dict) else value
            return all(map(self._is_within_limits, items))
        limits = Interval(float, -self.largest, self.largest)
        return value is None or isinstance(value, bool | str) or limits.accepts(value)

    def __str__(self) -> str:
        return f"an object whose numbers are finite and at most {self.largest:g}"


class _DomainOfCard:
    """Constraint: an object with the keys of :mod:`stemkit.denoise._domain`."""

    def accepts(self, value: object) -> bool:
        """Return whether the value is such an object."""
        return isinstance(value, dict) and all(map(self._is_entry, value, value.values()))

    @staticmethod
    def _is_entry(key: object, value: Any) -> bool:
        number = Interval(float, -_LARGEST, _LARGEST)
        if key in ("background", "noise", "least_whiteness"):
            return number.accepts(value) and (key == "background" or value > 0)
        if key in ("background_range", "noise_range", "atom_sigma"):
            pair = isinstance(value, list) and len(value) == 2 and all(map(number.accepts, value))
            return bool(pair and value[0] < value[1])
        return key == "atoms" and value == "bright"

    def __str__(self) -> str:
        return "an object with background, noise, their ranges, atom_sigma, least_whiteness, atoms"


# A larger number of channels or blocks in a damaged card would take all memory.
_OF_OUR_NETWORKS = _ParametersOfCard(10_000)
_CARD: dict[str, Constraints] = {
    "network": [str],
    "parameters": [_ParametersOfCard(_LARGEST)],
    "input_scaling": [_ScalingOfCard()],
    "target_scaling": [_ScalingOfCard()],
}


class _LevelOfCard:
    """Constraint: level, noise and spread of training frames, and whether results have them."""

    def accepts(self, value: object) -> bool:
        """Return whether the value is such a list."""
        if not isinstance(value, list) or len(value) != 4 or not isinstance(value[3], bool):
            return False
        signed, positive = Interval(float, -_LARGEST, _LARGEST), Interval(float, 0, _LARGEST)
        return signed.accepts(value[0]) and all(map(positive.accepts, value[1:3]))

    def __str__(self) -> str:
        return "[level, noise, spread, true or false], finite, noise and spread not below 0"


_OPTIONAL: dict[str, Constraints] = {
    "frame_level": [_LevelOfCard()],
    "input_noise": [None, Interval(float, 0, _LARGEST)],
    "domain": [_DomainOfCard()],
}


def check_card(card: Mapping[str, Any]) -> None:
    """Raise InvalidParameterError if an entry of a card is one that can't be loaded again."""
    try:
        card = json.loads(json.dumps(card))
    except (TypeError, ValueError):
        return  # it can't be written either, which save_weights tells
    for key, allowed in {**_CARD, **_OPTIONAL}.items():
        if key in card:
            check_value(card[key], key, allowed)


def load_pretrained(denoiser: Any, weights: str | os.PathLike[str]) -> None:
    """Set the network and the scaling of a denoiser from a file of weights and its card.

    Parameters
    ----------
    denoiser : SupervisedDenoiser
    weights : "default" or path

    Raises
    ------
    ValueError
        If there are no default weights, the card is not that of a denoiser, or the weights are
        those of another network.
    """
    name, card = _find(denoiser, weights)
    denoiser._keep_network()
    if isinstance(denoiser._network, type):
        _check_name(denoiser, denoiser._network.__name__, card, name)
    requested, defaults = denoiser._requested_network_parameters()
    _check_parameters(requested, card["parameters"], defaults, name)
    denoiser.network_parameters_ = card["parameters"]
    found = load_weights(name)
    try:
        module = denoiser._build_module(found, str(name))
    except (
        ValueError,
        TypeError,
        RuntimeError,
        ArithmeticError,
        LookupError,
        AttributeError,
    ) as error:
        if str(name) in str(error):  # the weights do not fit
            raise
        # A constructor may raise anything for parameters that it cannot use.
        raise ValueError(
            f"The card of the weights {name} has parameters that make no network: {error}"
        ) from error
    # The name of a network that a function makes is known only now.
    _check_name(denoiser, type(module).__name__, card, name)
    denoiser.module_ = module
    denoiser.input_scaling_ = tuple(map(float, card["input_scaling"]))
    denoiser.target_scaling_ = tuple(map(float, card["target_scaling"]))
    denoiser.input_noise_ = card.get("input_noise")
    denoiser.domain_ = card.get("domain", {})
    level = card.get("frame_level")
    denoiser._common = None if level is None else CommonLevel(*level)


def _find(
    denoiser: Any, weights: str | os.PathLike[str]
) -> tuple[str | os.PathLike[str], dict[str, Any]]:
    """Return the name of weights, as ``load_weights`` takes it, and their card."""
    name = weights
    if weights == "default":
        if denoiser._default_weights is None:
            raise ValueError(
                f"stemkit ships no weights for {type(denoiser).__name__}: set weights to the path "
                "of a file that save_weights wrote, or to None and call fit."
            )
        name = denoiser._default_weights
    card = load_card(name, _CARD)
    is_ours = str(getattr(denoiser._network, "__module__", "")).startswith("stemkit.")
    more = {key: allowed for key, allowed in _OPTIONAL.items() if key in card}
    load_card(name, {**more, **({"parameters": [_OF_OUR_NETWORKS]} if is_ours else {})})
    return name, card


def _check_name(
    denoiser: Any, network: str, card: Mapping[str, Any], name: str | os.PathLike[str]
) -> None:
    """Raise ValueError if weights belong to a network of another name."""
    if card["network"] != network:
        raise ValueError(
            f"The weights {name} are for the network {card['network']}, but this "
            f"{type(denoiser).__name__} has the network {network}: use the denoiser and the "
            "network that wrote them."
        )


def _check_parameters(
    requested: Mapping[str, Any],
    found: Mapping[str, Any],
    defaults: Mapping[str, Any],
    name: str | os.PathLike[str],
) -> None:
    """Raise ValueError if a requested parameter differs from that of the weights.

    Weights that are older than a parameter don't list it; their network has its default.
    """
    for key, value in requested.items():
        of_weights = found.get(key, defaults.get(key))
        if _as_json(value) != _as_json(of_weights):
            raise ValueError(
                f"{key}={value!r} is not that of weights={str(name)!r}, whose network has "
                f"{key}={of_weights!r}: leave {key} out, or set weights=None to train a "
                "network of your own."
            )


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters of a function that have defaults; none if it has no signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _as_json(value: Any) -> str:
    # A card holds lists where the user may have written tuples.
    return json.dumps(value, sort_keys=True, default=repr)


class CheckpointMixin(ABC):
    """Mixin of denoisers that read checkpoints, those of SFIN's and SCGN's authors among them."""

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Make a denoiser from a checkpoint.

        Parameters
        ----------
        path : path
            A ``.pth`` file that ``torch.save`` wrote; nothing in it is executed. For SFIN and SCGN
            it has the layout that their authors released, which determines the network's size.
        **parameters
            Parameters of the denoiser, without those that the file determines.

        Returns
        -------
        self
            Ready to transform frames. Neither its inputs nor its outputs are scaled: the authors'
            networks take and give 0..255.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, holds more than weights, or those of another network.
        """
        model: Any
        model, weights = cls._for_checkpoint(read_checkpoint(path), str(path), parameters)
        model._keep_network()
        model.network_parameters_ = model._own_network_parameters()
        model.module_ = model._build_module(weights, str(path))
        model.input_scaling_ = model.target_scaling_ = (0.0, 1.0)
        model.input_noise_ = None
        model.history_ = pd.DataFrame()
        model.n_epochs_ = 0
        return model

    @classmethod
    @abstractmethod
    def _for_checkpoint(
        cls, weights: Mapping[str, Tensor], origin: str, parameters: Mapping[str, Any]
    ) -> tuple[Self, Mapping[str, Tensor]]:
        """Return a denoiser for the weights of a checkpoint, and the weights by our names."""


def read_released(
    weights: Mapping[str, Tensor], origin: str
) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Return the size and the weights, by our names, of an SFIN or SCGN as it was released."""
    renamed = rename_released(weights)
    blocks = {m[1] for name in renamed if (m := re.match(r"blocks\.(\d+)\.", name))}
    head = renamed.get("head.weight")
    if not blocks or head is None or head.ndim != 4:
        raise ValueError(
            f"{origin} is of another network: it has no blocks between a head and a tail. "
            "Use a file of this denoiser's network."
        )
    return {"n_blocks": len(blocks), "n_channels": len(head)}, renamed
