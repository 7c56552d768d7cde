"""Tests of the built documentation in a browser. `make site` builds it and runs them."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from skimage.io import imread

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "docs/_build/html"
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("plot_*.py"))


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site():
    if not (HTML / "index.html").is_file():
        pytest.skip("the documentation is not built: run `make site`")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(site):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: run `make site`")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver: run tests/site/install_chromium.sh")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def errors(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_gallery_page_shows_its_figures(site, browser, example):
    browser.get(f"{site}/auto_examples/{example}.html")
    assert errors(browser) == []
    figures = browser.find_elements("css selector", "article img.sphx-glr-single-img")
    figures += browser.find_elements("css selector", "article img.sphx-glr-multi-img")
    assert figures
    for figure in figures:
        # Images are loaded when they are scrolled into view.
        browser.execute_async_script(
            "const [image, done] = arguments; image.scrollIntoView(); image.decode().then(done);",
            figure,
        )
        assert figure.size["width"] > 200
        path = unquote(urlparse(figure.get_property("currentSrc")).path)
        assert imread(HTML / path.lstrip("/"))[..., :3].std() > 10


def test_gallery_lists_every_example(site, browser):
    browser.get(f"{site}/auto_examples/index.html")
    links = browser.find_elements("css selector", ".sphx-glr-thumbcontainer a")
    targets = {Path(urlparse(link.get_property("href")).path).stem for link in links}
    assert set(EXAMPLES) <= targets
    assert errors(browser) == []


def test_search_finds_the_main_estimator(site, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{site}/search.html?q=DriftDecayModel")
    found = WebDriverWait(browser, 30).until(
        lambda b: b.find_elements("css selector", "#search-results li a")
    )
    assert any("DriftDecayModel" in link.text for link in found)
    assert errors(browser) == []


def test_user_guide_shows_its_formulas(site, browser):
    for page in sorted((HTML / "user_guide").glob("*.html")):
        browser.get(f"{site}/user_guide/{page.name}")
        assert errors(browser) == []
        formulas = browser.find_elements("css selector", "article .math")
        browser.execute_async_script(
            "const done = arguments[0];"
            "window.MathJax ? MathJax.startup.promise.then(() => done()) : done();"
        )
        drawn = browser.find_elements("css selector", "article .math mjx-container")
        assert len(drawn) == len(formulas)
