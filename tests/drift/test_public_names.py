"""Public names of stemkit.drift, and the modules that it imports."""

import subprocess
import sys

import pytest

from stemkit import damage, drift, exceptions, registration

OFFERED = {
    "AlignedStack": registration,
    "CriticalDose": damage,
    "LowConfidenceWarning": exceptions,
    "Motion": registration,
    "Registration": registration,
    "Trajectory": registration,
    "coverage": registration,
    "reconcile": registration,
    "register": registration,
    "warp": registration,
}


@pytest.mark.parametrize("name", OFFERED)
def test_names_of_drift_are_those_of_the_packages_below(name):
    assert getattr(drift, name) is getattr(OFFERED[name], name)
    assert name in drift.__all__


def test_prediction_imports_no_generator_of_frames():
    code = (
        "import sys, warnings, numpy as np\n"
        "import stemkit.registration, stemkit.damage\n"
        "from stemkit.drift import DriftDecayModel\n"
        "warnings.simplefilter('ignore')\n"
        "X = np.random.default_rng(0).random((2, 32, 32))\n"
        "DriftDecayModel().predict(X, 0.5)\n"
        "print(*(name for name in sys.modules if name.startswith('stemkit')))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = result.stdout.split()
    assert "stemkit.damage._decay_map" in loaded
    assert not [name for name in loaded if name.startswith("stemkit.datasets")]
    assert "stemkit.degradation" not in loaded
    assert "stemkit.damage._training" not in loaded
