"""
===============================
Simulating frames of nucleation
===============================

When a crystal nucleates, most atoms are disordered and moving, so exposures must be short, and
atoms are hardly visible. Because people cannot mark the atoms in such frames, networks train on
simulated ones. For training, :class:`~stemkit.datasets.NucleationStream` provides an unlimited
number of batches.
"""

# %%
# Input and target of a network
# -----------------------------
# ``make_nucleation`` follows the NUC data set: atoms are at least 4 px apart, regions of low Perlin
# noise are vacuum, and the noise is that of a calibrated camera. The target is not the clean frame
# but a map with a sharp dot at each atom.

from stemkit.datasets import make_nucleation

data = make_nucleation(1, order=0.25, random_state=18)

# %%
# ``positions`` is a table of the true positions in px. Here some of the atoms form a crystalline
# grain.

print(data.positions.round(2).head())
print(f"{data.positions.ordered.mean():.0%} of {len(data.positions)} atoms are in the grain")

# %%
# Plot the frames
# ---------------

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for ax, name in zip(axes, ("noisy", "clean", "target"), strict=True):
    ax.imshow(data[name][0], cmap="gray")
    ax.set(title=name, xticks=[], yticks=[])
plt.show()
