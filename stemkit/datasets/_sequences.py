"""Pairs and sequences of frames that drift and fade, with ground truth."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._constraints import Interval, Options, check_arguments
from .._motion import Motion
from .._random import RandomState, check_generator, check_seed, sample_generator
from .._scene import Scene, as_shape, frame_coordinates
from ..degradation import (
    DamagePattern,
    Kind,
    damage_pattern,
    decay_map,
    degrade,
    record,
    row_shifts,
)
from ._scenes import Content, make_scene

_PATTERN = Options("gaussian", "perlin", "random")
_RECORDING: dict[str, list[Any]] = {
    "dose": [Interval(float, 0, None, closed="neither", unit="counts per pixel"), None],
    "background": [Interval(float, -1e30, 1e30)],
    "row_jitter": [Interval(float, 0, 100, unit="px")],
    "random_state": ["random_state"],
}


@check_arguments(
    kind=[_PATTERN],
    n_frames=[Interval(int, 2, None)],
    shape=["frame shape"],
    max_strength=[Interval(float, 0, 1, closed="right")],
    scene=[Scene, None],
    **_RECORDING,
)
def make_damage_sequence(
    kind: Kind = "gaussian",
    n_frames: int = 10,
    *,
    shape: tuple[int, int] = (256, 256),
    max_strength: float = 0.9,
    scene: Scene | None = None,
    dose: float | None = None,
    background: float = 0.0,
    row_jitter: float = 0.0,
    random_state: RandomState = None,
) -> Bunch:
    """Make frames of one specimen with growing damage and without drift.

    Parameters
    ----------
    kind : {"gaussian", "perlin", "random"}, default="gaussian"
        Pattern of the damage: a hole in the middle that deepens and widens, smooth noise of low
        frequency, or fine noise with jittered rows.
    n_frames : int, default=10
        Number of frames, at least 2; the strength of the damage rises linearly from 0.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    max_strength : float, default=0.9
        Strength of the damage in the last frame.
    scene : Scene, optional
        The specimen; a lattice with edges, grains and defects by default.
    dose : float or None, default=None
        Counts per pixel at a signal of 1; None for no noise.
    background : float, default=0.0
        Constant signal that does not fade.
    row_jitter : float, default=0.0
        Standard deviation in px of the displacement of each recorded row.
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness.

    Returns
    -------
    Bunch
        ``frames`` and ``clean`` (n_frames, H, W), the latter without noise; ``decay``
        (n_frames, H, W) of the specimen, without row jitter; ``pattern`` (n_frames, H, W), the
        damage from 0 to 1, so that ``decay = 1 - strength * pattern``; ``strength`` (n_frames,)
        and ``scene``.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.

    References
    ----------
    .. [1] Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and
       Beam Damage in STEM Imaging", ICCV Workshops 2025.

    Examples
    --------
    >>> from stemkit.datasets import make_damage_sequence
    >>> series = make_damage_sequence("perlin", 4, shape=(64, 64), dose=10, random_state=0)
    >>> series.frames.shape, series.strength.round(1).tolist()
    ((4, 64, 64), [0.0, 0.3, 0.6, 0.9])
    """
    shape = as_shape(shape)
    rng = check_generator(random_state)
    scene = make_scene(shape, random_state=rng) if scene is None else scene
    strength = np.linspace(0, max_strength, n_frames)
    fixed = None if kind == "gaussian" else damage_pattern(kind, shape, random_state=rng)
    grid = frame_coordinates(shape)
    clean, decay, patterns = [], [], []
    for value in strength:
        # The hole widens as it deepens: from 0.12 to 0.24 of the shorter side.
        pattern = fixed or damage_pattern(
            "gaussian", shape, cell=(0.12 + 0.12 * value) * min(shape)
        )
        rows = row_shifts(shape[0], row_jitter, rng)
        signal, _ = degrade(scene, shape, damage=pattern, strength=value, row_shift=rows)
        clean.append(signal + np.float32(background))
        decay.append(decay_map(pattern, value, shape))
        patterns.append(pattern(*grid).astype(np.float32))
    frames = [record(frame, dose=dose, random_state=rng) for frame in clean]
    return Bunch(
        frames=np.stack(frames),
        clean=np.stack(clean),
        decay=np.stack(decay),
        pattern=np.stack(patterns),
        strength=strength,
        scene=scene,
    )


@check_arguments(
    n_pairs=[Interval(int, 1, None)],
    shape=["frame shape"],
    content=[Options("aperiodic", "perfect")],
    max_drift=[Interval(float, 0, 5)],
    max_rotation=[Interval(float, 0, 180, unit="degrees")],
    max_shear=[Interval(float, 0, 0.5, closed="left", unit="px per row")],
    damage=[_PATTERN, None],
    max_strength=[Interval(float, 0, 1)],
    **_RECORDING,
)
def make_drift_pairs(
    n_pairs: int = 10,
    *,
    shape: tuple[int, int] = (256, 256),
    content: Content = "aperiodic",
    max_drift: float = 0.15,
    max_rotation: float = 5.0,
    max_shear: float = 0.0,
    damage: Kind | None = "perlin",
    max_strength: float = 0.9,
    dose: float | None = 10.0,
    background: float = 0.1,
    row_jitter: float = 1.0,
    random_state: RandomState = None,
) -> Bunch:
    """Make pairs of frames of specimens that moved and faded in between.

    Both frames show parts of a field larger than either: no black border reveals the drift.

    Parameters
    ----------
    n_pairs : int, default=10
        Number of pairs, each of another specimen.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    content : {"aperiodic", "perfect"}, default="aperiodic"
        As for :func:`make_scene`.
    max_drift : float, default=0.15
        Maximum drift along each axis, as a fraction of the frame's side.
    max_rotation : float, default=5.0
        Maximum rotation in degrees, in both directions.
    max_shear : float, default=0.0
        Maximum shear and stretch, in px per row, as drift during a slow scan causes; real frames
        have 0.01 to 0.02.
    damage : {"gaussian", "perlin", "random"} or None, default="perlin"
        Pattern of the damage in the second frame.
    max_strength : float, default=0.9
        Maximum strength of the damage; each pair draws its own uniformly from 0.
    dose : float or None, default=10.0
        Counts per pixel at a signal of 1; None for no noise.
    background : float, default=0.1
        Constant signal that does not fade.
    row_jitter : float, default=1.0
        Standard deviation in px of the displacement of each recorded row.
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness. Pair i does not depend on ``n_pairs``.

    Returns
    -------
    Bunch
        ``pairs`` (n_pairs, 2, H, W), ``clean`` likewise without jitter and noise, ``drift``
        (n_pairs, 2), ``rotation`` (n_pairs,) in radians, ``motion`` (list of Motion), ``decay``
        (n_pairs, H, W) of the second frame at the first frame's pixels, and ``basis`` (list), the
        lattice vectors of perfect lattices or None.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.

    References
    ----------
    .. [1] Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and
       Beam Damage in STEM Imaging", ICCV Workshops 2025.

    Examples
    --------
    >>> from stemkit.datasets import make_drift_pairs
    >>> data = make_drift_pairs(2, shape=(64, 64), random_state=0)
    >>> data.pairs.shape, data.drift.shape
    ((2, 2, 64, 64), (2, 2))
    """
    shape = as_shape(shape)
    seed = check_seed(random_state)
    # The field contains all that the largest drift and rotation can bring into view.
    margin = max(0.5, 0.25 + 1.5 * max_drift)
    samples = []
    for index in range(n_pairs):
        rng = sample_generator(seed, index)
        scene = make_scene(shape, content=content, margin=margin, random_state=rng)
        parameters = {
            "drift": rng.uniform(-max_drift, max_drift, 2) * shape,
            "rotation": np.deg2rad(rng.uniform(-max_rotation, max_rotation)),
        }
        if max_shear:
            parameters["shear"], parameters["stretch"] = rng.uniform(-max_shear, max_shear, 2)
        motion = Motion.from_parameters(shape, **parameters)
        pattern = None if damage is None else damage_pattern(damage, shape, random_state=rng)
        samples.append(
            _render_pair(
                scene,
                shape,
                motion,
                pattern,
                rng.uniform(0, max_strength),
                dose=dose,
                background=background,
                row_jitter=row_jitter,
                rng=rng,
            )
        )
    return Bunch(
        pairs=np.stack([s.pair for s in samples]),
        clean=np.stack([s.clean for s in samples]),
        drift=np.stack([s.motion.drift for s in samples]),
        rotation=np.array([s.motion.rotation for s in samples]),
        motion=[s.motion for s in samples],
        decay=np.stack([s.decay for s in samples]),
        basis=[s.basis for s in samples],
    )


def _render_pair(
    scene: Scene,
    shape: tuple[int, int],
    motion: Motion,
    pattern: DamagePattern | None,
    strength: float,
    *,
    dose: float | None,
    background: float,
    row_jitter: float,
    rng: np.random.Generator,
) -> Bunch:
    clean, recorded = [], []
    for moved, damage in ((None, None), (motion, pattern)):
        render = partial(degrade, scene, shape, motion=moved, damage=damage, strength=strength)
        signal, _ = render()
        clean.append(signal + np.float32(background))
        if (rows := row_shifts(shape[0], row_jitter, rng)) is not None:
            signal, _ = render(row_shift=rows)
        recorded.append(record(signal, dose=dose, background=background, random_state=rng))
    if pattern is None:
        decay = np.ones(shape, dtype=np.float32)
    else:
        decay = decay_map(pattern, strength, shape)
    return Bunch(
        pair=np.stack(recorded),
        clean=np.stack(clean),
        motion=motion,
        decay=decay,
        basis=scene.basis,
    )
