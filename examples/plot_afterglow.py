"""
=======================================
Detecting afterglow of the scintillator
=======================================

The scintillator of a STEM detector keeps glowing for a short time, so the shot noise of a pixel
also appears in the next pixels of its row. Blind-spot training assumes that the noise of
neighbouring pixels is independent. With afterglow, it learns to keep the noise as streaks.
"""

# %%
# Simulate a flat frame
# ---------------------
# The frame has shot noise and afterglow; all other distortions are switched off.

import numpy as np

from stemkit.noise import STEMNoise

flat = np.ones((1, 512, 512))
glowing = STEMNoise(
    dose=20,
    row_jitter=None,
    flyback=None,
    background=None,
    line_gain=None,
    afterglow=0.5,
    afterglow_decay=2.0,
    random_state=0,
)
residual = glowing.fit_transform(flat)[0] - 1

# %%
# Plot the power spectrum of the noise
# ------------------------------------
# With afterglow, the noise power decreases with frequency along the fast axis and is constant along
# the slow axis. If vacuum frames of your microscope show this, train with hidden rows:
# ``BlindSpotDenoiser(structure="row")``.

frequency = np.fft.rfftfreq(512)[1:]
decay = np.exp(-1 / 2.0)
response = 0.5 + 0.5 * (1 - decay) / (1 - decay * np.exp(-2j * np.pi * frequency))

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for axis, label in ((1, "along rows (fast)"), (0, "along columns (slow)")):
    power = (np.abs(np.fft.rfft(residual, axis=axis)) ** 2 / 512).mean(axis=1 - axis)[1:]
    ax.plot(frequency, 20 * power, lw=1, label=label)
ax.plot(frequency, np.abs(response) ** 2, "k--", lw=1, label="theory")
ax.set(
    xlabel="frequency (cycles per px)",
    ylabel="noise power (1 = shot noise)",
    xlim=(0, 0.5),
    ylim=(0, None),
)
ax.legend(frameon=False)
plt.show()
