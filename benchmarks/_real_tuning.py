"""Fine-tune on simulated frames: atoms on noise and texture with the spectrum of real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from localize import draw
from numpy.typing import NDArray
from scipy import ndimage

from stemkit import AtomLocator, SCGNDenoiser
from stemkit.denoise import MatchedDenoiser

STEPS_PER_EPOCH = 25
BATCH, SIDE = 8, 64
# Sigma in px of atoms and of target dots in the training frames of SCGN, and the peak of a dot.
ATOM, DOT, DOT_PEAK = 1.5, 0.75, 255.0
# Range of the texture's strength relative to the real frames; highest mean number of atoms.
STRENGTH, MOST_ATOMS = (0.5, 1.2), 12.0
# Width in px of the border around a frame whose atoms also contribute to it.
MARGIN = 6


class FineTuningStream:
    """Stream of simulated pairs (noisy, dots) that resemble real frames.

    The background is a random field with the power spectrum of a real frame. It has the same noise,
    including correlations between pixels, and the same grains of the film, but random phases, so
    that the atoms of the real frame do not appear. Simulated atoms are as bright as the brighter
    half of those that AtomLocator finds. Marks made by people are not needed.

    Parameters
    ----------
    frames : list of ndarray of shape (H, W)
        Frames in the scale of the network, as MatchedDenoiser gives them.
    """

    def __init__(self, frames: list[NDArray]) -> None:
        self.level = float(np.mean([frame.mean() for frame in frames]))
        self.amplitudes = [_amplitude(field) for field in frames]
        found = AtomLocator(sigma=ATOM).fit(frames).predict(frames)["amplitude"]
        # The fainter half may be grains of the film.
        self.peak = np.median(found), 1.2 * np.percentile(found, 95)

    def make_batch(self, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch (noisy, dots)."""
        pairs = zip(*(self._make_pair(generator) for _ in range(BATCH)), strict=True)
        noisy, target = (torch.from_numpy(np.stack(frames)).float() for frames in pairs)
        return noisy, target

    def _make_pair(self, generator: np.random.Generator) -> tuple[NDArray, NDArray]:
        amplitude = self.amplitudes[generator.integers(len(self.amplitudes))]
        white = np.fft.fft2(generator.normal(size=amplitude.shape))
        top, left = (generator.integers(n - SIDE + 1) for n in amplitude.shape)
        field = np.fft.ifft2(white * amplitude).real[top : top + SIDE, left : left + SIDE]
        n_atoms = generator.poisson(generator.uniform(0, MOST_ATOMS))
        places = generator.uniform(-MARGIN, SIDE + MARGIN, (n_atoms, 2))
        size = ATOM * (1 + 0.1 * generator.normal(size=n_atoms))
        peak = generator.uniform(*self.peak, n_atoms)
        noisy = self.level + generator.uniform(*STRENGTH) * field
        noisy += draw((SIDE, SIDE), places, size, peak)
        return noisy, draw((SIDE, SIDE), places, DOT, DOT_PEAK)


def _amplitude(frame: NDArray) -> NDArray:
    """Return the square root of the power spectrum, smoothed over neighbouring frequencies."""
    power = np.abs(np.fft.fft2(frame - frame.mean())) ** 2 / frame.size
    return np.sqrt(ndimage.gaussian_filter(power, 2, mode="wrap"))


def fine_tune(matched: MatchedDenoiser, frames: NDArray, steps: int, folder: Path) -> SCGNDenoiser:
    """Fine-tune the shipped weights on simulated frames like these; resume from a checkpoint."""
    model = SCGNDenoiser(
        weights="default",
        lr=1e-3,
        batch_size=BATCH,
        steps_per_epoch=STEPS_PER_EPOCH,
        max_epochs=steps // STEPS_PER_EPOCH,
        checkpoint_dir=folder,
        random_state=0,
        verbose=1,
    )
    return model.fit(FineTuningStream(list(matched.match(frames)))).set_params(verbose=0)
