"""
====================================
Drift and damage between two frames
====================================

Two frames of a cryo-STEM series of the garnet LLZO: the specimen drifted by most of a unit cell
between them, and the beam made a part of it amorphous. We ask how it moved, how sure that is,
and where how much of the lattice is left.

The frames are simulated, so that the answer is known.
"""

# %%
# The frames
# ----------
# Down [111] the lattice repeats every 1.06 nm. A perfect crystal that drifts by a lattice vector
# looks as if it had not moved; what tells the difference is everything that does not repeat:
# thickness, contamination, columns that differ.

import numpy as np

from stemkit import DriftDecayModel
from stemkit.datasets import make_llzo_series

series = make_llzo_series(4, random_state=0)
pair = series.frames[[0, 3]]  # the earlier frame first

# %%
# The estimate
# ------------
# ``predict`` compares two frames. Without ``fit`` the shipped weights are used as they are; ``fit``
# goes on training them with synthetic damage to the frames at hand.

model = DriftDecayModel(motion="affine")
state = model.predict(pair)

print(f"drift    {state.drift.round(2)} px, true {series.drift[3].round(2)} px")
print(f"rotation {np.rad2deg(state.rotation):.3f}°, true {np.rad2deg(series.rotation[3]):.3f}°")
print(f"confidence {state.confidence:.2f}")

# %%
# Confidence says how far the best drift stands out from the others that the lattice leaves
# open. Those are the candidates, each with its weight:

for motion, weight in state.candidates:
    print(motion.drift.round(1), round(weight, 3))

# %%
# The figure
# ----------
# Once aligned, the frames lie on each other where the overlay is grey. The damage map shows the
# share of the lattice's signal that is lost; the arrows show where things went.

from stemkit.inspection import DriftDecayDisplay

display = DriftDecayDisplay.from_predictions(pair, state, pixel_size=series.pixel_size)

# %%
# In between
# ----------
# With a time between 0 and 1 the same call tells what the specimen looked like on the way:
# ``frame`` is the first frame, moved and faded as far as it was by then.

import matplotlib.pyplot as plt

times = np.linspace(0, 1, 4)
course = model.predict(pair, times)
figure, axes = plt.subplots(1, len(times), figsize=(8.6, 2.5), layout="constrained")
for ax, t, frame in zip(axes, times, course.frame, strict=True):
    ax.imshow(frame, cmap="gray", vmin=0.1, vmax=1.6)
    ax.set_title(f"t = {t:.2f}", fontsize="medium")
    ax.set_axis_off()
plt.show()
