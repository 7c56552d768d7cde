"""
===============================
Measuring the noise of a camera
===============================

A denoiser is worth what the noise is worth that it learned from. This measures a camera from vacuum
frames at several beam intensities, and asks whether the model holds.
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
display = NoiseCalibrationDisplay.from_estimator(noise)
