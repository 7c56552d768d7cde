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
plt.show()
