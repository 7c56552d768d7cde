"""Series of a specimen that moves while its frames are scanned."""

import numpy as np
from scipy import ndimage


def specimen(side, rng, cell=9.0):
    """Draw a crystal with vacancies and atoms of different heights on a film."""
    n = int(side / cell) + 4
    i, j = (k.ravel() for k in np.mgrid[-n : n + 1, -n : n + 1])
    y = cell * (i * np.cos(0.2) + j * np.sin(0.2)) + side / 2
    x = cell * (j * np.cos(0.2) - i * np.sin(0.2)) + side / 2
    inside = (y > 8) & (y < side - 9) & (x > 8) & (x < side - 9)
    heights = rng.choice([0, 0.6, 0.8, 1.2], inside.sum(), p=[0.05, 0.15, 0.7, 0.1])
    image = 0.1 + 0.02 * ndimage.gaussian_filter(rng.normal(size=(side, side)), 4) * 14
    reach = np.arange(-8, 9)
    for at_y, at_x, height in zip(y[inside], x[inside], heights, strict=True):
        rows, columns = reach + round(at_y), reach + round(at_x)
        spot = np.exp(-((rows - at_y) ** 2)[:, None] / 7.2 - ((columns - at_x) ** 2) / 7.2)
        image[np.ix_(rows, columns)] += height * spot
    return image


def scan(image, shape, path, degrees=0.0):
    """Record a frame: a point s of the specimen is seen at the row and column s + path[row]."""
    y, x = np.indices(shape, float)
    y = y - path[:, :1] - (shape[0] - 1) / 2
    x = x - path[:, 1:] - (shape[1] - 1) / 2
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    center = (np.array(image.shape) - 1) / 2
    points = [cos * y - sin * x + center[0], sin * y + cos * x + center[1]]
    return ndimage.map_coordinates(image, points, order=3, mode="reflect")


def record(paths, dose=30, seed=0, degrees=None):
    """Record a series of square frames along paths (n_frames, H, 2)."""
    rng = np.random.default_rng(seed)
    side = paths.shape[1]
    image = specimen(side + 2 * int(np.abs(paths).max()) + 40, rng)
    turns = np.zeros(len(paths)) if degrees is None else degrees
    clean = [scan(image, (side, side), p, t) for p, t in zip(paths, turns, strict=True)]
    return rng.poisson(dose * np.clip(clean, 0, None)).astype(np.float32)


def settling(n_frames, side, reach=(10.0, -12.0), seed=0):
    """Return paths of a stage that settles during the first frames and drifts from then on."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_frames)[:, None] + np.arange(side) / side
    left = 1 - np.exp(-time / 0.6)
    steps = np.cumsum(rng.normal(0, 1.5, (n_frames, 1, 2)), axis=0)
    return left[..., None] * np.array(reach) + steps


def errors_of_rows(found, true, border=6):
    """Return the distances of paths in px, without what no series can tell."""
    from stemkit.registration._row_paths import fix_gauge

    still = np.zeros(len(found))
    rest = fix_gauge(found, still) - fix_gauge(true, still)
    rest -= np.median(rest.reshape(-1, 2), axis=0)
    return np.hypot(*np.moveaxis(rest[:, border:-border], -1, 0))
