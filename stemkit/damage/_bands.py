"""The decay by spatial frequency, which tells a loss of signal from a loss of sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .._constraints import Sequence as SequenceOf
from .._constraints import check_arguments, shorten
from .._missing import Mask
from .._motion import Motion
from .._repr import short_repr
from .._validation import Float32Array, check_frames, check_increasing, rescale_to_float32
from .._warnings import warn_caller
from ..exceptions import SharpnessChangeWarning
from ._band_amplitudes import measure_bands
from ._band_loss import LossKind, fit_loss, kind_of_loss
from ._band_products import (
    FREQUENCY,
    align_common,
    dependence_of_tiles,
    noise_products,
    tile_products,
)
from ._critical_dose import LEVEL, fit_critical_dose

# Rates that are tried for the limits of a critical dose, in the inverse of the range of doses.
_RATES = np.concatenate([[0.0], np.geomspace(1e-4, 1e3, 8000)])


@dataclass(frozen=True, eq=False, repr=False)
class BandCriticalDose:
    """Critical dose of each band of spatial frequency.

    Attributes
    ----------
    frequency : ndarray of shape (n_bands,)
        Centre of each band, in cycles per px.
    dose : ndarray of shape (n_bands,)
        Dose after which 1/e of the structure is left, in the unit of the given dose; inf where
        no decay is certain.
    stderr : ndarray of shape (n_bands,)
        Its standard error; inf where ``dose`` is.
    lower_limit, upper_limit : ndarray of shape (n_bands,)
        The dose is above the first, with a probability of 95 %, and below the second. Where no
        decay is certain ``upper_limit`` is inf, and ``lower_limit`` is what is known.
    kind : str
        That of the last frame, see :class:`BandDecay`.
    """

    frequency: NDArray[np.float64]
    dose: NDArray[np.float64]
    stderr: NDArray[np.float64]
    lower_limit: NDArray[np.float64]
    upper_limit: NDArray[np.float64]
    kind: LossKind

    def __repr__(self) -> str:
        parts = []
        for frequency, dose, error, lower, upper in zip(
            self.frequency, self.dose, self.stderr, self.lower_limit, self.upper_limit, strict=True
        ):
            if np.isfinite(upper):
                value = f"{dose:.3g} ± {error:.2g}" if lower > 0 else f"below {upper:.3g}"
                parts.append(f"{frequency:.2g}: {value}")
            elif lower > 0:
                parts.append(f"{frequency:.2g}: above {lower:.3g}")
        shown = ", ".join(parts) or "no band can be measured"
        return f"BandCriticalDose(cycles per px: {shown}; kind={self.kind!r})"


@dataclass(frozen=True, eq=False, repr=False)
class BandDecay:
    """Share of the first frame's structure that is left, by spatial frequency.

    To each frame ``exp(-common_loss - 2 (pi blur frequency)^2)`` is fitted. Damage and thickness
    take the same share of all frequencies, and blur, defocus and residual motion take the more the
    higher the frequency.

    Attributes
    ----------
    frequency : ndarray of shape (n_bands,)
        Centre of each band, in cycles per px.
    decay : ndarray of shape (n_frames, n_bands)
        1 for the first frame; NaN where a band holds no structure that the frames share.
    stderr : ndarray of shape (n_frames, n_bands)
        Standard error of the decay, from its scatter over parts of the frame; 0 for the first
        frame, inf where ``decay`` is NaN.
    kind : tuple of str
        What explains the loss of each frame: "none", no loss is certain; "common", the same share
        of all bands; "grows with frequency", blur alone; "both"; "undetermined", either explains
        it, or neither does, or no band can be measured.
    common_loss : ndarray of shape (n_frames,)
        Logarithm of the common loss; 0 without loss, NaN if it is not determined.
    common_z : ndarray of shape (n_frames,)
        It over its standard error.
    blur : ndarray of shape (n_frames,)
        Standard deviation in px of the Gaussian that explains what grows with frequency; 0 without
        loss, or if the frame is sharper than the first.
    growth_z : ndarray of shape (n_frames,)
        The growth of the loss with the squared frequency, over its standard error; negative if the
        loss falls with frequency.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.damage import decay_bands
    >>> from stemkit.registration import Motion
    >>> rng = np.random.default_rng(0)
    >>> specimen, dose = rng.normal(0, 1, (128, 128)), np.arange(5)
    >>> left = np.exp(-dose / 4)[:, np.newaxis, np.newaxis]
    >>> frames = 10 + left * specimen + rng.normal(0, 0.2, (5, 128, 128))
    >>> bands = decay_bands(frames, [Motion((128, 128))] * 5)
    >>> bands.critical_dose(dose).dose[3:].round().tolist()
    [4.0, 4.0, 4.0, 4.0, 4.0]
    """

    frequency: NDArray[np.float64]
    decay: NDArray[np.float64]
    stderr: NDArray[np.float64]
    kind: tuple[LossKind, ...]
    common_loss: NDArray[np.float64]
    common_z: NDArray[np.float64]
    blur: NDArray[np.float64]
    growth_z: NDArray[np.float64]
    # Standard errors relative to the series, for fits that include the first frame's error.
    _own_stderr: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        return short_repr(self)

    def critical_dose(self, dose: ArrayLike) -> BandCriticalDose:
        """Fit ``exp(-dose / D)`` to the structure of each band.

        Parameters
        ----------
        dose : array-like of shape (n_frames,)
            Accumulated dose at each frame, increasing, in any unit.

        Returns
        -------
        BandCriticalDose
            D by band, with standard errors and limits. Of a band that can't be measured nothing is
            known: D is inf and its lower limit 0. Frames that lose sharpness lower D at high
            frequencies, whatever the cause.

        Raises
        ------
        ValueError
            If ``dose`` does not increase.
        """
        doses = check_increasing(dose, len(self.decay), "dose")
        n_bands = len(self.frequency)
        results = np.tile([[np.inf], [np.inf], [0.0], [np.inf]], n_bands)
        known = np.isfinite(self.decay).all(axis=0)
        if known.any():
            decay, errors = self.decay[:, known], np.maximum(self._own_stderr[:, known], 1e-6)
            fit = fit_critical_dose(decay[:, None], doses, stderr=errors[:, None])
            lower, upper = _limits(decay, errors, doses)
            # A signal that does not fall has the limit of a rate of 0.
            lower = np.where(np.isinf(fit.dose[0]), np.asarray(fit.lower_limit)[0], lower)
            results[:, known] = np.stack([fit.dose[0], fit.stderr[0], lower, upper])
        value, error, lower, upper = results
        # Where no decay is certain, the limit is all that is known.
        value[np.isinf(upper)] = error[np.isinf(upper)] = np.inf
        return BandCriticalDose(self.frequency, value, error, lower, upper, self.kind[-1])


@check_arguments(motions=[SequenceOf(Motion)])
def decay_bands(frames: ArrayLike, motions: Sequence[Motion]) -> BandDecay:
    """Measure the decay of each frame relative to the first, by band of spatial frequency.

    Bands of each frame are multiplied with those of the others, whose noise is independent, where
    all frames show the specimen. Errors of registration that are alike in all frames have no
    influence.

    Parameters
    ----------
    frames : array-like of shape (n_frames, H, W)
        The series, of the same exposure. Of two frames, the noise must be white.
    motions : sequence of Motion
        From the first frame to each.

    Returns
    -------
    BandDecay
        Decay, standard error and kind of loss.

    Raises
    ------
    InvalidParameterError
        If ``motions`` are no motions.
    ValueError
        If ``frames`` has less than two frames or is not finite, or there is not one motion for
        each.

    Warns
    -----
    SharpnessChangeWarning
        If the loss grows with frequency, as by blur, which is not the damage that a critical dose
        describes.

    See Also
    --------
    stemkit.drift.DriftDecayModel.decay_bands : The same, with the drift estimated.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.damage import decay_bands
    >>> from stemkit.registration import Motion
    >>> rng = np.random.default_rng(0)
    >>> specimen = rng.normal(0, 1, (128, 128))
    >>> left = np.array([1, 0.8, 0.6, 0.4])[:, np.newaxis, np.newaxis]
    >>> frames = 10 + left * specimen + rng.normal(0, 0.2, (4, 128, 128))
    >>> result = decay_bands(frames, [Motion((128, 128))] * 4)
    >>> result.kind
    ('none', 'common', 'common', 'common')
    >>> result.decay[3, 2:].round(1).tolist()
    [0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
    """
    stacked = check_frames(frames, name="frames", min_frames=2)
    if len(motions) != len(stacked) or any(one.shape != stacked.shape[1:] for one in motions):
        raise ValueError(
            f"motions must be one for each of the {len(stacked)} frames of {stacked.shape[1]} x "
            f"{stacked.shape[2]} px; got {shorten(motions)}."
        )
    result = bands_of_series(rescale_to_float32(stacked)[0], motions)
    warn_of_sharpness(result)
    return result


def bands_of_series(
    frames: Float32Array, motions: Sequence[Motion], missing: Mask | None = None
) -> BandDecay:
    """Return the decay by band of checked frames, without a warning."""
    common = align_common(frames, motions, missing)
    if common is None:
        return _nothing_measured(len(frames))
    products = tile_products(*common)
    noise, modes = noise_products(common[0][0], common[1])
    found = measure_bands(products, noise, modes, dependence_of_tiles(common[1].shape))
    fits = [fit_loss(found, k) for k in range(len(frames))]
    kinds = [kind_of_loss(one, len(products) - 1) for one in fits]
    common_loss, common_z, growth, growth_z = np.array([one[:4] for one in fits]).T
    return BandDecay(
        FREQUENCY.copy(),
        found.decay,
        found.stderr,
        ("none", *kinds[1:]),
        common_loss,
        common_z,
        np.sqrt(np.maximum(growth, 0) / 2) / np.pi,
        growth_z,
        found.own_stderr,
    )


def _nothing_measured(n_frames: int) -> BandDecay:
    decay = np.full((n_frames, len(FREQUENCY)), np.nan)
    stderr = np.full(decay.shape, np.inf)
    decay[0], stderr[0] = 1, 0
    unknown = np.full(n_frames, np.nan)
    unknown[0] = 0
    return BandDecay(
        frequency=FREQUENCY.copy(),
        decay=decay,
        stderr=stderr,
        kind=("none", *["undetermined"] * (n_frames - 1)),  # type: ignore[arg-type]
        common_loss=unknown,
        common_z=unknown.copy(),
        blur=unknown.copy(),
        growth_z=unknown.copy(),
        _own_stderr=np.full(decay.shape, np.inf),
    )


def warn_of_sharpness(result: BandDecay, *, undetermined: bool = False) -> None:
    """Warn of frames that lose sharpness; also of those that may, if ``undetermined``."""
    blurred = [k for k, kind in enumerate(result.kind) if kind in ("grows with frequency", "both")]
    if blurred:
        worst = max(blurred, key=lambda k: result.growth_z[k])
        also = any(result.kind[k] == "both" for k in blurred)
        warn_caller(
            f"Frames {shorten(blurred)} lose the more structure the finer it is, as by blur, "
            f"defocus or motion of {result.blur[worst]:.2g} px (standard deviation, frame {worst})"
            f"{', beside what all bands lose' if also else ' alone'}. Decay and critical dose "
            f"count that as damage; decay_bands shows it by frequency.",
            SharpnessChangeWarning,
        )
        return
    unclear = [
        k
        for k, kind in enumerate(result.kind)
        if kind == "undetermined" and np.isfinite(result.decay[k]).any()
    ]
    if undetermined and unclear:
        warn_caller(
            f"Frames {shorten(unclear)} lose structure, but too little of it is measured to tell "
            f"damage from blur, defocus or motion. Decay and critical dose count "
            f"all of it as damage; decay_bands shows it by frequency.",
            SharpnessChangeWarning,
        )


def _limits(
    decay: NDArray[np.float64], errors: NDArray[np.float64], dose: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return limits of the critical dose, (n_bands,), by likelihood.

    Where a band is lost at once, there is an upper limit alone, which standard errors do not give.
    """
    weight = errors**-2
    weight[0] = weight[1:].max(axis=0)
    span = dose[-1] - dose[0]
    left = np.exp(-np.outer(_RATES, (dose - dose[0]) / span))
    squares = (weight * decay**2).sum(axis=0) - (left @ (weight * decay)) ** 2 / (left**2 @ weight)
    best = squares.min(axis=0)
    scale = np.maximum(best / max(len(dose) - 2, 1), 1)
    inside = squares - best <= special.ndtri(LEVEL) ** 2 * scale
    first = inside.argmax(axis=0)
    last = len(_RATES) - 1 - inside[::-1].argmax(axis=0)
    with np.errstate(divide="ignore"):
        upper = span / _RATES[first]
        lower = np.where(last == len(_RATES) - 1, 0, span / _RATES[last])
    return lower, upper
