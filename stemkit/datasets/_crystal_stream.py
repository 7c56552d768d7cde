"""Endless new batches of crystals and noise."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints import HasMethods, Interval, check_arguments, check_value
from .._random import RandomState
from .._validation import Float32Array
from ..exceptions import InvalidParameterError
from ..noise._base import fitted_noise
from ._crystal import NoAtomsInViewError, make_crystal_images
from ._projection import ZONE_AXIS
from ._stream import Stream
from ._structures import MATERIALS

if TYPE_CHECKING:
    from ase import Atoms

_ZONE_AXES = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1), (1, 2, 0), (0, 1, 2))
_SHEETS = [name for name, material in MATERIALS.items() if material.is_sheet]
# Crystals to draw until one is in view.
_ATTEMPTS = 100


class CrystalStream(Stream):
    """New batches of (noisy frame, clean frame) of crystals for training, without end.

    Each frame has another crystal, view and noise. Half of the crystals are known materials along
    low-index zone axes, and half have random lattices and motifs, so that a network can't memorize
    a few crystals. Rotation, pixel size (0.012 to 0.03 nm), probe (0.3 to 0.6 angstrom), thickness,
    strain, vacancies, background and the fraction of vacuum are drawn for each frame.

    Parameters
    ----------
    noise : simulator of stemkit.noise
        Adds noise to the clean frames, whose values are 0 to 255.
    batch_size : int, default=4
        Number of frames in a batch.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    materials : sequence of str or path, optional
        Materials as :func:`make_crystal_images` takes them; by default all of its names.
    zone_axes : sequence of tuple of int, default=((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1), \
(1, 2, 0), (0, 1, 2))
        Zone axes of the materials.
    made_up : float, default=0.5
        Fraction of frames with a random crystal that does not exist.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the batches that `batch` and iteration return.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.

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
        super().__init__(batch_size, shape, random_state)
        check_value(noise, "noise", [HasMethods("degrade", example="CompositeDegradationNoise()")])
        check_value(materials, "materials", [list, tuple, None])
        check_value(zone_axes, "zone_axes", [list, tuple])
        check_value(made_up, "made_up", [Interval(float, 0, 1)])
        self.materials = tuple(MATERIALS) if materials is None else tuple(materials)
        self.zone_axes = tuple(zone_axes)
        for material in self.materials:
            check_value(material, "each of materials", ["path"])
        for axis in self.zone_axes:
            check_value(axis, "each of zone_axes", [ZONE_AXIS])
        if made_up < 1 and not (self.materials and self.zone_axes):
            raise InvalidParameterError(
                "materials and zone_axes must not be empty; set made_up=1 for random crystals only."
            )
        self.made_up = made_up
        self.noise = fitted_noise(noise)

    @check_arguments(generator=[np.random.Generator])
    def make_batch(self, generator: np.random.Generator) -> tuple[Float32Array, Float32Array]:
        """Make a batch from a generator, as ``PINNEDDenoiser().fit(stream)`` calls it.

        Parameters
        ----------
        generator : numpy.random.Generator
            The only source of randomness. A smaller batch consists of the first frames of a larger
            one.

        Returns
        -------
        noisy : ndarray of shape (batch_size, H, W), float32
            Frames with the simulator's noise.
        clean : ndarray of shape (batch_size, H, W), float32
            The same without.

        Raises
        ------
        InvalidParameterError
            If ``generator`` is not a numpy.random.Generator.

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
        for attempt in range(_ATTEMPTS):
            try:
                clean = self._crystal(rng)
                break
            except NoAtomsInViewError:  # a small frame between the columns, or of vacuum
                if attempt == _ATTEMPTS - 1:
                    raise
        return self.noise.degrade(clean, generator=rng), clean

    def _crystal(self, rng: np.random.Generator) -> Float32Array:
        axis: tuple[int, ...]
        if rng.random() < self.made_up:
            material: Any = _random_crystal(rng)
            axis = (0, 0, 1)
        else:
            material = self.materials[rng.integers(len(self.materials))]
            axis = self.zone_axes[rng.integers(len(self.zone_axes))]
            if material in _SHEETS:
                axis = (0, 0, 1)
        images = make_crystal_images(
            material, zone_axis=axis, shape=self.shape, random_state=rng, **_draw_view(rng)
        )
        return images.frames[0]


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


def _random_crystal(rng: np.random.Generator) -> Atoms:
    """Draw a cell of one to four columns, with lattice vectors of 2.5 to 9 angstrom."""
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
    positions = np.column_stack([rng.random((n, 2)), np.zeros(n)])
    return Atoms(rng.integers(6, 83, n), scaled_positions=positions, cell=cell, pbc=True)
