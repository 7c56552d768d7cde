"""
==============================
A network of your own
==============================

Ten lines of torch are a denoiser: the fit loop, tiles, checkpoints, grid search and files come with
it.
"""

# %%
# The network
# -----------
# Anything that takes frames (n, 1, H, W) and gives as many of the same size. This one looks at
# 9 x 9 px, and adds what it finds to what it was given.

from torch import nn


class Residual(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        first = nn.Conv2d(1, width, 5, padding=2)
        second = nn.Conv2d(width, width, 3, padding=1)
        last = nn.Conv2d(width, 1, 3, padding=1)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)

    def forward(self, x):
        return x + self.layers(x)


# %%
# The denoiser
# ------------
# ``BlindSpotDenoiser`` takes the class, and learns from the noisy frames alone.

from stemkit.datasets import make_crystal_images
from stemkit.denoise import BlindSpotDenoiser, GaussianDenoiser
from stemkit.noise import PoissonGaussianNoise

clean = make_crystal_images("GaN", 16, shape=(64, 64), background=0.2, random_state=0).frames
frames = PoissonGaussianNoise(gain=15.0, random_state=0).fit_transform(clean)

model = BlindSpotDenoiser(
    network=Residual, max_epochs=60, batch_size=8, lr=5e-3, device="cpu", random_state=0
)
model.fit(frames)
print(f"{sum(p.numel() for p in model.module_.parameters()):,} weights, {model.n_epochs_} epochs")
blurred = [GaussianDenoiser(sigma=sigma).fit(frames).score(frames, clean) for sigma in (1, 1.5, 2)]
print(
    f"PSNR {model.score(frames, clean):.1f} dB, of a Gaussian filter {max(blurred):.1f} dB at most"
)

# %%
# Its size is a parameter as any other, for a grid search that needs no truth either.

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

grid = {"network_parameters": [{"width": 4}, {"width": 16}]}
search = GridSearchCV(clone(model).set_params(max_epochs=15), grid, cv=2).fit(frames)
print(search.best_params_)

# %%
# What it does
# ------------
# What was taken off should be noise: no atom should show in the residual, and its spectrum should
# be as flat as the noise's.

import matplotlib.pyplot as plt

from stemkit.inspection import DenoisingDisplay, HistoryDisplay

HistoryDisplay.from_estimator(model)
DenoisingDisplay.from_estimator(model, frames[0], truth=clean[0], pixel_size=0.02)
plt.show()
