"""The documentation in a real browser, as `make docs` built it."""

import functools
import http.server
import threading

import pytest
from helpers.browsers import broken_images, opened_page, violations

pytestmark = pytest.mark.browser

PAGES = ["index", "tutorial/first-steps", "tutorial/lessons/2_gradients", "how-to/own-patients",
         "reference/pgmif_core/metrics", "reference/parameters", "reference/command",
         "explanation/decisions", "contributing"]
SPHINX = ("definition-list",)  # it breaks long signatures into <dl> without <dt>


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(root):
    """The address of the built site, served on this machine alone."""
    folder = root / "docs" / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.skip("the documentation is not built: make docs")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Silent, directory=folder)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_load_whole_and_are_accessible(site, scheme):
    with opened_page(color_scheme=scheme) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        for name in PAGES:
            page.goto(f"{site}/{name}.html")
            assert broken_images(page) == [], name
            assert page.errors == [], name
        assert [url for url in asked if not url.startswith((site, "data:"))] == []
        for name in PAGES:
            page.goto(f"{site}/{name}.html")
            found = [rule for rule, _ in violations(page) if rule not in SPHINX]
            assert found == [], name


def test_lessons_show_equations_pictures_and_folded_solutions(site):
    with opened_page() as page:
        page.goto(f"{site}/tutorial/lessons/2_gradients.html")
        assert page.locator("math").count() >= 3
        assert page.locator("article img").count() >= 3
        solutions, hints = (page.locator("details", has_text=w) for w in ("Solution of", "Hint"))
        assert (solutions.count(), hints.count()) == (5, 5)
        assert not solutions.first.locator("pre").is_visible()
        solutions.first.locator("summary").click()
        assert solutions.first.locator("pre").is_visible()
        assert page.get_by_text("not answered yet").count() == 5


def test_words_are_found(site):
    with opened_page() as page:
        page.goto(f"{site}/search.html?q=generalized_sobel")
        page.get_by_role("link", name="pgmif_core.metrics").first.wait_for(timeout=20_000)
