"""Arrays whose axes have names and units, as those of HyperSpy and xarray, and dask arrays.

They are recognised by their attributes: none of these packages is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._units import nm_per_unit

# Names of axes, in lower case.
_ACROSS, _DOWN = ("x", "width"), ("y", "height")
_ONE_AFTER_THE_OTHER = ("t", "time", "z", "frame", "frames", "image series", "stack", "index")
# Largest difference between the steps of a regular axis, relative to a step.
_REGULAR = 0.01


class NoFramesError(ValueError):
    """The axes are not those of a stack of frames; the message says what they are of."""


def axes_of(values: Any) -> list[dict[str, Any]] | None:
    """Describe the axes of a HyperSpy signal or an xarray.DataArray, or return None.

    Returns
    -------
    list of dict, or None
        One for each axis of ``values.data``, in this order: ``name``, ``units``, ``size``,
        ``navigate``, the step ``scale``, or None if it is not known or not regular, and the
        coordinates ``values``, or None. None for an object without labels.
    """
    if hasattr(values, "axes_manager") and hasattr(values, "data"):
        manager = values.axes_manager
        axes = [*manager.navigation_axes, *manager.signal_axes]
        return [_of_signal(axis) for axis in sorted(axes, key=lambda axis: axis.index_in_array)]
    names = getattr(values, "dims", None)
    if isinstance(names, tuple) and hasattr(values, "coords") and hasattr(values, "data"):
        return [
            _of_coordinates(name, size, values.coords)
            for name, size in zip(names, values.data.shape, strict=True)
        ]
    return None


def _of_signal(axis: Any) -> dict[str, Any]:
    scale = getattr(axis, "scale", None)  # irregular axes have none
    return {
        "name": str(axis.name),
        "units": str(axis.units),
        "size": int(axis.size),
        "navigate": bool(axis.navigate),
        "scale": scale,
        "values": np.asarray(axis.axis) if scale is None else None,
    }


def _of_coordinates(name: Any, size: int, coordinates: Mapping[Any, Any]) -> dict[str, Any]:
    axis: dict[str, Any] = {"name": str(name), "units": None, "size": size, "navigate": False}
    axis |= {"scale": None, "values": None}
    if name not in coordinates:
        return axis
    values = np.asarray(coordinates[name].data)
    axis["units"] = str(coordinates[name].attrs.get("units", ""))
    if values.dtype.kind in "mM":  # dates and durations
        values, axis["units"] = (values - values[:1]) / np.timedelta64(1, "s"), "s"
    if values.dtype.kind in "iuf":
        axis |= {"values": values, "scale": _step(values.astype(float))}
    return axis


def _step(values: NDArray[np.float64]) -> float | None:
    """Return the distance of coordinates, or None if it is not the same everywhere."""
    steps = np.diff(values)
    if not len(steps) or not np.isfinite(steps).all():
        return None
    mean = float(steps.mean())
    return abs(mean) if np.all(abs(steps - mean) <= _REGULAR * abs(mean)) else None


def order_of_axes(axes: Sequence[Mapping[str, Any]], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the positions of the axes time (if there is one), y and x.

    Raises
    ------
    NoFramesError
        If the axes are not those of frames.
    """
    n = len(axes)
    if n not in (2, 3) or len(shape) != n:
        raise NoFramesError(f"{len(shape)} axes of {' x '.join(map(str, shape))}")
    names = [str(axis.get("name") or "").lower() for axis in axes]
    units = [axis.get("units") for axis in axes]
    if any(name.startswith(("energy", "wavelength")) for name in names) or "eV" in units:
        raise NoFramesError("spectra")
    flags = [bool(axis.get("navigate")) for axis in axes]
    if n == 3 and flags.count(True) == 2:
        raise NoFramesError("a spectrum or line for each point")
    across, down = (_first(names, known) for known in (_ACROSS, _DOWN))
    if across is not None and down is not None:
        rest = tuple(axis for axis in range(n) if axis not in (across, down))
        return (*rest, down, across)
    if n == 2:
        return (0, 1)
    first = flags.index(True) if any(flags) else _first(names, _ONE_AFTER_THE_OTHER)
    if first is None:
        lengths = [nm_per_unit(unit) is not None for unit in units]
        first = lengths.index(False) if lengths.count(False) == 1 else 0
    return (first, *(axis for axis in range(3) if axis != first))


def _first(names: list[str], known: tuple[str, ...]) -> int | None:
    return next((index for index, name in enumerate(names) if name in known), None)


def unlabelled(values: Any, name: str) -> Any:
    """Return the data of labelled and dask arrays, with the axes of frames in the usual order.

    Masks are kept: the result is a masked array if the data are. Anything else is returned as it
    is.

    Raises
    ------
    ValueError
        If the axes of a labelled array are not those of frames.
    """
    axes = axes_of(values)
    if axes is not None:
        values = values.data
        if len(axes) in (2, 3):
            try:
                values = values.transpose(order_of_axes(axes, values.shape))
            except NoFramesError as error:
                raise ValueError(
                    f"{name} holds no frames, but {error}; pass frames (n_frames, H, W)."
                ) from error
    frames: Any = getattr(values, "frames", None)
    if hasattr(frames, "dask"):
        known = getattr(values, "mask", None)
        values = frames.compute()
        if known is not None:
            values = np.ma.masked_array(values, known | np.ma.getmaskarray(values))
    return values.compute() if hasattr(values, "dask") else values
