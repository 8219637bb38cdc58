"""A notebook with viewers in JupyterLab: opened, run, looked at."""

from helpers.browsers import TOKEN

FIRST_PANEL = ".pgmif-viewer >> nth=0 >> figure >> nth=0 >> canvas"


def open_and_run(page, address):
    """Open a notebook and run all of its cells."""
    page.goto(f"{address}?token={TOKEN}")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=90_000)
    page.locator(".jp-Toolbar-kernelName", has_text="Python 3").wait_for(timeout=90_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)
    run_all_cells(page)


def run_explorer(page, address, screenshots):
    """Open a notebook with two viewers and wait until they have drawn."""
    open_and_run(page, address)
    try:
        page.wait_for_function("document.querySelectorAll('.pgmif-viewer').length == 2", timeout=120_000)
        settled(page)
    except Exception:
        page.screenshot(path=screenshots / "explore_failed.png")
        raise


def run_all_cells(page):
    """Also where JupyterLab drops the first request: it does while the session is being opened."""
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(3000)
        prompts = page.locator(".jp-InputArea-prompt").all_inner_texts()
        if any(text.strip("[]: ") for text in prompts):
            return
    raise AssertionError("JupyterLab ran no cell")


def settled(page):
    """Wait until every panel shows an image and nothing more is drawn."""
    page.wait_for_function("""async () => {
        const viewers = [...document.querySelectorAll('.pgmif-viewer')];
        const drawn = () => viewers.map((v) => v.dataset.drawn).join();
        const lit = (c) => c.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data
            .some((v, k) => k % 4 < 3 && v > 0);
        const before = drawn();
        await new Promise((done) => setTimeout(done, 300));
        return before === drawn() && [...viewers[0].querySelectorAll('canvas')].every(lit);
    }""", timeout=60_000)


def picture(page, selector=FIRST_PANEL):
    """What a canvas shows."""
    return page.locator(selector).evaluate("canvas => canvas.toDataURL()")


def panels(page):
    """Names of the first viewer's panels."""
    names = page.locator(".pgmif-viewer").first.locator("figure")
    return names.evaluate_all("all => all.map(f => f.dataset.panel)")


def no_errors(page):
    """Neither the page nor a cell nor the explorer complains."""
    assert page.errors == []
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.locator("p[role=alert]").count() == 0
