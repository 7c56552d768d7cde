"""Follow the steps of CONTRIBUTING.md for a new denoiser."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import stemkit

GUIDE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
# Some of the tests that run on every estimator.
CONTRACT = """
import pickle
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
)
import stemkit.denoise
from stemkit.utils import all_estimators

def test_contract(tmp_path):
    cls = dict(all_estimators())["TwoLayersDenoiser"]
    assert "TwoLayersDenoiser" in stemkit.denoise.__all__
    small = cls(n_channels=2, max_epochs=1, random_state=0)
    for check in (check_no_attributes_set_in_init, check_parameters_default_constructible):
        check("TwoLayersDenoiser", small)
    X = np.random.default_rng(0).normal(size=(2, 16, 16))
    model = small.fit(X, X)
    model.save_weights(tmp_path / "w.safetensors")
    for again in (pickle.loads(pickle.dumps(model)), cls(weights=tmp_path / "w.safetensors")):
        np.testing.assert_array_equal(again.transform(X), model.transform(X))
    with pytest.raises(ValueError, match="n_channels must be an int of at least 1"):
        clone(small).set_params(n_channels=0).fit(X, X)
"""


def files_of_the_walk_through():
    """Return the path and the content of each file in the code block."""
    section = GUIDE.read_text(encoding="utf-8").split("## To add a denoiser")[1]
    block = re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)[1]
    _, *parts = re.split(r"^# (\S+\.pyi?)\n", block, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_steps_for_a_denoiser_work(tmp_path):
    package = Path(stemkit.__file__).parent
    shutil.copytree(package, tmp_path / "stemkit", ignore=shutil.ignore_patterns("__pycache__"))
    files = files_of_the_walk_through()
    assert [Path(name).parts[:2] for name in files] == [
        ("stemkit", "networks"),
        ("stemkit", "denoise"),
        ("tests", "denoise"),
        ("stemkit", "denoise"),
    ]
    lines = {name: [line for line in text.splitlines() if line] for name, text in files.items()}
    assert all(len(content) <= 10 for content in lines.values())
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:  # the stub exists
            file.write(content)
    (tmp_path / "tests" / "test_contract.py").write_text(CONTRACT)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
