"""Synthetic pairs of frames with known decay and motion, to train the network on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._constraints import Interval, check_arguments
from .._motion import Motion
from .._scene import Scene
from .._validation import Float32Array
from ..datasets._scenes import Content, make_scene
from ..degradation import DamagePattern, damage_pattern, decay_map, degrade, record
from ..networks.degradation import T_MAX
from ._aligned_pair import AlignedPair
from ._background_level import background_of_pair
from ._decay_estimates import decay_estimates
from ._network import motion_to_theta
from ._normalization import WINDOW, normalize_pair

# Lengths of the lattice vectors in px.
SPACING = (6.0, 20.0)


@check_arguments(
    rng=[np.random.Generator],
    batch_size=[Interval(int, 1, None)],
    side=[Interval(int, 8, None)],
    unaligned=[Interval(float, 0, 1)],
)
def synthetic_batch(
    rng: np.random.Generator,
    *,
    batch_size: int,
    side: int = 128,
    frames: Sequence[Float32Array] = (),
    unaligned: float = 0.1,
) -> tuple[Float32Array, ...]:
    """Make a batch of normalised pairs with their true decay and motion.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all random numbers.
    batch_size : int
        Number of pairs.
    side : int, default=128
        Side of the square frames in px.
    frames : sequence of ndarray of shape (H, W), default=()
        Measured frames without noise; if given, half of the pairs are cut from them.
    unaligned : float, default=0.1
        Share of the pairs that are misaligned, for the motion head. The others are aligned to
        within the error of a registration.

    Returns
    -------
    first, second : ndarray of shape (n, 1, side, side), float32
        The pairs, see :func:`normalize_pair`.
    t : ndarray of shape (n,), float32
        Time that the decay is of, 0 to 100.
    estimates : ndarray of shape (n, n_estimates + 1, side, side), float32
        Direct estimates of the decay and their standard error.
    decay : ndarray of shape (n, 1, side, side), float32
        True decay at ``t``.
    theta : ndarray of shape (n, 3), float32
        Angle in radians and translation (x, y) in half-widths, second frame to first.

    Raises
    ------
    InvalidParameterError
        If a number is outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.damage import synthetic_batch
    >>> first, second, t, estimates, decay, theta = synthetic_batch(
    ...     np.random.default_rng(0), batch_size=2, side=32
    ... )
    >>> first.shape, decay.shape, theta.shape
    ((2, 1, 32, 32), (2, 1, 32, 32), (2, 3))
    """
    samples = [
        _synthetic_pair(rng, side, frames if index % 2 else (), unaligned)
        for index in range(batch_size)
    ]
    first, second, t, estimates, decay, theta = map(np.stack, zip(*samples, strict=True))
    return first[:, None], second[:, None], t, estimates, decay[:, None], theta


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
    # Damaged matter keeps all of its mean intensity if it turns amorphous, none of it if it is
    # removed, or a part.
    kept = float(rng.choice([0.0, 1.0, rng.random()]))

    if len(frames) and not moved:
        frame = frames[int(rng.integers(len(frames)))]
        signal, decay = _damage_patch(frame, side, pattern, strength, kept, rng)
    else:
        scene = _random_scene(rng, shape, moved)
        signal, decay = _damage_scene(scene, motion, pattern, strength, kept, jitter, rng)
    first, second = (
        record(frame, dose=dose, background=float(level), random_state=rng)
        for frame, level in zip(signal, background, strict=True)
    )
    pair = AlignedPair.from_frames(first, second)
    estimates = decay_estimates(pair, pair.above(background_of_pair(pair)))
    first, second = normalize_pair(first, second)
    t = rng.uniform(0, 1) if rng.random() < 0.3 else 1.0
    # At a constant dose rate the signal decays exponentially.
    at_t = (decay**t).astype(np.float32)
    time = np.array(T_MAX * t, dtype=np.float32)
    return first, second, time, estimates, at_t, motion_to_theta(motion)


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
        angle, width = rng.uniform(0, 2 * np.pi), side * rng.uniform(0.02, 0.3)
        origin = side * rng.uniform(0.2, 0.8, 2)

        def front(y: NDArray, x: NDArray) -> NDArray:
            distance = (y - origin[0]) * np.sin(angle) + (x - origin[1]) * np.cos(angle)
            return 0.5 + 0.5 * np.tanh(distance / width)

        return front, strength
    if kind == "even":
        return lambda y, x: np.ones(np.broadcast_shapes(np.shape(y), np.shape(x))), strength
    cell = side * rng.uniform(0.12, 0.5) if kind == "perlin" else rng.uniform(12, 24)
    noise = damage_pattern(
        "perlin" if kind == "perlin" else "random", shape, cell=cell, random_state=rng
    )
    if rng.random() < 0.3:
        # The paper's threshold leaves damaged islands in an undamaged plain.
        return lambda y, x: (2 * noise(y, x) - 1).clip(0, 1), strength
    return noise, strength


def _random_scene(rng: np.random.Generator, shape: tuple[int, int], moved: bool) -> Scene:
    content: Content = "perfect" if rng.random() < 0.2 else "aperiodic"
    # Without motion only the tails of columns outside reach into the frame.
    margin = 0.35 if moved else 0.12
    return make_scene(shape, content=content, spacing=SPACING, margin=margin, random_state=rng)


def _damage_scene(
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


def _damage_patch(
    frame: Float32Array,
    side: int,
    pattern: DamagePattern,
    strength: float,
    kept: float,
    rng: np.random.Generator,
) -> tuple[list[Float32Array], Float32Array]:
    """Cut a patch from a measured frame, turn it, scale it to about 1 and damage it."""
    corner = [int(rng.integers(max(n - side, 0) + 1)) for n in frame.shape]
    patch = frame[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    patch = np.rot90(patch, int(rng.integers(4)))
    patch = np.pad(patch, [(0, side - n) for n in patch.shape], mode="symmetric")
    low, high = np.percentile(patch, [1, 99.5])
    signal = ((patch - low) / max(high - low, 1e-6)).astype(np.float32)
    decay = decay_map(pattern, strength, (side, side))
    amorphous = kept * ndimage.gaussian_filter(signal, WINDOW / 2)
    return [signal, signal * decay + amorphous * (1 - decay)], decay
