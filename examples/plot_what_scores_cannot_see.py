"""
==============================
When scores without truth fail
==============================

Each score without truth makes an assumption: with hidden pixels, that the noise of neighbouring
pixels is independent; with a split exposure, that the noise model is correct; with two exposures,
that the specimen does not move. This example violates these assumptions.
"""

# %%
# Simulate exposures
# ------------------
# In the second case a scintillator spreads light, so that neighbouring pixels share noise. In the
# third case the specimen drifts by 2 px between two exposures.

import numpy as np
from scipy import ndimage

from stemkit.datasets import make_crystal_images
from stemkit.noise import PoissonGaussianNoise

clean = make_crystal_images(
    "SrTiO3", 4, shape=(96, 96), background=0.2, vacuum=0.2, random_state=0
).frames


def exposure(gain, seed, spread=0.0, drift=0):
    moved = np.roll(clean, drift, axis=1)
    noise = PoissonGaussianNoise(gain=gain, random_state=seed).fit_transform(moved) - moved
    return moved + ndimage.gaussian_filter(noise, spread, axes=(1, 2))


cases = {
    "assumptions hold": (exposure(12.0, 1), exposure(12.0, 2)),
    "neighbours share noise": (exposure(60.0, 1, spread=0.9), exposure(60.0, 2, spread=0.9)),
    "2 px of drift in between": (exposure(12.0, 1), exposure(12.0, 2, drift=2)),
}

# %%
# Score Gaussian filters
# ----------------------
# Scores estimate the mean square error up to a constant. The figure sets the error of the widest
# filter to 0 for each score.

from stemkit.denoise import GaussianDenoiser
from stemkit.metrics import SplitScorer, blind_spot_scorer, split_scorer

sigmas = np.array([0.01, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0])


def estimated_errors(first, second):
    # A calibration on vacuum frames measures the variance, which blurred noise has less of.
    gain = np.var(first - clean) / clean.mean()
    split_one = SplitScorer(noise=PoissonGaussianNoise(gain=gain))
    models = [GaussianDenoiser(sigma=sigma).fit(first) for sigma in sigmas]
    yield "truth", [np.mean((model.predict(first) - clean) ** 2) for model in models]
    yield "hidden pixels", [-blind_spot_scorer(model, first) for model in models]
    yield "one exposure, split", [-split_one(model, first) for model in models]
    yield "another exposure", [-split_scorer(model, first, second) for model in models]


# %%
# Plot the estimated errors
# -------------------------
# Dots mark the filter that each score chooses. Scores of a single exposure mistake shared noise for
# structure and choose too small a sigma. The score of two exposures counts drift as an error and
# chooses too large a sigma, so align exposures first.

import matplotlib.pyplot as plt

colors = ("black", "tab:blue", "tab:green", "tab:orange")
figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.9), layout="constrained")
for ax, (title, (first, second)) in zip(axes, cases.items(), strict=True):
    for (name, errors), color in zip(estimated_errors(first, second), colors, strict=True):
        errors = np.array(errors) - errors[-1]
        style = {"lw": 3, "ms": 10} if name == "truth" else {"lw": 1.5, "ms": 5}
        best = [errors.argmin()]
        ax.plot(sigmas, errors, "o-", markevery=best, color=color, label=name, **style)
    ax.set(title=title, xlabel="sigma of the Gaussian (px)", yticks=[])
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("mean square error, up to a constant")
axes[0].legend(frameon=False)
plt.show()
