"""Compare rankings of denoisers by scores without truth with the ranking by the true PSNR.

    python benchmarks/truth_free_selection.py

On real frames, the reference is a second exposure. These frames cannot be distributed; they are
read from ../shared/data next to the repository, and skipped if they are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import _options
import _report
import numpy as np
import pandas as pd
import tifffile
import torch
import typer
from numpy.typing import NDArray
from scipy import ndimage, signal
from scipy.stats import spearmanr
from skimage import restoration

from stemkit.datasets import make_crystal_images, make_nucleation
from stemkit.denoise import BlindSpotDenoiser, GaussianDenoiser
from stemkit.metrics import BlindSpotScorer, SplitScorer, split_scorer
from stemkit.noise import HRTEMNoise, PoissonGaussianNoise, STEMNoise

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

Denoise = Callable[[NDArray], NDArray]


class FramewiseDenoiser:
    """Estimator for scorers that applies a function to each frame."""

    def __init__(self, function: Denoise) -> None:
        self.function = function

    def predict(self, X: NDArray) -> NDArray:
        return np.stack([self.function(np.asarray(frame, np.float32)) for frame in X])


class Blurred:
    """Camera whose scintillator spreads the noise of each pixel over its neighbours."""

    def __init__(self, camera: PoissonGaussianNoise, sigma: float) -> None:
        self.camera = camera
        self.sigma = sigma

    def set_params(self, random_state: int) -> Blurred:
        self.camera.set_params(random_state=random_state)
        return self

    def fit_transform(self, clean: NDArray) -> NDArray:
        noise = self.camera.fit_transform(clean) - clean
        return clean + ndimage.gaussian_filter(noise, self.sigma, axes=(1, 2))


def destriped(frame: NDArray) -> NDArray:
    """Return a frame without column noise: the column means are smoothed along x."""
    means = frame.mean(axis=0)
    return frame - means + ndimage.gaussian_filter(means, 3)


def noise_sigma(frame: NDArray) -> float:
    return float(restoration.estimate_sigma(frame))


def total_variation(frame: NDArray, strength: float) -> NDArray:
    return restoration.denoise_tv_chambolle(frame, weight=strength * noise_sigma(frame))


def non_local_means(frame: NDArray, strength: float) -> NDArray:
    sigma = noise_sigma(frame)
    return restoration.denoise_nl_means(
        frame, patch_size=5, patch_distance=6, h=strength * sigma, sigma=sigma
    )


FUNCTIONS: dict[str, Denoise] = {
    "nothing": lambda frame: frame,
    **{f"gaussian {s}": lambda frame, s=s: ndimage.gaussian_filter(frame, s)
       for s in (0.5, 0.7, 1.0, 1.5, 2.5, 4.0)},
    "gaussian 1.5, along columns": lambda frame: ndimage.gaussian_filter(frame, (1.5, 0)),
    "gaussian 1.5, along rows": lambda frame: ndimage.gaussian_filter(frame, (0, 1.5)),
    "destriped, gaussian 1": lambda frame: ndimage.gaussian_filter(destriped(frame), 1),
    **{f"median {n}": lambda frame, n=n: ndimage.median_filter(frame, n) for n in (3, 5, 7)},
    **{f"total variation {s}": lambda frame, s=s: total_variation(frame, s) for s in (0.5, 1, 2)},
    **{f"non-local means {h}": lambda frame, h=h: non_local_means(frame, h) for h in (0.6, 1.2)},
    "wavelets, Bayes": lambda frame: restoration.denoise_wavelet(frame),
    "wavelets, hard": lambda frame: restoration.denoise_wavelet(
        frame, method="VisuShrink", mode="hard"
    ),
    "wiener 5": lambda frame: signal.wiener(frame, 5),
}  # fmt: skip


def denoisers(frames: NDArray, seed: int) -> dict[str, FramewiseDenoiser | BlindSpotDenoiser]:
    """Return the denoisers to rank, including two networks trained briefly on the frames."""
    network = {"network_parameters": {"n_channels": 8}, "tile_size": 48, "batch_size": 8}
    trained = {
        f"blind spot, {epochs} epochs": BlindSpotDenoiser(
            **network, max_epochs=epochs, random_state=seed, device="cpu", lr=3e-3
        ).fit(frames)
        for epochs in (4, 16)
    }
    return {name: FramewiseDenoiser(function) for name, function in FUNCTIONS.items()} | trained


def simulated(seed: int, n: int = 2, side: int = 96) -> dict[str, tuple[NDArray, object]]:
    """Return clean frames and a noise simulator for each kind of data."""
    atoms = make_nucleation(n, (side, side), mask_scale=50, random_state=seed).clean
    crystal = make_crystal_images(
        "SrTiO3",
        n,
        shape=(side, side),
        pixel_size=0.02,
        rotation=None,
        background=0.2,
        vacuum=0.2,
        random_state=seed,
    ).frames
    no_distortion = {"row_jitter": None, "flyback": None, "background": None, "line_gain": None}
    return {
        "nucleation, camera": (atoms, HRTEMNoise()),
        "crystal, 25 electrons at the peak": (crystal, PoissonGaussianNoise(gain=10.0)),
        "crystal, 4 electrons at the peak": (crystal, PoissonGaussianNoise(gain=60.0)),
        "crystal, 500 electrons and readout": (
            crystal,
            PoissonGaussianNoise(gain=0.5, read_sigma=2.0),
        ),
        "crystal, STEM, 10 electrons on average": (
            crystal,
            STEMNoise(dose=10, afterglow=None, **no_distortion),
        ),
        "nucleation, column noise": (atoms, HRTEMNoise(column_sigma=5.0)),
        "crystal, STEM, afterglow": (crystal, STEMNoise(dose=10, afterglow=0.4, **no_distortion)),
        "crystal, noise spread by 1 px": (crystal, Blurred(PoissonGaussianNoise(gain=60.0), 1.0)),
    }


# Lines of pixels with correlated noise, for kinds of data that have it.
STRUCTURE = {"nucleation, column noise": "column", "crystal, STEM, afterglow": "row"}


def invariant_loss(model: FramewiseDenoiser | BlindSpotDenoiser, frames: NDArray) -> float:
    """Return the loss that calibrate_denoiser of scikit-image minimises."""
    losses = [
        np.mean(
            (
                restoration.denoise_invariant(
                    frame, lambda image: np.asarray(model.predict(image[np.newaxis])[0])
                )
                - frame
            )
            ** 2
        )
        for frame in frames
    ]
    return float(np.mean(losses))


def scores(models: dict, first: NDArray, second: NDArray, noise: object, kind: str) -> pd.DataFrame:
    """Return a table of all scores of all denoisers; greater is better."""
    scorers: dict[str, Callable[[object], float]] = {
        "residual": lambda m: -float(np.mean((m.predict(first) - first) ** 2)),
        "Noise2Self": lambda m: -invariant_loss(m, first),
        "blind spot": lambda m: BlindSpotScorer()(m, first),
        "two exposures": lambda m: split_scorer(m, first, second),
    }
    if kind in STRUCTURE:
        by_structure = BlindSpotScorer(structure=STRUCTURE[kind])
        scorers["blind lines"] = lambda m: by_structure(m, first)
    if isinstance(noise, HRTEMNoise | PoissonGaussianNoise):
        scorers["one, split"] = lambda m: SplitScorer(noise=noise)(m, first)
    return pd.DataFrame(
        {name: [scorer(m) for m in models.values()] for name, scorer in scorers.items()},
        index=list(models),
    )


def rank_simulated(seeds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rank correlations with the true PSNR, and the PSNR lost by each choice."""
    rows = []
    for seed in range(seeds):
        for kind, (clean, noise) in simulated(seed).items():
            first, second = (
                noise.set_params(random_state=2 * seed + i).fit_transform(clean) for i in (0, 1)
            )
            models = denoisers(first, seed)
            psnr = np.array(
                [
                    10 * np.log10(np.ptp(clean) ** 2 / np.mean((m.predict(first) - clean) ** 2))
                    for m in models.values()
                ]
            )
            for name, score in scores(models, first, second, noise, kind).items():
                rows.append(
                    {
                        "kind": kind,
                        "score": name,
                        "rho": spearmanr(score, psnr).statistic,
                        "lost": psnr.max() - psnr[int(np.argmax(score))],
                    }
                )
    table = pd.DataFrame(rows)
    order = list(dict.fromkeys(table["score"]))
    groups = table.groupby(["kind", "score"], sort=False)
    least, most = groups["rho"].min(), groups["rho"].max()
    rho = (least.map("{:.2f}".format) + " to " + most.map("{:.2f}".format)).unstack()[order]
    return rho.fillna(""), groups["lost"].mean().unstack()[order].round(2)


def rank_pair() -> pd.DataFrame:
    """Rank denoisers on one low-dose frame, with a second frame of the same field as reference."""
    first, second = np.load(DATA / "lowdose_pairs" / "katsuno_train_pair.npy").astype(np.float32)
    return _rank(first, second)


def rank_platinum() -> pd.DataFrame:
    """Rank denoisers on a scan of platinum on a film, with a second scan as reference."""
    first, second = (
        tifffile.imread(next((DATA / "ptnc").glob(f"{name}_*.tif"))).astype(np.float32)
        for name in ("047", "048")
    )
    # A feature at p in the first scan lies at p + (-11.3, -1.6) in the second.
    return _rank(first, ndimage.shift(second, (11.3, 1.6), mode="reflect"))


def _rank(first: NDArray, second: NDArray) -> pd.DataFrame:
    middle = (slice(128, 384),) * 2
    first, second = first[middle], second[middle]
    # Correct for a change of the beam between the exposures.
    gain, offset = np.polyfit(*(ndimage.gaussian_filter(f, 8).ravel() for f in (second, first)), 1)
    second = gain * second + offset
    # Very low doses also need wide filters.
    models: dict[str, object] = {name: FramewiseDenoiser(f) for name, f in FUNCTIONS.items()}
    models |= {f"gaussian {s}": GaussianDenoiser(sigma=s).fit(first[None]) for s in (6.0, 10.0)}
    table = {
        "blind spot": BlindSpotScorer(),
        "blind rows": BlindSpotScorer(structure="row"),
        "blind columns": BlindSpotScorer(structure="column"),
    }
    found = pd.DataFrame(
        {name: [scorer(m, first[None]) for m in models.values()] for name, scorer in table.items()},
        index=list(models),
    )
    reference = np.array([split_scorer(m, first[None], second[None]) for m in models.values()])
    found.insert(0, "two exposures", reference)
    gain = (reference - reference[0]) / (reference.max() - reference[0])
    gain = pd.Series(gain, index=found.index)
    return pd.DataFrame(
        {
            "rho with two exposures": [spearmanr(found[c], reference).statistic for c in found],
            "first": [found[c].idxmax() for c in found],
            "second": [found[c].drop(found[c].idxmax()).idxmax() for c in found],
            "first's share of the best's gain": [gain[found[c].idxmax()] for c in found],
        },
        index=found.columns,
    ).round(3)


def main(
    seeds: Annotated[int, typer.Option(help="Data sets, and networks, of each kind.")] = 3,
    real: Annotated[bool, typer.Option(help="Rank on real frames, too.")] = True,
) -> None:
    """Run all and print the tables."""
    torch.set_num_threads(1)
    rho, lost = rank_simulated(seeds)
    _report.print_table(
        f"Rank correlation with the true PSNR, {len(FUNCTIONS) + 2} denoisers, {seeds} seeds", rho
    )
    _report.print_table(
        "PSNR lost by picking the first of the ranking, dB, mean over seeds",
        lost,
        notes=(
            "Noise2Self: the loss of calibrate_denoiser of scikit-image. Blind lines: columns are "
            "hidden for column noise, rows for afterglow. One, split: the denoiser gets 80 % of "
            "the dose."
        ),
    )
    pairs = {
        "Low-dose TEM pair, 256 x 256 px": rank_pair,
        "Platinum on a film, scans 047 and 048, 256 x 256 px": rank_platinum,
    }
    for title, run in pairs.items() if real else ():
        if not DATA.is_dir():
            print(f"\n{title}: skipped, needs ../shared/data next to the repository")
            continue
        _report.print_table(
            title,
            run(),
            notes="The gain is the improvement over the noisy frame in the score of two exposures.",
        )


if __name__ == "__main__":
    _options.run(main, seeds=1, real=False)
