"""
==================================
Making noise uniform
==================================

Of most cameras bright places are noisier than dark ones, and what looks for noise of one strength
goes wrong on either. With the camera's law known, a mapping of the counts makes the noise the same
everywhere: a logarithm for an integrating camera, Anscombe's root for one that counts.
"""

# %%
# Two cameras on a ramp
# ---------------------
# The intensity grows from left to right. In practice the law is measured on vacuum frames first, by
# ``fit``; here it is given.

import numpy as np

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise

ramp = np.tile(np.linspace(20, 220, 256), (128, 1))[np.newaxis]
cameras = {
    "integrating": HRTEMNoise(gain=0.05, offset=2.0, random_state=1).fit(ramp),
    "counting": PoissonGaussianNoise(gain=4.0, random_state=1).fit(ramp),
}

# %%
# Stabilise
# ---------
# ``stabilize`` maps counts so that pointwise noise has a standard deviation of 1, and
# ``unstabilize`` maps back what was made of them. The clean ramp is taken off to show noise alone.

noise = {}
for name, camera in cameras.items():
    frame = camera.transform(ramp)
    noise[f"{name}, counts"] = frame - ramp
    noise[f"{name}, stabilised"] = camera.stabilize(frame) - camera.stabilize(ramp)

# %%
# The figure
# ----------
# Below each frame stands the standard deviation of its columns.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 4, figsize=(12, 4.4), layout="constrained", sharex="col")
for column, (title, values) in enumerate(noise.items()):
    limit = 3 * values.std()
    axes[0, column].imshow(values[0], cmap="gray", vmin=-limit, vmax=limit, aspect="auto")
    axes[0, column].set(title=title, yticks=[])
    axes[1, column].plot(values[0].std(axis=0), lw=1)
    axes[1, column].set(xlabel="x (px)", ylim=(0, None))
    if "stabilised" in title:
        axes[1, column].axhline(1, color="0.5", lw=1)
axes[1, 0].set_ylabel("standard deviation\nof each column")
plt.show()
