"""
================================
Picking a denoiser without truth
================================

Which denoiser is best for your own microscope, when no clean frame exists? Hiding pixels tells, as
long as each has noise of its own.
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
from stemkit.metrics import blind_spot_scorer, get_scorer

sigmas = np.array([0.01, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0])
search = GridSearchCV(GaussianDenoiser(), {"sigma": sigmas}, scoring=blind_spot_scorer, cv=2)
search.fit(frames)
print(f"best without truth: sigma = {search.best_params_['sigma']:g} px")

by_truth = GridSearchCV(GaussianDenoiser(), {"sigma": sigmas}, scoring=get_scorer("psnr"), cv=2)
by_truth.fit(frames, clean)
print(f"best by the truth:  sigma = {by_truth.best_params_['sigma']:g} px")

# %%
# The score and the truth
# -----------------------
# The score is minus the mean square error to the truth, but for the noise's variance, which is the
# same for all denoisers; that is taken off here. Where it is fooled shows
# :ref:`sphx_glr_auto_examples_plot_what_scores_cannot_see.py`.

import matplotlib.pyplot as plt

hidden = -search.cv_results_["mean_test_score"]
models = [GaussianDenoiser(sigma=sigma).fit(frames) for sigma in sigmas]
true = np.array([np.mean((model.predict(frames) - clean) ** 2) for model in models])

figure, ax = plt.subplots(figsize=(5.6, 3.9), layout="constrained")
for name, errors, style in (
    ("truth", true, {"color": "black", "lw": 3, "ms": 9}),
    ("hidden pixels", hidden - hidden[-1] + true[-1], {"color": "tab:blue", "lw": 1.5, "ms": 5}),
):
    ax.plot(sigmas, errors, "o-", markevery=[errors.argmin()], label=name, **style)
ax.set(xlabel="sigma of the Gaussian (px)", ylabel="mean square error (counts$^2$)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
