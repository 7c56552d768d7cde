"""
===============================
Measuring the noise of a camera
===============================

A denoiser is worth what the noise is worth that it learned from. This measures a camera from vacuum
frames at several beam intensities, asks whether the model holds, and then makes the noise uniform.
"""

# %%
# Vacuum at four beam intensities
# -------------------------------
# They are simulated here, by a camera that we pretend not to know. Its pixels differ in sensitivity
# by 1 %, its beam flickers, and it gives whole numbers.

import numpy as np

from stemkit.noise import HRTEMNoise

rng = np.random.default_rng(0)
camera = HRTEMNoise(gain=0.05, offset=2.0, column_sigma=1.0, random_state=1)
sensitivity = rng.normal(1, 0.01, (128, 128))

vacuum = []
for intensity in (60, 90, 120, 150):
    beam = rng.normal(intensity, 0.3, (40, 1, 1))
    vacuum.append(np.rint(camera.fit_transform(beam * sensitivity)).astype("uint8"))

# %%
# The calibration
# ---------------
# Each number comes with its standard error. Beside it stands what plain standard deviations would
# say.

import pandas as pd

noise = HRTEMNoise().fit(vacuum)
naive = np.polyfit([stack.mean() for stack in vacuum], [stack.std() for stack in vacuum], 1)
naive_column = np.mean([stack.mean(axis=1).std(axis=1).mean() for stack in vacuum])
print(
    pd.DataFrame(
        {
            "truth": [camera.gain, camera.offset, camera.column_sigma],
            "measured": [noise.gain_, noise.offset_, noise.column_sigma_],
            "+-": [noise.gain_stderr_, noise.offset_stderr_, noise.column_sigma_stderr_],
            "naive": [*naive, naive_column],
        },
        index=["gain", "offset", "column_sigma"],
    ).round(5)
)

# %%
# Does the model hold? The figure shows the noise of one sequence and of its columns beside the
# normal distribution, and the standard deviation of all sequences against their intensity.

from stemkit.inspection import NoiseCalibrationDisplay

print("holds:", noise.calibration_.holds)
NoiseCalibrationDisplay.from_estimator(noise)

# %%
# A camera of another kind
# ------------------------
# A direct detector counts electrons: its *variance* grows linearly. It is recognised.

import warnings

from stemkit.noise import PoissonGaussianNoise

counting = PoissonGaussianNoise(gain=4.0, read_sigma=5.0, random_state=2)
frames = [counting.fit_transform(np.full((40, 128, 128), level)) for level in (30, 90, 180, 300)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    wrong = HRTEMNoise().fit(frames)
print(caught[0].message)
NoiseCalibrationDisplay.from_estimator(wrong)

# %%
# Uniform noise
# -------------
# With the camera known, a logarithm makes pointwise noise the same everywhere. Here the intensity
# grows from left to right, and the clean ramp has been taken off to show the noise alone.

import matplotlib.pyplot as plt

ramp = np.tile(np.linspace(20, 220, 256), (128, 1))[np.newaxis]
frame = camera.fit_transform(ramp)
stable = noise.stabilize(frame)

figure, axes = plt.subplots(2, 2, figsize=(8.6, 4.6), layout="constrained", sharex="col")
for column, (title, values) in enumerate(
    {"counts": frame - ramp, "stabilised": stable - noise.stabilize(ramp)}.items()
):
    limit = 3 * values.std()
    axes[0, column].imshow(values[0], cmap="gray", vmin=-limit, vmax=limit, aspect="auto")
    axes[0, column].set(title=f"noise, {title}", yticks=[])
    axes[1, column].plot(values[0].std(axis=0), lw=1)
    axes[1, column].set(xlabel="x (px)", ylim=(0, None))
axes[1, 0].set_ylabel("standard deviation\nof each column")
axes[1, 1].axhline(1, color="0.5", lw=1)
plt.show()
