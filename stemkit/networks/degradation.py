"""The two-frame network of AtomDiffuser: how much signal is left, and how the specimen moved.

The layout (names, shapes and the order in which features are joined) is the released one, so that
the authors' weights and stemkit's load into the same class.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constraints import Interval, Sequence, check_arguments

T_MAX = 100.0
"""The second frame's time in released units; the first frame's is 0."""

_JUDGE_CHANNELS = 32
# Largest absolute logarithm of an estimate's weight.
_MAX_LOG_WEIGHT = 5.0
# Initial logarithm of the last estimate's weight; that of the others is 0.
_INITIAL_LOG_WEIGHT = 3.0
# Lowest decay. A decay of 0 would be 0 at all times, since it is raised to the share of time.
MIN_DECAY = 0.01


class PairFeatures(NamedTuple):
    """Features of a pair of frames, the same for all times."""

    joined: Tensor
    """Features of both frames at an eighth of the resolution, (B, 2 * channels[2], h, w)."""
    skips: tuple[Tensor, ...]
    """For each level from fine to coarse: the first frame's features joined with the second's."""
    size: tuple[int, int]
    """Height and width of the frames before padding."""


def _double_conv(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(n_out, n_out, 3, padding=1),
        nn.ReLU(),
    )


def _context_stack(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """Return convolutions whose dilation doubles from layer to layer."""
    layers: list[nn.Module] = []
    for dilation in (1, 2, 4, 8):
        layers += [nn.Conv2d(n_in, n_hidden, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        n_in = n_hidden
    return nn.Sequential(*layers, nn.Conv2d(n_hidden, n_out, 3, padding=1))


class DegradationNet(nn.Module):
    """Predict the decay map and the motion between two frames at a time in between.

    One encoder takes both frames. Its coarsest features are concatenated, the embedded time is
    added to every pixel, and a decoder with skip connections from both frames returns the decay map
    at full resolution. A second head returns the motion.

    Parameters
    ----------
    channels : tuple of three int, default=(32, 64, 128)
        Features at full, half and quarter resolution.
    dropout : float, default=0.1
        Fraction of the motion head's features that is dropped in training.
    n_evidence : int, default=0
        Number of decay estimates that are passed with each pair, together with a map of their
        standard error. The decay map is then the mean of these and of the network's own estimate,
        with weights that the network predicts for each pixel. 0 is the paper's network.

    Notes
    -----
    Frames whose sides are not multiples of 8 are padded with their edge at the bottom and right,
    and the decay map is cropped to the frame.

    References
    ----------
    AtomDiffuser: time-aware degradation modelling for drift and beam damage in STEM imaging.

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks.degradation import DegradationNet
    >>> net = DegradationNet(channels=(2, 2, 2)).eval()
    >>> first, second = torch.rand(2, 4, 1, 20, 33)
    >>> motion, decay = net(first, second, torch.full((4,), 50.0))
    >>> motion.shape, decay.shape
    (torch.Size([4, 3]), torch.Size([4, 1, 20, 33]))

    Encode a pair once and decode it at several times:

    >>> features = net.encode(first, second)
    >>> net.motion(features).shape, net.decode(features, 25.0).shape
    (torch.Size([4, 3]), torch.Size([4, 1, 20, 33]))
    """

    @check_arguments(
        channels=[Sequence(Interval(int, 1, None), 3)],
        dropout=[Interval(float, 0, 1, closed="left")],
        n_evidence=[Interval(int, 0, None)],
    )
    def __init__(
        self,
        channels: tuple[int, int, int] = (32, 64, 128),
        dropout: float = 0.1,
        n_evidence: int = 0,
    ) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.n_evidence = n_evidence
        self.time_embed = nn.Sequential(nn.Linear(1, 2 * c3), nn.ReLU(), nn.Linear(2 * c3, 2 * c3))
        self.enc1 = _double_conv(1, c1)
        self.enc2 = _double_conv(c1, c2)
        self.enc3 = _double_conv(c2, c3)
        self.bottleneck = _double_conv(2 * c3, 2 * c3)
        self.up3 = nn.ConvTranspose2d(2 * c3, c3, 2, stride=2)
        self.dec3 = _double_conv(3 * c3, c3)
        self.up2 = nn.ConvTranspose2d(c3, c2, 2, stride=2)
        self.dec2 = _double_conv(3 * c2, c2)
        self.up1 = nn.ConvTranspose2d(c2, c1, 2, stride=2)
        self.dec1 = _double_conv(3 * c1, c1)
        self.out_lambda = nn.Sequential(nn.Conv2d(c1, 1, 3, padding=1), nn.Sigmoid())
        if n_evidence:
            self.judge = _context_stack(c1 + n_evidence + 1, _JUDGE_CHANNELS, n_evidence + 2)
        self.out_theta = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * c3, 64),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(64, 3),
        )

        # PyTorch's default reduces the variance from layer to layer, and there is no normalisation.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if n_evidence:
            # At the start all pixels have the same weights, with the largest for the last estimate,
            # which combines the others.
            nn.init.zeros_(self.judge.get_parameter("8.weight"))
            with torch.no_grad():
                self.judge.get_parameter("8.bias")[n_evidence - 1] = _INITIAL_LOG_WEIGHT

    def forward(
        self, x0: Tensor, xT: Tensor, t: Tensor | float, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the motion and the decay map of a batch of pairs at time t.

        Parameters
        ----------
        x0, xT : Tensor of shape (B, 1, H, W)
            First and second frames, scaled to 0..1.
        t : Tensor of shape (B,) or float
            Time from 0 (first frame) to 100 (second frame).
        evidence : Tensor of shape (B, n_evidence + 1, H, W), optional
            Decay estimates at the second frame, in 0..1; the last channel is their standard error.

        Returns
        -------
        motion : Tensor of shape (B, 3)
            Angle in radians and translation (x, y) in half-widths: the matrix of a sampling grid
            (``affine_grid(align_corners=True)``) that maps second-frame positions to first-frame
            positions.
        decay : Tensor of shape (B, 1, H, W)
            Fraction of the first frame's signal that is left, in [0, 1].
        """
        features = self.encode(x0, xT)
        bottleneck = self._at_time(features, t)
        return self.out_theta(bottleneck), self._decode(features, bottleneck, t, evidence)

    def encode(self, x0: Tensor, xT: Tensor) -> PairFeatures:
        """Encode both frames; the features serve for all times.

        Parameters
        ----------
        x0, xT : Tensor of shape (B, 1, H, W)
            First and second frames, scaled to 0..1.

        Returns
        -------
        PairFeatures
            For :meth:`decode` and :meth:`motion`.
        """
        height, width = x0.shape[-2:]
        x = torch.cat([x0, xT])
        x = F.pad(x, (0, -width % 8, 0, -height % 8), mode="replicate")
        skips = []
        for level in (self.enc1, self.enc2, self.enc3):
            x = level(x)
            skips.append(_concatenate_halves(x))
            x = F.max_pool2d(x, 2)
        return PairFeatures(self.bottleneck(_concatenate_halves(x)), tuple(skips), (height, width))

    def decode(
        self, features: PairFeatures, t: Tensor | float, evidence: Tensor | None = None
    ) -> Tensor:
        """Return the decay map at a time.

        Parameters
        ----------
        features : PairFeatures
            Result of :meth:`encode`.
        t : Tensor of shape (B,) or float
            Time from 0 (first frame) to 100 (second frame).
        evidence : Tensor of shape (B, n_evidence + 1, H, W), optional
            As for :meth:`forward`.

        Returns
        -------
        Tensor of shape (B, 1, H, W)
        """
        return self._decode(features, self._at_time(features, t), t, evidence)

    def motion(self, features: PairFeatures, t: Tensor | float = T_MAX) -> Tensor:
        """Return the motion of an encoded pair.

        The head gets the time embedding, as in the released network. To get the motion at another
        time scale the one at ``t=100``; do not call the head at that time.

        Parameters
        ----------
        features : PairFeatures
            Result of :meth:`encode`.
        t : Tensor of shape (B,) or float, default=100
            Time from 0 (first frame) to 100 (second frame).

        Returns
        -------
        Tensor of shape (B, 3)
            Angle, x and y.
        """
        return self.out_theta(self._at_time(features, t))

    def _at_time(self, features: PairFeatures, t: Tensor | float) -> Tensor:
        share = _share_of_time(t, features.joined)
        return features.joined + self.time_embed(share[:, None])[:, :, None, None]

    def _decode(
        self, features: PairFeatures, x: Tensor, t: Tensor | float, evidence: Tensor | None
    ) -> Tensor:
        levels = ((self.up1, self.dec1), (self.up2, self.dec2), (self.up3, self.dec3))
        for skip, (up, level) in zip(reversed(features.skips), reversed(levels), strict=True):
            x = level(torch.cat([up(x), skip], dim=1))
        height, width = features.size
        if evidence is None:
            return self.out_lambda(x)[..., :height, :width]
        evidence = F.pad(evidence, (0, -width % 8, 0, -height % 8), mode="replicate")
        estimates, error = evidence[:, :-1], evidence[:, -1:]
        # At a constant dose rate the decay at an earlier time is a power of that at the end.
        earlier = estimates.clamp(min=MIN_DECAY) ** _share_of_time(t, x)[:, None, None, None]
        # Estimates are smooth, so a quarter of the resolution is enough to weight them, and a few
        # layers then cover the area over which noise has to be averaged.
        judged = self.judge(F.avg_pool2d(torch.cat([x, earlier, error], dim=1), 4))
        judged = F.interpolate(judged, scale_factor=4.0, mode="bilinear", align_corners=False)
        own = torch.sigmoid(self.out_lambda[0](x) + judged[:, -1:])
        # Without a bound the estimate that is best on average would get all the weight.
        weights = (_MAX_LOG_WEIGHT * torch.tanh(judged[:, :-1] / _MAX_LOG_WEIGHT)).softmax(dim=1)
        decay = (weights * torch.cat([earlier, own], dim=1)).sum(dim=1, keepdim=True)
        return decay[..., :height, :width]


def _share_of_time(t: Tensor | float, like: Tensor) -> Tensor:
    times = torch.as_tensor(t, dtype=torch.float32, device=like.device)
    return times.expand(len(like)) / T_MAX


def _concatenate_halves(x: Tensor) -> Tensor:
    """Concatenate the first half of the batch with the second along the channels."""
    return torch.cat(x.chunk(2), dim=1)
