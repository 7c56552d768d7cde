"""The one training loop of every network: schedule, early stop, checkpoints, history."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from stemkit._constraints import Function, HasMethods, Interval, check_arguments
from stemkit.engine._checkpoint import CheckpointFolder
from stemkit.engine._checks import check_batch, check_losses, check_steps
from stemkit.engine._fabric import make_fabric, seed_step, take_share
from stemkit.engine._fingerprint import describe
from stemkit.engine._randomness import Kept, own_randomness
from stemkit.engine._sources import Batch, Source
from stemkit.exceptions import InvalidParameterError

Loss = Callable[[nn.Module, Batch], Tensor | Mapping[str, Tensor]]


@dataclass(frozen=True)
class FitResult:
    """Result of a fit, apart from the module's weights.

    Attributes
    ----------
    history : DataFrame
        One row per epoch: epoch, step, lr, seconds, train_loss, val_loss and each named loss.
    n_steps : int
        Number of steps.
    n_epochs : int
        Number of epochs, complete or not.
    best_epoch : int or None
        The epoch, from 0, whose weights the module has; None without validation.
    """

    history: pd.DataFrame
    n_steps: int
    n_epochs: int
    best_epoch: int | None


@check_arguments(
    step=[Interval(int, 0, None)],
    lr=[Interval(float, 0, None, closed="neither")],
    max_steps=[Interval(int, 1, None)],
    warmup_steps=[Interval(int, 0, None)],
)
def learning_rate(step: int, *, lr: float, max_steps: int, warmup_steps: int) -> float:
    """Return the learning rate of a step: a linear rise, then half a cosine towards zero.

    Parameters
    ----------
    step : int
        From 0 to ``max_steps - 1``.
    lr : float
        The highest rate, reached at the end of the warm-up.
    max_steps, warmup_steps : int
        Steps in all, and steps of the rise.

    Returns
    -------
    float
        Learning rate of the step.

    Raises
    ------
    ValueError
        If an argument is out of its range, or `step` is not less than `max_steps`.

    Examples
    --------
    >>> from stemkit.engine import learning_rate
    >>> [round(learning_rate(s, lr=1.0, max_steps=6, warmup_steps=2), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step >= max_steps:
        raise ValueError(f"step must be less than max_steps={max_steps}; got {step}.")
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (max_steps - warmup_steps)
    return lr * 0.5 * (1 + math.cos(math.pi * progress))


_SOURCE = HasMethods("batch", example="ArraySource(X, y)")


@check_arguments(
    module=[nn.Module],
    loss=[Function("module", "batch")],
    source=[_SOURCE],
    validation=[None, _SOURCE],
    fingerprint=[None, Mapping],
    fabric=[None, Fabric],
    max_steps=[Interval(int, 1, None)],
    lr=[Interval(float, 0, None, closed="neither")],
    weight_decay=[Interval(float, 0, None)],
    warmup_steps=[Interval(int, 0, None)],
    clip_norm=[None, Interval(float, 0, None, closed="neither")],
    patience=[None, Interval(int, 1, None)],
    checkpoint_dir=[None, "path"],
    checkpoint_every=[Interval(int, 1, None)],
    random_state=[Interval(int, 0, None)],
    verbose=["verbose"],
)
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
    fingerprint: Mapping[str, object] | None = None,
    device: str | int | torch.device = "auto",
    precision: str = "auto",
    fabric: Fabric | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> FitResult:
    """Train a module in place with AdamW and leave it in evaluation mode, on the device used.

    Parameters
    ----------
    module : nn.Module
        Its weights are changed.
    loss : callable
        ``loss(module, batch)`` returns a scalar tensor, or a dict of them: "loss" is minimised, and
        all are kept in the history. It must call the module itself, not its methods, or mixed
        precision and several GPUs have no effect.
    source : Source
        Training batches, see `ArraySource` and `StreamSource`.
    max_steps : int
        Maximum number of steps.
    validation : Source, optional
        Its first epoch is evaluated after each epoch of training. At the end the module gets the
        weights of the best epoch.
    lr : float, default=1e-3
        Highest learning rate, see `learning_rate`.
    weight_decay : float, default=0.0
        Of AdamW.
    warmup_steps : int, default=100
        Steps over which the learning rate rises; at most a quarter of `max_steps` is used.
    clip_norm : float or None, default=1.0
        Largest norm of the gradient.
    patience : int, optional
        Stop after so many epochs without a lower validation loss. Needs `validation`.
    checkpoint_dir : path, optional
        Folder for the checkpoint. If it holds one of the same fit, with the same data, parameters
        and initial weights, that fit is continued: on the CPU the final weights are those of an
        uninterrupted fit, bit for bit. The folder is locked while the fit runs.
    checkpoint_every : int, default=500
        Steps between checkpoints; another one is written at the end.
    fingerprint : mapping of str to object, optional
        Further values that decide the result and must be the same for a fit to be continued, such
        as the parameters of an estimator, see `fit_parameters`. Arrays are compared by a hash of
        all their values, functions by their code, other objects by their attributes, or by the
        mapping that their method ``fingerprint()`` returns.
    device, precision : default="auto"
        See `pick_device` and `pick_precision`.
    fabric : lightning_fabric.Fabric, optional
        A launched Fabric, for several GPUs; `device` and `precision` are then not used. Each
        process takes a part of every batch.
    random_state : int, default=0
        Seed of the module's random numbers, such as those of dropout. The global random state is
        not changed.
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
        If the module has no weights to train, the loss or a source returns something else, or
        `checkpoint_dir` holds a damaged checkpoint or that of another fit, or is in use by one.
    OSError
        If a checkpoint can't be written; the one before it is kept.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from stemkit.engine import ArraySource, fit_module
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    >>> line = torch.nn.Linear(1, 1)
    >>> def loss(module, batch):
    ...     return (module(batch[0]) - batch[1]).square().mean()
    >>> result = fit_module(line, loss, ArraySource(x, 2 * x + 1), max_steps=200, lr=0.1)
    >>> round(line.weight.item(), 2), round(line.bias.item(), 2), result.n_epochs
    (2.0, 1.0, 50)
    """
    if patience is not None and validation is None:
        raise ValueError("patience counts epochs of the validation loss: pass validation, too.")
    check_steps(source, "source")
    if validation is not None:
        check_steps(validation, "validation")
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trainable:
        raise InvalidParameterError("module must have weights to train; all of its are fixed.")
    if fabric is None:
        fabric = make_fabric(device, precision)
    warmup_steps = min(warmup_steps, max_steps // 4)
    settings: dict[str, object] = {
        "max_steps": max_steps,
        "lr": lr,
        "weight_decay": weight_decay,
        "warmup_steps": warmup_steps,
        "clip_norm": clip_norm,
        "patience": patience,
        "precision": precision,
        "random_state": random_state,
    }

    optimizer = torch.optim.AdamW(trainable, weight_decay=weight_decay)
    state = _State()
    checkpoints = None
    if checkpoint_dir is not None:
        compared = describe(
            {
                **(fingerprint or {}),
                **settings,
                "module": module,
                "loss function": loss,
                **_with_first_batch("training data", source),
                **_with_first_batch("validation data", validation),
            }
        )
        checkpoints = CheckpointFolder(checkpoint_dir, compared)

    with ExitStack() as stack:
        if checkpoints is not None:
            if fabric.is_global_zero:
                stack.enter_context(checkpoints)
            if (found := checkpoints.load()) is not None:
                try:
                    state = _State.restored(found["state"])
                    module.load_state_dict(found["module"])
                    _restore(optimizer, found["optimizer"])
                except (MemoryError, torch.OutOfMemoryError):
                    raise
                except Exception as error:  # contents that were edited can raise anything
                    raise checkpoints.damaged() from error
        trainer = _Trainer(fabric, module, loss, optimizer, clip_norm, random_state)
        started = time.perf_counter() - state.seconds
        silent = verbose < 1 or not fabric.is_global_zero
        bar = stack.enter_context(
            tqdm(total=max_steps, initial=state.step, desc="training", unit="step", disable=silent)
        )
        # Held for a step at a time, so that other threads need not wait for the end of the fit.
        kept: Kept = {}
        while not state.is_over(max_steps, patience):
            rate = learning_rate(state.step, lr=lr, max_steps=max_steps, warmup_steps=warmup_steps)
            with own_randomness(fabric.device, kept=kept):
                batch = check_batch(source.batch(state.step), "source")
                state.losses.append((len(batch[0]), trainer.step(batch, state.step, rate)))
            state.step += 1
            state.seconds = time.perf_counter() - started
            bar.update()
            if state.step % source.steps_per_epoch == 0 or state.step == max_steps:
                row = {"epoch": len(state.rows), "step": state.step, "lr": rate}
                row |= {"seconds": state.seconds, **_means("train", state.losses)}
                if validation is not None:
                    with own_randomness(fabric.device, kept=kept):
                        row |= _means("val", trainer.validate(validation, state.step))
                state.end_epoch(row, module)
                shown = {name: f"{value:.4g}" for name, value in row.items() if "_loss" in name}
                bar.set_postfix(shown)
            due = state.step % checkpoint_every == 0 or state.is_over(max_steps, patience)
            if checkpoints is not None and due:
                if fabric.is_global_zero:
                    content = {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
                    checkpoints.save(state.step, content | {"state": vars(state)})
                fabric.barrier()

    if state.best_weights is not None:
        module.load_state_dict(state.best_weights)
    module.eval()
    return FitResult(pd.DataFrame(state.rows), state.step, len(state.rows), state.best_epoch)


@dataclass
class _State:
    """State of a fit between steps, also stored in the checkpoint."""

    step: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    losses: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """For each step of the current epoch: the number of samples and their mean losses."""
    best_epoch: int | None = None
    best_weights: dict[str, Tensor] | None = None

    @classmethod
    def restored(cls, found: Mapping[str, Any]) -> _State:
        """Return the state of a checkpoint; ValueError if a part has another type."""
        state = cls(**found)
        for name in ("step", "best_epoch"):
            value = getattr(state, name)
            if value is not None and (type(value) is not int or value < 0):
                raise ValueError(f"{name} is {value!r}")
        _means("train", state.losses)
        last = state.rows[-1]["step"] if state.rows else 0
        if not 0 <= state.step - last == len(state.losses):
            raise ValueError("steps and losses differ")
        if state.best_epoch is not None:
            float(state.rows[state.best_epoch]["val_loss"])
            dict(state.best_weights or {})
        return cls(**{**found, "seconds": float(state.seconds)})

    def is_over(self, max_steps: int, patience: int | None) -> bool:
        if self.step >= max_steps:
            return True
        if patience is None or self.best_epoch is None:
            return False
        return len(self.rows) - 1 - self.best_epoch >= patience

    def end_epoch(self, row: dict[str, float], module: nn.Module) -> None:
        """Add the row of an epoch, and keep the weights if they are the best so far."""
        self.rows.append(row)
        self.losses = []
        if "val_loss" not in row:
            return
        if self.best_epoch is None or row["val_loss"] < self.rows[self.best_epoch]["val_loss"]:
            self.best_epoch = len(self.rows) - 1
            self.best_weights = {
                key: value.detach().cpu().clone() for key, value in module.state_dict().items()
            }


def _restore(optimizer: torch.optim.Optimizer, found: Any) -> None:
    """Load the state of an optimizer; ValueError if it is not of the same parameters."""
    names = [set(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(found)
    if [set(group) for group in optimizer.param_groups] != names:
        raise ValueError("the settings of the optimizer differ")
    for parameter, values in optimizer.state.items():
        if any(values[name].shape != parameter.shape for name in ("exp_avg", "exp_avg_sq")):
            raise ValueError("the shapes of the optimizer's state differ")


class _Trainer:
    """Steps of a module on a device, each a function of the weights, the batch and the seed."""

    def __init__(
        self,
        fabric: Fabric,
        module: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        clip_norm: float | None,
        random_state: int,
    ) -> None:
        self.fabric = fabric
        self.module, self.optimizer = fabric.setup(module, optimizer)
        self.loss = loss
        self.clip_norm = clip_norm
        self.random_state = random_state

    def step(self, batch: Batch, step: int, rate: float) -> dict[str, float]:
        """Update the weights with one batch and return its mean losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.module.train()
        seed_step(self.fabric, self.random_state, step)
        losses = self._losses(batch)
        means = self._mean_over_processes(losses)
        self._check_finite("loss", means["loss"], step)
        self.optimizer.zero_grad()
        self.fabric.backward(losses["loss"])
        if self.clip_norm is not None:
            norm = self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
            )
            self._check_finite(
                "gradient",
                float(norm),  # type: ignore[arg-type]  # None only where values are clipped
                step,
            )
        self.optimizer.step()
        return means

    @torch.no_grad()
    def validate(self, source: Source, step: int) -> list[tuple[int, dict[str, float]]]:
        """Return sample counts and losses of the first epoch of a source."""
        self.module.eval()
        losses = []
        for index in range(source.steps_per_epoch):
            seed_step(self.fabric, self.random_state, index)
            batch = check_batch(source.batch(index), "validation")
            means = self._mean_over_processes(self._losses(batch))
            self._check_finite("validation loss", means["loss"], step)
            losses.append((len(batch[0]), means))
        return losses

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        losses = self.loss(self.module, take_share(self.fabric, batch))
        return check_losses(losses, training=self.module.training)

    def _mean_over_processes(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Return means over the processes, so that all of them stop at the same step."""
        means = self.fabric.all_reduce({name: value.detach() for name, value in losses.items()})
        # Fabric returns a dict for a dict, but is annotated to return a tensor, too.
        return {name: float(mean) for name, mean in means.items()}  # type: ignore[union-attr]

    def _check_finite(self, what: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            rate = self.optimizer.param_groups[0]["lr"]
            raise FloatingPointError(
                f"The {what} became {value} at step {step}, with a learning rate of {rate:.3g}: "
                "use a lower lr, and check the data for extreme values."
            )


def _means(part: str, losses: Iterable[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """Return the mean of each loss over the samples."""
    totals: dict[str, float] = {}
    n_total = 0
    for n_samples, values in losses:
        n_total += n_samples
        for name, value in values.items():
            totals[name] = totals.get(name, 0.0) + n_samples * value
    return {f"{part}_{name}": total / n_total for name, total in totals.items()}


def _with_first_batch(name: str, source: Source | None) -> dict[str, object]:
    """Return a source, which is compared by its attributes, and its first batch."""
    if source is None:
        return {name: None}
    return {name: source, f"first batch of {name}": source.batch(0)}
