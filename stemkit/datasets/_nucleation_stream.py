"""Endless fresh batches of nucleation frames, on the device that trains on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .._random import RandomState, check_seed, sample_generator
from ._checks import check_count, check_shape
from ._nucleation import render
from ._nucleation_model import (
    CUT,
    TARGET_PEAK,
    TARGET_SIGMA,
    NucleationLaw,
    draw_specimens,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Counts are added up as whole numbers of this part of a count: such sums do not depend on the order
# in which a GPU adds.
_PART = 2.0**-20


class NucleationStream:
    """Fresh batches of (noisy frame, target), as many as a training needs.

    A frame has the law of :func:`make_nucleation`. On the CPU a batch is made frame by frame with
    NumPy; on a GPU the whole batch at once with torch, and nothing leaves the device.

    Parameters
    ----------
    batch_size : int, default=16
        Frames a batch.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    device : {"auto", "cpu", "cuda", "cuda:1", ...}, int or torch.device, default="cpu"
        Where batches are made and stay; "auto" is the first GPU if there is one.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the batches that `batch` and iteration give.
    **options : keyword arguments
        What :func:`make_nucleation` takes, from ``contrast`` to ``whole_numbers``.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Notes
    -----
    A batch is a function of the seed, the step and the kind of device alone: a training that was
    stopped goes on at ``batch(step)``. A GPU draws other frames than the CPU.

    For :func:`stemkit.engine.fit_module` wrap it:
    ``StreamSource(stream.make_batch, random_state=0)``.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> from stemkit.datasets import NucleationStream
    >>> stream = NucleationStream(4, (64, 64), contrast="high", random_state=0)
    >>> noisy, target = stream.batch(7)
    >>> noisy.shape, noisy.dtype, bool((noisy == stream.batch(7)[0]).all())
    (torch.Size([4, 64, 64]), torch.float32, True)

    To train on it, what :mod:`stemkit.engine` calls a source:

    >>> import numpy as np
    >>> stream.make_batch(np.random.default_rng(0))[1].shape
    torch.Size([4, 64, 64])
    """

    def __init__(
        self,
        batch_size: int = 16,
        shape: tuple[int, int] = (256, 256),
        *,
        device: str | int | torch.device = "cpu",
        random_state: RandomState = None,
        **options: Any,
    ) -> None:
        from stemkit.engine import pick_device

        self.batch_size = check_count(batch_size, "batch_size")
        self.shape = check_shape(shape)
        self.device = pick_device(device)
        self.law = NucleationLaw(**options)
        self.random_state = check_seed(random_state)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the batches of step 0, 1, 2, ... without end."""
        return map(self.batch, itertools.count())

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Make the batch of a step.

        Parameters
        ----------
        step : int
            Number of the step, from 0.

        Returns
        -------
        noisy : torch.Tensor of shape (batch_size, H, W), float32
            Frames as the camera gives them.
        target : torch.Tensor of shape (batch_size, H, W), float32
            Dot maps of the same atoms.
        """
        return self.make_batch(sample_generator(self.random_state, step))

    def make_batch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Make a batch from a generator, as :class:`stemkit.engine.StreamSource` asks for it.

        Parameters
        ----------
        generator : numpy.random.Generator
            The only source of what is random, on a GPU too. On the CPU a smaller batch holds the
            first frames of a larger one.

        Returns
        -------
        noisy : torch.Tensor of shape (batch_size, H, W), float32
            Frames as the camera gives them.
        target : torch.Tensor of shape (batch_size, H, W), float32
            Dot maps of the same atoms.
        """
        import torch

        if self.device.type == "cpu":
            return self._make_frame_by_frame(generator)
        on_device = torch.Generator(self.device)
        on_device.manual_seed(int(generator.integers(2**63)))
        return self._make_at_once(on_device)

    def _make_frame_by_frame(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        # One frame's arrays stay in the cache; a batch of them is twice as slow.
        import torch

        noisy, target = (
            np.empty((self.batch_size, *self.shape), dtype=np.float32) for _ in range(2)
        )
        like = np.empty(0, dtype=np.float32)
        for index in range(self.batch_size):
            rng = np.random.default_rng(generator.integers(2**63, size=2))
            specimen = draw_specimens(self.law, self.shape, 1, like, rng)
            clean, target[index] = render(specimen, self.shape)
            noisy[index] = self.law.record(clean, rng)
        return torch.from_numpy(noisy), torch.from_numpy(target)

    def _make_at_once(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        import torch

        like = torch.empty(0, device=generator.device)
        atoms = draw_specimens(self.law, self.shape, self.batch_size, like, generator)
        canvas = (self.batch_size, *self.shape)
        clean = draw_gaussians(canvas, atoms.frame, atoms.y, atoms.x, atoms.amplitude, atoms.sigma)
        clean += atoms.drawn["background"][:, None, None]
        target = draw_gaussians(
            canvas,
            atoms.frame,
            atoms.y,
            atoms.x,
            torch.full_like(atoms.y, TARGET_PEAK),
            torch.full_like(atoms.y, TARGET_SIGMA),
        )
        return self.law.record(clean, generator), target


def draw_gaussians(
    canvas: tuple[int, int, int],
    frame: Tensor,
    y: Tensor,
    x: Tensor,
    amplitude: Tensor,
    sigma: Tensor,
) -> Tensor:
    """Sum Gaussians into frames (n, H, W): as :func:`render_columns`, many frames at once."""
    n_frames, height, width = canvas
    # All are drawn as far as the widest is, onto frames with room for what hangs over.
    reach = math.ceil(CUT * float(sigma.max())) if len(sigma) else 0
    seen = (y > -reach) & (y < height - 1 + reach) & (x > -reach) & (x < width - 1 + reach)
    frame, y, x, amplitude, sigma = (values[seen] for values in (frame, y, x, amplitude, sigma))
    room = 2 * reach
    tall, wide = height + 2 * room, width + 2 * room
    offset = y.new_tensor(range(-reach, reach + 1))
    top, left = y.round(), x.round()
    along_y, along_x = (
        (-0.5 * ((at - centre)[:, None] + offset).div(sigma[:, None]) ** 2).exp()
        for at, centre in ((top, y), (left, x))
    )
    along_y *= amplitude[:, None] / _PART
    corner = (frame * tall + top.long() - reach + room) * wide + left.long() - reach + room
    columns = corner[:, None] + offset.long() + reach
    parts = frame.new_zeros(n_frames * tall * wide)
    for row in range(2 * reach + 1):
        values = (along_y[:, row, None] * along_x).round_().long()
        parts.index_add_(0, (columns + row * wide).reshape(-1), values.reshape(-1))
    frames = parts.reshape(n_frames, tall, wide)[:, room : room + height, room : room + width]
    return frames.float() * _PART
