"""The common base of SFIN and SCGN: a chain of blocks between two convolutions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .._constraints import Interval, check_arguments
from ._convolution import Conv3x3

# The names in the authors' files, and stemkit's.
_RELEASED_NAMES = [
    (r"^head_conv\.", "head."),
    (r"^tail_conv\.", "tail."),
    (r"^body\.(\d+)\.conv1\.", r"blocks.\1.layers.0."),
    (r"^body\.(\d+)\.conv2\.", r"blocks.\1.layers.1."),
    (r"^body\.", "blocks."),
    (r"\.bn_l\.", ".spatial_norm."),
    (r"\.bn_g\.", ".frequency_norm."),
    (r"\.ffc\.convg2g\.conv1\.", ".frequency.enter."),
    (r"\.ffc\.convg2g\.conv2\.", ".frequency.join."),
    (r"\.ffc\.convg2g\.fu\.conv_layer\.", ".frequency.unit.decouple."),
    (r"\.ffc\.convg2g\.fu\.conv_layer2\.", ".frequency.unit.recouple."),
    (r"\.ffc\.convg2g\.fu\.bn\.", ".frequency.unit.norm."),
    (r"\.ffc\.convg2g\.fu\.channel_attn\.conv\.", ".frequency.unit.gate.conv."),
    (r"\.ffc\.convg2g\.fu\.channel_attn\.fc\.0\.", ".frequency.unit.gate.squeeze."),
    (r"\.ffc\.convg2g\.fu\.channel_attn\.fc\.2\.", ".frequency.unit.gate.excite."),
    (r"\.ffc\.convl2l\.", ".spatial."),
    (r"\.ffc\.convl2g\.", ".spatial_to_frequency."),
    (r"\.ffc\.convg2l\.", ".frequency_to_spatial."),
    (r"\.ffc\.conv1\.", ".weigh."),
]
# Matrices that the authors write as 1x1 convolutions.
_LINEAR = re.compile(r"\.unit\.gate\.(squeeze|excite)\.")


class SpatialFrequencyNet(nn.Module):
    """Blocks between two 3x3 convolutions, with the first one's output added before the last.

    If a training step would keep more than 6 GB on a CPU, or half the memory of a GPU, blocks keep
    only their input and are run again in the backward pass. This takes a third more computation and
    a fraction of the memory.

    Parameters
    ----------
    n_channels : int
        Even number of channels of the blocks, half of them spatial, half of frequencies.
    blocks : iterable of nn.Module
    """

    def __init__(self, n_channels: int, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.head = Conv3x3(1, n_channels)
        self.blocks = nn.ModuleList(blocks)
        self.tail = Conv3x3(n_channels, 1)

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
        features = start = self.head(x)
        training = self.training and torch.is_grad_enabled()
        run_twice = training and _kept_bytes(start) * len(self.blocks) > _max_kept_bytes(x.device)
        for block in self.blocks:
            features = _run_twice(block, features) if run_twice else block(features)
        return self.tail(features + start)


def _kept_bytes(features: Tensor) -> int:
    """Return about how many bytes a block keeps for the backward pass: 25 times its input."""
    return 25 * features.numel() * features.element_size()


def _max_kept_bytes(device: torch.device) -> int:
    """Return how many bytes a network may keep for the backward pass."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // 2
    return 6 * 2**30


def _run_twice(block: nn.Module, features: Tensor) -> Tensor:
    """Run a block, keep only its input, and run it again for its gradient."""
    return checkpoint(
        block,
        features,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing in a block is random
        context_fn=lambda: (nullcontext(), _frozen_statistics(block)),
    )


@contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    """Normalise by the batch without updating the running statistics a second time."""
    norms = [part for part in block.modules() if isinstance(part, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, n_batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, n_batches


@check_arguments(n_blocks=[Interval(int, 1, None)], n_channels=[Interval(int, 2, None)])
def check_widths(n_blocks: int, n_channels: int) -> None:
    """Check the number of blocks and of channels."""
    if n_channels % 2:
        raise ValueError(
            f"n_channels must be even, half for space and half for frequencies; got {n_channels}."
        )


@check_arguments(weights=[Mapping])
def rename_released(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' weights to stemkit's names, with the real before the imaginary parts.

    A weight that stemkit's networks do not have keeps its name.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Weights of SFIN or SCGN, as :func:`stemkit.engine.read_checkpoint` returns them.

    Returns
    -------
    dict of str to Tensor
        For :func:`stemkit.engine.put_weights`.

    Raises
    ------
    InvalidParameterError
        If ``weights`` is not a mapping.

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks import rename_released
    >>> list(rename_released({"head_conv.bias": torch.zeros(4)}))
    ['head.bias']
    """
    renamed = {}
    for name, value in weights.items():
        if name.endswith(".std.mean_kernel"):
            continue  # constant, a ninth everywhere
        for pattern, ours in _RELEASED_NAMES:
            name = re.sub(pattern, ours, name)
        renamed[name] = value.flatten(1) if _LINEAR.search(name) and value.ndim == 4 else value
    for name in [name for name in renamed if name.endswith(".unit.decouple.weight")]:
        unit = name.removesuffix("decouple.weight")
        # two coordinates come first
        renamed[name] = _reals_first(renamed[name], axis=1, start=2)
        ends = [f"{unit}recouple.weight"]
        if ends[0] not in renamed:
            ends = [key for key in renamed if key.startswith(f"{unit}norm.")] + [name]
        for key in ends:
            renamed[key] = _reals_first(renamed[key])
    return renamed


def _reals_first(value: Tensor, *, axis: int = 0, start: int = 0) -> Tensor:
    """Reorder (real, imaginary, real, ...) along an axis to all real, then all imaginary parts."""
    if value.ndim <= axis:
        return value
    n = value.shape[axis]
    order = [*range(start), *range(start, n, 2), *range(start + 1, n, 2)]
    return value[(slice(None),) * axis + (order,)]
