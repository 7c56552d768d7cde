"""Pairs and sequences of frames that drift and fade, with the truth."""

from __future__ import annotations

from functools import partial
from typing import get_args

import numpy as np
from sklearn.utils import Bunch

from .._motion import Motion
from .._random import RandomState, check_generator, check_seed, sample_generator
from .._scene import Scene, frame_coordinates
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
    """Make frames of one specimen whose damage grows from none, without drift.

    Parameters
    ----------
    kind : {"gaussian", "perlin", "random"}, default="gaussian"
        Pattern of the damage: a hole in the middle that deepens and widens, smooth noise of low
        frequency, or fine noise with jittered rows.
    n_frames : int, default=10
        Number of frames; their strengths rise evenly from 0.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    max_strength : float, default=0.9
        Strength of the damage in the last frame.
    scene : Scene, optional
        The specimen; a lattice with edges, grains and defects by default.
    dose : float, optional
        Counts per pixel at a signal of 1; no noise without it.
    background : float, default=0.0
        Constant signal that does not fade.
    row_jitter : float, default=0.0
        Standard deviation in px of the displacement of each recorded row.
    random_state : int, Generator, RandomState or None, default=None
        Source of everything random.

    Returns
    -------
    Bunch
        ``frames`` and ``clean`` (n_frames, H, W), the latter without noise; ``decay``
        (n_frames, H, W) of the specimen, wherever its rows were recorded; ``pattern``
        (n_frames, H, W): unit damage, so that ``decay = 1 - strength * pattern``; ``strength``
        (n_frames,) and ``scene``.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

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
    if n_frames < 2:
        raise ValueError(f"n_frames must be at least 2; got {n_frames}.")
    if not 0 < max_strength <= 1:
        raise ValueError(f"max_strength must lie above 0 and not above 1; got {max_strength}.")
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

    Both frames are drawn from a field larger than either: no black border shows the drift.

    Parameters
    ----------
    n_pairs : int, default=10
        Number of pairs, each of a specimen of its own.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    content : {"aperiodic", "perfect"}, default="aperiodic"
        As for :func:`make_scene`.
    max_drift : float, default=0.15
        Largest drift along each axis, in shares of the frame's side.
    max_rotation : float, default=5.0
        Largest rotation in degrees, either way.
    max_shear : float, default=0.0
        Largest shear and stretch, in px per row, as drift during a slow scan gives; real frames
        have 0.01 to 0.02.
    damage : {"gaussian", "perlin", "random"} or None, default="perlin"
        Pattern of the damage in the second frame.
    max_strength : float, default=0.9
        Largest strength of the damage; each pair draws its own, evenly from 0.
    dose : float or None, default=10.0
        Counts per pixel at a signal of 1; None for no noise.
    background : float, default=0.1
        Constant signal that does not fade.
    row_jitter : float, default=1.0
        Standard deviation in px of the displacement of each recorded row.
    random_state : int, Generator, RandomState or None, default=None
        Source of everything random. Pair i is the same whatever ``n_pairs``.

    Returns
    -------
    Bunch
        ``pairs`` (n_pairs, 2, H, W), ``clean`` likewise without jitter and noise, ``drift``
        (n_pairs, 2), ``rotation`` (n_pairs,) in radians, ``motion`` (list of Motion), ``decay``
        (n_pairs, H, W): of the second frame, at the first frame's pixels; ``basis`` (list):
        lattice vectors of perfect lattices, else None.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

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
    if n_pairs < 1:
        raise ValueError(f"n_pairs must be at least 1; got {n_pairs}.")
    if max_drift < 0:
        raise ValueError(f"max_drift must not be negative; got {max_drift}.")
    if not 0 <= max_shear < 0.5:
        raise ValueError(f"max_shear must lie between 0 and 0.5 px per row; got {max_shear}.")
    if damage not in (None, *get_args(Kind)):
        raise ValueError(f"damage must be one of {get_args(Kind)} or None; got {damage!r}.")
    seed = check_seed(random_state)
    # The field holds what the largest drift brings into view, along the diagonal and turned.
    margin = max(0.5, 0.25 + 1.5 * max_drift)
    samples = []
    for index in range(n_pairs):
        rng = sample_generator(seed, index)
        scene = make_scene(shape, content=content, margin=margin, random_state=rng)
        moved = {
            "drift": rng.uniform(-max_drift, max_drift, 2) * shape,
            "rotation": np.deg2rad(rng.uniform(-max_rotation, max_rotation)),
        }
        if max_shear:
            moved["shear"], moved["stretch"] = rng.uniform(-max_shear, max_shear, 2)
        motion = Motion.from_parameters(shape, **moved)
        pattern = None if damage is None else damage_pattern(damage, shape, random_state=rng)
        samples.append(
            _draw_pair(
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


def _draw_pair(
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
    for where, damage in ((None, None), (motion, pattern)):
        draw = partial(degrade, scene, shape, motion=where, damage=damage, strength=strength)
        signal, _ = draw()
        clean.append(signal + np.float32(background))
        if (rows := row_shifts(shape[0], row_jitter, rng)) is not None:
            signal, _ = draw(row_shift=rows)
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
