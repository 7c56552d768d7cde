import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def options(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _options

    yield _options
    sys.modules.pop("_options")


def call(options, *arguments, **quick):
    """Return the parameters of `main` for a command line."""
    received = {}

    def main(pairs: Annotated[int, typer.Option()] = 200, peers: bool = True) -> None:
        received.update(pairs=pairs, peers=peers)

    app = typer.Typer()
    app.command()(options.with_quick(main, **quick))
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return received


def test_quick_changes_the_defaults_that_it_names(options):
    assert call(options, pairs=6) == {"pairs": 200, "peers": True}
    assert call(options, "--quick", pairs=6) == {"pairs": 6, "peers": True}


def test_given_options_override_quick(options):
    assert call(options, "--quick", "--pairs", "50", pairs=6) == {"pairs": 50, "peers": True}


def test_quick_raises_for_unknown_parameters(options):
    with pytest.raises(TypeError, match="no parameter frames"):
        options.with_quick(lambda pairs=1: None, frames=2)


def test_every_benchmark_is_listed_and_has_a_page(options):
    import run

    scripts = {path.stem for path in BENCHMARKS.glob("[a-z]*.py")} - {"run"}
    assert set(run.BENCHMARKS) == scripts
    pages = {path.stem for path in (BENCHMARKS.parent / "docs/benchmarks").glob("*.md")}
    assert pages == scripts
    assert sum(benchmark.quick_minutes for benchmark in run.BENCHMARKS.values()) < 15
    text = run.plan(["drift", "scgn"], quick=True)
    assert "drift.py" in text
    assert "--train" in text
    sys.modules.pop("run")
