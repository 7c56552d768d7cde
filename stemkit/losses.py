"""The terms of the physics-informed loss, as differentiable functions of torch tensors.

They take frames of shape (..., H, W), with intensities on a scale of 0 to 1 where weights are to be
the documented ones, and give one number, the mean over frames. The formulas are those of Awan et
al., "Physics informed neural network enhanced denoising for atomic resolution STEM imaging".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "brightness",
    "contrast",
    "physics_informed",
    "spectral_fidelity",
    "total_variation",
]

# Keeps the gradient of a standard deviation finite where a frame is constant.
_LEAST_VARIANCE = 1e-12


def total_variation(output: Tensor, *, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    r"""Total variation of frames.

    .. math:: \sum_{i,j} |\hat x_{i+1,j} - \hat x_{i,j}| + |\hat x_{i,j+1} - \hat x_{i,j}|

    Parameters
    ----------
    output : Tensor of shape (..., H, W)
        Frames.
    reduction : {"mean", "sum"}, default="mean"
        Over the pixels of a frame. The paper sums; divided by the number of pixels, its weight
        against the other terms does not depend on how large frames are.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames.

    Raises
    ------
    ValueError
        Where ``reduction`` is none of these.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import torch
    >>> from stemkit.losses import total_variation
    >>> step = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(4, 4)
    >>> total_variation(step).item(), total_variation(step, reduction="sum").item()
    (0.25, 4.0)
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum'; got {reduction!r}.")
    down, right = output.diff(dim=-2).abs(), output.diff(dim=-1).abs()
    total = (down.sum((-2, -1)) + right.sum((-2, -1))).mean()
    return total / (output.shape[-2] * output.shape[-1]) if reduction == "mean" else total


def spectral_fidelity(output: Tensor, target: Tensor) -> Tensor:
    r"""Mean difference of the magnitudes of the Fourier transforms.

    .. math:: \frac{1}{N} \sum_k \big| |F(\hat x)(k)| - |F(x)(k)| \big|

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and what they should be.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames.

    Notes
    -----
    The paper does not say how its transform is normalised. Here it is orthonormal, so that the term
    is on the scale of the intensities and does not grow with the frame.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import torch
    >>> from stemkit.losses import spectral_fidelity
    >>> frames = torch.rand(2, 8, 8)
    >>> round(spectral_fidelity(frames.roll(3, -1), frames).item(), 4)
    0.0
    """
    import torch

    # Half precision has no Fourier transform on most devices, and too few digits for one.
    spectra = [torch.fft.fft2(frames.float(), norm="ortho").abs() for frames in (output, target)]
    return (spectra[0] - spectra[1]).abs().mean()


def brightness(output: Tensor, target: Tensor) -> Tensor:
    r"""Difference of the mean intensities, :math:`|\mu(\hat x) - \mu(x)|`, frame by frame.

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and what they should be.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames: a frame that is too bright does not make up for one that
        is too dark.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import torch
    >>> from stemkit.losses import brightness
    >>> frames = torch.zeros(2, 8, 8)
    >>> brightness(frames + torch.tensor([0.5, -0.5])[:, None, None], frames).item()
    0.5
    """
    return (output.mean((-2, -1)) - target.mean((-2, -1))).abs().mean()


def contrast(output: Tensor, target: Tensor) -> Tensor:
    r"""Difference of the standard deviations, :math:`|\sigma(\hat x) - \sigma(x)|`, frame by frame.

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and what they should be.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames. Its gradient is finite where a frame is constant.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import torch
    >>> from stemkit.losses import contrast
    >>> frames = torch.tensor([0.0, 1.0]).expand(4, 2)
    >>> round(contrast(3 * frames, frames).item(), 4)
    1.0
    """
    deviations = [
        frames.var((-2, -1), correction=0).clamp(min=_LEAST_VARIANCE).sqrt()
        for frames in (output, target)
    ]
    return (deviations[0] - deviations[1]).abs().mean()


def physics_informed(
    output: Tensor,
    target: Tensor,
    *,
    tv: float = 1e-2,
    sf: float = 0.1,
    b: float = 0.1,
    c: float = 0.1,
    tv_reduction: Literal["mean", "sum"] = "mean",
) -> dict[str, Tensor]:
    r"""The whole loss of the paper, with each of its terms.

    .. math:: L_\mathrm{MSE} + \lambda_{TV} L_{TV} + \lambda_{SF} L_{SF}
              + \lambda_B L_B + \lambda_C L_C

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and what they should be, on a scale of 0 to 1.
    tv, sf, b, c : float, default=0.01, 0.1, 0.1 and 0.1
        Weights of total variation, spectral fidelity, brightness and contrast; 0 leaves a term out.
        The paper does not give its own.
    tv_reduction : {"mean", "sum"}, default="mean"
        As for :func:`total_variation`.

    Returns
    -------
    dict of Tensor
        "loss", the weighted sum, and without their weights "mse" and those of "tv", "sf", "b" and
        "c" that are not left out.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import torch
    >>> from stemkit.losses import physics_informed
    >>> terms = physics_informed(torch.zeros(1, 8, 8), torch.ones(1, 8, 8), sf=0, c=0)
    >>> {name: round(value.item(), 3) for name, value in terms.items()}
    {'loss': 1.1, 'mse': 1.0, 'tv': 0.0, 'b': 1.0}
    """
    weighted = {
        "tv": (tv, lambda: total_variation(output, reduction=tv_reduction)),
        "sf": (sf, lambda: spectral_fidelity(output, target)),
        "b": (b, lambda: brightness(output, target)),
        "c": (c, lambda: contrast(output, target)),
    }
    mse = (output - target).square().mean()
    terms = {name: term() for name, (weight, term) in weighted.items() if weight}
    loss = mse + sum(weighted[name][0] * value for name, value in terms.items())
    return {"loss": loss, "mse": mse, **terms}
