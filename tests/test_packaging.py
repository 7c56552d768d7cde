"""Tests of dependencies, of the files that pin them, and of the source distribution."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {
    extra: [Requirement(line) for line in lines if not line.startswith("stemkit[")]
    for extra, lines in PROJECT["optional-dependencies"].items()
}


def pinned(file):
    lines = (ROOT / file).read_text().splitlines()
    pins = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def lowest_allowed(requirement):
    return Version(re.search(r">=([^,]+)", str(requirement.specifier))[1])


@pytest.mark.parametrize(
    "requirement", [*REQUIREMENTS, *EXTRAS["test"], *EXTRAS["noise"]], ids=lambda r: r.name
)
def test_lowest_versions_are_pinned(requirement):
    version = pinned("constraints-lowest.txt")[canonicalize_name(requirement.name)]
    if requirement.name == "torch":  # older versions have no CPU build in the index
        assert version == pinned("constraints.txt")["torch"]
    else:
        assert version == lowest_allowed(requirement)


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"abtem"}))
def test_pinned_versions_are_allowed(extra):
    pins = pinned("constraints.txt")
    for requirement in [*REQUIREMENTS, *EXTRAS[extra]]:
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_the_source_distribution_has_all_files(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone, whose files git lists")
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]
    for name in files:
        copy = tmp_path / "clone" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path / "clone", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        included = {name.partition("/")[2] for name in tar.getnames()}
    assert {name for name in files if not name.startswith(".")} <= included
