"""Calls of all public functions and estimators with some wrong arguments.

`make_call` makes the call of a seed and an index; function and arguments depend on these two
numbers alone.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone

import stemkit
from stemkit._constraints import check_value
from stemkit.denoise import GaussianDenoiser
from stemkit.exceptions import InvalidParameterError
from stemkit.noise import PoissonGaussianNoise
from stemkit.utils import all_estimators

from ..small_estimators import all_small_instances, small_instances
from .sample_files import SampleFiles, spoilt_card
from .values import Rng, describe, good_frames, spoilt_array, spoilt_parameter

FRAMES = (3, 16, 20)
FRAME = FRAMES[1:]
TABLE = pd.DataFrame({"frame": [0, 1, 2], "y": [3.0, 5.0, 9.0], "x": [4.0, 9.0, 12.0]})

# Shapes of arguments that are data, by name.
DATA: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("X", "y", "frames", "y_true", "y_pred", "stack", "X_true"), FRAMES),
    **dict.fromkeys(("first", "second", "frame", "signal", "noisy", "denoised"), FRAME),
    "array": FRAMES,
    "pair": (2, *FRAME),
    "decay": FRAMES,
    "values": FRAME,
    **dict.fromkeys(("closure", "confidence"), FRAMES[:1]),
    "output": (2, 1, *FRAME),
    "target": (2, 1, *FRAME),
    "arrays": (2, 1, *FRAME),
    "shift": FRAMES[:2],
    "true_positions": (5, 2),
    "found_positions": (5, 2),
}

# Arguments that are required, or whose defaults would take long.
ARGUMENTS: dict[str, Callable[[SampleFiles], Any]] = {
    "shape": lambda files: FRAME,
    "kind": lambda files: "gaussian",
    "n_samples": lambda files: 2,
    "n_frames": lambda files: 2,
    "n_pairs": lambda files: 1,
    "n_images": lambda files: 1,
    "random_state": lambda files: 0,
    "generator": lambda files: None,
    "material": lambda files: "Si",
    "scene": lambda files: _scene(),
    "motion": lambda files: _motion(),
    "motions": lambda files: [_motion()] * FRAMES[0],
    "table": lambda files: pd.DataFrame({"dy": [0.0, 1.0, 2.0], "dx": [0.0, 0.5, 1.0]}),
    "rng": lambda files: np.random.default_rng(0),
    "batch_size": lambda files: 1,
    "side": lambda files: 24,
    "registrations": lambda files: {(0, 1): _registration()},
    "device": lambda files: "cpu",
    "precision": lambda files: "32-true",
    "function": lambda files: torch.nn.Identity(),
    "module": lambda files: torch.nn.Conv2d(1, 1, 1),
    "loss": lambda files: _module_loss,
    "source": lambda files: files.images,
    "data_home": lambda files: files.folder / "data_home",
    "download_if_missing": lambda files: False,
    "estimator": lambda files: GaussianDenoiser(),
    "noise": lambda files: PoissonGaussianNoise(gain=1.0, read_sigma=1.0, random_state=0),
    "scoring": lambda files: "psnr",
    "weights": lambda files: {"weight": torch.ones(1, 1, 1, 1), "bias": torch.ones(1)},
    "origin": lambda files: "small.safetensors",
    "card": lambda files: {"seed": 0},
    "sigma": lambda files: 2.0,
    "share": lambda files: 0.1,
    "variance": lambda files: 0.1,
    "gain": lambda files: 1.0,
    "read_sigma": lambda files: 1.0,
    "offset": lambda files: 1.0,
    "dose": lambda files: 50.0,
    "level": lambda files: 2.0,
    "amplitude": lambda files: 2.0,
    "tolerance": lambda files: 2.0,
    "path": lambda files: files.path(".safetensors"),
    "step": lambda files: 1,
    "lr": lambda files: 0.001,
    "max_steps": lambda files: 2,
    "warmup_steps": lambda files: 1,
}
# Arguments of a single function or method.
OWN: dict[str, dict[str, Callable[[SampleFiles], Any]]] = {
    "average": {
        "weights": lambda files: np.ones(FRAMES[0]),
        "dose": lambda files: np.arange(1.0, 1.0 + FRAMES[0]),
    },
    "register_rows": {"frames": lambda files: good_frames(np.random.default_rng(1), (2, 32, 32))},
    "align_rows": {
        "frames": lambda files: good_frames(np.random.default_rng(1), (2, 32, 32)),
        "rows": lambda files: _rows(),
    },
    "apply": {"trajectory": lambda files: pd.DataFrame({"dy": [0, 1, 2], "dx": [0, 0, 1]})},
    "register": {"motion": lambda files: "translation", "bad_pixels": lambda files: None},
    "fit_module": {"source": lambda files: _source()},
    "load_card": {"name": lambda files: files.weights},
    "load_weights": {"name": lambda files: files.weights},
    "read_checkpoint": {"path": lambda files: files.checkpoint},
    "from_checkpoint": {"path": lambda files: files.checkpoint},
    "pick_precision": {
        "precision": lambda files: "auto",
        "device": lambda files: torch.device("cpu"),
    },
    "read_stack": {"paths": lambda files: files.stacks[0]},
    "write_stack": {"path": lambda files: files.path(".tif")},
    "make_crystal_images": {"pixel_size": lambda files: 0.05},
    "atom_f1": {"y_true": lambda files: TABLE, "y_pred": lambda files: TABLE},
    "unstabilize_log": {"frames": lambda files: np.linspace(0, 4, 60).reshape(FRAMES[0], 4, 5)},
    "AtomLocator.score": {"y": lambda files: TABLE},
    "fit_critical_dose": {"dose": lambda files: np.arange(1.0, 1.0 + FRAMES[0])},
    "critical_dose": {"dose": lambda files: np.arange(1.0, 1.0 + FRAMES[0])},
}
# Optional arguments that are always passed.
ALWAYS = {"y", "source", "data_home"}
# Arguments that are never changed, with the reason.
LEFT_ALONE = {
    "verbose",  # prints
}
# Parameters that only get wrong values, since valid ones can take minutes.
LONG = {("DriftDecayModel", "max_epochs"), ("SplitPairs", "denoiser")}
PATHS = {"path", "paths", "name", "source", "data_home", "checkpoint_dir", "weights"}
# Parts of results that may be infinite or NaN according to docstrings: pattern and condition.
MAY_BE_INFINITE = {
    r"metrics\.(psnr|get_scorer) .*": "inf for frames without an error",
    r"AtomLocator .*_err'\]": "inf for what a frame does not determine, as y in a line",
    r"metrics\.(epi|get_scorer) .*": "inf if the true frame is constant",
    r"\w+\.reconcile result\[1\]": "NaN for frames that no closed loop reaches",
    r".* .*'closure'\]": "the same, in a table",
    r"metrics\.atom_score .*\['rms_error'\]": "NaN without a match",
    r".* .*\.(gain|read_sigma|offset|column_sigma)_stderr_?": "NaN for a value that was given",
    r"io\.as_frame_stack result\.frames": "the frames that were given",
    r"preprocessing\.inspect_frames result\.table\['(level|lowest|noise|noise_(low|gain|offset)|"
    r"readout|whiteness|whiteness_error|gradient|gradient_ratio|\w+_step|gain_step_error|atom_sigma|"
    r"spacing|skewness|n_levels)'\]": "NaN for what a frame does not tell",
    r"(DriftDecayModel|damage.fit_\w+) result\.(dose|stderr|upper_limit)": "inf: nothing decays",
    r"damage.decay_bands result\..*": "NaN and inf for bands without structure",
}


@dataclass
class Call:
    """A call and its text."""

    name: str
    text: str
    names: set[str]
    run: Callable[[], Any] = field(repr=False)


def _scene() -> Any:
    from stemkit.datasets import make_scene

    return make_scene(FRAME, random_state=0)


def _motion() -> Any:
    from stemkit.registration import Motion

    return Motion(FRAME, drift=np.array([1.0, -2.0]))


@cache
def _registration() -> Any:
    from stemkit.registration import register

    frame = good_frames(np.random.default_rng(0), FRAME)
    return register(frame, frame, motion="translation")


@cache
def _rows() -> Any:
    from stemkit.registration import register_rows

    with warnings.catch_warnings():  # frames of random numbers have no structure
        warnings.simplefilter("ignore")
        return register_rows(good_frames(np.random.default_rng(1), (2, 32, 32)))


def _module_loss(module: Any, batch: Any) -> Any:
    return (module(batch[0]) ** 2).mean()


def _source() -> Any:
    from stemkit.engine import ArraySource

    return ArraySource(np.ones((4, 1, 8, 8), dtype="float32"), batch_size=2)


@cache
def public_functions() -> dict[str, Callable[..., Any]]:
    """Find every public function, by the shortest of its names."""
    found: dict[Any, str] = {}
    for module in walk_packages(stemkit.__path__, "stemkit."):
        # The command line answers with exit codes.
        if any(part.startswith("_") or part == "cli" for part in module.name.split(".")):
            continue
        offered = import_module(module.name)
        for name in getattr(offered, "__all__", ()):
            thing = getattr(offered, name)
            if inspect.isroutine(thing):
                full = f"{module.name.removeprefix('stemkit.')}.{name}"
                if thing not in found or len(full) < len(found[thing]):
                    found[thing] = full
    return {name: function for function, name in sorted(found.items(), key=lambda item: item[1])}


def methods(estimator: BaseEstimator) -> list[str]:
    """List the public methods of an estimator that take frames."""
    plain = set(dir(BaseEstimator)) | {"set_output"}
    return [
        name
        for name in dir(type(estimator))
        if not name.startswith("_")
        and name not in plain
        and not name.endswith("_request")
        and inspect.isroutine(getattr(type(estimator), name))
    ]


def public_names() -> list[str]:
    """List what is fuzzed: functions and estimators."""
    return [*public_functions(), *(name for name, _ in all_estimators())]


def good_arguments(function: Callable[..., Any], name: str, files: SampleFiles) -> dict[str, Any]:
    """Choose an argument for each parameter that is required or slow by default."""
    rng = np.random.default_rng(1)
    arguments: dict[str, Any] = {}
    own = OWN.get(name, OWN.get(name.rpartition(".")[2], {}))
    for key, parameter in inspect.signature(function).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or key == "self":
            continue
        if key in own:
            arguments[key] = own[key](files)
        elif key in DATA and (required or key in ALWAYS):
            value: Any = good_frames(rng, DATA[key])
            arguments[key] = torch.from_numpy(value) if key in ("output", "target") else value
        elif key in ARGUMENTS and (required or parameter.default is not None or key in ALWAYS):
            arguments[key] = ARGUMENTS[key](files)
        elif required:
            raise LookupError(
                f"tests/fuzz/calls.py does not know what to pass as {key} to {name}: "
                f"add it to DATA, ARGUMENTS or OWN"
            )
    return arguments


def _spoil(rng: Rng, key: str, value: Any, files: SampleFiles) -> tuple[str, Any]:
    """Change one argument."""
    if key in PATHS and rng.integers(2):
        path = files.odd_path(rng)
        return f"{key}={describe(path)}", path
    if key in DATA and rng.integers(5):
        shape = value.shape if isinstance(value, np.ndarray | torch.Tensor) else DATA[key]
        note, array = spoilt_array(rng, tuple(shape))
        return f"{key}={note}", array
    if key == "sample_weight" and rng.integers(2):
        note, array = spoilt_array(rng, FRAMES[:1])
        return f"{key}={note}", array
    bad = spoilt_parameter(rng)
    return f"{key}={describe(bad)}", bad


def _spoilt_arguments(
    rng: Rng, function: Callable[..., Any], name: str, files: SampleFiles
) -> tuple[str, dict[str, Any], set[str]]:
    arguments = good_arguments(function, name, files)
    parameters = inspect.signature(function).parameters
    keys = [
        key
        for key, parameter in parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and key not in LEFT_ALONE
        and key != "self"
    ]
    notes = []
    count = min(len(keys), (0, 1, 1, 1, 1, 1, 2, 3)[rng.integers(8)])
    # Data are changed more often than other parameters, of which there are many.
    weight = np.array([3.0 if key in DATA else 1.0 for key in keys])
    for key in rng.choice(keys, count, replace=False, p=weight / weight.sum()) if count else ():
        note, arguments[str(key)] = _spoil(rng, str(key), arguments.get(key), files)
        notes.append(note)
    return ", ".join(notes), arguments, set(parameters)


def _positional(function: Callable[..., Any], arguments: dict[str, Any]) -> tuple[list, dict]:
    """Split arguments into those passed by position and those passed by name."""
    positional, by_name = [], dict(arguments)
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not parameter.empty or key not in by_name:
            break
        if parameter.kind is parameter.KEYWORD_ONLY:
            break
        positional.append(by_name.pop(key))
    return positional, by_name


def _call_function(rng: Rng, name: str, files: SampleFiles) -> Call:
    function = public_functions()[name]
    note, arguments, names = _spoilt_arguments(rng, function, name, files)
    if name == "io.read_stack" and rng.integers(3):
        note, path = files.spoilt_file(rng, files.stacks[rng.integers(len(files.stacks))])
        arguments, names = {"paths": path}, names | _words(path)
    if name == "engine.read_checkpoint" and rng.integers(3):
        note, path = files.spoilt_file(rng, files.checkpoint)
        arguments, names = {"path": path}, names | _words(path)
    if name == "engine.load_weights" and rng.integers(3):
        note, path = files.spoilt_file(rng, files.weights)
        arguments, names = {"name": path}, names | _words(path)
    if name == "engine.load_card" and rng.integers(3):
        note, path = files.spoilt_file(rng, files.weights.with_suffix(".json"))
        arguments, names = {"name": path}, names | _words(path)
    for value in arguments.values():
        names |= _words(value)
    positional, by_name = _positional(function, arguments)

    def run() -> Any:
        result = function(*positional, **by_name)
        # A scorer that the caller defines is returned unchanged, and may raise anything.
        if name == "metrics.get_scorer" and isinstance(arguments["scoring"], str):
            X = good_frames(np.random.default_rng(2), FRAMES)
            y = spoilt_array(rng, FRAMES)[1] if rng.integers(2) else X
            return result(GaussianDenoiser().fit(X), X, y)
        return result

    if name == "metrics.get_scorer":
        names |= {"y_true", "y_pred", "X", "y"}
    return Call(name, f"{name}({note})", names, run)


def _words(value: Any) -> set[str]:
    """Return the parts of a path or of a list of paths, one of which an error may contain."""
    if isinstance(value, list | tuple):
        return set().union(*map(_words, value))
    if not isinstance(value, str | Path):
        return set()
    return {word for word in str(value).replace(".", "/").split("/") if word}


@cache
def _fitted(index: int) -> BaseEstimator:
    X = good_frames(np.random.default_rng(3), FRAMES)
    return clone(all_small_instances()[index]).fit(X, X)


def _parameter_value(rng: Rng, key: str, files: SampleFiles) -> Any:
    if key in PATHS and rng.integers(2):
        return files.odd_path(rng)
    return spoilt_parameter(rng)


def _accepts(cls: type[BaseEstimator], key: str, value: Any) -> bool:
    try:
        check_value(value, key, cls._parameter_constraints[key])
    except InvalidParameterError:
        return False
    return True


def _call_estimator(rng: Rng, name: str, files: SampleFiles) -> Call:
    cls = dict(all_estimators())[name]
    variants = small_instances(cls)
    variant = variants[rng.integers(len(variants))]
    parameters = [key for key in inspect.signature(cls).parameters if key not in LEFT_ALONE]
    X = good_frames(np.random.default_rng(4), FRAMES)
    kind = rng.integers(5)
    names = {*parameters, "X", "y"}
    if kind <= 1 and parameters:  # a parameter
        estimator = clone(variant)
        notes = []
        for key in rng.choice(parameters, min(len(parameters), rng.integers(1, 3)), replace=False):
            value = _parameter_value(rng, str(key), files)
            if (name, key) in LONG and _accepts(cls, str(key), value):
                continue
            setattr(estimator, str(key), value)
            notes.append(f"{key}={describe(value)}")
            names |= _words(value)
        use = "predict" if not hasattr(estimator, "transform") else "transform"
        if rng.integers(3):

            def run() -> Any:
                fitted = estimator.fit(X, X)
                return fitted, getattr(fitted, use)(X[:2])

            return Call(name, f"{name}({', '.join(notes)}).fit(X, X).{use}(X)", names, run)
        return Call(
            name,
            f"{name}({', '.join(notes)}).{use}(X)",
            names,
            lambda: getattr(estimator, use)(X[:2]),
        )
    if kind == 2:  # data of fit
        estimator = clone(variant)
        note, arguments, more = _spoilt_arguments(rng, estimator.fit, f"{name}.fit", files)
        use = "predict" if not hasattr(estimator, "transform") else "transform"

        def fit() -> Any:
            fitted = estimator.fit(**arguments)
            return fitted, getattr(fitted, use)(arguments["X"])

        return Call(name, f"{name}().fit({note}), and {use} of the same X", names | more, fit)
    if kind == 3 and "weights" in parameters and hasattr(cls, "save_weights"):
        return _call_with_card(rng, name, variant, files)
    # data of another method
    offered = [m for m in methods(variant) if m not in ("from_checkpoint",)]
    method = offered[rng.integers(len(offered))]
    index = [type(e) for e in all_small_instances()].index(cls)
    fitted = _fitted(index)
    again = clone(fitted)
    vars(again).update(vars(fitted))
    bound = getattr(again, method)
    note, arguments, more = _spoilt_arguments(rng, bound, f"{name}.{method}", files)
    for value in arguments.values():
        names |= _words(value)
    positional, by_name = _positional(bound, arguments)
    return Call(
        name, f"{name}.{method}({note})", names | more, lambda: bound(*positional, **by_name)
    )


def _call_with_card(rng: Rng, name: str, variant: BaseEstimator, files: SampleFiles) -> Call:
    """Use saved weights whose card or file is damaged."""
    fitted = _fitted([type(e) for e in all_small_instances()].index(type(variant)))
    path = files.path(".safetensors")
    fitted.save_weights(path)
    card = path.with_suffix(".json")
    if rng.integers(4):
        note, text = spoilt_card(rng, json.loads(card.read_text()))
        card.write_text(text)
    elif rng.integers(2):
        note, path = files.spoilt_file(rng, path)
        if path.suffix == ".safetensors":
            path.with_suffix(".json").write_text(card.read_text())
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(path)
        key = sorted(tensors)[rng.integers(len(tensors))]
        change = (
            lambda t: t * float("nan"),
            lambda t: t + float("inf"),
            lambda t: t.double(),
            lambda t: t.half(),
            lambda t: t.long(),
            lambda t: t[None].clone(),
            lambda t: t * 1e38,
        )
        number = rng.integers(len(change))
        tensors[key] = change[number](tensors[key]).contiguous()
        note = f"{key} changed, way {number}"
        save_file(tensors, path)
    estimator = clone(variant).set_params(weights=path)
    X = good_frames(np.random.default_rng(4), FRAMES)
    names = {"card", "weights", *_words(path), *_words(card)}
    return Call(
        name, f"{name}(weights=a file: {note}).transform(X)", names, lambda: estimator.transform(X)
    )


def make_call(seed: int, index: int, files: SampleFiles) -> Call:
    """Make the call of a seed and an index; public names alternate."""
    rng = np.random.default_rng([seed, index])
    names = public_names()
    # Estimators have many parameters and methods, so they are called three times as often.
    functions = public_functions()
    turns = [name for name in names for _ in range(1 if name in functions else 3)]
    name = turns[index % len(turns)]
    if name in functions:
        return _call_function(rng, name, files)
    return _call_estimator(rng, name, files)
