"""Registration of pairs and series of frames: how the specimen moved. No network is used.

:func:`register` estimates the motion between two frames with a confidence, :func:`reconcile`
combines the registrations of many pairs into one motion for each frame, :func:`align_stack`
resamples the frames, and :func:`average` averages them where they hold data. For frames that are
scanned while the specimen moves, :func:`register_rows` estimates the displacement of each row, and
:func:`align_rows` undoes it. A :class:`Motion` is drift, rotation, shear, stretch and scale about
the frame's centre. A trajectory as a table is a DataFrame with one row for each frame, as
:meth:`stemkit.drift.DriftDecayModel.trajectory` returns it.

Examples
--------
>>> from itertools import combinations
>>> from stemkit.datasets import make_llzo_series
>>> from stemkit.registration import align_stack, reconcile, register
>>> series = make_llzo_series(3, shape=(128, 128), random_state=0)
>>> pairs = {
...     (i, j): register(series.frames[i], series.frames[j]) for i, j in combinations(range(3), 2)
... }
>>> path = reconcile(pairs, n_frames=3)
>>> align_stack(series.frames, path.motions).shape
(3, 128, 128)
"""

from .._motion import Motion
from ._align_rows import align_rows
from ._aligned_stack import AlignedStack
from ._apply import apply_motions
from ._average import average
from ._averaged_series import AveragedSeries
from ._pair import Registration, register
from ._reconcile import Trajectory, reconcile
from ._row_paths import RowPaths, register_rows
from ._trajectory_table import frame_pairs, motions_from_table, trajectory_table
from ._warping import align_stack, coverage, warp

__all__ = [
    "AlignedStack",
    "AveragedSeries",
    "Motion",
    "Registration",
    "RowPaths",
    "Trajectory",
    "align_rows",
    "align_stack",
    "apply_motions",
    "average",
    "coverage",
    "frame_pairs",
    "motions_from_table",
    "reconcile",
    "register",
    "register_rows",
    "trajectory_table",
    "warp",
]
