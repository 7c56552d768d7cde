"""
================================
Simulating crystals with defects
================================

A denoiser trained on perfect lattices alone also returns perfect lattices for crystals with
defects. :func:`~stemkit.datasets.make_crystal_images` therefore simulates deviations from the
perfect crystal: tilt, vacancies, strain, an edge to vacuum, and a slowly varying background.
"""

# %%
# Choose the defects
# ------------------
# Each defect is a parameter, and all can be combined. To train a network,
# :class:`~stemkit.datasets.CrystalStream` draws new values for each frame.

from stemkit.datasets import make_crystal_images

defects = {
    "perfect": {},
    "tilt of 15 mrad": {"tilt": (15, 0)},
    "vacancies, 20 %": {"vacancies": 0.2, "thickness": 2},
    "strain": {"strain": (0.0, 0.15, 0.1)},
    "vacuum": {"vacuum": 0.4},
    "background": {"background": 0.6},
}
crystals = {
    title: make_crystal_images(
        "BaTiO3", rotation=12, pixel_size=0.016, shape=(200, 200), random_state=3, **options
    )
    for title, options in defects.items()
}

# %%
# Positions of the columns
# ------------------------
# ``positions`` lists the position of every column, including strain, and its number of atoms.

import pandas as pd

rows = {
    title: {
        "columns": len(crystal.positions),
        "atoms a column, mean": crystal.positions["n_atoms"].mean(),
        "atoms a column, minimum": crystal.positions["n_atoms"].min(),
    }
    for title, crystal in crystals.items()
}
pd.DataFrame(rows).T.round(1)

# %%
# Plot the frames
# ---------------

import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 3, figsize=(8.6, 6.0), layout="constrained")
for ax, (title, crystal) in zip(axes.flat, crystals.items(), strict=True):
    ax.imshow(crystal.frames[0], cmap="gray", vmin=0, vmax=255)
    ax.set_title(title, fontsize="medium")
    ax.set_axis_off()
plt.show()
