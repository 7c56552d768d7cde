"""
==================================
Watching a crystal nucleate
==================================

When matter begins to crystallise, most atoms still lie without order, everything moves, and frames
must be so short that hardly an atom can be seen. Nobody can mark the atoms in such frames, so
networks learn from simulated ones. These are the frames that stemkit makes for them. In endless
batches, for training, :class:`~stemkit.datasets.NucleationStream` gives them.
"""

# %%
# What a network sees, and what it should give
# --------------------------------------------
# ``make_nucleation`` follows the NUC set: no two atoms are nearer than 4 px, vacuum is where Perlin
# noise is low, and the noise is that of a calibrated camera. The target is a map of sharp dots, not
# the clean frame: it says where the atoms are and nothing else.

from stemkit.datasets import make_nucleation

data = make_nucleation(1, order=0.25, random_state=18)

# %%
# The truth comes along as a table, with positions in px. A part of the atoms is in order here: a
# crystal grain lies in the disorder.

print(data.positions.round(2).head())
print(f"{data.positions.ordered.mean():.0%} of {len(data.positions)} atoms are in the grain")

# %%
# The three of them
# -----------------

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for ax, name in zip(axes, ("noisy", "clean", "target"), strict=True):
    ax.imshow(data[name][0], cmap="gray")
    ax.set(title=name, xticks=[], yticks=[])
plt.show()
