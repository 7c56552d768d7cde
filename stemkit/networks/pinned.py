"""The encoder-decoder of PINNED: down by strides, up by transposed convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from ._padding import mirror_to_multiple


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

    def __init__(self, n_channels: int = 32, n_blocks: int = 3, slope: float = 0.01) -> None:
        for name, value in (("n_channels", n_channels), ("n_blocks", n_blocks)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")
        if not 0 <= slope < 1:
            raise ValueError(f"slope must be at least 0 and below 1; got {slope}.")
        super().__init__()
        widths = [n_channels * 2**level for level in range(n_blocks)]
        self.multiple = 2**n_blocks
        encoder: list[nn.Module] = []
        for n_in, n in zip([1, *widths], widths, strict=False):
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
        self.tail = nn.Conv2d(widths[0], 1, 3, padding=1)
        # PyTorch's default shrinks what passes a layer, and nothing here scales it up again.
        for layer in (*encoder, *decoder):
            _start_at_unit_gain(layer, slope)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise frames (B, 1, H, W) of any size."""
        height, width = x.shape[2:]
        latent = self.encoder(mirror_to_multiple(x, self.multiple))
        return self.tail(self.decoder(latent))[..., :height, :width]


def _start_at_unit_gain(layer: nn.Module, slope: float) -> None:
    """Let a layer start so that the power of what passes it and a leaky ReLU stays."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    n_terms = weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):
        # Of its 4 x 4 places each pixel gets 2 x 2, from all channels that come in.
        n_terms = weight.shape[0] * 4
    nn.init.normal_(weight, std=(2 / (1 + slope**2) / n_terms) ** 0.5)
    nn.init.zeros_(bias)
