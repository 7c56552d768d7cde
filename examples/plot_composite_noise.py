"""
====================================
A crystal under five levels of noise
====================================

The PINNED paper replaces half to nine tenths of a frame's pixels by noise. What can be had back of
a crystal that no training has seen, and where does it end?
"""

# %%
# Frames and noise
# ----------------
# Barium titanate down [112], and the paper's composite noise: Gaussian, then pixels replaced by
# anything from 0 to 255, then speckle.

from stemkit.datasets import make_crystal_images
from stemkit.noise import CompositeDegradationNoise

clean = make_crystal_images("BaTiO3", 1, zone_axis=(1, 1, 2), random_state=4).frames
levels = (1, 2, 3, 4, 5)
noisy = {
    level: CompositeDegradationNoise(level=level, random_state=0).fit_transform(clean)
    for level in levels
}

# %%
# Denoise
# -------
# The shipped network finds the lattice that repeats in the whole frame, and draws what it is sure
# of. ``GaussianDenoiser`` gets the width that is best for each level, by the truth; most of what
# it lacks is the contrast that the replaced pixels took, which no filter gives back.

import warnings

import pandas as pd

from stemkit import PINNEDDenoiser
from stemkit.denoise import GaussianDenoiser
from stemkit.exceptions import LatticePriorWarning
from stemkit.metrics import psnr

model = PINNEDDenoiser(weights="default")
with warnings.catch_warnings():
    # Its lattice prior paints over defects; this crystal has none.
    warnings.simplefilter("ignore", LatticePriorWarning)
    denoised = {level: model.transform(frames).clip(0, 255) for level, frames in noisy.items()}
rows = {
    f"level {level}": {
        "noisy": psnr(clean, frames.clip(0, 255)),
        "Gaussian": max(
            psnr(clean, GaussianDenoiser(sigma=sigma).fit_transform(frames).clip(0, 255))
            for sigma in (1, 2, 3, 4, 6, 8)
        ),
        "PINNED": psnr(clean, denoised[level]),
    }
    for level, frames in noisy.items()
}
pd.DataFrame(rows).T.round(1)

# %%
# At the highest level nine pixels of ten hold nothing. The network fades towards grey there: it
# says less where it knows less. What it gives is the mean over all cells, so a single vacancy would
# not show.

import matplotlib.pyplot as plt

part = (slice(64, 192), slice(64, 192))
figure, axes = plt.subplots(2, 6, figsize=(13, 4.7), layout="constrained")
axes[0, 0].imshow(clean[0][part], cmap="gray", vmin=0, vmax=255)
axes[0, 0].set_title("clean")
for column, level in enumerate(levels, start=1):
    axes[0, column].imshow(noisy[level][0][part], cmap="gray", vmin=0, vmax=255)
    axes[0, column].set_title(f"level {level}")
    axes[1, column].imshow(denoised[level][0][part], cmap="gray", vmin=0, vmax=255)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
axes[1, 0].set_axis_off()
axes[1, 1].set_ylabel("denoised")
plt.show()
