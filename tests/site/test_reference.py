"""The API reference lists all public names, and members inherited from stemkit's classes."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import stemkit

HTML = Path(__file__).resolve().parents[2] / "docs/_build/html/api/generated"
PACKAGES = [name for name in stemkit.__all__ if inspect.ismodule(getattr(stemkit, name))]


@pytest.fixture(scope="module")
def documented():
    """Return the full name of each entry of the built reference."""
    if not HTML.is_dir():
        pytest.skip("the documentation is not built: run `make site`")
    entry = re.compile(r'<dt [^>]*id="([\w.]+)"')
    return {name for page in HTML.glob("*.html") for name in entry.findall(page.read_text())}


def public_names(package):
    module = importlib.import_module(f"stemkit.{package}")
    return {name: getattr(module, name) for name in module.__all__}


def own_members(cls):
    """Return the names of public methods and properties that a class of stemkit defines."""
    for name, member in inspect.getmembers(cls):
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        module = getattr(inspect.unwrap(function), "__module__", None) or ""
        if callable(function) and module.startswith("stemkit") and not name.startswith("_"):
            yield name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_an_entry(documented, package):
    # A name in several packages is documented in one of them.
    documented_anywhere = {name.rpartition(".")[2] for name in documented}
    objects = public_names(package).items()
    names = {name for name, obj in objects if inspect.isclass(obj) or inspect.isfunction(obj)}
    assert names <= documented_anywhere


@pytest.mark.parametrize("package", PACKAGES)
def test_classes_show_their_inherited_methods(documented, package):
    for name, cls in public_names(package).items():
        entry = f"stemkit.{package}.{name}"
        if inspect.isclass(cls) and entry in documented:
            assert {f"{entry}.{member}" for member in own_members(cls)} <= documented


def test_methods_of_scikit_learn_are_left_out(documented):
    assert "stemkit.drift.DriftDecayModel.fit" in documented
    assert "stemkit.drift.DriftDecayModel.get_params" not in documented
