"""
========================================
Averaging a series, and what it resolves
========================================

A single frame of a few counts hardly shows atoms. The average of the series shows more, if every
frame is put where it belongs, and if what a frame does not show is left out.
"""

# %%
# A series that drifts
# --------------------
# Eight views of a film with a grain, each 5 px further along y and 8 px along x, with 1 count per
# pixel. The beam blurs the specimen from frame to frame.

import numpy as np
from scipy.ndimage import gaussian_filter

from stemkit import DriftDecayModel
from stemkit.datasets import make_nucleation
from stemkit.io import FrameStack

rng = np.random.default_rng(0)
field = make_nucleation(1, shape=(320, 320), random_state=0).clean[0]
field = np.clip(field - np.quantile(field, 0.01), 0, None)
field *= 0.8 / field.mean()
field += 0.2
clean = [
    gaussian_filter(field, 0.25 * i)[5 * i : 5 * i + 240, 8 * i : 8 * i + 220] for i in range(8)
]
stack = FrameStack(rng.poisson(clean).astype("float32"), pixel_size=0.03)

# %%
# Average where the frames hold data
# ----------------------------------
# ``canvas="union"`` makes the average as large as all that was seen; pixels that no frame shows are
# masked (grey). ``coverage`` counts the frames that show a pixel. The resolution is where the
# averages of two halves of the frames, whose noise is independent, stop to agree: at a correlation
# of 1/7.

from stemkit.inspection import AverageDisplay

model = DriftDecayModel(motion="translation", exposure=None)
trajectory = model.trajectory(stack)
union = model.average(stack, trajectory=trajectory, canvas="union")
display = AverageDisplay.from_predictions(union)

# %%
# How certain is a pixel?
# -----------------------
# ``stderr`` is the standard error of each pixel. Here the truth is known: the average of the views
# without noise. The errors are as large as they should be, 1 in units of the standard error.

average = model.average(stack, trajectory=trajectory)
inside = average.coverage == 8
truth = np.mean([gaussian_filter(field, 0.25 * i) for i in range(8)], axis=0)[:240, :220]
z = (average.mean - truth)[inside] / average.stderr[inside]
print(f"error: {np.sqrt(np.mean(z**2)):.2f} standard errors")

# %%
# Weigh by dose
# -------------
# The beam takes the fine structure first, so the average of all frames resolves less than that of
# the first two. With ``dose``, each spatial frequency is averaged mostly over the frames that still
# have it; what is left in them is estimated from the series.

import matplotlib.pyplot as plt

by_dose = model.average(stack, trajectory=trajectory, dose=np.arange(8))
first_two = model.average(stack[:2], trajectory=trajectory[:2])
for name, result in (("two frames", first_two), ("eight", average), ("by dose", by_dose)):
    print(f"{name}: {result.resolution_nm:.3f} nm, noise {np.ma.median(result.stderr):.3f}")

figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
images = {
    "one frame": stack[0],
    "average": average.mean,
    "average by dose": by_dose.mean,
    "specimen": field,
}
for ax, (title, image) in zip(axes, images.items(), strict=True):
    part = np.asarray(image)[90:190, 90:190]
    ax.imshow(part, cmap="gray", vmin=np.quantile(part, 0.01), vmax=np.quantile(part, 0.995))
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
