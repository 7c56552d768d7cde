"""
===============================
What a scanning microscope adds
===============================

A scanning microscope has noise that a camera has not: it looks at one place after the other, so
each thing that is unsteady writes its own signature along the rows. `STEMNoise` simulates all of it
in the order in which it happens, and each part by itself.
"""

# %%
# Each part by itself
# -------------------
# All parts are transformers of stacks, ``(n_frames, H, W)``. Here they are stronger than in a good
# frame, so that they can be told apart.

import matplotlib.pyplot as plt

from stemkit import noise
from stemkit.datasets import make_scene
from stemkit.degradation import degrade

scene = make_scene((96, 96), content="perfect", spacing=(12, 16), random_state=4)
clean = degrade(scene, (96, 96))[0][None]

parts = {
    "clean": None,
    "shot noise, 5 electrons per pixel": noise.ShotNoise(dose=5, random_state=0),
    "row jitter, 1 px over 3 rows": noise.RowJitter(sigma=1, correlation=3, random_state=0),
    "flyback, 8 px off": noise.Flyback(amplitude=8, decay=12),
    "slow background": noise.SlowBackground(level=1, contrast=0.5, length=25, random_state=0),
    "afterglow over 4 px": noise.Afterglow(share=0.8, decay=4),
    "line-to-line gain, 20 %": noise.LineGain(sigma=0.2, random_state=0),
    "saturation at twice the mean": noise.Saturation(level=2),
    "all of it, milder": noise.STEMNoise(dose=20, saturation=6, random_state=0),
}

figure, axes = plt.subplots(3, 3, figsize=(8.4, 9), layout="constrained")
for ax, (title, part) in zip(axes.flat, parts.items(), strict=True):
    frame = clean if part is None else part.fit_transform(clean)
    ax.imshow(frame[0], cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)

# %%
# Afterglow makes noise that a denoiser takes for structure
# ---------------------------------------------------------
# Electrons are counted before the scintillator smears their light, so neighbours along a row share
# noise. A denoiser that trusts neighbours to be independent, as blind-spot training does, then
# learns to draw streaks. The power spectrum of a flat frame tells: with afterglow it falls along
# the fast axis and stays level along the slow one.

import numpy as np

flat = np.ones((1, 512, 512))
glowing = noise.STEMNoise(
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
frequency = np.fft.rfftfreq(512)[1:]
decay = np.exp(-1 / 2.0)
response = 0.5 + 0.5 * (1 - decay) / (1 - decay * np.exp(-2j * np.pi * frequency))

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
