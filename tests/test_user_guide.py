"""Run all code of the documentation, page by page."""

import doctest
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from stemkit import DriftDecayModel, datasets
from stemkit.denoise import BlindSpotDenoiser, GaussianDenoiser, SupervisedDenoiser
from stemkit.io import write_stack

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.rst")), *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if not {"_build", "api", "auto_examples"} & {*page.parts}]

# A block of Python. If it cannot run, a comment before it has the reason.
BLOCK = re.compile(
    r"(?:^\.\. not run: (?P<reason>.+)\n\n)?"
    r"^\.\. code-block:: python\n\n(?P<rst>(?:    ?.*\n|\n)+)"
    r"|^```python\n(?P<md>(?:.*\n)*?)```$",
    re.MULTILINE,
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks_of(text):
    """Yield the line, the text and the reason not to run it of each block of code or of other text.

    The reason is empty for code that runs, and None for other text, which may contain doctests.
    """
    end = 0
    for match in BLOCK.finditer(text):
        yield text[:end].count("\n"), text[end : match.start()], None
        code = match["md"] or match["rst"]
        lines = code.splitlines()
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        code = "\n".join(line[indent:] for line in lines)
        start = match.start("md" if match["md"] else "rst")
        yield text[:start].count("\n"), code, match["reason"] or ""
        end = match.end()
    yield text[:end].count("\n"), text[end:], None


def nucleation(n_frames, side=64):
    return datasets.make_nucleation(n_frames, shape=(side, side), random_state=0)


@pytest.fixture(scope="module")
def names():
    """Return variables that pages use but do not define."""
    data = nucleation(5)
    pair = datasets.make_drift_pairs(1, shape=(128, 128), dose=None, random_state=0).pairs[0]
    rng = np.random.default_rng(0)
    vacuum = [rng.normal(mean, 0.04 * mean + 1.4, (8, 64, 64)) for mean in (60.0, 90.0, 120.0)]
    return {
        "np": np,
        "data": data,
        "clean": data.clean,
        "noisy": data.noisy,
        "target": data.target,
        "frames": data.noisy,
        "truth": data.positions[data.positions["frame"] == 0][["y", "x"]],
        "vacuum": vacuum,
        "vacuum_frames": np.concatenate(vacuum),
        "beam_current": np.repeat([1.0, 1.5, 2.0], 8),
        "exposures": datasets.make_nucleation(1, shape=(64, 64), random_state=0).clean
        + rng.normal(0, 5.0, (8, 64, 64)),
        "vacuum_1nA": vacuum[0],
        "vacuum_2nA": vacuum[2],
        "stack_a": vacuum[0],
        "stack_b": vacuum[1],
        "stack_c": vacuum[2],
        # Independent noise, without which averages agree at all frequencies.
        "stack": rng.poisson(40 * pair[[0, 1, 0]]).astype("float32"),
        "first": data.noisy,
        "second": data.noisy[::-1].copy(),
        "denoiser": GaussianDenoiser(),
        "grid": {"sigma": [1.0, 2.0]},
    }


@pytest.fixture
def files(tmp_path, monkeypatch, names):
    """Change to a folder with a series of frames."""
    monkeypatch.chdir(tmp_path)
    write_stack(tmp_path / "series.tif", names["stack"])
    (tmp_path / "series").mkdir()
    for index, frame in enumerate(names["stack"]):
        write_stack(tmp_path / "series" / f"{index:02d}.tif", frame[np.newaxis])


@pytest.fixture
def short_trainings(monkeypatch):
    """Limit the training of networks to one step, or none."""
    short = {"max_epochs": 1, "steps_per_epoch": 1}
    for kind, parameters in (
        (SupervisedDenoiser, short),
        (BlindSpotDenoiser, short),
        (DriftDecayModel, {"max_epochs": 0}),
    ):

        def fit(self, *args, _fit=kind.fit, _parameters=parameters, **kwargs):
            return _fit(self.set_params(**_parameters), *args, **kwargs)

        monkeypatch.setattr(kind, "fit", fit)


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.LatticePriorWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_runs(page, monkeypatch, request, names, files):
    text = page.read_text(encoding="utf-8")
    if not BLOCK.search(text) and ">>> " not in text:
        pytest.skip("shows no Python")
    if page.stem != "extending":  # its trainings are short, and their results are checked
        request.getfixturevalue("short_trainings")
    # Code runs in a module, like a user's script, since classes cannot be pickled otherwise.
    module = ModuleType(f"guide_{page.stem}")
    module.__dict__.update(names)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for line, code, reason in blocks_of(text):
        if reason is None:
            test = doctest.DocTestParser().get_doctest(code, {}, page.stem, str(page), line)
            test.globs = vars(module)
            result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, clear_globs=False)
            assert result.failed == 0
        elif not reason:
            exec(compile("\n" * line + code, str(page), "exec"), vars(module))


def test_all_blocks_are_found():
    found = sum(len(BLOCK.findall(page.read_text(encoding="utf-8"))) for page in PAGES)
    written = sum(
        len(re.findall(r"code-block:: py|```py", page.read_text(encoding="utf-8")))
        for page in PAGES
    )
    assert found == written > 20
