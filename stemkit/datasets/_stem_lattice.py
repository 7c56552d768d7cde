"""Clean and noisy STEM frames of crystals and of atoms at random positions, for denoisers."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.utils import Bunch

from .._constraints import Interval, Options, check_arguments
from .._random import RandomState, check_seed, sample_generator
from .._scene import Scene, as_shape, is_inside, render_columns
from .._validation import Float32Array
from ._poisson_disk import poisson_disk_points
from ._projection import HAADF_EXPONENT, Projection, lattice_points, project
from ._ranges import Range, RangeIn, as_range
from ._scenes import is_material, relative_thickness
from ._structures import named_structure

Float64Array = NDArray[np.float64]
Style = Literal["temimagenet", "sfin"]
Mode = Literal["haadf", "bf"]

# Crystals along common zone axes.
_CRYSTALS = (
    ("Al", (0, 0, 1)),
    ("Al", (1, 1, 0)),
    ("Si", (1, 1, 0)),
    ("SrTiO3", (0, 0, 1)),
    ("SrTiO3", (1, 1, 0)),
    ("GaN", (0, 0, 1)),
    ("InN", (0, 0, 1)),
    ("ZnMgTe", (1, 1, 0)),
    ("graphene", (0, 0, 1)),
)
_PIXEL_NM = (0.005, 0.025)
_PROBE_FWHM_NM = (0.08, 0.13)
_FWHM = float(np.sqrt(8 * np.log(2)))
# Columns further outside the frame than this many standard deviations add nothing to it.
_REACH = 5.0
# Radius of a mask's disk as a fraction of the columns' minimal distance: disks do not touch.
_MASK_RADIUS = 0.25
_BACKGROUND_CONTRAST = 0.3


class _Noise(NamedTuple):
    """Ranges from which each frame draws its noise."""

    dose: tuple[float, float]
    row_jitter: tuple[float, float]
    background: tuple[float, float]
    line_gain: tuple[float, float]


_NOISE = {
    "temimagenet": _Noise((2.0, 100.0), (0.0, 1.0), (0.0, 1.0), (0.0, 0.0)),
    "sfin": _Noise((2.0, 100.0), (0.0, 0.5), (0.0, 0.9), (0.0, 0.05)),
}


class _Columns(NamedTuple):
    """Columns in and around a frame, in px; the brightest has a weight of 1."""

    points: Float64Array
    weight: Float64Array
    spacing: float
    material: str


@check_arguments(
    n_samples=[Interval(int, 1, None)],
    shape=["frame shape"],
    style=[Options("temimagenet", "sfin")],
    mode=[Options("haadf", "bf")],
    dose=[RangeIn(Interval(float, 1e-6, 1e12)), None],
    row_jitter=[RangeIn(Interval(float, 0, 1e6, unit="px")), None],
    background=[RangeIn(Interval(float, 0, 1e6)), None],
    random_state=["random_state"],
)
def make_stem_lattice(
    n_samples: int = 10,
    shape: tuple[int, int] = (256, 256),
    *,
    style: Style = "temimagenet",
    mode: Mode = "haadf",
    dose: Range | None = None,
    row_jitter: Range | None = None,
    background: Range | None = None,
    random_state: RandomState = None,
) -> Bunch:
    """Make STEM frames similar to TEMImageNet or the SFIN dataset, with ground truth.

    Columns are Gaussians as wide as the probe and as bright as their atomic numbers to the power of
    1.7. Scan noise, a slow background and shot noise are applied in the order in which they arise,
    see :func:`stemkit.noise.functional.stem_noise`.

    A *range* is a number, or ``(low, high)``, from which each frame draws its own.

    Parameters
    ----------
    n_samples : int, default=10
        Number of frames, each of another specimen.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    style : {"temimagenet", "sfin"}, default="temimagenet"
        "temimagenet": one perfect crystal a frame, without an edge, with one, with holes, or as a
        particle. "sfin": half of the frames are like these, with vacancies and displaced columns;
        in the others atoms lie at random and overlap.
    mode : {"haadf", "bf"}, default="haadf"
        Bright columns on a dark background, or dark columns on a bright one, as in bright field.
    dose : range, optional
        Electrons per pixel at the brightest column's peak (bright field: in the incident beam);
        each frame draws its logarithm uniformly. The default is (2, 100).
    row_jitter : range, optional
        Standard deviation of the rows' displacement in px. The default is (0, 1) for "temimagenet"
        and (0, 0.5) for "sfin", whose rows also differ in gain by up to 5 %.
    background : range, optional
        Mean of the background as a fraction of that peak. The default is (0, 1) for "temimagenet"
        and (0, 0.9) for "sfin".
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness. Sample i does not depend on ``n_samples``.

    Returns
    -------
    Bunch
        ``noisy``: float32 (n_samples, H, W), whole numbers 0 to 255. ``clean``: float32 of the same
        shape and scale, without background, scan noise and shot noise; ``target`` is the same
        array. ``circular_mask`` and ``gaussian_mask``: disks of 255, and Gaussians with a peak of
        255 and half the radius as standard deviation, around each column. ``positions``: DataFrame
        with ``frame``, ``y``, ``x``, ``amplitude`` (in units of the frames, negative in bright
        field) and ``sigma`` (px) of the columns within the frames. ``parameters``: DataFrame of
        each frame's random parameters, with pixel sizes in nm.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.

    See Also
    --------
    fetch_temimagenet, fetch_sfin : Load the published sets.

    Notes
    -----
    These frames do not equal the published sets. TEMImageNet has many more crystals, and noise of
    random strength that was not calibrated; SFIN's noise is normal, with parameters measured on
    real frames; neither is published with the code that made it. Here the noise is the shot noise
    of counted electrons, and each frame is scaled so that 255 grey levels lie three standard
    deviations above its brightest pixel. The frames are about as hard to denoise: a Gaussian filter
    of 1.5 px reaches 16.6 dB and an SSIM of 0.34 for "temimagenet", 17.5 dB and 0.29 for "sfin"; in
    the comparison of the SCGN paper it reaches 16.1 dB and 0.50, 16.4 dB and 0.33 on the published
    sets.

    References
    ----------
    R. Lin et al., Scientific Reports 11, 5386 (2021), https://doi.org/10.1038/s41598-021-84499-w;
    H. Li et al., "Noise Calibration and Spatial-Frequency Interactive Network for STEM Image
    Enhancement", CVPR 2025, https://arxiv.org/abs/2504.02555.

    Examples
    --------
    >>> from stemkit.datasets import make_stem_lattice
    >>> data = make_stem_lattice(4, (64, 64), style="sfin", random_state=0)
    >>> data.noisy.shape, data.target is data.clean
    ((4, 64, 64), True)
    """
    shape = as_shape(shape)
    given = {"dose": dose, "row_jitter": row_jitter, "background": background}
    ranges = _NOISE[style]._replace(
        **{name: as_range(value) for name, value in given.items() if value is not None}
    )
    seed = check_seed(random_state)
    samples = [
        _make_sample(sample_generator(seed, index), shape, style, mode, ranges)
        for index in range(n_samples)
    ]
    clean = np.stack([sample.clean for sample in samples])
    return Bunch(
        noisy=np.stack([sample.noisy for sample in samples]),
        clean=clean,
        target=clean,
        circular_mask=np.stack([sample.circular_mask for sample in samples]),
        gaussian_mask=np.stack([sample.gaussian_mask for sample in samples]),
        positions=pd.concat(
            [sample.positions.assign(frame=index) for index, sample in enumerate(samples)],
            ignore_index=True,
        )[["frame", "y", "x", "amplitude", "sigma"]],
        parameters=pd.DataFrame([sample.parameters for sample in samples]).rename_axis("frame"),
    )


def _make_sample(
    rng: np.random.Generator, shape: tuple[int, int], style: Style, mode: Mode, ranges: _Noise
) -> Bunch:
    from ..noise.functional import stem_noise

    pixel_nm = float(np.exp(rng.uniform(*np.log(_PIXEL_NM))))
    sigma = rng.uniform(*_PROBE_FWHM_NM) / _FWHM / pixel_nm
    columns = _arrange(style, shape, pixel_nm, _REACH * sigma, rng)
    keep = is_material(columns.points, shape, rng)
    points = columns.points[keep]
    weight = columns.weight[keep] * relative_thickness(points, shape, rng)
    signal = render_columns(Scene.from_points(points, weight, sigma), shape)
    # Overlapping columns are brighter than any one; the brightest pixel gets a signal of 1.
    brightest = max(float(signal.max()), 1.0)
    signal, weight = signal / brightest, weight / brightest
    if mode == "bf":
        depth = rng.uniform(0.3, 0.8)
        signal, weight = 1 - depth * signal, -depth * weight

    noise = {
        "dose": float(np.exp(rng.uniform(*np.log(ranges.dose)))),
        "row_jitter": rng.uniform(*ranges.row_jitter),
        "row_correlation": rng.uniform(0, 8),
        "background": rng.uniform(*ranges.background),
        "line_gain": rng.uniform(*ranges.line_gain),
    }
    noisy = stem_noise(
        signal,
        **noise,
        background_contrast=_BACKGROUND_CONTRAST,
        background_length=max(min(shape) / 4, 1.0),
        flyback=None,
        afterglow=None,
        reference=1.0,
        generator=rng,
    )
    scale = _scale(noise["dose"], noise["background"])
    circular, gaussian = _masks(points, _MASK_RADIUS * columns.spacing, shape)
    inside = is_inside(points[:, 0], points[:, 1], shape)
    return Bunch(
        noisy=np.rint(noisy * scale).clip(0, 255).astype(np.float32),
        clean=(signal * scale).astype(np.float32),
        circular_mask=circular,
        gaussian_mask=gaussian,
        positions=pd.DataFrame(
            {
                "y": points[inside, 0],
                "x": points[inside, 1],
                "amplitude": weight[inside] * scale,
                "sigma": np.full(inside.sum(), sigma),
            }
        ),
        parameters={
            "material": columns.material,
            "pixel_size": pixel_nm,
            "spacing": columns.spacing,
            "scale": scale,
            **noise,
        },
    )


def _scale(dose: float, background: float) -> float:
    """Return the grey levels of a signal of 1, so that the brightest pixel hardly exceeds 255."""
    expected = 1 + background
    spread = np.sqrt(expected / dose + (_BACKGROUND_CONTRAST * background) ** 2)
    return float(255 / (expected + 3 * spread))


def _arrange(
    style: Style,
    shape: tuple[int, int],
    pixel_nm: float,
    rim: float,
    rng: np.random.Generator,
) -> _Columns:
    if style == "temimagenet":
        return _crystal(shape, pixel_nm, rim, rng)
    if rng.random() < 0.5:
        return _scattered(shape, pixel_nm, rim, rng)
    columns = _crystal(shape, pixel_nm, rim, rng)
    present = rng.random(len(columns.points)) >= rng.uniform(0, 0.1)
    displacement = rng.uniform(0, 0.05) * columns.spacing
    points = columns.points + displacement * rng.standard_normal(columns.points.shape)
    return columns._replace(points=points[present], weight=columns.weight[present])


def _crystal(
    shape: tuple[int, int], pixel_nm: float, rim: float, rng: np.random.Generator
) -> _Columns:
    material, zone_axis = _CRYSTALS[rng.integers(len(_CRYSTALS))]
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    crystal = _projected(material, zone_axis).transformed(rotation / pixel_nm)
    # A random origin, with each column inside the cell, as lattice_points needs it.
    motif = (crystal.column_points() @ np.linalg.inv(crystal.basis) + rng.random(2)) % 1
    low, high = np.full(2, -rim), np.array(shape) + rim
    points, column, inside = lattice_points(crystal.basis, motif, low, high)
    weight = crystal.column_weights(HAADF_EXPONENT)
    weight = (weight / weight.max())[column[inside]]
    distance, _ = cKDTree(points).query(points, k=2)
    name = f"{material} [{''.join(map(str, zone_axis))}]"
    return _Columns(points[inside], weight, float(distance[:, 1].min()), name)


@lru_cache(maxsize=len(_CRYSTALS))
def _projected(material: str, zone_axis: tuple[int, int, int]) -> Projection:
    return project(named_structure(material), np.array(zone_axis))


def _scattered(
    shape: tuple[int, int], pixel_nm: float, rim: float, rng: np.random.Generator
) -> _Columns:
    """Return atoms at random positions, no closer than in projections of glasses."""
    spacing = rng.uniform(0.12, 0.3) / pixel_nm
    height, width = (np.array([(side + 2 * rim) / spacing], np.float32) for side in shape)
    _, y, x = poisson_disk_points(height, width, rng)
    points = np.stack([y, x], axis=1).astype(float) * spacing - rim
    return _Columns(points, rng.uniform(0.3, 1.0, len(points)), spacing, "random")


def _masks(
    points: Float64Array, radius: float, shape: tuple[int, int]
) -> tuple[Float32Array, Float32Array]:
    """Return disks and Gaussians around points, functions of the distance to the nearest one."""
    radius = max(radius, 1.0)
    pixels = np.indices(shape).reshape(2, -1).T
    # The tree returns inf beyond the bound, which is also right if there is no point.
    distance = np.full(len(pixels), np.inf)
    if len(points):
        distance, _ = cKDTree(points).query(pixels, distance_upper_bound=3 * radius)
    distance = distance.reshape(shape)
    gaussian = 255 * np.exp(-2 * (distance / radius) ** 2)
    return np.float32(255) * (distance <= radius), gaussian.astype(np.float32)
