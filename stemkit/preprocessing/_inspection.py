"""What is wrong with frames as microscopes record them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._arrays import Float32Array, rescale_to_float32
from .._bad_pixels import Mask, filled, find_fixed, find_lines, find_marks, find_spikes
from .._edges import Edges, find_edges
from .._frame_statistics import contrast_skewness, noise_level, spectral_statistics
from .._gain import CERTAIN, Gain, fit_noise
from .._noise_law import noise_law
from .._noise_spectrum import noise_spectrum
from .._spectrum import Spectrum, spectrum
from .._validation import check_frames, split_missing
from ._frame_report import FrameReport
from ._intensities import block_quantiles, gradient, levels, step_between
from ._marked_frames import Places, draw
from ._rules import find
from ._scale_bars import find_scale_bars
from ._spectra import fixed_pattern, lattice_spacing, line_noise

# Frames in which pixels that are bad in all of them are looked for.
_FOR_FIXED = 16
# Frames that the report shows.
_SHOWN = 12
# Least side in px of what is measured, and of frames that show whether atoms are dark.
_SMALLEST, _FOR_SKEWNESS = 8, 48
# Whiteness below which the gain is that of the structure too.
_LEAST_WHITENESS = 0.7
# Columns in the unit of the frames.
_IN_UNIT = (
    *("level", "lowest", "noise", "noise_low", "noise_gain", "noise_offset", "readout"),
    "level_step",
)
_COUNTS = (
    *("missing", "marks", "fixed_pixels", "spikes", "bad_rows", "bad_columns", "unrecorded"),
    *("data_bar", "scale_bar"),
)
_SHARES = ("saturated", "clipped", "absent_levels", "row_noise", "column_noise", "fixed_pattern")
_FLAGS = "independent_noise", "shared_noise", "alike"
_MEASURED = (
    *("level", "lowest", "noise", "noise_low", "noise_gain", "noise_offset", "readout"),
    *(
        "whiteness",
        "whiteness_error",
        "gradient",
        "gradient_ratio",
        "intensity_step",
        "gain_step",
        "gain_step_error",
    ),
    *("offset_step", "noise_step", "atom_sigma", "spacing", "skewness", "n_levels", "level_step"),
)


def inspect_frames(stack: ArrayLike) -> FrameReport:
    """Report what is wrong with frames, and what it means for estimators.

    Nothing is changed. It takes about as long as reading the frames, and may be done first.

    Parameters
    ----------
    stack : FrameStack or array-like of shape (n_frames, H, W)
        Frames of a series in order, of any real dtype and in any unit, as they were recorded: some
        findings depend on the type of the file. Pixels may be NaN or masked.

    Returns
    -------
    FrameReport
        Shows text or, in a notebook, pictures, and has these attributes: ``findings``, and
        ``table`` with a row for each frame and these columns:

        - ``name``, if the stack has names; ``findings``: their names;
        - ``blank``, and ``duplicate``: whether it equals an earlier frame;
        - ``missing``, ``marks``, ``fixed_pixels``, ``spikes``: numbers of pixels that are NaN or
          masked, marked by the detector, bad in all frames, or bad in this frame alone;
          ``bad_rows``, ``bad_columns``: numbers of lines;
        - ``unrecorded``, ``data_bar``: numbers of rows and columns at the edges that were not
          recorded, or hold text; ``scale_bar``: number of pixels;
        - ``saturated``, ``clipped``: shares of the pixels at the largest and the smallest value;
        - ``n_levels``, ``level_step``: number of distinct values and their distance, which tell
          the bits in use; ``absent_levels``: share of values between others that no pixel has;
        - ``level``, ``lowest``: median and least intensity; ``noise``: standard deviation of the
          noise, 0 if none stands out; ``readout``: that at the darkest places, of the intensity
          ``noise_low``; ``noise_gain``: increase of the variance with the intensity, 0 if it is
          not certain; ``noise_offset``: the intensity at which no noise would be left, the offset
          of the detector if noise is that of counts alone;
        - ``independent_noise``, ``shared_noise``: whether the noise is independent from pixel to
          pixel, or neighbours share it; ``whiteness``, ``whiteness_error``: power of the noise at
          the highest frequencies in that at medium ones, 1 if pixels have independent noise;
        - ``intensity_step``: ratio of the intensities to those of the frame before, NaN where the
          specimen changed too much to tell; ``alike``: whether dark and bright places are scaled
          alike; ``gain_step``, ``gain_step_error``: ratio of the gain of the noise, and the
          standard error of its logarithm; ``noise_step``: ratio of the noise; ``offset_step``:
          common shift of all intensities in standard deviations of the noise;
        - ``gradient``, ``gradient_ratio``: change of the background across the frame in standard
          deviations of the noise, and ratio of its ends;
        - ``row_noise``, ``column_noise``: standard deviation of whole lines in that of the noise of
          a pixel; ``fixed_pattern``: share of the noise that is the same in the frame before;
        - ``atom_sigma``: standard deviation of atoms in px; ``spacing``: distance of lattice planes
          in px; ``skewness``: positive for bright atoms, negative for dark ones.

        Measurements are NaN where a frame does not tell: atoms where nothing stands out of the
        noise, steps in the first frame and after blank ones, the noise of frames of less than
        32 px, all of them in blank frames. Numbers of pixels and shares are never NaN.

    Raises
    ------
    ValueError
        If `stack` is not a stack of real numbers or holds inf.

    See Also
    --------
    BadPixelRepair : Fill bad pixels.
    stemkit.io.read_stack : Frames in the type of the file.

    Notes
    -----
    Bad pixels are found as by :class:`BadPixelRepair`; those that are bad in all frames, in up to
    16 of them. The other measurements leave out what is no image, and use frames with bad pixels
    filled. Damage and drift change intensities too. A step of the gain is one of the noise's
    variance over the intensity, which damage does not change; a step of the exposure or the offset
    is one that dark and bright places show alike and that differs from the usual change in the
    series; frames that get darker alike may be damaged, and are a step in long series alone.
    Frames whose noise does not stand out, as simulated or denoised ones, have no findings about
    noise.

    Examples
    --------
    >>> from stemkit.datasets import make_damage_sequence
    >>> from stemkit.preprocessing import inspect_frames
    >>> frames = make_damage_sequence(n_frames=4, shape=(96, 96), dose=50, random_state=0).frames
    >>> inspect_frames(frames)
    FrameReport: 4 frames of 96 x 96 px, no findings
    noise: standard deviation 0.0679; 0.0239 at the darkest places, and a gain of 0.0203
    atoms: bright, sigma 3.01 px
    levels: 82 in use (7 bits), 0.02 apart
    >>> frames[:, 40, 50] = 3 * frames.max()
    >>> frames[2, :20] = 0
    >>> report = inspect_frames(frames)
    >>> [(finding.name, finding.frames, finding.value) for finding in report.findings]
    [('unrecorded edges', (2,), 20.0), ('fixed pixels', (0, 1, 2, 3), 1.0)]
    """
    array, missing = split_missing(stack, "stack")
    frames = check_frames(array, name="stack", bad_pixels=None)
    missing = np.broadcast_to(missing, frames.shape)
    frames, unit = rescale_to_float32(frames)
    series = _Series(len(frames))
    for index, frame in enumerate(frames):
        marks = find_marks(array[index : index + 1])[0]
        series.add(frame, missing[index], marks)
    fixed = series.fixed(frames.shape[1:])
    table = _as_table(series, fixed, float(unit), stack)
    findings = tuple(find(table))
    table["findings"] = [
        ", ".join(finding.name for finding in findings if index in finding.frames)
        for index in range(len(frames))
    ]
    positions = np.argwhere(fixed)
    pictures = tuple(
        (
            index,
            draw(np.where(missing[index], np.nan, frames[index]), series.places[index], positions),
        )
        for index in _most_telling(table)
    )
    size = getattr(stack, "pixel_size", None)
    pixel_size = size if isinstance(size, float) else None
    return FrameReport(table, findings, frames.shape[1:], pixel_size, pictures)


def _most_telling(table: pd.DataFrame) -> list[int]:
    """Return the frames to show in order: those with the most findings."""
    n_findings = [names.count(",") + bool(names) for names in table["findings"]]
    order = sorted(range(len(table)), key=lambda index: -n_findings[index])
    return sorted(order[:_SHOWN])


def _as_table(series: _Series, fixed: Mask, unit: float, stack: Any) -> pd.DataFrame:
    table = pd.DataFrame(series.rows)
    n_fixed = int(fixed.sum())
    table["fixed_pixels"] = n_fixed
    table["spikes"] = [
        int(np.count_nonzero(~fixed[tuple(places.spikes.T)])) for places in series.places
    ]
    series.places = [
        replace(places, spikes=places.spikes[~fixed[tuple(places.spikes.T)]])
        for places in series.places
    ]
    for name in _IN_UNIT:
        table[name] *= unit
    # What is not known is NaN, errors without a bound and ratios to nothing included.
    measured = list(_MEASURED)
    table[measured] = table[measured].replace([np.inf, -np.inf], np.nan)
    names = getattr(stack, "names", ())
    if isinstance(names, tuple) and len(names) == len(table):
        table.insert(0, "name", list(names))
    table.index.name = "frame"
    first = ["name"] if "name" in table else []
    return table[[*first, "blank", "duplicate", *_COUNTS, *_SHARES, *_FLAGS, *_MEASURED]].copy()


class _Before(NamedTuple):
    """What the next frame is compared with."""

    quantiles: NDArray[np.float64]
    noise: float
    gain: Gain
    spectrum: Spectrum | None


class _Series:
    """Measurements of the frames of a series, one after another."""

    def __init__(self, n_frames: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self.places: list[Places] = []
        self._sample = set(np.linspace(0, n_frames - 1, min(n_frames, _FOR_FIXED), dtype=int))
        self._for_fixed: list[tuple[Float32Array, Edges]] = []
        self._seen: set[bytes] = set()
        self._before: _Before | None = None

    def add(self, frame: Float32Array, missing: Mask, marks: Mask) -> None:
        """Measure the next frame."""
        row: dict[str, Any] = dict.fromkeys((*_COUNTS, *_SHARES), 0)
        row |= dict.fromkeys(_MEASURED, np.nan) | dict.fromkeys(_FLAGS, False)
        known = missing | marks
        row["missing"], row["marks"] = int(missing.sum()), int(marks.sum())
        frame = filled(frame, known)
        row["blank"] = bool(known.all() or frame.min() == frame.max())
        row["level"], row["lowest"] = float(np.median(frame)), float(frame.min())
        digest = hashlib.blake2b(frame.tobytes(), digest_size=16).digest()
        row["duplicate"] = not row["blank"] and digest in self._seen
        self._seen.add(digest)
        places = Places(missing=np.argwhere(known))
        if not row["blank"]:
            places = self._measure(frame, known, row, places)
        self.rows.append(row)
        self.places.append(places)

    def _measure(
        self, frame: Float32Array, filled_before: Mask, row: dict[str, Any], places: Places
    ) -> Places:
        """Measure a frame that is not constant, and return where its findings are."""
        edges, row["unrecorded"], row["data_bar"] = find_edges(frame)
        places = replace(places, edges=edges)
        inner = edges.inner(frame.shape)
        origin = np.array([edges.top, edges.left])
        image = np.ascontiguousarray(frame[inner])
        if min(image.shape) < _SMALLEST or image.min() == image.max():
            return places
        bar = find_scale_bars(image)
        image = filled(image, bar)
        lines = find_lines(image)
        image = filled(image, lines)
        if len(self.rows) in self._sample:
            self._for_fixed.append((image, edges))
        spikes = find_spikes(image)
        image = filled(image, spikes)
        rows, columns = np.flatnonzero(lines.all(axis=1)), np.flatnonzero(lines.all(axis=0))
        row["scale_bar"] = int(bar.sum())
        row["bad_rows"], row["bad_columns"] = len(rows), len(columns)
        places = replace(
            places,
            spikes=np.argwhere(spikes) + origin,
            scale_bar=np.argwhere(bar) + origin,
            rows=rows + edges.top,
            columns=columns + edges.left,
        )
        if image.min() < image.max():
            sound = ~(filled_before[inner] | bar | lines | spikes)
            self._measure_image(image, sound, row)
        if row["saturated"]:
            places = replace(places, saturated=np.argwhere(image == image.max()) + origin)
        return places

    def _measure_image(self, image: Float32Array, sound: Mask, row: dict[str, Any]) -> None:
        """Measure a frame without what is no image, some of its pixels filled."""
        row["level"], row["lowest"] = np.median(image), image.min()
        sigma = row["atom_sigma"] = spectral_statistics(image).atom_sigma
        if np.isfinite(sigma) and min(image.shape) >= _FOR_SKEWNESS:
            row["skewness"] = _skewness(image, sigma)
        transform = spectrum(image)
        if transform is not None:
            row["spacing"] = lattice_spacing(transform)
        noise, gain = self._measure_noise(image, transform, row)
        found = levels(image, sound, row["readout"])
        row["n_levels"], row["level_step"] = found.n, found.step
        row["saturated"], row["clipped"] = found.saturated, found.clipped
        row["absent_levels"] = found.absent
        plane = gradient(image)
        row["gradient"] = plane.change / noise if noise > 0 else 0.0
        row["gradient_ratio"] = plane.ratio
        now = _Before(block_quantiles(image), noise, gain, transform if noise > 0 else None)
        if self._before is not None and not row["duplicate"]:
            self._compare(self._before, now, row)
        self._before = now

    def _measure_noise(
        self, image: Float32Array, transform: Spectrum | None, row: dict[str, Any]
    ) -> tuple[float, Gain]:
        """Return the standard deviation of the noise, 0 if none stands out, and its gain."""
        unknown = Gain(np.nan, np.inf)
        noise = noise_level(image)
        if transform is not None:
            spectral = noise_spectrum(transform)
            row["whiteness"], row["whiteness_error"] = spectral.whiteness, spectral.error
            row["independent_noise"], row["shared_noise"] = spectral.independent, spectral.shared
            if not (spectral.independent or spectral.shared):
                row["noise"] = row["noise_gain"] = row["readout"] = 0.0
                return 0.0, unknown
            row["row_noise"], row["column_noise"] = line_noise(transform)
        row["noise"], row["readout"] = noise, noise
        if not row["independent_noise"]:
            return noise, unknown
        fit = fit_noise(image)
        if fit is None:
            row["readout"] = noise_law(image).readout
            return noise, unknown
        row["readout"], row["noise_low"] = np.sqrt(fit.at(fit.darkest)), fit.darkest
        certain = fit.slope > CERTAIN * fit.error
        row["noise_gain"] = fit.slope if certain else 0.0
        # Sharp atoms add to the finest details.
        if not certain or row["whiteness"] < _LEAST_WHITENESS:
            return noise, unknown
        row["noise_offset"] = fit.level - fit.variance / fit.slope
        return noise, Gain(fit.slope, fit.error / fit.slope)

    def _compare(self, before: _Before, now: _Before, row: dict[str, Any]) -> None:
        step = step_between(before.quantiles, now.quantiles)
        row["intensity_step"], row["alike"] = step.ratio, step.alike
        row["gain_step"] = now.gain.value / before.gain.value
        row["gain_step_error"] = np.hypot(now.gain.error, before.gain.error)
        if before.noise > 0 and now.noise > 0:
            row["offset_step"] = step.offset / before.noise
            row["noise_step"] = now.noise / before.noise
        one, other = before.spectrum, now.spectrum
        if one is not None and other is not None and one.values.shape == other.values.shape:
            row["fixed_pattern"] = fixed_pattern(one, other)

    def fixed(self, shape: tuple[int, int]) -> Mask:
        """Return the pixels that are bad in all frames."""
        mask = np.zeros(shape, bool)
        if not self._for_fixed:
            return mask
        common = Edges(*np.max([edges for _, edges in self._for_fixed], axis=0).tolist())
        inner = common.inner(shape)
        if min(mask[inner].shape) < 3:
            return mask
        parts = []
        for image, edges in self._for_fixed:
            top, left = common.top - edges.top, common.left - edges.left
            height, width = mask[inner].shape
            parts.append(image[top : top + height, left : left + width])
        mask[inner] = find_fixed(np.stack(parts))
        return mask


def _skewness(image: Float32Array, sigma: float) -> float:
    """Return whether atoms are bright or dark, from means over parts smaller than they are."""
    side = max(1, min(int(sigma), min(image.shape) // _FOR_SKEWNESS))
    ny, nx = (length // side for length in image.shape)
    binned = image[: ny * side, : nx * side].reshape(ny, side, nx, side).mean(axis=(1, 3))
    return contrast_skewness(binned, sigma / side)
