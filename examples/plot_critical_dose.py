"""
===========================================
Mapping the critical dose of a frame series
===========================================

Studies of beam damage report the critical dose D, at which the signal of the lattice has fallen to
1/e. To measure it at each pixel, first align the frames of a series.
"""

# %%
# Measure the drift
# -----------------
# ``trajectory`` registers all pairs of frames and combines their drifts by weighted least squares,
# so that a single wrong pair has little effect. ``closure`` is the disagreement between the pairs
# of a frame, in px.

from stemkit import DriftDecayModel
from stemkit.datasets import make_llzo_series

series = make_llzo_series(5, random_state=0)
model = DriftDecayModel(motion="affine")
trajectory = model.trajectory(series.frames)
print(trajectory[["dy", "dx", "rotation_deg", "mean_damage", "confidence", "closure"]].round(3))

# %%
# Crosses show the true drift, which is known for simulated frames.

import pandas as pd

from stemkit.inspection import TrajectoryDisplay

truth = pd.DataFrame(series.drift, columns=["dy", "dx"])
display = TrajectoryDisplay.from_predictions(trajectory, truth=truth)

# %%
# Map the critical dose
# ---------------------
# ``critical_dose`` fits ``exp(-dose / D)`` to the remaining signal at each pixel and returns D with
# its standard error. Where the signal hardly decays during the series, D has a large error; these
# pixels are masked (white).

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

critical = model.critical_dose(series.frames, series.dose, trajectory=trajectory)
known = critical.stderr < 0.5 * critical.dose
ratio = critical.dose[known] / series.critical_dose[known]
print(f"error below 50 % for {known.mean():.0%} of the frame")
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
