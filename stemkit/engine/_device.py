"""Choice of device and precision."""

from __future__ import annotations

import torch

from stemkit._constraints import Options, check_arguments


@check_arguments(device=["device"])
def pick_device(device: str | int | torch.device = "auto") -> torch.device:
    """Return an available device.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:1", ...}, int or torch.device, default="auto"
        "auto" is the first GPU if there is one, otherwise the CPU; an int is the number of a GPU.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ValueError
        If the name is unknown to torch, or the GPU is not available.

    Examples
    --------
    >>> from stemkit.engine import pick_device
    >>> pick_device("cpu")
    device(type='cpu')
    """
    n_gpus = torch.cuda.device_count()
    if device == "auto":
        return torch.device("cuda", 0) if n_gpus else torch.device("cpu")
    try:
        picked = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f'device={device!r} is not a device: use "auto", "cpu", "cuda" or "cuda:1".'
        ) from error
    if picked.type not in ("cpu", "cuda"):
        raise ValueError(
            f'device={device!r} is not supported: use "auto", "cpu", "cuda" or "cuda:1".'
        )
    if picked.type == "cpu":
        return torch.device("cpu")
    index = picked.index or 0
    if index >= n_gpus:
        raise ValueError(
            f'device={device!r} is not available: torch finds {n_gpus} GPUs. Use "auto" or "cpu".'
        )
    return torch.device("cuda", index)


@check_arguments(precision=[Options("auto", "32-true", "bf16-mixed")], device=[torch.device])
def pick_precision(precision: str, device: torch.device) -> str:
    """Return the precision to compute in on a device.

    Parameters
    ----------
    precision : {"auto", "32-true", "bf16-mixed"}
        "auto" is bfloat16 on GPUs that support it and float32 otherwise: most CPUs only emulate
        bfloat16, which is slower than float32.
    device : torch.device
        Device of the computation.

    Returns
    -------
    {"32-true", "bf16-mixed"}
        In the notation of lightning-fabric.

    Raises
    ------
    ValueError
        If `precision` is invalid or `device` is no torch.device.

    Examples
    --------
    >>> from stemkit.engine import pick_device, pick_precision
    >>> pick_precision("auto", pick_device("cpu"))
    '32-true'
    """
    if precision != "auto":
        return precision
    # bfloat16 came with compute capability 8
    fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16-mixed" if fast else "32-true"
