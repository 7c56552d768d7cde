"""What the user guide shows at a prompt is what comes out."""

import doctest
import sys
from pathlib import Path
from types import ModuleType

import pytest

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "user_guide"
PAGES = [page for page in sorted(GUIDE.glob("*.rst")) if ">>> " in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page, monkeypatch):
    # In a module of their own, as a reader's script is: else what they define can't be pickled.
    module = ModuleType(f"guide_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    test = doctest.DocTestParser().get_doctest(page.read_text(), {}, page.stem, str(page), 0)
    test.globs = vars(module)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=options).run(test, clear_globs=False)
    assert result.attempted > 0
    assert result.failed == 0
