"""Simulators of what a microscope and its camera add to frames, and their calibration."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
