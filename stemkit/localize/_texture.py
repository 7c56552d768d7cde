"""How much the background of a frame without its atoms varies, a film's for instance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ._peaks import atom_response, response_noise, white_noise
from ._search import center, regions_without_data, unexplained
from ._windows import Atoms

# In sigma: the border that is left out when texture is measured, and the side of the part of a
# frame in which it is measured again.
_MARGIN, _PART = 4.0, 36.0
_ONE_SIGMA = 0.1587  # quantile of a normal distribution at minus one standard deviation


def noise_amplitude(frames: Iterable[NDArray[np.float32]], sigma: float) -> float:
    """Return the standard deviation of an atom's amplitude due to white noise."""
    noise = np.median([white_noise(frame.astype(float)) for frame in frames])
    return float(noise) * response_noise(sigma)


def background_amplitude(
    frames: Iterable[NDArray[np.float32]], atoms: list[Atoms], sigma: float
) -> float:
    """Return the standard deviation of an atom's amplitude due to the background and its noise.

    Grains of a film are bright and dark alike. It is measured on the dark ones, since bright ones
    may still count as atoms.
    """
    depths = []
    for frame, known in zip(frames, atoms, strict=True):
        pixels, _ = center(frame)
        response = atom_response(unexplained(pixels, known), sigma)
        regions = regions_without_data(frame)
        # Without the border, where atoms outside the frame are missing.
        margins = [min(round(_MARGIN * sigma), length // 4) for length in response.shape]
        inside = tuple(slice(m, n - m) for m, n in zip(margins, response.shape, strict=True))
        inner = response[inside]
        if regions is not None:
            near = ndimage.distance_transform_edt(~regions) <= _MARGIN * sigma
            inner = response[inside][~near[inside]]
            if not inner.size:
                continue
        depths.append(np.median(inner) - np.quantile(inner, _ONE_SIGMA))
    return float(np.median(depths)) if depths else 0.0


def most_crowded(frame: NDArray[np.float32], atoms: Atoms, sigma: float) -> NDArray[np.float32]:
    """Return the part of a frame with the most atoms, about a hundred in a crowd."""
    sides = [min(round(_PART * sigma), length) for length in frame.shape]
    places = np.rint([atoms.y, atoms.x]).astype(int)
    count = np.zeros(frame.shape)
    np.add.at(count, tuple(places.clip(0, np.array(frame.shape)[:, np.newaxis] - 1)), 1)
    center = np.unravel_index(np.argmax(ndimage.uniform_filter(count, sides)), frame.shape)
    firsts = [
        min(max(c - side // 2, 0), length - side)
        for c, side, length in zip(center, sides, frame.shape, strict=True)
    ]
    return frame[tuple(slice(f, f + side) for f, side in zip(firsts, sides, strict=True))]
