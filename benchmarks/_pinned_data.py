"""Training and test frames of the PINNED benchmark."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stemkit.datasets import CrystalStream, make_crystal_images
from stemkit.noise import CompositeDegradationNoise

SHAPE = (256, 256)
LEVELS = (1, 2, 3, 4, 5)
# Training and test materials of the paper. No network is trained on the test materials.
PAPERS_FIVE = ("InN", "graphene", "ZrO2", "AlGaN", "NaCN")
HELD_OUT = ("BaTiO3", "Al", "ZnMgTe")
TRAINING = (*PAPERS_FIVE, "Si", "GaN", "SrTiO3", "LLZO")
# Test axes. Training crystals are not viewed along these or equivalent axes.
HELD_OUT_AXES = ((1, 1, 0), (1, 1, 2))
_VIEWS: tuple[dict[str, float], ...] = (
    {"pixel_size": 0.016},
    {"pixel_size": 0.022, "background": 0.2, "vacuum": 0.25, "vacancies": 0.02},
)


class TrainingStream:
    """Stream of new crystals with noise of all levels, without the test materials and axes.

    Half of the batches hold a few frames of the full size, in which lattices are easy to recognise.
    The others hold many small frames, for a wider range of crystals and noise levels.
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
    """Return five fixed pairs (noisy, clean), one of each training material of the paper.

    Each pair has another noise level.
    """
    clean = np.concatenate(
        [make_crystal_images(name, shape=SHAPE, random_state=seed).frames for name in PAPERS_FIVE]
    )
    noisy = [
        CompositeDegradationNoise(level=level, random_state=seed).fit_transform(frame[None])[0]
        for level, frame in zip(LEVELS, clean, strict=True)
    ]
    return np.stack(noisy), clean


def held_out_frames(seed: int) -> tuple[NDArray, pd.DataFrame]:
    """Return clean frames of the test materials along the test axes, and a table of them.

    Each frame is rotated by a random angle.
    """
    rng = np.random.default_rng(seed)
    frames, rows = [], []
    for material in HELD_OUT:
        for axis in HELD_OUT_AXES:
            for view in _VIEWS:
                rotation = float(rng.uniform(0, 360))
                frames.append(
                    make_crystal_images(
                        material,
                        zone_axis=axis,
                        rotation=rotation,
                        shape=SHAPE,
                        random_state=rng,
                        **view,
                    ).frames[0]
                )
                rows.append({"material": material, "axis": axis, "rotation": rotation, **view})
    return np.stack(frames), pd.DataFrame(rows)


def add_noise(clean: NDArray, level: int, seed: int) -> NDArray:
    """Return the frames with noise of one level."""
    return CompositeDegradationNoise(level=level, random_state=seed).fit_transform(clean)
