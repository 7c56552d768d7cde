"""What PINNED is trained on in the benchmark, and the frames that all are judged on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stemkit.datasets import CrystalStream, make_crystal_images
from stemkit.noise import CompositeDegradationNoise

SHAPE = (256, 256)
LEVELS = (1, 2, 3, 4, 5)
# As in the paper. Whatever is trained, it never sees the second three.
PAPERS_FIVE = ("InN", "graphene", "ZrO2", "AlGaN", "NaCN")
HELD_OUT = ("BaTiO3", "Al", "ZnMgTe")
TRAINING = (*PAPERS_FIVE, "Si", "GaN", "SrTiO3", "LLZO")
# Nor are training crystals seen down these, or any equivalent axis.
HELD_OUT_AXES = ((1, 1, 0), (1, 1, 2))
_VIEWS: tuple[dict[str, float], ...] = (
    {"pixel_size": 0.016},
    {"pixel_size": 0.022, "background": 0.2, "vacuum": 0.25, "vacancies": 0.02},
)


class TrainingStream:
    """Fresh crystals and fresh noise of all levels, without what is held out.

    Half of the batches hold few frames of the full size, in which a lattice is clear, and half many
    small ones, from which much is learnt of how the level shows.
    """

    def __init__(self) -> None:
        noise = CompositeDegradationNoise(level=LEVELS)
        self.streams = [
            CrystalStream(noise, batch_size=n, shape=(side, side), materials=TRAINING)
            for n, side in ((2, 256), (8, 128))
        ]

    def make_batch(self, generator: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Make a batch (noisy, clean)."""
        return self.streams[generator.integers(len(self.streams))].make_batch(generator)


def papers_pairs(seed: int) -> tuple[NDArray, NDArray]:
    """Five fixed pairs, one of each material and of each level."""
    clean = np.concatenate(
        [make_crystal_images(name, shape=SHAPE, random_state=seed).frames for name in PAPERS_FIVE]
    )
    noisy = [
        CompositeDegradationNoise(level=level, random_state=seed).fit_transform(frame[None])[0]
        for level, frame in zip(LEVELS, clean, strict=True)
    ]
    return np.stack(noisy), clean


def held_out_frames(seed: int) -> tuple[NDArray, pd.DataFrame]:
    """Clean frames of the held-out materials down held-out axes, turned at random, and which."""
    rng = np.random.default_rng(seed)
    frames, rows = [], []
    for material in HELD_OUT:
        for axis in HELD_OUT_AXES:
            for view in _VIEWS:
                turn = float(rng.uniform(0, 360))
                frames.append(
                    make_crystal_images(
                        material,
                        zone_axis=axis,
                        rotation=turn,
                        shape=SHAPE,
                        random_state=rng,
                        **view,
                    ).frames[0]
                )
                rows.append({"material": material, "axis": axis, "rotation": turn, **view})
    return np.stack(frames), pd.DataFrame(rows)


def degraded(clean: NDArray, level: int, seed: int) -> NDArray:
    """Return the frames at a level of noise."""
    return CompositeDegradationNoise(level=level, random_state=seed).fit_transform(clean)
