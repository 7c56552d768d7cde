"""Perlin's improved noise in two dimensions, on arrays and on tensors, at any points.

With Perlin's own table of hashes it equals ``noise.pnoise2``, which can also be called in its place
where the package noise is installed. It takes a table for each field, so that fields differ by more
than the place where they are cut from one.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .._arrays import (
    Frames,
    Generator,
    is_tensor,
    maker_like,
    namespace,
    on_device_of,
    uniform,
)

Backend = Literal["stemkit", "noise"]

TABLE_SIZE = 256
# Perlin's own table, which pnoise2 uses.
_PERLIN_TABLE = np.frombuffer(
    bytes.fromhex(
        "97a0895b5a0f830dc95f6035c2e907e18c24671e458e086325f0150a17be0694f778ea4b001ac53e"
        "5efcdbcb75230b2039b12158ed953857ae147d88aba844af4aa547868b301ba64d929ee7536fe57a"
        "3cd385e6dc695c29372ef528f4668f3641193fa101d85049d14c84bbd05912a9c8c4878274bc9f56"
        "a4646dc6adba034034d9e2fa7c7b05ca2693767eff5255d4cfce3be32f103a11b6bd1c2adfb7aad5"
        "77f898022c9aa346dd99659ba72bac09811627fd13626c6e4f71e0e8b2b97068daf661e4fb22f2c1"
        "eed2900cbfb3a2f1513391ebf90eef6b31c0d61fb5c76a9db854ccb07379322d7f0496fe8aeccd5d"
        "de72431d1848f38d80c34e42d73d9cb4"
    ),
    dtype=np.uint8,
).astype(np.int64)[np.newaxis]
# Along the first and the second axis, the edges of a cube as Perlin and pnoise2 take them.
_GRADIENTS = (
    *((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (1, 0), (-1, 0)),
    *((0, 1), (0, -1), (0, 1), (0, -1), (1, 0), (-1, 0), (0, -1), (0, 1)),
)


def hash_tables(n_tables: int, like: Frames, generator: Generator) -> Frames:
    """Draw tables of hashes, each an order of 0..255, of shape (n_tables, 256)."""
    return namespace(like).argsort(uniform(like, (n_tables, TABLE_SIZE), generator), -1)


def perlin_noise(
    y: Frames,
    x: Frames,
    tables: Frames | None = None,
    which: Frames | int = 0,
    *,
    octaves: int = 6,
    persistence: float = 0.5,
    lacunarity: float = 2.0,
    repeat: tuple[float, float] | None = None,
    backend: Backend = "stemkit",
) -> Frames:
    """Evaluate Perlin noise at points.

    Parameters
    ----------
    y, x : ndarray or torch.Tensor of one shape, float32
        Points, in units of the distance of the coarsest grid's knots.
    tables : ndarray or torch.Tensor of shape (n_tables, 256), int64, optional
        Permutations of 0..255; Perlin's own table by default.
    which : ndarray or torch.Tensor of the shape of y, or int, default=0
        Number of each point's table.
    octaves : int, default=6
        Number of noises that are summed, each finer than the one before.
    persistence : float, default=0.5
        Amplitude of each of them in shares of the one before.
    lacunarity : float, default=2.0
        How many times finer each of them is.
    repeat : tuple of float, optional
        Period of the coarsest noise along y and x; at most 256, the size of a table, otherwise.
    backend : {"stemkit", "noise"}, default="stemkit"
        "noise" calls ``noise.pnoise2`` point by point, with Perlin's own table.

    Returns
    -------
    ndarray or torch.Tensor of the shape of y
        Values between -1 and 1, 0 on the mean.

    Raises
    ------
    ImportError
        If the package noise is not installed and `backend` asks for it.
    ValueError
        If `backend` is "noise" and `tables` are given.

    References
    ----------
    .. [1] K. Perlin, "Improving noise", ACM Transactions on Graphics 21 (2002), pp. 681-682.
    """
    if backend == "noise":
        if tables is not None:
            raise ValueError("tables are given, but the package noise has its own; leave them out.")
        return _pnoise2(y, x, octaves, persistence, lacunarity, repeat)
    if tables is None:
        tables = on_device_of(y, _PERLIN_TABLE)
    table = (tables.reshape(-1), TABLE_SIZE * which)
    gradients = maker_like(y).float32(maker_like(y).array(_GRADIENTS)).T
    total, weight, finer = 0.0, 1.0, 1.0
    for _ in range(octaves):
        period = None if repeat is None else (repeat[0] * finer, repeat[1] * finer)
        total = total + weight * _one_octave(y * finer, x * finer, table, gradients, period)
        weight *= persistence
        finer *= lacunarity
    return total / sum(persistence**octave for octave in range(octaves))


def _pnoise2(
    y: Frames,
    x: Frames,
    octaves: int,
    persistence: float,
    lacunarity: float,
    repeat: tuple[float, float] | None,
) -> Frames:
    """Evaluate the noise of the package noise, of the library and on the device of ``y``."""
    try:
        # Imported here: the package is optional, and not to be confused with stemkit.noise.
        from noise import pnoise2
    except ImportError as error:
        raise ImportError(
            'The backend "noise" for Perlin noise needs the package noise; install it with '
            "pip install 'stemkit[noise]', or use the backend \"stemkit\"."
        ) from error
    options: dict[str, Any] = {
        "octaves": octaves,
        "persistence": persistence,
        "lacunarity": lacunarity,
    }
    if repeat is not None:
        options |= {"repeatx": repeat[0], "repeaty": repeat[1]}
    points = [values.detach().cpu().numpy() if is_tensor(values) else values for values in (y, x)]
    rows, columns = (values.ravel().tolist() for values in points)
    values = [pnoise2(*point, **options) for point in zip(rows, columns, strict=True)]
    return on_device_of(y, np.array(values, dtype=points[0].dtype).reshape(points[0].shape))


def _one_octave(
    y: Frames,
    x: Frames,
    table: tuple[Frames, Frames | int],
    gradients: Frames,
    period: tuple[float, float] | None,
) -> Frames:
    xp = namespace(y)
    hashes, start = table

    def hashed(value: Frames) -> Frames:
        return hashes[start + (value & (TABLE_SIZE - 1))]

    knots_y, knots_x = (
        _knots(at, None if period is None else period[axis]) for axis, at in enumerate((y, x))
    )
    down, right = y - xp.floor(y), x - xp.floor(x)
    along_y, along_x = (u * u * u * (u * (u * 6 - 15) + 10) for u in (down, right))
    values = []
    for i in (0, 1):
        row = hashed(knots_y[i])
        corner = []
        for j in (0, 1):
            kind = hashed(hashed(row + knots_x[j])) & (len(_GRADIENTS) - 1)
            corner.append(gradients[0][kind] * (down - i) + gradients[1][kind] * (right - j))
        values.append(corner[0] + along_x * (corner[1] - corner[0]))
    return values[0] + along_y * (values[1] - values[0])


def _knots(at: Frames, period: float | None) -> tuple[Frames, Frames]:
    """Return the knot before each coordinate and the next one, repeated as pnoise2 does."""
    xp = namespace(at)
    if period is None:
        first = maker_like(at).int64(xp.floor(at))
        return first, first + 1
    first = xp.floor(xp.fmod(at, period))
    return maker_like(at).int64(first), maker_like(at).int64(xp.fmod(first + 1, period))
