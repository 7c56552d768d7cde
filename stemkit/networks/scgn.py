"""The statistical characteristic-guided network: denoise by local deviation and by band."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Options, check_arguments
from ._convolution import Conv3x3
from ._folding import conv_norm, pointwise
from ._fourier import BandGate, Coordinates, FourierUnit, FrequencyBranch, joined_channels
from ._frame import SpatialFrequencyNet, check_widths
from ._statistics import local_deviation

BandWeighting = Literal["band", "channel"]


class Layout(NamedTuple):
    """The choices in which stemkit, the paper's text and the authors' code differ."""

    gate_conv: bool
    """Whether a 3x3 convolution precedes the pooling of the bands."""
    gate_joined: bool
    """Whether the spectrum is weighted before it is mixed into bands, instead of the bands."""
    residual_around: bool
    """Whether a block's input is added to its output, or before its last convolution."""
    deviation_floor: Literal["add", "clamp"]
    """How the square root of a variance is kept above 0."""
    coordinates: Coordinates
    """Coordinates of the bins: the index in the half spectrum, or the frequency."""
    centred: bool
    """Whether the mean of each channel is subtracted before the transform."""


LAYOUTS = {
    "stemkit": Layout(False, False, False, "add", "frequency", True),
    "paper": Layout(False, True, True, "add", "index", False),
    "released": Layout(True, False, False, "clamp", "index", False),
}


class SCGN(SpatialFrequencyNet):
    """Denoise with weights from the local standard deviation and from frequency bands.

    Half the channels are convolved, and each pixel is weighted by a function of the local standard
    deviation. Of the other half the spectrum is computed, and each of its bands gets one weight.

    Parameters
    ----------
    n_blocks : int, default=8
        Number of blocks, of two layers each.
    n_channels : int, default=64
        Even number of channels: half of them spatial, half of frequencies.
    deviation_weighting : bool, default=True
        Whether the spatial half is weighted by its local standard deviation.
    band_weighting : {"band", "channel"} or None, default="band"
        "band" weights the bands by their mean and maximum, in 0..2; "channel" by their mean alone,
        in 0..1, as channel attention does; None does not weight them.
    position_embedding : bool, default=True
        Whether the coordinates of each bin of the spectrum are further inputs.
    layout : {"stemkit", "paper", "released"} or Layout, default="stemkit"
        Layout of stemkit, of the paper's text, or of the authors' code. See the notes.

    Notes
    -----
    The paper's Table 3 is, in the order of ``deviation_weighting``, ``band_weighting``,
    ``position_embedding``: V1 (False, None, False), V2 (False, "band", True), V3 (True, None,
    False), V4 (True, "channel", False), V5 (True, "band", False), and the network itself.

    The released layout has a 3x3 convolution before each pooling of bands, which the paper does not
    mention: 36 % of the parameters and 23 % of the multiplications. stemkit's layout is the
    released one without it, and

    - spectra are centred. The bin of the mean grows with the side of the frame, from 6.4 thousand
      at 64 px to 51 thousand at 512, while those of noise stay at 5 to 7, and so the weights would
      depend on the size of the frame;
    - the coordinates are frequencies: bins of the same frequency have the same coordinates in
      frames of any size, and those of +f and -f are equal.

    In all layouts the local deviation is computed after the mean of each channel was subtracted,
    without which it would be lost to rounding on bright frames.

    References
    ----------
    H. Li, Z. Wu, R. Shao, Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
    High-Resolution Transmission Electron Microscopy Imaging".

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks import SCGN
    >>> network = SCGN(n_blocks=1, n_channels=8).eval()
    >>> network(torch.rand(2, 1, 20, 33)).shape
    torch.Size([2, 1, 20, 33])
    """

    @check_arguments(
        deviation_weighting=["boolean"],
        band_weighting=[None, Options("band", "channel")],
        position_embedding=["boolean"],
        layout=[Options(*LAYOUTS), Layout],
    )
    def __init__(
        self,
        n_blocks: int = 8,
        n_channels: int = 64,
        *,
        deviation_weighting: bool = True,
        band_weighting: BandWeighting | None = "band",
        position_embedding: bool = True,
        layout: str | Layout = "stemkit",
    ) -> None:
        check_widths(n_blocks, n_channels)
        if isinstance(layout, str):
            layout = LAYOUTS[layout]
        parts = (deviation_weighting, band_weighting, position_embedding, Layout(*layout))
        blocks = [_Block(n_channels, *parts) for _ in range(n_blocks)]
        super().__init__(n_channels, blocks)


class _Block(nn.Module):
    def __init__(
        self,
        n_channels: int,
        deviation_weighting: bool,
        band_weighting: BandWeighting | None,
        position_embedding: bool,
        layout: Layout,
    ) -> None:
        super().__init__()
        self.residual_around = layout.residual_around
        self.layers = nn.ModuleList(
            _Layer(n_channels // 2, deviation_weighting, band_weighting, position_embedding, layout)
            for _ in range(2)
        )
        self.fuse = Conv3x3(n_channels, n_channels)

    def forward(self, x: Tensor) -> Tensor:
        spatial, frequency = x.chunk(2, 1)
        for layer in self.layers:
            spatial, frequency = layer(spatial, frequency)
        enhanced = torch.cat((spatial, frequency), 1)
        if self.residual_around:
            return self.fuse(enhanced) + x
        return self.fuse(enhanced.add_(x))


class _Layer(nn.Module):
    def __init__(
        self,
        n_half: int,
        deviation_weighting: bool,
        band_weighting: BandWeighting | None,
        position_embedding: bool,
        layout: Layout,
    ) -> None:
        super().__init__()
        self.spatial = Conv3x3(n_half, n_half)
        floor = layout.deviation_floor
        self.weigh = _DeviationWeights(n_half, floor) if deviation_weighting else None
        self.spatial_norm = nn.BatchNorm2d(n_half)
        coordinates = layout.coordinates if position_embedding else None
        self.frequency = FrequencyBranch(
            n_half,
            FourierUnit(
                n_half,
                gate=_make_gate(n_half, band_weighting, coordinates, layout),
                gate_joined=layout.gate_joined,
                coordinates=coordinates,
                centred=layout.centred,
            ),
        )
        self.frequency_norm = nn.BatchNorm2d(n_half)

    def forward(self, spatial: Tensor, frequency: Tensor) -> tuple[Tensor, Tensor]:
        weights = None if self.weigh is None else self.weigh(spatial)
        conv = self.spatial
        spatial = conv_norm(spatial, conv.weight, conv.bias, self.spatial_norm, weights)
        join = self.frequency.join
        joined = self.frequency(frequency)
        frequency = conv_norm(joined, join.weight, join.bias, self.frequency_norm)
        return F.relu(spatial, inplace=True), F.relu(frequency, inplace=True)


class _DeviationWeights(nn.Conv2d):
    """Predict a weight for each pixel of each channel from the channels' local deviations."""

    def __init__(self, n_channels: int, floor: Literal["add", "clamp"]) -> None:
        super().__init__(n_channels, n_channels, 1, bias=False)
        self.floor: Literal["add", "clamp"] = floor

    def forward(self, x: Tensor) -> Tensor:
        deviation = local_deviation(x, self.floor)
        return pointwise(deviation, self.weight.flatten(1)).sigmoid_()


def _make_gate(
    n_half: int,
    band_weighting: BandWeighting | None,
    coordinates: Coordinates | None,
    layout: Layout,
) -> BandGate | None:
    if band_weighting is None:
        return None
    n_bands = joined_channels(n_half, coordinates) if layout.gate_joined else 2 * n_half
    return BandGate(n_bands, peak=band_weighting == "band", conv=layout.gate_conv)
