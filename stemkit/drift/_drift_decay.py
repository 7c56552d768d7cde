"""DriftDecayModel: drift, beam damage and frames in between, from a series of frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args, overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from tqdm.auto import tqdm

from .._constraints import Constraints, Interval, Options, check_value
from .._missing import Mask
from .._motion import Motion
from .._random import RandomState, check_resumable, check_seed
from .._validation import (
    BAD_OR_MISSING,
    BadOrMissing,
    Float32Array,
    check_increasing,
    check_masked_pair,
    check_masked_pairs,
    check_masked_stack,
    check_stack,
    check_times,
    check_weights,
    n_dims,
    rescale_to_float32,
)
from ..base import FrameEstimator
from ..damage import BandDecay, CriticalDose, fit_critical_dose
from ..damage._bands import bands_of_series, warn_of_sharpness
from ..damage._decay_map import DecayMaps
from ..damage._exposure import equalize
from ..damage._network import DamageNetwork, initial_network, network_from_weights
from ..damage._normalization import Units
from ..engine import fit_parameters, pick_device, pick_precision, read_checkpoint
from ..io._conversion import calibration_of
from ..networks.degradation import DegradationNet
from ..registration import (
    AlignedStack,
    AveragedSeries,
    Registration,
    align_stack,
    apply_motions,
    register,
)
from ..registration._align_rows import straighten_series
from ..registration._binning import bin_frame, choose_binning
from ..registration._canvas import CANVAS, CanvasKind
from ..registration._doubt import explain
from ..registration._pair import MotionModel
from ..registration._search_limits import LIMITS, Scale, SearchLimits
from . import _averaging, _lost_frames, _rows, _series
from ._pairs import (
    RegisterPair,
    correlation_registration,
    network_registration,
    predict_pair,
    score_pair,
    warn_of_pair,
)
from ._results import DriftDecayAnalysis, DriftDecayState

if TYPE_CHECKING:
    from torch import Tensor


class DriftDecayModel(TransformerMixin, FrameEstimator):
    """Estimate drift and beam damage between the frames of a series.

    The drift comes from a registration that also works on lattices that fade. A
    :class:`LowConfidenceWarning` is issued if the frames do not determine it. The decay comes from
    a network that compares aligned frames and was trained on synthetic damage.

    Parameters
    ----------
    motion : {"affine", "rigid", "scan", "translation", "path"}, default="affine"
        Motion between frames: any linear map and drift; rotation and drift; drift with a constant
        velocity during the scan, which shears and stretches frames; drift alone; or, for series, a
        displacement of each row, for drift that changes within frames that are scanned
        (:func:`stemkit.registration.register_rows`). Slow scans shear frames by a percent or two,
        and a misaligned lattice looks like lost signal: restrict the motion only if you know that
        it holds. With "path", single pairs are registered as with "affine".
    registration : {"correlation", "network"}, default="correlation"
        Source of the motion: coarse-to-fine correlation, or the network's motion head as in the
        paper, which gives no confidence (0).
    weights : "default", path or None, default="default"
        Initial weights of the network: the shipped ones, a safetensors file, or random ones.
        Unless they are None, the model can be used without ``fit``.
    max_epochs : int, default=2
        Epochs of ``fit``, each of 25 steps of 8 synthetic pairs; 0 leaves the weights as they are.
    binning : "auto" or int, default="auto"
        Binning for the network, in px. "auto" makes structure as fine as in its training.
    device : str, default="auto"
        "auto" takes a GPU if there is one.
    precision : {"auto", "32-true", "bf16-mixed"}, default="auto"
        "auto" takes "bf16-mixed" on GPUs that compute in it.
    checkpoint_dir : path or None, default=None
        Folder from which an interrupted ``fit`` resumes; it needs the same int ``random_state``.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the synthetic pairs.
    verbose : int, default=0
        1 shows progress.
    exposure : "auto", array-like of shape (n_frames,) or None, default="auto"
        Relative exposure of each frame, as its dwell time or the current, by which intensities are
        divided before damage is estimated. "auto" takes exposures and dwell times of frames that
        are recorded for each frame (:class:`~stemkit.io.FrameStack`), or else estimates changes of
        the gain from the noise, and of the exposure from dark and bright intensities that change
        alike, with an :class:`~stemkit.exceptions.ExposureChangeWarning`. None compares
        intensities as they are.
    max_drift : float, default=0.5
        Largest drift between any two frames along each axis, in shares of the frame's side.
    max_rotation : float, default=6.0
        Largest rotation between any two frames in degrees, either way: up to 180. The time grows
        with it.
    max_step : float, optional
        Largest drift in px between consecutive frames, where it is known to be small. A perfect
        lattice that drifts by less than half its period in a frame is followed.
    scale : float or (float, float), default=1.0
        Magnification of a frame relative to the one before it, 0.5 to 2, or the lowest and the
        highest to search between any two frames.
    bad_pixels : {"repair", "mask"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. Parts that were not
        recorded or are masked, of 5 x 5 px and more, are left out: they take no part in the drift,
        lie outside of the overlap and of the mask of aligned frames, and the decay is there that
        of the nearest pixel inside. With "mask" all of these pixels are left out. With None,
        frames are used as they are, and NaN is an error.
    readout : {"rows", "frame"}, default="rows"
        Whether rows are recorded one after the other, as by a scanning microscope, or all at once,
        as by a camera. Of rows, a :class:`~stemkit.exceptions.ModelMismatchWarning` is issued if
        the motion of whole frames leaves them displaced.
    scan_direction : array-like of shape (n_frames,) or None, default=None
        For ``motion="path"``: direction of the fast axis in each frame, in degrees
        counter-clockwise as seen on the screen, such as 0 and 90 in turn. By default all are the
        same.

    Attributes
    ----------
    module_ : DegradationNet
        The network, called as ``module_(x0, xT, t)`` with t in 0..100.
    binning_ : int
        Binning that ``fit`` chose, then used for every pair.
    history_ : DataFrame
        One row for each epoch.
    n_epochs_ : int
        Number of epochs of ``fit``.
    frame_shape_ : tuple of int
        Shape (H, W) of the frames in ``fit``, or (W,) of one-line frames.
    n_features_in_ : int
        W, if ``fit`` was given a stack (n_lines, W) of one-line frames.

    References
    ----------
    Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and Beam
    Damage in STEM Imaging", ICCV Workshops 2025.

    Examples
    --------
    >>> from stemkit import DriftDecayModel
    >>> from stemkit.datasets import make_drift_pairs, make_llzo_series
    >>> data = make_drift_pairs(1, shape=(128, 128), max_drift=0.05, random_state=3)
    >>> state = DriftDecayModel(max_epochs=0).fit(data.pairs).predict(data.pairs[0], t=0.5)
    >>> state.frame.shape, bool(abs(2 * state.drift - data.drift[0]).max() < 1)
    ((128, 128), True)

    A series: its trajectory and decay maps, together or separately, aligned frames, the critical
    dose, and how well predicted frames explain the recorded ones (1 is perfect):

    >>> series = make_llzo_series(4, shape=(256, 256), random_state=0)
    >>> model = DriftDecayModel()
    >>> path, decay = model.analyze(series.frames)
    >>> path = model.trajectory(series.frames, times=[0, 10, 20, 30])
    >>> bool((model.decay_maps(series.frames, trajectory=path) == decay).all())
    True
    >>> model.transform(series.frames, trajectory=path).shape
    (4, 256, 256)
    >>> model.critical_dose(series.frames, series.dose, trajectory=path).dose.shape
    (256, 256)
    >>> bool(0 < model.score(series.frames) < 1), model.register(series.frames[:2]).confidence > 0.5
    (True, True)
    """

    module_: DegradationNet
    units_: Units

    _unused_in_fit = frozenset(
        {"exposure", "motion", "readout", "registration", "scan_direction", *LIMITS}
    )
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "motion": [Options(*get_args(MotionModel), "path")],
        "registration": [Options("correlation", "network")],
        "weights": [Options("default"), "path", None],
        "max_epochs": [Interval(int, 0, None)],
        "binning": [Options("auto"), Interval(int, 1, None)],
        "device": ["device"],
        "precision": [Options("auto", "32-true", "bf16-mixed")],
        "checkpoint_dir": ["path", None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "exposure": [Options("auto"), None, "array-like"],
        **LIMITS,
        "bad_pixels": BAD_OR_MISSING,
        "readout": [Options("rows", "frame")],
        "scan_direction": ["array-like", None],
    }

    def __init__(
        self,
        *,
        motion: MotionModel | Literal["path"] = "affine",
        registration: Literal["correlation", "network"] = "correlation",
        weights: str | os.PathLike[str] | None = "default",
        max_epochs: int = 2,
        binning: Literal["auto"] | int = "auto",
        device: str = "auto",
        precision: str = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
        exposure: Literal["auto"] | ArrayLike | None = "auto",
        max_drift: float = 0.5,
        max_rotation: float = 6.0,
        max_step: float | None = None,
        scale: Scale = 1.0,
        bad_pixels: BadOrMissing = "repair",
        readout: Literal["rows", "frame"] = "rows",
        scan_direction: ArrayLike | None = None,
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
        self.exposure = exposure
        self.max_drift = max_drift
        self.max_rotation = max_rotation
        self.max_step = max_step
        self.scale = scale
        self.bad_pixels = bad_pixels
        self.readout = readout
        self.scan_direction = scan_direction

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Make a model from the weights that the paper's authors released.

        Parameters
        ----------
        path : path
            A ``.pth`` file in the released layout; nothing in it is executed.
        **parameters
            Parameters of the model.

        Returns
        -------
        DriftDecayModel
            A fitted model. Its network takes frames scaled to 0..1.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, holds more than weights, or those of another network.
        """
        model = cls(**parameters)
        model.module_ = network_from_weights(read_checkpoint(path), str(path))
        model.units_ = "released"
        model.history_ = pd.DataFrame()
        model.n_epochs_ = 0
        return model

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Adapt the network to a series, by training on synthetic damage of its frames.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W), (n_lines, W) or (n_pairs, 2, H, W)
            A stack, or pairs with the earlier frame first; 2-D is a stack of one-line frames.
        y : None, optional
            Ignored.

        Returns
        -------
        DriftDecayModel
            The model itself.

        Raises
        ------
        InvalidParameterError
            If a parameter of the model is invalid.
        ValueError
            If ``X`` is not a stack or pairs of finite numbers.
        """
        self._check_parameters()
        check_resumable(self.checkpoint_dir, self.random_state)
        if n_dims(X) == 4:
            pairs, _ = check_masked_pairs(X, bad_pixels=self.bad_pixels)
            frames, _ = check_stack(np.concatenate(pairs), self, reset=True)
        else:
            frames, _ = check_stack(X, self, reset=True)
        seed = check_seed(self.random_state)
        self.binning_ = (
            choose_binning(frames[0]) if isinstance(self.binning, str) else int(self.binning)
        )
        module = initial_network(self.weights, seed)
        self.history_ = pd.DataFrame()
        if self.max_epochs:
            # Imported here, since inference needs no generator of frames.
            from ..damage._training import adapt_network

            result = adapt_network(
                module,
                [bin_frame(frame, self.binning_) for frame in rescale_to_float32(frames)[0]],
                n_epochs=self.max_epochs,
                pretrained=self.weights is not None,
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

    def register(self, pair: ArrayLike) -> Registration:
        """Estimate the motion between two frames alone, without the decay.

        Parameters
        ----------
        pair : array-like of shape (2, H, W)
            The earlier frame first.

        Returns
        -------
        Registration
            The motion with its confidence and the candidates.

        Raises
        ------
        ValueError
            If ``pair`` is not two frames of finite numbers.
        """
        frames, missing = check_masked_pair(pair, bad_pixels=self.bad_pixels)
        (first, second), _ = rescale_to_float32(frames)
        return self._register_pair(self._network(), first, second, missing)

    def predict(self, pair: ArrayLike, t: ArrayLike = 1.0) -> DriftDecayState:
        """Relate two frames, and predict the frame at a time between them.

        Parameters
        ----------
        pair : array-like of shape (2, H, W)
            The earlier frame first.
        t : float or array-like of shape (n_times,), default=1.0
            From 0, the first frame, to 1, the second.

        Returns
        -------
        DriftDecayState
            Drift, rotation, decay and predicted frame at ``t``; motion, confidence and candidates.

        Raises
        ------
        ValueError
            If ``pair`` is not two frames of finite numbers, or ``t`` is outside [0, 1].
        NotFittedError
            If ``weights`` is None and the model is not fitted.
        """
        network, times = self._network(), check_times(t)
        frames, missing = check_masked_pair(pair, bad_pixels=self.bad_pixels)
        (first, second), unit = rescale_to_float32(frames)
        with tqdm(total=2, desc="predict", unit="stage", disable=self.verbose < 1) as progress:
            found = self._register_pair(network, first, second, missing)
            progress.update()
            recorded = calibration_of(pair).exposure
            first, second = equalize(
                np.stack([first, second]),
                self.exposure,
                name="pair",
                missing=missing,
                recorded=recorded,
            )
            lacks = _series.masks_of_frames(missing, 2)
            state = predict_pair(
                network, first, second, found, times, self._binning_for(first), unit, lacks
            )
            progress.update()
        return state

    def score(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> float:
        """Compute, without ground truth, how well predicted frames explain the second ones.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W), (n_lines, W) or (n_pairs, 2, H, W)
            A stack, of which consecutive frames are the pairs, or pairs.
        y : None, optional
            Ignored.
        sample_weight : array-like of shape (n_pairs,), optional
            Weight of each pair, 0 or more.

        Returns
        -------
        float
            Mean over the pairs of R^2 between the second frame's structure and the first one's,
            moved and faded, inside the overlap. Structure is the lightly smoothed frame without
            its local mean. 1 is perfect; shot noise keeps it below; 0 is reached by a decay of 0
            everywhere.

        Raises
        ------
        ValueError
            If ``X`` is not a stack or pairs of finite numbers, or a weight is negative.
        """
        network = self._network()
        if n_dims(X) == 4:
            pairs, missing = check_masked_pairs(X, bad_pixels=self.bad_pixels)
        else:
            frames, _, missing = check_masked_stack(X, self, reset=False, min_frames=2)
            pairs = np.stack([frames[:-1], frames[1:]], axis=1)
            if missing is not None:
                missing = np.stack([missing[:-1], missing[1:]], axis=1)
        weights = check_weights(sample_weight, len(pairs))
        recorded = calibration_of(X).exposure
        register_pair = self._registration(network)
        scores = []
        for index, (first, second) in enumerate(rescale_to_float32(pairs)[0]):
            lack = None if missing is None else missing[index]
            lacks = _series.masks_of_frames(lack, 2)
            motion = register_pair(first, second, lacks).motion
            first, second = equalize(
                np.stack([first, second]),
                self.exposure,
                name="the pair",
                missing=lack,
                recorded=None if recorded is None else recorded[index : index + 2],
            )
            binning = self._binning_for(first)
            scores.append(score_pair(network, first, second, motion, binning, lacks))
        return float(np.average(scores, weights=weights))

    def analyze(self, stack: ArrayLike, times: ArrayLike | None = None) -> DriftDecayAnalysis:
        """Estimate the trajectory and the decay maps of a series, in one pass.

        Parameters
        ----------
        stack : FrameStack or array-like of shape (n_frames, H, W) or (n_lines, W)
            The series, of at least two frames.
        times : array-like of shape (n_frames,), optional
            Increasing time of each frame. By default that which ``stack`` records, in s, or else
            the frame's number.

        Returns
        -------
        DriftDecayAnalysis
            A named tuple of what :meth:`trajectory` and :meth:`decay_maps` return.

        Raises
        ------
        ValueError
            If ``stack`` has less than two frames or is not finite, or ``times`` do not increase.
        """
        network = self._network()
        stacked, shape, missing = check_masked_stack(
            stack, self, reset=False, name="stack", min_frames=2
        )
        known = calibration_of(stack)
        name = "times"
        if times is None:
            times, name = known.times, "stack.times"
        when = range(len(stacked)) if times is None else times
        when = check_increasing(when, len(stacked), name)
        frames, _ = rescale_to_float32(stacked)
        table = self._register_series(network, frames, missing)
        # Motions are read back from the table, so that the maps are those of `decay_maps` with it.
        maps = self._decay_maps(network, frames, table, missing, known.exposure)
        _series.add_time_and_damage(table, when, frames[0], maps, missing)
        _series.add_nm(table, known.pixel_size)
        return DriftDecayAnalysis(table, maps.decay.reshape(shape), maps.stderr.reshape(shape))

    def trajectory(self, stack: ArrayLike, times: ArrayLike | None = None) -> pd.DataFrame:
        """Estimate the path of the specimen through a series.

        All pairs of frames are registered (beyond 16 frames, those a power of two apart) and
        reconciled, so that a single wrong pair has no influence.

        Parameters
        ----------
        stack : FrameStack or array-like of shape (n_frames, H, W) or (n_lines, W)
            The series, of at least two frames.
        times : array-like of shape (n_frames,), optional
            Increasing time of each frame. By default that which ``stack`` records, in s, or else
            the frame's number.

        Returns
        -------
        DataFrame
            One row for each frame, all relative to the first (if that shows nothing, to the first
            that does, with a warning): ``time``, ``dy`` and ``dx`` (px),
            ``rotation_deg``, ``shear``, ``stretch`` and ``scale`` (see :class:`Motion`),
            ``mean_damage`` over the specimen, ``confidence`` (0 to 1), ``closure`` (px, how far
            the registrations of this frame disagree). If ``stack`` has a pixel size, as a
            :class:`~stemkit.io.FrameStack` or a signal of HyperSpy may, also ``dy_nm`` and
            ``dx_nm``, in nm.

        Raises
        ------
        ValueError
            If ``stack`` has less than two frames or is not finite, or ``times`` do not increase.
        """
        return self.analyze(stack, times).trajectory

    def transform(
        self,
        stack: ArrayLike,
        *,
        trajectory: pd.DataFrame | None = None,
        fill: str | float = "edge",
        canvas: CanvasKind = "first",
    ) -> AlignedStack:
        """Align a series to its first frame.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series.
        trajectory : DataFrame, optional
            The result of :meth:`trajectory`, to save the time of estimating it again.
        fill : {"edge", "reflect"} or float, default="edge"
            Values where a frame holds no data.
        canvas : {"first", "union", "common"}, default="first"
            Pixels of the aligned frames: those of the first frame, of all frames, or the largest
            rectangle that all frames show. Lines are always aligned to the first.

        Returns
        -------
        AlignedStack of shape (n_frames, H, W), float32
            An array; its ``mask`` is True where the frame holds data, and its ``origin`` is the
            position (y, x) of its first pixel in px of the first frame.

        Raises
        ------
        MemoryError
            If the canvas is too large, as after a wrong drift.
        ValueError
            If ``stack`` is not finite, or ``trajectory`` is of another series.

        Warns
        -----
        OutOfViewWarning
            If frames show nothing of the first frame's view.
        """
        network = self._network()
        check_value(canvas, "canvas", CANVAS)
        frames, shape, missing = check_masked_stack(stack, self, reset=False, name="stack")
        if trajectory is None and len(frames) > 1:
            trajectory = self._register_series(network, rescale_to_float32(frames)[0], missing)
        straight = self._straighten(frames, trajectory, missing, canvas, fill)
        if straight is not None:
            return straight
        motions = _series.motions_of(trajectory, frames)
        is_stack = len(shape) == 3
        aligned = align_stack(frames, motions, fill=fill, canvas=canvas if is_stack else "first")
        mask = np.asarray(aligned.mask)
        _series.leave_out_missing(mask, motions, missing, aligned.origin)
        if is_stack:
            return aligned
        return AlignedStack(np.asarray(aligned).reshape(shape), mask.reshape(shape))

    def average(
        self,
        stack: ArrayLike,
        *,
        trajectory: pd.DataFrame | None = None,
        canvas: CanvasKind = "first",
        weights: Literal["inverse-variance"] | ArrayLike | None = None,
        dose: ArrayLike | None = None,
    ) -> AveragedSeries:
        """Average a series at the pixels of its first frame, with its error and resolution.

        Each pixel is averaged over the frames that show it. Bad pixels and masked ones are no data.

        Parameters
        ----------
        stack : FrameStack or array-like of shape (n_frames, H, W)
            The series.
        trajectory : DataFrame, optional
            The result of :meth:`trajectory`.
        canvas : {"first", "union", "common"}, default="first"
            Pixels of the average: those of the first frame, of all frames, or the largest
            rectangle that all frames show.
        weights : "inverse-variance" or array-like, default=None
            Weight of each frame, or of each of its pixels, of shape (n_frames,) or
            (n_frames, H, W); 0 leaves it out. "inverse-variance" measures the noise of each frame,
            for dwell times or currents that differ. By default all are the same.
        dose : array-like of shape (n_frames,), optional
            Accumulated dose at each frame, increasing, in any unit. At each spatial frequency,
            frames are then weighted by how much structure is left, which is estimated from the
            series, so that fine structure comes from the frames before it is lost.

        Returns
        -------
        AveragedSeries
            Mean, standard error, coverage, Fourier ring correlation of the halves, and resolution.

        Raises
        ------
        MemoryError
            If the canvas is too large, as after a wrong drift.
        ValueError
            If ``stack`` is not finite, ``trajectory`` is of another series, ``weights`` do not
            fit, or ``dose`` does not increase or is that of less than three frames.

        Warns
        -----
        OutOfViewWarning
            If frames show nothing of the first frame's view.
        ResolutionWarning
            If the resolution is not determined.

        See Also
        --------
        stemkit.registration.average : The method, for motions that are known.

        Examples
        --------
        >>> from stemkit import DriftDecayModel
        >>> from stemkit.datasets import make_llzo_series
        >>> series = make_llzo_series(4, shape=(192, 192), random_state=0)
        >>> result = DriftDecayModel().average(series.frames, canvas="union")
        >>> bool(result.resolution < 8), int(result.coverage.max())
        (True, 4)
        """
        network = self._network()
        _averaging.check_average(canvas, weights)
        frames, _, missing = check_masked_stack(stack, self, reset=False, name="stack")
        if trajectory is None and len(frames) > 1:
            trajectory = self._register_series(network, rescale_to_float32(frames)[0], missing)
        known = calibration_of(stack)
        recorded = _averaging.recorded_pixels(stack, frames)
        frames = equalize(frames, self.exposure, missing=missing, recorded=known.exposure)
        unrecorded = None if recorded is None else ~recorded
        straight = self._straighten(frames, trajectory, unrecorded, canvas, "edge")
        if straight is not None:
            return _averaging.average_straight(
                straight, weights=weights, dose=dose, pixel_size=known.pixel_size
            )
        return _averaging.average_series(
            frames,
            _series.motions_of(trajectory, frames),
            canvas=canvas,
            weights=weights,
            recorded=recorded,
            dose=dose,
            pixel_size=known.pixel_size,
        )

    def apply(
        self,
        trajectory: pd.DataFrame,
        array: ArrayLike,
        *,
        frame_shape: tuple[int, int] | None = None,
        canvas: CanvasKind = "first",
        fill: float = 0.0,
        order: int = 1,
    ) -> AlignedStack:
        """Align data that were recorded along with a series, such as spectrum images or 4D-STEM.

        Parameters
        ----------
        trajectory : DataFrame
            The result of :meth:`trajectory`.
        array : array-like of shape (n_frames, H, W, ...)
            Data at each pixel of each frame: a number, a spectrum or a pattern.
        frame_shape : (int, int), optional
            Shape (H, W) of the frames of the trajectory, if ``array`` has smaller or larger pixels
            of the same field.
        canvas : {"first", "union", "common"}, default="first"
            Pixels of the result, as for :meth:`transform`.
        fill : float, default=0.0
            Value where a frame holds no data.
        order : int, default=1
            Order of the interpolating spline, 0 to 5. From 2 on, few counts can become negative.

        Returns
        -------
        AlignedStack of shape (n_frames, H, W, ...), float32
            An array; its ``mask`` is True where the frame holds data.

        Raises
        ------
        MemoryError
            If the result is too large.
        ValueError
            If ``array`` is not finite, or ``trajectory`` is of another series.

        See Also
        --------
        stemkit.registration.apply_motions : The method, for motions that are known.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from stemkit import DriftDecayModel
        >>> path = pd.DataFrame({"dy": [0.0, 4.0], "dx": [0.0, -2.0]})
        >>> spectra = np.ones((2, 32, 32, 100))
        >>> aligned = DriftDecayModel().apply(path, spectra, frame_shape=(64, 64))
        >>> aligned.shape, int(aligned.mask[1, :, :, 0].sum())
        ((2, 32, 32, 100), 930)
        """
        if self.motion == "path":
            return _rows.apply_rows(trajectory, array, frame_shape, canvas=canvas, fill=fill)
        motions = _averaging.motions_for(trajectory, array, frame_shape)
        return apply_motions(array, motions, canvas=canvas, fill=fill, order=order)

    def row_paths(
        self,
        stack: ArrayLike,
        *,
        trajectory: pd.DataFrame | None = None,
        return_std: bool = False,
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Estimate the displacement of each row of the frames of a series.

        A point s of the specimen is seen in frame k in the row r = s_y + path[k, r, 0] and the
        column s_x + path[k, r, 1]. What all frames share no series can tell: the mean path is
        straight, and the middle row of the first frame undisplaced.

        Parameters
        ----------
        stack : FrameStack or array-like of shape (n_frames, H, W)
            The series, of at least two frames that were recorded row by row.
        trajectory : DataFrame, optional
            The result of :meth:`trajectory`.
        return_std : bool, default=False
            Whether to return the standard errors as well.

        Returns
        -------
        path : ndarray of shape (n_frames, H, 2)
            Displacement (dy, dx) of each row in px.
        std : ndarray of shape (n_frames, H, 2)
            Its standard error, if it is not off by a lattice vector. With ``return_std`` only.

        Raises
        ------
        InvalidParameterError
            If ``readout`` is "frame".
        ValueError
            If ``stack`` has less than two frames, frames of less than 32 rows or columns, or is not
            finite.

        See Also
        --------
        stemkit.registration.register_rows : The method, with the probability of each row.

        Examples
        --------
        >>> from stemkit import DriftDecayModel
        >>> from stemkit.datasets import make_llzo_series
        >>> series = make_llzo_series(3, shape=(128, 128), random_state=0)
        >>> DriftDecayModel(motion="path").row_paths(series.frames).shape
        (3, 128, 2)
        """
        network = self._network()
        _rows.check_rows("path", self.readout, None)
        frames, _, missing = check_masked_stack(
            stack, self, reset=False, name="stack", min_frames=2
        )
        frames, _ = rescale_to_float32(frames)
        if trajectory is None:
            trajectory = self._register_series(network, frames, missing)
        rows = _rows.rows_of(
            trajectory, frames, scan_direction=self.scan_direction, missing=missing
        )
        return (rows.path, rows.stderr) if return_std else rows.path

    @overload
    def decay_maps(
        self,
        stack: ArrayLike,
        *,
        trajectory: pd.DataFrame | None = ...,
        return_stderr: Literal[False] = ...,
    ) -> Float32Array: ...

    @overload
    def decay_maps(
        self,
        stack: ArrayLike,
        *,
        trajectory: pd.DataFrame | None = ...,
        return_stderr: Literal[True],
    ) -> tuple[Float32Array, Float32Array]: ...

    def decay_maps(
        self,
        stack: ArrayLike,
        *,
        trajectory: pd.DataFrame | None = None,
        return_stderr: bool = False,
    ) -> Float32Array | tuple[Float32Array, Float32Array]:
        """Compute the decay from the first frame to each.

        Film, background and amorphised matter do not fade and are the same in all frames. All
        frames are used to estimate their level, so the maps of a series are more accurate than
        :meth:`predict` of its pairs.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series.
        trajectory : DataFrame, optional
            The result of :meth:`trajectory`.
        return_stderr : bool, default=False
            Whether to return the standard error of the maps too.

        Returns
        -------
        decay : ndarray of shape (n_frames, H, W), float32
            At the first frame's pixels; 1 for the first frame.
        stderr : ndarray of shape (n_frames, H, W), float32
            Only if ``return_stderr``: near 0.29 where the frames tell nothing, as in vacuum and on
            smooth film; 0 for the first frame.

        Raises
        ------
        ValueError
            If ``stack`` is not finite, or ``trajectory`` is of another series.
        """
        network = self._network()
        stacked, shape, missing = check_masked_stack(stack, self, reset=False, name="stack")
        maps = self._decay_of_checked(
            network, stacked, missing, trajectory, calibration_of(stack).exposure
        )
        if return_stderr:
            return maps.decay.reshape(shape), maps.stderr.reshape(shape)
        return maps.decay.reshape(shape)

    def decay_bands(self, stack: ArrayLike, *, trajectory: pd.DataFrame | None = None) -> BandDecay:
        """Compute the decay from the first frame to each by band of spatial frequency.

        Damage takes the same share of all frequencies. Blur, defocus and residual motion, which
        decay maps and critical doses can't tell from damage, take the more the higher the
        frequency. Where all frames show the specimen, the two are told apart.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series, of at least two frames. Nothing is measured where all frames have less
            than 48 px along a side in common.
        trajectory : DataFrame, optional
            The result of :meth:`trajectory`.

        Returns
        -------
        BandDecay
            Decay of each frame and band with its standard error, and what explains it. Its method
            ``critical_dose`` gives the critical dose of each band.

        Raises
        ------
        ValueError
            If ``stack`` has less than two frames or is not finite, or ``trajectory`` is of another
            series.

        Warns
        -----
        SharpnessChangeWarning
            If the loss of some frames grows with frequency.

        See Also
        --------
        stemkit.damage.decay_bands : The method, for motions that are known.

        Examples
        --------
        >>> from stemkit import DriftDecayModel
        >>> from stemkit.datasets import make_llzo_series
        >>> series = make_llzo_series(3, shape=(128, 128), random_state=0)
        >>> bands = DriftDecayModel().decay_bands(series.frames)
        >>> bands.decay.shape, bool(bands.critical_dose(series.dose).upper_limit.min() < 1e5)
        ((3, 8), True)
        """
        network = self._network()
        stacked, _, missing = check_masked_stack(
            stack, self, reset=False, name="stack", min_frames=2
        )
        frames, _ = rescale_to_float32(stacked)
        if trajectory is None:
            trajectory = self._register_series(network, frames, missing)
        recorded = calibration_of(stack).exposure
        bands = bands_of_series(*self._comparable(frames, trajectory, missing, recorded))
        warn_of_sharpness(bands)
        return bands

    def critical_dose(
        self, stack: ArrayLike, dose: ArrayLike, *, trajectory: pd.DataFrame | None = None
    ) -> CriticalDose:
        """Fit ``exp(-dose / D)`` to the signal of each pixel.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series, of at least three frames.
        dose : array-like of shape (n_frames,)
            Accumulated dose at each frame, increasing, in any unit.
        trajectory : DataFrame, optional
            The result of :meth:`trajectory`.

        Returns
        -------
        CriticalDose
            Maps of D, of its standard error and of its limits, in the unit of ``dose``. Frames are
            weighted by the standard error of the decay at each place. Where no decay is certain,
            there is a lower limit alone.

        Raises
        ------
        ValueError
            If ``stack`` has less than three frames or is not finite, or ``dose`` does not increase.

        Warns
        -----
        SharpnessChangeWarning
            If blur, defocus or motion take structure as well or instead, or may do so.

        See Also
        --------
        decay_bands : Its result has the critical dose by spatial frequency.
        """
        network = self._network()
        stacked, shape, missing = check_masked_stack(
            stack, self, reset=False, name="stack", min_frames=3
        )
        doses = check_increasing(dose, len(stacked), "dose")
        frames, _ = rescale_to_float32(stacked)
        if trajectory is None:
            trajectory = self._register_series(network, frames, missing)
        recorded = calibration_of(stack).exposure
        compared = self._comparable(frames, trajectory, missing, recorded)
        maps = self._decay_of_comparable(network, *compared)
        bands = bands_of_series(*compared)
        warn_of_sharpness(bands, undetermined=True)
        stderr = maps.stderr.reshape(shape)
        return fit_critical_dose(maps.decay.reshape(shape), doses, stderr=stderr)

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def _check_parameters(self) -> None:
        super()._check_parameters()
        pick_precision(self.precision, pick_device(self.device))
        self._search_limits()

    @staticmethod
    def _build_module(weights: Mapping[str, Tensor]) -> DegradationNet:
        return network_from_weights(weights, "weights")

    def _network(self) -> DamageNetwork:
        """Check the parameters, and return the fitted network or else that of ``weights``."""
        self._check_parameters()
        _rows.check_rows(self.motion, self.readout, self.scan_direction)
        if hasattr(self, "module_"):
            return DamageNetwork(self.module_, self.units_, self.device, self.precision)
        if self.weights is None:
            raise NotFittedError(
                f"This {type(self).__name__} has weights=None and is not fitted; call fit first, "
                'or use weights="default".'
            )
        module = initial_network(self.weights, seed=0)
        return DamageNetwork(module, "local", self.device, self.precision)

    def _binning_for(self, frame: Float32Array) -> int:
        if isinstance(self.binning, str):
            binning = getattr(self, "binning_", None) or choose_binning(frame)
        else:
            binning = int(self.binning)
        return min(binning, *frame.shape)

    def _registration(self, network: DamageNetwork) -> RegisterPair:
        """Return the function that registers two frames."""
        if self.registration == "correlation":
            motion = "affine" if self.motion == "path" else self.motion
            return correlation_registration(register, motion, self._search_limits())
        return network_registration(network, self._binning_for, self.motion == "translation")

    def _search_limits(self) -> SearchLimits:
        return SearchLimits(self.max_drift, self.max_rotation, self.max_step, self.scale)

    def _register_pair(
        self,
        network: DamageNetwork,
        first: Float32Array,
        second: Float32Array,
        missing: Mask | None,
    ) -> Registration:
        lacks = _series.masks_of_frames(missing, 2)
        found = self._registration(network)(first, second, lacks)
        if self.registration == "correlation":
            warn_of_pair(found, partial(self._explain, (first, second), lacks))
            if self.readout == "rows":
                found = _rows.warn_of_pair_rows(
                    found, first, second, lacks, linear=self._is_linear()
                )
        return found

    def _explain(
        self,
        frames: tuple[Float32Array, Float32Array],
        lacks: Sequence[Mask | None],
        found: Registration,
    ) -> str:
        rotates = self.motion not in ("translation", "scan")
        return explain(frames, lacks, found, self._search_limits(), rotates=rotates)

    def _register_series(
        self, network: DamageNetwork, frames: Float32Array, missing: Mask | None
    ) -> pd.DataFrame:
        register_pair, limits = self._registration(network), self._search_limits()
        known_limits = None if limits == SearchLimits() else limits
        if self.motion == "path":
            table = _rows.register_paths(
                frames,
                register_pair,
                scan_direction=self.scan_direction,
                missing=missing,
                limits=known_limits,
                verbose=self.verbose,
            )
        else:
            table = _series.register_series(
                frames, register_pair, verbose=self.verbose, missing=missing, limits=known_limits
            )
        if self.registration == "correlation":
            lacks = _series.masks_of_frames(missing, len(frames))

            def explain_frames(i: int, j: int) -> str:
                pair, missing_of_pair = (frames[i], frames[j]), (lacks[i], lacks[j])
                found = register_pair(*pair, missing_of_pair)
                return self._explain(pair, missing_of_pair, found)

            _lost_frames.warn_of_frames(table, frames, explain_frames, missing)
            if self.motion != "path" and self.readout == "rows":
                motions = _series.motions_of(table, frames)
                _rows.warn_of_rows(table, frames, motions, missing, linear=self._is_linear())
        return table

    def _is_linear(self) -> bool:
        """Return whether the motion may shear and stretch frames."""
        return self.motion in ("affine", "path", "scan")

    def _straighten(
        self,
        frames: Float32Array,
        trajectory: pd.DataFrame | None,
        missing: Mask | None,
        canvas: CanvasKind,
        fill: str | float,
    ) -> AlignedStack | None:
        """Align the rows of a series; None if the motion is that of whole frames."""
        if self.motion != "path" or trajectory is None:
            return None
        rows = _rows.rows_of(
            trajectory, frames, scan_direction=self.scan_direction, missing=missing
        )
        return straighten_series(frames, rows, canvas=canvas, fill=fill, missing=missing)

    def _decay_of_checked(
        self,
        network: DamageNetwork,
        stacked: Float32Array,
        missing: Mask | None,
        trajectory: pd.DataFrame | None,
        recorded: NDArray[np.float64] | None,
    ) -> DecayMaps:
        frames, _ = rescale_to_float32(stacked)
        if trajectory is None and len(frames) > 1:
            trajectory = self._register_series(network, frames, missing)
        return self._decay_maps(network, frames, trajectory, missing, recorded)

    def _decay_maps(
        self,
        network: DamageNetwork,
        frames: Float32Array,
        trajectory: pd.DataFrame | None,
        missing: Mask | None,
        recorded: NDArray[np.float64] | None,
    ) -> DecayMaps:
        compared = self._comparable(frames, trajectory, missing, recorded)
        return self._decay_of_comparable(network, *compared)

    def _comparable(
        self,
        frames: Float32Array,
        trajectory: pd.DataFrame | None,
        missing: Mask | None,
        recorded: NDArray[np.float64] | None,
    ) -> tuple[Float32Array, list[Motion], Mask | None]:
        """Return frames of one exposure and straight rows, their motions and what they lack."""
        frames = equalize(frames, self.exposure, missing=missing, recorded=recorded)
        straight = self._straighten(frames, trajectory, missing, "first", "edge")
        if straight is None or straight.mask is None:
            return frames, _series.motions_of(trajectory, frames), missing
        still = [Motion((frames.shape[1], frames.shape[2]))] * len(frames)
        return np.asarray(straight), still, ~straight.mask

    def _decay_of_comparable(
        self,
        network: DamageNetwork,
        frames: Float32Array,
        motions: list[Motion],
        missing: Mask | None,
    ) -> DecayMaps:
        binning = self._binning_for(frames[0])
        return _series.decay_of_series(
            network, frames, motions, binning, verbose=self.verbose, missing=missing
        )
