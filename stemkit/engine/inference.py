"""Application of networks to frames of any size in tiles, with limited memory."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from stemkit._arrays import as_array
from stemkit._constraints import Function, Interval, check_arguments
from stemkit.engine._device import pick_device, pick_precision


class _Span(NamedTuple):
    """Position of a tile along one axis, and of its transition from the tile before."""

    start: int
    stop: int
    fade_start: int
    fade_stop: int


@check_arguments(
    function=[Function("tiles")],
    out=[None, np.ndarray],
    tile=[Interval(int, 1, None, unit="px")],
    overlap=[Interval(int, 0, None, unit="px")],
    margin=[Interval(float, 0, 0.5)],
    multiple=[Interval(int, 1, None, unit="px")],
    batch_size=[None, Interval(int, 1, None)],
    verbose=["verbose"],
)
def run_tiled(
    function: Callable[[Tensor], Tensor],
    arrays: NDArray,
    *,
    tile: int = 256,
    overlap: int = 32,
    margin: float = 0.375,
    multiple: int = 1,
    batch_size: int | None = None,
    out: NDArray[np.float32] | None = None,
    device: str | int | torch.device = "auto",
    precision: str = "auto",
    verbose: int = 0,
) -> NDArray[np.float32]:
    """Apply a function from images to images of the same height and width.

    Larger frames are cut into overlapping tiles, with smooth transitions in the overlaps. Frames
    that fit into a tile are processed in one pass.

    Parameters
    ----------
    function : nn.Module or callable
        From a tensor (B, C, h, w) to one of (B, C_out, h, w), on the device. A module is in
        evaluation mode during the call, and remains on the device.
    arrays : array of shape (n, C, H, W)
        Images; a memory map is read tile by tile.
    tile : int, default=256
        Longest side of a tile, in px.
    overlap : int, default=32
        Minimum overlap of neighbouring tiles, in px; at most half a tile.
    margin : float, default=0.375
        Share of the overlap at either side of it that is not used: artefacts at a tile's edge have
        no effect on the result if they reach no further than that. In between, the result changes
        from one tile to the next.
    multiple : int, default=1
        Make the sides of tiles multiples of this, by mirroring the frame's edge.
    batch_size : int, optional
        Tiles processed at once. By default 1 on the CPU, where more need memory and save no time,
        and 16 on a GPU.
    out : float32 array of shape (n, C_out, H, W), optional
        Array to write the result to, for instance a memory map.
    device, precision : default="auto"
        See `pick_device` and `pick_precision`.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar.

    Returns
    -------
    ndarray of shape (n, C_out, H, W), float32

    Raises
    ------
    ValueError
        If sizes are inconsistent, `arrays` are not finite real numbers, `out` does not fit, or the
        function changes the height or width.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.engine import run_tiled
    >>> frames = np.random.default_rng(0).random((2, 1, 300, 41), dtype=np.float32)
    >>> bool((run_tiled(lambda x: 2 * x, frames, tile=64) == 2 * frames).all())
    True
    """
    if not isinstance(arrays, np.ndarray):  # a memory map is one, and stays on the disk
        arrays = as_array(arrays, "arrays")
    if arrays.dtype.kind not in "buif":
        raise ValueError(f"arrays must hold real numbers; got dtype {arrays.dtype}.")
    _check_sizes(arrays.shape, tile, overlap, multiple)
    _check_out(out, arrays.shape)
    picked = pick_device(device)
    if batch_size is None:
        batch_size = 1 if picked.type == "cpu" else 16
    height, width = arrays.shape[2:]
    rows = _spans(height, tile, overlap, multiple, margin)
    columns = _spans(width, tile, overlap, multiple, margin)
    places = itertools.product(range(len(arrays)), rows, columns)
    half = pick_precision(precision, picked) == "bf16-mixed"

    total = len(arrays) * len(rows) * len(columns)
    bar = tqdm(total=total, unit="tile", disable=verbose < 1)
    strip = np.empty(0, np.float32)
    with bar, _evaluating(function, picked), torch.inference_mode():
        while batch := list(itertools.islice(places, min(batch_size, sys.maxsize))):
            cut = [_cut(arrays[frame], row, column) for frame, row, column in batch]
            stacked = np.stack(cut)
            if not np.isfinite(stacked).all():
                frames = sorted({frame for frame, _, _ in batch})
                raise ValueError(
                    f"arrays contains NaN, inf or values beyond float32, frames {frames}; replace "
                    f"these pixels or leave the frames out."
                )
            tiles = torch.as_tensor(stacked).to(picked)
            with torch.autocast(picked.type, torch.bfloat16, enabled=half):
                result = function(tiles)
            _check_result(tiles, result)
            bar.update(len(batch))
            if out is None:
                out = np.empty((len(arrays), result.shape[1], height, width), np.float32)
            if out.shape[1] != result.shape[1]:
                raise ValueError(
                    f"out has {out.shape[1]} channels, but function gives {result.shape[1]}."
                )
            if not strip.size:
                strip = np.empty((out.shape[1], result.shape[2], width), np.float32)
            drawn = result.float().cpu().numpy()
            for (frame, row, column), image in zip(batch, drawn, strict=True):
                # first a strip of tiles from left to right, then the strip into the frame: so each
                # fade is between two values only, and leaves what both agree on exactly as it is
                _fade_in(strip, image, column)
                if column is columns[-1]:
                    _fade_in(out[frame].swapaxes(1, 2), strip.swapaxes(1, 2), row)
    if out is None:
        raise ValueError("arrays must hold at least one frame.")
    return out


def _check_sizes(shape: tuple[int, ...], tile: int, overlap: int, multiple: int) -> None:
    if len(shape) != 4 or 0 in shape:
        raise ValueError(f"arrays must be of shape (n, C, H, W), each at least 1; got {shape}.")
    if tile % multiple:
        raise ValueError(f"tile must be a multiple of {multiple}; got {tile}.")
    most = min(tile // 2, tile - multiple)
    if overlap > most:
        raise ValueError(
            f"overlap must be at most {most} px for tiles of {tile} px; got {overlap}."
        )


def _check_out(out: NDArray | None, shape: tuple[int, ...]) -> None:
    if out is None:
        return
    fits = out.ndim == 4 and (len(out), *out.shape[2:]) == (shape[0], *shape[2:])
    if not fits or out.dtype != np.float32 or not out.flags.writeable:
        raise ValueError(
            f"out must be a writeable float32 array of shape ({shape[0]}, C_out, {shape[2]}, "
            f"{shape[3]}); got {out.dtype} of shape {out.shape}."
        )


def _check_result(tiles: Tensor, result: Tensor) -> None:
    if result.ndim != 4 or result.shape[2:] != tiles.shape[2:] or len(result) != len(tiles):
        raise ValueError(
            f"function must keep the number, height and width of the images: it got "
            f"{tuple(tiles.shape)} and gave {tuple(result.shape)}."
        )


def _spans(
    length: int, tile: int, overlap: int, multiple: int, margin: float = 0.375
) -> list[_Span]:
    """Lay tiles evenly along an axis; the last may end beyond it, by less than `multiple`."""
    padded = math.ceil(length / multiple) * multiple
    if padded <= tile:
        return [_Span(0, padded, 0, 0)]
    longest_gap = (tile - overlap) // multiple * multiple
    n_gaps = math.ceil((padded - tile) / longest_gap)
    spans: list[_Span] = []
    for index in range(n_gaps + 1):
        # starts at a multiple, so that pooling cuts a tile as it would the whole frame
        start = (padded - tile) * index // n_gaps // multiple * multiple
        shared = spans[-1].stop - start if spans else 0
        unused = int(shared * margin)
        fade_stop = start + shared - unused if spans else start
        spans.append(_Span(start, start + tile, start + unused, fade_stop))
    return spans


def _cut(frame: NDArray, row: _Span, column: _Span) -> NDArray[np.float32]:
    """Return a tile, mirrored beyond the edge of the frame."""
    with np.errstate(over="ignore"):  # inf is an error of the caller's
        image = np.asarray(frame[:, row.start : row.stop, column.start : column.stop], np.float32)
    missing = [
        span.stop - span.start - n for span, n in zip((row, column), image.shape[1:], strict=True)
    ]
    if any(missing):
        image = np.pad(image, ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric")
    return image


def _fade_in(canvas: NDArray[np.float32], image: NDArray[np.float32], span: _Span) -> None:
    """Write an image to a canvas, with a smooth transition along their last axis."""
    length = min(span.stop, canvas.shape[2]) - span.start
    first, last = span.fade_start - span.start, span.fade_stop - span.start
    image = image[:, : canvas.shape[1], :length]
    drawn = canvas[:, :, span.start : span.start + length]
    fade = np.sin(np.linspace(0, np.pi / 2, last - first + 2, dtype=np.float32)[1:-1]) ** 2
    drawn[..., first:last] += fade * (image[..., first:last] - drawn[..., first:last])
    drawn[..., last:] = image[..., last:]


@contextmanager
def _evaluating(function: Callable[[Tensor], Tensor], device: torch.device) -> Iterator[Any]:
    """Move a module to the device, and set evaluation mode until exit."""
    if not isinstance(function, nn.Module):
        yield
        return
    modes = {part: part.training for part in function.modules()}
    function.to(device).eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
