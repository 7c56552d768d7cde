"""Random atoms of nucleation frames: their positions, brightnesses and widths."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .._arrays import Frames, Generator, maker_like, namespace, normal, uniform
from .._constraints import Interval, Options, check_value
from .._scene import CUT, Scene, is_inside
from ..exceptions import InvalidParameterError
from ..noise.functional import hrtem_noise
from ._perlin import TABLE_SIZE, Backend, hash_tables, perlin_noise
from ._poisson_disk import DENSITY, bridson_points, poisson_disk_points
from ._ranges import Range, RangeIn, as_range

Contrast = Literal["default", "high", "low"]
Lattice = Literal["hexagonal", "square"]
Sampler = Literal["darts", "bridson"]

# Ranges of each contrast: brightness in counts, lengths in px, drawn uniformly for each frame.
PRESETS: dict[str, dict[str, tuple[float, float]]] = {
    "default": {
        "background": (94, 104),
        "peak": (32, 46),
        "sigma": (1.3, 1.7),
        "min_distance": (4, 4),
    },
    "high": {
        "background": (70, 95),
        "peak": (50, 115),
        "sigma": (1.3, 1.8),
        "min_distance": (4, 4),
    },
    "low": {
        "background": (90, 113),
        "peak": (11, 33),
        "sigma": (1.45, 1.72),
        "min_distance": (4, 6),
    },
}
TARGET_PEAK, TARGET_SIGMA = 255.0, 0.75
WHITE = 255.0
# Standard deviation of a grain's atoms about their sites, in spacings along each axis; they are cut
# at twice that.
VIBRATION = 0.04
# Minimal spacing of sites, in minimal distances: vibrating atoms are then never too close.
_MIN_SPACING = 1.2
_MIN_RELATIVE_WIDTH = 0.3
_BASES = {"hexagonal": ((0.0, 1.0), (math.sqrt(0.75), 0.5)), "square": ((0.0, 1.0), (1.0, 0.0))}
_FOLD = {"hexagonal": math.pi / 3, "square": math.pi / 2}


_POSITIVE = Interval(float, 0, 1e6)
_CONSTRAINTS: dict[str, list[Any]] = {
    "contrast": [Options("default", "high", "low")],
    "background": [RangeIn(_POSITIVE), None],
    "peak": [RangeIn(_POSITIVE), None],
    "sigma": [RangeIn(Interval(float, 0.3, 50, unit="px")), None],
    "peak_spread": [Interval(float, 0, 10)],
    "sigma_spread": [Interval(float, 0, 10)],
    # Atoms closer than 1.5 px can't be distinguished by any camera.
    "min_distance": [RangeIn(Interval(float, 1.5, 1e4, unit="px")), None],
    "sampler": [Options("darts", "bridson")],
    "mask_scale": [Interval(float, 1e-3, 1e9, unit="px")],
    "mask_octaves": [Interval(int, 1, 16)],
    "mask_persistence": [Interval(float, 0, 100, closed="right")],
    "mask_lacunarity": [Interval(float, 0, 10, closed="right")],
    "mask_threshold": [Interval(float, 0, 1)],
    "mask_backend": [Options("stemkit", "noise")],
    "order": [RangeIn(Interval(float, 0, 1))],
    "lattice": [Options("hexagonal", "square")],
    "spacing": [RangeIn(Interval(float, 1.5 * _MIN_SPACING, 1e5, unit="px")), None],
    "gain": [_POSITIVE],
    "offset": [_POSITIVE],
    "column_sigma": [_POSITIVE],
    "whole_numbers": ["boolean"],
}


@dataclass(frozen=True)
class NucleationModel:
    """The options of :func:`make_nucleation`, checked, with presets for those not given."""

    contrast: Contrast = "default"
    background: Range | None = None
    peak: Range | None = None
    sigma: Range | None = None
    peak_spread: float = 0.15
    sigma_spread: float = 0.10
    min_distance: Range | None = None
    sampler: Sampler = "darts"
    mask_scale: float = 100.0
    mask_octaves: int = 6
    mask_persistence: float = 0.5
    mask_lacunarity: float = 2.0
    mask_threshold: float = 0.5
    mask_backend: Backend = "stemkit"
    order: Range = 0.0
    lattice: Lattice = "hexagonal"
    spacing: Range | None = None
    gain: float = 0.03583
    offset: float = 1.379
    column_sigma: float = 0.6641
    whole_numbers: bool = True
    ranges: dict[str, tuple[float, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, allowed in _CONSTRAINTS.items():
            check_value(getattr(self, name), name, allowed)
        if self.mask_lacunarity ** (self.mask_octaves - 1) > 1e9:
            raise InvalidParameterError(
                f"mask_lacunarity of {self.mask_lacunarity:g} makes the last of "
                f"{self.mask_octaves} octaves finer than numbers can resolve; lower one of them."
            )
        ranges = dict(PRESETS[self.contrast])
        for name in ("background", "peak", "sigma", "min_distance", "order", "spacing"):
            if (value := getattr(self, name)) is not None:
                ranges[name] = as_range(value)
        minimum = _MIN_SPACING * ranges["min_distance"][1]
        if "spacing" in ranges and ranges["spacing"][0] < minimum:
            raise InvalidParameterError(
                f"spacing must be at least {_MIN_SPACING} minimal distances, from {minimum:g} px; "
                f"got {self.spacing!r}."
            )
        object.__setattr__(self, "ranges", ranges)

    @property
    def margin(self) -> float:
        """Distance beyond the frame up to which atoms are placed, in px, for their tails."""
        widest = self.ranges["sigma"][1] * (1 + 3 * self.sigma_spread)
        return max(CUT * widest, 2 * self.ranges["min_distance"][1])

    def record(self, clean: Frames, generator: Generator) -> Frames:
        """Add the noise of the camera to clean frames, and cut them to whole numbers."""
        noisy = hrtem_noise(clean, self.gain, self.offset, self.column_sigma, generator=generator)
        if self.whole_numbers:
            xp = namespace(noisy)
            xp.clip(noisy, 0, WHITE, out=noisy)
            xp.floor(noisy, out=noisy)
        return noisy


@dataclass
class Vacuum:
    """A random region without atoms in each frame: Perlin noise below a threshold."""

    model: NucleationModel
    tables: Frames
    origin_y: Frames
    origin_x: Frames

    def is_material(self, frame: Frames, y: Frames, x: Frames) -> Frames:
        """Return a mask of the points outside the vacuum."""
        theirs = self.model.mask_backend == "noise"
        noise = perlin_noise(
            y / self.model.mask_scale + self.origin_y[frame],
            x / self.model.mask_scale + self.origin_x[frame],
            None if theirs else self.tables,
            frame,
            backend=self.model.mask_backend,
            octaves=self.model.mask_octaves,
            persistence=self.model.mask_persistence,
            lacunarity=self.model.mask_lacunarity,
        )
        return (noise + 1) / 2 >= self.model.mask_threshold


@dataclass
class AtomBatch:
    """The atoms of several frames, one frame after the other, and each frame's parameters.

    ``frame``, ``y``, ``x``, ``amplitude``, ``sigma`` and ``ordered`` hold a number for each atom,
    including atoms just outside a frame, and each array of ``drawn`` one for each frame.
    """

    frame: Frames
    y: Frames
    x: Frames
    amplitude: Frames
    sigma: Frames
    ordered: Frames
    drawn: dict[str, Frames]
    vacuum: Vacuum

    def inside(self, shape: tuple[int, int]) -> Frames:
        """Return a mask of the atoms whose centre lies in the frame."""
        return is_inside(self.y, self.x, shape)

    def scene(self) -> Scene:
        """Return the atoms of a batch of one frame, in NumPy arrays, as a scene."""
        return Scene(
            *(values.astype(float) for values in (self.y, self.x, self.amplitude, self.sigma))
        )

    def dots(self) -> Scene:
        """Return the dots that mark these atoms in the target, as a scene."""
        points = np.stack([self.y, self.x], axis=1).astype(float)
        return Scene.from_points(points, TARGET_PEAK, TARGET_SIGMA)


def draw_atoms(
    model: NucleationModel,
    shape: tuple[int, int],
    n_frames: int,
    like: Frames,
    generator: Generator,
) -> AtomBatch:
    """Draw the atoms of some frames, in the library and on the device of ``like``."""
    drawn = _draw_frames(model, shape, n_frames, like, generator)
    distance, edge = drawn["min_distance"], model.margin + 0.5
    height, width = ((side + 2 * model.margin) / distance for side in shape)
    grain = None
    if model.ranges["order"][1] > 0:
        frame, y, x = grain_atoms(model, shape, drawn, generator)
        grain = frame, (y + edge) / distance[frame], (x + edge) / distance[frame]
    sample = poisson_disk_points if model.sampler == "darts" else bridson_points
    frame, y, x = sample(height, width, generator, fixed=grain)
    n_disordered = len(y)
    xp = namespace(like)
    if grain is not None:
        frame, y, x = (xp.concatenate(both) for both in zip((frame, y, x), grain, strict=True))
    y, x = (at * distance[frame] - edge for at in (y, x))
    ordered = maker_like(like).arange(len(y)) >= n_disordered
    vacuum = Vacuum(
        model,
        hash_tables(n_frames, like, generator),
        *(uniform(like, (2, n_frames), generator) * TABLE_SIZE),
    )
    kept = vacuum.is_material(frame, y, x)
    frame, y, x, ordered = (values[kept] for values in (frame, y, x, ordered))
    brighter, wider = normal(like, (2, len(y)), generator)
    amplitude = drawn["peak"][frame] * xp.clip(1 + model.peak_spread * brighter, 0, None)
    sigma = drawn["sigma"][frame] * xp.clip(
        1 + model.sigma_spread * wider, _MIN_RELATIVE_WIDTH, None
    )
    return AtomBatch(frame, y, x, amplitude, sigma, ordered, drawn, vacuum)


def _draw_frames(
    model: NucleationModel,
    shape: tuple[int, int],
    n_frames: int,
    like: Frames,
    generator: Generator,
) -> dict[str, Frames]:
    """Draw the parameters of each frame."""
    shares = uniform(like, (9, n_frames), generator)
    names = ("background", "peak", "sigma", "min_distance", "order")
    drawn = {}
    for name, share in zip(names, shares[:5], strict=True):
        low, high = model.ranges[name]
        drawn[name] = low + (high - low) * share
    drawn["grain_y"], drawn["grain_x"] = (
        share * side - 0.5 for share, side in zip(shares[5:7], shape, strict=True)
    )
    drawn["grain_radius"] = grain_radius(shape, drawn, drawn["order"], model.margin)
    drawn["orientation"] = _FOLD[model.lattice] * shares[7]
    if model.spacing is None:
        cell = np.linalg.det(np.array(_BASES[model.lattice]))
        drawn["spacing"] = drawn["min_distance"] / math.sqrt(abs(cell) * DENSITY)
    else:
        low, high = model.ranges["spacing"]
        drawn["spacing"] = low + (high - low) * shares[8]
    return drawn


def grain_radius(
    shape: tuple[int, int], drawn: dict[str, Frames], order: Frames, margin: float
) -> Frames:
    """Return the radius of the disk that covers these fractions of the frames, or all for 1."""
    xp, device = namespace(order), maker_like(order)
    n_side = 64
    grid = (device.float32(device.arange(n_side)) + 0.5) / n_side
    down, right = (
        grid * side - 0.5 - drawn[name][:, None]
        for side, name in zip(shape, ("grain_y", "grain_x"), strict=True)
    )
    distance = xp.sqrt((down**2)[:, :, None] + (right**2)[:, None, :]).reshape(len(order), -1)
    distance = xp.sort(distance, -1)
    distance = distance if isinstance(distance, np.ndarray) else distance[0]
    rank = device.int64(order * (n_side**2 - 1))
    radius = distance[device.arange(len(order)), rank] * (order > 0)
    return radius + (order >= 1) * 2 * margin


def grain_atoms(
    model: NucleationModel, shape: tuple[int, int], drawn: dict[str, Frames], generator: Generator
) -> tuple[Frames, Frames, Frames]:
    """Return frame, y and x in px of the vibrating atoms of each frame's grain."""
    frame, y, x = grain_sites(model, shape, drawn)
    offset = namespace(y).clip(normal(y, (2, len(y)), generator), -2, 2) * VIBRATION
    offset = offset * drawn["spacing"][frame]
    return frame, y + offset[0], x + offset[1]


def grain_sites(
    model: NucleationModel, shape: tuple[int, int], drawn: dict[str, Frames]
) -> tuple[Frames, Frames, Frames]:
    """Return frame, y and x in px of each grain's lattice sites, within the margin."""
    xp, radius, spacing = namespace(drawn["spacing"]), drawn["grain_radius"], drawn["spacing"]
    device = maker_like(spacing)
    # In both lattices a site n spacings away has indices of at most 1.16 n.
    n_around = math.ceil(1.16 * float((radius / spacing).max())) + 1
    index = device.float32(device.arange(2 * n_around + 1) - n_around)
    (y1, x1), (y2, x2) = _BASES[model.lattice]
    up = -(index[:, None] * y1 + index * y2).reshape(-1)
    right = (index[:, None] * x1 + index * x2).reshape(-1)
    inside = up**2 + right**2 < ((radius / spacing) ** 2)[:, None]
    chosen = device.flatnonzero(inside.reshape(-1))
    frame, site = chosen // len(up), chosen % len(up)
    cos, sin = xp.cos(drawn["orientation"])[frame], xp.sin(drawn["orientation"])[frame]
    # Counter-clockwise on the screen, with y pointing down.
    y = drawn["grain_y"][frame] + spacing[frame] * (cos * up[site] - sin * right[site])
    x = drawn["grain_x"][frame] + spacing[frame] * (cos * right[site] + sin * up[site])
    # Vibrating atoms must stay within the field in which disordered atoms are placed.
    edge = model.margin + 0.5 - 3 * VIBRATION * spacing[frame]
    kept = (y > -edge) & (y < shape[0] - 1 + edge) & (x > -edge) & (x < shape[1] - 1 + edge)
    return frame[kept], y[kept], x[kept]
