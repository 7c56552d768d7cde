"""Fit a noise model to measured sequences, and test whether the model holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ._sequence import ROUNDING, SequenceNoise, dither, measure_sequence
from ._variance_law import STANDARD_DEVIATION, VARIANCE, LawFit, VariancePoints, fit_law

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

POWERS = {"HRTEMNoise": STANDARD_DEVIATION, "PoissonGaussianNoise": VARIANCE}
# All tests together reject a true model in one calibration of a thousand.
LEVEL = 1e-3
# Relative error of the standard deviation up to which a model counts as right.
TOLERANCE = 0.01
_MAX_CORRELATION = 0.02
# This share of pixels at an end narrows the noise by 1 %; rounding of weak noise leaves fewer.
_MAX_CLIPPED = 5e-3
# If the model has no larger share beyond the last value, it was not clipped there.
_MIN_BEYOND = 1e-3
# Difference of chi-square at which one model is preferred: a likelihood ratio of 20,000.
_MIN_CHI2_DIFFERENCE = 20.0


@dataclass(frozen=True)
class NoiseCalibration:
    """Result of a calibration: the fitted model, and whether it holds.

    Attributes
    ----------
    model : str
        The estimator whose model was fitted: "HRTEMNoise" (the standard deviation is linear in the
        signal) or "PoissonGaussianNoise" (the variance is).
    preferred : str
        The one of the two models that explains the measured points. It differs from `model` only if
        its chi-square is smaller by more than 20.
    holds : bool
        Whether `model` passes all tests.
    told_apart : bool
        Whether the frames distinguish the two models: their chi-squares differ by more than 20.
        Flat fields at two intensities never do, since both models fit any two points.
    reasons : list of str
        Why the model does not hold; empty if it does.
    verdict : str
        All this in one line. A printed calibration shows it with the measured parameters.
    sequences : DataFrame
        One row per sequence: `intensity` and pointwise `sigma` (counts), `column_sigma`,
        `column_stderr`, `n_frames`, Kolmogorov-Smirnov p-values `ks_pointwise` and `ks_columns`,
        correlation of pointwise noise between neighbours `corr_y` and `corr_x`, and `clipped`: the
        share of pixels at the sequence's largest or smallest value, 0 if the model ends there, too.
    points : DataFrame
        One row for pixels of similar intensity: `sequence`, `intensity`, `sigma`, `sigma_stderr`
        (counts), `expected` (by the fitted model) and `residual` (in standard errors). A flat field
        gives two points per sequence, from two halves of its frames; one with structure gives more.
    models : DataFrame
        For each model `slope`, `intercept`, `chi2` of the residuals, its `dof` and `p_value`, which
        allows for no error of the model: real cameras seldom pass it. `misfit` is the largest
        relative residual of the standard deviation. `holds` allows for a model error of 1 % of the
        standard deviation.
    column_sigma, column_sigma_stderr : float
        Standard deviation of the column noise over all sequences, in counts.
    pointwise, columns : list of ndarray
        Samples of pointwise noise and of columns' means of each sequence, in units of their
        standard deviation, as tested.
    fit : LawFit
        The fitted line: `slope`, `intercept`, and their `covariance` (2, 2).
    rounding : float
        Variance subtracted for rounding: 1/12 if any sequence is of whole numbers, else 0.
    """

    model: str
    preferred: str
    told_apart: bool
    reasons: list[str]
    sequences: pd.DataFrame
    points: pd.DataFrame
    models: pd.DataFrame
    column_sigma: float
    column_sigma_stderr: float
    pointwise: list[Floats]
    columns: list[Floats]
    fit: LawFit
    rounding: float

    @property
    def holds(self) -> bool:
        """Whether the model passes all tests."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """Whether the model holds, and whether the other one might as well."""
        if not self.holds:
            return f"{self.model} does not hold"
        if self.told_apart:
            return f"{self.model} holds"
        return f"{self.model} holds, not distinguished from {_other_model(self.model)}"

    def __str__(self) -> str:
        power = "sigma" if self.model == "HRTEMNoise" else "sigma^2"
        stderr = np.sqrt(self.fit.covariance.diagonal())
        lines = [
            self.verdict,
            f"{power} = ({self.fit.slope:.4g} +- {stderr[0]:.1g}) * intensity "
            f"+ ({self.fit.intercept:.4g} +- {stderr[1]:.1g})",
            f"column sigma = {self.column_sigma:.4g} +- {self.column_sigma_stderr:.1g}",
        ]
        if self.holds and not self.told_apart:
            lines.append("To distinguish the models, add sequences at other intensities.")
        return "\n".join(lines + self.reasons)


def calibrate(
    stacks: Iterable[tuple[str, Any]],
    model: str,
    *,
    draw: Callable[[LawFit, Floats], Floats] | None = None,
) -> NoiseCalibration:
    """Measure named sequences one after the other, and fit a model.

    ``draw(fit, intensity)`` draws noisy pixels if their distribution is not normal.
    """
    import pandas as pd

    labels, measured = [], []
    for label, stack in stacks:
        labels.append(label)
        measured.append(measure_sequence(stack, label))
    if not measured:
        raise ValueError("X holds no sequence; pass a list of stacks (n_frames, H, W).")
    points = VariancePoints(
        *(
            np.concatenate([getattr(one.points, name) for one in measured])
            for name in ("intensity", "intensity_stderr", "variance", "dof", "spread")
        )
    )
    _require_spread(points, measured)
    fits = {name: fit_law(points, power) for name, power in POWERS.items()}
    fit = fits[model]
    column, column_stderr, column_p_value = _columns_of_all(measured)
    p_values, clipped = zip(*(_test_pixels(one, fit, draw) for one in measured), strict=True)
    sequences = pd.DataFrame(
        {
            "intensity": [one.intensity for one in measured],
            "sigma": [one.sigma for one in measured],
            "column_sigma": [np.sqrt(max(one.column_variance, 0.0)) for one in measured],
            "column_stderr": [
                _root_stderr(
                    one.column_variance,
                    (max(one.column_variance, 0.0) + one.column_floor)
                    * np.sqrt(2 / one.column_dof),
                )
                for one in measured
            ],
            "n_frames": [one.n_frames for one in measured],
            "ks_pointwise": p_values,
            "ks_columns": [stats.kstest(one.columns, "norm").pvalue for one in measured],
            "corr_y": [one.correlation[0] for one in measured],
            "corr_x": [one.correlation[1] for one in measured],
            "clipped": clipped,
        },
        index=pd.Index(labels, name="sequence"),
    )
    preferred, told_apart = _preferred(fits, model)
    return NoiseCalibration(
        model=model,
        preferred=preferred,
        told_apart=told_apart,
        reasons=_reasons(sequences, fit.p_value(points, TOLERANCE), column_p_value, measured)
        + ([f"{preferred} explains the frames better"] if preferred != model else []),
        sequences=sequences,
        points=_point_table(labels, measured, points, fit),
        models=pd.DataFrame(
            {name: _model_row(one, points) for name, one in fits.items()},
        ).T.astype({"dof": int}),
        column_sigma=float(np.sqrt(max(column, 0.0))),
        column_sigma_stderr=_root_stderr(column, column_stderr),
        pointwise=[one.pointwise for one in measured],
        columns=[one.columns for one in measured],
        fit=fit,
        rounding=ROUNDING if any(one.whole for one in measured) else 0.0,
    )


def _require_spread(points: VariancePoints, measured: list[SequenceNoise]) -> None:
    low, high = points.intensity.min(), points.intensity.max()
    noise = float(np.sqrt(points.variance.mean()))
    if high - low < max(0.25 * noise, 10 * points.intensity_stderr.max()):
        raise ValueError(
            f"X holds one intensity, {points.intensity.mean():.4g} counts within "
            f"{high - low:.2g} counts, which does not show how noise grows with the signal; pass "
            f"sequences at several beam intensities, or exposures of a still field with structure. "
            f"({len(measured)} sequence(s) were given.)"
        )


def _other_model(model: str) -> str:
    return next(name for name in POWERS if name != model)


def _preferred(fits: dict[str, LawFit], model: str) -> tuple[str, bool]:
    """Return the model that explains the points, and whether the points distinguish the two."""
    other = _other_model(model)
    excess = fits[model].chi2 - fits[other].chi2
    better = fits[other] if excess > 0 else fits[model]
    told_apart = abs(excess) > _MIN_CHI2_DIFFERENCE * max(1.0, better.chi2 / max(better.dof, 1))
    return other if told_apart and excess > 0 else model, told_apart


def _test_pixels(
    one: SequenceNoise, fit: LawFit, draw: Callable[[LawFit, Floats], Floats] | None
) -> tuple[float, float]:
    """Compare sampled pixels with the model: return the p-value and the share of clipped pixels."""
    # Each intensity is drawn several times, so that drawing adds little to the uncertainty.
    intensity, sigma = np.tile((one.pointwise_intensity, one.pointwise_sigma), 4)
    if draw is None:
        step = 0.0
        drawn = intensity + sigma * np.random.default_rng(2).normal(size=sigma.size)
        p_value = stats.kstest(one.pointwise, "norm").pvalue
    else:
        # Counts come in steps of the gain. They are dithered, as whole numbers are, or a slightly
        # wrong gain would change the distribution.
        step = max(fit.slope, 0.0)
        drawn = draw(fit, intensity)
        expected = (drawn - intensity + dither(drawn.size) * (step + one.whole)) / sigma
        noise = one.pointwise + dither(one.pointwise.size) * step / one.pointwise_sigma
        p_value = stats.ks_2samp(noise / noise.std(), expected / expected.std()).pvalue
    (low, at_low), (high, at_high) = one.ends
    edge = max(step, one.whole / 2)
    clipped = max(
        at_low if np.mean(drawn < low - edge) > _MIN_BEYOND else 0.0,
        at_high if np.mean(drawn > high + edge) > _MIN_BEYOND else 0.0,
    )
    return float(p_value), clipped


def _columns_of_all(measured: list[SequenceNoise]) -> tuple[float, float, float]:
    """Return the variance of column noise, its standard error, and a p-value of agreement."""
    variance, floor, dof = (
        np.array([getattr(one, f"column_{name}") for one in measured])
        for name in ("variance", "floor", "dof")
    )
    mean = 0.0
    # Weights follow from the mean: sequences that are low by chance must not weigh more.
    for _ in range(12):
        stderr = (max(mean, 0.0) + floor) * np.sqrt(2 / dof)
        mean = float(np.average(variance, weights=stderr**-2))
    wide = np.hypot(stderr, 2 * TOLERANCE * max(mean, 0.0))
    chi2 = np.sum(((variance - mean) / wide) ** 2)
    p_value = float(stats.chi2.sf(chi2, len(measured) - 1)) if len(measured) > 1 else 1.0
    return mean, float(np.sum(stderr**-2) ** -0.5), p_value


def _root_stderr(variance: float, stderr: float) -> float:
    """Return the standard error of a standard deviation; near 0, of the largest likely one."""
    return float(stderr / (2 * np.sqrt(max(variance, stderr))))


def _model_row(fit: LawFit, points: VariancePoints) -> dict[str, float]:
    misfit = np.abs(np.sqrt(points.variance / fit.expected) - 1).max()
    return {
        "slope": fit.slope,
        "intercept": fit.intercept,
        "chi2": fit.chi2,
        "dof": fit.dof,
        "p_value": fit.p_value(points, tolerance=0.0),
        "misfit": misfit,
    }


def _point_table(
    labels: list[str], measured: list[SequenceNoise], points: VariancePoints, fit: LawFit
) -> pd.DataFrame:
    import pandas as pd

    sigma = np.sqrt(points.variance)
    return pd.DataFrame(
        {
            "sequence": np.repeat(labels, [len(one.points.intensity) for one in measured]),
            "intensity": points.intensity,
            "sigma": sigma,
            "sigma_stderr": fit.stderr / (2 * np.sqrt(fit.expected)),
            "expected": np.sqrt(fit.expected),
            "residual": (points.variance - fit.expected) / fit.stderr,
        }
    )


def _reasons(
    sequences: pd.DataFrame, p_value: float, column_p_value: float, measured: list[SequenceNoise]
) -> list[str]:
    level = LEVEL / (2 * len(sequences) + 2)  # shared by this number of tests
    reasons = []
    if p_value < level:
        reasons.append(
            f"the noise does not follow the model over the intensities (p = {p_value:.1g})"
        )
    if column_p_value < level:
        reasons.append(f"column noise changes with the intensity (p = {column_p_value:.1g})")
    for name, kind in (("ks_pointwise", "pointwise"), ("ks_columns", "column")):
        bad = sequences.index[sequences[name] < level]
        if len(bad):
            reasons.append(
                f"{kind} noise has another distribution in {_joined(bad)} "
                f"(p = {sequences[name].min():.1g})"
            )
    # The correlation of independent pixels is about one over the root of their number.
    chance = np.array([5 / np.sqrt(one.n_pixels) for one in measured])
    for name, axis in (("corr_y", "y"), ("corr_x", "x")):
        bad = sequences.index[sequences[name].abs() > np.maximum(_MAX_CORRELATION, chance)]
        if len(bad):
            worst = sequences[name].abs().max()
            reasons.append(f"neighbours along {axis} share noise in {_joined(bad)} ({worst:.2g})")
    bad = sequences.index[sequences["clipped"] > _MAX_CLIPPED]
    if len(bad):
        reasons.append(f"pixels are clipped in {_joined(bad)} ({sequences['clipped'].max():.1%})")
    return reasons


def _joined(labels: Iterable[Any]) -> str:
    return ", ".join(str(label) for label in labels)
