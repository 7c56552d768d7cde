from ._conversion import as_frame_stack as as_frame_stack
from ._frame_stack import FrameStack as FrameStack
from ._read import read_stack as read_stack
from ._write import write_stack as write_stack
