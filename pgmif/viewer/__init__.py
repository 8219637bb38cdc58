"""The slice viewer for notebooks: several images of one patient side by side, drawn in the browser.

    from pgmif.viewer import view
    view({"T1w": "t1.nii.gz", "T2w": "t2.nii.gz", "fused": array}, gtv="gtv.nii.gz")

Linked slices, zoom, window and cursor; difference and checkerboard against any panel; outlines; CNR and
Q of the shown slice and of the patient. Needs `pip install 'pgmif[lab]'`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import traitlets
from numpy.typing import NDArray

from pgmif.figures.colours import OUTLINE_COLOURS
from pgmif.viewer.standalone import write_viewer
from pgmif.viewer.volumes import (
    Image,
    Volumes,
    as_stored,
    as_volumes,
    intensity_range,
    measures_of,
    typical_range,
)
from pgmif_core.images.patient import largest_slice

try:
    import anywidget
except ImportError as error:
    raise ImportError("the viewer needs anywidget: pip install 'pgmif[lab]'") from error

FULL = 65535  # images are sent as 16-bit integers over their range
FOLDER = Path(__file__).parent
TRAITS = ("shape", "aspect", "panels", "outlines", "caption", "slice", "view", "against", "window",
          "level", "outlined")
SCRIPTS = ("drawing.js", "controls.js", "widget.js")


def _synced(kind: type[traitlets.TraitType], *arguments, **keywords) -> traitlets.TraitType:
    return kind(*arguments, **keywords).tag(sync=True)


class Viewer(anywidget.AnyWidget):
    """The widget that `view` returns: panels of one patient; `show` and `hide` change them.

    Traits that may be read, set and observed: `slice` (from 0), `view` ("images", "difference",
    "checkerboard"), `against` (name of the panel compared with), `window` and `level` (fractions of a
    panel's range), `outlined`, `caption`.
    """

    _esm = "\n".join((FOLDER / name).read_text() for name in SCRIPTS)
    _css = FOLDER / "viewer.css"

    shape = _synced(traitlets.List, [0, 0, 0])
    aspect = _synced(traitlets.Float, 1.0)
    panels = _synced(traitlets.List)
    outlines = _synced(traitlets.List)
    caption = _synced(traitlets.Unicode, "")
    slice = _synced(traitlets.Int, 0)
    view = _synced(traitlets.Enum, ("images", "difference", "checkerboard"), "images")
    against = _synced(traitlets.Unicode, "")
    window = _synced(traitlets.Float, 1.0)
    level = _synced(traitlets.Float, 0.5)
    outlined = _synced(traitlets.Bool, True)

    def __init__(self, **traits) -> None:
        super().__init__(**traits)
        self._pixels: dict[str, tuple[int, bytes, bool]] = {}
        self._found = Volumes({}, {}, None)
        self._sources: dict[str, NDArray] = {}
        self._version = 0
        self.on_msg(self._send_pixels)

    @traitlets.validate("slice")
    def _existing_slice(self, proposal: dict) -> int:
        return int(np.clip(proposal["value"], 0, max(0, self.shape[0] - 1)))

    @traitlets.validate("level")
    def _finite_level(self, proposal: dict) -> float:
        if not np.isfinite(proposal["value"]):
            raise traitlets.TraitError(f"level: expected a number, found {proposal['value']}")
        return proposal["value"]

    @traitlets.validate("window")
    def _open_window(self, proposal: dict) -> float:
        if not proposal["value"] > 0:
            raise traitlets.TraitError(f"window: expected above 0, found {proposal['value']}")
        return proposal["value"]

    def load(
        self, images: Mapping[str, Image], gtv: Image | None = None, reference: Image | None = None,
        sources: Sequence[str] | Mapping[str, Image] | None = None,
        labels: Mapping[str, str] | None = None, caption: str = "", aspect: float | None = None,
        grid: sitk.Image | None = None,
    ) -> "Viewer":
        """Show another patient; arguments as of `view`. The slice stays where the shape does.

        `grid`, upright, says where arrays lie in space: files shown later are put on it.
        """
        if not isinstance(images, Mapping) or not len(images):
            what = "none" if isinstance(images, Mapping) else type(images).__name__
            raise ValueError("expected images by name, {'T2w': image}, and at least one image, "
                             f"found {what}")
        first = "T2w" if "T2w" in images else next(iter(images))
        found = as_volumes(images, {"GTV": gtv, "reference": reference}, first)
        found = found._replace(stored=found.stored or grid)
        measured = _sources(sources, found, first)
        shape = list(found.images[first].shape)
        panels, pixels = [], {}
        for name, volume in found.images.items():
            label = (labels or {}).get(name, name)
            panel, pixels[name] = self._panel(name, volume, label, found.masks, measured)
            panels.append(panel)
        outlines = []
        for name, mask in found.masks.items():
            version = self._next()
            pixels[f"outline {name}"] = (version, mask.astype("u1").tobytes(), True)
            outlines.append({"name": f"outline {name}", "label": name, "version": version,
                             "colour": OUTLINE_COLOURS[name]})
        tumour = found.masks.get("GTV")
        largest = largest_slice(tumour) if tumour is not None else shape[0] // 2
        self._found, self._sources, self._pixels = found, measured, pixels
        with self.hold_sync():
            if self.shape != shape:
                self.shape, self.slice = shape, largest
            self.against = self.against if self.against in found.images else first
            self.aspect = aspect or found.aspect
            self.outlines, self.panels, self.caption = outlines, panels, caption
        return self

    def show(self, name: str, image: Image, label: str = "") -> None:
        """Add an image, or replace the one of this name. ValueError where it does not fit the others.

        Nor may a source be replaced that Q is measured against: `load` measures all panels anew.
        """
        if not self._found.images:
            raise ValueError("expected a patient to be loaded first, found none: load({name: image})")
        if name in self._sources and "GTV" in self._found.masks:
            raise ValueError(f"{name}: Q of every panel is measured against it; load all images again")
        volume = _placed(name, image, self._found.stored)
        if list(volume.shape) != self.shape:
            raise ValueError(f"{name}: expected the shape {tuple(self.shape)}, found {volume.shape}")
        panel, self._pixels[name] = self._panel(
            name, volume, label or name, self._found.masks, self._sources
        )
        if name in self.shown:
            self.panels = [panel if p["name"] == name else p for p in self.panels]
        else:
            self.panels = [*self.panels, panel]

    def hide(self, name: str) -> None:
        """Remove a panel. ValueError where there is none of this name."""
        if name not in self.shown:
            raise ValueError(f"{name}: expected one of the panels {self.shown}")
        self.panels = [p for p in self.panels if p["name"] != name]
        self._pixels.pop(name)

    def clear(self, caption: str = "") -> None:
        """Show no patient at all."""
        self._found, self._sources, self._pixels = Volumes({}, {}, None), {}, {}
        with self.hold_sync():
            self.panels, self.outlines, self.caption = [], [], caption

    def save_as_html(self, path: str | Path, title: str = "") -> Path:
        """Write the viewer as it stands, with all slices, as one page that opens offline; its path.

        For a page to pass on: a whole head shows a face, so ask first whether the patient may be shown.
        ValueError where no patient is loaded, or the folder is missing.
        """
        path = Path(path)
        if not self.panels:
            raise ValueError("expected a patient to be loaded first, found none: load({name: image})")
        if not path.parent.is_dir():
            raise ValueError(f"{path.parent}: expected a folder to write {path.name} into, found none")
        state = {name: getattr(self, name) for name in TRAITS}
        style, *script = ((FOLDER / n).read_text() for n in ("viewer.css", *SCRIPTS, "standalone.js"))
        heading = title or self.caption or "pgmif viewer"
        state["caption"] = "" if heading == self.caption else self.caption
        return write_viewer(path, heading, state, self._pixels, "\n".join(script), style)

    @property
    def shown(self) -> list[str]:
        """Names of the panels, in their order."""
        return [p["name"] for p in self.panels]

    def _next(self) -> int:
        self._version += 1
        return self._version

    def _panel(
        self, name: str, volume: NDArray, label: str, masks: Mapping[str, NDArray],
        sources: Mapping[str, NDArray],
    ) -> tuple[dict, tuple[int, bytes, bool]]:
        low, high = intensity_range(volume)
        pixels = np.rint((volume.astype(np.float64) - low) * (FULL / (high - low))).astype("<u2")
        version = self._next()
        panel = {"name": name, "label": label, "low": low, "high": high,
                 "typical": typical_range(volume) or high - low, "measures": [],
                 "version": version, "patient": [], "slices": []}
        if "GTV" in masks:
            tumour, others = masks["GTV"], list(sources.values())
            reference = masks.get("reference", np.zeros_like(tumour))
            panel |= {
                "measures": ["CNR", *(f"Q {s}" for s in sources)],
                "patient": measures_of(volume, others, tumour, reference),
                "slices": [
                    measures_of(volume[k, None], [s[k, None] for s in others], tumour[k, None],
                                reference[k, None])
                    for k in range(len(volume))
                ],
            }
        return panel, (version, pixels.tobytes(), False)

    def _send_pixels(self, _, content: dict, __) -> None:
        for name in content.get("wanted", []):
            if name in self._pixels:
                version, pixels, outline = self._pixels[name]
                self.send({"pixels": name, "version": version, "outline": outline}, [pixels])


def _placed(name: str, image: Image, stored: sitk.Image | None) -> NDArray:
    """An image on the grid of those that are shown; where they are arrays, in the order it is stored."""
    if stored is None:
        return as_stored(name, image)
    return as_volumes({name: image}, {}, name, stored).images[name]


def _sources(
    sources: Sequence[str] | Mapping[str, Image] | None, found: Volumes, first: str
) -> dict[str, NDArray]:
    """What Q is measured against: T1w and T2w where shown, named images, or images given apart."""
    if isinstance(sources, Mapping):
        apart = {name: _placed(name, image, found.stored) for name, image in sources.items()}
        for name, volume in apart.items():
            if volume.shape != found.images[first].shape:
                raise ValueError(f"{name}: expected the shape of {first}, "
                                 f"{found.images[first].shape}, found {volume.shape}")
        return apart
    if sources is None:
        return {s: found.images[s] for s in ("T1w", "T2w") if s in found.images}
    unknown = [sources] if isinstance(sources, str) else [s for s in sources if s not in found.images]
    if unknown:
        raise ValueError(f"sources: expected names among {list(found.images)}, found {unknown}")
    return {s: found.images[s] for s in sources}


def view(
    images: Mapping[str, Image], gtv: Image | None = None, reference: Image | None = None,
    sources: Sequence[str] | Mapping[str, Image] | None = None,
    labels: Mapping[str, str] | None = None, caption: str = "", aspect: float | None = None,
) -> Viewer:
    """Show images of one patient side by side, in a notebook.

    `images` by name: arrays or tensors (slices, h, w) or (h, w), SimpleITK images, or paths that
    `read_image` takes; the latter two are resampled to the grid of T2w (of the first image without one)
    and laid upright. Arrays beside them have the shape and order of that file. `gtv` and `reference`,
    masks of the same kinds, are drawn as outlines; with both, CNR (Eq. 8) stands under every panel,
    with `gtv` the generalized Sobel (Eq. 12) against `sources`: names of images (T1w
    and T2w where shown), or images that need not be shown. `labels` are titles by name; `aspect` is
    the height of a pixel over its width, for arrays. Values are shown as they are: 0 to 1 where all lie
    there, otherwise over each image's own range. Raises ValueError on shapes that differ and on NaN.
    """
    return Viewer().load(images, gtv, reference, sources, labels, caption, aspect)
