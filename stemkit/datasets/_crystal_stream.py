"""Endless fresh batches of crystals and noise."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._random import RandomState, check_seed, sample_generator
from .._validation import Float32Array
from ._checks import check_count, check_shape
from ._crystal import make_crystal_images
from ._structures import MATERIALS

if TYPE_CHECKING:
    from ase import Atoms

_ZONE_AXES = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1), (1, 2, 0), (0, 1, 2))
_SHEETS = [name for name, material in MATERIALS.items() if material.is_sheet]


class CrystalStream:
    """Fresh batches of (noisy frame, clean frame) of crystals, as many as a training needs.

    Each frame shows another crystal, view and noise: half of them materials that exist, down low
    zone axes, and half lattices and motifs that are made up, so that a network can't learn a few
    crystals by heart. Rotation, sampling (0.012 to 0.03 nm a px), probe (0.3 to 0.6 angstrom),
    thickness, strain, vacancies, background and how much of the frame is vacuum are drawn for each.

    Parameters
    ----------
    noise : simulator of stemkit.noise
        Makes the noisy frames, whose clean ones lie between 0 and 255.
    batch_size : int, default=4
        Frames a batch.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    materials : sequence of str or path, optional
        What :func:`make_crystal_images` takes; by default all that it knows by name.
    zone_axes : sequence of tuple of int, default=((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1), \
(1, 2, 0), (0, 1, 2))
        Down which materials are seen.
    made_up : float, default=0.5
        Share of frames whose crystal does not exist.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the batches that `batch` and iteration give.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> from stemkit.datasets import CrystalStream
    >>> from stemkit.noise import CompositeDegradationNoise
    >>> noise = CompositeDegradationNoise(level=[1, 2, 3, 4, 5])
    >>> stream = CrystalStream(noise, batch_size=2, shape=(64, 64), random_state=0)
    >>> noisy, clean = stream.batch(7)
    >>> noisy.shape, noisy.dtype, bool((noisy == stream.batch(7)[0]).all())
    ((2, 64, 64), dtype('float32'), True)
    """

    def __init__(
        self,
        noise: Any,
        *,
        batch_size: int = 4,
        shape: tuple[int, int] = (256, 256),
        materials: Sequence[str | PathLike[str]] | None = None,
        zone_axes: Sequence[tuple[int, int, int]] = _ZONE_AXES,
        made_up: float = 0.5,
        random_state: RandomState = None,
    ) -> None:
        if not 0 <= made_up <= 1:
            raise ValueError(f"made_up must lie between 0 and 1; got {made_up}.")
        self.materials = tuple(MATERIALS) if materials is None else tuple(materials)
        self.zone_axes = tuple(zone_axes)
        if made_up < 1 and not (self.materials and self.zone_axes):
            raise ValueError(
                "materials and zone_axes must not be empty; set made_up=1 for frames of crystals "
                "that do not exist alone."
            )
        self.made_up = made_up
        self.batch_size = check_count(batch_size, "batch_size")
        self.shape = check_shape(shape)
        self.noise = _fitted(noise, self.shape)
        self.random_state = check_seed(random_state)

    def __iter__(self) -> Iterator[tuple[Float32Array, Float32Array]]:
        """Give the batches of step 0, 1, 2, ... without end."""
        return map(self.batch, itertools.count())

    def batch(self, step: int) -> tuple[Float32Array, Float32Array]:
        """Make the batch of a step.

        Parameters
        ----------
        step : int
            Number of the step, from 0.

        Returns
        -------
        noisy : ndarray of shape (batch_size, H, W), float32
            Frames with the simulator's noise.
        clean : ndarray of shape (batch_size, H, W), float32
            The same without.
        """
        return self.make_batch(sample_generator(self.random_state, step))

    def make_batch(self, generator: np.random.Generator) -> tuple[Float32Array, Float32Array]:
        """Make a batch from a generator, as ``PINNEDDenoiser().fit(stream)`` asks for it.

        Parameters
        ----------
        generator : numpy.random.Generator
            The only source of what is random. A smaller batch holds the first frames of a larger
            one.

        Returns
        -------
        noisy : ndarray of shape (batch_size, H, W), float32
            Frames with the simulator's noise.
        clean : ndarray of shape (batch_size, H, W), float32
            The same without.

        Examples
        --------
        >>> import numpy as np
        >>> from stemkit.datasets import CrystalStream
        >>> from stemkit.noise import CompositeDegradationNoise
        >>> noise = CompositeDegradationNoise()
        >>> stream = CrystalStream(noise, batch_size=2, shape=(32, 32), random_state=0)
        >>> [frames.shape for frames in stream.make_batch(np.random.default_rng(0))]
        [(2, 32, 32), (2, 32, 32)]
        """
        pairs = [self._pair(generator) for _ in range(self.batch_size)]
        noisy, clean = (np.stack(frames) for frames in zip(*pairs, strict=True))
        return noisy, clean

    def _pair(self, rng: np.random.Generator) -> tuple[Float32Array, Float32Array]:
        axis: tuple[int, ...]
        if rng.random() < self.made_up:
            material: Any = _made_up_crystal(rng)
            axis = (0, 0, 1)
        else:
            material = self.materials[rng.integers(len(self.materials))]
            axis = self.zone_axes[rng.integers(len(self.zone_axes))]
            if material in _SHEETS:  # seen from above alone
                axis = (0, 0, 1)
        clean = make_crystal_images(
            material, zone_axis=axis, shape=self.shape, random_state=rng, **_draw_view(rng)
        ).frames[0]
        return self.noise.degrade(clean, generator=rng), clean


def _draw_view(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "pixel_size": 0.012 * 2.5 ** rng.random(),
        "probe_sigma": rng.uniform(0.3, 0.6),
        "thickness": rng.uniform(3, 20),
        "rotation": rng.uniform(0, 360),
        "strain": tuple(rng.normal(0, 0.02, 3).clip(-0.1, 0.1)),
        "vacancies": rng.uniform(0, 0.1) * (rng.random() < 0.5),
        "vacuum": rng.uniform(0.1, 0.6) * (rng.random() < 0.3),
        "background": rng.uniform(0, 0.5) * (rng.random() < 0.5),
    }


def _made_up_crystal(rng: np.random.Generator) -> Atoms:
    """Draw a lattice of columns, 2.5 to 9 angstrom apart, with one to four of them in a cell."""
    from ase import Atoms

    lengths = rng.uniform(2.5, 9, 2)
    angle = np.deg2rad(rng.choice([60, 90, rng.uniform(60, 120)]))
    cell = np.array(
        [
            [lengths[0], 0, 0],
            [lengths[1] * np.cos(angle), lengths[1] * np.sin(angle), 0],
            [0, 0, 3.0],
        ]
    )
    n = int(rng.integers(1, 5))
    places = np.column_stack([rng.random((n, 2)), np.zeros(n)])
    return Atoms(rng.integers(6, 83, n), scaled_positions=places, cell=cell, pbc=True)


def _fitted(noise: Any, shape: tuple[int, int]) -> Any:
    if not hasattr(noise, "degrade"):
        raise ValueError(
            f"noise must be one of stemkit.noise's simulators; got {noise!r}. Pass "
            "CompositeDegradationNoise()."
        )
    try:
        check_is_fitted(noise)
    except NotFittedError:
        return clone(noise).fit(np.zeros((1, *shape)))
    return noise
