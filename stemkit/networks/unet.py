"""AtomSegNet's U-Net of three scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Interval, check_arguments
from ._convolution import Conv3x3
from ._padding import mirror_to_multiple


class UNet(nn.Module):
    """Denoise at full, half and quarter resolution.

    Two convolutions with batch normalisation and ReLU at each scale, maxima of 2x2 pixels on the
    way down, bilinear interpolation, a 1x1 convolution that halves the channels and the features of
    the same scale on the way up.

    Parameters
    ----------
    n_channels : int, default=64
        Channels at full resolution; twice and four times as many at half and at a quarter.

    Notes
    -----
    As in the authors' code, but for the last layer: theirs is ReLU, batch normalisation and a
    sigmoid, for targets in 0..1; here it is the 1x1 convolution alone, for targets on any scale.
    Frames whose sides are not multiples of 4 are mirrored at the bottom and the right; theirs are
    padded with zeros on all sides.

    References
    ----------
    R. Lin, R. Zhang, C. Wang, X.-Q. Yang, H. L. Xin, "TEMImageNet training library and AtomSegNet
    deep-learning models for high-precision atom segmentation, localization, denoising, and
    deblurring of atomic-resolution images", Scientific Reports 11, 5386 (2021).

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks import UNet
    >>> UNet(n_channels=4).eval()(torch.rand(2, 1, 21, 30)).shape
    torch.Size([2, 1, 21, 30])
    """

    @check_arguments(n_channels=[Interval(int, 2, None)])
    def __init__(self, n_channels: int = 64) -> None:
        if n_channels % 2:
            raise ValueError(f"n_channels must be even; got {n_channels}.")
        super().__init__()
        n = n_channels
        self.fine = _double_conv(1, n)
        self.middle = _double_conv(n, 2 * n)
        self.coarse = _double_conv(2 * n, 4 * n)
        self.up_to_middle = _Up(4 * n)
        self.middle_again = _double_conv(4 * n, 2 * n)
        self.up_to_fine = _Up(2 * n)
        self.fine_again = _double_conv(2 * n, n)
        self.tail = nn.Conv2d(n, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise frames of any size.

        Parameters
        ----------
        x : Tensor of shape (B, 1, H, W)
            Noisy frames, standardised.

        Returns
        -------
        Tensor of shape (B, 1, H, W)
        """
        height, width = x.shape[2:]
        # Batch normalisation needs more than one pixel, at the coarsest scale too.
        fine = self.fine(mirror_to_multiple(x, 4 if max(height, width) > 4 else 8))
        middle = self.middle(F.max_pool2d(fine, 2))
        coarse = self.coarse(F.max_pool2d(middle, 2))
        middle = self.middle_again(self.up_to_middle(coarse, middle))
        fine = self.fine_again(self.up_to_fine(middle, fine))
        return self.tail(fine)[..., :height, :width]


class _Up(nn.Module):
    """Double the resolution, and concatenate with the features of that scale."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(n_in, n_in // 2, 1)
        self.halved_norm = nn.BatchNorm2d(n_in // 2)
        self.norm = nn.BatchNorm2d(n_in)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        # a 1x1 convolution commutes with the interpolation, and before it costs a quarter
        coarse = F.interpolate(
            self.halve(coarse), size=fine.shape[2:], mode="bilinear", align_corners=True
        )
        return self.norm(torch.cat((fine, self.halved_norm(coarse)), 1))


def _double_conv(n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (n_in, n_out):
        layers += [Conv3x3(n, n_out), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
