"""Small series of a specimen that moved, with shot noise, and the image that they show."""

from typing import NamedTuple

import numpy as np

from stemkit._scene import Scene, render_columns
from stemkit.registration import Motion

BACKGROUND = 0.3


class Series(NamedTuple):
    frames: np.ndarray
    motions: list[Motion]
    truth: np.ndarray


def walk(n_frames, shape, *, step=(2.3, -1.6), rotation=0.0, shear=0.0):
    """Return motions that grow from frame to frame."""
    return [
        Motion.from_parameters(
            shape, drift=i * np.array(step), rotation=i * rotation, shear=i * shear
        )
        for i in range(n_frames)
    ]


def specimen(shape, *, sigma=2.0, seed=0):
    """Return columns at random places, in and around a frame."""
    rng = np.random.default_rng(seed)
    n_columns = int((shape[0] + 120) * (shape[1] + 120) / 90)
    y, x = (rng.uniform(-60, side + 60, n_columns) for side in shape)
    return Scene(y, x, rng.uniform(0.2, 1, n_columns), np.full(n_columns, sigma))


def record(motions, dose, *, sigma=2.0, seed=0, decay=None):
    """Return frames of a specimen with `dose` counts at a column of height 1, and its image.

    `dose` may be one number a frame, and so may `decay`, the share of the columns that is left.
    """
    shape = motions[0].shape
    scene, rng = specimen(shape, sigma=sigma, seed=seed), np.random.default_rng(seed + 1)
    doses = np.broadcast_to(dose, len(motions))
    left = np.ones(len(motions)) if decay is None else decay
    clean = [
        one * (part * render_columns(scene, shape, motion=motion).astype(float) + BACKGROUND)
        for one, part, motion in zip(doses, left, motions, strict=True)
    ]
    truth = render_columns(scene, shape).astype(float) + BACKGROUND
    return Series(rng.poisson(clean).astype(np.float32), motions, truth)
