"""Files of microscopes, read through RosettaSciIO, the library that HyperSpy uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from .._labelled import NoFramesError, order_of_axes
from .._output import whole_file
from .._units import nm_per_unit, pixel_size_in_nm, s_per_unit
from ._blo import check_blo
from ._frame_stack import FrameStack
from ._unread import Unread

# Readers whose scale is wrong, or is not that of the frames.
_WITHOUT_PIXEL_SIZE = ("tvips", "semper", "pantarhei")
# Pictures of a screen or a camera, and tables: not the frames of a microscope.
_LEFT_OUT = ("DENS", "Image", "Impulse", "MSA", "Protochips")
# Quantities in HyperSpy's metadata, with the factor to the unit of FrameStack.
_QUANTITIES = {
    "voltage": ("beam_energy", 1.0),  # keV of an electron, kV
    "current": ("beam_current", 1e3),  # nA to pA
    "dwell_time": ("dwell_time", 1.0),
    "exposure": ("exposure", 1.0),
}


def read(path: Path) -> list[FrameStack]:
    """Open the signals of a file that are frames."""
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError("it is empty")
    if path.suffix.lower() == ".blo":
        check_blo(path)
    for plugin in find_plugins(path):
        has_size = plugin.split(".")[1] not in _WITHOUT_PIXEL_SIZE
        if signals := _signals(import_module(plugin), path):
            return stacks_of_signals(signals, has_size=has_size)
    raise ValueError("it holds no signal")


def stacks_of_signals(
    signals: Sequence[Mapping[str, Any]], *, has_size: bool = True
) -> list[FrameStack]:
    """Return the signals that are frames, as HyperSpy's dicts describe them.

    Raises
    ------
    ValueError
        If no signal is a stack of frames.
    """
    stacks, others = [], []
    for signal in signals:
        try:
            stacks.append(stack_of_signal(signal, has_size=has_size))
        except NoFramesError as reason:
            others.append(f"{_title(signal) or 'a signal'} ({reason})")
    if not stacks:
        raise ValueError(f"it holds no frames of real numbers, but {', '.join(others)}")
    return stacks


# Quantities that may differ between the frames of a series.
_OF_FRAMES = {"dwell_time", "exposure"}


def find_plugins(path: Path) -> list[str]:
    """Return the modules of RosettaSciIO that read an ending."""
    from rsciio import IO_PLUGINS

    ending = path.suffix[1:].lower()
    return [
        plugin["api"]
        for plugin in IO_PLUGINS
        if ending in (other.lower() for other in plugin["file_extensions"])
        and plugin["name"] not in _LEFT_OUT
    ]


def _signals(module: Any, path: Path) -> list[Mapping[str, Any]]:
    """Read the headers, and the data where they can't be left in the file."""
    try:
        return list(module.file_reader(str(path), lazy=True))
    except Exception:  # some readers can't be lazy, and others not with every file
        return list(module.file_reader(str(path)))


def stack_of_signal(signal: Mapping[str, Any], *, has_size: bool = True) -> FrameStack:
    """Return a signal as a stack.

    Raises
    ------
    NoFramesError
        If it is not a stack of frames.
    """
    data, axes = signal["data"], signal["axes"]
    if data.dtype.names is not None:
        data = _grey(data)
    if data.dtype.kind not in "buif":
        raise NoFramesError(f"{data.dtype} values")
    order = order_of_axes(axes, data.shape)
    metadata = signal.get("metadata", {})
    sizes = [_nm(axes[axis]) for axis in order[-2:]]
    return FrameStack(
        _reordered(data, order),
        pixel_size_in_nm(*sizes) if has_size else None,
        times=_times(axes[order[0]]) if len(order) == 3 else None,
        detector=_title(signal) or None,
        metadata={
            "metadata": metadata,
            "original_metadata": signal.get("original_metadata", {}),
        },
        **_quantities(signal, data.shape[order[0]] if len(order) == 3 else 1),
    )


def _title(signal: Mapping[str, Any]) -> str:
    return str(signal.get("metadata", {}).get("General", {}).get("title") or "")


def _grey(data: Any) -> Any:
    """Return one of the fields of a colour image in which all are equal."""
    first, *others = (data[name] for name in data.dtype.names[:3])
    if all(bool((first == other).all()) for other in others):
        return first
    raise NoFramesError("colours")


def _reordered(data: Any, order: tuple[int, ...]) -> Any:
    def arrange(array: Any) -> Any:
        frames = array.transpose(order)
        return frames[np.newaxis] if len(order) == 2 else frames

    if not hasattr(data, "dask"):
        return arrange(data if isinstance(data, np.ma.MaskedArray) else np.asarray(data))
    shape = arrange(data).shape
    return Unread(
        tuple(int(n) for n in shape),
        data.dtype,
        lambda: arrange(np.asarray(data.compute(scheduler="synchronous"))),
        lambda: arrange(data),
    )


def _nm(axis: Mapping[str, Any]) -> float | None:
    factor = nm_per_unit(axis.get("units"))
    return None if factor is None or axis["scale"] is None else float(axis["scale"]) * factor


def _times(axis: Mapping[str, Any]) -> np.ndarray[Any, Any] | None:
    factor = s_per_unit(axis.get("units"))
    if factor is None:
        return None
    values = axis.get("values")
    if values is not None:
        times = (values.astype(float) - float(values[0])) * factor
        increase = np.isfinite(times).all() and (np.diff(times) > 0).all()
        return times if increase else None
    step = float(axis.get("scale") or 0.0) * factor
    return np.arange(int(axis["size"])) * step if step > 0 and math.isfinite(step) else None


def _quantities(signal: Mapping[str, Any], n_frames: int) -> dict[str, Any]:
    """Return what the metadata record, at whatever depth, in the units of FrameStack."""
    instrument = signal.get("metadata", {}).get("Acquisition_instrument", {})
    mapped = _mapped(signal)
    found: dict[str, Any] = {}
    for name, (key, factor) in _QUANTITIES.items():
        value = _find(instrument, key)
        with suppress(KeyError, TypeError, ValueError):
            numbers = np.asarray(mapped[key] if value is None else value, dtype=float) * factor
            if not (np.isfinite(numbers) & (numbers > 0)).all():
                continue
            if numbers.size == 1:
                found[name] = float(numbers.ravel()[0])
            elif numbers.shape == (n_frames,) and name in _OF_FRAMES:
                found[name] = numbers
    return found


def _mapped(signal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original metadata that have a place in HyperSpy's, by the last part of its path.

    A reader gives the paths, and HyperSpy moves the values when it loads a file.
    """
    found = {}
    for path, (place, convert) in (signal.get("mapping") or {}).items():
        value = signal.get("original_metadata", {})
        with suppress(Exception):  # a value that a microscope left out or wrote in its own way
            for key in path.split("."):
                value = value[key]
            found[place.rpartition(".")[2]] = value if convert is None else convert(value)
    return found


def _find(tree: Any, key: str) -> Any:
    """Return the value of a key in nested dicts, or None."""
    if not isinstance(tree, Mapping):
        return None
    if key in tree and not isinstance(tree[key], Mapping):
        return tree[key]
    return next((value for item in tree.values() if (value := _find(item, key)) is not None), None)


def signal_dict(stack: FrameStack) -> dict[str, Any]:
    """Return a stack as HyperSpy's files describe a signal."""
    size = np.broadcast_to(np.nan if stack.pixel_size is None else stack.pixel_size, 2)
    scales = [1.0 if np.isnan(value) else float(value) for value in size]
    unit = None if stack.pixel_size is None else "nm"
    step = 1.0
    if stack.times is not None and len(stack) > 1:
        step = float(np.diff(stack.times).mean())
    described = [("Time", step, "s" if stack.times is not None else None, True)]
    described += [("y", scales[0], unit, False), ("x", scales[1], unit, False)]
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "scale": scale,
            "offset": 0.0,
            "units": axis_unit,
            "size": n,
            "navigate": navigate,
            "is_binned": False,
            "index_in_array": index,
        }
        for index, ((name, scale, axis_unit, navigate), n) in enumerate(
            zip(described, stack.shape, strict=True)
        )
    ]
    kept = dict(stack.metadata.get("metadata", {}))
    general = {**kept.get("General", {}), "title": stack.detector or ""}
    instrument = {
        key: getattr(stack, name) / factor
        for name, (key, factor) in _QUANTITIES.items()
        if getattr(stack, name) is not None
    }
    metadata = {**kept, "General": general, "Signal": {"signal_type": ""}}
    if instrument:
        metadata["Acquisition_instrument"] = {"TEM": instrument}
    return {
        "data": np.asarray(stack.frames),
        "axes": axes,
        "metadata": metadata,
        "original_metadata": dict(stack.metadata.get("original_metadata", stack.metadata)),
        "attributes": {"_lazy": False, "ragged": False},
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
        "package_info": {"package": "stemkit", "package_version": __version__},
    }


def write(path: Path, stack: FrameStack) -> None:
    """Write a stack as HyperSpy saves one."""
    from rsciio.hspy import file_writer

    with whole_file(path) as temporary:
        file_writer(str(temporary), signal_dict(stack))
