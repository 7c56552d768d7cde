"""DriftDecayModel: drift, beam damage and what lay in between, from a series of frames."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from tqdm.auto import tqdm

from .._motion import Motion
from .._random import RandomState, check_resumable, check_seed
from .._validation import (
    Float32Array,
    check_pair,
    check_pairs,
    check_stack,
    check_times,
    check_weights,
    n_dims,
    rescale_to_float32,
)
from ..base import FrameEstimator
from ..damage._decay_map import decay_between, scale_pair
from ..damage._network import NetworkMixin
from ..damage._prediction import align, explained_share, predict_frames
from ..damage._synthetic_pairs import theta_to_motion
from ..damage._training import train_network
from ..engine import fit_parameters
from ..exceptions import LowConfidenceWarning
from ..networks.degradation import T_MAX
from ..registration._binning import bin_frame, bin_overlap, choose_binning, unbin_map
from ..registration._pair import TRUSTED, MotionModel, Registration, register
from ._parameters import check_parameters
from ._results import DriftDecayState
from ._series import SeriesMixin

if TYPE_CHECKING:
    from sklearn.utils import Tags

_STEPS_PER_EPOCH = 25
_BATCH_SIZE = 8
_SIDE = 96
_LEARNING_RATE = 2e-4
_LEARNING_RATE_FROM_SCRATCH = 2e-3


class DriftDecayModel(NetworkMixin, SeriesMixin, FrameEstimator):
    """Drift and beam damage between any two frames of a series, at any time in between.

    Drift comes from a registration that holds on lattices which fade; decay comes from a network
    that compares aligned frames and was trained on synthetic degradations.

    Parameters
    ----------
    motion : {"affine", "rigid", "scan", "translation"}, default="affine"
        How frames may differ: by any linear map and drift; by drift and rotation; by drift and its
        velocity during the scan, which shears and stretches; by drift alone. A slow scan shears
        frames by a percent or two, and where the lattice is misplaced its signal seems lost: allow
        less only where you know that it holds.
    registration : {"correlation", "network"}, default="correlation"
        Where the motion comes from: coarse-to-fine correlation, or the network's own motion head,
        as in the paper. The head knows no confidence: its own is 0.
    weights : "default", path or None, default="default"
        What the network starts from: the shipped weights, a safetensors file, or nothing. Without
        ``fit``, and with weights given, they are used as they are.
    max_epochs : int, default=2
        Epochs of ``fit``, each of 25 steps of 8 synthetic pairs; 0 leaves the weights as they are.
    binning : "auto" or int, default="auto"
        Pixels that are averaged before the network looks at a frame. "auto" makes the frame's
        structure as fine as that of the network's training.
    device : str, default="auto"
        "auto" takes a GPU where there is one.
    precision : str, default="auto"
        "auto", "32-true" or "bf16-mixed"; "auto" takes the latter on GPUs that compute in it.
    checkpoint_dir : path or None, default=None
        Where ``fit`` keeps checkpoints; a fit that was killed goes on from there. It needs a
        ``random_state`` that is the same again.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the synthetic pairs.
    verbose : int, default=0
        1 shows progress.

    Attributes
    ----------
    module_ : DegradationNet
        The network, called as ``module_(x0, xT, t)`` with t in 0..100.
    binning_ : int
        Binning that ``fit`` chose; it is then used for every pair.
    history_ : DataFrame
        One row an epoch.
    n_epochs_ : int
        Epochs that ``fit`` ran.
    frame_shape_ : tuple of int
        Shape (H, W) of the frames that ``fit`` has seen, or (W,) of one-line frames.
    n_features_in_ : int
        W, where ``fit`` has seen a stack (n_lines, W) of one-line frames.

    References
    ----------
    Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and Beam
    Damage in STEM Imaging", ICCV Workshops 2025.

    Examples
    --------
    >>> from stemkit import DriftDecayModel
    >>> from stemkit.datasets import make_drift_pairs
    >>> data = make_drift_pairs(1, shape=(128, 128), max_drift=0.05, random_state=3)
    >>> state = DriftDecayModel(max_epochs=0).fit(data.pairs).predict(data.pairs[0], t=0.5)
    >>> state.frame.shape, bool(abs(2 * state.drift - data.drift[0]).max() < 1)
    ((128, 128), True)

    A series: its path, all frames laid onto the first, what is left of each, and what it bears:

    >>> from stemkit.datasets import make_llzo_series
    >>> series = make_llzo_series(3, shape=(128, 128), random_state=0)
    >>> model = DriftDecayModel()
    >>> path = model.trajectory(series.frames)
    >>> bool(abs(path[["dy", "dx"]] - series.drift).max(axis=None) < 1)
    True
    >>> model.transform(series.frames, trajectory=path).shape
    (3, 128, 128)
    >>> model.decay_maps(series.frames, trajectory=path).max(axis=(1, 2)).round().tolist()
    [1.0, 1.0, 1.0]
    >>> model.critical_dose(series.frames, series.dose, trajectory=path).dose.shape
    (128, 128)

    How well the predicted frames explain those that were recorded; 1 is wholly:

    >>> bool(0 < model.score(series.frames) < 1)
    True
    """

    _unused_in_fit = frozenset({"motion", "registration"})

    def __init__(
        self,
        *,
        motion: MotionModel = "affine",
        registration: Literal["correlation", "network"] = "correlation",
        weights: str | os.PathLike[str] | None = "default",
        max_epochs: int = 2,
        binning: Literal["auto"] | int = "auto",
        device: str = "auto",
        precision: str = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.motion = motion
        self.registration = registration
        self.weights = weights
        self.max_epochs = max_epochs
        self.binning = binning
        self.device = device
        self.precision = precision
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Adapt the network to a series: learn from synthetic degradations of its frames.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W), (n_lines, W) or (n_pairs, 2, H, W)
            A stack, or pairs with the earlier frame first; 2-D is a stack of one-line frames.
        y : None, optional
            Not used.

        Returns
        -------
        DriftDecayModel
            The model itself.

        Raises
        ------
        ValueError
            Where ``X`` or a parameter is not what it should be.
        """
        self._check_parameters()
        check_resumable(self.checkpoint_dir, self.random_state)
        if n_dims(X) == 4:
            frames, _ = check_stack(np.concatenate(check_pairs(X)), self, reset=True)
        else:
            frames, _ = check_stack(X, self, reset=True)
        seed = check_seed(self.random_state)
        self.binning_ = (
            choose_binning(frames[0]) if isinstance(self.binning, str) else int(self.binning)
        )
        module = self._starting_network(seed)
        n_steps = self.max_epochs * _STEPS_PER_EPOCH
        self.history_ = pd.DataFrame()
        if n_steps:
            # What is left of the noise is in both frames of a synthetic pair and says nothing of
            # damage; new noise is added to each.
            own = [
                ndimage.gaussian_filter(bin_frame(frame, self.binning_), 1.0)
                for frame in rescale_to_float32(frames)[0]
            ]
            result = train_network(
                module,
                frames=own,
                max_steps=n_steps,
                steps_per_epoch=_STEPS_PER_EPOCH,
                batch_size=_BATCH_SIZE,
                side=_SIDE,
                lr=_LEARNING_RATE_FROM_SCRATCH if self.weights is None else _LEARNING_RATE,
                random_state=seed,
                checkpoint_dir=self.checkpoint_dir,
                fingerprint=fit_parameters(self),
                device=self.device,
                precision=self.precision,
                verbose=self.verbose,
            )
            self.history_ = result.history
        self.module_ = module.eval()
        self.units_ = "local"
        self.n_epochs_ = len(self.history_)
        return self

    def predict(self, pair: ArrayLike, t: ArrayLike = 1.0) -> DriftDecayState:
        """Say how two frames are related at a time between them.

        Parameters
        ----------
        pair : array-like of shape (2, H, W)
            The earlier frame first.
        t : float or array-like of shape (n_times,), default=1.0
            0 is the first frame, 1 the second.

        Returns
        -------
        DriftDecayState
            Drift, rotation, decay and predicted frame at ``t``; motion, confidence and candidates.

        Raises
        ------
        ValueError
            Where ``pair``, ``t`` or a parameter is not what it should be.
        NotFittedError
            Before ``fit``, if ``weights`` is None.

        Warns
        -----
        LowConfidenceWarning
            Where the frames do not determine the drift.
        """
        self._check_parameters()
        self._check_fitted()
        (first, second), unit = rescale_to_float32(check_pair(pair))
        times = check_times(t)
        progress = tqdm(total=2, desc="predict", unit="stage", disable=self.verbose < 1)
        found = self._register(first, second)
        progress.update()
        if self.registration == "correlation" and found.confidence < TRUSTED:
            warnings.warn(
                f"The drift of this pair has a confidence of {found.confidence:.2f}: the frames "
                f"may be vacuum, perfectly periodic or without overlap; look at `candidates`.",
                LowConfidenceWarning,
                stacklevel=2,
            )
        motion = found.motion
        asked = np.atleast_1d(times)
        aligned, overlap = align(second, motion)
        decay = self._decay(first, aligned, overlap, asked)
        progress.update()
        progress.close()
        frames = predict_frames(first, aligned, overlap, decay, motion, asked, self._bin(first))
        steps = [motion.at(float(time)) for time in asked]
        drift = np.stack([step.drift for step in steps])
        rotation = np.array([step.rotation for step in steps])
        single = times.ndim == 0
        return DriftDecayState(
            t=float(times) if single else times.copy(),  # it may be the caller's own
            drift=drift[0] if single else drift,
            rotation=float(rotation[0]) if single else rotation,
            decay=decay[0] if single else decay,
            frame=unit * (frames[0] if single else frames),
            motion=motion,
            confidence=found.confidence,
            candidates=found.candidates,
            overlap=overlap,
        )

    def score(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> float:
        """Say, without truth, how well predicted frames explain the second ones.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W), (n_lines, W) or (n_pairs, 2, H, W)
            A stack, of which consecutive frames are the pairs, or pairs.
        y : None, optional
            Not used.
        sample_weight : array-like of shape (n_pairs,), optional
            Weight of each pair.

        Returns
        -------
        float
            Mean over the pairs of the share of the second frame's structure that the first one's,
            moved and faded, accounts for: R^2 of the lightly smoothed frames less their local
            means, within the overlap. 1 is perfect; shot noise keeps it below; 0 is what an
            estimate of "all is damaged" would have.

        Raises
        ------
        ValueError
            Where ``X``, a weight or a parameter is not what it should be.
        """
        self._check_parameters()
        self._check_fitted()
        if n_dims(X) == 4:
            pairs = check_pairs(X)
        else:
            pairs = _consecutive(check_stack(X, self, reset=False, min_frames=2)[0])
        weights = check_weights(sample_weight, len(pairs))
        scores = [self._score_pair(first, second) for first, second in rescale_to_float32(pairs)[0]]
        return float(np.average(scores, weights=weights))

    def _score_pair(self, first: Float32Array, second: Float32Array) -> float:
        motion = self._register(first, second).motion
        aligned, overlap = align(second, motion)
        binning = self._bin(first)
        decay = self._decay(first, aligned, overlap, np.ones(1))[0]
        there, seen, left = (bin_frame(f, binning) for f in (first, aligned, decay))
        inside = bin_overlap(overlap, binning) == 1
        return explained_share(there, seen, left, inside)

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _check_parameters(self) -> None:
        check_parameters(self)

    def _bin(self, frame: Float32Array) -> int:
        if isinstance(self.binning, str):
            chosen = getattr(self, "binning_", None) or choose_binning(frame)
        else:
            chosen = int(self.binning)
        return min(chosen, *frame.shape)

    def _register(self, first: Float32Array, second: Float32Array) -> Registration:
        if self.registration == "correlation":
            return register(first, second, motion=self.motion)
        module, units = self._network()
        binning = self._bin(first)
        small = [bin_frame(frame, binning) for frame in (first, second)]
        scaled = scale_pair(small[0], small[1], units)
        device = next(module.parameters()).device
        x0, xT = (torch.from_numpy(frame)[None, None].to(device) for frame in scaled)
        module.eval()
        with torch.inference_mode():
            theta = module.motion(module.encode(x0, xT), T_MAX)[0].cpu().numpy()
        motion = theta_to_motion(theta, small[0].shape).rescaled(binning, first.shape)
        if self.motion == "translation":
            motion = Motion(first.shape, motion.drift)
        return Registration(motion=motion, confidence=0.0, candidates=((motion, 1.0),), overlap=1.0)

    def _decay(
        self,
        first: Float32Array,
        aligned: Float32Array,
        overlap: NDArray[np.bool_],
        times: NDArray[np.float64],
        level: Float32Array | None = None,
    ) -> Float32Array:
        module, units = self._network()
        binning = self._bin(first)
        maps = decay_between(
            module,
            bin_frame(first, binning),
            bin_frame(aligned, binning),
            bin_overlap(overlap, binning) == 1,
            times,
            level=level,
            units=units,
            device=self.device,
            precision=self.precision,
        )
        return np.stack([unbin_map(one, binning, first.shape) for one in maps])


def _consecutive(frames: Float32Array) -> Float32Array:
    return np.stack([frames[:-1], frames[1:]], axis=1)
