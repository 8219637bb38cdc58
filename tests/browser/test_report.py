"""The report in a real browser: it opens, is accessible, sorts, fits a phone and prints."""

from pathlib import Path

import pytest
from helpers.browsers import broken_images, opened_page, violations
from helpers.reports import LABEL


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_is_accessible_and_loads_every_image(page, screenshots, scheme):
    with opened_page(color_scheme=scheme) as browser:
        browser.goto(page.as_uri())
        assert broken_images(browser) == []
        assert browser.evaluate("document.images.length") > 20
        assert violations(browser) == []
        browser.screenshot(path=screenshots / f"report_{scheme}.png")
        assert browser.errors == []


@pytest.mark.browser
def test_its_tables_sort_numbers_as_numbers_both_ways(page):
    with opened_page() as browser:
        browser.goto(page.as_uri())
        table = browser.get_by_role("region", name="Registration")

        def column(k):
            return table.locator(f"tbody tr td:nth-child({k})").all_inner_texts()

        table.get_by_role("button", name="rigid, mm").click()
        assert column(3) == ["0.50", "9.50", "12.25"]
        assert table.locator("th[aria-sort=ascending]").inner_text() == "rigid, mm"
        table.get_by_role("button", name="rigid, mm").click()
        assert column(3) == ["12.25", "9.50", "0.50"]
        table.get_by_role("button", name="subject").click()
        assert column(1) == ["sub-<11>", "sub-9", "sub-10"]
        table.get_by_role("button", name="flags").click()
        assert column(4)[0] == "T1w far (12.2 mm)", "empty cells come last"
        assert browser.errors == []


@pytest.mark.browser
def test_it_fits_a_phone_and_prints(page, screenshots):
    with opened_page(390, 844) as browser:
        browser.goto(page.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        browser.screenshot(path=screenshots / "report_phone.png")
        printed = screenshots / "report_printed.pdf"
        browser.pdf(path=printed, format="A4")
        assert printed.stat().st_size > 100_000


@pytest.mark.browser
def test_notebook_pages_open(page):
    with opened_page() as browser:
        browser.goto(page.as_uri())
        browser.get_by_role("link", name="05_cnr_boxplots", exact=True).click()
        assert browser.get_by_role("heading", name="04 Boxplots").is_visible()
        assert browser.locator("img").get_attribute("alt").startswith("Boxplots of the tumour's")
        browser.get_by_role("link", name=f"Report: {LABEL}").click()
        assert Path(browser.url.removeprefix("file://")) == page
        assert browser.errors == []
