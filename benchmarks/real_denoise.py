"""SCGN, trained on simulated nucleation frames, on real frames of other specimens.

    python benchmarks/real_denoise.py --pictures real_denoise

MatchedDenoiser scales the frames for the network; nothing else is adjusted. The frames cannot be
distributed; they are read from ../shared/data next to the repository. Fine-tuning takes four
minutes on one core and runs once: its checkpoint is kept in `--folder`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import _options
import _report
import numpy as np
import pandas as pd
import typer
from _real_tuning import fine_tune
from localize import CHOSEN_ON, REPORTED_ON, locator, real_frame
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.io import imread

from stemkit import SCGNDenoiser
from stemkit.denoise import (
    BlindSpotDenoiser,
    Denoiser,
    MatchedDenoiser,
    NetworkDenoiser,
    SplitPairs,
)
from stemkit.metrics import atom_score
from stemkit.noise import HRTEMNoise, PoissonGaussianNoise

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
DOT = 255.0
# Size and threshold of AtomLocator that benchmarks/localize.py chooses.
SIZE, THRESHOLD = 3.0, 1.6
# Sigmas of Pt atoms in px and thresholds of dots, relative to the peak of a dot, to choose from.
SIZES, SHARES = (3.0, 4.5, 6.0), (0.1, 0.25, 0.5, 0.8)
# Left edges of the squares of the low-dose pair.
LEFT = range(0, 512, 64)
# Largest distance of a dot from a maximum, in px of the frame that the network receives.
REACH = 1.5
SIGMAS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)

Found = dict[str, NDArray]


def dot_positions(dots: NDArray, share: float, distance: int) -> NDArray:
    """Return the positions of dots brighter than a share of the peak of a dot."""
    return peak_local_max(
        dots, min_distance=distance, threshold_abs=share * DOT, exclude_border=False
    )


def platinum(model: SCGNDenoiser, tuned_model: SCGNDenoiser | None) -> pd.DataFrame:
    """Return F1 of located atoms against marks; settings are chosen on frames of another area."""
    frames = {name: real_frame(name) for name in CHOSEN_ON + REPORTED_ON}
    atoms = {name: locator(frame, SIZE, THRESHOLD) for name, (frame, _) in frames.items()}
    rows = [_scored("AtomLocator alone", {(SIZE, THRESHOLD): atoms}, frames)]
    networks = {"SCGN": (model, SIZES), "SCGN, fine-tuned": (tuned_model, SIZES[:1])}
    for name, (network, sizes) in networks.items():
        if network is None:
            continue
        alone: dict[tuple[float, float], Found] = {}
        confirmed: dict[tuple[float, float], Found] = {}
        for size in sizes:
            matched = MatchedDenoiser(denoiser=network, atom_sigma=size)
            dots = {at: matched.fit_transform([frame])[0] for at, (frame, _) in frames.items()}
            for share in SHARES:
                found = {
                    at: dot_positions(drawn, share, matched.binning_) for at, drawn in dots.items()
                }
                alone[size, share] = found
                confirmed[size, share] = {at: atoms_near_dots(atoms[at], found[at]) for at in found}
        rows.append(_scored(f"dots of {name}", alone, frames))
        rows.append(_scored(f"AtomLocator, confirmed by {name}", confirmed, frames))
    return pd.DataFrame(rows).set_index("method")


def _scored(
    method: str,
    found: dict[tuple[float, float], Found],
    frames: dict[str, tuple[NDArray, NDArray]],
) -> dict[str, object]:
    """Choose a setting on the frames CHOSEN_ON, and score it on the others."""

    def f1(setting: tuple[float, float], names: tuple[str, ...]) -> float:
        pairs = ((frames[name][1], found[setting][name]) for name in names)
        return float(np.mean([atom_score(*pair, tolerance=5).f1 for pair in pairs]))

    setting = max(found, key=lambda setting: f1(setting, CHOSEN_ON))
    atoms = found[setting]
    return {
        "method": method,
        "setting": setting,
        "F1, chosen on": f1(setting, CHOSEN_ON),
        "F1, others": f1(setting, REPORTED_ON),
        "found in the others": sum(len(atoms[name]) for name in REPORTED_ON),
        "of them in vacuum": sum(
            int(in_vacuum(frames[name][0], atoms[name]).sum()) for name in REPORTED_ON
        ),
    }


def atoms_near_dots(atoms: NDArray, dots: NDArray, reach: float = 5.0) -> NDArray:
    """Return the atoms that are within reach of a dot."""
    if not len(atoms) or not len(dots):
        return atoms[:0]
    return atoms[KDTree(dots).query(atoms)[0] <= reach]


def in_vacuum(frame: NDArray, atoms: NDArray) -> NDArray:
    """Return a mask of the atoms in vacuum, where the frame has little texture."""
    detail = ndimage.gaussian_filter(frame, 2) - ndimage.gaussian_filter(frame, 6)
    roughness = np.log(ndimage.gaussian_filter(detail**2, 16))
    vacuum = roughness < threshold_otsu(roughness)
    return vacuum[tuple(atoms.round().astype(int).clip(0, frame.shape[0] - 1).T)]


def calibration() -> pd.DataFrame:
    """Test whether the noise of the low-dose pair follows a camera model, as training noise does.

    Two frames are too few for a calibration. Squares of 64 px are therefore treated as repeated
    exposures, those of the flat field as one series and those on the particles as another.
    """
    pair = np.load(DATA / "lowdose_pairs/katsuno_train_pair.npy")
    flat = [frame[y : y + 64, x : x + 64] for frame in pair for y in (0, 64) for x in LEFT]
    dark = [frame[224:288, x : x + 64] for frame in pair for x in LEFT[2:6]]
    rows = {}
    for noise in (HRTEMNoise(), PoissonGaussianNoise()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the table shows that no model holds
            measured = noise.fit([np.stack(flat), np.stack(dark)]).calibration_
        rows[type(noise).__name__] = {
            "holds": measured.holds,
            "why not": "; ".join(measured.reasons),
        }
    return pd.DataFrame(rows).T


def false_dots(model: SCGNDenoiser, tuned_model: SCGNDenoiser | None) -> pd.DataFrame:
    """Count dots on frames without atoms, scaled to the spread or to the noise of training."""
    low = np.load(DATA / "lowdose_pairs/katsuno_train_pair.npy")[0].astype(np.float32)
    rng = np.random.default_rng(0)
    empty = {
        "low-dose frame, no atoms seen": low,
        "white noise": rng.normal(size=low.shape).astype(np.float32),
        "the same, smoothed by 0.5 px": ndimage.gaussian_filter(rng.normal(size=low.shape), 0.5),
    }
    counts = {}
    for name, frame in empty.items():
        matched = MatchedDenoiser(denoiser=model, atom_sigma=SIZE)
        like_noise = matched.fit([frame]).match([frame])
        offset, scale = matched.denoiser_.input_scaling_
        like_spread = offset + scale * (like_noise - like_noise.mean()) / like_noise.std()
        counts[name] = {
            "spread of training": len(dot_positions(model.transform(like_spread)[0], 0.5, 1)),
            "noise of training": len(dot_positions(model.transform(like_noise)[0], 0.5, 1)),
        }
        if tuned_model:
            counts[name]["the same, fine-tuned on Pt"] = len(
                dot_positions(tuned_model.transform(like_noise)[0], 0.5, 1)
            )
    return pd.DataFrame(counts).T


def crystals(model: SCGNDenoiser) -> pd.DataFrame:
    """Compare dots on crystals with the maxima of the smoothed frame.

    The columns of these frames are not marked, so a dot without a maximum counts as invented.
    """
    rows = {}
    for name in ("MoS2", "LLZO"):
        frame, size, atoms = frames_to_draw()[name]
        matched = MatchedDenoiser(denoiser=model, atom_sigma=size, atoms=atoms)
        noisy = matched.fit([frame]).match([frame])[0]
        denoised = model.transform(noisy[np.newaxis])[0]
        smooth = ndimage.gaussian_filter(noisy, 1.0)
        maxima = peak_local_max(smooth, min_distance=1, exclude_border=False)
        level = threshold_otsu(smooth[tuple(maxima.T)])
        bright = maxima[smooth[tuple(maxima.T)] > level]
        dots = dot_positions(denoised, 0.25, 1)
        near = KDTree(maxima)
        anywhere = np.argwhere(np.ones_like(noisy, dtype=bool))
        rows[name] = {
            "dots": len(dots),
            "on a maximum, %": 100 * np.mean(near.query(dots)[0] < REACH),
            "by chance, %": 100 * np.mean(near.query(anywhere)[0] < REACH),
            "bright maxima": len(bright),
            "with a dot, %": 100 * np.mean(KDTree(dots).query(bright)[0] < REACH),
        }
    return pd.DataFrame(rows).T


def two_exposures(model: SCGNDenoiser, epochs: int) -> pd.DataFrame:
    """Measure how well one denoised exposure predicts the other, whose noise is unpredictable.

    A gain and an offset scale the denoised frame to the other exposure. They are fitted in one half
    of the field and evaluated in the other half, both ways.
    """
    pair = np.load(DATA / "lowdose_pairs/katsuno_train_pair.npy").astype(np.float32)
    one, two = pair
    rows = {f"Gaussian of {sigma} px": ndimage.gaussian_filter(one, sigma) for sigma in SIGMAS}
    for size in (1.5, 3.0, 6.0):
        for kind in ("bright", "dark"):
            matched = MatchedDenoiser(denoiser=model, atom_sigma=size, atoms=kind)
            rows[f"dots of SCGN, {kind} atoms of {size} px"] = matched.fit_transform([one])[0]
    rows["Wiener filter of the other half"] = wiener_from_other_half(pair)
    rows |= networks_from_other_half(pair, epochs)
    table = pd.DataFrame({name: predicted_share(values, two) for name, values in rows.items()}).T
    gaussian = table.index.str.startswith("Gaussian")
    best = table[gaussian]["predicted, %"].idxmax()
    return table[~gaussian | (table.index == best)]


def predicted_share(denoised: NDArray, other: NDArray) -> dict[str, float]:
    """Return the percentage of the variance of the other exposure that is predicted."""
    residual = total = 0.0
    for fitted, evaluated in halves(other):
        # The gain is 0 if the denoised half is constant.
        gain = np.cov(denoised[fitted].ravel(), other[fitted].ravel())[0, 1]
        gain /= float(denoised[fitted].var()) or 1.0
        offset = other[fitted].mean() - gain * denoised[fitted].mean()
        residual += np.square(gain * denoised[evaluated] + offset - other[evaluated]).sum()
        total += np.square(other[evaluated] - other[fitted].mean()).sum()
    return {"predicted, %": 100 * (1 - residual / total)}


def halves(frame: NDArray) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Return the pairs (half for fitting, half for evaluation), both ways."""
    middle = frame.shape[1] // 2
    left, right = np.s_[:, :middle], np.s_[:, middle:]
    return [(left, right), (right, left)]


def wiener_from_other_half(pair: NDArray) -> NDArray:
    """Apply a Wiener filter to each half, with weights from the other half.

    The weight of a spatial frequency is the share of power that the two exposures have in common.
    """
    denoised = np.empty_like(pair[0])
    for fitted, evaluated in halves(pair[0]):
        one, two = (np.fft.fft2(half - half.mean()) for half in pair[:, *fitted])
        frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, one.shape), indexing="ij"))
        ring = (frequency * min(one.shape)).astype(int)
        shared, power = (
            np.bincount(ring.ravel(), values.ravel())
            for values in ((one * two.conj()).real, (np.abs(one) ** 2 + np.abs(two) ** 2) / 2)
        )
        weight = (shared / power).clip(0, 1)[ring]
        mean = pair[0][evaluated].mean()
        denoised[evaluated] = (
            mean + np.fft.ifft2(np.fft.fft2(pair[0][evaluated] - mean) * weight).real
        )
    return denoised


def networks_from_other_half(pair: NDArray, epochs: int) -> dict[str, NDArray]:
    """Train networks without truth on each half of the field, and denoise the other half.

    Exposures are binned by 4, since the structures that they have in common are much coarser.
    """
    height, width = (n // 4 for n in pair.shape[1:])
    binned = pair.reshape(2, height, 4, width, 4).mean((2, 4))
    small = {"lr": 2e-3, "tile_size": 32, "max_epochs": epochs, "random_state": 0}
    models: dict[str, Denoiser] = {
        "U-Net, learned from one exposure to the other": SplitPairs(
            denoiser=NetworkDenoiser(network_parameters={"n_channels": 8}, loss="l2", **small)
        ),
        "U-Net, learned from hidden pixels": BlindSpotDenoiser(
            network_parameters={"n_channels": 8}, **small
        ),
    }
    rows = {}
    for name, model in models.items():
        denoised = np.empty((height, width), np.float32)
        for fitted, evaluated in halves(denoised):
            model.fit(binned[:1, *fitted], binned[1:, *fitted])
            denoised[evaluated] = model.transform(binned[:1, *evaluated])[0]
        rows[name] = ndimage.zoom(denoised, 4, order=1, mode="nearest", grid_mode=True)
    return rows


def draw_all(model: SCGNDenoiser, tuned_model: SCGNDenoiser | None, folder: Path) -> None:
    """Draw each frame as the network receives it, smoothed, and denoised; one file per frame."""
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for name, (frame, size, atoms) in frames_to_draw().items():
        matched = MatchedDenoiser(denoiser=model, atom_sigma=size, atoms=atoms)
        noisy = matched.fit([frame]).match([frame])[0]
        images = {
            f"{name}, atoms of {size} px": noisy,
            "Gaussian of 1.5 px": ndimage.gaussian_filter(noisy, 1.5),
            "SCGN": model.transform(noisy[np.newaxis])[0],
        }
        if tuned_model and name.startswith("Pt"):
            images["SCGN, fine-tuned"] = tuned_model.transform(noisy[np.newaxis])[0]
        _, axes = plt.subplots(1, len(images), figsize=(5 * len(images), 5.4), layout="constrained")
        for ax, (title, image) in zip(axes, images.items(), strict=True):
            dots = title.startswith("SCGN")
            least, most = (0, DOT) if dots else np.percentile(image, (1, 99.5))
            ax.imshow(image, cmap="gray", vmin=least, vmax=most)
            ax.set_title(title)
            ax.set_axis_off()
        plt.savefig(folder / f"{name.replace(' ', '_')}.png", dpi=80)
        plt.close()


def frames_to_draw() -> dict[str, tuple[NDArray, float, str]]:
    """Return frames to draw, with sigma in px and sign ("bright" or "dark") of their atoms."""
    return {
        "Pt on N-doped carbon 025": (real_frame("025")[0], SIZE, "bright"),
        "low-dose pair": (np.load(DATA / "lowdose_pairs/katsuno_train_pair.npy")[0], 3.0, "dark"),
        "MoS2": (np.load(DATA / "mos2/MoS2_stem_Exp-001-5.npy"), 5.0, "bright"),
        "LLZO": (imread(DATA / "llzo/tilt_JEOL_1.png", as_gray=True), 10.0, "bright"),
    }


def main(
    weights: Annotated[str, typer.Option(help="Weights of SCGN: name or file.")] = "default",
    steps: Annotated[int, typer.Option(help="Steps of fine-tuning; 0 for none.")] = 200,
    epochs: Annotated[int, typer.Option(help="Epochs of networks on the low-dose pair.")] = 60,
    folder: Annotated[Path, typer.Option(help="Folder of checkpoints.")] = ROOT
    / "benchmarks/results/real_denoise",
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures.")] = None,
) -> None:
    """Print the tables."""
    if not DATA.is_dir():
        print("This benchmark needs real frames in ../shared/data next to the repository.")
        return
    model = SCGNDenoiser(weights=weights)
    tuned_model = None
    if steps:
        frames = np.stack([real_frame(name)[0] for name in CHOSEN_ON])
        matched = MatchedDenoiser(denoiser=model, atom_sigma=SIZE).fit(frames)
        tuned_model = fine_tune(matched, frames, steps, folder)
    if pictures:
        draw_all(model, tuned_model, pictures)
    _report.print_table(
        "Single Pt atoms on N-doped carbon, F1 at 5 px against people's marks",
        platinum(model, tuned_model).round(3),
        notes=f"Settings (sigma of atoms; smallest amplitude of an atom or of a dot) are chosen on "
        f"{', '.join(CHOSEN_ON)}; the others show other areas. Fine-tuning used no marks.",
    )
    _report.print_table("Camera models for the noise of the low-dose pair", calibration())
    _report.print_table("Dots on frames without atoms, scaled to", false_dots(model, tuned_model))
    _report.print_table("Dots on crystals and maxima of the frame", crystals(model).round(1))
    _report.print_table(
        "Two exposures of one field: share of one that the other predicts",
        two_exposures(model, epochs).round(3),
        notes="By their correlation, the exposures have 2.95 % of the variance in common: no "
        "denoiser can predict more.",
    )


if __name__ == "__main__":
    _options.run(main, steps=0, epochs=5)
