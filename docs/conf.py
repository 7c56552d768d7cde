"""Configuration of Sphinx."""

import importlib
import inspect
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for _gallery_order

# Examples draw figures without a window.
os.environ.setdefault("MPLBACKEND", "Agg")

import stemkit

project = "stemkit"
author = "The stemkit developers"
project_copyright = f"2026, {author}"
version = release = stemkit.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx-mathjax-offline",  # formulas need no network connection
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"

# The reference lists __all__ of each subpackage, so that it includes all public names.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"  # the docstrings have the types, with shapes and units
numpydoc_show_class_members = False

# References to missing names of stemkit are errors. References to other projects are not resolved,
# since their inventories would have to be downloaded.
nitpicky = True
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(ase|dask|HDF5|joblib|lightning_fabric|matplotlib|numpy|np|pandas|pathlib|pooch|scipy"
        r"|skimage|sklearn|torch)(\..*)?",
    ),
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "_gallery_order.reading_order",
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "stemkit"
html_logo = html_favicon = "_static/logo.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's desktop
html_theme_options = {
    "logo": {"text": "stemkit"},
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}


# The page of each public name: one, although some names can be imported from several packages.
_PACKAGES = [
    "exceptions",
    "registration",
    "damage",
    "drift",
    "datasets",
    "degradation",
    "denoise",
    "inspection",
    "io",
    "losses",
    "localize",
    "metrics",
    "noise",
    "engine",
    "networks",
    "utils",
]
_HOME = {}
for _package in _PACKAGES:
    for _name in importlib.import_module(f"stemkit.{_package}").__all__:
        _HOME.setdefault(_name, f"stemkit.{_package}")
autosummary_context = {"home": _HOME}


def _skip_foreign_member(app, what, name, obj, skip, options):
    """Skip members that a class inherits from another project."""
    member = inspect.unwrap(getattr(obj, "fget", None) or getattr(obj, "__func__", obj))
    module = getattr(getattr(member, "__objclass__", member), "__module__", None)
    if what == "class" and isinstance(module, str) and module.partition(".")[0] != "stemkit":
        return True
    return None


def _resolve_alias(app, env, node, contnode):
    """Resolve a name of stemkit by another import path than that of its page."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    parts = target.removeprefix("stemkit.").split(".")
    name = ".".join(parts[1:] if parts[0] in _PACKAGES else parts)
    home = _HOME.get(name.partition(".")[0])
    if home is None or f"{home}.{name}" == target:
        return None
    return env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], f"{home}.{name}", node, contnode
    )


def setup(app):
    app.connect("autodoc-skip-member", _skip_foreign_member)
    app.connect("missing-reference", _resolve_alias)
