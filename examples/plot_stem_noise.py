"""
============================================
Simulating the noise of scanning microscopes
============================================

A scanning microscope records one pixel after the other, so that unsteadiness of the beam, the scan
and the detector appears along the rows. ``STEMNoise`` simulates these effects in their physical
order; each is also available separately.
"""

# %%
# Compare the effects
# -------------------
# Each effect is a transformer of stacks ``(n_frames, H, W)``. To be visible, the effects are
# stronger here than in good frames.

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
    "all effects, weaker": noise.STEMNoise(dose=20, saturation=6, random_state=0),
}

figure, axes = plt.subplots(3, 3, figsize=(8.4, 9), layout="constrained")
for ax, (title, part) in zip(axes.flat, parts.items(), strict=True):
    frame = clean if part is None else part.fit_transform(clean)
    ax.imshow(frame[0], cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
plt.show()
