"""
==================================
Watching a crystal nucleate
==================================

When matter begins to crystallise, most atoms still lie without order, everything moves, and frames
must be so short that hardly an atom can be seen. Nobody can mark the atoms in such frames, so
networks learn from simulated ones. These are the frames that stemkit makes for them.
"""

# %%
# What a network sees, and what it should give
# --------------------------------------------
# ``make_nucleation`` follows the NUC set: no two atoms are nearer than 4 px, vacuum is where Perlin
# noise is low, and the noise is that of a calibrated camera. The target is a map of sharp dots, not
# the clean frame: it says where the atoms are and nothing else.

import matplotlib.pyplot as plt

from stemkit.datasets import make_nucleation

data = make_nucleation(1, order=0.25, random_state=18)

figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for ax, name in zip(axes, ("noisy", "clean", "target"), strict=True):
    ax.imshow(data[name][0], cmap="gray")
    ax.set(title=name, xticks=[], yticks=[])
plt.show()

# %%
# The truth comes along as a table, with positions in px. A part of the atoms is in order here: a
# crystal grain lies in the disorder.

print(data.positions.round(2).head())
print(f"{data.positions.ordered.mean():.0%} of {len(data.positions)} atoms are in the grain")

# %%
# A grain that grows
# ------------------
# In a sequence each atom keeps its identity, so that tracking can be tested too. The disordered
# atoms diffuse as far as their neighbours let them; those that the grain reaches settle on its
# lattice.

import numpy as np

from stemkit.datasets import make_nucleation_sequence

film = make_nucleation_sequence(
    25, (160, 160), growth=(0.03, 0.6), mask_threshold=0.4, random_state=5
)

shown = (0, 8, 16, 24)
figure, axes = plt.subplots(2, 4, figsize=(9, 4.8), layout="constrained")
for (upper, lower), index in zip(axes.T, shown, strict=True):
    atoms = film.positions[film.positions.frame == index]
    upper.imshow(film.clean[index], cmap="gray")
    upper.set(title=f"frame {index}", xticks=[], yticks=[])
    for ordered, color in ((False, "C0"), (True, "C3")):
        some = atoms[atoms.ordered == ordered]
        lower.scatter(some.x, some.y, s=4, color=color)
    lower.set(aspect="equal", xlim=(-0.5, 159.5), ylim=(159.5, -0.5), xticks=[], yticks=[])
axes[0, 0].set_ylabel("without noise")
axes[1, 0].set_ylabel("truth; red: ordered")
plt.show()

# %%
# How far do they move? Atoms wander while they are free, and only vibrate once they belong to the
# grain.

tracks = film.positions.set_index(["frame", "atom"])[["y", "x", "ordered"]].unstack("atom")
lags = np.arange(1, 13)
figure, ax = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
for label, color, chosen in (
    ("ordered throughout", "C3", tracks["ordered"].iloc[12:].eq(True).all()),
    ("disordered throughout", "C0", tracks["ordered"].eq(False).all()),
):
    y, x = (tracks[name].loc[12:, chosen] for name in ("y", "x"))
    squares = [float(np.nanmean((y.diff(n) ** 2 + x.diff(n) ** 2).to_numpy())) for n in lags]
    ax.plot(lags, squares, "o-", color=color, label=label, markersize=4)
ax.set(xlabel="frames in between", ylabel="mean square displacement (px$^2$)", ylim=(0, None))
ax.legend()
plt.show()

# %%
# Fresh frames for training
# -------------------------
# A stream makes the next batch from the seed and the step alone: nothing is stored, nothing is seen
# twice, and a training that was stopped goes on where it was. On a GPU the frames are made there.

from stemkit.datasets import NucleationStream

stream = NucleationStream(4, (128, 128), contrast="low", random_state=0)
noisy, target = stream.batch(1000)
print(noisy.shape, noisy.device, target.max())
