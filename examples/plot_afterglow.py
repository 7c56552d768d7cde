"""
=======================================================
Afterglow: noise that a denoiser takes for structure
=======================================================

Electrons are counted before the scintillator smears their light, so neighbours along a row share
noise. A denoiser that trusts neighbours to be independent, as blind-spot training does, then learns
to draw streaks.
"""

# %%
# A flat frame tells
# ------------------
# Everything but the shot noise and the afterglow is left out.

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
# The power spectrum
# ------------------
# With afterglow it falls along the fast axis and stays level along the slow one. If your camera's
# vacuum frames show this, hide rows: ``BlindSpotDenoiser(structure="row")``.

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
