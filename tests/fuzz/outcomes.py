"""The outcome of a call: a result, an error of stemkit, or a fault.

An error is stemkit's if a ``raise`` statement of stemkit raised it, its class is one of `CLASSES`,
and its message names an argument (or the file). Errors of scikit-learn's checks of 2-D arrays and
of fitted estimators also count as stemkit's, and errors of the system about a file that the message
names. All others are foreign. A result that is not finite is a fault unless stemkit warns.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

import stemkit

FINITE, NAMED, FOREIGN, NOT_FINITE, TIMEOUT = "finite", "named", "foreign", "non-finite", "timeout"
KINDS = (FINITE, NAMED, FOREIGN, NOT_FINITE, TIMEOUT)
FAULTS = (FOREIGN, NOT_FINITE, TIMEOUT)
# FloatingPointError: a fit diverged, as fit_module documents; the message names lr and the data.
# MemoryError: frames are larger than max_bytes, as read_stack documents.
CLASSES = (
    *(ValueError, TypeError, NotFittedError, OSError, ImportError),
    *(FloatingPointError, MemoryError),
)
_PACKAGE = Path(stemkit.__file__).parent
_SKLEARN_CHECKS = ("sklearn/utils/validation.py", "sklearn/utils/_array_api.py", "sklearn/base.py")
# Words that name the data of any function in messages.
_DATA = ("frame", "frames", "pair", "pairs", "stack", "card", "checkpoint", "weights")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one call."""

    kind: str
    detail: str = ""
    trace: str = ""


class _OutOfTimeError(BaseException):
    """Raised in a call by the alarm; no ``except Exception`` catches it."""


def run(call: Callable[[], Any], names: Collection[str], seconds: float) -> Outcome:
    """Make a call, and classify its outcome.

    Parameters
    ----------
    call : callable
        Takes no arguments.
    names : collection of str
        Names of arguments that an error may name.
    seconds : float
        Time limit.
    """

    def give_up(number: int, frame: FrameType | None) -> None:
        raise _OutOfTimeError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        result, error = None, None
        try:
            result = call()
        except _OutOfTimeError:
            return Outcome(TIMEOUT, f"no answer in {seconds:g} s")
        except (Exception, SystemExit) as raised:
            error = raised
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    if error is not None:  # outside of the time limit, which is for the call alone
        return _judge_error(error, names)
    if where := "; ".join(not_finite(result)):
        if any(_is_ours(warning) for warning in caught):
            return Outcome(FINITE, "not finite, with a warning")
        return Outcome(NOT_FINITE, where)
    return Outcome(FINITE)


def _is_ours(warning: warnings.WarningMessage) -> bool:
    made_here = warning.category.__module__.startswith("stemkit")
    return made_here or issubclass(warning.category, UserWarning)


def _judge_error(error: BaseException, names: Collection[str]) -> Outcome:
    trace = "".join(traceback.format_exception(error))
    message = " ".join(str(error).split())
    file, line = _raised_at(error.__traceback__)
    detail = f"{type(error).__name__} at {_short(file)}:{line}: {message[:200]}"
    if not isinstance(error, CLASSES):
        return Outcome(FOREIGN, detail, trace)
    words = set(re.findall(r"\w+", message))
    named = not words.isdisjoint({*names, *_DATA})
    if file.startswith(str(_PACKAGE)):
        ours = named and (line in _raising_lines(file) or isinstance(error, OSError))
    elif file.endswith(_SKLEARN_CHECKS):
        ours = True
    else:
        ours = isinstance(error, OSError) and named
    return Outcome(NAMED if ours else FOREIGN, detail, trace)


def _raised_at(trace: TracebackType | None) -> tuple[str, int]:
    """Return the file and line of the innermost frame."""
    place = ("", 0)
    while trace is not None:
        place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _short(file: str) -> str:
    return re.sub(r".*/(site-packages|stemkit|lib/python[\d.]+)/", "", file)


@cache
def _raising_lines(file: str) -> frozenset[int]:
    """Return the lines of a file that belong to ``raise`` statements."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return frozenset(
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    )


def not_finite(value: Any, where: str = "result", depth: int = 0) -> Iterator[str]:
    """Yield the positions of NaN and inf in a result."""
    if depth > 6:
        return
    if isinstance(value, torch.Tensor):
        if value.device.type == "meta":
            yield f"{where}, without values"
            return
        value = value.detach().cpu()
        if value.is_floating_point() and not bool(torch.isfinite(value.double()).all()):
            yield where
    elif isinstance(value, pd.DataFrame):
        for name, column in value.items():
            yield from not_finite(column.to_numpy(), f"{where}[{name!r}]", depth + 1)
    elif isinstance(value, pd.Series):
        yield from not_finite(value.to_numpy(), where, depth + 1)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in "fc" and not np.isfinite(value).all():
            yield where
    elif isinstance(value, float | np.floating):
        if not np.isfinite(value):
            yield where
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from not_finite(item, f"{where}[{key!r}]", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from not_finite(item, f"{where}[{index}]", depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from not_finite(getattr(value, field.name), f"{where}.{field.name}", depth + 1)
    elif isinstance(value, BaseEstimator):
        for name, item in vars(value).items():
            if name.endswith("_") and not name.startswith("_"):
                yield from not_finite(item, f"{where}.{name}", depth + 1)
    elif isinstance(value, torch.nn.Module):
        yield from not_finite(value.state_dict(), f"{where}.state_dict()", depth + 1)
