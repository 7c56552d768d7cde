"""What a user can import, how quickly, and whether it is documented."""

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import stemkit

SUBPACKAGES = sorted(set(stemkit.__all__) - stemkit._DEFINED_IN.keys() - {"__version__"})
# For those who add a network; what they offer is documented as briefly as it allows.
INTERNAL = {"stemkit.engine", "stemkit.networks"}


def public_objects():
    """Every function and class that stemkit offers, as (where, name)."""
    for package in SUBPACKAGES:
        module = importlib.import_module(f"stemkit.{package}")
        for name in module.__all__:
            if inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name)):
                yield f"stemkit.{package}", name


def test_import_is_light():
    heavy = [
        "torch",
        "matplotlib",
        "ase",
        "lightning_fabric",
        "sklearn",
        "skimage",
        "scipy",
        "pandas",
    ]
    code = f"import stemkit, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_every_public_name_resolves_in_a_fresh_interpreter():
    code = (
        "import stemkit\n"
        "assert dir(stemkit) == sorted(stemkit.__all__)\n"
        "for name in stemkit.__all__: getattr(stemkit, name)\n"
        "assert stemkit.DriftDecayModel is stemkit.drift.DriftDecayModel\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_star_import():
    namespace: dict[str, object] = {}
    exec("from stemkit import *", namespace)
    assert set(stemkit.__all__) <= namespace.keys()


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'DriftModel'"):
        stemkit.DriftModel  # noqa: B018


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_subpackage_names_what_it_offers(package):
    module = importlib.import_module(f"stemkit.{package}")
    assert module.__doc__
    assert len(module.__all__) == len(set(module.__all__))  # ruff keeps them in order
    assert all(hasattr(module, name) for name in module.__all__)


def test_version_of_the_installed_package_is_that_of_the_code():
    assert version("stemkit") == stemkit.__version__


@pytest.mark.parametrize(("module", "name"), list(public_objects()))
def test_public_object_is_documented(module, name):
    assert inspect.getdoc(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    ("module", "name"), [entry for entry in public_objects() if entry[0] not in INTERNAL]
)
def test_what_a_user_calls_describes_each_parameter_and_shows_an_example(module, name):
    obj = getattr(importlib.import_module(module), name)
    if inspect.isclass(obj) and issubclass(obj, Warning):
        return  # nobody calls a warning
    doc = inspect.getdoc(obj)
    described = {
        parameter.strip(" *")
        for line in re.findall(r"^([\w*, ]+) :", doc, flags=re.MULTILINE)
        for parameter in line.split(",")
    }
    assert set(inspect.signature(obj).parameters) <= described
    # A result is shown where it is made: it has attributes, but nobody calls it.
    is_result = inspect.isclass(obj) and "Attributes\n---" in doc and "Parameters\n---" not in doc
    assert is_result or "Examples\n---" in doc


def test_every_runtime_dependency_is_imported():
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    modules = {"scikit-image": "skimage", "scikit-learn": "sklearn"}
    source = "\n".join(path.read_text() for path in root.glob("stemkit/**/*.py"))
    for requirement in project["dependencies"]:
        name = requirement.split(">=")[0]
        module = modules.get(name, name.replace("-", "_"))
        assert f"import {module}" in source or f"from {module}" in source, (
            f"{name} is a dependency that nothing imports"
        )
