"""
==========================================
Learning from two exposures, and from one
==========================================

A network can learn to denoise without ever seeing a clean frame: from two exposures of the same
field, from one that is split in two, or from one of which pixels are hidden.
"""

# %%
# A camera with column noise
# --------------------------
# Twelve fields of atoms, each exposed twice. The noise of a column is the same over its whole
# height, and another in the next exposure.

from stemkit.datasets import make_nucleation
from stemkit.noise import HRTEMNoise

clean = make_nucleation(
    12, (48, 48), peak=70, sigma=2.2, min_distance=8, mask_threshold=0.0, random_state=0
).clean
first, second = (
    HRTEMNoise(offset=12, column_sigma=10, random_state=seed).fit_transform(clean)
    for seed in (1, 2)
)

# %%
# Three ways to learn
# -------------------
# All with the same small network, for as many steps. The law of the noise, which is needed to split
# an exposure, is known here; ``HRTEMNoise().fit`` measures it on vacuum frames.

from stemkit.denoise import BlindSpotDenoiser, NetworkDenoiser, SplitPairs

training = {"batch_size": 4, "lr": 4e-3, "device": "cpu", "random_state": 0}
training["network_parameters"] = {"n_channels": 8}
unet = NetworkDenoiser(loss="l2", max_epochs=24, steps_per_epoch=6, **training)
camera = HRTEMNoise(offset=12, column_sigma=10)
blind = {"max_epochs": 48, **training}

models = {
    "two exposures": SplitPairs(denoiser=unet).fit(first, second),
    "one, split": SplitPairs(denoiser=unet, noise=camera).fit(first),
    "one, pixels hidden": BlindSpotDenoiser(**blind).fit(first),
    "one, columns hidden": BlindSpotDenoiser(structure="column", **blind).fit(first),
}

# %%
# Which noise goes away
# ---------------------
# Who hides single pixels takes a column's noise for specimen, since its other pixels give it away.
# The rest of the figure is of one exposure, of fields that were learned from.

import matplotlib.pyplot as plt
import numpy as np

shown = {"one exposure": first, "truth": clean}
shown |= {name: model.transform(first) for name, model in models.items()}

figure, axes = plt.subplots(2, 3, figsize=(9, 6.5), layout="constrained")
low, high = np.quantile(clean[0], [0.001, 0.999])
for ax, (name, frames) in zip(axes.flat, shown.items(), strict=True):
    error = np.sqrt(np.mean((frames - clean) ** 2))
    columns = np.std((frames - clean).mean(axis=1))
    ax.imshow(frames[0], cmap="gray", vmin=low - 10, vmax=high)
    ax.set(title=name, xticks=[], yticks=[])
    if name != "truth":
        ax.set_xlabel(f"error {error:.1f} counts, of columns {columns:.1f}")
plt.show()
