"""
=====================
No crystal is perfect
=====================

A denoiser that has only seen perfect lattices draws perfect lattices. Crystals can be made with
what real ones have: a tilt of a degree that smears the columns, missing atoms, strain, vacuum
behind an edge, and a background that varies slowly.
"""

# %%
# Each defect is a number
# -----------------------
# Any of them can be had together. A number may be drawn anew for each frame of a training:
# :class:`~stemkit.datasets.CrystalStream` does it.

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
# The truth knows of them
# -----------------------
# ``positions`` lists every column where it came to lie, and how many atoms are left in it.

import pandas as pd

rows = {
    title: {
        "columns": len(crystal.positions),
        "atoms a column, mean": crystal.positions["n_atoms"].mean(),
        "least": crystal.positions["n_atoms"].min(),
    }
    for title, crystal in crystals.items()
}
pd.DataFrame(rows).T.round(1)

# %%
# The figure
# ----------

import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 3, figsize=(8.6, 6.0), layout="constrained")
for ax, (title, crystal) in zip(axes.flat, crystals.items(), strict=True):
    ax.imshow(crystal.frames[0], cmap="gray", vmin=0, vmax=255)
    ax.set_title(title, fontsize="medium")
    ax.set_axis_off()
plt.show()
