"""Links of the built documentation: internal ones have targets, external ones are permanent."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

HTML = Path(__file__).resolve().parents[2] / "docs/_build/html"
# Papers are linked by DOI, which is permanent, not by the address of their publisher.
PUBLISHERS = ("nature.com", "sciencedirect.com", "wiley.com", "springer.com", "acs.org", "ieee.org")


class _Page(HTMLParser):
    """The anchors and the links of a page."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = {"", "top"}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links += [found[key] for key in ("href", "src") if found.get(key)]


@pytest.fixture(scope="module")
def pages():
    if not (HTML / "index.html").is_file():
        pytest.skip("the documentation is not built: run `make docs`")
    # Files in _static belong to Sphinx.
    paths = [path for path in HTML.rglob("*.html") if "_static" not in path.parts]
    return {path: _Page(path) for path in paths}


def test_links_within_the_site_lead_somewhere(pages):
    missing = []
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            known = pages.get(target)
            lost = known is not None and unquote(url.fragment) not in known.anchors
            if not target.is_file() or lost:
                missing.append((str(path.relative_to(HTML)), link))
    assert missing == []


def test_links_out_of_the_site_are_secure_and_lasting(pages):
    outside = {link for page in pages.values() for link in page.links if "//" in link}
    assert outside
    # The table of computation times by Sphinx-Gallery loads its own scripts.
    for link in sorted(outside):
        url = urlsplit(link)
        assert url.scheme == "https", link
        assert "." in url.netloc, link
        assert not url.netloc.endswith(PUBLISHERS), link
