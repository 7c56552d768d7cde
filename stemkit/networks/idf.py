"""Iterative dynamic filtering: one small network that predicts a kernel for each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Interval, check_arguments

# Added to denominators, which are 0 where a frame or a patch is constant.
_EPSILON = 1e-6


class IDF(nn.Module):
    """Average each pixel with its neighbours by a predicted kernel, in several iterations.

    From features of the frame, the correlation of each pixel with its neighbours, and the mean and
    standard deviation of the residual of the iteration before, each iteration predicts the weights
    of the neighbours: they are not negative and their sum is 1. All iterations use the same
    network; in every other one the neighbours are two pixels apart.

    Parameters
    ----------
    n_channels : int, default=64
        Channels of the features.
    n_iterations : int, default=10
        Number of iterations.
    kernel_size : int, default=3
        Odd number of pixels along each axis of the kernel.
    image_channels : int, default=1
        Channels of the input and the output.
    power : float, default=3.0
        The weights are magnitudes to this power, divided by their sum.

    Notes
    -----
    The output is a weighted mean of the input, so no pixel is brighter than the brightest around.

    With three channels it has the 49,021 weights of the authors' network. It differs

    - for one channel: theirs uses the correlation of the colours of two pixels, which grey pixels
      do not have; here it is the product of their values, standardised over the neighbourhood;
    - at the frame's edges, which are repeated; theirs are mirrored in one iteration and padded with
      zeros in the next;
    - in the number of iterations, which is fixed; theirs may stop once the weights stay the same.

    In training the output of each iteration is mixed with its input, with a random weight for each
    frame, as in the authors' code. ``power`` is that of the paper; their code has 2.

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
        residual = None
        for index in range(self.n_iterations):
            filtered = self._filter(x, residual, dilation=2 - index % 2)
            if self.training:
                share = torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)
                filtered = torch.lerp(filtered, x, share)
            x, residual = filtered, x - filtered
        return x

    def _filter(self, x: Tensor, residual: Tensor | None, dilation: int) -> Tensor:
        neighbours = _neighbours(x, self.kernel_size, dilation)
        features = self.features(_unit_rms(x))
        if residual is not None:
            features = features * self.gate(residual)
        known = torch.cat((features, _correlation(neighbours.detach())), 1)
        # The constant makes the weights equal if all magnitudes are negligible.
        parts = self.parts(_unit_rms(known)).abs() + _EPSILON
        parts = (parts / parts.amax(1, keepdim=True)) ** self.power
        parts = parts / parts.sum(1, keepdim=True)
        return (neighbours * parts[:, None]).sum(2)


class _Gate(nn.Module):
    """Weight features by the mean and the standard deviation of the residual."""

    def __init__(self, image_channels: int, n_channels: int) -> None:
        super().__init__()
        n = 2 * image_channels
        self.mix = nn.Linear(n, n, bias=False)
        self.squeeze = nn.Linear(n, n_channels, bias=False)
        self.excite = nn.Linear(n_channels, n_channels, bias=False)

    def forward(self, residual: Tensor) -> Tensor:
        mean = residual.mean((2, 3))
        spread = (residual.var((2, 3), correction=0) + _EPSILON**2).sqrt()
        statistics = _unit_rms(self.mix(torch.cat((mean, spread), 1)))
        return self.excite(F.relu(self.squeeze(statistics))).sigmoid()[:, :, None, None]


def _conv(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)


def _unit_rms(x: Tensor) -> Tensor:
    """Scale each sample to a root mean square of 1."""
    square = x.square().mean(tuple(range(1, x.ndim)), keepdim=True)
    return x * (square + _EPSILON**2).rsqrt()


def _neighbours(x: Tensor, size: int, dilation: int) -> Tensor:
    """Return the neighbours of each pixel along a new axis: (B, C, size * size, H, W)."""
    reach = dilation * (size // 2)
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    return (
        F.unfold(padded, size, dilation=dilation)
        .unflatten(1, (x.shape[1], -1))
        .unflatten(-1, x.shape[2:])
    )


def _correlation(neighbours: Tensor) -> Tensor:
    """Correlate each neighbour (B, C, K, H, W) with the pixel in the middle: (B, K, H, W).

    The correlation is over the channels, or for one channel the term of each neighbour in that over
    the neighbourhood.
    """
    axis = 1 if neighbours.shape[1] > 1 else 2
    centred = neighbours - neighbours.mean(axis, keepdim=True)
    unit = centred * (centred.square().sum(axis, keepdim=True) + _EPSILON**2).rsqrt()
    return (unit * unit[:, :, unit.shape[2] // 2, None]).sum(1)
