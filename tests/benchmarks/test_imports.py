"""Test what scripts import from stemkit, also inside functions: it exists, and is public."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS, TOOLS = (sorted((ROOT / folder).glob("*.py")) for folder in ("benchmarks", "tools"))
MODULE = r"stemkit(\.\w+)+"
# A name that begins with one underscore, in a dotted path.
PRIVATE = re.compile(r"(^|\.)_(?!_)")


def imports_of(source):
    """Yield the module and the name of each import from stemkit, with None for whole modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            pairs = [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            pairs = [(alias.name, None) for alias in node.names]
        else:
            continue
        yield from (pair for pair in pairs if pair[0].partition(".")[0] == "stemkit")


def private_names(source):
    """Return the private names of stemkit that a script imports, or reaches by a dotted path.

    Paths in strings count, since ``mock.patch`` takes them. A class that is derived from one of
    stemkit may use and replace the private methods of its base.
    """
    imports = list(imports_of(source))
    found = {".".join(filter(None, pair)) for pair in imports}
    imported = {name or module.partition(".")[0] for module, name in imports}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            path = ast.unparse(node)
            if path.partition(".")[0] in imported:
                found.add(path)
        elif isinstance(node, ast.Constant) and re.fullmatch(MODULE, str(node.value)):
            found.add(node.value)
    return {path for path in found if PRIVATE.search(path)}


def read(script):
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("script", BENCHMARKS + TOOLS, ids=lambda path: path.name)
def test_imports_from_stemkit_exist(script):
    for module, name in imports_of(read(script)):
        found = import_module(module)
        assert name is None or hasattr(found, name), f"{module} has no {name}"


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.name)
def test_benchmarks_use_public_names_alone(script):
    assert not private_names(read(script))


@pytest.mark.parametrize(
    "source, private",
    [
        ("from stemkit._scene import Scene", True),
        ("from stemkit.networks._folding import pointwise", True),
        ("from stemkit.networks import _folding", True),
        ("import stemkit._scene", True),
        ("import stemkit.networks._folding as folding", True),
        ("def main():\n    from stemkit.noise._composite import LEVELS", True),
        ("import stemkit\nstemkit.networks._folding.pointwise", True),
        ("from stemkit import networks\nnetworks._folding.pointwise", True),
        ("from stemkit import SCGNDenoiser\nprint(SCGNDenoiser._at_once)", True),
        ("mock.patch('stemkit.engine.training._spans')", True),
        ("from stemkit.networks import SCGN", False),
        ("import stemkit\nprint(stemkit.__version__)", False),
        ("import _options\nfrom _report import print_table", False),
        ("mock.patch('stemkit.engine.training.learning_rate')", False),
        ("'stemkit writes to ~/._stemkit'", False),
    ],
)
def test_private_names_are_recognised(source, private):
    assert bool(private_names(source)) == private
