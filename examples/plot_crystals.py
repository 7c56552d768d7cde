"""
=========================
Crystals down a zone axis
=========================

To learn to denoise, or to measure how well something does, one needs frames whose every column is
known. Here they come from crystals: by name, from a CIF file or from a unit cell.
"""

# %%
# What a detector sees
# --------------------
# Atoms behind each other make a column, about as bright as the sum of their Z\ :sup:`1.7`, and as
# wide as the probe. ``positions`` lists them all, with what they are made of.

import matplotlib.pyplot as plt

from stemkit.datasets import make_crystal_images

images = make_crystal_images("SrTiO3", pixel_size=0.0125, shape=(128, 200), random_state=0)
frame, columns = images.frames[0], images.positions
print(columns.groupby("species").amplitude.agg(["size", "mean"]).round(1))

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
left.imshow(frame, cmap="gray")
# Oxygen beside strontium is there, but at a hundredth of white hardly seen.
right.imshow(frame**0.4, cmap="gray")
for color, (species, some) in zip(["C1", "C0", "C2"], columns.groupby("species"), strict=True):
    right.scatter(some.x, some.y, s=28, facecolors="none", edgecolors=color, label=species)
right.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
left.set_title("SrTiO3 down [001], 2.5 nm wide")
right.set_title("darker columns lifted, and all that are listed")
for ax in (left, right):
    ax.set_axis_off()

# %%
# Crystals by name
# ----------------
# Eight of the twelve that go by name. Others are read from CIF files, whose occupancies say what is
# shared at random.

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
