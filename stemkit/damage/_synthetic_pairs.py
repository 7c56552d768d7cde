"""Pairs as the network sees them: local normalisation, and synthetic pairs to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._motion import Motion
from .._scene import Scene
from .._validation import Float32Array
from ..datasets._scenes import Content, make_scene
from ..degradation import DamagePattern, damage_pattern, decay_map, degrade, record
from ..networks.degradation import T_MAX
from ._decay_estimates import evidence_maps

# Windows over which mean and contrast are taken, in px of the network's frames: a few lattice
# vectors of the 6 to 20 px it learns from.
WINDOW = 16.0
SPACING = (6.0, 20.0)


def normalize_pair(first: Float32Array, second: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Scale two aligned frames by the first one's local mean and contrast.

    The same scale is put on both, so that what the second frame lost stays lost, while a
    gradient of thickness or brightness over the field does not matter.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32

    Returns
    -------
    tuple of ndarray of shape (H, W), float32
        About 0.5 with a local standard deviation of about 0.2 in the first.
    """
    mean = ndimage.gaussian_filter(first, WINDOW, mode="reflect")
    # Light smoothing keeps the columns and halves what shot noise adds to the contrast.
    structure = ndimage.gaussian_filter(first, 1.0, mode="reflect") - mean
    variance = ndimage.gaussian_filter(structure**2, WINDOW, mode="reflect")
    # Vacuum has no contrast: without a floor its noise would look like a specimen.
    floor = 0.25 * float(np.sqrt(np.mean(structure**2)))
    # What is finer than float32 is no contrast; relative, since units may be of any size.
    rounding = 1e-6 * max(float(np.abs(frame).max()) for frame in (first, second))
    contrast = np.sqrt(np.maximum(variance, 0)).clip(
        max(floor, rounding, float(np.finfo(np.float32).tiny))
    )
    return (
        (0.5 + 0.2 * (first - mean) / contrast).astype(np.float32),
        (0.5 + 0.2 * (second - mean) / contrast).astype(np.float32),
    )


def synthetic_batch(
    rng: np.random.Generator,
    *,
    batch_size: int,
    side: int = 128,
    frames: Sequence[Float32Array] = (),
    unaligned: float = 0.1,
) -> tuple[Float32Array, ...]:
    """Make a batch of normalised pairs with their truth at a time in between.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of everything random.
    batch_size : int
        Number of pairs.
    side : int, default=128
        Side of the square frames in px.
    frames : sequence of ndarray, default=()
        Frames of one's own without noise; half of the batch is then cut from them.
    unaligned : float, default=0.1
        Share of the pairs that moved, for the motion head; the others are aligned up to what a
        registration leaves.

    Returns
    -------
    first, second, t, evidence, decay, theta : ndarray
        (n, 1, side, side) twice, (n,) in 0..100, (n, N_EVIDENCE + 1, side, side),
        (n, 1, side, side) and (n, 3): angle in radians and translation (x, y) in half-widths,
        second frame to first.
    """
    samples = [
        _synthetic_pair(rng, side, frames if index % 2 else (), unaligned)
        for index in range(batch_size)
    ]
    first, second, t, evidence, decay, theta = map(np.stack, zip(*samples, strict=True))
    return first[:, None], second[:, None], t, evidence, decay[:, None], theta


def _synthetic_pair(
    rng: np.random.Generator, side: int, frames: Sequence[Float32Array], unaligned: float
) -> tuple[NDArray, ...]:
    shape = (side, side)
    moved = rng.random() < unaligned
    spread = (0.15 * side, np.deg2rad(5.0)) if moved else (0.5, np.deg2rad(0.2))
    motion = Motion.from_parameters(
        shape,
        drift=rng.uniform(-1, 1, 2) * spread[0],
        rotation=rng.uniform(-1, 1) * spread[1],
    )
    pattern, strength = _random_damage(rng, shape)
    jitter = rng.choice([0.0, rng.uniform(0, 1), rng.uniform(1, 3)], p=[0.3, 0.5, 0.2])
    dose = None if rng.random() < 0.2 else float(np.exp(rng.uniform(np.log(2), np.log(300))))
    background = rng.uniform(0, 0.5, 2)
    if rng.random() < 0.6:
        background[1] = background[0]
    # Amorphised matter keeps its mean intensity wholly, in part or, where it is lost, not at all.
    kept = float(rng.choice([0.0, 1.0, rng.random()]))

    if len(frames) and not moved:
        own = frames[int(rng.integers(len(frames)))]
        signal, decay = _degrade_own(own, side, pattern, strength, kept, rng)
    else:
        scene = _random_scene(rng, shape, moved)
        signal, decay = _degrade_scene(scene, motion, pattern, strength, kept, jitter, rng)
    first, second = (
        record(frame, dose=dose, background=float(level), random_state=rng)
        for frame, level in zip(signal, background, strict=True)
    )
    evidence = evidence_maps(first, second)
    first, second = normalize_pair(first, second)
    t = rng.uniform(0, 1) if rng.random() < 0.3 else 1.0
    # At a constant dose rate signal decays exponentially.
    at_t = (decay**t).astype(np.float32)
    time = np.array(T_MAX * t, dtype=np.float32)
    return first, second, time, evidence, at_t, motion_to_theta(motion)


def _random_damage(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[DamagePattern, float]:
    side = shape[0]
    kind = rng.choice(
        ["gaussian", "perlin", "front", "random", "even"], p=[0.2, 0.3, 0.2, 0.2, 0.1]
    )
    strength = float(rng.uniform(0, 1)) if rng.random() < 0.9 else 0.0
    if kind == "gaussian":
        center = rng.uniform(0.1 * side, 0.9 * side, 2)
        hole = damage_pattern(
            "gaussian", shape, cell=side * rng.uniform(0.08, 0.5), center=(center[0], center[1])
        )
        return hole, strength
    if kind == "front":
        turn, width = rng.uniform(0, 2 * np.pi), side * rng.uniform(0.02, 0.3)
        place = side * rng.uniform(0.2, 0.8, 2)

        def front(y: NDArray, x: NDArray) -> NDArray:
            along = (y - place[0]) * np.sin(turn) + (x - place[1]) * np.cos(turn)
            return 0.5 + 0.5 * np.tanh(along / width)

        return front, strength
    if kind == "even":
        return lambda y, x: np.ones(np.broadcast_shapes(np.shape(y), np.shape(x))), strength
    cell = side * rng.uniform(0.12, 0.5) if kind == "perlin" else rng.uniform(12, 24)
    noise = damage_pattern(
        "perlin" if kind == "perlin" else "random", shape, cell=cell, random_state=rng
    )
    if rng.random() < 0.3:
        # The paper's threshold: undamaged plains with damaged islands.
        return lambda y, x: (2 * noise(y, x) - 1).clip(0, 1), strength
    return noise, strength


def _random_scene(rng: np.random.Generator, shape: tuple[int, int], moved: bool) -> Scene:
    content: Content = "perfect" if rng.random() < 0.2 else "aperiodic"
    # What does not move needs no field beyond the frame but for the columns' tails.
    margin = 0.35 if moved else 0.12
    return make_scene(shape, content=content, spacing=SPACING, margin=margin, random_state=rng)


def _degrade_scene(
    scene: Scene,
    motion: Motion,
    pattern: DamagePattern,
    strength: float,
    kept: float,
    jitter: float,
    rng: np.random.Generator,
) -> tuple[list[Float32Array], Float32Array]:
    shape = motion.shape
    shifts = rng.normal(0, jitter, (2, shape[0])) if jitter else (None, None)
    first, _ = degrade(scene, shape, row_shift=shifts[0])
    second, _ = degrade(
        scene,
        shape,
        motion=motion,
        damage=pattern,
        strength=strength,
        amorphous=kept,
        row_shift=shifts[1],
    )
    return [first, second], decay_map(pattern, strength, shape)


def _degrade_own(
    frame: Float32Array,
    side: int,
    pattern: DamagePattern,
    strength: float,
    kept: float,
    rng: np.random.Generator,
) -> tuple[list[Float32Array], Float32Array]:
    """Cut, turn and damage a patch of a frame of one's own, scaled to a signal of about 1."""
    corner = [int(rng.integers(max(n - side, 0) + 1)) for n in frame.shape]
    patch = frame[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    patch = np.rot90(patch, int(rng.integers(4)))
    patch = np.pad(patch, [(0, side - n) for n in patch.shape], mode="symmetric")
    low, high = np.percentile(patch, [1, 99.5])
    signal = ((patch - low) / max(high - low, 1e-6)).astype(np.float32)
    decay = decay_map(pattern, strength, (side, side))
    smooth = kept * ndimage.gaussian_filter(signal, WINDOW / 2)
    return [signal, signal * decay + smooth * (1 - decay)], decay


def motion_to_theta(motion: Motion) -> Float32Array:
    """Write a rigid motion as the network's head does: angle, and (x, y) in half-widths."""
    back = motion.inverse()
    half = (np.maximum(np.array(motion.shape), 2) - 1) / 2
    return np.array(
        [motion.rotation, back.drift[1] / half[1], back.drift[0] / half[0]], dtype=np.float32
    )


def theta_to_motion(theta: NDArray, shape: tuple[int, int]) -> Motion:
    """Read the network's head, the reverse of :func:`motion_to_theta`."""
    half = (np.maximum(np.array(shape), 2) - 1) / 2
    back = Motion.from_parameters(
        shape,
        drift=(float(theta[2]) * half[0], float(theta[1]) * half[1]),
        rotation=-float(theta[0]),
    )
    return back.inverse()
