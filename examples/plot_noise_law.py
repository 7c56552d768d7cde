"""
==============================
Which law a camera follows
==============================

Of a camera that counts electrons the *variance* grows with the signal; of one that integrates, as
in the SCGN paper, the standard deviation does. Who calibrates by the wrong law is told so.
"""

# %%
# A camera that counts
# --------------------
# It is simulated here, in vacuum at four beam intensities: 4 counts an electron, and a readout
# noise of 5 counts.

import numpy as np

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise

counting = PoissonGaussianNoise(gain=4.0, read_sigma=5.0, random_state=2)
vacuum = [counting.fit_transform(np.full((40, 128, 128), level)) for level in (30, 90, 180, 300)]

# %%
# The wrong law
# -------------
# The straight line misses the points, and the warning names the law that fits better.

import warnings

from stemkit.inspection import NoiseCalibrationDisplay

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    wrong = HRTEMNoise().fit(vacuum)
print(caught[0].message)
display = NoiseCalibrationDisplay.from_estimator(wrong)

# %%
# The right one
# -------------
# A root goes through all points. What is measured is the camera's, within its standard errors.

import matplotlib.pyplot as plt

right = PoissonGaussianNoise().fit(vacuum)
print(f"gain {right.gain_:.3f} +- {right.gain_stderr_:.3f}, true {counting.gain}")
print("holds:", right.calibration_.holds)
display = NoiseCalibrationDisplay.from_estimator(right)
plt.show()
