"""Descriptions of everything that decides the result of a fit, to compare with a checkpoint's."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import inspect
import os
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stemkit._constraints import HasMethods, check_arguments

Fingerprint = dict[str, str]

UNUSED_IN_FIT = frozenset({"checkpoint_dir", "device", "n_jobs", "verbose"})
"""Parameters that cannot change the result of a fit, beyond rounding.

`checkpoint_dir` is the folder of the checkpoint, `verbose` shows progress, and `device` and
`n_jobs` choose the hardware. Noise that differs between devices changes the first batch,
which is compared.
"""

# Longer lists are described by a hash.
_SHOWN = 16
# Lists in lists, described in one entry; a list may contain itself.
_DEPTH = 5
# Bytes to hash at once.
_CHUNK = 2**26
# Their code is identified by a name: the version of stemkit is compared, and others change little.
_BY_NAME = frozenset(sys.stdlib_module_names) | {"stemkit"}


@check_arguments(estimator=[HasMethods("get_params", example="SCGNDenoiser()")])
def fit_parameters(estimator: Any, **replaced: object) -> dict[str, object]:
    """Return the class of an estimator and all its parameters that decide the result of `fit`.

    Parameters
    ----------
    estimator : estimator
        The estimator. Parameters that cannot change the result are left out: `checkpoint_dir`,
        `device`, `n_jobs`, `verbose` and those in its class attribute ``_unused_in_fit``. So are
        `random_state` and `weights`, since `fit_module` compares the seed and the starting weights
        themselves.
    **replaced
        Values that `fit` uses in place of the parameters.

    Returns
    -------
    dict
        For ``fit_module(fingerprint=...)``.

    Raises
    ------
    InvalidParameterError
        If ``estimator`` has no method ``get_params``.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from stemkit.engine import fit_parameters
    >>> fit_parameters(Ridge(alpha=2.0))["alpha"]
    2.0
    """
    left_out = {"random_state", "weights", *_unused_in_fit(estimator)}
    parameters = estimator.get_params(deep=False) | replaced
    return {"estimator": type(estimator)} | {
        name: value for name, value in parameters.items() if name not in left_out
    }


def describe(values: Mapping[str, object]) -> Fingerprint:
    """Describe values by their content, in short texts that are the same in another process.

    Arrays are described by shape, dtype and a hash of all their bytes; objects by their class and
    their attributes, one entry each; functions by their name, and by their code unless they belong
    to an installed package. An object with a method ``fingerprint()`` is described by the mapping
    that this returns.
    """
    return _describe(values, ())


def _describe(values: Mapping[str, object], parents: tuple[int, ...]) -> Fingerprint:
    found: Fingerprint = {}
    for name, value in values.items():
        found.update(_entries(name, value, parents))
    return found


def _entries(name: str, value: Any, parents: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Yield an entry for a value and for each of its parts."""
    plain = _plain(value)
    if plain is not None:
        yield name, plain
        return
    if id(value) in parents:
        yield name, f"the {type(value).__name__} that contains it"
        return
    parents = (*parents, id(value))
    kind, parts = _take_apart(value, parents)
    yield name, kind
    for part, content in parts.items():
        yield from _entries(f"{name}.{part}" if part else name, content, parents)


def _plain(value: Any, depth: int = 0) -> str | None:
    """Describe a number, text, array or list of these; return None if it is something else."""
    if value is None or isinstance(value, bool | np.bool_ | bytes | complex):
        return repr(value if not isinstance(value, np.bool_) else bool(value))
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        number = float(value)
        return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    if isinstance(value, str | os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, torch.device | torch.dtype | np.dtype):
        return str(value)
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{dtype}{list(value.shape)} #{hash_array(_to_numpy(value))}"
    if isinstance(value, np.ma.MaskedArray):
        return None
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype}{list(value.shape)} #{hash_array(value)}"
    if isinstance(value, np.ndarray) and value.ndim > 1:
        content = _plain(value.ravel())
        return content and f"{list(value.shape)} {content}"
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        items = [
            _plain(item, depth + 1) if depth < _DEPTH and not isinstance(item, np.ndarray) else None
            for item in value
        ]
        if all(item is not None for item in items):
            if len(items) > _SHOWN:
                return f"{len(items)} items #{_digest(repr(items).encode())}"
            return f"({', '.join(str(item) for item in items)})"
    return None


def _to_numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError:  # a type that NumPy does not have, such as bfloat16
        return tensor.float().numpy()


def _take_apart(value: Any, parents: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
    """Return the kind of a value, and its parts by name."""
    if callable(fingerprint := getattr(value, "fingerprint", None)) and not _is_type(value):
        return _name_of(type(value)), dict(fingerprint())
    if isinstance(value, Mapping):
        return type(value).__name__, {str(key): item for key, item in value.items()}
    if isinstance(value, np.ma.MaskedArray):
        parts = {"values": value.filled(0), "mask": np.ma.getmaskarray(value)}
        return _name_of(type(value)), parts
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        return f"{len(value)} items", {str(index): item for index, item in enumerate(value)}
    if isinstance(value, set | frozenset):
        # The order of a set differs between processes.
        items = sorted(repr(_describe({"": item}, parents)) for item in value)
        return type(value).__name__, {"items": items}
    if isinstance(value, np.random.Generator):
        return "Generator", {"state": value.bit_generator.state}
    if isinstance(value, np.random.RandomState):
        return "RandomState", {"state": value.get_state(legacy=False)}
    if isinstance(value, random.Random):
        return _name_of(type(value)), {"state": value.getstate()}
    if isinstance(value, torch.Generator):
        return "torch.Generator", {"state": value.get_state()}
    if isinstance(value, functools.partial):
        return "partial", {"": value.func, "args": value.args, "keywords": value.keywords}
    if isinstance(value, types.MethodType):
        return f"method {value.__func__.__qualname__}", _owner_of(value, parents)
    if inspect.isroutine(value):
        return _name_of(value), _parts_of_function(value)
    if _is_type(value):
        return _name_of(value), _parts_of_class(value)
    if isinstance(value, nn.Module):
        return _name_of(type(value)), _parts_of_module(value, parents)
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}", {}
    if hasattr(value, "to_numpy"):
        names = list(getattr(value, "columns", ()))
        return _name_of(type(value)), {"columns": names, "values": value.to_numpy()}
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return _name_of(type(value)), {"values": array if array.dtype != object else repr(array)}
    left_out = _unused_in_fit(value)
    parts = {name: item for name, item in _attributes(value).items() if name not in left_out}
    return _name_of(type(value)), {"class": type(value), **(parts or _reduced(value))}


def _reduced(value: object) -> dict[str, Any]:
    """Return the content of an object without attributes, as pickle would store it."""
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        content = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception:  # it cannot be pickled: an open file, an iterator
        return {}
    return {"content": content if isinstance(content, str) else content[1:]}


def _owner_of(method: types.MethodType, parents: tuple[int, ...]) -> dict[str, Any]:
    """Return the object of a bound method, and the method's code."""
    owner = method.__self__
    if method.__name__ != "make_batch" or _is_type(owner):
        return {"": method.__func__, "of": owner}
    # A stream draws from the generator that it is given, not from a seed of its own.
    kind, parts = _take_apart(owner, parents)
    parts.pop("random_state", None)
    return {"": kind, **parts}


def _parts_of_function(function: Any) -> dict[str, Any]:
    """Return what a function computes with: closure, defaults, and code and globals of a user's."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    variables = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            variables[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            variables[name] = "unassigned"
    defaults = {"defaults": function.__defaults__, "kwdefaults": function.__kwdefaults__}
    variables |= {name: value for name, value in defaults.items() if value}
    if _is_installed(function):
        return variables
    return {"code": _hash_code(code), **_globals_of(function, code), **variables}


def _globals_of(function: Any, code: types.CodeType) -> dict[str, Any]:
    """Return the numbers, texts, arrays, lists and functions of its module that it uses."""
    known = dict(function.__globals__)
    names = _names(code)
    enclosed = inspect.getclosurevars(function).nonlocals.values() if function.__closure__ else ()
    # What it takes from the user's other modules, as helpers.power.
    for module in [*(known[name] for name in names & known.keys()), *enclosed]:
        if isinstance(module, types.ModuleType) and not _is_installed(module):
            known |= {name: vars(module)[name] for name in names & vars(module).keys()}
    named = {name: known[name] for name in names & known.keys()}
    return {
        name: named[name]
        for name in sorted(named)
        if _plain(named[name]) is not None
        or isinstance(named[name], dict | list | tuple | set | frozenset)
        or (
            isinstance(named[name], types.FunctionType | type | functools.partial)
            and not _is_installed(named[name])
        )
    }


def _names(code: types.CodeType) -> set[str]:
    inner = [item for item in code.co_consts if isinstance(item, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _parts_of_class(cls: type) -> dict[str, Any]:
    """Return the globals that methods use, and a hash of their code, for a class of the user's."""
    parts: dict[str, Any] = {}
    used: dict[str, Any] = {}
    for base in cls.__mro__:
        if _is_installed(base):
            continue
        for name, member in sorted(vars(base).items()):
            kind = type(member).__name__
            for inner in ("fget", "func", "__func__"):  # of a property, or a class method
                member = getattr(member, inner, None) or member
            if isinstance(member, types.FunctionType):
                parts[f"{base.__name__}.{name}"] = f"{kind} {_hash_code(member.__code__)}"
                used |= _globals_of(member, member.__code__)
            elif not name.startswith("__") and (plain := _plain(member)) is not None:
                parts[f"{base.__name__}.{name}"] = plain
    used = {name: value for name, value in used.items() if value is not cls}
    return {"code": _digest(repr(parts).encode()), **used} if parts else {}


def _parts_of_module(module: nn.Module, parents: tuple[int, ...]) -> dict[str, Any]:
    """Return the layers of a module, their settings, and its weights."""
    layers = [
        (name, _name_of(type(layer)), _describe(_settings(layer), parents))
        for name, layer in module.named_modules()
    ]
    state = module.state_dict()
    shapes = [f"{name}{tuple(value.shape)}" for name, value in state.items()]
    return {
        "class": type(module),
        "layers": f"{len(layers)} #{_digest(repr((layers, shapes)).encode())}",
        "weights": hash_weights(state),
    }


def _settings(layer: nn.Module) -> dict[str, Any]:
    """Return the attributes that a layer computes with, other than weights and layers."""
    known = vars(nn.Module()).keys()
    return {name: value for name, value in vars(layer).items() if name not in known}


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """Hash the names, shapes, dtypes and bytes of all weights."""
    described = [f"{name} {_plain(value)}" for name, value in state.items()]
    return f"{len(state)} tensors #{_digest(repr(described).encode())}"


def hash_array(array: np.ndarray) -> str:
    """Hash the bytes of an array in pieces, so that a memory map is not loaded at once."""
    digest = hashlib.blake2b(digest_size=16)
    if array.ndim == 0:
        array = array[np.newaxis]
    n_rows = max(1, _CHUNK // max(1, array[:1].nbytes))
    for start in range(0, len(array), n_rows):
        rows = np.ascontiguousarray(array[start : start + n_rows])
        digest.update(rows.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _hash_code(code: types.CodeType) -> str:
    constants = [
        _hash_code(item) if isinstance(item, types.CodeType) else _show_constant(item)
        for item in code.co_consts
    ]
    return _digest(repr((code.co_code, constants, code.co_names, code.co_varnames)).encode())


def _show_constant(item: object) -> str:
    """Return the repr, the same in all processes: the order of a frozenset is not."""
    return f"frozenset {sorted(map(repr, item))}" if isinstance(item, frozenset) else repr(item)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _attributes(value: object) -> dict[str, Any]:
    """Return the attributes of an object, those in slots too."""
    in_slots = {
        name: getattr(value, name)
        for cls in type(value).__mro__
        if "__slots__" in vars(cls)
        for name, member in vars(cls).items()
        if isinstance(member, types.MemberDescriptorType) and hasattr(value, name)
    }
    return in_slots | getattr(value, "__dict__", {})


def _unused_in_fit(estimator: object) -> frozenset[str]:
    return UNUSED_IN_FIT | getattr(type(estimator), "_unused_in_fit", frozenset())


def _is_type(value: object) -> bool:
    return isinstance(value, type)


def _name_of(thing: Callable[..., Any] | type) -> str:
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", type(thing).__name__)
    return name if module in (None, "builtins", "__main__") else f"{module}.{name}"


def _is_installed(thing: object) -> bool:
    """Return whether a class or function belongs to stemkit or to an installed package."""
    name = getattr(thing, "__module__", getattr(thing, "__name__", None))
    if name is None or name.partition(".")[0] in _BY_NAME:
        return True
    module = sys.modules.get(name)
    return "site-packages" in (getattr(module, "__file__", None) or "")
