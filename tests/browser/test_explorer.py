"""The product in a real browser: JupyterLab with explore.ipynb, and the viewer's own behaviour."""

import shutil
import time

import pytest
import SimpleITK as sitk
from helpers.browsers import jupyterlab, listened, opened_page
from helpers.jupyterlab import (
    FIRST_PANEL,
    no_errors,
    open_and_run,
    panels,
    picture,
    run_explorer,
    settled,
)

from pgmif.demonstration import aligned_slices
from pgmif_core.images.store import write_patient
from pgmif_core.images.volumes import write_image

pytestmark = pytest.mark.browser

NEEDED = ("Snakefile", "params", "data_manifest.csv", "notebooks", "weights", "published")


@pytest.fixture(scope="module")
def fresh_root(root, tmp_path_factory):
    """The repository as a clone has it: no run was made."""
    folder = tmp_path_factory.mktemp("clone") / "pgmif"
    folder.mkdir()
    for name in NEEDED:
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def lab(fresh_root, tmp_path_factory):
    with jupyterlab(fresh_root, tmp_path_factory.mktemp("jupyter")) as address:
        yield address


@pytest.fixture(scope="module")
def explored(lab, screenshots):
    """explore.ipynb opened, all of its cells run."""
    with opened_page() as page:
        run_explorer(page, f"{lab}/tree/notebooks/explore.ipynb", screenshots)
        yield page


def test_explore_runs_without_a_run_and_shows_six_panels(explored, screenshots):
    assert panels(explored) == ["t1w", "t2w", "pgmif", "pgmif_plus", "average", "moi"]
    caption = explored.locator(".pgmif-viewer .caption").first.inner_text()
    assert "synthetic phantom cohort" in caption
    explored.locator(".pgmif-viewer").first.scroll_into_view_if_needed()
    explored.screenshot(path=screenshots / "explore.png")
    no_errors(explored)


def test_the_slice_slider_changes_every_picture(explored):
    before = [picture(explored, f".pgmif-viewer >> nth=0 >> canvas >> nth={k}") for k in range(6)]
    explored.locator(".pgmif-viewer").first.get_by_role("slider", name="slice").press("ArrowRight")
    settled(explored)
    after = [picture(explored, f".pgmif-viewer >> nth=0 >> canvas >> nth={k}") for k in range(6)]
    assert all(a != b for a, b in zip(after, before, strict=True))
    no_errors(explored)


def test_toggling_a_method_adds_and_removes_its_panel(explored):
    for box in (True, False):
        explored.get_by_label("Wavelet", exact=True).set_checked(box)
        explored.wait_for_function(
            "wanted => !!document.querySelector('.pgmif-viewer [data-panel=wavelet]') === wanted",
            arg=box,
        )
    explored.get_by_label("Wavelet", exact=True).set_checked(True)
    settled(explored)
    assert panels(explored).index("wavelet") == 6, "panels stand in the order of the tables"
    no_errors(explored)
    explored.get_by_label("Wavelet", exact=True).set_checked(False)
    settled(explored)


def place(page):
    return int(page.locator(".pgmif-viewer .place").first.inner_text().split()[0])


def test_wheel_and_keys_move_slices(explored):
    canvas = explored.locator(FIRST_PANEL)
    canvas.scroll_into_view_if_needed()
    canvas.hover()
    start = place(explored)
    explored.mouse.wheel(0, 120)
    settled(explored)
    assert place(explored) == start + 1
    explored.mouse.wheel(0, -120)
    canvas.click()
    for key, expected in (("ArrowUp", start + 1), ("PageDown", start - 4), ("Home", 1), ("End", 20),
                          ("ArrowUp", 20)):
        explored.keyboard.press(key)
        settled(explored)
        assert place(explored) == expected, key
    explored.keyboard.press("Home")
    for _ in range(start - 1):
        explored.keyboard.press("ArrowUp")
    settled(explored)
    assert place(explored) == start
    no_errors(explored)


def test_drag_changes_the_window_and_double_click_resets_it(explored):
    box = explored.locator(FIRST_PANEL).bounding_box()
    explored.mouse.move(0, 0)
    settled(explored)
    before = picture(explored)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    explored.mouse.move(x, y)
    explored.mouse.down()
    explored.mouse.move(x - 60, y - 20, steps=6)
    explored.mouse.up()
    settled(explored)
    text = explored.locator(".pgmif-viewer .window").first.inner_text()
    window, level = (float(text.split()[k]) for k in (1, 3))
    assert window < 0.8
    assert level < 0.5
    explored.mouse.dblclick(x, y)
    explored.mouse.move(0, 0)
    settled(explored)
    assert picture(explored) == before
    no_errors(explored)


def test_cursor_and_zoom_are_linked_and_read_the_value(explored):
    second = ".pgmif-viewer >> nth=0 >> canvas >> nth=1"
    before = picture(explored, second)
    explored.locator(FIRST_PANEL).hover()
    settled(explored)
    with_cursor = picture(explored, second)
    assert with_cursor != before
    values = explored.locator(".pgmif-viewer").first.locator("figcaption output").all_inner_texts()
    assert len(values) == 6
    assert all(0 <= float(v) <= 1 for v in values)
    explored.keyboard.press("+")
    settled(explored)
    assert picture(explored, second) != with_cursor
    explored.keyboard.press("0")
    no_errors(explored)


def test_difference_and_checkerboard(explored, screenshots):
    viewer = explored.locator(".pgmif-viewer").first
    explored.mouse.move(0, 0)
    settled(explored)
    plain = picture(explored)
    seen = {plain}
    for view in ("difference", "checkerboard"):
        viewer.get_by_label("view", exact=True).select_option(view)
        explored.mouse.move(0, 0)
        settled(explored)
        seen.add(picture(explored))
        viewer.screenshot(path=screenshots / f"explore_{view}.png")
    assert len(seen) == 3
    viewer.get_by_label("view", exact=True).select_option("images")
    settled(explored)
    no_errors(explored)


def test_fuse_now_follows_its_sliders(explored, screenshots):
    explored.get_by_text("Fuse now: gradient domain").click()
    explored.get_by_label("show", exact=True).check()
    last = ".pgmif-viewer >> nth=0 >> [data-panel='fuse now'] canvas"
    explored.wait_for_selector(last)
    settled(explored)
    before = picture(explored, last)
    handle = explored.locator(".widget-slider", has_text="ε").locator(".noUi-handle")
    handle.focus()
    for _ in range(4):
        explored.keyboard.press("ArrowRight")
    explored.wait_for_function("([s, old]) => document.querySelectorAll('.pgmif-viewer')[0]"
                               ".querySelector('[data-panel=\"fuse now\"] canvas').toDataURL() !== old",
                               arg=[last, before])
    explored.locator(".pgmif-viewer").first.screenshot(path=screenshots / "explore_fuse_now.png")
    no_errors(explored)


def test_keys_are_the_viewers_and_those_with_ctrl_are_jupyterlabs(explored, fresh_root):
    notebook = fresh_root / "notebooks" / "explore.ipynb"
    cells, before = explored.locator(".jp-Cell").count(), notebook.stat().st_mtime_ns
    explored.locator(FIRST_PANEL).click()
    for key in ("x", "a", "b", "d", "d", "Enter", "m", "z", "i", "0"):
        explored.keyboard.press(key)
    settled(explored)
    assert explored.locator(".jp-Cell").count() == cells
    assert notebook.stat().st_mtime_ns == before
    explored.keyboard.press("Control+s")
    end = time.monotonic() + 20
    while notebook.stat().st_mtime_ns == before and time.monotonic() < end:
        explored.wait_for_timeout(100)
    assert notebook.stat().st_mtime_ns != before, "Ctrl+S saves the notebook"
    no_errors(explored)


def test_nothing_is_left_in_the_repository(explored, fresh_root):
    made = {p.name for p in fresh_root.iterdir()} - set(NEEDED)
    assert made <= {"results", ".ipynb_checkpoints"}
    assert [p.name for p in (fresh_root / "results").iterdir()] == ["explore-phantoms"]


def test_a_run_of_ones_own_is_the_first_in_the_menu(
    root, explored, lab, fresh_root, phantom, screenshots
):
    base = fresh_root / "results" / "mine"
    patient = aligned_slices(phantom, "sub-x")
    write_patient(base / "01_preprocessing" / "slices", patient, {"settings": {}, "row": {}})
    average = sitk.GetImageFromArray(patient.sources.mean(axis=1))
    average.CopyInformation(patient.grid)
    write_image(average, base / "04_baseline_comparison" / "sub-x_desc-pgmif_T2w.nii")
    shutil.copy(root / "notebooks" / "explore.ipynb", fresh_root / "notebooks" / "own.ipynb")
    page = listened(explored.context.browser.new_page(viewport={"width": 1400, "height": 1000}))
    run_explorer(page, f"{lab}/workspaces/own/tree/notebooks/own.ipynb", screenshots)
    viewer = page.locator(".pgmif-viewer").first
    assert viewer.locator(".caption").inner_text() == "sub-x: mine"
    titles = viewer.locator("figcaption strong").all_inner_texts()
    assert titles[2:4] == ["PGMIF", "PGMIF+, released"]
    pictures = [picture(page, f".pgmif-viewer >> nth=0 >> canvas >> nth={k}") for k in (2, 4)]
    assert pictures[0] == pictures[1], "the volume of the run, here the average, is what is shown"
    viewer.screenshot(path=screenshots / "explore_own_run.png")
    page.get_by_label("run", exact=True).select_option("explore-phantoms")
    caption = "document.querySelector('.pgmif-viewer .caption').innerText"
    page.wait_for_function(f"!{caption}.includes('sub-x')")
    settled(page)
    assert "PGMIF, released" in viewer.locator("figcaption strong").all_inner_texts()
    no_errors(page)


def test_a_lesson_says_what_is_wanted_and_that_an_answer_is_right(explored, lab, screenshots):
    page = listened(explored.context.browser.new_page(viewport={"width": 1100, "height": 1400}))
    open_and_run(page, f"{lab}/workspaces/lesson/tree/notebooks/teaching/3_fusing_by_rule.ipynb")
    cell = page.locator(".jp-CodeCell", has_text="pair = ...").first
    check = page.locator(".jp-CodeCell", has_text='check("3.2", pair)')
    check.get_by_text("not answered yet").wait_for(timeout=60_000)
    assert page.locator(".jp-OutputArea img").count() >= 1
    assert page.get_by_text("assert repository").count() == 0, "the cell for Colab is folded away"
    solution = page.locator("details", has_text="Solution of 3.2")
    assert not solution.locator("pre").is_visible()
    solution.locator("summary").click()
    answer = solution.locator("pre").inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(answer)
    for _ in ("the answer", "its check"):
        page.keyboard.press("Shift+Enter")
    check.get_by_text("✔ right").wait_for(timeout=60_000)
    check.scroll_into_view_if_needed()
    page.screenshot(path=screenshots / "lesson.png")
    no_errors(page)
