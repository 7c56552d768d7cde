"""Tests of public names, and of what importing them loads."""

import importlib
import inspect
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import stemkit

SUBPACKAGES = [name for name in stemkit.__all__ if inspect.ismodule(getattr(stemkit, name))]

HEAVY = {"torch", "matplotlib", "ase", "dask", "lightning_fabric", "lightning", "pooch", "tqdm"}


def loaded_by(module):
    """Return the packages that are imported when a fresh interpreter imports a module."""
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_import_loads_no_other_package():
    loaded = loaded_by("stemkit")
    assert not loaded & (HEAVY | {"numpy", "sklearn", "skimage", "scipy", "pandas", "joblib"})


def test_utils_alone_does_not_import_the_package():
    loaded = loaded_by("stemkit.utils")
    assert not loaded & (HEAVY | {"numpy", "sklearn", "pandas"})


def test_import_changes_nothing_in_the_process():
    code = "import os; before = dict(os.environ); import stemkit; assert before == dict(os.environ)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_packages_without_networks_do_not_import_torch():
    loaded = loaded_by("stemkit.noise, stemkit.metrics, stemkit.localize, stemkit.datasets")
    assert not loaded & HEAVY


def test_every_public_name_resolves_in_a_fresh_interpreter():
    code = (
        "import stemkit\n"
        "assert {*dir(stemkit), '__version__'} == set(stemkit.__all__)\n"
        "for name in stemkit.__all__: getattr(stemkit, name)\n"
        "assert stemkit.DriftDecayModel is stemkit.drift.DriftDecayModel\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_star_import():
    namespace: dict[str, object] = {}
    exec("from stemkit import *", namespace)
    assert set(stemkit.__all__) <= namespace.keys()


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="DriftModel"):
        stemkit.DriftModel  # noqa: B018


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_public_names_of_subpackages_exist(package):
    module = importlib.import_module(f"stemkit.{package}")
    assert module.__doc__
    assert len(module.__all__) == len(set(module.__all__))
    assert set(module.__all__) <= set(dir(module))
    assert all(hasattr(module, name) for name in module.__all__)


def test_version_of_the_installed_package_is_that_of_the_code():
    assert version("stemkit") == stemkit.__version__


def test_every_runtime_dependency_is_imported():
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    modules = {"scikit-image": "skimage", "scikit-learn": "sklearn"}
    source = "\n".join(path.read_text() for path in root.glob("stemkit/**/*.py"))
    for requirement in project["dependencies"]:
        name = requirement.split(">=")[0]
        module = modules.get(name, name.replace("-", "_"))
        assert f"import {module}" in source or f"from {module}" in source, (
            f"no module imports the dependency {name}"
        )
