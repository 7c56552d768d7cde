"""The one training loop of every network: batches, schedule, early stop, checkpoints and resuming, history."""

from __future__ import annotations

import logging
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from stemkit.engine._checkpoint import CheckpointFolder
from stemkit.engine._device import pick_device, pick_precision
from stemkit.engine._sources import ArraySource, Batch, Source, StreamSource

__all__ = ["ArraySource", "FitResult", "Source", "StreamSource", "fit_module", "learning_rate"]

Loss = Callable[[nn.Module, Batch], Tensor | Mapping[str, Tensor]]


@dataclass(frozen=True)
class FitResult:
    """What a fit leaves behind beside the module's weights."""

    history: pd.DataFrame
    """One row an epoch: epoch, step, lr, seconds, train_loss, val_loss and each named loss."""
    n_steps: int
    n_epochs: int
    best_epoch: int | None
    """The epoch, from 0, whose weights the module has; None without validation."""


@dataclass
class _State:
    """What is carried from step to step, and in a checkpoint from process to process."""

    step: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    best_epoch: int | None = None
    best_weights: dict[str, Tensor] | None = None

    def add(self, losses: Mapping[str, float], n_samples: int) -> None:
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * n_samples
        self.sums["n_samples"] = self.sums.get("n_samples", 0.0) + n_samples

    def take_means(self) -> dict[str, float]:
        n_samples = self.sums.pop("n_samples")
        means = {name: total / n_samples for name, total in self.sums.items()}
        self.sums = {}
        return means


def learning_rate(step: int, *, lr: float, max_steps: int, warmup_steps: int) -> float:
    """Give the learning rate of a step: a linear rise over the warm-up, then half a cosine down to
    zero.

    Examples
    --------
    >>> from stemkit.engine import learning_rate
    >>> [round(learning_rate(s, lr=1.0, max_steps=6, warmup_steps=2), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    return lr * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (max_steps - warmup_steps)))


def fit_module(
    module: nn.Module,
    loss: Loss,
    source: Source,
    *,
    max_steps: int,
    validation: Source | None = None,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    warmup_steps: int = 100,
    clip_norm: float | None = 1.0,
    patience: int | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 500,
    device: str | int | torch.device = "auto",
    precision: str = "auto",
    fabric: Fabric | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> FitResult:
    """Train a module in place with AdamW, and leave it in evaluation mode on the device it was
    trained on.

    Parameters
    ----------
    module : nn.Module
        Its weights are changed.
    loss : callable
        ``loss(module, batch)`` gives a scalar tensor, or a dict of them whose "loss" is minimised
        and whose others are kept in the history. It has to call the module itself, not its methods,
        for mixed precision to work.
    source : Source
        Training batches, see `ArraySource` and `StreamSource`.
    max_steps : int
        Steps at most.
    validation : Source, optional
        Its first epoch is evaluated after each epoch of training. The weights of the best epoch are
        put back.
    lr : float, default=1e-3
        Highest learning rate, see `learning_rate`.
    weight_decay : float, default=0.0
        Of AdamW.
    warmup_steps : int, default=100
        Steps over which the learning rate rises; at most a quarter of `max_steps` is used.
    clip_norm : float or None, default=1.0
        Largest norm of the gradient.
    patience : int, optional
        Stop after so many epochs without a better validation loss. Needs `validation`.
    checkpoint_dir : path, optional
        Where to keep checkpoints. If it holds one of the same fit, that is continued: on the CPU,
        the weights at the end are those of an uninterrupted fit, bit for bit.
    checkpoint_every : int, default=500
        Steps from checkpoint to checkpoint; there is one at the end in any case.
    device, precision : default="auto"
        See `pick_device` and `pick_precision`.
    fabric : lightning.fabric.Fabric, optional
        A launched one of your own, for several GPUs; `device` and `precision` are then not used.
        Each process takes its share of every batch.
    random_state : int, default=0
        Seed of what is random in the module, dropout for one. The global random state is left as it
        was.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar.

    Returns
    -------
    FitResult
        With `history` (DataFrame), `n_steps`, `n_epochs` and `best_epoch`.

    Raises
    ------
    FloatingPointError
        If the loss or its gradient is not finite.
    ValueError
        If `checkpoint_dir` holds the checkpoint of another fit, or only damaged ones.
    OSError
        If a checkpoint can't be written; the one before it is kept.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from stemkit.engine import ArraySource, fit_module
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    >>> line = torch.nn.Linear(1, 1)
    >>> result = fit_module(
    ...     line,
    ...     lambda module, batch: (module(batch[0]) - batch[1]).square().mean(),
    ...     ArraySource(x, 2 * x + 1),
    ...     max_steps=200,
    ...     lr=0.1,
    ... )
    >>> round(line.weight.item(), 2), round(line.bias.item(), 2), result.n_epochs
    (2.0, 1.0, 50)
    """
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1; got {max_steps}.")
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1; got {checkpoint_every}.")
    if patience is not None and validation is None:
        raise ValueError("patience counts epochs of the validation loss: give validation too.")
    if fabric is None:
        fabric = make_fabric(device, precision)
    warmup_steps = min(warmup_steps, max_steps // 4)

    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    raw_optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    state = _State()
    folder = None
    if checkpoint_dir is not None:
        configuration = {
            "max_steps": max_steps,
            "lr": lr,
            "weight_decay": weight_decay,
            "warmup_steps": warmup_steps,
            "clip_norm": clip_norm,
            "patience": patience,
            "random_state": random_state,
            "precision": fabric._precision.precision,
            "module": _describe_module(module),
            "source": _describe_source(source),
            "validation": None if validation is None else _describe_source(validation),
        }
        folder = CheckpointFolder(checkpoint_dir, configuration)
    if folder is not None and (found := folder.load()) is not None:
        module.load_state_dict(found["module"])
        raw_optimizer.load_state_dict(found["optimizer"])
        state = _State(**found["state"])

    wrapped, optimizer = fabric.setup(module, raw_optimizer)
    started = time.perf_counter() - state.seconds
    bar = tqdm(
        total=max_steps,
        initial=state.step,
        unit="step",
        disable=verbose < 1 or not fabric.is_global_zero,
    )
    with bar, _own_randomness(fabric.device):
        while state.step < max_steps and not _is_over(state, patience):
            rate = learning_rate(state.step, lr=lr, max_steps=max_steps, warmup_steps=warmup_steps)
            for group in raw_optimizer.param_groups:
                group["lr"] = rate
            _seed(fabric, random_state, state.step)
            wrapped.train()
            batch = _share(fabric, source.batch(state.step))
            losses = _evaluate(wrapped, loss, batch)
            means = _finite_means(fabric, losses, state.step, rate)
            optimizer.zero_grad()
            fabric.backward(losses["loss"])
            if clip_norm is not None:
                norm = fabric.clip_gradients(
                    wrapped, optimizer, max_norm=clip_norm, error_if_nonfinite=False
                )
                _refuse_not_finite("gradient", float(norm), state.step, rate)
            optimizer.step()

            state.add(means, len(batch[0]))
            state.step += 1
            state.seconds = time.perf_counter() - started
            bar.update()
            if state.step % source.steps_per_epoch == 0 or state.step == max_steps:
                row = {
                    "epoch": len(state.rows),
                    "step": state.step,
                    "lr": rate,
                    "seconds": state.seconds,
                }
                row |= {_column("train", name): value for name, value in state.take_means().items()}
                if validation is not None:
                    row |= _validate(fabric, wrapped, loss, validation, random_state, rate)
                state.rows.append(row)
                if validation is not None:
                    _keep_best(state, module)
                bar.set_postfix(
                    {name: f"{value:.4g}" for name, value in row.items() if "loss" in name}
                )
            done = state.step == max_steps or _is_over(state, patience)
            if folder is not None and (done or state.step % checkpoint_every == 0):
                if fabric.is_global_zero:
                    folder.save(
                        {
                            "module": module.state_dict(),
                            "optimizer": raw_optimizer.state_dict(),
                            "state": vars(state),
                        }
                    )
                fabric.barrier()

    if state.best_weights is not None:
        module.load_state_dict(state.best_weights)
    module.eval()
    return FitResult(pd.DataFrame(state.rows), state.step, len(state.rows), state.best_epoch)


def make_fabric(device: str | int | torch.device, precision: str) -> Fabric:
    """Make a Fabric of one device, without a word on the console."""
    picked = pick_device(device)
    loggers = [logging.getLogger(name) for name in ("lightning.fabric", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        return Fabric(
            accelerator=picked.type,
            devices=1 if picked.type == "cpu" else [picked.index],
            precision=pick_precision(precision, picked),  # type: ignore[arg-type]
        )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_over(state: _State, patience: int | None) -> bool:
    return (
        patience is not None
        and state.best_epoch is not None
        and len(state.rows) - 1 - state.best_epoch >= patience
    )


def _evaluate(module: nn.Module, loss: Loss, batch: Batch) -> dict[str, Tensor]:
    losses = loss(module, batch)
    if isinstance(losses, Tensor):
        return {"loss": losses}
    if "loss" not in losses:
        raise ValueError(f'loss gave {sorted(losses)}; one of them must be named "loss".')
    return dict(losses)


def _finite_means(
    fabric: Fabric, losses: Mapping[str, Tensor], step: int, rate: float
) -> dict[str, float]:
    """Take the losses' means over the processes, so that all of them stop at a bad one."""
    means = {name: float(fabric.all_reduce(value.detach())) for name, value in losses.items()}
    _refuse_not_finite("loss", means["loss"], step, rate)
    return means


def _refuse_not_finite(what: str, value: float, step: int, rate: float) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"The {what} became {value} at step {step}, with a learning rate of {rate:.3g}: use a lower lr, "
            "and look for extreme values in the data."
        )


def _validate(
    fabric: Fabric, module: nn.Module, loss: Loss, source: Source, random_state: int, rate: float
) -> dict[str, float]:
    """Take the mean losses over one epoch of the validation source, which is the same each time."""
    state = _State()
    module.eval()
    with torch.no_grad():
        for step in range(source.steps_per_epoch):
            _seed(fabric, random_state, step)
            batch = _share(fabric, source.batch(step))
            means = _finite_means(fabric, _evaluate(module, loss, batch), step, rate)
            state.add(means, len(batch[0]))
    return {_column("val", name): value for name, value in state.take_means().items()}


def _keep_best(state: _State, module: nn.Module) -> None:
    best = math.inf if state.best_epoch is None else state.rows[state.best_epoch]["val_loss"]
    if state.rows[-1]["val_loss"] < best:
        state.best_epoch = len(state.rows) - 1
        state.best_weights = {
            key: value.detach().cpu().clone() for key, value in module.state_dict().items()
        }


def _column(part: str, name: str) -> str:
    return f"{part}_{name}"


def _share(fabric: Fabric, batch: Batch) -> Batch:
    """Give this process its rows of a batch; a process of which there are more than rows takes one again."""
    if fabric.world_size > 1:
        n = len(batch[0])
        rows = torch.arange(fabric.global_rank, max(n, fabric.world_size), fabric.world_size) % n
        batch = tuple(tensor[rows] for tensor in batch)
    return fabric.to_device(batch)


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _seed(fabric: Fabric, random_state: int, step: int) -> None:
    """Seed dropout and the like from the step alone, so that a resumed fit draws what an uninterrupted one does."""
    entropy = [random_state, step, fabric.global_rank]
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    # not torch.manual_seed, which seeds every GPU, and those that are not yet in use later
    torch.default_generator.manual_seed(seed)
    if fabric.device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _describe_module(module: nn.Module) -> str:
    """Tell modules apart by the names and shapes of their weights."""
    layout = [f"{key}{tuple(value.shape)}" for key, value in module.state_dict().items()]
    return f"{type(module).__name__} {zlib.crc32(' '.join(layout).encode()):08x}"


def _describe_source(source: Source) -> list[float]:
    """Tell data apart by the mean and spread of a batch, which needs no source to describe its settings."""
    statistics = [float(source.steps_per_epoch)]
    for tensor in source.batch(0):
        values = tensor.double()
        statistics += [float(len(values)), float(values.mean()), float(values.std(correction=0))]
    return statistics
