"""Frames together with what their files record about them."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._thumbnail import thumbnail_step, to_grey, to_img

PixelSize = float | tuple[float, float]
PerFrame = float | NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class FrameStack:
    """Frames with the information that their files contain.

    It can be passed to estimators and to NumPy functions in place of an array. Indices are those of
    `frames`: ``stack[2:8]`` and ``stack[:, 10:90, 20:80]`` are stacks again, with the names, times
    and pixel size that belong to them, and ``stack[0]`` is a frame.

    Attributes
    ----------
    frames : ndarray of shape (n_frames, H, W)
        Intensities as they are in the files, in the type of the files; a dask array if it was
        read lazily. Of a masked array, the mask is joined to `mask`.
    pixel_size : float, (float, float) or None
        Length of a pixel in nm; (y, x) if pixels are oblong, None if it is unknown.
    names : tuple of str
        Where each frame comes from: the name of the file, followed by the index of the frame in
        brackets if the file holds more than one. Empty if unknown.
    times : ndarray of shape (n_frames,) or None
        Start of each frame in s after the first one.
    dwell_time : float, ndarray of shape (n_frames,) or None
        Time of the beam on a pixel in s; an array if it differs between frames.
    exposure : float, ndarray of shape (n_frames,) or None
        Exposure of a frame of a camera in s; an array if it differs between frames.
    voltage : float or None
        Acceleration voltage in kV.
    current : float or None
        Beam current in pA.
    detector : str or None
        Name of the detector or signal.
    metadata : dict
        Everything else that the reader of the file found.
    mask : ndarray of shape (n_frames, H, W), bool, or None
        True where a pixel is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.io import FrameStack
    >>> stack = FrameStack(np.zeros((5, 64, 48), "uint16"), pixel_size=0.02, detector="HAADF")
    >>> stack
    FrameStack: 5 frames of 64 x 48 px, uint16, pixels of 0.02 nm, HAADF
    >>> stack[1:3].shape, stack[:, ::2, ::2].pixel_size, stack[0].shape
    ((2, 64, 48), 0.04, (64, 48))
    """

    frames: Any
    pixel_size: PixelSize | None = None
    names: tuple[str, ...] = ()
    times: NDArray[np.float64] | None = None
    dwell_time: PerFrame | None = None
    exposure: PerFrame | None = None
    voltage: float | None = None
    current: float | None = None
    detector: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.frames, np.ma.MaskedArray):
            mask = np.ma.getmaskarray(self.frames)
            object.__setattr__(self, "mask", mask if self.mask is None else mask | self.mask)
            object.__setattr__(self, "frames", self.frames.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_frames, H, W)."""
        return tuple(self.frames.shape)

    @property
    def ndim(self) -> int:
        """Number of axes: 3."""
        return len(self.frames.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the intensities."""
        return self.frames.dtype

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter(self.frames)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy:
            return np.array(self.frames, dtype=dtype)
        return np.asarray(self.frames, dtype=dtype)

    def __getitem__(self, index: Any) -> FrameStack | NDArray[Any]:
        chosen = self.frames[index]
        if len(chosen.shape) != 3:
            return chosen
        which, *window = _keys_of_axes(index)
        numbers = np.arange(len(self))[which]
        return replace(
            self,
            frames=chosen,
            pixel_size=_strided(self.pixel_size, window),
            names=tuple(self.names[i] for i in numbers) if self.names else (),
            times=None if self.times is None else self.times[numbers],
            dwell_time=_of_frames(self.dwell_time, numbers),
            exposure=_of_frames(self.exposure, numbers),
            mask=None if self.mask is None else self.mask[index],
        )

    def __repr__(self) -> str:
        return "FrameStack: " + ", ".join(self._summary())

    def _summary(self) -> list[str]:
        n, *shape = self.shape
        parts = [f"{n} frame{'s' * (n != 1)} of {' x '.join(map(str, shape))} px", str(self.dtype)]
        if isinstance(self.pixel_size, tuple):
            parts.append("pixels of {:.4g} x {:.4g} nm".format(*self.pixel_size))
        elif self.pixel_size is not None:
            parts.append(f"pixels of {self.pixel_size:.4g} nm")
        else:
            parts.append("pixel size unknown")
        quantities = (("exposure", "s"), ("voltage", "kV"), ("current", "pA"))
        for name, unit in quantities:
            value = getattr(self, name)
            parts += [] if value is None else [f"{name} {_range(value)} {unit}"]
        if self.dwell_time is not None:
            parts.append(f"dwell time {_range(1e6 * self.dwell_time)} µs")
        if self.detector:
            parts.append(self.detector)
        if self.mask is not None:
            parts.append(f"{int(np.sum(self.mask))} pixels are missing")
        return parts

    def _repr_html_(self) -> str:
        text = "<br>".join(html.escape(part) for part in self._summary())
        return (
            f'<div style="display:flex;gap:1em;align-items:center">{self._thumbnail()}'
            f"<div><b>FrameStack</b><br>{text}</div></div>"
        )

    def _thumbnail(self) -> str:
        """Return the first frame as an HTML image, from its 1st to its 99th percentile."""
        step = thumbnail_step(self.shape[1:])
        return to_img(to_grey(np.asarray(self.frames[0, ::step, ::step])), "first frame")


def _of_frames(value: PerFrame | None, numbers: Any) -> PerFrame | None:
    """Return what a quantity is for some of the frames."""
    return value[numbers] if isinstance(value, np.ndarray) else value


def _range(value: PerFrame) -> str:
    low, high = float(np.min(value)), float(np.max(value))
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _keys_of_axes(index: Any) -> list[Any]:
    """Return the keys of the three axes; an ellipsis and absent ones become slices."""
    keys = list(index) if isinstance(index, tuple) else [index]
    place = next((i for i, key in enumerate(keys) if key is Ellipsis), len(keys))
    missing = [slice(None)] * (3 - sum(key is not Ellipsis for key in keys))
    return keys[:place] + missing + keys[place + 1 :]


def _strided(pixel_size: PixelSize | None, window: list[Any]) -> PixelSize | None:
    """Return the pixel size after slicing with steps, such as every second pixel."""
    if pixel_size is None or not all(isinstance(key, slice) for key in window):
        return None
    steps = [abs(key.step or 1) for key in window]
    y, x = pixel_size if isinstance(pixel_size, tuple) else (pixel_size, pixel_size)
    sizes = (y * steps[0], x * steps[1])
    return sizes[0] if sizes[0] == sizes[1] else sizes
