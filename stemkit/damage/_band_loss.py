"""Which loss explains the decay of the bands of a frame: a common one, or one that grows."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ._band_amplitudes import MeasuredBands
from ._band_products import FREQUENCY

LossKind = Literal["none", "common", "grows with frequency", "both", "undetermined"]
# One-sided probability below which chance does not explain a loss.
_CHANCE = 1e-3
# Standard error of a band's decay that is not chance, as from film that does not fade.
_SYSTEMATIC = 0.02
_STEPS = 20


class LossFit(NamedTuple):
    """Common loss and growth with the squared frequency, together and each alone, and any loss."""

    common: float
    common_z: float
    growth: float
    growth_z: float
    common_alone_z: float
    growth_alone_z: float
    any_z: float


_UNKNOWN = LossFit(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan)
_NOTHING_LOST = LossFit(0, 0, 0, 0, 0, 0, 0)


def fit_loss(found: MeasuredBands, index: int) -> LossFit:
    """Fit ``exp(-common - growth frequency^2)`` to the decay of a frame."""
    told = found.told
    if index == 0 or not told.any():
        return _UNKNOWN if index else _NOTHING_LOST
    values, deviations = found.decay[index, told], found.deviations[:, index, told]
    variance = found.stderr[index, told] ** 2 + _SYSTEMATIC**2
    centred = deviations - deviations.mean(axis=0)
    covariance = (len(centred) - 1) / len(centred) * centred.T @ centred
    covariance += np.diag(variance - np.diag(covariance))
    square = FREQUENCY[told] ** 2
    design = np.stack([np.ones_like(square), square], axis=1)
    # Whether there is a loss is asked of the places in view, which may have faded differently; that
    # bands weigh places differently matters for what depends on frequency.
    noise = np.diag(found.noise_stderr[index, told] ** 2 + _SYSTEMATIC**2)
    common_alone = float(_least_squares(values, noise, design[:, [0]])[1][0])
    growth_alone = float(_least_squares(values, covariance, design[:, [1]])[1][0])
    # Where all is lost, its logarithm is uncertain and the loss is not.
    weight = 1 / np.diag(noise)
    any_z = float(weight @ (1 - values) / np.sqrt(weight.sum()))
    if told.sum() < 2:
        return LossFit(np.nan, 0.0, np.nan, 0.0, common_alone, growth_alone, any_z)
    (common, growth), (_, growth_z) = _least_squares(values, covariance, design)
    common_z = float(_least_squares(values, noise, design)[1][0])
    return LossFit(common, common_z, growth, growth_z, common_alone, growth_alone, any_z)


def _least_squares(
    values: NDArray[np.float64], covariance: NDArray[np.float64], design: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit ``exp(-design @ p)`` by least squares; return p and p over its standard errors."""
    weight = 1 / np.diag(covariance)
    least = np.maximum(values, 0.02)
    root = np.sqrt(weight) * least
    p = np.linalg.lstsq(design * root[:, None], -np.log(least) * root, rcond=None)[0]
    for _ in range(_STEPS):
        model = np.exp(-(design @ p).clip(-3, 30))
        slope = -model[:, None] * design
        inverse = np.linalg.pinv((slope * weight[:, None]).T @ slope) @ (slope * weight[:, None]).T
        p = p + 0.7 * inverse @ (values - model)
    spread = np.sqrt(np.diag(inverse @ covariance @ inverse.T))
    return p, np.divide(p, spread, out=np.zeros_like(p), where=spread > 0)


def kind_of_loss(fit: LossFit, degrees: int) -> LossKind:
    """Name what explains a loss; ``degrees`` are those of freedom of its standard errors."""
    limit = float(special.stdtrit(degrees, 1 - _CHANCE))
    if np.isnan(fit.common_alone_z):
        return "undetermined"
    if max(fit.common_alone_z, fit.growth_alone_z, fit.growth_z, fit.any_z) < limit:
        return "none"
    common, grows = fit.common_z > limit, fit.growth_z > limit
    if common and grows:
        return "both"
    if grows:
        return "grows with frequency"
    if common:
        return "common"
    return "undetermined"
