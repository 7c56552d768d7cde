"""Grey frames from images with colour channels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def to_grey(image: NDArray[Any], *, n_dims: int) -> NDArray[Any]:
    """Drop the last axis, the colours, of an image that contains only grey.

    Parameters
    ----------
    image : ndarray
        With `n_dims` axes, or one more for the channels.
    n_dims : int
        Number of axes of the result.

    Raises
    ------
    ValueError
        If the image is coloured or partly transparent.
    """
    if image.ndim == n_dims:
        return image
    n_channels = image.shape[-1]
    if n_channels in (2, 4):  # the last one is opacity
        opacity = image[..., -1]
        if opacity.min() != opacity.max():
            raise ValueError("it is partly transparent, save it as a grey image")
        image = image[..., :-1]
    if (image != image[..., :1]).any():
        raise ValueError("it shows colours, save it as a grey image")
    return image[..., 0]
