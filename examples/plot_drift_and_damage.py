"""
=============================================
Measuring drift and damage between two frames
=============================================

In a cryo-STEM series of the garnet LLZO, the specimen drifts by most of a unit cell, and the beam
makes a part of it amorphous. This example measures the drift and its confidence, and maps the
damage. The frames are simulated, so that the true values are known.
"""

# %%
# Simulate the frames
# -------------------
# Along [111] the lattice repeats every 1.06 nm. A perfect crystal that drifts by a lattice vector
# looks unchanged. The drift is only determined by features that do not repeat, such as changes of
# thickness, contamination and columns of different intensity.

import numpy as np

from stemkit import DriftDecayModel
from stemkit.datasets import make_llzo_series

series = make_llzo_series(4, random_state=0)
pair = series.frames[[0, 3]]  # the earlier frame first

# %%
# Measure drift and damage
# ------------------------
# ``predict`` compares two frames. Without ``fit`` it uses the shipped weights; ``fit`` fine-tunes
# them on your own frames with simulated damage.

model = DriftDecayModel(motion="affine")
state = model.predict(pair)

print(f"drift    {state.drift.round(2)} px, true {series.drift[3].round(2)} px")
print(f"rotation {np.rad2deg(state.rotation):.3f}°, true {np.rad2deg(series.rotation[3]):.3f}°")
print(f"confidence {state.confidence:.2f}")

# %%
# On a lattice, several drifts fit the frames almost equally well. The confidence measures how much
# better the best one fits than the others. All candidates are listed with their weights:

for motion, weight in state.candidates:
    print(motion.drift.round(1), round(weight, 3))

# %%
# Plot the result
# ---------------
# In the overlay of the aligned frames, grey areas match. The damage map shows the lost fraction of
# the signal of the lattice, and arrows show the drift.

from stemkit.inspection import DriftDecayDisplay

display = DriftDecayDisplay.from_predictions(pair, state, pixel_size=series.pixel_size)

# %%
# Interpolate in time
# -------------------
# Given times from 0 to 1, ``predict`` interpolates between the frames: ``frame`` is the first frame
# with the drift and the damage at each time.

import matplotlib.pyplot as plt

times = np.linspace(0, 1, 4)
interpolated = model.predict(pair, times)
figure, axes = plt.subplots(1, len(times), figsize=(8.6, 2.5), layout="constrained")
for ax, t, frame in zip(axes, times, interpolated.frame, strict=True):
    ax.imshow(frame, cmap="gray", vmin=0.1, vmax=1.6)
    ax.set_title(f"t = {t:.2f}", fontsize="medium")
    ax.set_axis_off()
plt.show()
