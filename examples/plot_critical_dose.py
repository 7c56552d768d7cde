"""
===========================================
A trajectory and a map of the critical dose
===========================================

How much dose a material bears is what studies of beam damage publish: the critical dose D, after
which the lattice's signal has fallen to 1/e. It needs frames that lie on each other, so the drift
comes first.
"""

# %%
# A series and its trajectory
# ---------------------------
# ``trajectory`` compares all pairs of frames and reconciles what it finds by weighted least
# squares, so that one wrong pair is outvoted. ``closure`` tells, in px, how well the pairs of a
# frame agree.

from stemkit import DriftDecayModel
from stemkit.datasets import make_llzo_series

series = make_llzo_series(5, random_state=0)
model = DriftDecayModel(motion="affine")
trajectory = model.trajectory(series.frames)
print(trajectory[["dy", "dx", "rotation_deg", "mean_damage", "confidence", "closure"]].round(3))

# %%
# The true drift is known here, and drawn as crosses.

import pandas as pd

from stemkit.inspection import TrajectoryDisplay

truth = pd.DataFrame(series.drift, columns=["dy", "dx"])
display = TrajectoryDisplay.from_predictions(trajectory, truth=truth)

# %%
# The critical dose
# -----------------
# ``critical_dose`` fits ``exp(-dose / D)`` to what is left at each place, and gives a standard
# error with it. Where the lattice hardly faded during the series, D is beyond what the data can
# tell: such places have a large error and are better left out (white).

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

critical = model.critical_dose(series.frames, series.dose, trajectory=trajectory)
known = critical.stderr < 0.5 * critical.dose
ratio = critical.dose[known] / series.critical_dose[known]
print(f"known for {known.mean():.0%} of the frame")
print(f"estimate / truth: median {np.median(ratio):.2f}")

figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.9), layout="constrained")
scale = LogNorm(1e3, 1e5)
estimate = np.ma.masked_array(critical.dose, ~known)
for ax, image, title in zip(
    axes, (estimate, series.critical_dose), ("estimate", "truth"), strict=True
):
    drawn = ax.imshow(image, norm=scale, cmap="cividis")
    ax.set(title=title, xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes, label="critical dose (electrons per Å$^2$)", shrink=0.85)
plt.show()
