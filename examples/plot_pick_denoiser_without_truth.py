"""
================================
Picking a denoiser without truth
================================

Which denoiser is best for your own microscope, when no clean frame exists? Hiding pixels tells, as
long as each has noise of its own. This shows it at work, and then where it is fooled.
"""

# %%
# Noisy frames, and nothing else
# ------------------------------
# A crystal with ten electrons a pixel on average. The clean frames are kept to look at the answer.

from stemkit.datasets import make_crystal_images
from stemkit.noise import PoissonGaussianNoise

clean = make_crystal_images(
    "SrTiO3", 4, shape=(96, 96), background=0.2, vacuum=0.2, random_state=0
).frames
frames = PoissonGaussianNoise(gain=6.0, random_state=1).fit_transform(clean)

# %%
# A grid search that needs no y
# -----------------------------
# ``blind_spot_scorer`` replaces pixels by guesses, and sees how much of each pixel's own noise the
# denoiser lets through. How far its output is from its input would say that doing nothing is best.

import numpy as np
from sklearn.model_selection import GridSearchCV

from stemkit.denoise import GaussianDenoiser
from stemkit.metrics import BlindSpotScorer, blind_spot_scorer, get_scorer

sigmas = np.array([0.01, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0])
search = GridSearchCV(GaussianDenoiser(), {"sigma": sigmas}, scoring=blind_spot_scorer, cv=2)
search.fit(frames)
print(f"best without truth: sigma = {search.best_params_['sigma']:g} px")

by_truth = GridSearchCV(GaussianDenoiser(), {"sigma": sigmas}, scoring=get_scorer("psnr"), cv=2)
by_truth.fit(frames, clean)
print(f"best by the truth:  sigma = {by_truth.best_params_['sigma']:g} px")

# %%
# What it can't see
# -----------------
# On a camera whose light spreads, neighbours share noise. What they share passes for specimen: the
# score then favours denoisers that blur too little. A second exposure is not fooled.

from scipy import ndimage

from stemkit.metrics import split_scorer


def spread(seed):
    noise = PoissonGaussianNoise(gain=60.0, random_state=seed).fit_transform(clean) - clean
    return clean + ndimage.gaussian_filter(noise, 0.9, axes=(1, 2))


def errors(scorer, X, y=None):
    """Mean square errors, up to the noise's own variance."""
    return -np.array([scorer(GaussianDenoiser(sigma=s).fit(X), X, y) for s in sigmas])


first, second = spread(2), spread(3)


def true_error(model, X, y):
    return -float(np.mean((model.predict(X) - clean) ** 2))


import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
for ax, title, X in (
    (axes[0], "each pixel has noise of its own", frames),
    (axes[1], "neighbours share noise", first),
):
    curves = {"truth": errors(true_error, X), "hidden pixels": errors(BlindSpotScorer(), X)}
    if X is first:
        curves["another exposure"] = errors(split_scorer, X, second)
    for (name, values), color in zip(
        curves.items(), ("black", "tab:blue", "tab:orange"), strict=False
    ):
        values = values - values[-1] + curves["truth"][-1]  # all know errors up to a constant
        best = values.argmin()
        ax.plot(sigmas, values, color=color, label=name, lw=3 if name == "truth" else 1.5)
        ax.plot(sigmas[best], values[best], "o", color=color, ms=9 if name == "truth" else 5)
    ax.set(title=title, xlabel="sigma of the Gaussian (px)", ylabel="mean square error")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
plt.show()
