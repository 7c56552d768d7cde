"""Train and score the denoisers of the benchmark of SCGN."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from _scgn_beyond import LargerCropsSCGN
from _scgn_contenders import CLASSICAL, DATA, DOT_SIGMA, TEST_SEED, Budget, make_network
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils import Bunch
from torch.utils.flop_counter import FlopCounterMode

from stemkit.metrics import atom_iou, atom_score, psnr, ssim

EPOCH = 50


class Run(NamedTuple):
    """A row of the table: a denoiser trained on one kind of frames."""

    network: str
    data: str
    steps: int
    seed: int

    def file(self, results: Path) -> Path:
        """Return the file of its scores."""
        name = f"{self.data}-{self.network}-{self.steps}-{self.seed}"
        return results / f"{name.replace(', ', '-').replace(' ', '-')}.json"


class OutOfTimeError(Exception):
    """The time of a run is up; its checkpoint is kept."""


def train(
    run: Run, budget: Budget, results: Path, n_frames: int, device: str, deadline: float
) -> bool:
    """Train a network from its last checkpoint, and save its scores.

    Return False if the deadline, a value of ``time.monotonic``, is reached before the end.
    """
    batches = itertools.count()

    def stream(times: int) -> Callable[[np.random.Generator], Any]:
        """Return a stream of fewer frames with sides `times` as long."""
        n_frames = max(1, budget.batch_size // times**2)
        make_batch = DATA[run.data].stream(n_frames, times * budget.side, device)

        return _UntilDeadline(make_batch, deadline, batches)

    model = make_network(
        run.network,
        budget,
        lr=budget.lr,
        max_epochs=run.steps // EPOCH,
        steps_per_epoch=EPOCH,
        batch_size=budget.batch_size,
        checkpoint_dir=run.file(results).with_suffix(""),
        device=device,
        random_state=run.seed,
        verbose=1,
    )
    streams = (stream(1), stream(2)) if isinstance(model, LargerCropsSCGN) else stream(1)
    try:
        taken = time_of(lambda: model.fit(streams))
    except OutOfTimeError:
        return False
    model.verbose = 0
    test = DATA[run.data].test(n_frames)
    found = {"": evaluate(model.transform, test)}
    if run.network == "SCGN":
        for n_views in (4, 8):
            model.set_params(n_views=n_views)
            found[f"mean of {n_views} views"] = evaluate(model.transform, test)
        model.set_params(n_views=1)
    if run.network == "SCGN" and model.averaged_.n_averaged:  # 0 if fit resumed at the last step
        model.module_ = model.averaged_.module.eval()
        found["mean of weights"] = evaluate(model.transform, test)
    save_scores(
        run,
        results,
        found,
        parameters=sum(p.numel() for p in model.module_.parameters()),
        lr=budget.lr,
        loss=float(model.history_["train_loss"].iloc[-1]),
        **speed(model.module_, budget, taken, run.steps, next(batches)),
    )
    return True


class _UntilDeadline:
    """Stream that counts its batches and stops at a time of ``time.monotonic``.

    The deadline is not part of its fingerprint, since batches do not depend on it.
    """

    def __init__(
        self, make_batch: Callable[..., Any], deadline: float, batches: Iterator[int]
    ) -> None:
        self._make_batch, self.deadline, self.batches = make_batch, deadline, batches

    def __call__(self, generator: np.random.Generator) -> Any:
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        next(self.batches)
        return self._make_batch(generator)

    def fingerprint(self) -> dict[str, Any]:
        return {"make_batch": self._make_batch}


def speed(
    module: torch.nn.Module, budget: Budget, taken: float, steps: int, n_batches: int
) -> dict[str, float | None]:
    """Return the time per step and the rate of operations; empty if the training was resumed."""
    if n_batches < steps:
        return {}
    frame = torch.zeros(1, 1, 32, 32, device=next(module.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(frame)
    # A backward pass takes twice the operations of a forward pass. FFTs are not counted.
    flops = 3 * counter.get_total_flops() * budget.batch_size * (budget.side / 32) ** 2
    return {"s a step": taken / steps, "TFLOP/s": flops * steps / taken / 1e12}


def score_classical(run: Run, results: Path, n_frames: int) -> None:
    """Score a denoiser without training, with settings chosen on separate frames."""
    data = DATA[run.data]
    model, settings = CLASSICAL[run.network]
    few = data.make(4, random_state=TEST_SEED + 1, **data.options)

    def quality(parameters: dict[str, float]) -> float:
        denoiser = clone(model).set_params(**parameters).fit(few.noisy)
        return psnr(few.target, denoiser.transform(few.noisy))

    best = max(ParameterGrid(settings), key=quality)
    test = data.test(n_frames)
    denoiser = clone(model).set_params(**best).fit(test.noisy)
    save_scores(run, results, {"": evaluate(denoiser.transform, test)}, settings=best)


def save_scores(run: Run, results: Path, scores: dict[str, dict[str, float]], **more: Any) -> None:
    """Save the scores of a run and of its variants."""
    content = {**run._asdict(), "scores": scores, **more}
    run.file(results).write_text(json.dumps(content, indent=1))


def time_of(call: Callable[[], object]) -> float:
    """Return the time of a call: CPU time, or elapsed time if there is a GPU.

    Other processes on the machine do not add to CPU time.
    """
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    start = clock()
    call()
    return clock() - start


def evaluate(denoise: Callable[[NDArray], NDArray], test: Bunch) -> dict[str, float]:
    """Score a denoiser and measure its time per frame."""
    return {
        **scores(test, denoise(test.noisy)),
        "s a frame": time_of(lambda: denoise(test.noisy[:2])) / 2,
    }


def scores(test: Bunch, denoised: NDArray) -> dict[str, float]:
    """Return the metrics of denoised frames."""
    # Dots have the highest intensity. For a clean frame, the threshold of the IoU is half of its
    # maximum.
    dots = test.target is not test.clean
    bound = {} if dots else {"data_range": float(test.target.max()), "quantize": False}
    return {
        "PSNR, dB": psnr(test.target, denoised),
        "SSIM": ssim(test.target, denoised),
        "IoU": atom_iou(test.target, denoised, **bound),
        "F1": f1(test, denoised, DOT_SIGMA if dots else None),
    }


def f1(
    test: Bunch, denoised: NDArray, sigma: float | None = None, *, tolerance: float = 1.0
) -> float:
    """Return the F1 score of the peaks of denoised frames."""
    return atom_score(test.positions, peaks_of(test, denoised, sigma), tolerance=tolerance).f1


def peaks_of(test: Bunch, denoised: NDArray, sigma: float | None = None) -> pd.DataFrame:
    """Find the peaks of a Laplacian of Gaussian with the sigma of dots or of the frame's atoms.

    The threshold is a quarter of the median response at the true atoms.
    """
    found = []
    for index, frame in enumerate(denoised):
        atoms = test.positions[test.positions["frame"] == index]
        size = sigma or float(atoms["sigma"].median())
        places = atoms[["y", "x"]].to_numpy().round().astype(int)
        response = -ndimage.gaussian_laplace(frame.astype(float), size)
        strength = np.median(response[tuple(places.clip(0, frame.shape[0] - 1).T)])
        peaks = peak_local_max(
            response,
            min_distance=max(1, round(size)),
            threshold_abs=max(strength / 4, 0),
            exclude_border=False,
        )
        at = [peaks[:, axis] + _offset(response, peaks, axis) for axis in (0, 1)]
        found.append(pd.DataFrame({"frame": index, "y": at[0], "x": at[1]}))
    return pd.concat(found, ignore_index=True)


def _offset(response: NDArray, peaks: NDArray, axis: int) -> NDArray:
    """Return the offset along an axis of the vertex of the parabola about each peak."""
    step = np.eye(2, dtype=int)[axis]
    padded = np.pad(response, 1, mode="edge")
    before, at, after = (padded[tuple((peaks + 1 + n * step).T)] for n in (-1, 0, 1))
    curvature = np.minimum(before - 2 * at + after, -1e-30)
    return (0.5 * (before - after) / curvature).clip(-0.5, 0.5)
