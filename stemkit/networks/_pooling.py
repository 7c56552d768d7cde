"""The mean and the maximum of a convolution, without keeping the convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def pooled_conv(x: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return mean and maximum over the pixels of a padded 3x3 convolution.

    The mean needs no convolution: it is linear in the sums of `x` and of its edges. The maximum
    does, but its gradient depends on one pixel of each channel. So only the position of that pixel
    is kept, and the backward pass needs no convolution.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    conv : nn.Conv2d
        With 3x3 kernels, padding 1 and a bias.

    Returns
    -------
    mean, maximum : Tensor of shape (B, C_out)
    """
    with torch.no_grad():
        response = conv(x).flatten(2)
    if not torch.is_grad_enabled():
        return _mean(x, conv), response.amax(2)
    return _mean(x, conv), _response_at(x, conv, response.argmax(2))


def _mean(x: Tensor, conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    # Each of the nine elements of the kernel is multiplied with all of the frame but a row, a
    # column, or both: the first row of the kernel never with the last row of pixels, and so on.
    total = x.sum((2, 3))
    zero = torch.zeros_like(total)
    # Both edges are one slice, since each slice of `x` takes passes over all of its gradient.
    down, across = (slice(None, None, max(1, length - 1)) for length in x.shape[2:])
    first_and_last_row = x[:, :, down]
    row_sums, column_sums = first_and_last_row.sum(3), x[..., across].sum(2)
    corners = first_and_last_row[..., across]
    rows = (row_sums[..., -1], zero, row_sums[..., 0])
    columns = (column_sums[..., -1], zero, column_sums[..., 0])
    edges = (-1, None, 0)
    sums = [
        total - rows[i] - columns[j] + (zero if None in (y, z) else corners[:, :, y, z])
        for i, y in enumerate(edges)
        for j, z in enumerate(edges)
    ]
    mean = torch.stack(sums, 2) / x[0, 0].numel()
    return mean.flatten(1) @ conv.weight.flatten(1).T + conv.bias


def _response_at(x: Tensor, conv: nn.Conv2d, where: Tensor) -> Tensor:
    """Convolve at one pixel for each image and output channel; `where` counts pixels by rows."""
    assert conv.bias is not None
    height, width = x.shape[2:]
    offsets = torch.arange(-1, 2, device=x.device)
    rows = (where // width)[..., None, None] + offsets[:, None]
    columns = (where % width)[..., None, None] + offsets
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    images = torch.arange(len(x), device=x.device)[:, None, None, None]
    seen = x[images, :, rows.clamp(0, height - 1), columns.clamp(0, width - 1)]
    seen = seen * inside[..., None]
    return torch.einsum("boyxc,ocyx->bo", seen, conv.weight) + conv.bias
