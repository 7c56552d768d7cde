"""Perlin's improved noise in two dimensions, on arrays and on tensors, at any points.

With the usual table of hashes it gives the values of ``noise.pnoise2``; it takes a table for each
field, so that fields differ by more than the place where they are cut from one.
"""

from __future__ import annotations

from stemkit._arrays import Frames, Generator, namespace, uniform

from ._device_arrays import device_of

TABLE_SIZE = 256
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
    tables: Frames,
    which: Frames | int = 0,
    *,
    octaves: int = 6,
    persistence: float = 0.5,
    lacunarity: float = 2.0,
) -> Frames:
    """Evaluate Perlin noise at points.

    Parameters
    ----------
    y, x : ndarray or torch.Tensor of one shape, float32
        Points, in units of the distance of the coarsest grid's knots.
    tables : ndarray or torch.Tensor of shape (n_tables, 256), int64
        Orders of 0..255.
    which : ndarray or torch.Tensor of the shape of y, or int, default=0
        Number of each point's table.
    octaves : int, default=6
        Number of noises that are summed, each finer than the one before.
    persistence : float, default=0.5
        Amplitude of each of them in shares of the one before.
    lacunarity : float, default=2.0
        How many times finer each of them is.

    Returns
    -------
    ndarray or torch.Tensor of the shape of y
        Values between -1 and 1, 0 on the mean.

    References
    ----------
    .. [1] K. Perlin, "Improving noise", ACM Transactions on Graphics 21 (2002), pp. 681-682.
    """
    table = (tables.reshape(-1), TABLE_SIZE * which)
    gradients = device_of(y).float32(device_of(y).array(_GRADIENTS)).T
    total, weight, finer = 0.0, 1.0, 1.0
    for _ in range(octaves):
        total = total + weight * _one_octave(y * finer, x * finer, table, gradients)
        weight *= persistence
        finer *= lacunarity
    return total / sum(persistence**octave for octave in range(octaves))


def _one_octave(
    y: Frames, x: Frames, table: tuple[Frames, Frames | int], gradients: Frames
) -> Frames:
    xp = namespace(y)
    hashes, start = table

    def hashed(value: Frames) -> Frames:
        return hashes[start + (value & (TABLE_SIZE - 1))]

    knot_y, knot_x = (device_of(y).int64(xp.floor(at)) for at in (y, x))
    down, right = y - xp.floor(y), x - xp.floor(x)
    along_y, along_x = (u * u * u * (u * (u * 6 - 15) + 10) for u in (down, right))
    values = []
    for i in (0, 1):
        row = hashed(knot_y + i)
        corner = []
        for j in (0, 1):
            kind = hashed(hashed(row + knot_x + j)) & (len(_GRADIENTS) - 1)
            corner.append(gradients[0][kind] * (down - i) + gradients[1][kind] * (right - j))
        values.append(corner[0] + along_x * (corner[1] - corner[0]))
    return values[0] + along_y * (values[1] - values[0])
