"""Endless new batches of nucleation frames, on the device that trains on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints import check_arguments, check_value
from .._random import RandomState
from .._scene import CUT
from ._nucleation import render
from ._nucleation_model import TARGET_PEAK, TARGET_SIGMA, NucleationModel, draw_atoms
from ._stream import Stream

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Counts are summed as integer multiples of this fraction of a count: such sums do not depend on the
# order in which a GPU adds.
_UNIT = 2.0**-20


class NucleationStream(Stream):
    """New batches of (noisy frame, target) for training, without end.

    A frame has the distribution of :func:`make_nucleation`. On the CPU a batch is made frame by
    frame with NumPy; on a GPU the whole batch at once with torch, and nothing leaves the device.

    Parameters
    ----------
    batch_size : int, default=16
        Number of frames in a batch.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    device : {"auto", "cpu", "cuda", "cuda:1", ...}, int or torch.device, default="cpu"
        Where batches are made and stay; "auto" is the first GPU if there is one.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the batches that `batch` and iteration return.
    **options : keyword arguments
        Those of :func:`make_nucleation`, from ``contrast`` to ``whole_numbers``.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.

    Notes
    -----
    A batch depends only on the seed, the step and the kind of device: a training that was stopped
    continues at ``batch(step)``. A GPU draws other frames than the CPU.

    For :func:`stemkit.engine.fit_module` pass
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

    Sources of :mod:`stemkit.engine` call `make_batch`:

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

        super().__init__(batch_size, shape, random_state)
        check_value(device, "device", ["device"])
        self.device = pick_device(device)
        self.model = NucleationModel(**options)

    @check_arguments(generator=[np.random.Generator])
    def make_batch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Make a batch from a generator, as :class:`stemkit.engine.StreamSource` calls it.

        Parameters
        ----------
        generator : numpy.random.Generator
            The only source of randomness, also on a GPU. On the CPU a smaller batch consists of the
            first frames of a larger one.

        Returns
        -------
        noisy : torch.Tensor of shape (batch_size, H, W), float32
            Frames as the camera gives them.
        target : torch.Tensor of shape (batch_size, H, W), float32
            Dot maps of the same atoms.

        Raises
        ------
        InvalidParameterError
            If ``generator`` is not a numpy.random.Generator.
        """
        import torch

        if self.device.type == "cpu":
            return self._make_frame_by_frame(generator)
        on_device = torch.Generator(self.device)
        on_device.manual_seed(int(generator.integers(2**63)))
        return self._make_at_once(on_device)

    def _make_frame_by_frame(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        # The arrays of one frame fit into the cache; a whole batch at once is twice as slow.
        import torch

        noisy, target = (
            np.empty((self.batch_size, *self.shape), dtype=np.float32) for _ in range(2)
        )
        like = np.empty(0, dtype=np.float32)
        for index in range(self.batch_size):
            rng = np.random.default_rng(generator.integers(2**63, size=2))
            atoms = draw_atoms(self.model, self.shape, 1, like, rng)
            clean, target[index] = render(atoms, self.shape)
            noisy[index] = self.model.record(clean, rng)
        return torch.from_numpy(noisy), torch.from_numpy(target)

    def _make_at_once(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        import torch

        like = torch.empty(0, device=generator.device)
        atoms = draw_atoms(self.model, self.shape, self.batch_size, like, generator)
        size = (self.batch_size, *self.shape)
        clean = render_gaussians(size, atoms.frame, atoms.y, atoms.x, atoms.amplitude, atoms.sigma)
        clean += atoms.drawn["background"][:, None, None]
        target = render_gaussians(
            size,
            atoms.frame,
            atoms.y,
            atoms.x,
            torch.full_like(atoms.y, TARGET_PEAK),
            torch.full_like(atoms.y, TARGET_SIGMA),
        )
        return self.model.record(clean, generator), target


def render_gaussians(
    size: tuple[int, int, int],
    frame: Tensor,
    y: Tensor,
    x: Tensor,
    amplitude: Tensor,
    sigma: Tensor,
) -> Tensor:
    """Sum Gaussians into frames (n, H, W), as :func:`render_columns` does for one frame."""
    n_frames, height, width = size
    # All patches are as large as that of the widest Gaussian, on frames padded for them.
    reach = math.ceil(CUT * float(sigma.max())) if len(sigma) else 0
    visible = (y > -reach) & (y < height - 1 + reach) & (x > -reach) & (x < width - 1 + reach)
    frame, y, x, amplitude, sigma = (values[visible] for values in (frame, y, x, amplitude, sigma))
    pad = 2 * reach
    padded_height, padded_width = height + 2 * pad, width + 2 * pad
    offset = y.new_tensor(range(-reach, reach + 1))
    top, left = y.round(), x.round()
    along_y, along_x = (
        (-0.5 * ((at - centre)[:, None] + offset).div(sigma[:, None]) ** 2).exp()
        for at, centre in ((top, y), (left, x))
    )
    along_y *= amplitude[:, None] / _UNIT
    first_row = frame * padded_height + top.long() - reach + pad
    corner = first_row * padded_width + left.long() - reach + pad
    columns = corner[:, None] + offset.long() + reach
    sums = frame.new_zeros(n_frames * padded_height * padded_width)
    for row in range(2 * reach + 1):
        values = (along_y[:, row, None] * along_x).round_().long()
        sums.index_add_(0, (columns + row * padded_width).reshape(-1), values.reshape(-1))
    padded = sums.reshape(n_frames, padded_height, padded_width)
    return padded[:, pad : pad + height, pad : pad + width].float() * _UNIT
