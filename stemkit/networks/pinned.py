"""The encoder-decoder of PINNED: down by strides, up by transposed convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Interval, check_arguments
from ._padding import mirror_to_multiple
from ._periodic import periodic_part

# Side in px of the squares over which a frame is compared with its periodic part.
_MATCH_SIDE = 33
_WIDTH = 16
# Number of bins of the histogram, and their range in standard deviations of the training frames.
_N_BINS = 48
_RANGE = (-4.0, 6.0)


class PINNED(nn.Module):
    """Encode frames into a latent representation and decode it.

    Each block of the encoder has three 3x3 convolutions, each with a leaky ReLU; the last one has a
    stride of 2. Each block of the decoder has a transposed convolution that doubles the resolution
    and two 3x3 convolutions. The last layer is a 3x3 convolution without ReLU.

    Parameters
    ----------
    n_channels : int, default=32
        Channels of the first block; each further block has twice as many.
    n_blocks : int, default=3
        Blocks of the encoder, and as many of the decoder.
    slope : float, default=0.01
        Slope of the leaky ReLU below zero.
    n_evidence : int, default=0
        Number of versions of the frame's periodic part, the lattice prior, that the network gets
        as further inputs, see the notes; 0 is the paper's network.

    Attributes
    ----------
    evidence : torch.nn.Module or None
        Computes all inputs from the frames; None if ``n_evidence`` is 0.

    Notes
    -----
    The paper states only that each block has three convolutions with leaky ReLU, that the encoder
    compresses and that the decoder has transposed convolutions. The rest was chosen here:

    - Strides instead of pooling.
    - Three blocks, so one latent pixel for 8 x 8: about one atomic column at common samplings. The
      receptive field is about 40 px, several lattice periods, over which noise averages out.
    - Transposed convolutions of 4 x 4 px: all pixels get the same number of contributions, unlike
      with kernels of 3, so there is no checkerboard pattern.
    - No skip connections, since in the paper the latent representation holds all information. No
      normalisation layers, since they would remove the brightness.
    - A linear last layer: the paper's loss keeps intensities in range, and a sigmoid would flatten
      the brightest columns.

    A pixel that noise has replaced can be estimated from the equivalent pixels of all other unit
    cells. The receptive field contains only a few of them, the spectrum all. If ``n_evidence`` is
    above 0, the network also gets the lattice prior:

    - The lattice is determined in the spectrum of the frame, and the frame is projected on its
      harmonics. This has no trained weights. If the spectrum shows no lattice, the periodic part
      is 0. :class:`stemkit.PINNEDDenoiser` does so for large frames in windows, between which the
      periodic part changes smoothly; mean and histogram are those of the whole frame.
    - Noise with strong outliers hides the lattice. So the frame first passes trained functions of
      the value of each pixel, one for each version, and each version has its own periodic part.
    - Where a crystal ends or bends its periodic part is wrong. So the network also gets the
      agreement of the frame with its periodic part in squares of 33 px.
    - The loss of contrast shows in the distribution of a frame's values. From its histogram the
      network predicts one gain and one offset for the frame.
    - The result is the sum of the versions, each multiplied by a predicted map of its gain, and of
      a predicted image. Both are computed at full resolution, after the decoder.

    Frames whose sides are not multiples of ``2**n_blocks`` are mirrored at the bottom and the
    right, and the result is cropped to the frame.

    References
    ----------
    Awan et al., "Physics informed neural network enhanced denoising for atomic resolution STEM
    imaging".

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks import PINNED
    >>> PINNED(n_channels=4)(torch.rand(2, 1, 21, 30)).shape
    torch.Size([2, 1, 21, 30])
    """

    @check_arguments(
        n_channels=[Interval(int, 1, None)],
        n_blocks=[Interval(int, 1, None)],
        slope=[Interval(float, 0, 1, closed="left")],
        n_evidence=[Interval(int, 0, None)],
    )
    def __init__(
        self, n_channels: int = 32, n_blocks: int = 3, slope: float = 0.01, n_evidence: int = 0
    ) -> None:
        super().__init__()
        widths = [n_channels * 2**level for level in range(n_blocks)]
        self.multiple = 2**n_blocks
        self.evidence = LatticePrior(n_evidence, slope) if n_evidence else None
        n_inputs = 1 if self.evidence is None else self.evidence.n_channels
        encoder: list[nn.Module] = []
        for n_in, n in zip([n_inputs, *widths], widths, strict=False):
            encoder += [
                nn.Conv2d(n_in, n, 3, padding=1),
                nn.Conv2d(n, n, 3, padding=1),
                nn.Conv2d(n, n, 3, stride=2, padding=1),
            ]
        decoder: list[nn.Module] = []
        for n, n_out in zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True):
            decoder += [
                nn.ConvTranspose2d(n, n, 4, stride=2, padding=1),
                nn.Conv2d(n, n, 3, padding=1),
                nn.Conv2d(n, n_out, 3, padding=1),
            ]
        self.encoder, self.decoder = (
            nn.Sequential(*(part for layer in layers for part in (layer, nn.LeakyReLU(slope))))
            for layers in (encoder, decoder)
        )
        # PyTorch's default reduces the variance from layer to layer, and there is no normalisation.
        for layer in (*encoder, *decoder):
            _start_at_unit_gain(layer, slope)
        if self.evidence is None:
            self.tail: nn.Module = nn.Conv2d(widths[0], 1, 3, padding=1)
        else:
            last = nn.Conv2d(widths[0], 1 + self.evidence.n_terms, 3, padding=1)
            # Before training the result is the periodic part.
            _start_at_zero(last)
            self.tail = nn.Sequential(
                nn.Conv2d(widths[0] + n_inputs, widths[0], 3, padding=1),
                nn.LeakyReLU(slope),
                nn.Conv2d(widths[0], widths[0], 3, padding=1),
                nn.LeakyReLU(slope),
                last,
            )

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
        return self.decode(x if self.evidence is None else self.evidence(x))

    def decode(self, inputs: Tensor) -> Tensor:
        """Denoise frames of which the further inputs were already computed.

        Parameters
        ----------
        inputs : Tensor of shape (B, C, H, W)
            What `evidence` returns for the frames; without evidence, the frames.

        Returns
        -------
        Tensor of shape (B, 1, H, W)

        Examples
        --------
        >>> import torch
        >>> from stemkit.networks import PINNED
        >>> network, frames = PINNED(n_channels=4, n_evidence=1), torch.rand(1, 1, 24, 32)
        >>> inputs = network.evidence(frames)
        >>> bool((network.decode(inputs) == network(frames)).all())
        True
        """
        height, width = inputs.shape[2:]
        inputs = mirror_to_multiple(inputs, self.multiple)
        decoded = self.decoder(self.encoder(inputs))
        if self.evidence is None:
            return self.tail(decoded)[..., :height, :width]
        n = self.evidence.n_terms
        terms, expected = inputs[:, 1 : 1 + n], inputs[:, 2 + n :]
        added, gain = (self.tail(torch.cat([decoded, inputs], 1)) + expected).tensor_split([1], 1)
        return (added + (gain * terms).sum(1, keepdim=True))[..., :height, :width]


class LatticePrior(nn.Module):
    """Compute the inputs (B, n_channels, H, W) of the network from frames (B, 1, H, W).

    The channels are the frame; the terms of the result, which are the periodic part of each version
    and the mean; the local agreement of the first version with the frame; and, constant over the
    frame, the offset and the gain of each term as predicted from the histogram.
    """

    def __init__(self, n_versions: int, slope: float) -> None:
        super().__init__()
        self.n_terms = n_versions + 1
        self.n_channels = 2 * self.n_terms + 3
        self.curves = nn.Sequential(nn.Conv2d(1, _WIDTH, 1), nn.LeakyReLU(slope))
        self.mix = nn.Conv2d(_WIDTH, n_versions, 1)
        # Before training the functions are the identity.
        _start_at_zero(self.mix)
        last = nn.Linear(4 * _WIDTH, 1 + self.n_terms)
        self.expect = nn.Sequential(
            nn.Linear(_N_BINS, 4 * _WIDTH),
            nn.LeakyReLU(slope),
            nn.Linear(4 * _WIDTH, 4 * _WIDTH),
            nn.LeakyReLU(slope),
            last,
        )
        # Before training the result is the mean of the versions, with the frame's mean.
        nn.init.constant_(last.bias[1:-1], 1 / n_versions)
        nn.init.constant_(last.bias[-1:], 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the frames and the further inputs."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            periodic = self.periodic(x)
            expected = self.expect(_histogram(x))
            mean = x.mean((2, 3))
        return self.inputs(x, periodic, mean, expected)

    def periodic(self, x: Tensor) -> Tensor:
        """Return the periodic part of each version (B, n_versions, H, W) of frames."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            versions = x + self.mix(self.curves(x))
            pairs = zip(versions, x[:, 0], strict=True)
            return torch.stack([periodic_part(of, guide) for of, guide in pairs])

    def inputs(
        self,
        x: Tensor,
        periodic: Tensor,
        mean: Tensor,
        expected: Tensor,
        power: Tensor | None = None,
    ) -> Tensor:
        """Put the inputs together, from frames or parts of one.

        Parameters
        ----------
        x, periodic : Tensor of shape (B, 1, H, W) and (B, n_versions, H, W)
            Frames and the periodic parts of their versions.
        mean, expected : Tensor of shape (B, 1) and (B, 1 + n_terms)
            Of the whole frames: their means, and what the histogram predicts.
        power : Tensor of shape (B, 1), optional
            Mean square of the periodic part of the first version over the whole frames; by default
            that of these parts.

        Returns
        -------
        Tensor of shape (B, n_channels, H, W)
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            mean, constant = mean[..., None, None], expected[..., None, None]
            constant = constant.expand(-1, -1, *x.shape[2:])
            agrees = _agreement(x - mean, periodic[:, :1].detach(), power)
            return torch.cat([x, periodic, mean.expand_as(x), agrees, constant], 1)


def bin_counts(x: Tensor) -> Tensor:
    """Count the values of frames (B, 1, H, W) in the bins of the histogram: (B, n_bins)."""
    low, high = _RANGE
    place = ((x.flatten(1) - low) * (_N_BINS / (high - low))).long().clamp(0, _N_BINS - 1)
    counts = torch.zeros(len(x), _N_BINS, device=x.device)
    return counts.scatter_add_(1, place, torch.ones_like(place, dtype=counts.dtype))


def roots_of_counts(counts: Tensor, n_pixels: int) -> Tensor:
    """Return the roots of a histogram, which all have about the same variance."""
    # A flat distribution gives values of 1.
    return (counts * (_N_BINS / n_pixels)).sqrt()


def _histogram(x: Tensor) -> Tensor:
    return roots_of_counts(bin_counts(x), x[0].numel())


def _agreement(frames: Tensor, periodic: Tensor, power: Tensor | None = None) -> Tensor:
    """Regress frames on their periodic part, of a power (B, 1), in squares about each pixel.

    The slope is 1 where the frame contains the periodic part, and 0 in vacuum and where the part
    is negligible.
    """
    product, square = (_mean_over_squares(periodic * other) for other in (frames, periodic))
    power = square.mean((2, 3), keepdim=True) if power is None else power[..., None, None]
    return (product / (square + 0.1 * power + 1e-12)).clamp(-1, 3)


def _mean_over_squares(values: Tensor) -> Tensor:
    """Return means over squares about each pixel, smaller ones at the borders."""
    for axis in (2, 3):
        side = [1, 1]
        side[axis - 2] = _MATCH_SIDE
        values = F.avg_pool2d(values, side, 1, [n // 2 for n in side], count_include_pad=False)
    return values


def _start_at_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _start_at_unit_gain(layer: nn.Module, slope: float) -> None:
    """Initialise a layer so that it and a leaky ReLU keep the mean square."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    n_terms = weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):
        # Each pixel gets 2 x 2 of the 4 x 4 kernel, from all input channels.
        n_terms = weight.shape[0] * 4
    nn.init.normal_(weight, std=(2 / (1 + slope**2) / n_terms) ** 0.5)
    nn.init.zeros_(bias)
