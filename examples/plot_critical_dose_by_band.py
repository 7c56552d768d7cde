"""
==================================
Critical dose by spatial frequency
==================================

A lattice that fades is not always damaged: a growing blur, a change of focus or motion that
registration does not follow dim it as well. Damage of crystals takes the same share of all spatial
frequencies. Blur takes the more the finer the structure is. ``decay_bands`` tells them apart.
"""

# %%
# Three series
# ------------
# The first is damaged. The second is not, but its frames get blurred. The third does not change.

import warnings

import numpy as np
from scipy import ndimage

from stemkit import DriftDecayModel
from stemkit.datasets import make_llzo_series
from stemkit.exceptions import SharpnessChangeWarning

rng = np.random.default_rng(0)


def series(*, frame_dose, blur):
    made = make_llzo_series(
        5, shape=(256, 256), dose=None, frame_dose=frame_dose, row_jitter=0.3, random_state=0
    )
    frames = [
        ndimage.gaussian_filter(frame, blur * np.sqrt(k)) if k else frame
        for k, frame in enumerate(made.frames)
    ]
    return rng.poisson(np.maximum(frames, 0) * 30) / 30


damaged = series(frame_dose=2000, blur=0)
blurred = series(frame_dose=1e-6, blur=0.8)
unchanged = series(frame_dose=1e-6, blur=0)
dose = 2000 * np.arange(5)

# %%
# Decay of each band
# ------------------
# Of the blurred series a warning says that the loss grows with frequency, and how much blur
# explains it. The last frame was blurred by 2 x 0.8 = 1.6 px.

model = DriftDecayModel()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    results = [model.decay_bands(frames) for frames in (damaged, blurred, unchanged)]
for warning in caught:
    if warning.category is SharpnessChangeWarning:
        print(warning.message)
for name, bands in zip(("damaged", "blurred", "unchanged"), results, strict=True):
    print(f"{name}: {bands.kind[-1]}; blur {bands.blur[-1]:.2f} px")

# %%
# Critical dose of each band
# --------------------------
# Cryo-EM reports critical doses like this. Where no decay is certain, triangles are lower limits.

import matplotlib.pyplot as plt

from stemkit.inspection import CriticalDoseDisplay

figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained", sharey=True)
for ax, bands in zip(axes, results, strict=True):
    CriticalDoseDisplay(bands.critical_dose(dose), unit="electrons per Å$^2$").plot(ax)
    ax.label_outer()
axes[0].set_ylim(2e3, 2e6)
plt.show()
