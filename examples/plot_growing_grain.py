"""
==================================
Simulating the growth of a crystal
==================================

While a crystal grows, disordered atoms join it one by one. A simulated series, in which each atom
keeps its number, serves to test how well a method tracks atoms.
"""

# %%
# Simulate a series
# -----------------
# Each atom has the same number in all frames. Disordered atoms diffuse between their neighbours;
# atoms that the growing grain reaches move to sites of its lattice.

import matplotlib.pyplot as plt
import numpy as np

from stemkit.datasets import make_nucleation_sequence

series = make_nucleation_sequence(
    25, (160, 160), growth=(0.03, 0.6), mask_threshold=0.4, random_state=5
)

shown = (0, 8, 16, 24)
figure, axes = plt.subplots(2, 4, figsize=(9, 4.8), layout="constrained")
for (upper, lower), index in zip(axes.T, shown, strict=True):
    atoms = series.positions[series.positions.frame == index]
    upper.imshow(series.clean[index], cmap="gray")
    upper.set(title=f"frame {index}", xticks=[], yticks=[])
    for ordered, color in ((False, "C0"), (True, "C3")):
        group = atoms[atoms.ordered == ordered]
        lower.scatter(group.x, group.y, s=4, color=color)
    lower.set(aspect="equal", xlim=(-0.5, 159.5), ylim=(159.5, -0.5), xticks=[], yticks=[])
axes[0, 0].set_ylabel("without noise")
axes[1, 0].set_ylabel("truth; red: ordered")
plt.show()

# %%
# Mean square displacement
# ------------------------
# Disordered atoms diffuse, so their mean square displacement grows with time. Atoms of the grain
# only vibrate about their sites.

tracks = series.positions.set_index(["frame", "atom"])[["y", "x", "ordered"]].unstack("atom")
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
