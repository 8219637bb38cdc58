"""Redraws of the viewer in a browser, per slice change: python benchmarks/speed/viewer.py

Needs Chromium (apt install chromium). Opens a page with the viewer and six panels of noise, without
Jupyter: what is measured is the drawing, from a key to the painted frame. Writes benchmarks/viewer.csv.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from pgmif.runs.root import find_root
from pgmif.viewer import Viewer, view
from pgmif_core.files import replacing

PANELS, TARGET_MS = 6, 100
SIZES = {"as in a run": (20, 192, 192), "fine matrix": (8, 512, 512)}
# from the key to the end of the second frame: the first one draws, the second shows what it drew
CHANGES = """async (view) => {
  const root = document.querySelector(".pgmif-viewer"), times = [];
  const frame = () => new Promise(requestAnimationFrame);
  const press = (key) => root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press(view); press("Home"); await frame(); await frame();
  for (let k = 0; k < 21; k++) {
    await frame();
    const start = performance.now(), drawn = root.dataset.drawn;
    press(k % 2 ? "ArrowDown" : "ArrowUp");
    while (root.dataset.drawn === drawn) await frame();
    root.querySelector("canvas").getContext("2d").getImageData(0, 0, 1, 1);
    times.push(performance.now() - start);
  }
  return times;
}"""


def noise_viewer(shape: tuple[int, int, int]) -> Viewer:
    rng = np.random.default_rng(0)
    gtv = np.zeros(shape, bool)
    gtv[:, shape[1] // 3 : shape[1] // 2, shape[2] // 3 : shape[2] // 2] = True
    images = {f"image {k}": rng.random(shape, np.float32) for k in range(PANELS)}
    return view(images, gtv=gtv, sources=("image 0",))


def main() -> int:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if not chromium:
        print("no Chromium on the PATH (apt install chromium)", file=sys.stderr)
        return 2
    rows = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, shape in SIZES.items():
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(noise_viewer(shape).save_as_html(Path(folder) / "viewer.html").as_uri())
            page.wait_for_selector(".pgmif-viewer[data-missing='0']")
            for shown, key in (("images", "i"), ("difference", "d"), ("checkerboard", "c")):
                times = page.evaluate(CHANGES, key)
                rows.append({"slices": f"{name}: {shape[0]} of {shape[1]}×{shape[2]}", "view": shown,
                             "panels": PANELS, "median ms": np.median(times).round(1),
                             "slowest ms": np.max(times).round(1), "target ms": TARGET_MS})
            page.close()
        browser.close()
    table = pd.DataFrame(rows)
    with replacing(find_root() / "benchmarks" / "viewer.csv") as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
