"""Accuracy of the decay: the paper's test, ten strengths of three kinds of damage, no drift.

    python benchmarks/decay.py

The amplitude error is the difference between the true strength and the least-squares amplitude of
the predicted damage on the true unit pattern, averaged over the ten strengths; the MAE is that of
the map. Peers in the same run: the ratio of smoothed frames, and a CNN on patches like the paper's
baseline, trained here on the same synthetic pairs. With noise the table includes lower bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import _bounds
import _options
import _report
import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from stemkit import DriftDecayModel
from stemkit.damage import normalize_pair, synthetic_batch
from stemkit.datasets import make_damage_sequence, make_scene
from stemkit.degradation import Kind, degrade
from stemkit.engine import StreamSource, fit_module

KINDS: tuple[Kind, ...] = ("gaussian", "perlin", "random")
SPECIMENS = ["perfect", "aperiodic"]
DAMAGE: list[str] = list(KINDS)
SHAPE = (256, 256)
PATCH = 32
# Amplitude errors on clean frames, read off a figure of the AtomDiffuser paper.
PAPER = {"gaussian": 0.014, "perlin": 0.021, "random": 0.024}
PAPER_CNN = {"gaussian": 0.11, "perlin": 0.07, "random": 0.05}

Estimator = Callable[[NDArray], NDArray]
# Errors of the amplitude and of the map.
Errors = tuple[float, float]


def smoothed_ratio(frames: NDArray, sigma: float = 8.0, background: float = 0.0) -> NDArray:
    """Return the damage as 1 - ratio of smoothed frames, minus the true background."""
    smooth = np.stack([ndimage.gaussian_filter(frame, sigma) for frame in frames]) - background
    return 1 - (smooth / np.maximum(smooth[0], 1e-3)).clip(0, 1)


class PatchCNN(nn.Sequential):
    """Convolutional network that returns one value of the decay for a patch of both frames."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(2, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(64, 1), nn.Sigmoid(),
        )  # fmt: skip


def train_patch_cnn(steps: int, seed: int) -> PatchCNN:
    """Train the baseline on patches of the synthetic pairs of the network's training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        cnn = PatchCNN()

    def make_batch(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        first, second, _, _, decay, _ = synthetic_batch(rng, batch_size=8, side=96, unaligned=0.0)
        pair = torch.from_numpy(np.concatenate([first, second, decay], axis=1))
        patches = pair.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, PATCH, PATCH)
        return patches[:, :2], patches[:, 2:].mean(dim=(1, 2, 3))[:, None]

    fit_module(
        cnn,
        lambda module, batch: (module(batch[0]) - batch[1]).abs().mean(),
        StreamSource(make_batch, random_state=seed),
        max_steps=steps,
        device="cpu",
    )
    return cnn


def patchwise(cnn: PatchCNN, frames: NDArray) -> NDArray:
    """Return the baseline's damage, interpolated between patches that overlap by half."""
    damage = []
    with torch.inference_mode():
        for frame in frames:
            pair = torch.from_numpy(np.stack(normalize_pair(frames[0], frame)))[None]
            patches = pair.unfold(2, PATCH, PATCH // 2).unfold(3, PATCH, PATCH // 2)
            n_rows, n_columns = patches.shape[2:4]
            patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 2, PATCH, PATCH)
            grid = 1 - cnn(patches).reshape(n_rows, n_columns).numpy()
            # Patches are centred at PATCH / 2 + i PATCH / 2.
            position = [(np.arange(n) + 0.5) / (PATCH / 2) - 1 for n in frame.shape]
            y, x = np.meshgrid(*position, indexing="ij")
            damage.append(ndimage.map_coordinates(grid, [y, x], order=1, mode="nearest"))
    return np.stack(damage)


def of_model(model: DriftDecayModel, frames: NDArray) -> NDArray:
    """Return stemkit's damage of a series without motion."""
    still = pd.DataFrame(0.0, index=range(len(frames)), columns=["dy", "dx"])
    return 1 - model.decay_maps(frames, trajectory=still)


def of_pairs(model: DriftDecayModel, frames: NDArray) -> NDArray:
    """Return stemkit's damage of each frame, estimated from it and the first alone."""
    alone = [of_model(model, frames[[0, index]])[1] for index in range(1, len(frames))]
    return np.stack([np.zeros_like(frames[0]), *alone])


def film_of(series: dict) -> NDArray:
    """Return the film that carries the specimen: what remains once all columns are damaged."""
    everywhere = np.ones(SHAPE)
    return degrade(series["scene"], SHAPE, damage=lambda y, x: everywhere, strength=1.0)[0]


def signal_of(series: dict, background: float) -> NDArray:
    """Return the part of a series' first frame that decays, in units of its peak."""
    return series["clean"][0] - background - film_of(series)


def bounds(
    series: dict, kind: Kind, dose: float, background: float, where: NDArray
) -> dict[str, Errors]:
    """Return lower bounds of the errors for shot noise, averaged over the strengths."""
    film = film_of(series)
    signal = signal_of(series, background)
    amplitude, mae, best = [0.0], [0.0], [0.0]
    # The first frame is the reference, without an error of its own.
    for decay, pattern, strength in zip(
        series["decay"][1:], series["pattern"][1:], series["strength"][1:], strict=True
    ):
        info = where * _bounds.information(signal, background + film, decay, dose)
        amplitude.append(_bounds.amplitude_bound(info, pattern))
        if kind == "gaussian":
            mae.append(_bounds.hole_bound(info, pattern, strength, where))
        else:
            least, lost = _bounds.noise_bound(info, pattern, strength, where, kind)
            mae.append(least)
            best.append(lost)
    allowed = {"bound": (float(np.mean(amplitude)), float(np.mean(mae)))}
    if kind != "gaussian":
        allowed["best map"] = (float(np.mean(best)), float(np.mean(mae)))
    return allowed


def errors(estimate: NDArray, series: dict, where: NDArray) -> Errors:
    """Return amplitude error and MAE of a sequence, each averaged over the strengths."""
    amplitude, mae = [], []
    for damage, pattern, decay, strength in zip(
        estimate, series["pattern"], series["decay"], series["strength"], strict=True
    ):
        unit = pattern[where].astype(float)
        amplitude.append(abs((damage[where] * unit).sum() / (unit**2).sum() - strength))
        mae.append(np.abs(damage[where] - (1 - decay[where])).mean())
    return float(np.mean(amplitude)), float(np.mean(mae))


def main(
    scenes: Annotated[int, typer.Option(help="Specimens of each kind.")] = 5,
    seed: int = 2026,
    cnn_steps: int = 600,
    weights: str = "default",
    peers: Annotated[bool, typer.Option(help="Whether to run the other methods.")] = True,
    specimen: Annotated[list[str], typer.Option(help="perfect, aperiodic.")] = SPECIMENS,
    damage: Annotated[list[str], typer.Option(help="gaussian, perlin, random.")] = DAMAGE,
) -> None:
    """Run all and print the tables."""
    model = DriftDecayModel(weights=weights, max_epochs=0, binning=1)
    cnn = train_patch_cnn(cnn_steps if peers else 1, seed)
    rows = []
    for content in specimen:
        for noise, dose, background in (("clean", None, 0.0), ("dose 10", 10.0, 0.1)):
            methods: dict[str, Estimator] = {
                "stemkit, series": lambda frames: of_model(model, frames),
                "stemkit, pairs": lambda frames: of_pairs(model, frames),
                "patch CNN": lambda frames: patchwise(cnn, frames),
                "smoothed ratio": lambda frames: smoothed_ratio(frames),
                "ratio, background known": lambda frames, b=background: smoothed_ratio(
                    frames, background=b
                ),
            }
            for kind in damage:
                for index in range(scenes):
                    rng = np.random.default_rng([seed, index])
                    scene = make_scene(SHAPE, content=content, random_state=rng)
                    series = make_damage_sequence(
                        kind, shape=SHAPE, scene=scene, dose=dose, background=background,
                        random_state=rng,
                    )  # fmt: skip
                    # Vacuum and film don't decay.
                    local = ndimage.gaussian_filter(signal_of(series, background), 8)
                    where = local > 0.2 * np.percentile(local, 90)
                    cell = (content, noise, kind)
                    for name, method in methods.items():
                        if peers or name.startswith("stemkit"):
                            found = errors(method(series.frames), series, where)
                            rows.append((*cell, name, *found))
                    if dose is not None and peers:
                        for name, least in bounds(series, kind, dose, background, where).items():
                            rows.append((*cell, name, *least))
    columns = ["specimen", "frames", "damage", "method", "amplitude error", "MAE"]
    table = pd.DataFrame(rows, columns=columns).groupby(columns[:4], sort=False).mean()
    table = table.unstack("damage").round(4)
    _report.print_table(
        f"Decay: ten strengths, {scenes} specimens of {SHAPE[0]} x {SHAPE[1]} px a cell",
        table,
        notes=f"AtomDiffuser's paper (clean, read off its figure): amplitude error {PAPER}; "
        f"its CNN baseline {PAPER_CNN}.\n"
        "Bound: the Cramér-Rao bound of the amplitude for a known pattern and of the map of a hole "
        "of unknown depth and width; the Bayesian bound of the other maps for known statistics of "
        "the pattern. The background is known, the specimen is not.\n"
        "Best map: the mean of the posterior with the same knowledge. Its amplitude is too small, "
        "since undetermined parts have the mean of the prior.",
    )


if __name__ == "__main__":
    _options.run(main, scenes=1, cnn_steps=50, specimen=["perfect"], damage=["perlin"])
