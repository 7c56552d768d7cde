"""Positions of atoms: errors against the Cramér-Rao bound, crowded frames, speed, marked frames.

    python benchmarks/localize.py

The real frames, with marks made by people, cannot be distributed. They are read from ../shared/data
next to the repository, and skipped if they are missing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import _options
import _report
import numpy as np
import pandas as pd
import tifffile
import typer
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats.qmc import PoissonDisk
from skimage.feature import blob_log, peak_local_max

from stemkit.datasets import make_nucleation
from stemkit.localize import AtomLocator
from stemkit.metrics import atom_score

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ptnc"
# Frames for the choice of settings, and frames for scores. The first three show one area, and none
# of the others shows it.
CHOSEN_ON, REPORTED_ON = ("047", "048", "051"), ("025", "027", "034", "037")
SIGMA = 1.5

Method = Callable[[NDArray, float, float], NDArray]


def locator(frame: NDArray, sigma: float, threshold: float) -> NDArray:
    """Locate atoms with AtomLocator, with a given size and threshold."""
    model = AtomLocator(sigma=sigma, threshold=threshold).fit([frame])
    return model.predict([frame])[["y", "x"]].to_numpy()


def filtered_peaks(frame: NDArray, sigma: float, threshold: float) -> NDArray:
    """Locate the maxima of a band-passed frame, and refine them by centres of mass."""
    smooth = ndimage.gaussian_filter(frame, sigma) - ndimage.gaussian_filter(frame, 4 * sigma)
    # A Gaussian atom as wide as the filter keeps half of its peak.
    peaks = peak_local_max(smooth, min_distance=1, threshold_abs=threshold / 2)
    radius = max(1, round(1.5 * sigma))
    offset = np.arange(-radius, radius + 1)
    rows = (peaks[:, :1] + offset).clip(0, frame.shape[0] - 1)[:, :, np.newaxis]
    columns = (peaks[:, 1:] + offset).clip(0, frame.shape[1] - 1)[:, np.newaxis]
    weight = smooth[rows, columns]
    weight = (weight - weight.min(axis=(1, 2), keepdims=True)) ** 2
    total = weight.sum(axis=(1, 2))
    return np.stack([(weight * c).sum(axis=(1, 2)) / total for c in (rows, columns)], axis=1)


def blobs(frame: NDArray, sigma: float, threshold: float) -> NDArray:
    """Locate atoms with blob_log of scikit-image, at three scales around the size."""
    found = blob_log(
        frame.astype(float),
        min_sigma=0.8 * sigma,
        max_sigma=1.25 * sigma,
        num_sigma=3,
        # The scale-normalised Laplacian of a Gaussian atom is half its peak.
        threshold=threshold / 2,
        overlap=0.9,
    )
    return found[:, :2]


METHODS: dict[str, Method] = {
    "AtomLocator": locator,
    "filtered peaks, centre of mass": filtered_peaks,
    "blob_log": blobs,
}


def draw(
    shape: tuple[int, int],
    places: NDArray,
    sigma: float | NDArray = SIGMA,
    peak: float | NDArray = 1.0,
) -> NDArray:
    """Return a frame of Gaussian atoms, evaluated at the pixel centres."""
    along_y = np.exp(-((np.arange(shape[0])[:, None] - places[:, 0]) ** 2) / (2 * sigma**2))
    along_x = np.exp(-((np.arange(shape[1])[:, None] - places[:, 1]) ** 2) / (2 * sigma**2))
    return (peak * along_y) @ along_x.T


def bound(peak: float, variance: Callable[[NDArray], NDArray], background: float) -> float:
    """Return the Cramér-Rao bound of y in px, averaged over positions of the atom within its pixel.

    By symmetry the error of the position is uncorrelated with those of amplitude, size and
    background, so the bound is the same if these are unknown. The information in the increase of
    the noise with the signal is neglected.
    """
    y, x = np.indices((41, 41)) - 20.0
    squares = []
    for dy, dx in itertools.product(np.arange(-0.4, 0.5, 0.2), repeat=2):
        signal = peak * np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (2 * SIGMA**2))
        slope = signal * (y - dy) / SIGMA**2
        squares.append(1 / np.sum(slope**2 / variance(signal + background)))
    return float(np.sqrt(np.mean(squares)))


def isolated(n: int = 20, spacing: float = 16.0) -> pd.DataFrame:
    """Return the errors and bounds of isolated atoms, for several kinds of noise and doses."""
    rng = np.random.default_rng(0)
    cases = [("none", peak, 20.0) for peak in (100.0,)]
    cases += [("Poisson", dose, 0.2 * dose) for dose in (10.0, 30.0, 100.0, 1000.0)]
    cases += [("Poisson", 100.0, 0.0), ("HRTEM", 20.0, 99.0), ("HRTEM", 39.0, 99.0)]
    rows = []
    for noise, peak, background in cases:
        places = (np.indices((n, n)).reshape(2, -1).T + 0.5) * spacing
        places += rng.uniform(-2, 2, places.shape)
        clean = background + peak * draw((round(n * spacing),) * 2, places)
        if noise == "Poisson":
            frame, limit = rng.poisson(clean), bound(peak, lambda s: s + 1e-9, background)
        elif noise == "HRTEM":
            frame = clean + rng.normal(size=clean.shape) * (0.03583 * clean + 1.379)
            limit = bound(peak, lambda s: (0.03583 * s + 1.379) ** 2, background)
        else:
            frame, limit = clean, np.nan
        for name, method in METHODS.items():
            score = atom_score(places, method(frame, SIGMA, 0.4 * peak), tolerance=2)
            rms = score.rms_error / np.sqrt(2)
            rows.append(
                {
                    "noise": noise,
                    "peak": peak,
                    "background": background,
                    "method": name,
                    "F1": score.f1,
                    "RMS error, px": rms,
                    "largest, px": score.matches["distance"].max(),
                    "bound, px": limit,
                    "times the bound": rms / limit,
                }
            )
    return pd.DataFrame(rows).set_index(["noise", "peak", "background", "method"])


def overlapping(n_frames: int = 3, spacing: float = 2.67, side: int = 128) -> pd.DataFrame:
    """Return the errors for overlapping atoms without noise; size and threshold are learned."""
    rows = []
    for scatter in (0.0, 0.1):
        largest, scores = [], []
        for seed in range(n_frames):
            rng = np.random.default_rng(seed)
            disk = PoissonDisk(2, radius=spacing * SIGMA / side, rng=rng)
            places = side * disk.fill_space() - 0.5
            peak = 40 * (1 + 0.15 * rng.normal(size=len(places)))
            size = SIGMA * (1 + scatter * rng.normal(size=len(places)))
            frame = 100 + draw((side, side), places, size, peak)
            found = AtomLocator().fit([frame]).predict([frame])
            scores.append(atom_score(places, found[["y", "x"]], tolerance=2))
            largest.append(scores[-1].matches["distance"].max())
        rows.append(
            {
                "scatter of sigma, %": 100 * scatter,
                "F1": np.mean([score.f1 for score in scores]),
                "RMS error, px": np.mean([score.rms_error for score in scores]) / np.sqrt(2),
                "largest, px": max(largest),
            }
        )
    return pd.DataFrame(rows).set_index("scatter of sigma, %")


def nucleation(n_frames: int) -> pd.DataFrame:
    """Return scores and atoms per second on nucleation frames.

    Rows named "tuned" use the true median size and the best of eight thresholds for the first
    frame; the others learn both.
    """
    data = make_nucleation(n_frames, random_state=0)
    size, peak = data.positions["sigma"].median(), data.positions["amplitude"].median()
    methods: dict[str, Callable[[], pd.DataFrame]] = {}

    def learned(n_jobs: int | None) -> pd.DataFrame:
        return AtomLocator(n_jobs=n_jobs).fit(data.noisy).predict(data.noisy)

    first = data.positions[data.positions["frame"] == 0][["y", "x"]]

    def best_threshold(method: Method) -> float:
        thresholds = np.linspace(0.05, 0.75, 8) * peak
        found = [method(data.noisy[0], size, t) for t in thresholds]
        return thresholds[np.argmax([atom_score(first, f, tolerance=2).f1 for f in found])]

    def tuned(method: Method, threshold: float) -> pd.DataFrame:
        found = [method(frame, size, threshold) for frame in data.noisy]
        return pd.concat(
            pd.DataFrame({"frame": i, "y": p[:, 0], "x": p[:, 1]}) for i, p in enumerate(found)
        )

    methods["AtomLocator, learning too"] = lambda: learned(None)
    methods["AtomLocator, learning too, n_jobs=2"] = lambda: learned(2)
    # Joblib keeps its workers, so only the first call includes their imports.
    methods["AtomLocator, learning too, n_jobs=2, once more"] = lambda: learned(2)
    for name, method in METHODS.items():
        threshold = best_threshold(method)
        methods[f"{name}, tuned"] = lambda m=method, t=threshold: tuned(m, t)
    rows = []
    for name, call in methods.items():
        start, cpu_start = time.perf_counter(), time.process_time()
        found = call()
        cpu_seconds, seconds = time.process_time() - cpu_start, time.perf_counter() - start
        score = atom_score(data.positions, found, tolerance=2)
        rows.append(
            {
                "method": name,
                "F1": score.f1,
                "precision": score.precision,
                "recall": score.recall,
                "RMS error, px": score.rms_error / np.sqrt(2),
                "merged": score.merged,
                "atoms a second": len(data.positions) / seconds,
                "per CPU second": len(data.positions) / cpu_seconds
                if "n_jobs" not in name
                else np.nan,
            }
        )
    return pd.DataFrame(rows).set_index("method")


def real_frame(name: str) -> tuple[NDArray, NDArray]:
    """Return a frame with its slow background subtracted and unit variance, and its marks."""
    (path,) = DATA.glob(f"{name}_HAADF*.tif")
    frame = tifffile.imread(path).astype(float)
    flat = frame - ndimage.gaussian_filter(frame, 20)
    marks = pd.read_csv(DATA / f"{name}_Results.csv")
    return (flat / flat.std()).astype(np.float32), marks[["Y", "X"]].to_numpy(float)


def real() -> pd.DataFrame:
    """Return F1 at 5 px, with the best of 15 settings for each method, chosen on other frames."""
    frames = {name: real_frame(name) for name in CHOSEN_ON + REPORTED_ON}
    settings = list(itertools.product((3.0, 4.0, 5.0), (0.8, 1.0, 1.25, 1.6, 2.0)))

    def f1(method: Method, name: str, setting: tuple[float, float]) -> float:
        frame, marks = frames[name]
        return atom_score(marks, method(frame, *setting), tolerance=5).f1

    rows = []
    for name, method in METHODS.items():
        on_chosen = [np.mean([f1(method, c, s) for c in CHOSEN_ON]) for s in settings]
        best = int(np.argmax(on_chosen))
        reported = {r: f1(method, r, settings[best]) for r in REPORTED_ON}
        rows.append(
            {
                "method": name,
                "sigma, px": settings[best][0],
                "threshold": settings[best][1],
                "F1, chosen on": on_chosen[best],
                "F1, others": np.mean(list(reported.values())),
            }
            | reported
        )
    learned = AtomLocator().fit(np.stack([frames[name][0] for name in CHOSEN_ON]))
    scores = {
        name: learned.score(frame[np.newaxis], marks, tolerance=5)
        for name, (frame, marks) in frames.items()
    }
    rows.append(
        {
            "method": "AtomLocator, no marks seen",
            "sigma, px": learned.sigma_,
            "threshold": learned.threshold_,
            "F1, chosen on": np.mean([scores[name] for name in CHOSEN_ON]),
            "F1, others": np.mean([scores[name] for name in REPORTED_ON]),
        }
        | {name: scores[name] for name in REPORTED_ON}
    )
    return pd.DataFrame(rows).set_index("method")


def main(
    n_frames: Annotated[int, typer.Option(help="Nucleation frames to score and time.")] = 8,
    marked: Annotated[bool, typer.Option(help="Score real frames against people's marks.")] = True,
) -> None:
    """Run all and print the tables."""
    _report.print_table(
        "Isolated atoms of sigma 1.5 px: RMS error of a coordinate", isolated().round(4)
    )
    _report.print_table(
        "Overlapping atoms of sigma 1.5 px without noise, at least 2.67 sigma apart",
        overlapping().round(5),
    )
    _report.print_table(
        f"{n_frames} nucleation frames of 256 x 256 px", nucleation(n_frames).round(3)
    )
    if not marked:
        return
    if not DATA.is_dir():
        print("\nReal frames are skipped: ../shared/data next to the repository is missing.")
        return
    _report.print_table(
        "Single Pt atoms on N-doped carbon, F1 at 5 px against people's marks",
        real().round(3),
        notes=f"Settings are chosen on {', '.join(CHOSEN_ON)}; the others show other areas.",
    )


if __name__ == "__main__":
    _options.run(main, n_frames=1, marked=False)
