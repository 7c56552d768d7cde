"""Simulators of what a microscope and its camera add to frames, and their calibration."""

__all__: list[str] = []
