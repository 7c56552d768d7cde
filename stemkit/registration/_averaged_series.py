"""The average of a series and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._repr import short_repr
from ..io._conversion import pixel_sides
from ..io._frame_stack import PixelSize


@dataclass(frozen=True, eq=False, repr=False)
class AveragedSeries:
    """The average of an aligned series, with its errors and its resolution.

    Pixels that no frame shows are masked in `mean` and `stderr`, and hold 0.

    Attributes
    ----------
    mean : masked array of shape (H, W), float32
        Weighted mean of the frames that show a pixel, in their intensities.
    stderr : masked array of shape (H, W), float32
        Standard error of the mean, from the differences of consecutive frames. It is masked too
        where it can't be told, as of a single frame. It includes noise and what registration
        scatters from frame to frame, but nothing that all frames share.
    coverage : ndarray of shape (H, W), int32
        Number of frames that show a pixel.
    n_effective : ndarray of shape (H, W), float32
        Number of frames of equal weight whose mean has the same white noise.
    frc : DataFrame
        Fourier ring correlation between the averages of two halves of the frames, a row for each
        ring: ``frequency`` (cycles per px), ``correlation``, ``n_pixels``, ``threshold``
        (1/7), and ``frequency_per_nm`` where the pixel size is known. It has no rows where there
        are no two halves of at least 16 px.
    resolution : float
        Period in px of the finest structure in which the halves agree; infinite if they never do
        or can't be compared. If they agree up to the finest that pixels can show, the true value
        may be lower than the 2 px given.
    pixel_size : float, (float, float) or None
        Length of a pixel in nm; (y, x) of oblong ones.
    origin : (int, int)
        Position (y, x) of the first pixel in px of the first frame.
    """

    mean: np.ma.MaskedArray
    stderr: np.ma.MaskedArray
    coverage: NDArray[np.int32]
    n_effective: NDArray[np.float32]
    frc: pd.DataFrame
    resolution: float
    pixel_size: PixelSize | None = None
    origin: tuple[int, int] = (0, 0)

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def resolution_nm(self) -> float | None:
        """The resolution in nm; None if the pixel size is unknown."""
        if self.pixel_size is None:
            return None
        return self.resolution * float(np.sqrt(np.prod(pixel_sides(self.pixel_size))))
