"""Errors of rows in series that move while they are scanned, compared with peers.

    python benchmarks/series.py

A row's error is the distance between where it was recorded and where a method puts it, in px, after
what no series can tell (what all frames share) is left out of both. Methods that move whole frames
give all rows of a frame the motion of its middle.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import _options
import _peers
import _report
import _scanned
import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from scipy import ndimage

from stemkit import DriftDecayModel
from stemkit.registration import Motion, register_rows

# (specimen, motion within the frame, counts at about the peak, jitter of rows in px)
SETS = (
    ("crystal", "settling", 30.0, 0.0),
    ("particles", "settling", 10.0, 0.0),
    ("crystal", "sinusoid", 50.0, 0.0),
    ("crystal", "sinusoid", 5.0, 0.0),
    ("particles", "sinusoid", 10.0, 0.0),
    ("crystal", "linear", 10.0, 0.0),
    ("crystal", "none", 10.0, 0.0),
    ("particles", "none", 10.0, 0.0),
    ("crystal", "none", 10.0, 1.0),
    ("particles", "none", 10.0, 1.0),
    ("crystal", "none", 10.0, 3.0),
)
# Rows at the borders are left out: hardly any other frame shows them.
_BORDER = 8
_STRIP = 32
_MARKED = 0.9
Paths = NDArray[np.float64]


def of_motions(motions: list[Motion]) -> Paths:
    """Return the displacements of the middle columns of rows that whole-frame motions give."""
    height, width = motions[0].shape
    rows = np.arange(height)
    paths = []
    for motion in motions:
        points = np.stack([rows, np.full(height, (width - 1) / 2)], -1)
        there = motion.apply(points)
        # Where the specimen's rows are seen, as a function of the row in which they are seen.
        paths.append(np.stack([np.interp(rows, there[:, 0], d) for d in (there - points).T], -1))
    return np.stack(paths)


def path(frames: NDArray) -> tuple[Paths, NDArray | None]:
    """Estimate the paths of all rows by `register_rows`."""
    found = register_rows(frames)
    return found.path, found.probability


def affine(frames: NDArray) -> tuple[Paths, NDArray | None]:
    """Estimate affine motions by DriftDecayModel."""
    from stemkit.registration import motions_from_table

    model = DriftDecayModel(readout="frame")
    table = model.trajectory(frames)
    return of_motions(motions_from_table(table, frames.shape[1:])), None


def stackreg(frames: NDArray) -> tuple[Paths, NDArray | None]:
    """Register all frames to the first by pystackreg."""
    first = frames[0]
    return of_motions([_peers.stackreg(first, frame) for frame in frames]), None


def phase(frames: NDArray) -> tuple[Paths, NDArray | None]:
    """Register all frames to the first by scikit-image."""
    first = frames[0]
    return of_motions([_peers.phase_correlation(first, f, None) for f in frames]), None


def strips(frames: NDArray) -> tuple[Paths, NDArray | None]:
    """Correlate strips of 32 rows with the first frame, and take the highest peaks."""
    height = frames.shape[1]
    first = _peers.band_pass(frames[0])
    middles = np.arange(0, height - _STRIP + 1, _STRIP // 2)
    paths = []
    for frame in frames:
        band = _peers.band_pass(frame)
        shifts = []
        for start in middles:
            strip = np.zeros_like(band)
            strip[start : start + _STRIP] = band[start : start + _STRIP]
            product = np.fft.rfft2(strip) * np.fft.rfft2(first).conj()
            surface = np.fft.irfft2(product, band.shape)
            peak = np.array(np.unravel_index(surface.argmax(), surface.shape))
            shifts.append(
                (peak + np.array(band.shape) // 2) % band.shape - np.array(band.shape) // 2
            )
        at = middles + (_STRIP - 1) / 2
        paths.append(
            np.stack([np.interp(np.arange(height), at, s) for s in np.array(shifts).T], -1)
        )
    return np.stack(paths), None


METHODS: dict[str, Callable[[NDArray], tuple[Paths, NDArray | None]]] = {
    "stemkit rows": path,
    "stemkit affine": affine,
    "strips of 32": strips,
    "pystackreg rigid": stackreg,
    "phase correlation": phase,
}


def errors(found: Paths, true: Paths) -> NDArray[np.float64]:
    """Return the error of each row in px, without what all frames share."""
    rest = without_shared(found) - without_shared(true)
    rest -= np.median(rest.reshape(-1, 2), axis=0)
    return np.hypot(*np.moveaxis(rest[:, _BORDER:-_BORDER], -1, 0))


def without_shared(paths: Paths) -> Paths:
    """Subtract what the paths share, as a function of the specimen's row."""
    paths = paths.astype(float)
    for _ in range(10):
        place = np.arange(paths.shape[1]) - paths[..., 0]
        rows = np.arange(np.floor(place.min()), np.ceil(place.max()) + 1)
        slopes = np.zeros((len(rows), 2))
        count = np.zeros(len(rows))
        for at, values in zip(place, paths, strict=True):
            order = np.argsort(at)
            inside = np.flatnonzero((rows >= at.min()) & (rows <= at.max()))[1:]
            count[inside] += 1
            for axis in (0, 1):
                on_rows = np.interp(rows, at[order], values[order, axis])
                slopes[inside, axis] += on_rows[inside] - on_rows[inside - 1]
        shown = count > len(paths) / 2
        slopes = np.where(shown[:, None], slopes / np.maximum(count, 1)[:, None], 0)
        shared = ndimage.gaussian_filter1d(np.cumsum(slopes, axis=0), 2, axis=0, mode="nearest")
        for at, values in zip(place, paths, strict=True):
            values -= np.stack([np.interp(at, rows, s - s.mean()) for s in shared.T], -1)
    return paths


def orthogonal_errors(found: Paths, true: Paths) -> NDArray[np.float64]:
    """Return the error of each row of frames scanned along 0 and 90 degrees, in px."""
    rest = (found - true)[:, _BORDER:-_BORDER]
    # The place of the specimen is unknown: one shift, along the axes of either frame.
    shift = np.mean([rest[0].mean(0), rest[1].mean(0) @ np.array([[0, 1], [-1, 0]])], axis=0)
    rest = rest - np.stack([shift, shift @ np.array([[0, -1], [1, 0]])])[:, None]
    return np.hypot(*np.moveaxis(rest, -1, 0))


def main(
    n_seeds: Annotated[int, typer.Option(min=1, help="Series of each set.")] = 3,
    n_frames: Annotated[int, typer.Option(min=2, help="Frames of each series.")] = 8,
    n_sets: Annotated[int, typer.Option(min=1, help="Number of sets.")] = len(SETS),
    n_pairs: Annotated[int, typer.Option(min=0, help="Pairs along 0 and 90 degrees.")] = 3,
    output: Annotated[Path | None, typer.Option(help="Write the table as csv.")] = None,
) -> None:
    """Print the errors of rows of all methods."""
    rows = []
    for specimen, motion, dose, jitter in SETS[:n_sets]:
        for name, method in METHODS.items():
            off, unmarked, seconds = [], [], 0.0
            for seed in range(n_seeds):
                series = _scanned.make_series(
                    specimen, motion, dose=dose, jitter=jitter, n_frames=n_frames, seed=1000 + seed
                )
                start = time.process_time()
                found, probability = method(series.frames)
                seconds += time.process_time() - start
                off.append(errors(found, series.paths).ravel())
                if probability is not None:
                    marked = probability[:, _BORDER:-_BORDER].ravel() <= _MARKED
                    unmarked.append(np.where(marked, np.nan, off[-1]))
            every = np.concatenate(off)
            row = {
                "set": f"{specimen}, {motion}, dose {dose:g}, jitter {jitter:g}",
                "method": name,
                "median": np.median(every),
                "seeds": " ".join(f"{np.median(o):.3f}" for o in off),
                "95 %": np.quantile(every, 0.95),
                "worst": every.max(),
                "CPU s a frame": seconds / n_seeds / n_frames,
            }
            if unmarked:
                left = np.concatenate(unmarked)
                left = left[np.isfinite(left)]
                row["unmarked"] = len(left) / len(every)
                row["of these > 1 px"] = float((left > 1).mean()) if len(left) else 0.0
            rows.append(row)
    table = pd.DataFrame(rows).set_index(["set", "method"])
    _report.print_table("Rows of scanned series, errors in px", table.round(3))
    if output is not None:
        table.to_csv(output)

    if n_pairs == 0:
        return
    rows = []
    for curved in (False, True):
        off = []
        for seed in range(n_pairs):
            pair = _scanned.make_orthogonal("crystal", curved=curved, dose=30, seed=2000 + seed)
            found = register_rows(pair.frames, scan_direction=pair.directions)
            off.append(orthogonal_errors(found.path, pair.paths).ravel())
        every = np.concatenate(off)
        rows.append(
            {
                "path": "curved" if curved else "linear",
                "median": np.median(every),
                "seeds": " ".join(f"{np.median(o):.3f}" for o in off),
                "95 %": np.quantile(every, 0.95),
            }
        )
    title = "Pairs scanned along 0 and 90 degrees, errors in px"
    _report.print_table(title, pd.DataFrame(rows).set_index("path").round(3))


if __name__ == "__main__":
    _options.run(main, n_seeds=1, n_frames=2, n_sets=1, n_pairs=0)
