import subprocess
import sys

import typer
from typer.testing import CliRunner

import stemkit
from stemkit.cli._app import COMMANDS


def test_help_and_version_do_not_import_heavy_libraries():
    code = (
        "import sys; from stemkit.cli import app; app(['--version'], standalone_mode=False);"
        "heavy = {'torch', 'matplotlib', 'ase', 'skimage', 'pandas', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"stemkit {stemkit.__version__}\n[]\n"


def test_the_command_runs_as_a_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "stemkit", "drift", "missing.png", "-o", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "stemkit: missing.png does not exist\n"
    assert not list(tmp_path.iterdir())


def test_every_subcommand_has_a_module_and_an_entry_in_the_help(run):
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command.__module__ == f"stemkit.cli._{command.__name__}"
        assert f"\n  {command.__name__} " in result.stdout
    assert "tif, tiff, png, npy, dm3" in " ".join(run("drift", "--help").stdout.split())


def test_an_entry_in_the_list_adds_a_subcommand():
    def count(frames: list[str]) -> None:
        print(len(frames))

    extended = typer.Typer()
    for command in [*COMMANDS, count]:
        extended.command()(command)
    assert CliRunner().invoke(extended, ["count", "a", "b"]).stdout == "2\n"
