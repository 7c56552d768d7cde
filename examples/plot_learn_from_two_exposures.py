"""
========================================
Training a denoiser on noisy frames only
========================================

A network can be trained without clean frames: on two exposures of the same field, on one exposure
that is split in two, or on one exposure with hidden pixels. This example compares the three ways.
"""

# %%
# Simulate a camera with column noise
# -----------------------------------
# Twelve fields of atoms are exposed twice. Column noise adds one random value to all pixels of a
# column; the values differ between exposures.

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
# Train four networks
# -------------------
# All have the same size and number of steps. Splitting an exposure requires a noise model. It is
# known here; in practice ``HRTEMNoise().fit`` measures it on vacuum frames.

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
# Compare the results
# -------------------
# Training with single hidden pixels keeps the column noise as if it were a part of the specimen,
# since the noise of a hidden pixel can be predicted from the rest of its column. Hiding whole
# columns avoids this. All networks denoise the first exposure, which they were trained on.

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
        ax.set_xlabel(f"error {error:.1f} counts, of column means {columns:.1f}")
plt.show()
