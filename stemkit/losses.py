"""The terms of the physics-informed loss, as differentiable functions of torch tensors.

They take frames of shape (..., H, W) and return one number, the mean over frames. The documented
weights are for intensities on a scale of 0 to 1. The formulas are those of Awan et al., "Physics
informed neural network enhanced denoising for atomic resolution STEM imaging".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from ._arrays import is_tensor
from ._constraints import Constraints, Interval, Options, check_arguments
from .exceptions import InvalidParameterError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "brightness",
    "contrast",
    "physics_informed",
    "spectral_fidelity",
    "total_variation",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Keeps the gradient of a standard deviation finite if a frame is constant.
_MIN_VARIANCE = 1e-12
_DTYPES = {"torch.float16", "torch.bfloat16", "torch.float32", "torch.float64"}
_REDUCTION = Options("mean", "sum")
_WEIGHT = Interval(float, 0, 1e18)


def _on_tensors(**constraints: Constraints) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a loss: check its arguments and frames, and that its result is finite."""

    def decorate(loss: Callable[_P, _R]) -> Callable[_P, _R]:
        checked = check_arguments(**constraints)(loss)

        @wraps(loss)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            frames = dict(zip(("output", "target"), args, strict=False))
            frames |= {name: kwargs[name] for name in ("output", "target") if name in kwargs}
            _check_frames(frames)
            result = checked(*args, **kwargs)
            _check_result(result, frames)
            return result

        return wrapper

    return decorate


def _check_frames(frames: Mapping[str, Any]) -> None:
    """Raise InvalidParameterError if frames are not real tensors of floats and of one shape."""
    for name, tensor in frames.items():
        if not is_tensor(tensor):
            raise InvalidParameterError(
                f"{name} must be a torch.Tensor; got a {type(tensor).__name__}. Pass "
                f"torch.as_tensor({name})."
            )
        if str(tensor.dtype) not in _DTYPES or str(tensor.layout) != "torch.strided":
            raise InvalidParameterError(
                f"{name} must be a dense tensor of floats; got {tensor.dtype} of layout "
                f"{tensor.layout}. Pass {name}.float()."
            )
        if tensor.ndim < 2 or tensor.numel() == 0 or tensor.device.type == "meta":
            raise InvalidParameterError(
                f"{name} must have values of shape (..., H, W); got shape {tuple(tensor.shape)} on "
                f"{tensor.device}."
            )
    if len({(tuple(tensor.shape), tensor.device) for tensor in frames.values()}) > 1:
        output, target = frames["output"], frames["target"]
        raise InvalidParameterError(
            f"target has shape {tuple(target.shape)} on {target.device}, but output has "
            f"{tuple(output.shape)} on {output.device}; pass both for the same frames."
        )


def _check_result(result: Any, frames: Mapping[str, Any]) -> None:
    terms = result if isinstance(result, dict) else {"loss": result}
    if all(bool(value.isfinite()) for value in terms.values()):
        return
    for name, tensor in frames.items():
        if not bool(tensor.isfinite().all()):
            raise InvalidParameterError(f"{name} contains NaN or inf; leave such frames out.")
    raise InvalidParameterError(
        "output or target is too large for its precision: the loss is not finite. Scale both to "
        "0..1, or pass float32."
    )


@_on_tensors(reduction=[_REDUCTION])
def total_variation(output: Tensor, *, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    r"""Compute the total variation of frames.

    .. math:: \sum_{i,j} |\hat x_{i+1,j} - \hat x_{i,j}| + |\hat x_{i,j+1} - \hat x_{i,j}|

    Parameters
    ----------
    output : Tensor of shape (..., H, W)
        Frames.
    reduction : {"mean", "sum"}, default="mean"
        Over the pixels of a frame. The paper sums; with the mean, the weight relative to the other
        terms does not depend on the size of the frames.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames.

    Raises
    ------
    ValueError
        If `output` is no tensor of finite floats, or `reduction` is not one of these.

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
    return _total_variation(output, reduction)


def _total_variation(output: Tensor, reduction: str) -> Tensor:
    down, right = output.diff(dim=-2).abs(), output.diff(dim=-1).abs()
    total = (down.sum((-2, -1)) + right.sum((-2, -1))).mean()
    return total / (output.shape[-2] * output.shape[-1]) if reduction == "mean" else total


@_on_tensors()
def spectral_fidelity(output: Tensor, target: Tensor) -> Tensor:
    r"""Compute the mean difference of the magnitudes of the Fourier transforms.

    .. math:: \frac{1}{N} \sum_k \big| |F(\hat x)(k)| - |F(x)(k)| \big|

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and the true ones.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames.

    Raises
    ------
    ValueError
        If `output` and `target` are no tensors of finite floats and of one shape.

    Notes
    -----
    The paper does not give the normalisation of its transform. Here it is orthonormal, so that the
    term has the scale of the intensities and does not grow with the frame.

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
    return _spectral_fidelity(output, target)


def _spectral_fidelity(output: Tensor, target: Tensor) -> Tensor:
    import torch

    # Half precision has no Fourier transform on most devices, and too few digits for one.
    spectra = [torch.fft.fft2(frames.float(), norm="ortho").abs() for frames in (output, target)]
    return (spectra[0] - spectra[1]).abs().mean()


@_on_tensors()
def brightness(output: Tensor, target: Tensor) -> Tensor:
    r"""Difference of the mean intensities, :math:`|\mu(\hat x) - \mu(x)|`, frame by frame.

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and the true ones.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames: frames that are too bright and too dark do not cancel.

    Raises
    ------
    ValueError
        If `output` and `target` are no tensors of finite floats and of one shape.

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
    return _brightness(output, target)


def _brightness(output: Tensor, target: Tensor) -> Tensor:
    return (output.mean((-2, -1)) - target.mean((-2, -1))).abs().mean()


@_on_tensors()
def contrast(output: Tensor, target: Tensor) -> Tensor:
    r"""Difference of the standard deviations, :math:`|\sigma(\hat x) - \sigma(x)|`, frame by frame.

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and the true ones.

    Returns
    -------
    Tensor of shape ()
        One number, the mean over frames. Its gradient is finite even if a frame is constant.

    Raises
    ------
    ValueError
        If `output` and `target` are no tensors of finite floats and of one shape.

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
    return _contrast(output, target)


def _contrast(output: Tensor, target: Tensor) -> Tensor:
    deviations = [
        frames.var((-2, -1), correction=0).clamp(min=_MIN_VARIANCE).sqrt()
        for frames in (output, target)
    ]
    return (deviations[0] - deviations[1]).abs().mean()


@_on_tensors(tv=[_WEIGHT], sf=[_WEIGHT], b=[_WEIGHT], c=[_WEIGHT], tv_reduction=[_REDUCTION])
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
    r"""Compute the paper's loss and each of its terms.

    .. math:: L_\mathrm{MSE} + \lambda_{TV} L_{TV} + \lambda_{SF} L_{SF}
              + \lambda_B L_B + \lambda_C L_C

    Parameters
    ----------
    output, target : Tensor of shape (..., H, W)
        Frames, and the true ones, on a scale of 0 to 1.
    tv, sf, b, c : float, default=0.01, 0.1, 0.1 and 0.1
        Weights of total variation, spectral fidelity, brightness and contrast; 0 leaves a term out.
        The paper does not give its weights.
    tv_reduction : {"mean", "sum"}, default="mean"
        As for :func:`total_variation`.

    Returns
    -------
    dict of Tensor
        "loss", the weighted sum, and the unweighted terms "mse", "tv", "sf", "b" and "c", without
        those left out.

    Raises
    ------
    ValueError
        If `output` and `target` are no tensors of finite floats and of one shape, or a
        weight is negative.

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
    return physics_informed_terms(output, target, tv=tv, sf=sf, b=b, c=c, tv_reduction=tv_reduction)


def physics_informed_terms(
    output: Tensor, target: Tensor, *, tv: float, sf: float, b: float, c: float, tv_reduction: str
) -> dict[str, Tensor]:
    """Return the terms of :func:`physics_informed` without checks, for training."""
    weighted = {
        "tv": (tv, lambda: _total_variation(output, tv_reduction)),
        "sf": (sf, lambda: _spectral_fidelity(output, target)),
        "b": (b, lambda: _brightness(output, target)),
        "c": (c, lambda: _contrast(output, target)),
    }
    mse = (output - target).square().mean()
    terms = {name: term() for name, (weight, term) in weighted.items() if weight}
    loss = mse + sum(float(weighted[name][0]) * value for name, value in terms.items())
    return {"loss": loss, "mse": mse, **terms}
