"""Change one operator, constant, comparison or argument at a time, and see whether a test fails.

    .venv/bin/python tools/mutants.py --count 200 --seed 0
    .venv/bin/python tools/mutants.py --files stemkit/io --count 40
    .venv/bin/python tools/mutants.py --only "stemkit/_motion.py:116:13"

Mutants are drawn at random from all mutants of the files. Each is tested in a copy of the
repository by the tests of its package that run its line, the fastest first, up to the first
failure. A mutant is killed if a test fails, or if the tests take many times longer than usual.

The changes are those of mutmut and cosmic-ray: numbers increase by one, operators, comparisons and
conditions are exchanged or negated, and keywords are removed. The first two arguments are swapped,
too. Both tools skip decorated functions, or start an interpreter for each mutant, which takes
longer than most tests. Messages of errors and warnings, annotations and text are not changed, nor
expressions that cannot change a result: the order of arguments of a symmetric function such as
`max`, and keywords that only check or print.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = ("registration", "damage", "drift", "noise", "localize", "io", "engine")
# Imported once before a process is forked for each mutant, since imports take seconds.
_HEAVY = (
    *("numpy", "pandas", "scipy.ndimage", "scipy.optimize", "scipy.stats", "scipy.signal", "torch"),
    *("sklearn.utils.estimator_checks", "skimage.registration", "skimage.restoration", "joblib"),
    *("tifffile", "imageio.v3", "lightning_fabric", "safetensors.torch"),
    "matplotlib.pyplot",
)
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
# Functions of which the first two arguments may be swapped.
_SYMMETRIC = {
    *("max", "min", "maximum", "minimum", "hypot", "add", "multiply", "equal", "array_equal"),
    *("logical_and", "logical_or", "logaddexp", "broadcast_shapes", "broadcast_arrays"),
}
# Keywords that affect checks and output, but no result.
_CHECKS_OR_PRINTS = {
    *("strict", "stacklevel", "verbose", "desc", "disable", "unit", "name", "total"),
}
_DOCSTRING_TESTS = "tests/test_docstrings.py"
_SILENT = ("warn", "write", "debug", "info", "warning")
_MEMORY = 8 << 30
_OPTIONS = ("-q", "-p", "no:cacheprovider", "--no-header")


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Parameters
    ----------
    file : str
        Path from the repository's root.
    line, column : int
        Start of the change; lines from 1, columns from 0.
    before, after : str
        The expression and its replacement.
    source : str
        The whole file with the change.
    """

    file: str
    line: int
    column: int
    before: str
    after: str
    source: str

    @property
    def place(self) -> str:
        """The position, in the form of ``--only``."""
        return f"{self.file}:{self.line}:{self.column}"

    def __str__(self) -> str:
        return f"{self.place}  {_short(self.before)}  ->  {_short(self.after)}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def mutants_of(source: str, file: str = "") -> list[Mutant]:
    """Return every mutant of a source file, in the order of its lines."""
    tree = ast.parse(source)
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    text = source.encode()
    found = []
    for node in _expressions(tree):
        start = starts[node.lineno - 1] + node.col_offset
        stop = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = text[start:stop].decode()
        for changed in _changes(node):
            after = f"({ast.unparse(changed)})"
            if isinstance(node, ast.Constant) and not after.startswith("(-"):
                after = after[1:-1]
            mutated = text[:start] + after.encode() + text[stop:]
            found.append(
                Mutant(file, node.lineno, node.col_offset, before, after, mutated.decode())
            )
    return sorted(found, key=lambda mutant: (mutant.line, mutant.column))


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions below a node that may be changed."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.Call) and _called(node) in _SILENT:
        return
    if isinstance(node, ast.expr):
        yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        if isinstance(node, ast.keyword) and node.arg in _CHECKS_OR_PRINTS:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _expressions(child)


def _called(call: ast.Call) -> str:
    function = call.func
    return getattr(function, "attr", getattr(function, "id", ""))


def _changes(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the replacements of an expression."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in _COMPARISONS.get(type(operator), ()):
                ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        is_text = any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right))
        is_text |= any(
            isinstance(side, ast.Constant) and isinstance(side.value, str)
            for side in (node.left, node.right)
        )
        if not is_text:
            yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        opposite = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield ast.BoolOp(opposite, node.values)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int | float) and node.value + 1 != node.value:
            yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg is not None and keyword.arg not in _CHECKS_OR_PRINTS:
                yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])
        starred = any(isinstance(argument, ast.Starred) for argument in node.args[:2])
        if len(node.args) > 1 and not starred and _called(node) not in _SYMMETRIC:
            first, second, *others = node.args
            yield ast.Call(node.func, [second, first, *others], node.keywords)


def mirroring_tests(file: str, root: Path) -> list[str]:
    """Return the test files of a source file: its own, and those of its package."""
    path = Path(file)
    package = path.parent.relative_to("stemkit").parts
    name = package[0] if package else path.stem.strip("_")
    tests = [*root.glob(f"tests/{name}/test_*.py"), *root.glob(f"tests/test_{name}*.py")]
    if name in ("registration", "damage"):
        tests += [*root.glob("tests/drift/test_*.py")]
    examples = [*root.glob(f"stemkit/{name}/**/*.py"), *root.glob(f"stemkit/{name}.py")]
    return [str(test.relative_to(root)) for test in sorted({*tests}) + sorted(examples)]


@dataclass
class Covering:
    """Which tests run which lines of a package, and how long each test takes.

    Parameters
    ----------
    lines : dict of (str, int) to set of str
        By file and line, ids of the tests.
    seconds : dict of str to float
        By id.
    """

    lines: dict[tuple[str, int], set[str]]
    seconds: dict[str, float]

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests that run a mutant's line, the fastest first.

        If the line is run on import, these are all tests of the file. The last ones are tests of
        the defaults in docstrings.
        """
        tests = self.lines.get((mutant.file, mutant.line), set())
        on_import = not tests or "" in tests
        if on_import:
            every = [ids for (file, _), ids in self.lines.items() if file == mutant.file]
            tests = set().union(*every) if every else set()
        ordered = sorted(tests - {""}, key=lambda test: self.seconds.get(test, 0.0))
        return ordered + [_DOCSTRING_TESTS] * (on_import and bool(ordered))


class _Recorder:
    """A plugin of pytest that records which test runs which lines."""

    def __init__(self, coverage: Any) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = {}

    def pytest_runtest_protocol(self, item: Any) -> None:
        self.coverage.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def find_covering(root: Path, tests: Sequence[str]) -> Covering:
    """Run tests without any mutant, and record which of them run which lines."""
    data, times = root.parent / "coverage", root.parent / "seconds.json"
    data.unlink(missing_ok=True)

    def record() -> int:
        import coverage
        import pytest

        tracer = coverage.Coverage(data_file=str(data), include=[f"{root}/stemkit/*"])
        recorder = _Recorder(tracer)
        tracer.start()
        code = int(pytest.main([*_OPTIONS, *tests], plugins=[recorder]))
        tracer.stop()
        tracer.save()
        times.write_text(json.dumps(recorder.seconds))
        return code

    verdict, _ = run_apart(root, record, 1800)
    if verdict != "passed":
        raise SystemExit(f"{' '.join(tests)}: {verdict} without any mutant")
    import coverage

    found = coverage.CoverageData(str(data))
    found.read()
    lines = {
        (str(Path(file).relative_to(root)), line): set(contexts)
        for file in found.measured_files()
        for line, contexts in found.contexts_by_lineno(file).items()
    }
    return Covering(lines, json.loads(times.read_text()))


def run_apart(root: Path, task: Callable[[], int], seconds: float) -> tuple[str, float]:
    """Do a task in a new process; return "passed", "failed" or "timeout", and the time."""
    start = time.perf_counter()
    process = os.fork()
    if process == 0:
        _do(root, task)
    while True:
        finished, status = os.waitpid(process, os.WNOHANG)
        spent = time.perf_counter() - start
        if finished:
            # 5: these files contain no tests
            code = os.waitstatus_to_exitcode(status)
            return ("passed" if code in (0, 5) else "failed"), spent
        if spent > seconds:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return "timeout", spent
        time.sleep(0.02)


def _do(root: Path, task: Callable[[], int]) -> None:
    """Do a task in this process and end it; append its output to MUTANTS_LOG, if that is set."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    log = os.environ.get("MUTANTS_LOG") or os.devnull
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)
    code = 1
    try:
        code = task()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def copy_repository(to: Path) -> None:
    """Copy all files that git tracks, and the folder of data next to the repository, if present."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith(("docs/", "benchmarks/results")):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    shared = ROOT.parent / "shared"
    if shared.is_dir():
        (to.parent / "shared").symlink_to(shared)


def judge(mutant: Mutant, root: Path, covering: Covering) -> str:
    """Run the tests of a mutant; return "killed", "timeout", "survived" or "not run"."""
    tests = covering.tests(mutant)
    if not tests:
        return "not run"
    usual = sum(covering.seconds.get(test, 0.0) for test in tests)
    path = root / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.source, encoding="utf-8")

    def run() -> int:
        import pytest

        return int(pytest.main(["-x", *_OPTIONS, *tests]))

    try:
        verdict, _ = run_apart(root, run, 120 + 5 * usual)
    finally:
        path.write_text(original, encoding="utf-8")
    return {"passed": "survived", "failed": "killed"}.get(verdict, verdict)


def collect(patterns: Sequence[str]) -> list[Mutant]:
    """Return all mutants of the files below some paths."""
    found = []
    for pattern in patterns:
        path = ROOT / pattern
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path] * path.is_file():
            name = str(file.relative_to(ROOT))
            found += mutants_of(file.read_text(encoding="utf-8"), name)
    return found


def main() -> int:
    """Sample mutants, test each, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="*", default=[f"stemkit/{name}" for name in FILES])
    parser.add_argument("--only", nargs="*", help="places, such as stemkit/io.py:40:8")
    parser.add_argument("--minutes", type=float, default=1e9, help="when to stop")
    options = parser.parse_args()
    if options.only:
        files = sorted({place.split(":")[0] for place in options.only})
        sample = [mutant for mutant in collect(files) if mutant.place in options.only]
    else:
        every = collect(options.files)
        chosen = random.Random(options.seed).sample(every, min(options.count, len(every)))
        sample = sorted(chosen, key=lambda mutant: mutant.place)
        print(f"{len(every)} mutants, of which {len(sample)} are run", flush=True)
    os.environ.update(SCIPY_ARRAY_API="1", MPLBACKEND="Agg", OMP_NUM_THREADS="1")
    for name in _HEAVY:
        importlib.import_module(name)
    table: dict[str, Counter[str]] = {}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "repository")
        root.mkdir()
        copy_repository(root)
        covering: dict[str, Covering] = {}
        for mutant in sample:
            if time.perf_counter() - start > 60 * options.minutes:
                print("out of time")
                break
            package = mutant.file.split("/")[1]
            if package not in covering:
                covering[package] = find_covering(root, mirroring_tests(mutant.file, root))
            verdict = judge(mutant, root, covering[package])
            table.setdefault(package, Counter())[verdict] += 1
            print(f"{verdict:9} {mutant}", flush=True)
    print_table(table)
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


def print_table(table: dict[str, Counter[str]]) -> None:
    """Print the number of killed and surviving mutants, one line per package."""
    print(f"{'':16} {'mutants':>8} {'killed':>8} {'timeout':>8} {'survived':>8}")
    total: Counter[str] = Counter()
    for name, counts in [*sorted(table.items()), ("all", total)]:
        total += counts if name != "all" else Counter()
        alive = counts["survived"] + counts["not run"]
        figures = (counts.total(), counts["killed"], counts["timeout"], alive)
        print(f"{name:16} " + " ".join(f"{figure:8}" for figure in figures))
    dead = total["killed"] + total["timeout"]
    print(f"{100 * dead / max(total.total(), 1):.1f} % dead")


if __name__ == "__main__":
    sys.exit(main())
