"""Tables of atoms: their columns in nm, and known positions in several frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._arrays import as_array
from ..io._conversion import pixel_sides
from ..metrics._localization import check_positions, table_of_positions

if TYPE_CHECKING:
    from ..io._frame_stack import PixelSize


def add_nm(table: pd.DataFrame, pixel_size: PixelSize | None) -> pd.DataFrame:
    """Return a table of atoms with columns in nm, if the pixel size is known."""
    if pixel_size is None:
        return table
    y, x = pixel_sides(pixel_size)
    sides = {"y": y, "x": x, "y_err": y, "x_err": x, "sigma": np.sqrt(y * x)}
    return table.assign(**{f"{name}_nm": table[name] * side for name, side in sides.items()})


def table_of_frames(y: Any, X: ArrayLike) -> Any:
    """Return a table of positions with their frame if y is a list with those of each frame."""
    is_list = isinstance(y, list | tuple) or (isinstance(y, np.ndarray) and y.dtype == object)
    if not is_list or not len(y) or not all(np.ndim(places) == 2 for places in y):
        return y
    n_frames = len(as_array(X, "X"))
    if len(y) != n_frames:
        raise ValueError(
            f"y lists the positions in {len(y)} frames, but X holds {n_frames}; pass one array of "
            f"(y, x) for each."
        )
    return table_of_positions([check_positions(p, f"y[{i}]")[0] for i, p in enumerate(y)])
