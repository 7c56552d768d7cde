"""
=================================
A stage that moves during a frame
=================================

A scanning microscope records one row after the other. While the stage settles, each row of a frame
sees the specimen elsewhere, and the frame is bent. One motion for the whole frame can't undo that;
the path of each row can.
"""

# %%
# A series that is bent
# ---------------------
# Six frames of a grain on a film. The stage settles during the first; every row is recorded at
# the place where the stage is at that moment, with 10 counts per pixel.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import map_coordinates

from stemkit import DriftDecayModel
from stemkit.datasets import make_nucleation

side, n_frames = 160, 6
rng = np.random.default_rng(0)
specimen = make_nucleation(1, shape=(240, 240), random_state=2).clean[0]
specimen = np.clip(specimen - np.quantile(specimen, 0.001), 0, None)
specimen *= 10 / specimen.mean()

time = np.arange(n_frames)[:, None] + np.arange(side) / side
settled = 1 - np.exp(-time / 0.2)
true_path = settled[..., None] * np.array([14.0, -18.0])
rows, columns = np.indices((side, side), dtype=float)
frames = np.array(
    [
        rng.poisson(
            np.clip(
                map_coordinates(specimen, [rows - p[:, :1] + 40, columns - p[:, 1:] + 40]), 0, None
            )
        )
        for p in true_path
    ],
    dtype="float32",
)

# %%
# One motion for each frame
# -------------------------
# The default model registers frames as a whole. It finds that this is not enough, and says so; the
# confidence of these frames is low.

import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    whole = DriftDecayModel().trajectory(frames)
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")
print(whole[["dy", "dx", "confidence"]].round(2))

# %%
# The path of each row
# --------------------
# ``motion="path"`` estimates where each row was recorded. What all frames share can't be seen in a
# series, so the paths are compared after it is subtracted from both.

model = DriftDecayModel(motion="path")
trajectory = model.trajectory(frames)
path, std = model.row_paths(frames, trajectory=trajectory, return_std=True)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharex=True)
difference = path[0] - path[-1], true_path[0] - true_path[-1]
for ax, axis, name in zip(axes, (0, 1), ("dy", "dx"), strict=True):
    found, true = (d[:, axis] - d[side // 2, axis] for d in difference)
    error = np.hypot(std[0, :, axis], std[-1, :, axis])
    ax.fill_between(np.arange(side), found - 2 * error, found + 2 * error, alpha=0.3)
    ax.plot(found, label="estimate, with two standard errors")
    ax.plot(true, "k--", lw=1, label="truth")
    ax.set(xlabel="row", ylabel=f"{name} in px", title=f"first frame, {name}")
axes[0].legend(frameon=False)
off = np.abs(difference[0] - difference[1] - np.median(difference[0] - difference[1], axis=0))
print(f"median error of a row: {np.median(off[8:-8]):.2f} px")

# %%
# Before and after
# ----------------
# The average of the frames aligned as a whole is blurred where they are bent. Aligned row by row,
# it shows the atoms at the top, too. ``transform`` gives the aligned frames themselves.

whole_average = DriftDecayModel(readout="frame").average(frames)
row_average = model.average(frames, trajectory=trajectory)
figure, axes = plt.subplots(1, 3, figsize=(11, 2.6), layout="constrained")
images = {
    "first frame": frames[0],
    "average, whole frames": whole_average.mean,
    "average, rows": row_average.mean,
}
for ax, (title, image) in zip(axes, images.items(), strict=True):
    low, high = np.quantile(np.asarray(images["average, rows"]), (0.01, 0.995))
    ax.imshow(np.ma.masked_array(image)[:90], cmap="gray", vmin=low, vmax=high)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
