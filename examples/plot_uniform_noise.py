"""
=================================
Stabilising the variance of noise
=================================

With most cameras bright pixels are noisier than dark ones, but many methods assume noise of uniform
variance. If the noise model is known, a transform of the counts makes the variance uniform: a
logarithm for an integrating camera, the Anscombe transform for a counting camera.
"""

# %%
# Simulate an intensity ramp with two cameras
# -------------------------------------------
# The intensity increases from left to right. The parameters of the noise are given here; in
# practice ``fit`` first measures them on vacuum frames.

import numpy as np

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise

ramp = np.tile(np.linspace(20, 220, 256), (128, 1))[np.newaxis]
cameras = {
    "integrating": HRTEMNoise(gain=0.05, offset=2.0, random_state=1).fit(ramp),
    "counting": PoissonGaussianNoise(gain=4.0, random_state=1).fit(ramp),
}

# %%
# Transform the frames
# --------------------
# ``stabilize`` transforms counts so that the noise of each pixel has a standard deviation of 1, and
# ``unstabilize`` transforms processed frames back. To show the noise alone, the clean ramp is
# subtracted.

noise = {}
for name, camera in cameras.items():
    frame = camera.transform(ramp)
    noise[f"{name}, counts"] = frame - ramp
    noise[f"{name}, stabilised"] = camera.stabilize(frame) - camera.stabilize(ramp)

# %%
# Plot the noise
# --------------
# The lower panels show the standard deviation of each column of the frame above.

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
