"""Named warnings and errors."""

from __future__ import annotations


class InvalidParameterError(ValueError, TypeError):
    """A parameter or argument has a value or a type that it cannot have."""


class BadPixelWarning(UserWarning):
    """Pixels that do not show the specimen were found in the frames, and filled."""


class LowConfidenceWarning(UserWarning):
    """The frames do not determine the drift that was asked for."""


class OutOfDomainWarning(UserWarning):
    """Frames differ from those that a network was trained on in a way that makes it err."""


class PolarityWarning(UserWarning):
    """Atoms were taken to be dark, since dark spots are much stronger than bright ones."""


class ExposureChangeWarning(UserWarning):
    """Gain or exposure change within a series, which is no damage."""


class OutOfViewWarning(UserWarning):
    """Frames of a series show nothing of the field that they are aligned to."""


class ResolutionWarning(UserWarning):
    """The halves of a series do not determine the resolution of their average."""


class ModelMismatchWarning(UserWarning):
    """Rows of scanned frames are displaced in a way that the motion of whole frames leaves out."""


class SharpnessChangeWarning(UserWarning):
    """Frames of a series lose sharpness, or may, which decay and critical dose count as damage."""


class LatticePriorWarning(UserWarning):
    """A denoiser restores a periodic lattice, so defects may be missing from its result."""


__all__ = [
    "BadPixelWarning",
    "ExposureChangeWarning",
    "InvalidParameterError",
    "LatticePriorWarning",
    "LowConfidenceWarning",
    "ModelMismatchWarning",
    "OutOfDomainWarning",
    "OutOfViewWarning",
    "PolarityWarning",
    "ResolutionWarning",
    "SharpnessChangeWarning",
]
