"""
==================================
Atoms in a millisecond exposure
==================================

Frames of nucleation are so short that atoms hardly rise above the noise. A network that has seen
many such frames turns them into dots, one for each atom. What does that gain over classical means,
and does it make atoms up?
"""

# %%
# Frames as hard as they get
# --------------------------
# At the contrast "low" an atom is about as bright as the noise is strong: some 20 counts at its
# peak, and noise of 5 in every pixel. Half of the field is a crystal that grows in the disorder.

from stemkit.datasets import make_nucleation

data = make_nucleation(4, contrast="low", order=0.5, mask_scale=60, random_state=8)

# %%
# Three denoisers
# ---------------
# The network's weights are shipped: nothing is to be fitted. ``LoGRenderDenoiser`` finds peaks of
# the Laplacian of Gaussian and draws a dot for each. Its threshold is the one that is best for
# these very frames, by their truth, which nobody has at the microscope.

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
# How many atoms are right?
# -------------------------
# A dot brighter than half counts as an atom; it is right if it lies within 2 px of a true one.

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
    rows[name] = {"F1": score.f1, "missed": score.missed, "made up": score.extra}
    rows[name]["PSNR, dB"] = psnr(data.target, denoised[name])
pd.DataFrame(rows).T.round(3)

# %%
# And in vacuum?
# --------------
# A network can see atoms where there are none. So give it frames of nothing but noise.

vacuum = make_nucleation(4, contrast="low", mask_threshold=1.0, random_state=9)
assert vacuum.positions.empty
made_up = dots(SCGNDenoiser(weights="default").transform(vacuum.noisy))
print(f"{len(made_up)} atoms made up in {vacuum.noisy.size / 1e4:.0f} squares of 100 x 100 px")

# %%
# The figure shows a part of the first frame; circles are true atoms.

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
