"""The tool that changes one expression at a time and runs the tests."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "tools" / "mutants.py"


@pytest.fixture(scope="module")
def mutants():
    spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses need their module in sys.modules
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a + b", ["(a - b)"]),
        ("a <= b", ["(a < b)", "(a > b)"]),
        ("a is None", ["(a is not None)"]),
        ("a and b", ["(a or b)"]),
        ("x if a else y", ["(x if not a else y)"]),
        ("-a", ["(a)"]),
        ("True", ["False"]),
        ("3", ["4"]),
        ("0.25", ["1.25"]),
        ("f(a, b)", ["(f(b, a))"]),
        ("f(a, key=b)", ["(f(a))"]),
        # Expressions on which no result depends
        ("max(a, b)", []),
        ("np.maximum(a, b)", []),
        ("zip(a, strict=True)", []),
        ("check(a, name='b')", []),
        ("warnings.warn(f(a, b), stacklevel=c)", []),
        ("'text' + a", []),
        ("f'{a - b}'", []),
        ("raise ValueError(a + b)", []),
        ("import a", []),
        ("def f(a: 3) -> 4: return a", []),
    ],
)
def test_changes_of_one_expression(mutants, source, expected):
    assert [mutant.after for mutant in mutants.mutants_of(source)] == expected


def test_a_mutant_is_the_source_with_one_change(mutants):
    source = 'LIMIT = "µ", 1\n\ndef f(a):\n    return g(a,\n        b=a < 2)\n'
    found = mutants.mutants_of(source, "f.py")
    changed = [mutant.source for mutant in found]
    assert source.replace("1", "2") in changed
    assert source.replace("a < 2", "(a <= 2)") in changed
    assert source.replace("g(a,\n        b=a < 2)", "(g(a))") in changed
    assert len(set(changed)) == len(changed) == 5
    for mutant in found:
        compile(mutant.source, "f.py", "exec")
        line = source.splitlines()[mutant.line - 1].encode()
        assert line[mutant.column :].decode().startswith(mutant.before.split("\n")[0])
    column = len('LIMIT = "µ", '.encode())
    assert found[0].place == f"f.py:1:{column}"


@pytest.fixture
def project(mutants, tmp_path, monkeypatch):
    """Make a package of one function with a test of half of it, as the root of the tool."""
    root = tmp_path / "repository"
    for folder in ("stemkit/io", "tests/io"):
        (root / folder).mkdir(parents=True)
    (root / "stemkit/__init__.py").touch()
    (root / "stemkit/io/__init__.py").touch()
    (root / "stemkit/io/_sum.py").write_text(
        "def total(a, b):\n    return a + b\n\n\ndef unused(a):\n    return a - 1\n\n\n"
        "def halve(a):\n    return a / 2 if a else a * 1\n"
    )
    (root / "tests/test_docstrings.py").write_text("def test_nothing():\n    pass\n")
    (root / "tests/io/test_sum.py").write_text(
        "def test_total():\n    from stemkit.io._sum import total\n    assert total(1, 2) == 3\n\n"
        "def test_halve():\n    from stemkit.io._sum import halve\n    assert halve(0) == 0\n"
    )
    monkeypatch.setattr(mutants, "ROOT", root)
    return root


def test_verdicts(mutants, project):
    pytest.importorskip("coverage", reason="needs the extra stemkit[mutants]")
    # A new interpreter is needed, since this one has imported stemkit.
    script = f"""
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("mutants", {str(PATH)!r})
tool = importlib.util.module_from_spec(spec)
sys.modules["mutants"] = tool
spec.loader.exec_module(tool)
tool.ROOT = root = Path({str(project)!r})
found = tool.collect(["stemkit/io"])
covering = tool.find_covering(root, tool.mirroring_tests(found[0].file, root))
print(json.dumps([[m.before, m.after, tool.judge(m, root, covering)] for m in found]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    verdicts = {(before, after): verdict for before, after, verdict in json.loads(run.stdout)}
    assert verdicts["a + b", "(a - b)"] == "killed"
    assert verdicts["a - 1", "(a + 1)"] == "survived"
    assert verdicts["a * 1", "(a / 1)"] == "survived"
    assert verdicts["2", "3"] == "survived"
    # The file is unchanged.
    assert "a + b" in (project / "stemkit/io/_sum.py").read_text()


def test_the_table_counts_what_was_not_run_as_alive(mutants, capsys):
    mutants.print_table(
        {
            "io": Counter({"killed": 7, "survived": 1, "not run": 1}),
            "noise": Counter({"timeout": 1}),
        }
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["io", "9", "7", "0", "2"]
    assert lines[3].split() == ["all", "10", "7", "1", "2"]
    assert lines[4] == "80.0 % dead"


def test_lines_that_run_on_import_are_judged_by_all_tests_of_the_file_and_by_docstrings(mutants):
    def mutant(line):
        return mutants.Mutant("a.py", line, 0, "1", "2", "")

    covering = mutants.Covering(
        {
            ("a.py", 1): {""},
            ("a.py", 2): {"slow", "fast"},
            ("a.py", 3): {"fast"},
            ("b.py", 1): {"b"},
        },
        {"slow": 2.0, "fast": 0.1, "b": 0.1},
    )
    assert covering.tests(mutant(3)) == ["fast"]
    assert covering.tests(mutant(2)) == ["fast", "slow"]
    for line in (1, 9):
        assert covering.tests(mutant(line)) == ["fast", "slow", "tests/test_docstrings.py"]
    assert covering.tests(mutants.Mutant("c.py", 1, 0, "1", "2", "")) == []
