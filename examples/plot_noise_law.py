"""
====================================
Choosing the noise model of a camera
====================================

For a camera that counts electrons, the *variance* of the noise is linear in the signal. For an
integrating camera, as in the SCGN paper, the standard deviation is. A calibration with the wrong
model gives a warning.
"""

# %%
# Simulate a counting camera
# --------------------------
# Vacuum frames are simulated at four beam intensities, with a gain of 4 counts per electron and a
# readout noise of 5 counts.

import numpy as np

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise

counting = PoissonGaussianNoise(gain=4.0, read_sigma=5.0, random_state=2)
vacuum = [counting.fit_transform(np.full((40, 128, 128), level)) for level in (30, 90, 180, 300)]

# %%
# Calibrate the wrong model
# -------------------------
# A line does not fit the points, and the warning names the model that does.

import warnings

from stemkit.inspection import NoiseCalibrationDisplay

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    wrong = HRTEMNoise().fit(vacuum)
print(caught[0].message)
display = NoiseCalibrationDisplay.from_estimator(wrong)

# %%
# Calibrate the right model
# -------------------------
# A square root fits all points, and the gain agrees with that of the camera within its standard
# error.

import matplotlib.pyplot as plt

right = PoissonGaussianNoise().fit(vacuum)
print(f"gain {right.gain_:.3f} +- {right.gain_stderr_:.3f}, true {counting.gain}")
print("model holds:", right.calibration_.holds)
display = NoiseCalibrationDisplay.from_estimator(right)
plt.show()
