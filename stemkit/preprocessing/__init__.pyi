from ._findings import Finding as Finding
from ._frame_report import FrameReport as FrameReport
from ._inspection import inspect_frames as inspect_frames
from ._repair import BadPixelRepair as BadPixelRepair
