"""
===============================
Measuring the noise of a camera
===============================

A denoiser works well only if its training frames have the noise of your camera. This example
measures the noise on vacuum frames at several beam intensities, and tests whether the noise model
fits.
"""

# %%
# Simulate vacuum frames at four intensities
# ------------------------------------------
# The sensitivity of pixels varies by 1 %, the beam flickers, and counts are rounded to integers.

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
# Calibrate the noise model
# -------------------------
# The table lists each parameter with its standard error. The last column has the estimates from
# standard deviations without any correction for flicker and sensitivity.

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
# Test the model
# --------------
# The figure compares the noise of one sequence, and that of its columns, with the normal
# distribution, and shows the standard deviation of all sequences against their intensity.

from stemkit.inspection import NoiseCalibrationDisplay

print("model holds:", noise.calibration_.holds)
display = NoiseCalibrationDisplay.from_estimator(noise)
