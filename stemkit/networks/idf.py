"""Iterative dynamic filtering: one small network that says, pixel by pixel, how to average."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Interval, check_arguments

# Keeps quotients finite where a frame or a patch is constant.
_LEAST = 1e-6


class IDF(nn.Module):
    """Average each pixel with its neighbours, with weights of its own, again and again.

    A step looks at features of the frame, at how far its neighbours resemble a pixel, and at the
    mean and spread of what the step before took away. It says how much of each neighbour goes into
    the pixel: parts that are not negative and add up to 1. All steps are the same network; every
    other one takes its neighbours from two pixels away.

    Parameters
    ----------
    n_channels : int, default=64
        Channels of the features.
    n_iterations : int, default=10
        Number of steps.
    kernel_size : int, default=3
        Neighbours along each axis, the pixel itself among them; odd.
    image_channels : int, default=1
        Channels of what comes in and goes out.
    power : float, default=3.0
        Parts are magnitudes to this power, over their sum.

    Notes
    -----
    What goes out is a mean of what came in: nothing gets brighter than the brightest pixel around.

    With three channels in and out it has the 49,021 weights of the authors' network. It differs

    - where there is one channel. How far a neighbour resembles a pixel is the correlation of their
      colours, which a grey pixel has not; here it is the product of their values, standardised over
      the neighbourhood;
    - at the frame's edges, which are repeated; theirs are mirrored in one step, and zeros lie
      around in the next;
    - in that it always takes all its steps; theirs may stop when the parts no longer change.

    In training each step's output is mixed with its input, in shares drawn afresh for every frame,
    as the authors do. ``power`` is that of the paper; their code has 2.

    References
    ----------
    D. Kim, J. Ko, M. K. Ali, T. H. Kim, "IDF: Iterative Dynamic Filtering Networks for
    Generalizable Image Denoising", ICCV 2025, https://arxiv.org/abs/2508.19649.

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks import IDF
    >>> IDF(n_channels=4, n_iterations=2).eval()(torch.rand(2, 1, 21, 30)).shape
    torch.Size([2, 1, 21, 30])
    >>> sum(weights.numel() for weights in IDF(image_channels=3).parameters())
    49021
    """

    @check_arguments(
        n_channels=[Interval(int, 1, None)],
        n_iterations=[Interval(int, 1, None)],
        kernel_size=[Interval(int, 3, None)],
        image_channels=[Interval(int, 1, None)],
        power=[Interval(float, 0, None, closed="neither")],
    )
    def __init__(
        self,
        n_channels: int = 64,
        n_iterations: int = 10,
        *,
        kernel_size: int = 3,
        image_channels: int = 1,
        power: float = 3.0,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd; got {kernel_size}.")
        self.n_iterations = n_iterations
        self.kernel_size = kernel_size
        self.power = power
        n_parts = kernel_size**2
        self.features = nn.Sequential(
            _conv(image_channels, n_channels),
            nn.ReLU(inplace=True),
            _conv(n_channels, n_channels),
            nn.ReLU(inplace=True),
        )
        self.gate = _Gate(image_channels, n_channels)
        self.parts = _conv(n_channels + n_parts, n_parts)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise frames of any size.

        Parameters
        ----------
        x : Tensor of shape (B, image_channels, H, W)
            Noisy frames, standardised.

        Returns
        -------
        Tensor of shape (B, image_channels, H, W)
        """
        taken_away = None
        for index in range(self.n_iterations):
            filtered = self._filter(x, taken_away, dilation=2 - index % 2)
            if self.training:
                share = torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)
                filtered = torch.lerp(filtered, x, share)
            x, taken_away = filtered, x - filtered
        return x

    def _filter(self, x: Tensor, taken_away: Tensor | None, dilation: int) -> Tensor:
        neighbours = _neighbours(x, self.kernel_size, dilation)
        features = self.features(_unit_rms(x))
        if taken_away is not None:
            features = features * self.gate(taken_away)
        known = torch.cat((features, _resemblance(neighbours.detach())), 1)
        # Where every part is next to nothing, all are alike.
        parts = self.parts(_unit_rms(known)).abs() + _LEAST
        parts = (parts / parts.amax(1, keepdim=True)) ** self.power
        parts = parts / parts.sum(1, keepdim=True)
        return (neighbours * parts[:, None]).sum(2)


class _Gate(nn.Module):
    """Weigh features by the mean and the spread of what was taken away."""

    def __init__(self, image_channels: int, n_channels: int) -> None:
        super().__init__()
        n = 2 * image_channels
        self.mix = nn.Linear(n, n, bias=False)
        self.squeeze = nn.Linear(n, n_channels, bias=False)
        self.excite = nn.Linear(n_channels, n_channels, bias=False)

    def forward(self, taken_away: Tensor) -> Tensor:
        mean = taken_away.mean((2, 3))
        spread = (taken_away.var((2, 3), correction=0) + _LEAST**2).sqrt()
        statistics = _unit_rms(self.mix(torch.cat((mean, spread), 1)))
        return self.excite(F.relu(self.squeeze(statistics))).sigmoid()[:, :, None, None]


def _conv(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)


def _unit_rms(x: Tensor) -> Tensor:
    """Scale each sample to a root mean square of 1."""
    square = x.square().mean(tuple(range(1, x.ndim)), keepdim=True)
    return x * (square + _LEAST**2).rsqrt()


def _neighbours(x: Tensor, size: int, dilation: int) -> Tensor:
    """Put the neighbours of each pixel along an axis: (B, C, size * size, H, W)."""
    reach = dilation * (size // 2)
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    return (
        F.unfold(padded, size, dilation=dilation)
        .unflatten(1, (x.shape[1], -1))
        .unflatten(-1, x.shape[2:])
    )


def _resemblance(neighbours: Tensor) -> Tensor:
    """Correlate each neighbour (B, C, K, H, W) with the pixel in the middle: (B, K, H, W).

    Over the channels; where there is but one, it is its term in the neighbourhood's correlation.
    """
    axis = 1 if neighbours.shape[1] > 1 else 2
    centred = neighbours - neighbours.mean(axis, keepdim=True)
    unit = centred * (centred.square().sum(axis, keepdim=True) + _LEAST**2).rsqrt()
    return (unit * unit[:, :, unit.shape[2] // 2, None]).sum(1)
