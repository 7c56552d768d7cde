"""
========================================
Choosing a denoiser without clean frames
========================================

Experimental frames have no clean version to compare with. If the noise of pixels is independent, a
score that hides pixels still finds the best denoiser.
"""

# %%
# Simulate noisy frames
# ---------------------
# The frames show a crystal at an average of ten electrons per pixel. The clean frames are used only
# to check the result.

from stemkit.datasets import make_crystal_images
from stemkit.noise import PoissonGaussianNoise

clean = make_crystal_images(
    "SrTiO3", 4, shape=(96, 96), background=0.2, vacuum=0.2, random_state=0
).frames
frames = PoissonGaussianNoise(gain=6.0, random_state=1).fit_transform(clean)

# %%
# Search without clean frames
# ---------------------------
# ``blind_spot_scorer`` replaces pixels by the mean of their neighbours plus noise, and measures how
# much of the noise of these pixels remains in the denoised frame. The plain difference between
# output and input would favour a denoiser that does nothing.

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
print(f"best with truth:    sigma = {by_truth.best_params_['sigma']:g} px")

# %%
# Compare the score with the true error
# -------------------------------------
# The score is minus the mean square error, up to the variance of the noise, which is the same for
# all denoisers and is subtracted here.
# :ref:`sphx_glr_auto_examples_plot_what_scores_cannot_see.py` shows cases in which the score fails.

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
