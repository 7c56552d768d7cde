"""
=====================================
Simulating crystals along a zone axis
=====================================

Training a denoiser or testing a method requires frames whose atomic columns are known.
:func:`~stemkit.datasets.make_crystal_images` simulates them for a crystal given by name, by a CIF
file or by a unit cell.
"""

# %%
# Columns and their positions
# ---------------------------
# Along the zone axis, atoms form columns. The intensity of a column is proportional to the sum of
# Z\ :sup:`1.7` over its atoms, and its width is that of the probe. ``positions`` lists all columns
# with their elements.

import matplotlib.pyplot as plt

from stemkit.datasets import make_crystal_images

images = make_crystal_images("SrTiO3", pixel_size=0.0125, shape=(128, 200), random_state=0)
frame, columns = images.frames[0], images.positions
print(columns.groupby("species").amplitude.agg(["size", "mean"]).round(1))

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
left.imshow(frame, cmap="gray")
# A gamma of 0.4 makes the faint oxygen columns visible.
right.imshow(frame**0.4, cmap="gray")
for color, (species, group) in zip(["C1", "C0", "C2"], columns.groupby("species"), strict=True):
    right.scatter(group.x, group.y, s=28, facecolors="none", edgecolors=color, label=species)
right.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
left.set_title("SrTiO3 along [001], 2.5 nm wide")
right.set_title("gamma 0.4, with the listed columns")
for ax in (left, right):
    ax.set_axis_off()

# %%
# Crystals by name
# ----------------
# Twelve crystals are available by name; eight are shown. Other crystals are read from CIF files,
# with sites of partial occupancy filled at random.

names = {
    "Si": (1, 1, 0),
    "GaN": (1, 1, 0),
    "AlGaN": (0, 0, 1),
    "ZrO2": (1, 0, 0),
    "BaTiO3": (1, 1, 0),
    "ZnMgTe": (1, 1, 0),
    "LLZO": (1, 1, 1),
    "graphene": (0, 0, 1),
}
figure, axes = plt.subplots(2, 4, figsize=(8.6, 4.7), layout="constrained")
for ax, (name, zone_axis) in zip(axes.flat, names.items(), strict=True):
    crystal = make_crystal_images(
        name, zone_axis=zone_axis, pixel_size=0.0125, shape=(200, 200), random_state=1
    )
    ax.imshow(crystal.frames[0], cmap="gray")
    ax.set_title(f"{name} [{''.join(map(str, zone_axis))}]", fontsize="medium")
    ax.set_axis_off()
plt.show()
