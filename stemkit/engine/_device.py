"""Which device to compute on, and in which precision."""

from __future__ import annotations

import torch

from stemkit._constraints import Options, check_arguments


def pick_device(device: str | int | torch.device = "auto") -> torch.device:
    """Turn what a user asks for into a device that is there.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:1", ...}, int or torch.device, default="auto"
        "auto" takes the first GPU if there is one, else the CPU; an int counts GPUs.

    Returns
    -------
    torch.device
        One that is there.

    Raises
    ------
    ValueError
        If torch doesn't know the name or doesn't see that GPU.

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
    except RuntimeError as error:
        raise ValueError(
            f'device={device!r} is not one: use "auto", "cpu", "cuda" or "cuda:1".'
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
            f'device={device!r} is not there: torch sees {n_gpus} GPUs. Use "auto" or "cpu".'
        )
    return torch.device("cuda", index)


@check_arguments(precision=[Options("auto", "32-true", "bf16-mixed")])
def pick_precision(precision: str, device: torch.device) -> str:
    """Choose a precision that a device computes in.

    Parameters
    ----------
    precision : {"auto", "32-true", "bf16-mixed"}
        "auto" takes bfloat16 on GPUs that compute in it and float32 elsewhere: most CPUs only
        emulate bfloat16, which is slower than float32.
    device : torch.device
        What to compute on.

    Returns
    -------
    {"32-true", "bf16-mixed"}
        As lightning-fabric names it.

    Raises
    ------
    ValueError
        If it is none of these.

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
