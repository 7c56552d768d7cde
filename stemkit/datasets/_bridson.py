"""Poisson-disk positions by SciPy, after Bridson, whom the paper of the NUC set cites."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats.qmc import PoissonDisk

from stemkit._arrays import Frames, Generator

from ._device_arrays import device_of


def grow_points(
    height: Frames,
    width: Frames,
    generator: Generator,
    *,
    fixed: tuple[Frames, Frames, Frames] | None = None,
) -> tuple[Frames, Frames, Frames]:
    """Fill fields by :class:`scipy.stats.qmc.PoissonDisk`, one after the other on the CPU.

    Takes and returns what :func:`stemkit.datasets._poisson_disk.throw_darts` does. SciPy knows of
    no fixed points: its own that come too near to one of them are left out afterwards.
    """
    device = device_of(height)
    rng = np.random.default_rng(int(device.integers(2**62, 1, generator)[0]))
    fields, points = [], []
    for number, extent in enumerate(zip(height.tolist(), width.tolist(), strict=True)):
        disk = PoissonDisk(2, radius=1.0, l_bounds=[0, 0], u_bounds=extent, rng=rng)
        grown = disk.fill_space().astype(np.float32)
        if fixed is not None:
            there = np.stack([at[fixed[0] == number].tolist() for at in fixed[1:]], axis=1)
            grown = grown[cKDTree(there).query(grown)[0] >= 1]
        fields.append(np.full(len(grown), number))
        points.append(grown)
    y, x = np.concatenate(points).T
    return tuple(device.array(values) for values in (np.concatenate(fields), y.copy(), x.copy()))
