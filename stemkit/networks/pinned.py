"""The encoder-decoder of PINNED: down by strides, up by transposed convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Interval, check_arguments
from ._padding import mirror_to_multiple
from ._periodic import periodic_part

# Side in px of the squares over which a frame is compared with what repeats in it.
_MATCH_SIDE = 33
_WIDTH = 16
# Bins of the histogram and what they span, in standard deviations about the training frames' mean.
_N_BINS = 48
_RANGE = (-4.0, 6.0)


class PINNED(nn.Module):
    """Compress frames to a latent representation, and draw them again from it.

    Each block of the encoder has three 3x3 convolutions, each with a leaky ReLU. The last one goes
    in steps of two pixels. The decoder mirrors them: a transposed convolution that doubles the
    resolution, and two more. A 3x3 convolution without ReLU ends it.

    Parameters
    ----------
    n_channels : int, default=32
        Channels of the first block; each further block has twice as many.
    n_blocks : int, default=3
        Blocks of the encoder, and as many of the decoder.
    slope : float, default=0.01
        Slope of the leaky ReLU below zero.
    n_evidence : int, default=0
        Versions of the frame's periodic part that the network is given beside the frame, see the
        notes; 0 is the paper's network.

    Notes
    -----
    The paper says no more of its network than that each block has three convolutions with leaky
    ReLU, that the encoder compresses and that the decoder has transposed convolutions. What it
    leaves open was decided so:

    - Strides instead of pooling: the network learns what to leave out.
    - Three blocks, so one latent pixel for 8 x 8: about one atomic column at usual samplings. What
      comes out sees about 40 px around it, several lattice periods, over which noise averages out.
    - Transposed convolutions of 4 x 4 px: all pixels get as many contributions, which kernels of 3
      do not give, and they leave no checkerboard.
    - No connections past the latent representation, of which the paper speaks as holding all that
      is kept. No normalisation layers: brightness is part of the answer.
    - The end is linear: the paper's loss keeps intensities in range, and a sigmoid would flatten
      the brightest columns.

    A pixel that noise has replaced can be known from its like in all other cells of the lattice,
    of which the network sees but a few, whereas a spectrum holds them all. With ``n_evidence`` it
    is not left alone with what is near:

    - The lattice is looked for in the spectrum of the whole frame (or of the tile, where there are
      several), and the frame is projected on its harmonics. No weight is learnt for that. Where a
      spectrum shows none, there is no evidence.
    - Noise with far outliers buries what a limiter would save. So the frame goes through curves
      first, learnt functions of a pixel's value alone, and the evidence is what repeats in each.
    - Where a crystal ends or bends its periodic part is wrong. So the network is also told how well
      frame and evidence agree in squares of 33 px.
    - How much contrast was lost shows in the distribution of a frame's values. From its histogram
      the gain and the offset are told that are due on the whole.
    - What comes out is the evidence, each version multiplied by a map of how far to trust it, and
      what the network has to add. Both are drawn in full resolution, past the latent one.

    Frames whose sides are no multiples of ``2**n_blocks`` are mirrored at the bottom and the right,
    and cropped in the end.

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
        self.evidence = Evidence(n_evidence, slope) if n_evidence else None
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
        # PyTorch's default shrinks what passes a layer, and nothing here scales it up again.
        for layer in (*encoder, *decoder):
            _start_at_unit_gain(layer, slope)
        if self.evidence is None:
            self.tail: nn.Module = nn.Conv2d(widths[0], 1, 3, padding=1)
        else:
            last = nn.Conv2d(widths[0], 1 + self.evidence.n_terms, 3, padding=1)
            # At the start the evidence passes as it is.
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
        height, width = x.shape[2:]
        seen = mirror_to_multiple(x if self.evidence is None else self.evidence(x), self.multiple)
        drawn = self.decoder(self.encoder(seen))
        if self.evidence is None:
            return self.tail(drawn)[..., :height, :width]
        n = self.evidence.n_terms
        terms, expected = seen[:, 1 : 1 + n], seen[:, 2 + n :]
        added, trust = (self.tail(torch.cat([drawn, seen], 1)) + expected).tensor_split([1], 1)
        return (added + (trust * terms).sum(1, keepdim=True))[..., :height, :width]


class Evidence(nn.Module):
    """Put beside frames (B, 1, H, W) what the whole of each says: (B, n_channels, H, W).

    The channels are the frame; the terms that make up what comes out, which are its periodic part
    in each version and its mean; how well the first version agrees with the frame round about; and,
    the same at each pixel, the offset and each term's gain that the histogram lets expect.
    """

    def __init__(self, n_versions: int, slope: float) -> None:
        super().__init__()
        self.n_terms = n_versions + 1
        self.n_channels = 2 * self.n_terms + 3
        self.curves = nn.Sequential(nn.Conv2d(1, _WIDTH, 1), nn.LeakyReLU(slope))
        self.mix = nn.Conv2d(_WIDTH, n_versions, 1)
        # The curves start as straight lines.
        _start_at_zero(self.mix)
        last = nn.Linear(4 * _WIDTH, 1 + self.n_terms)
        self.expect = nn.Sequential(
            nn.Linear(_N_BINS, 4 * _WIDTH),
            nn.LeakyReLU(slope),
            nn.Linear(4 * _WIDTH, 4 * _WIDTH),
            nn.LeakyReLU(slope),
            last,
        )
        # A share of each version: together with the mean the frame's own brightness and contrast.
        nn.init.constant_(last.bias[1:-1], 1 / n_versions)
        nn.init.constant_(last.bias[-1:], 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the frames and what is known of them."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            versions = x + self.mix(self.curves(x))
            pairs = zip(versions, x[:, 0], strict=True)
            periodic = torch.stack([periodic_part(of, guide) for of, guide in pairs])
            expected = self.expect(_histogram(x))[..., None, None].expand(-1, -1, *x.shape[2:])
        mean = x.mean((2, 3), keepdim=True)
        agrees = _agreement(x - mean, periodic[:, :1].detach())
        return torch.cat([x, periodic, mean.expand_as(x), agrees, expected], 1)


def _histogram(x: Tensor) -> Tensor:
    """Return roots of the shares of values (B, _N_BINS): of all, about equally uncertain."""
    low, high = _RANGE
    place = ((x.flatten(1) - low) * (_N_BINS / (high - low))).long().clamp(0, _N_BINS - 1)
    counts = torch.zeros(len(x), _N_BINS, device=x.device)
    counts.scatter_add_(1, place, torch.ones_like(place, dtype=counts.dtype))
    # A flat distribution gives values of 1.
    return (counts * (_N_BINS / place.shape[1])).sqrt()


def _agreement(frames: Tensor, periodic: Tensor) -> Tensor:
    """Regress frames on their periodic part in squares about each pixel: 1 where it is all there.

    In vacuum, and where the part is next to nothing, it is 0.
    """
    product, square = (_smooth(periodic * other) for other in (frames, periodic))
    power = square.mean((2, 3), keepdim=True)
    return (product / (square + 0.1 * power + 1e-12)).clamp(-1, 3)


def _smooth(values: Tensor) -> Tensor:
    """Take means over squares about each pixel, smaller ones at the borders."""
    for axis in (2, 3):
        side = [1, 1]
        side[axis - 2] = _MATCH_SIDE
        values = F.avg_pool2d(values, side, 1, [n // 2 for n in side], count_include_pad=False)
    return values


def _start_at_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _start_at_unit_gain(layer: nn.Module, slope: float) -> None:
    """Let a layer start so that the power of what passes it and a leaky ReLU stays."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    n_terms = weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):
        # Of its 4 x 4 places each pixel gets 2 x 2, from all channels that come in.
        n_terms = weight.shape[0] * 4
    nn.init.normal_(weight, std=(2 / (1 + slope**2) / n_terms) ** 0.5)
    nn.init.zeros_(bias)
