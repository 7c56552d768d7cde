"""
================================================
Grid search over a pipeline with simulated noise
================================================

If clean frames can be simulated, noise and denoiser can be steps of one scikit-learn pipeline. A
grid search over the parameters of both then shows how the best denoiser depends on the dose.
"""

# %%
# Build the pipeline
# ------------------
# The pipeline adds noise to clean frames and denoises them; its score compares the result with the
# clean frames. The simulator seeds the noise of each frame with the content of the frame, so
# training and test folds do not share noise.

from sklearn.pipeline import make_pipeline

from stemkit.datasets import make_crystal_images
from stemkit.denoise import GaussianDenoiser
from stemkit.noise import STEMNoise

clean = make_crystal_images(
    "SrTiO3", 6, shape=(96, 96), background=0.2, rotation=None, random_state=0
).frames
pipe = make_pipeline(
    STEMNoise(row_jitter=None, flyback=None, background=None, random_state=0), GaussianDenoiser()
)

# %%
# Run the search
# --------------
# The search computes two metrics. Both need the data range of the frames, here 255.

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV

from stemkit.metrics import get_scorer

doses = [2, 10, 50]
sigmas = np.array([0.01, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
search = GridSearchCV(
    pipe,
    {"stemnoise__dose": doses, "gaussiandenoiser__sigma": sigmas},
    scoring={
        "psnr": get_scorer("psnr", data_range=255.0, quantize=False),
        "ssim": get_scorer("ssim", data_range=255.0, quantize=False),
    },
    refit="psnr",
    cv=3,
).fit(clean, clean)
results = pd.DataFrame(search.cv_results_)

# %%
# Plot the scores
# ---------------
# The lower the dose, the larger the best sigma. To denoise real frames, skip the simulator:
# ``search.best_estimator_[1:].transform(frames)``.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained", sharex=True)
labels = {"psnr": "PSNR (dB)", "ssim": "SSIM"}
for ax, (metric, label) in zip(axes, labels.items(), strict=True):
    for dose, color in zip(doses, ("#9ecae1", "#4292c6", "#08519c"), strict=True):
        rows = results[results["param_stemnoise__dose"] == dose]
        mean, std = (rows[f"{kind}_test_{metric}"].to_numpy() for kind in ("mean", "std"))
        ax.errorbar(sigmas, mean, std, color=color, capsize=2, label=f"{dose} electrons a pixel")
        ax.plot(sigmas[mean.argmax()], mean.max(), "o", color=color, ms=8)
    ax.set(xlabel="sigma of the Gaussian (px)", ylabel=label)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False)
plt.show()
