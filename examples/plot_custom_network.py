"""
==============================
Using your own PyTorch network
==============================

``NetworkDenoiser`` and ``BlindSpotDenoiser`` accept any PyTorch module as their network. They
provide the training loop, tiles for large frames, checkpoints, saving and loading, and they work
with grid search.
"""

# %%
# Define a network
# ----------------
# The network maps frames of shape (n, 1, H, W) to frames of the same shape. This one has a
# receptive field of 9 x 9 px and predicts a correction, which is added to the input.

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
# Train it as a denoiser
# ----------------------
# ``BlindSpotDenoiser`` takes the class of the network and trains it on noisy frames alone.

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
print(f"PSNR {model.score(frames, clean):.1f} dB; best Gaussian filter {max(blurred):.1f} dB")

# %%
# A grid search can choose the parameters of the network, also without clean frames.

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

grid = {"network_parameters": [{"width": 4}, {"width": 16}]}
search = GridSearchCV(clone(model).set_params(max_epochs=15), grid, cv=2).fit(frames)
print(search.best_params_)

# %%
# Inspect the result
# ------------------
# The residual, the difference between noisy and denoised frame, should contain noise alone: it
# should not show atoms, and its spectrum should be as flat as that of the noise.

import matplotlib.pyplot as plt

from stemkit.inspection import DenoisingDisplay, HistoryDisplay

HistoryDisplay.from_estimator(model)
DenoisingDisplay.from_estimator(model, frames[0], truth=clean[0], pixel_size=0.02)
plt.show()
