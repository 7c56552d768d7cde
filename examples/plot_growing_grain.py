"""
==================================
A grain that grows
==================================

While a crystal grows, atoms of the liquid join it one by one. A series in which each atom keeps its
name tells how well tracking works, and what it would see.
"""

# %%
# Frames with names for atoms
# ---------------------------
# In a sequence each atom keeps its identity, so that tracking can be tested too. The disordered
# atoms diffuse as far as their neighbours let them; those that the grain reaches settle on its
# lattice.

import matplotlib.pyplot as plt
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
# How far they move
# -----------------
# Atoms wander while they are free, and only vibrate once they belong to the
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
