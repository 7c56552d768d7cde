from ._stack import FrameStack as FrameStack, read_stack as read_stack, write_stack as write_stack
