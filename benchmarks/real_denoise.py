"""What SCGN, trained on simulated nucleation frames, makes of real frames of other specimens.

    python benchmarks/real_denoise.py --pictures real_denoise

The network knows atoms of one size, on frames of one noise. Real frames are therefore flattened,
binned until their atoms have about that size, and scaled until their noise is as strong as in
training; nothing else is adjusted to them. The frames may not be shipped: they are looked for in
../shared/data beside the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import _report
import numpy as np
import pandas as pd
import typer
from localize import CHOSEN_ON, REPORTED_ON, locator, real_frame
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.io import imread
from skimage.transform import downscale_local_mean
from sklearn.base import clone

from stemkit import SCGNDenoiser
from stemkit.denoise._classical import _noise_sigma
from stemkit.metrics import atom_score

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# Background and noise of the frames that the network was trained on, in counts.
BACKGROUND, NOISE = 99.0, 4.9
DOT = 255.0
# Of AtomLocator: the size and the threshold that benchmarks/localize.py chooses.
SIZE, THRESHOLD = 3.0, 1.6
SIGMAS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)


def prepare(frame: NDArray, binning: int, *, flat: float = 20.0) -> NDArray:
    """Flatten, bin, and give a frame the background and the noise of the training."""
    level = frame - ndimage.gaussian_filter(frame, flat)
    height, width = (n // binning * binning for n in frame.shape)
    binned = downscale_local_mean(level[:height, :width], (binning, binning))
    return (BACKGROUND + NOISE * binned / _noise_sigma(binned)).astype(np.float32)


def denoise(model: SCGNDenoiser, frame: NDArray, binning: int) -> NDArray:
    """Give the dots that the network draws, in the binned frame."""
    return model.transform(prepare(frame, binning)[np.newaxis])[0]


def places(dots: NDArray, binning: int, threshold: float) -> NDArray:
    """Find the dots and say where they lie in the frame before binning."""
    peaks = peak_local_max(dots, min_distance=1, threshold_abs=threshold, exclude_border=False)
    return (peaks + 0.5) * binning - 0.5


def platinum(model: SCGNDenoiser) -> pd.DataFrame:
    """F1 of located atoms against marks; settings are chosen on frames of another area."""
    frames = {name: real_frame(name) for name in CHOSEN_ON + REPORTED_ON}
    found: dict[tuple[str, tuple[float, ...]], dict[str, NDArray]] = {}
    for threshold in (1.25, THRESHOLD, 2.0):
        found["AtomLocator", (SIZE, threshold)] = {
            name: locator(frame, SIZE, threshold) for name, (frame, _) in frames.items()
        }
    for binning in (2, 3, 4):
        dots = {name: denoise(model, frame, binning) for name, (frame, _) in frames.items()}
        for share in (0.25, 0.5, 0.8):
            peaks = {name: places(values, binning, share * DOT) for name, values in dots.items()}
            found["peaks of the dots", (binning, share)] = peaks
            found["AtomLocator, confirmed by dots", (binning, share)] = {
                name: confirmed(atoms, peaks[name])
                for name, atoms in found["AtomLocator", (SIZE, THRESHOLD)].items()
            }
    scores = pd.DataFrame(
        {
            key: {name: f1(frames[name][1], atoms[name]) for name in atoms}
            for key, atoms in found.items()
        }
    ).T
    rows = []
    for method in scores.index.levels[0]:
        of_method = scores.loc[method]
        setting = of_method[list(CHOSEN_ON)].mean(axis=1).idxmax()
        atoms = found[method, setting]
        rows.append(
            {
                "method": method,
                "setting": setting,
                "F1, chosen on": of_method.loc[[setting], list(CHOSEN_ON)].to_numpy().mean(),
                "F1, others": of_method.loc[[setting], list(REPORTED_ON)].to_numpy().mean(),
                "found in 025": len(atoms["025"]),
                "of them in vacuum": int(in_vacuum(frames["025"][0], atoms["025"]).sum()),
            }
        )
    return pd.DataFrame(rows).set_index("method")


def f1(marks: NDArray, found: NDArray) -> float:
    return atom_score(marks, found, tolerance=5).f1


def confirmed(atoms: NDArray, dots: NDArray, reach: float = 5.0) -> NDArray:
    """Keep atoms that have a dot nearby."""
    if not len(atoms) or not len(dots):
        return atoms[:0]
    return atoms[KDTree(dots).query(atoms)[0] <= reach]


def in_vacuum(frame: NDArray, atoms: NDArray) -> NDArray:
    """Say which atoms lie where the frame is smooth: beside the film."""
    detail = ndimage.gaussian_filter(frame, 2) - ndimage.gaussian_filter(frame, 6)
    roughness = np.log(ndimage.gaussian_filter(detail**2, 16))
    vacuum = roughness < threshold_otsu(roughness)
    return vacuum[tuple(atoms.round().astype(int).clip(0, frame.shape[0] - 1).T)]


def two_exposures(model: SCGNDenoiser, steps: int) -> pd.DataFrame:
    """How well one exposure, denoised, foretells the other; the noise itself can't be foretold.

    What a denoiser gives is brought to the other exposure's scale by a gain and an offset, fitted
    in one half of the field; the other half counts, and the two halves take turns.
    """
    one, two = np.load(DATA / "lowdose_pairs/katsuno_train_pair.npy").astype(float)
    rows = {f"Gaussian of {sigma} px": ndimage.gaussian_filter(one, sigma) for sigma in SIGMAS}
    for binning in (1, 2, 4):
        for sign, atoms in ((1, "bright"), (-1, "dark")):
            dots = denoise(model, sign * one, binning)
            rows[f"SCGN, binned by {binning}, {atoms} atoms"] = zoom(dots, one.shape)
    if steps:
        rows[f"SCGN, fine-tuned on both for {steps} steps"] = fine_tuned(model, one, two, steps)
    table = pd.DataFrame({name: foretell(values, two) for name, values in rows.items()}).T
    gaussian = table.index.str.startswith("Gaussian")
    best = table[gaussian]["foretold, %"].idxmax()
    return table[~gaussian | (table.index == best)]


def made_up(model: SCGNDenoiser) -> pd.DataFrame:
    """Count the dots in a frame that shows no atoms, by what it is brought to before."""
    frame = np.load(DATA / "lowdose_pairs/katsuno_train_pair.npy")[0].astype(float)
    like_noise = prepare(frame, 2)
    offset, scale = model.input_scaling_
    like_spread = offset + scale * (like_noise - like_noise.mean()) / like_noise.std()
    counts = {
        name: len(places(model.transform(values[np.newaxis])[0], 2, DOT / 2))
        for name, values in {
            "the spread of the training frames": like_spread,
            "the noise of the training frames": like_noise,
        }.items()
    }
    return pd.DataFrame({"dots in 256 x 256 px": counts})


def foretell(denoised: NDArray, other: NDArray) -> dict[str, float]:
    """Say which share of the other exposure's variance is explained."""
    middle = other.shape[1] // 2
    halves = [np.s_[:, :middle], np.s_[:, middle:]]
    left = total = 0.0
    for fitted, judged in (halves, halves[::-1]):
        gain, offset = np.polyfit(denoised[fitted].ravel(), other[fitted].ravel(), 1)
        left += np.square(gain * denoised[judged] + offset - other[judged]).sum()
        total += np.square(other[judged] - other[fitted].mean()).sum()
    correlation = np.corrcoef(denoised.ravel(), other.ravel())[0, 1]
    return {"foretold, %": 100 * (1 - left / total), "correlation": correlation}


def fine_tuned(model: SCGNDenoiser, one: NDArray, two: NDArray, steps: int) -> NDArray:
    """Go on learning from one exposure to the other: on each half of the field for the other."""
    first, second = (prepare(frame, 1)[np.newaxis] for frame in (one, two))
    offset, scale = model.target_scaling_  # of what it gives, so that nothing is to be unlearnt
    second = offset + scale * (second - BACKGROUND) / NOISE
    middle = one.shape[1] // 2
    halves = [np.s_[..., :middle], np.s_[..., middle:]]
    denoised = np.empty_like(first)
    for learnt, judged in (halves, halves[::-1]):
        tuned = clone(model).set_params(
            loss="l2", lr=1e-3, tile_size=64, batch_size=8, random_state=0
        )
        per_epoch = first[learnt].size // 64**2 // 8
        tuned.set_params(max_epochs=max(1, steps // per_epoch))
        tuned.fit(first[learnt], second[learnt])
        denoised[judged] = tuned.set_params(tile_size=256).transform(first[judged])
    return denoised[0]


def zoom(dots: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Bring dots of a binned frame back to its pixels."""
    return ndimage.zoom(dots, np.divide(shape, dots.shape), order=1, mode="nearest", grid_mode=True)


def draw(model: SCGNDenoiser, folder: Path) -> None:
    """Draw frames, smoothed ones and dots side by side, a file each."""
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for name, (frame, binning, flat) in pictured().items():
        noisy = prepare(frame, binning, flat=flat)
        dots = model.transform(noisy[np.newaxis])[0]
        _, axes = plt.subplots(1, 3, figsize=(15, 5.4), layout="constrained")
        smooth = ndimage.gaussian_filter(noisy, 1.5)
        for ax, image, title in zip(
            axes,
            (noisy, smooth, dots),
            (f"{name}, binned by {binning}", "Gaussian of 1.5 px", "SCGN"),
            strict=True,
        ):
            least, most = (0, DOT) if image is dots else np.percentile(image, (1, 99.5))
            ax.imshow(image, cmap="gray", vmin=least, vmax=most)
            ax.set_title(title)
            ax.set_axis_off()
        plt.savefig(folder / f"{name.replace(' ', '_')}.png", dpi=80)
        plt.close()


def pictured() -> dict[str, tuple[NDArray, int, float]]:
    """Frames to draw, the binning that brings atoms to about the size of training, and flatness."""
    llzo = imread(DATA / "llzo/tilt_JEOL_1.png", as_gray=True).astype(float)
    low = np.load(DATA / "lowdose_pairs/katsuno_train_pair.npy")[0].astype(float)
    mos2 = np.load(DATA / "mos2/MoS2_stem_Exp-001-5.npy").astype(float)
    return {
        "Pt on N-doped carbon 025": (real_frame("025")[0].astype(float), 3, 20.0),
        "low-dose pair": (-low, 2, 20.0),
        "MoS2": (mos2, 4, 20.0),
        "LLZO": (llzo, 8, 60.0),
    }


def main(
    weights: Annotated[str, typer.Option(help="Of SCGN: a name, or a file.")] = "scgn_nuc",
    steps: Annotated[int, typer.Option(help="Of fine-tuning on the low-dose pair.")] = 40,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures.")] = None,
) -> None:
    """Print the tables."""
    if not DATA.is_dir():
        print("Real frames in ../shared/data beside the repository are not there.")
        return
    model = SCGNDenoiser(weights=weights)
    if pictures:
        draw(model, pictures)
    _report.print_table(
        "Single Pt atoms on N-doped carbon, F1 at 5 px against people's marks",
        platinum(model).round(3),
        notes=f"Settings chosen on {', '.join(CHOSEN_ON)}; the others show other areas. A setting "
        "is sigma and threshold, or binning and the least dot in shares of a whole one.",
    )
    _report.print_table("A low-dose frame without atoms to be seen, brought to", made_up(model))
    _report.print_table(
        "Two exposures of one field: what one tells of the other",
        two_exposures(model, steps).round(4),
    )


if __name__ == "__main__":
    typer.run(main)
