"""How Sphinx builds the documentation."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for _gallery_order

# The gallery and the examples in docstrings draw without a screen.
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
    "sphinx-mathjax-offline",  # formulas can be read without a network, too
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"

# The reference follows __all__ of each subpackage, so that nothing public can be forgotten.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"  # the docstrings say it, with shapes and units
numpydoc_show_class_members = False

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
html_context = {"default_mode": "auto"}  # light or dark, as the reader's desktop is
html_theme_options = {
    "logo": {"text": "stemkit"},
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
