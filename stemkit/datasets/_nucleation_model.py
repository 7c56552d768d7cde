"""The law of nucleation frames: which atoms lie where, and how bright and wide they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Literal, TypeAlias, get_args

import numpy as np

from .._arrays import Frames, Generator, maker_like, namespace, normal, uniform
from ..noise.functional import hrtem_noise
from ._perlin import TABLE_SIZE, Backend, hash_tables, perlin_noise
from ._poisson_disk import DENSITY, bridson_points, throw_darts

Contrast = Literal["default", "high", "low"]
Lattice = Literal["hexagonal", "square"]
Sampler = Literal["darts", "bridson"]
Range: TypeAlias = float | tuple[float, float]

# What a contrast stands for: brightness in counts, lengths in px, drawn evenly for each frame.
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
# How far an atom's Gaussian is drawn, in standard deviations; 3e-4 of its peak is left there.
CUT = 4.0
# How far atoms of a grain are off their sites, in spacings along each axis; at most twice that.
VIBRATION = 0.04
# So they keep the minimal distance if the sites are further apart than that by this factor.
_CLOSEST = 1.2
_LEAST_WIDTH = 0.3
_BASES = {"hexagonal": ((0.0, 1.0), (math.sqrt(0.75), 0.5)), "square": ((0.0, 1.0), (1.0, 0.0))}
_FOLD = {"hexagonal": math.pi / 3, "square": math.pi / 2}


@dataclass(frozen=True)
class NucleationLaw:
    """The options of :func:`make_nucleation`, checked, with a preset for what is not given."""

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
        for name, kind in (
            ("contrast", Contrast),
            ("sampler", Sampler),
            ("lattice", Lattice),
            ("mask_backend", Backend),
        ):
            allowed = get_args(kind)
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}.")
        ranges = dict(PRESETS[self.contrast])
        # The lowest that is allowed. Atoms nearer than 1.5 px are one atom to any camera.
        lowest = {"background": 0, "peak": 0, "sigma": 0.3, "min_distance": 1.5, "order": 0}
        for name, least in lowest.items():
            if getattr(self, name) is not None:
                ranges[name] = _range(getattr(self, name), name, least)
        if ranges["order"][1] > 1:
            raise ValueError(f"order is a share of the frame, at most 1; got {self.order}.")
        distance = ranges["min_distance"]
        if self.spacing is not None:
            ranges["spacing"] = _range(self.spacing, "spacing", _CLOSEST * distance[1])
        for name in ("peak_spread", "sigma_spread", "gain", "offset", "column_sigma"):
            if not 0 <= _number(getattr(self, name)) < np.inf:
                raise ValueError(f"{name} must be 0 or above; got {getattr(self, name)!r}.")
        for name in ("mask_scale", "mask_persistence", "mask_lacunarity"):
            if not 0 < _number(getattr(self, name)) < np.inf:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)!r}.")
        if not (isinstance(self.mask_octaves, Integral) and 1 <= self.mask_octaves <= 16):
            raise ValueError(f"mask_octaves must be an int, 1 to 16; got {self.mask_octaves!r}.")
        if not 0 <= _number(self.mask_threshold) <= 1:
            raise ValueError(
                "mask_threshold must be 0 (no vacuum) to 1 (all of it); "
                f"got {self.mask_threshold!r}."
            )
        object.__setattr__(self, "ranges", ranges)

    @property
    def margin(self) -> float:
        """How far beyond the frame atoms are laid, in px: those outside lend their tails."""
        widest = self.ranges["sigma"][1] * (1 + 3 * self.sigma_spread)
        return max(CUT * widest, 2 * self.ranges["min_distance"][1])

    def record(self, clean: Frames, generator: Generator) -> Frames:
        """Give clean frames the noise of the camera, and cut them to whole numbers."""
        noisy = hrtem_noise(clean, self.gain, self.offset, self.column_sigma, generator=generator)
        if self.whole_numbers:
            xp = namespace(noisy)
            xp.clip(noisy, 0, WHITE, out=noisy)
            xp.floor(noisy, out=noisy)
        return noisy


@dataclass
class Vacuum:
    """Where there is none: Perlin noise above a threshold, one for each frame."""

    law: NucleationLaw
    tables: Frames
    origin_y: Frames
    origin_x: Frames

    def is_material(self, frame: Frames, y: Frames, x: Frames) -> Frames:
        """Tell whether points lie on the material."""
        theirs = self.law.mask_backend == "noise"
        noise = perlin_noise(
            y / self.law.mask_scale + self.origin_y[frame],
            x / self.law.mask_scale + self.origin_x[frame],
            None if theirs else self.tables,
            frame,
            backend=self.law.mask_backend,
            octaves=self.law.mask_octaves,
            persistence=self.law.mask_persistence,
            lacunarity=self.law.mask_lacunarity,
        )
        return (noise + 1) / 2 >= self.law.mask_threshold


@dataclass
class Specimens:
    """Atoms of several frames, one after the other, and what each frame drew for itself.

    ``frame``, ``y``, ``x``, ``amplitude``, ``sigma`` and ``ordered`` hold a number for each atom,
    those outside a frame whose tails reach in among them; each of ``drawn`` one for each frame.
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
        """Tell which atoms have their centre in the frame."""
        height, width = shape
        down = (self.y >= -0.5) & (self.y < height - 0.5)
        return down & (self.x >= -0.5) & (self.x < width - 0.5)


def draw_specimens(
    law: NucleationLaw, shape: tuple[int, int], n_frames: int, like: Frames, generator: Generator
) -> Specimens:
    """Draw the atoms of some frames, in the library and on the device of ``like``."""
    drawn = _draw_frames(law, shape, n_frames, like, generator)
    distance, edge = drawn["min_distance"], law.margin + 0.5
    height, width = ((side + 2 * law.margin) / distance for side in shape)
    grain = None
    if law.ranges["order"][1] > 0:
        frame, y, x = grain_atoms(law, shape, drawn, generator)
        grain = frame, (y + edge) / distance[frame], (x + edge) / distance[frame]
    sample = throw_darts if law.sampler == "darts" else bridson_points
    frame, y, x = sample(height, width, generator, fixed=grain)
    n_disordered = len(y)
    xp = namespace(like)
    if grain is not None:
        frame, y, x = (xp.concatenate(both) for both in zip((frame, y, x), grain, strict=True))
    y, x = (at * distance[frame] - edge for at in (y, x))
    ordered = maker_like(like).arange(len(y)) >= n_disordered
    vacuum = Vacuum(
        law,
        hash_tables(n_frames, like, generator),
        *(uniform(like, (2, n_frames), generator) * TABLE_SIZE),
    )
    kept = vacuum.is_material(frame, y, x)
    frame, y, x, ordered = (values[kept] for values in (frame, y, x, ordered))
    brighter, wider = normal(like, (2, len(y)), generator)
    amplitude = drawn["peak"][frame] * xp.clip(1 + law.peak_spread * brighter, 0, None)
    sigma = drawn["sigma"][frame] * xp.clip(1 + law.sigma_spread * wider, _LEAST_WIDTH, None)
    return Specimens(frame, y, x, amplitude, sigma, ordered, drawn, vacuum)


def _draw_frames(
    law: NucleationLaw, shape: tuple[int, int], n_frames: int, like: Frames, generator: Generator
) -> dict[str, Frames]:
    """Draw what atoms of one frame share."""
    shares = uniform(like, (9, n_frames), generator)
    names = ("background", "peak", "sigma", "min_distance", "order")
    drawn = {}
    for name, share in zip(names, shares[:5], strict=True):
        low, high = law.ranges[name]
        drawn[name] = low + (high - low) * share
    drawn["grain_y"], drawn["grain_x"] = (
        share * side - 0.5 for share, side in zip(shares[5:7], shape, strict=True)
    )
    drawn["grain_radius"] = grain_radius(shape, drawn, drawn["order"], law.margin)
    drawn["orientation"] = _FOLD[law.lattice] * shares[7]
    if law.spacing is None:
        cell = np.linalg.det(np.array(_BASES[law.lattice]))
        drawn["spacing"] = drawn["min_distance"] / math.sqrt(abs(cell) * DENSITY)
    else:
        low, high = law.ranges["spacing"]
        drawn["spacing"] = low + (high - low) * shares[8]
    return drawn


def grain_radius(
    shape: tuple[int, int], drawn: dict[str, Frames], order: Frames, margin: float
) -> Frames:
    """Return the radius of the disk that covers these shares of the frames; all of it for 1."""
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
    law: NucleationLaw, shape: tuple[int, int], drawn: dict[str, Frames], generator: Generator
) -> tuple[Frames, Frames, Frames]:
    """Return frame, y and x in px of the atoms of each frame's grain, off their sites by little."""
    frame, y, x = grain_sites(law, shape, drawn)
    off = namespace(y).clip(normal(y, (2, len(y)), generator), -2, 2) * VIBRATION
    off = off * drawn["spacing"][frame]
    return frame, y + off[0], x + off[1]


def grain_sites(
    law: NucleationLaw, shape: tuple[int, int], drawn: dict[str, Frames]
) -> tuple[Frames, Frames, Frames]:
    """Return frame, y and x in px of each grain's lattice sites, as far as atoms are laid."""
    xp, radius, spacing = namespace(drawn["spacing"]), drawn["grain_radius"], drawn["spacing"]
    device = maker_like(spacing)
    # In both lattices a site n spacings away has indices of at most 1.16 n.
    n_around = math.ceil(1.16 * float((radius / spacing).max())) + 1
    index = device.float32(device.arange(2 * n_around + 1) - n_around)
    (y1, x1), (y2, x2) = _BASES[law.lattice]
    up = -(index[:, None] * y1 + index * y2).reshape(-1)
    right = (index[:, None] * x1 + index * x2).reshape(-1)
    inside = up**2 + right**2 < ((radius / spacing) ** 2)[:, None]
    chosen = device.flatnonzero(inside.reshape(-1))
    frame, site = chosen // len(up), chosen % len(up)
    cos, sin = xp.cos(drawn["orientation"])[frame], xp.sin(drawn["orientation"])[frame]
    # Counter-clockwise as drawn with y down.
    y = drawn["grain_y"][frame] + spacing[frame] * (cos * up[site] - sin * right[site])
    x = drawn["grain_x"][frame] + spacing[frame] * (cos * right[site] + sin * up[site])
    # Vibration must not carry them over the edge of the laid field.
    edge = law.margin + 0.5 - 3 * VIBRATION * spacing[frame]
    seen = (y > -edge) & (y < shape[0] - 1 + edge) & (x > -edge) & (x < shape[1] - 1 + edge)
    return frame[seen], y[seen], x[seen]


def _number(value: float) -> float:
    return value if isinstance(value, Real) else np.nan


def _range(value: Range, name: str, least: float) -> tuple[float, float]:
    try:
        low, high = np.broadcast_to(np.asarray(value, dtype=float), 2).tolist()
    except (TypeError, ValueError):
        low = high = np.nan
    if not least <= low <= high < np.inf:
        raise ValueError(
            f"{name} must be a number or (low, high), from {least:g} upwards; got {value!r}."
        )
    return low, high
