"""UDVD: predict each pixel from its neighbours in space and time, but not from itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Interval, check_arguments

N_FRAMES = 5
"""Number of frames in an input; the output is the middle one."""


class UDVD(nn.Module):
    """Denoise the middle one of five frames, each pixel from the pixels around it alone.

    The convolutions of a U-Net are shifted so that a pixel's output depends only on the rows above
    it. The frames pass through it in four orientations, and 1x1 convolutions combine the outputs.
    The result depends on the pixels around each pixel, but in none of the five frames on the pixel
    itself. So the network can be trained with the noisy frame as its target: noise that is
    independent between pixels can't be learned.

    Parameters
    ----------
    n_channels : int, default=48
        Channels of the encoders; the decoders have twice as many.

    Notes
    -----
    Two U-Nets in a row, as in FastDVDnet: the first one is applied to frames 1 to 3, 2 to 4 and
    3 to 5, and the second one to its three outputs. It is the authors' network for one channel, but

    - frames that are not square, or whose sides are not multiples of 4, are padded with zeros at
      the bottom and the right. Theirs are mirrored, so that a pixel may be among its own inputs;
    - it returns the mean alone. Theirs may also return the standard deviation of the pixel, to
      combine it with the pixel by a model of the noise, but not for electron micrographs.

    References
    ----------
    Sheth et al., "Unsupervised Deep Video Denoising", ICCV 2021, https://arxiv.org/abs/2011.15045.

    Laine et al., "High-Quality Self-Supervised Deep Image Denoising", NeurIPS 2019, for the blind
    spot.

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks import UDVD
    >>> UDVD(n_channels=4).eval()(torch.rand(2, 5, 21, 30)).shape
    torch.Size([2, 1, 21, 30])
    """

    @check_arguments(n_channels=[Interval(int, 3, None)])
    def __init__(self, n_channels: int = 48) -> None:
        super().__init__()
        n_joined = 2 * n_channels // 3
        self.first = _BlindUNet(3, n_channels, n_joined)
        self.second = _BlindUNet(3 * n_joined, n_channels, 2 * n_channels)
        n_seen = 4 * 2 * n_channels
        self.head = nn.Sequential(
            nn.Conv2d(n_seen, n_seen, 1, bias=False),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(n_seen, 2 * n_channels, 1, bias=False),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(2 * n_channels, 1, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Denoise the middle frames of stacks of any size.

        Parameters
        ----------
        x : Tensor of shape (B, 5, H, W)
            Each noisy frame between its neighbours in time, standardised.

        Returns
        -------
        Tensor of shape (B, 1, H, W)
        """
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % 4, 0, -height % 4))
        sides = [torch.rot90(self._above(torch.rot90(x, k, (2, 3))), -k, (2, 3)) for k in range(4)]
        return self.head(torch.cat(sides, 1))[..., :height, :width]

    def _above(self, x: Tensor) -> Tensor:
        """Return features of each pixel that depend only on the rows above it."""
        triplets = torch.cat([x[:, start : start + 3] for start in range(N_FRAMES - 2)])
        joined = torch.cat(self.first(triplets).chunk(N_FRAMES - 2), 1)
        return _shift_down(self.second(joined))


class _BlindUNet(nn.Module):
    """A U-Net of three scales; an output pixel depends on its own row and those above."""

    def __init__(self, n_in: int, n: int, n_out: int) -> None:
        super().__init__()
        self.fine = _convolutions(n_in, n, n, n)
        self.middle = _convolutions(n, n, n, n)
        self.coarse = _convolutions(n, 2 * n, 2 * n, n)
        self.middle_again = _convolutions(2 * n, 2 * n, 2 * n, 2 * n, 2 * n)
        self.fine_again = _convolutions(2 * n + n_in, 2 * n, 2 * n, 2 * n, n_out)

    def forward(self, x: Tensor) -> Tensor:
        half = _pool(self.fine(x))
        quarter = self.coarse(_pool(self.middle(half)))
        half = self.middle_again(torch.cat((_double(quarter), half), 1))
        return self.fine_again(torch.cat((_double(half), x), 1))


class _UpwardConv(nn.Conv2d):
    """A 3x3 kernel over a pixel's own row and the two above, then a leaky ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        beside = F.pad(x, (1, 1, 0, 0), mode="replicate")
        return F.leaky_relu(super().forward(F.pad(beside, (0, 0, 2, 0))), 0.1)


def _convolutions(*widths: int) -> nn.Sequential:
    return nn.Sequential(*map(_UpwardConv, widths, widths[1:]))


def _shift_down(x: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 1, -1))


def _pool(x: Tensor) -> Tensor:
    """Halve the resolution, so that the upper row of a pair does not depend on the lower one."""
    return F.max_pool2d(_shift_down(x), 2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
