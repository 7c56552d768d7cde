"""Which measurements of a frame are findings, and what they mean for estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._findings import Finding

Values = NDArray[np.float64]

# A step differs from the usual change between frames by so many standard deviations.
_ABRUPT = 6.0
# Fewest changes from which the usual one is known.
_FEWEST = 3
# Least whiteness of independent noise, as for the shipped weights, and the largest.
_CORRELATED, _SHARPENED = 0.7, 1.4
# Standard errors by which one gain must differ from another, and noise from white noise.
_CERTAIN = 4.0
# Least share of the noise of a pixel that noise of lines must have to matter.
_LINE_NOISE = 0.25


class _Rule(NamedTuple):
    """A finding is a number that lies beyond the threshold: above it, unless ``below``."""

    name: str
    measure: Callable[[pd.DataFrame], Values]
    threshold: float
    meaning: str
    unit: str
    below: bool = False


def _column(name: str) -> Callable[[pd.DataFrame], Values]:
    return lambda table: table[name].to_numpy(dtype=float, na_value=np.nan)


def _abrupt(changes: Values) -> Values:
    """Return changes that differ from the usual one, and 0 for others."""
    known = changes[np.isfinite(changes)]
    if len(known) < _FEWEST:
        return np.nan_to_num(changes)
    usual = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - usual)))
    return np.where(np.abs(changes - usual) > _ABRUPT * spread, changes, 0.0)


def _intensity_ratio(table: pd.DataFrame) -> Values:
    """Return the ratio of intensities, 1 where it is usual."""
    return np.exp(_abrupt(np.log(_column("intensity_step")(table))))


def _gain_step(table: pd.DataFrame) -> Values:
    change = np.log(_column("gain_step")(table))
    certain = np.abs(change) > _CERTAIN * _column("gain_step_error")(table)
    # The noise follows the gain; it does not where a gradient or saturation bends its law. If the
    # intensities stay the same, frames were averaged, or took another time for as many counts.
    with_noise = np.log(_column("noise_step")(table)) * np.sign(change) > np.abs(change) / 2
    alone = np.abs(np.log(_column("intensity_step")(table))) < np.log(_SAME)
    return np.exp(np.where(certain & with_noise & ~alone, np.abs(change), 0.0))


def _exposure_step(table: pd.DataFrame) -> Values:
    ratio = _intensity_ratio(table)
    # Damage makes no atoms brighter, and in a long series it is no step.
    told = (ratio > 1) | (len(table) > _FEWEST + 1)
    told &= table["alike"].to_numpy(dtype=bool) & ~(_gain_step(table) > _GAIN_STEP)
    return np.exp(np.where(told, np.abs(np.log(ratio)), 0.0))


def _offset_step(table: pd.DataFrame) -> Values:
    offset = np.abs(_abrupt(_column("offset_step")(table)))
    # A change of gain shifts the quantiles too.
    scaled = (_gain_step(table) > _GAIN_STEP) | (_exposure_step(table) > _EXPOSURE_STEP)
    return np.where(scaled, 0.0, offset)


def _noise_step(table: pd.DataFrame) -> Values:
    ratio = np.exp(np.abs(_abrupt(np.log(_column("noise_step")(table)))))
    # Noise that changes with the intensities is that of counts.
    same = np.abs(np.log(_column("intensity_step")(table))) < np.log(_SAME)
    return np.where(same, ratio, 1.0)


def _gradient(table: pd.DataFrame) -> Values:
    # The ratio is NaN where the darker end is at 0 or below.
    negligible = _column("gradient_ratio")(table) <= _GRADIENT_RATIO
    return np.where(negligible, 0.0, np.nan_to_num(_column("gradient")(table)))


def _shared(table: pd.DataFrame) -> Values:
    return np.where(table["shared_noise"].to_numpy(dtype=bool), _column("whiteness")(table), 1.0)


def _sharpened(table: pd.DataFrame) -> Values:
    whiteness = _column("whiteness")(table)
    certain = whiteness - _CERTAIN * _column("whiteness_error")(table) > 1
    return np.where(certain, whiteness, 1.0)


def _coarse(table: pd.DataFrame) -> Values:
    step, noise = _column("level_step")(table), _column("noise")(table)
    # Of few counts most pixels have none.
    above = _column("level")(table) - _column("lowest")(table) > step / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(above & (step > 0) & (noise > 0), noise / step, 1.0)


# Least ratios, and one below which intensities are the same.
_GAIN_STEP, _EXPOSURE_STEP, _GRADIENT_RATIO, _SAME = 1.25, 1.3, 1.1, 1.1

_RULES = (
    _Rule(
        "blank frames",
        _column("blank"),
        0,
        "All pixels are equal, or missing. No drift can be found, and noise can't be calibrated: "
        "leave these frames out.",
        "blank",
    ),
    _Rule(
        "duplicates",
        _column("duplicate"),
        0,
        "They equal an earlier frame, noise included. register finds no drift between the two, "
        "and SplitPairs, noise calibration and train and test folds take noise for signal: leave "
        "them out.",
        "equal to an earlier one",
    ),
    _Rule(
        "unrecorded edges",
        _column("unrecorded"),
        0,
        "Rows or columns at an edge are constant, as where a scan was stopped or aligned frames "
        "were padded. They do not move with the specimen, and end in an edge that may be taken for "
        "structure. Estimators with bad_pixels='repair' leave out those of 2 % of the frame or "
        "more; crop or mask the others.",
        "{:.0f} lines",
    ),
    _Rule(
        "data bar",
        _column("data_bar"),
        0,
        "Rows at an edge hold text on a constant background. They do not move with the specimen, "
        "and AtomLocator finds atoms in the letters: crop them.",
        "{:.0f} rows",
    ),
    _Rule(
        "scale bar",
        _column("scale_bar"),
        0,
        "A scale bar is drawn into the frame. It holds the drift at zero, AtomLocator finds its "
        "corners, and the atoms below are lost: read the raw file instead of an exported picture.",
        "{:.0f} px",
    ),
    _Rule(
        "missing pixels",
        _column("missing"),
        0,
        "Pixels are NaN or masked. Estimators with bad_pixels='repair' fill them, up to half of a "
        "frame.",
        "{:.0f} px",
    ),
    _Rule(
        "detector marks",
        _column("marks"),
        0,
        "Pixels have the largest integer, by which detectors mark that they recorded nothing. "
        "Estimators and BadPixelRepair fill them only in the integer type of the file: do not "
        "convert frames before.",
        "{:.0f} px",
    ),
    _Rule(
        "fixed pixels",
        _column("fixed_pixels"),
        0,
        "Stuck, hot or dead pixels stay while the specimen moves, and hold the drift of "
        "DriftDecayModel and register at zero. BadPixelRepair fills these, also those that are "
        "too weak to be seen in a single frame.",
        "{:.0f} px",
    ),
    _Rule(
        "spikes",
        _column("spikes"),
        0,
        "Single pixels stand out, hit by X-rays, or, in a series of fewer than three frames, stuck "
        "or dead. AtomLocator and denoisers may take them for atoms: estimators with "
        "bad_pixels='repair' and BadPixelRepair fill them.",
        "{:.0f} px",
    ),
    _Rule(
        "bad rows",
        _column("bad_rows"),
        0,
        "Whole rows are dead, saturated or shifted in intensity. They hold the drift along the "
        "column at zero: estimators with bad_pixels='repair' and BadPixelRepair fill them.",
        "{:.0f}",
    ),
    _Rule(
        "bad columns",
        _column("bad_columns"),
        0,
        "Whole columns are dead, saturated or shifted in intensity. They hold the drift along the "
        "row at zero: estimators with bad_pixels='repair' and BadPixelRepair fill them.",
        "{:.0f}",
    ),
    _Rule(
        "saturation",
        _column("saturated"),
        0.002,
        "This share of the pixels has the largest value, in groups. There, heights and positions "
        "by AtomLocator are wrong, damage is underestimated by DriftDecayModel, and noise laws "
        "bend: lower the gain of the detector, or mask these pixels.",
        "{:.2%} of the pixels",
    ),
    _Rule(
        "clipped background",
        _column("clipped"),
        0.005,
        "This share of the pixels has the smallest value, since the offset of the detector is too "
        "low. The background is biased: DriftDecayModel's damage, noise calibration and "
        "background levels are wrong. Raise the offset.",
        "{:.2%} of the pixels",
    ),
    _Rule(
        "coarse levels",
        _coarse,
        0.5,
        "The noise is less than half of the distance between two recorded values. "
        "PoissonGaussianNoise and HRTEMNoise can't be calibrated, and BlindSpotDenoiser learns "
        "steps: record more bits, or read the raw file.",
        "noise of {:.2f} levels",
        below=True,
    ),
    _Rule(
        "absent levels",
        _column("absent_levels"),
        0.05,
        "This share of the values between others is never taken, as after stretching the contrast "
        "of an integer picture. Noise laws and doses are those of the picture, not of the camera: "
        "read the raw file.",
        "{:.0%} of the levels",
    ),
    _Rule(
        "gain steps",
        _gain_step,
        _GAIN_STEP,
        "The gain, by which the noise rises with the intensity, differs by this ratio from that of "
        "the frame before. DriftDecayModel divides such changes out with a warning; noise laws, "
        "and damage maps of your own, do not: divide frames by the column gain_step.",
        "{:.2f} times",
    ),
    _Rule(
        "exposure steps",
        _exposure_step,
        _EXPOSURE_STEP,
        "All intensities, dark and bright, are scaled by this ratio from the frame before, and the "
        "gain of the noise is not: dwell time or beam current changed. Damage follows it: pass "
        "DriftDecayModel(exposure=...), or divide frames by the column intensity_step.",
        "{:.2f} times",
    ),
    _Rule(
        "offset steps",
        _offset_step,
        5.0,
        "All intensities are shifted from the frame before, by so many standard deviations of the "
        "noise. DriftDecayModel allows for it, damage maps of your own and networks trained on a "
        "fixed scale do not: subtract the offset in the table.",
        "{:.1f} standard deviations of the noise",
    ),
    _Rule(
        "noise steps",
        _noise_step,
        1.25,
        "The noise changed by this ratio while the intensities did not: another dwell time, or "
        "frames averaged or filtered. One noise law or one BlindSpotDenoiser does not fit all "
        "frames: treat the parts separately.",
        "{:.2f} times",
    ),
    _Rule(
        "background gradient",
        _gradient,
        2.0,
        "The background changes from one end of the frame to the other, by so many standard "
        "deviations of the noise. Denoisers trained on even backgrounds and thresholds of your own "
        "depend on the place; AtomLocator fits a local background: subtract a plane.",
        "{:.1f} standard deviations of the noise",
    ),
    _Rule(
        "correlated noise",
        _shared,
        _CORRELATED,
        "Neighbouring pixels share noise, as after interpolation, alignment or by a camera's blur. "
        "BlindSpotDenoiser and the shipped weights of SCGNDenoiser and PINNEDDenoiser keep such "
        "noise as structure, and AtomLocator's errors are too small: use frames as recorded, or "
        "bin them.",
        "whiteness {:.2f}",
        below=True,
    ),
    _Rule(
        "sharpened noise",
        _sharpened,
        _SHARPENED,
        "The finest details have more noise than others, as after sharpening or compression. "
        "Noise laws and the errors of AtomLocator do not hold: use frames as recorded.",
        "whiteness {:.2f}",
    ),
    _Rule(
        "row noise",
        _column("row_noise"),
        _LINE_NOISE,
        "Rows have offsets of their own, of so many standard deviations of a pixel's noise. "
        "BlindSpotDenoiser predicts them from the neighbours in the row and keeps them: subtract "
        "the median of rows, or simulate them with LineGain.",
        "{:.2f} of the noise of a pixel",
    ),
    _Rule(
        "column noise",
        _column("column_noise"),
        _LINE_NOISE,
        "Columns have offsets of their own, of so many standard deviations of a pixel's noise. "
        "BlindSpotDenoiser predicts them from the neighbours in the column and keeps them; "
        "HRTEMNoise measures and simulates them.",
        "{:.2f} of the noise of a pixel",
    ),
    _Rule(
        "fixed pattern",
        _column("fixed_pattern"),
        0.05,
        "This share of the noise's variance is the same in consecutive frames: a gain reference "
        "that does not fit. It holds the drift at zero, and averages and SplitPairs keep it as "
        "structure: divide by a new gain reference.",
        "{:.0%} of the noise",
    ),
    _Rule(
        "dark atoms",
        _column("skewness"),
        -0.3,
        "Dark spots are stronger than bright ones, as in bright field. The shipped weights of "
        "SCGNDenoiser know bright atoms only: pass -X. AtomLocator(polarity='auto') finds both.",
        "skewness {:.2f}",
        below=True,
    ),
)


def find(table: pd.DataFrame) -> Iterator[Finding]:
    """Compare the measurements of all frames with the thresholds.

    Parameters
    ----------
    table : DataFrame
        A row for each frame.

    Yields
    ------
    Finding
        In the order of the rules.
    """
    for rule in _RULES:
        values = rule.measure(table)
        beyond = values < rule.threshold if rule.below else values > rule.threshold
        if beyond.any():
            worst = values[beyond].min() if rule.below else values[beyond].max()
            frames = tuple(int(i) for i in np.flatnonzero(beyond))
            yield Finding(rule.name, frames, float(worst), rule.threshold, rule.unit, rule.meaning)
