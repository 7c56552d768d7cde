"""Weights on disk: stemkit's as safetensors with a card, and the papers' checkpoints."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from stemkit._constraints import Constraints, check_arguments, check_value, shorten
from stemkit._output import write_whole
from stemkit.engine._torch_file import load_torch_file
from stemkit.exceptions import InvalidParameterError

Weights = dict[str, Tensor]


@check_arguments(module=[nn.Module, Mapping], path=["path"], card=[Mapping])
def save_weights(
    module: nn.Module | Mapping[str, Tensor],
    path: str | os.PathLike[str],
    card: Mapping[str, Any],
) -> None:
    """Write weights as safetensors, and their card in a file of the same name.

    Parameters
    ----------
    module : nn.Module or mapping of str to Tensor
        Module, or its ``state_dict``.
    path : path
        Name that ends in ".safetensors"; that of the card ends in ".json".
    card : mapping
        How the weights were made: data, steps, seed, scores. Values that JSON can represent.

    Raises
    ------
    ValueError
        If `path` ends otherwise or the card can't be written as JSON.
    OSError
        If the disk is full; existing files are kept.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from stemkit.engine import load_weights, save_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(torch.nn.Linear(2, 1), Path(folder, "line.safetensors"), {"seed": 0})
    ...     sorted(load_weights(Path(folder, "line.safetensors")))
    ['bias', 'weight']
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors; got {path.name}.")
    try:
        text = json.dumps(dict(card), indent=2, default=_as_plain) + "\n"
    except TypeError as error:
        raise ValueError(f"card can't be written as JSON: {error}.") from error
    state = module.state_dict() if isinstance(module, nn.Module) else module
    _check_tensors(state, "module")
    # Copies, because safetensors does not accept tensors that share memory.
    copies = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
    write_whole(path, safetensors.torch.save(copies))
    write_whole(path.with_suffix(".json"), text.encode())


def _as_plain(value: object) -> object:
    """Return a number of NumPy as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def list_weights() -> list[str]:
    """List the names of the weights that come with stemkit.

    Returns
    -------
    list of str
        Names that ``weights=`` and :func:`load_weights` take.

    Examples
    --------
    >>> from stemkit.engine import list_weights, load_weights
    >>> for name in list_weights():
    ...     weights = load_weights(name)
    """
    folder = _shipped_folder()
    if not folder.is_dir():
        return []
    names = (Path(file.name) for file in folder.iterdir())
    return sorted(name.stem for name in names if name.suffix == ".safetensors")


@check_arguments(name=[str, os.PathLike])
def load_weights(name: str | os.PathLike[str]) -> Weights:
    """Read weights that come with stemkit, by name, or those of a safetensors file.

    Parameters
    ----------
    name : str or path
        One of `list_weights`, with hyphens or underscores, or the path of a file.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    FileNotFoundError
        If there are no such weights.
    ValueError
        If the file is damaged or not safetensors.

    See Also
    --------
    put_weights : Load them into a module.

    Examples
    --------
    >>> from stemkit.engine import load_weights
    >>> weights = load_weights("drift-decay")
    >>> weights["enc1.2.weight"].dtype
    torch.float32
    """
    file = _find(name, ".safetensors")
    content = file.read_bytes()
    try:
        return safetensors.torch.load(content)
    except Exception as error:  # also KeyError for a type of numbers that torch doesn't have
        raise ValueError(
            f"{file} is damaged or not a safetensors file ({error}): fetch it again."
        ) from error


@check_arguments(name=[str, os.PathLike], constraints=[None, Mapping])
def load_card(
    name: str | os.PathLike[str], constraints: Mapping[str, Constraints] | None = None
) -> dict[str, Any]:
    """Read the card of weights, which describes how they were made.

    Parameters
    ----------
    name : str or path
        As for `load_weights`.
    constraints : mapping of str to collection of constraints, optional
        Entries that the card must have, with their constraints.

    Returns
    -------
    dict
        The card that `save_weights` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such card.
    ValueError
        If the card is damaged, or an entry is missing or violates its constraints.

    Examples
    --------
    >>> from stemkit.engine import load_card
    >>> load_card("drift_decay")["network"]
    'DegradationNet'
    """
    file = _find(name, ".json")
    try:
        card = json.loads(file.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"The card {file} is damaged or not JSON ({error}): write it again with save_weights."
        ) from error
    if not isinstance(card, dict):
        raise ValueError(f"The card {file} holds a {type(card).__name__} in place of an object.")
    for key, allowed in (constraints or {}).items():
        if key not in card:
            raise ValueError(f"The card {file} lacks {key!r}: write it again with save_weights.")
        try:
            check_value(card[key], key, allowed)
        except InvalidParameterError as error:
            raise ValueError(f"The card {file} is damaged: {error}") from error
    return card


@check_arguments(module=[nn.Module], weights=[Mapping], origin=[str])
def put_weights(module: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Load weights into a module of the same names and shapes.

    Parameters
    ----------
    module : nn.Module
        Changed in place, unless there is an error.
    weights : mapping of str to Tensor
        As `load_weights` and `read_checkpoint` return them.
    origin : str
        Source of the weights, for error messages.

    Raises
    ------
    ValueError
        If names, shapes or types of numbers differ, or weights are not finite; the message lists
        them.

    Examples
    --------
    >>> import torch
    >>> from stemkit.engine import put_weights
    >>> put_weights(torch.nn.Linear(2, 1), {"weight": torch.ones(1, 2)}, "half.safetensors")
    Traceback (most recent call last):
    ValueError: half.safetensors is not for a Linear of this size: it lacks the weights bias.
    """
    _check_tensors(weights, "weights")
    check_shapes(module, weights, origin)
    unusable = [key for key, value in module.state_dict().items() if not _fits(weights[key], value)]
    if unusable:
        raise ValueError(
            f"{origin} is damaged or not for a {type(module).__name__}: {_list_keys(unusable)} "
            "holds NaN, inf, or numbers of another kind."
        )
    module.load_state_dict(dict(weights))


def check_shapes(module: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Check that weights have the names and shapes of a module's, which may be on meta.

    Raises
    ------
    ValueError
        If they do not; the error lists those that differ.
    """
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    wrong = {
        "lacks the weights": [key for key in wanted if key not in found],
        "has, unasked, the weights": [key for key in found if key not in wanted],
        "has weights in another shape:": [
            f"{key} {found[key]} for {wanted[key]}"
            for key in wanted
            if key in found and found[key] != wanted[key]
        ],
    }
    if any(wrong.values()):
        text = "; ".join(f"it {what} {_list_keys(keys)}" for what, keys in wrong.items() if keys)
        raise ValueError(f"{origin} is not for a {type(module).__name__} of this size: {text}.")


def _fits(found: Tensor, wanted: Tensor) -> bool:
    """Return whether weights can be converted to a type of numbers and are then finite."""
    kinds = found.is_floating_point(), found.is_complex()
    if kinds != (wanted.is_floating_point(), wanted.is_complex()) or found.is_meta:
        return False
    return bool(found.to(wanted.dtype).isfinite().all())


@check_arguments(path=["path"])
def read_checkpoint(path: str | os.PathLike[str]) -> Weights:
    """Read the weights of a checkpoint in the layout that the papers' authors released.

    No code in the file is executed. Weights are at the top level or under "model_state_dict" or
    "state_dict". The prefix "module." of data-parallel training is removed from their names.

    Parameters
    ----------
    path : path
        A file written by ``torch.save``.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or holds something other than weights.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from stemkit.engine import read_checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "released.pth")
    ...     torch.save({"model_state_dict": {"module.scale": torch.ones(3)}}, path)
    ...     read_checkpoint(path)
    {'scale': tensor([1., 1., 1.])}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    try:
        content = load_torch_file(path.read_bytes())
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than weights, or is no checkpoint; its code is not executed. "
            "Save its state_dict alone with torch.save."
        ) from error
    except Exception as error:  # decoders may raise anything for a wrong byte
        raise ValueError(f"{path} is damaged or cut short: fetch it again.") from error
    for key in ("model_state_dict", "state_dict"):
        if isinstance(content, Mapping) and key in content:
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds no weights by name.")
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds more than tensors: save its state_dict alone.")
    if not all(
        value.layout == torch.strided and not value.is_quantized for value in content.values()
    ):
        raise ValueError(f"{path} holds sparse or quantized tensors: save dense ones.")
    if not all(isinstance(key, str) for key in content):
        raise ValueError(
            f"{path} names its weights by numbers in place of texts: save a state_dict of a module."
        )
    return {key.removeprefix("module."): value for key, value in content.items()}


def _shipped_folder() -> Traversable:
    return resources.files("stemkit").joinpath("weights")


def _find(name: str | os.PathLike[str], suffix: str) -> Traversable:
    shipped = str(name).replace("-", "_")
    if shipped in list_weights():
        return _shipped_folder().joinpath(f"{shipped}{suffix}")
    # A file is read under the name that was given, never one that merely looks like it.
    file = Path(name if suffix == ".safetensors" else f"{os.path.splitext(name)[0]}{suffix}")
    if not file.is_file():
        raise FileNotFoundError(
            f"There are no weights {str(name)!r}, since {file} does not exist: give the path of a "
            f".safetensors file with its card (.json), or one of {list_weights()}."
        )
    return file


def _check_tensors(weights: Mapping[str, Tensor], name: str) -> None:
    """Raise InvalidParameterError if a mapping holds anything but tensors under names."""
    for key, value in weights.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InvalidParameterError(
                f"{name} must map names to tensors; it maps {shorten(key)} to {shorten(value)}."
            )


def _list_keys(keys: list[str]) -> str:
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
