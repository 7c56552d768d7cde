"""Something in frames that is no image of the specimen, or that estimators must know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something in frames that is no image of the specimen, or that estimators must know.

    Attributes
    ----------
    name : str
        What it is.
    frames : tuple of int
        The frames that have it.
    value : float
        The number that was compared with the threshold, in the frame where it differs most.
    threshold : float
        A number beyond this is a finding.
    unit : str
        How the two are written, as a format: "{:.2%} of the pixels".
    meaning : str
        What it means for estimators, and what to do.
    """

    name: str
    frames: tuple[int, ...]
    value: float
    threshold: float
    unit: str
    meaning: str

    def __str__(self) -> str:
        return (
            f"{self.name} in {describe_frames(self.frames)}: {self.measured}{self.beyond}. "
            f"{self.meaning}"
        )

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return self.unit.format(self.value)

    @property
    def beyond(self) -> str:
        """The threshold in brackets, or nothing where any is too much."""
        if self.threshold == 0:
            return ""
        number = self.unit[self.unit.index("{") : self.unit.index("}") + 1]
        return f" (threshold {number.format(self.threshold)})"


def describe_frames(frames: tuple[int, ...]) -> str:
    """Return "frame 3" or "frames 1, 4 to 6"."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    parts = [str(a) if a == b else f"{a} to {b}" for a, b in runs]
    shown = parts if len(parts) <= 6 else [*parts[:5], "..."]
    return f"frame{'s' * (len(frames) > 1)} {', '.join(shown)}"
