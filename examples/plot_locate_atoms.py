"""
==========================================
Locating atoms and estimating their errors
==========================================

This example locates atoms in noisy, crowded frames, checks the standard errors of their positions,
and counts missed and invented atoms.
"""

# %%
# Simulate frames
# ---------------
# ``make_nucleation`` simulates frames of a nucleating crystal, recorded by a fast camera. Atoms are
# disordered, at least 4 px apart, and have a peak of about 40 counts above a background of 100
# counts with a noise of 5 counts.

from stemkit.datasets import make_nucleation

data = make_nucleation(4, mask_scale=60, random_state=3)
truth = data.positions

# %%
# Locate the atoms
# ----------------
# ``fit`` estimates the size of atoms and a threshold from the frames. ``predict`` returns a table
# with one row per atom, including standard errors.

from stemkit import AtomLocator

locator = AtomLocator().fit(data.noisy)
atoms = locator.predict(data.noisy)
print(f"sigma of atoms {locator.sigma_:.2f} px, threshold {locator.threshold_:.1f} counts")
atoms[["frame", "y", "x", "amplitude", "sigma", "background", "y_err", "x_err"]].head().round(2)

# %%
# ``atom_score`` matches located and true atoms one to one.

from stemkit.metrics import atom_score

score = atom_score(truth, atoms, tolerance=2)
print(f"F1 {score.f1:.3f}: {score.missed} of {len(truth)} missed, {score.extra} invented")
print(f"RMS distance {score.rms_error:.2f} px")

# %%
# Check the standard errors
# -------------------------
# Standard errors follow from the noise of the frame. If they are correct, the errors of positions
# divided by their standard errors have a normal distribution of unit variance. In crowded frames
# the errors are slightly larger, since neighbouring atoms overlap.

import matplotlib.pyplot as plt
import numpy as np

found = atoms.iloc[score.matches["found"]].reset_index(drop=True)
true = truth.iloc[score.matches["true"]].reset_index(drop=True)
pull = np.concatenate([(found[c] - true[c]) / found[f"{c}_err"] for c in ("y", "x")])

figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.9), layout="constrained", width_ratios=[1.15, 1])
first, first_true = atoms[atoms["frame"] == 0], truth[truth["frame"] == 0]
axes[0].imshow(data.noisy[0], cmap="gray")
axes[0].scatter(
    "x", "y", data=first_true, s=150, facecolors="none", edgecolors="tab:orange", label="true"
)
axes[0].errorbar(
    "x",
    "y",
    xerr="x_err",
    yerr="y_err",
    data=first,
    fmt="none",
    ecolor="tab:blue",
    elinewidth=2,
    label="found, ± standard error",
)
axes[0].set(xticks=[], yticks=[], xlim=(99.5, 163.5), ylim=(163.5, 99.5))
axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False)
bins = np.linspace(-5, 5, 61)
axes[1].hist(pull, bins, density=True, color="tab:cyan", alpha=0.6, label="found")
normal = np.exp(-(bins**2) / 2) / np.sqrt(2 * np.pi)
axes[1].plot(bins, normal, color="k", label="normal distribution")
axes[1].set(xlabel="(found - true) / standard error", yticks=[])
axes[1].spines[["left", "top", "right"]].set_visible(False)
axes[1].legend(frameon=False)
plt.show()
