"""
=======================================
Denoising short exposures of nucleation
=======================================

Exposures of nucleation are so short that atoms are hardly visible above the noise. The SCGN network
is trained on simulated frames of this kind and returns a dot for each atom. This example compares
it with classical methods, and counts how many atoms each method misses or invents.
"""

# %%
# Simulate frames of low contrast
# -------------------------------
# At the contrast "low", atoms have a peak of about 20 counts above a noise of 5 counts per pixel.
# Half of the field is crystalline, the other half disordered.

from stemkit.datasets import make_nucleation

data = make_nucleation(4, contrast="low", order=0.5, mask_scale=60, random_state=8)

# %%
# Denoise with three methods
# --------------------------
# The trained weights of SCGN are part of stemkit, so no training is needed. ``LoGRenderDenoiser``
# finds peaks of the Laplacian of Gaussian and draws a dot at each. Its threshold is the best one
# for these frames according to the truth, which is unknown in an experiment.

import numpy as np

from stemkit import SCGNDenoiser
from stemkit.denoise import GaussianDenoiser, LoGRenderDenoiser
from stemkit.metrics import psnr

drawn = [
    LoGRenderDenoiser(threshold=threshold).fit_transform(data.noisy)
    for threshold in (1.5, 2, 2.5, 3, 3.5)
]
denoised = {
    "Gaussian filter": GaussianDenoiser(sigma=1.5).fit_transform(data.noisy),
    "peaks, drawn as dots": max(drawn, key=lambda frames: psnr(data.target, frames)),
    "SCGN": SCGNDenoiser(weights="default").transform(data.noisy),
}

# %%
# Count correct, missed and invented atoms
# ----------------------------------------
# A dot above half of the full intensity counts as an atom. It is correct if it is within 2 px of a
# true atom.

import pandas as pd
from skimage.feature import peak_local_max

from stemkit.metrics import atom_score


def dots(frames):
    found = [peak_local_max(frame, min_distance=1, threshold_abs=127.5) for frame in frames]
    number = np.repeat(np.arange(len(found)), [len(places) for places in found])
    return pd.DataFrame(np.concatenate(found), columns=["y", "x"]).assign(frame=number)


rows = {}
for name in ("peaks, drawn as dots", "SCGN"):
    score = atom_score(data.positions, dots(denoised[name]), tolerance=2)
    rows[name] = {"F1": score.f1, "missed": score.missed, "invented": score.extra}
    rows[name]["PSNR, dB"] = psnr(data.target, denoised[name])
pd.DataFrame(rows).T.round(3)

# %%
# Test on vacuum
# --------------
# In frames of noise alone, each detected atom is an invented one.

vacuum = make_nucleation(4, contrast="low", mask_threshold=1.0, random_state=9)
assert vacuum.positions.empty
invented = dots(SCGNDenoiser(weights="default").transform(vacuum.noisy))
print(f"{len(invented)} atoms invented in {vacuum.noisy.size / 1e4:.0f} squares of 100 x 100 px")

# %%
# The figure shows a part of the first frame; circles mark true atoms.

import matplotlib.pyplot as plt

part = (slice(60, 156), slice(60, 156))
true = data.positions.query("frame == 0 and 60 <= y < 155.5 and 60 <= x < 155.5")
panels = {"noisy": data.noisy} | denoised
figure, axes = plt.subplots(1, 4, figsize=(13, 3.7), layout="constrained")
for axis, (name, frames) in zip(axes, panels.items(), strict=True):
    axis.imshow(frames[0][part], cmap="gray")
    axis.set(title=name, xticks=[], yticks=[])
for axis in axes[2:]:
    axis.scatter(
        true["x"] - 60, true["y"] - 60, s=45, facecolors="none", edgecolors="tab:orange", lw=0.8
    )
plt.show()
