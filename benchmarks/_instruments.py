"""Faults of frames as instruments record them, and what estimators make of such frames.

The table of `instruments.py` and the tests in `tests/test_common_instruments.py` share this module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from stemkit import (
    AtomLocator,
    BlindSpotDenoiser,
    DriftDecayModel,
    HRTEMNoise,
    MatchedDenoiser,
    PINNEDDenoiser,
    SCGNDenoiser,
)
from stemkit.datasets import make_crystal_images, make_damage_sequence, make_nucleation
from stemkit.denoise import GaussianDenoiser, LoGRenderDenoiser, NetworkDenoiser, UDVDDenoiser
from stemkit.exceptions import (
    BadPixelWarning,
    ExposureChangeWarning,
    LowConfidenceWarning,
    OutOfDomainWarning,
    PolarityWarning,
)
from stemkit.metrics import atom_score, blind_spot_scorer
from stemkit.noise import CompositeDegradationNoise, PoissonGaussianNoise
from stemkit.registration import register

Frames = NDArray[np.float32]
Answer = Callable[[Any, str], dict[str, float]]
NAMED = (
    BadPixelWarning,
    ExposureChangeWarning,
    LowConfidenceWarning,
    OutOfDomainWarning,
    PolarityWarning,
)


class Fault(NamedTuple):
    """A fault of frames.

    Attributes
    ----------
    make : callable
        Returns spoilt frames for clean ones (n_frames, H, W).
    mended : bool
        Whether estimators have to be right, rather than to warn.
    """

    make: Callable[[Frames], ArrayLike]
    mended: bool


def _places(frames: Frames, n: int) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(1)
    return rng.integers(4, frames.shape[1] - 4, n), rng.integers(4, frames.shape[2] - 4, n)


def _stuck(frames: Frames, value: float) -> Frames:
    spoilt = frames.copy()
    y, x = _places(frames, 5)
    spoilt[:, y, x] = value
    return spoilt


def _spikes(frames: Frames) -> Frames:
    spoilt = frames.copy()
    y, x = _places(frames, len(frames))
    spoilt[np.arange(len(frames)), y, x] = 50 * frames.max()
    return spoilt


def _hot_column(frames: Frames) -> Frames:
    spoilt = frames.copy()
    spoilt[:, :, frames.shape[2] // 3] += 5 * np.ptp(frames)
    return spoilt


def _dead_row(frames: Frames) -> Frames:
    spoilt = frames.copy()
    spoilt[:, frames.shape[1] // 3] = 0
    return spoilt


def _saturated(frames: Frames) -> Frames:
    return np.minimum(frames, np.quantile(frames, 0.995)).astype(np.float32)


def _unrecorded(frames: Frames) -> Frames:
    spoilt = frames.copy()
    spoilt[-1, -frames.shape[1] // 3 :] = 0
    return spoilt


def _blank(frames: Frames) -> Frames:
    spoilt = frames.copy()
    spoilt[0] = 0
    return spoilt


def _duplicate(frames: Frames) -> Frames:
    spoilt = frames.copy()
    spoilt[-1] = spoilt[0]
    return spoilt


def _gain_step(frames: Frames) -> Frames:
    spoilt = frames.copy()
    spoilt[-1] *= 4
    return spoilt


def _gradient(frames: Frames) -> Frames:
    ramp = np.linspace(1, 4, frames.shape[2], dtype=np.float32)
    return (frames * ramp).astype(np.float32)


def _data_bar(frames: Frames) -> Frames:
    spoilt = frames.copy()
    height = frames.shape[1] // 12
    spoilt[:, -height:] = 0
    spoilt[:, -height + 2 : -2, 4:24] = frames.max()
    return spoilt


def _correlated(frames: Frames) -> Frames:
    noise = np.random.default_rng(0).normal(0, 1, frames.shape)
    noise = ndimage.gaussian_filter(noise, (0, 0.7, 0.7))
    smooth = ndimage.gaussian_filter(frames, (0, 0.7, 0.7))
    return (smooth + 0.1 * np.ptp(smooth) * noise / noise.std()).astype(np.float32)


def _eight_bits(frames: Frames) -> NDArray:
    low, high = np.quantile(frames, (0.001, 0.999))
    return (255 * ((frames - low) / (high - low)).clip(0, 1)).round().astype(np.uint8)


def _missing(frames: Frames) -> Frames:
    spoilt = frames.copy()
    y, x = _places(frames, 9)
    spoilt[:, y, x] = np.nan
    spoilt[0, 20:26, 30:36] = np.nan
    return spoilt


def _masked(frames: Frames) -> Any:
    return np.ma.masked_invalid(_missing(frames))


FAULTS: dict[str, Fault] = {
    "stuck at 255 x maximum": Fault(lambda f: _stuck(f, 255 * f.max()), True),
    "stuck at 65535": Fault(lambda f: _stuck(f, 65535), True),
    "stuck at 2^32 - 1": Fault(lambda f: _stuck(f, 2**32 - 1), True),
    "spikes": Fault(_spikes, True),
    "hot column": Fault(_hot_column, True),
    "dead row": Fault(_dead_row, False),
    "saturation": Fault(_saturated, False),
    "unrecorded part": Fault(_unrecorded, False),
    "blank frame": Fault(_blank, False),
    "duplicate": Fault(_duplicate, False),
    "gain step": Fault(_gain_step, True),
    "gradient x 4": Fault(_gradient, True),
    "data bar": Fault(_data_bar, False),
    "correlated noise": Fault(_correlated, False),
    "8 bits": Fault(_eight_bits, False),
    "volts": Fault(lambda f: (1e-9 * f - 2e-7).astype(np.float32), True),
    "counts of 16 bits": Fault(lambda f: (40 * f + 5000).astype(np.float32), True),
    "dark contrast": Fault(lambda f: (f.max() + f.min() - f).astype(np.float32), False),
    "NaN": Fault(_missing, True),
    "masked": Fault(_masked, True),
}


@dataclass(frozen=True)
class Task:
    """An estimator at work, and how far its answer may be from that for clean frames.

    Attributes
    ----------
    clean : callable
        Returns clean frames.
    answer : callable
        Returns numbers by name for frames with a fault; the larger the better.
    tolerance : dict
        How much each number may be less than for clean frames.
    """

    clean: Callable[[], Frames]
    answer: Answer
    tolerance: Mapping[str, float]


@cache
def _series() -> Frames:
    rng = np.random.default_rng(0)
    return rng.poisson(60 * (np.stack(_views()) + 0.3)).astype(np.float32)


_DRIFTS = ((0, 0), (5, -7), (9, -14))


def _drift(frames: Any, fault: str) -> dict[str, float]:
    table = DriftDecayModel().trajectory(frames)
    truth = _content(np.array(_DRIFTS), fault)
    error = np.abs(table[["dy", "dx"]].to_numpy()[-len(truth) :] - truth).max()
    return {"drift": -float(error), "damage": -float(table["mean_damage"].max())}


@cache
def _views() -> list[Frames]:
    """Return the specimen without noise in the view of each frame of the series."""
    big = make_damage_sequence(n_frames=2, shape=(200, 200), dose=None, random_state=5).frames[0]
    return [big[20 - dy : 180 - dy, 20 - dx : 180 - dx] for dy, dx in _DRIFTS]


def _average(frames: Any, fault: str) -> dict[str, float]:
    """Return the correlation of the average with the specimen, where all frames show it.

    If the first frame is blank, the view may be that of another.
    """
    inner = slice(32, -32)
    found = np.asarray(DriftDecayModel().average(frames).mean, float)[inner, inner]
    if fault == "gradient x 4":
        found = found / np.linspace(1, 4, _views()[0].shape[1])[inner]
    sign = -1 if fault == "dark contrast" else 1
    views = _views() if fault == "blank frame" else _views()[:1]
    found = [np.corrcoef(found.ravel(), view[inner, inner].ravel())[0, 1] for view in views]
    return {"correlation": sign * float(np.nan_to_num(found).max())}


def _register(frames: Any, fault: str) -> dict[str, float]:
    """Return the error of the drift, or 0 if the result has no confidence."""
    result = register(frames[0], frames[1])
    error = np.abs(result.motion.drift - np.array(_DRIFTS[1])).max()
    return {"drift": -float(error) if result.confidence >= 0.5 else 0.0}


def _content(truth: NDArray, fault: str) -> NDArray:
    """Return the truth of what the frames with a fault show, without blank frames."""
    if fault == "duplicate":
        return truth[[0, 1, 0]]
    return truth[1:] if fault == "blank frame" else truth


@cache
def _nuclei() -> Any:
    return make_nucleation(3, shape=(128, 128), contrast="high", random_state=0)


def _atoms(frames: Any, fault: str) -> dict[str, float]:
    table = AtomLocator().fit(frames).predict(frames)
    truth = _nuclei().positions
    scores = [
        atom_score(
            truth.loc[truth["frame"] == i, ["y", "x"]],
            table.loc[table["frame"] == frame, ["y", "x"]],
            tolerance=2,
        ).f1
        for frame, i in enumerate([0, 1, 0] if fault == "duplicate" else [0, 1, 2])
        if not (fault == "blank frame" and frame == 0)
    ]
    return {"F1": float(np.mean(scores))}


def _likeness(
    denoised: ArrayLike, truth: NDArray, fault: str, *, dots: bool = False
) -> dict[str, float]:
    """Return the lowest correlation of a frame with its truth, far from the border.

    Where no dots are drawn, the result for dark contrast is dark, and a gradient stays.
    """
    found, shown = np.asarray(denoised), _content(truth, fault)[:, 8:-8, 8:-8]
    if fault == "gradient x 4" and not dots:
        found = found / np.linspace(1, 4, found.shape[2])
    sign = -1 if fault == "dark contrast" and not dots else 1
    return {
        "correlation": min(
            sign * float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if one.std() > 0 else 0.0
            for one, other in zip(found[-len(shown) :, 8:-8, 8:-8], shown, strict=True)
        )
    }


def _denoised(make: Callable[[], Any], *, dots: bool = True) -> Answer:
    def answer(frames: Any, fault: str) -> dict[str, float]:
        denoiser = make()
        fitted = denoiser if getattr(denoiser, "weights", None) else denoiser.fit(frames)
        truth = _nuclei().target if dots else _smooth_nuclei()
        return _likeness(fitted.transform(frames), truth, fault, dots=dots)

    return answer


@cache
def _smooth_nuclei() -> Frames:
    return ndimage.gaussian_filter(_nuclei().target, (0, 1.5, 1.5))


@cache
def _crystals() -> tuple[Frames, Frames]:
    clean = make_crystal_images("SrTiO3", 3, shape=(128, 128), random_state=0).frames
    return clean, CompositeDegradationNoise(random_state=0).fit_transform(clean)


def _pinned(frames: Any, fault: str) -> dict[str, float]:
    denoised = PINNEDDenoiser(weights="default").transform(frames)
    return _likeness(denoised, _crystals()[0], fault)


# A training of seconds that learns to denoise such frames.
_TRAINING: dict[str, Any] = {
    "max_epochs": 20,
    "batch_size": 4,
    "tile_size": 64,
    "lr": 1e-2,
    "device": "cpu",
    "random_state": 0,
}
_NETWORK: dict[str, Any] = {"network_parameters": {"n_channels": 8}, **_TRAINING}


def _supervised(frames: Any, fault: str) -> dict[str, float]:
    denoiser = NetworkDenoiser(loss="l2", **_NETWORK)
    target = _nuclei().target[[0, 1, 0]] if fault == "duplicate" else _nuclei().target
    denoised = denoiser.fit(frames, target).transform(frames)
    return _likeness(denoised, _nuclei().target, fault, dots=True)


@cache
def _faint() -> Any:
    """Return frames whose correlation with the truth is 0.91."""
    return make_nucleation(3, shape=(128, 128), random_state=0)


def _blind_spot(frames: Any, fault: str) -> dict[str, float]:
    denoised = BlindSpotDenoiser(**_NETWORK).fit(frames).transform(frames)
    return _likeness(denoised, _faint().clean, fault)


@cache
def _exposures() -> tuple[Frames, Frames]:
    """Return three noisy exposures of one field, the truth first: small, since UDVD is slow."""
    truth = np.repeat(_faint().clean[:1, 32:96, 32:96], 3, axis=0)
    return truth, HRTEMNoise(random_state=0).fit_transform(truth)


def _video(frames: Any, fault: str) -> dict[str, float]:
    denoised = (
        UDVDDenoiser(n_channels=3, **{**_TRAINING, "tile_size": 32}).fit(frames).transform(frames)
    )
    return _likeness(denoised, _exposures()[0], fault)


def _score(frames: Any, fault: str) -> dict[str, float]:
    """Return how far the best of some filters is from that for clean frames."""
    return {"choice": -float(abs(_best_filter(frames) - _best_filter(_nuclei().noisy)))}


def _best_filter(frames: Any) -> int:
    sigmas = (0.5, 1.0, 2.0, 4.0)
    scores = [blind_spot_scorer(GaussianDenoiser(sigma=s).fit(frames), frames) for s in sigmas]
    return int(np.argmax(scores))


@cache
def _vacuum(counting: bool) -> list[Frames]:
    cls = PoissonGaussianNoise if counting else HRTEMNoise
    gain = 3.0 if counting else 0.05
    return [
        cls(gain=gain, random_state=i).fit_transform(np.full((12, 64, 64), level))
        for i, level in enumerate((50.0, 75.0, 100.0))
    ]


def _calibrated(frames: Any, counting: bool) -> dict[str, float]:
    """Return how far the gain is off, or 0 if the calibration says that its model fails."""
    sequences = [_vacuum(counting)[0], frames, _vacuum(counting)[2]]
    cls = PoissonGaussianNoise if counting else HRTEMNoise
    noise = cls().fit(sequences)
    error = abs(noise.gain_ / (3.0 if counting else 0.05) - 1)
    return {"gain": -float(error) if noise.calibration_.holds else 0.0}


TASKS: dict[str, Task] = {
    "DriftDecayModel": Task(_series, _drift, {"drift": 1.0, "damage": 0.1}),
    "DriftDecayModel.average": Task(_series, _average, {"correlation": 0.1}),
    "register": Task(_series, _register, {"drift": 1.0}),
    "AtomLocator": Task(lambda: _nuclei().noisy, _atoms, {"F1": 0.05}),
    "SCGNDenoiser": Task(
        lambda: _nuclei().noisy,
        _denoised(lambda: SCGNDenoiser(weights="default", device="cpu")),
        {"correlation": 0.1},
    ),
    "MatchedDenoiser": Task(
        lambda: _nuclei().noisy,
        _denoised(lambda: MatchedDenoiser(atom_sigma=1.5)),
        {"correlation": 0.1},
    ),
    "PINNEDDenoiser": Task(lambda: _crystals()[1], _pinned, {"correlation": 0.1}),
    "LoGRenderDenoiser": Task(
        lambda: _nuclei().noisy, _denoised(LoGRenderDenoiser), {"correlation": 0.1}
    ),
    "GaussianDenoiser": Task(
        lambda: _nuclei().noisy, _denoised(GaussianDenoiser, dots=False), {"correlation": 0.1}
    ),
    "BlindSpotDenoiser": Task(lambda: _faint().noisy, _blind_spot, {"correlation": 0.1}),
    "NetworkDenoiser": Task(lambda: _nuclei().noisy, _supervised, {"correlation": 0.1}),
    "UDVDDenoiser": Task(lambda: _exposures()[1], _video, {"correlation": 0.1}),
    "blind_spot_scorer": Task(lambda: _nuclei().noisy, _score, {"choice": 0.5}),
    "HRTEMNoise": Task(
        lambda: _vacuum(False)[1], lambda frames, _: _calibrated(frames, False), {"gain": 0.1}
    ),
    "PoissonGaussianNoise": Task(
        lambda: _vacuum(True)[1], lambda frames, _: _calibrated(frames, True), {"gain": 0.1}
    ),
}


class Cell(NamedTuple):
    """What became of one estimator on frames with one fault."""

    outcome: str
    detail: str


@cache
def clean_answer(task: str) -> dict[str, float]:
    """Return the answer for clean frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TASKS[task].answer(TASKS[task].clean(), "")


def run_cell(task: str, fault: str) -> Cell:
    """Return "right", "warning", "error" or "wrong" for an estimator and a fault."""
    expected = clean_answer(task)
    spoilt = FAULTS[fault].make(TASKS[task].clean())
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        try:
            found = TASKS[task].answer(spoilt, fault)
        except ValueError as error:
            return Cell("error", str(error))
    worse = {name: expected[name] - found[name] for name in expected}
    allowed = TASKS[task].tolerance
    detail = ", ".join(f"{name} {found[name]:.2f} for {expected[name]:.2f}" for name in expected)
    if all(worse[name] <= allowed[name] for name in worse):
        return Cell("right", detail)
    said = [w for w in record if issubclass(w.category, (*NAMED, UserWarning))]
    said = [w for w in said if "restores the lattice" not in str(w.message)]
    if said:
        return Cell("warning", f"{detail}; {said[0].category.__name__}: {said[0].message}")
    return Cell("wrong", detail)
