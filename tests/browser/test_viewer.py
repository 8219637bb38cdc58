"""The viewer in a real browser without Jupyter, on a page that `save_as_html` wrote."""

import numpy as np
import pytest
from helpers.browsers import opened_page, violations

from pgmif.viewer import view

pytestmark = pytest.mark.browser

PEN = (230, 159, 0)  # of the GTV
# runs of the pen's colour along a row and a column of the canvas: how thick the outline is drawn
THICKNESS = """(canvas, [r, g, b]) => {
  const { width, height } = canvas, context = canvas.getContext("2d");
  const inked = (x, y, w, h) => {
    const data = context.getImageData(x, y, w, h).data, near = [];
    for (let k = 0; k < data.length; k += 4) {
      near.push(Math.abs(data[k] - r) + Math.abs(data[k + 1] - g) + Math.abs(data[k + 2] - b) < 60);
    }
    return near.filter(Boolean).length;
  };
  return [inked(0, height / 2, width, 1), inked(width / 2, 0, 1, height)];
}"""


def raised(shape=(3, 40, 60)):
    """An image with a brighter block in its middle, where the tumour's outline is."""
    gtv = np.zeros(shape, bool)
    gtv[:, 12:28, 20:40] = True
    return np.where(gtv, 0.8, 0.1), gtv


@pytest.fixture
def opened(tmp_path):
    """A function that opens a saved viewer; no page may complain or fetch anything."""
    pages = []

    def open_saved(viewer, **options):
        context = opened_page(900, 700, **options)
        page = context.__enter__()
        pages.append((context, page))
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(viewer.save_as_html(tmp_path / f"{len(pages)}.html").as_uri())
        page.wait_for_selector(".pgmif-viewer[data-missing='0']")
        page.locator(".pgmif-viewer").focus()
        return page

    yield open_saved
    for context, page in pages:
        fetched = [url for url in page.asked if not url.startswith(("file:", "data:"))]
        errors = page.errors
        context.__exit__(None, None, None)
        assert errors == []
        assert fetched == []


def pressed(page, *keys):
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_timeout(150)


def canvas(page, panel=0):
    return page.locator(".pgmif-viewer canvas").nth(panel)


def picture(page, panel=0):
    return canvas(page, panel).evaluate("canvas => canvas.toDataURL()")


def window_and_level(page):
    words = page.locator(".pgmif-viewer .window").inner_text().split()
    return float(words[1]), float(words[3])


def test_everything_works_by_keyboard(opened):
    image, gtv = raised()
    image = image + np.arange(3)[:, None, None] * 0.05
    page = opened(view({"a": image, "b": image / 2}, gtv=gtv))
    first = picture(page)
    pressed(page, "ArrowUp")
    assert picture(page) != first
    pressed(page, "ArrowDown", "n", "n", "b")
    window, level = window_and_level(page)
    assert (window, level) == pytest.approx((0.81, 0.5 - 0.05 * 0.81), abs=0.01)
    assert picture(page) != first
    pressed(page, "w", "w", "k")
    assert window_and_level(page) == pytest.approx((1, 0.5 + 0.05 - 0.05 * 0.81), abs=0.01)
    pressed(page, "0")
    assert picture(page) == first
    pressed(page, "+", "+", "+")
    near = picture(page)
    pressed(page, "Shift+ArrowRight", "Shift+ArrowUp")
    assert picture(page) not in (first, near)
    assert page.locator(".pgmif-viewer .place").inner_text().startswith("1 of 3")
    pressed(page, "Shift+ArrowLeft", "Shift+ArrowDown")
    assert picture(page) == near
    pressed(page, "0")
    assert picture(page) == first
    pressed(page, "o")
    assert picture(page) != first


@pytest.mark.parametrize("aspect", [1.0, 2.5, 0.4])
def test_outlines_are_as_thick_along_as_across(opened, aspect):
    image, gtv = raised()
    page = opened(view({"a": image}, gtv=gtv, aspect=aspect), device_scale_factor=4)
    across, along = canvas(page).evaluate(THICKNESS, PEN)
    assert across == pytest.approx(2 * 1.5 * 4, abs=2), "two edges, 1.5 points each"
    assert along == pytest.approx(across, abs=2)


def test_images_of_very_different_ranges_are_compared_by_fractions(opened):
    image, _ = raised()
    image[:, 0, 0], image[:, 0, 1] = 0, 1
    page = opened(view({"unit": image, "raw": image * 4000, "half": image * 0.5 + 0.2}))
    pressed(page, "d")
    page.get_by_label("compared with").select_option("unit")
    page.wait_for_timeout(150)
    assert "fractions of each" in page.locator(".pgmif-viewer .status").inner_text()
    white = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    assert set(canvas(page, 1).evaluate(white)) == {255}, "the same picture in other units"
    page.mouse.move(5, 5)
    canvas(page, 2).hover()
    page.wait_for_timeout(150)
    value = page.locator("figure").nth(2).locator("figcaption output").inner_text()
    assert float(value) == pytest.approx(0.5 * 0.8 + 0.2 - 0.8, abs=0.01), "these are values"


def test_two_fingers_zoom_and_one_changes_the_window(opened):
    image, gtv = raised()
    page = opened(view({"a": image}, gtv=gtv), has_touch=True)
    session, box = page.context.new_cdp_session(page), canvas(page).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind, *offsets):
        points = [{"x": x + d, "y": y, "id": k} for k, d in enumerate(offsets)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(60)

    touch("touchStart", -20, 20)
    for distance in (30, 40, 60):
        touch("touchMove", -distance, distance)
    touch("touchEnd")
    assert window_and_level(page) == (1, 0.5)
    assert "zoom 3.0" in page.locator(".pgmif-viewer .status").inner_text()
    touch("touchStart", 0)
    touch("touchMove", 40)
    touch("touchEnd")
    assert window_and_level(page)[0] > 1.2


def test_keys_work_while_the_slider_has_the_focus(opened):
    image, gtv = raised()
    page = opened(view({"a": image, "b": image / 2}, gtv=gtv))
    page.locator(".pgmif-viewer").get_by_role("slider").focus()
    pressed(page, "d", "Home", "ArrowRight")
    assert page.get_by_label("view", exact=True).input_value() == "difference"
    assert page.locator(".pgmif-viewer .place").inner_text() == "2 of 3"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_saved_page_is_accessible(opened, scheme):
    image, gtv = raised()
    page = opened(view({"T1w": image, "T2w": image / 2}, gtv=gtv, reference=~gtv), color_scheme=scheme)
    page.get_by_text("Keys and mouse").click()
    assert violations(page) == []


def test_a_narrow_window_of_a_phone_shows_all_panels(opened):
    image, gtv = raised()
    page = opened(view({f"image {k}": image for k in range(4)}, gtv=gtv))
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    widths = page.locator(".pgmif-viewer canvas").evaluate_all("all => all.map(c => c.clientWidth)")
    assert len(widths) == 4
    assert min(widths) >= 150
