"""What explore.ipynb shows: runs and their patients in the viewer, and fusing by sliders."""

import html
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from pgmif.demonstration import LABEL, RUN, demonstration_store
from pgmif.runs.fused import read_fused
from pgmif.runs.parameters import Parameters
from pgmif.runs.released import ReleaseError, released_file
from pgmif.runs.root import find_root
from pgmif.runs.run import Run
from pgmif.viewer import Viewer
from pgmif_core.evaluation.measures import fuse_volume
from pgmif_core.images.modalities import FURTHER_MODALITIES
from pgmif_core.images.patient import PatientSlices
from pgmif_core.methods.classical import gradient_domain
from pgmif_core.methods.names import method_named, ordered_methods
from pgmif_core.methods.registry import compared_methods

FIRST_SHOWN = ("t1w", "t2w", "pgmif", "pgmif_plus", "average", "moi")
NOW = "fuse now"


class Shown(NamedTuple):
    """A run that can be explored: its sequences, its patients (test patients first)."""

    run: Run
    modalities: tuple[str, ...]
    subjects: dict[str, str]  # subject → what the menu says


def _stored(folder: Path) -> list[str]:
    # a file that a killed writer left begins with a dot
    return sorted(p.stem for p in (folder / "01_preprocessing" / "slices").glob("[!.]*.json"))


def explorable_runs(root: Path) -> list[str]:
    """Names of the folders of results/ with preprocessed patients, the newest first."""
    def changed(folder: Path) -> float:
        return max(p.stat().st_mtime for p in (folder / "01_preprocessing" / "slices").glob("*.json"))

    folders = [f for f in (root / "results").glob("*") if _stored(f)]
    return [f.name for f in sorted(folders, key=changed, reverse=True)]


def open_explorable(root: Path, name: str) -> Shown:
    """A run of results/. Raises ValueError, naming the runs there are, where it has no patients."""
    folder = root / "results" / name
    subjects = _stored(folder)
    if not subjects:
        raise ValueError(f"results/{name}: expected a run with preprocessed patients, found none; there "
                         f"are: {', '.join(explorable_runs(root)) or 'no runs'}")
    notes, label = folder / "parameters.yaml", LABEL if name == RUN else name
    values = (yaml.safe_load(notes.read_text()) if notes.exists() else None) or {}
    known = {n: v for n, v in values.items() if n in Parameters.model_fields}
    provenance = folder / "01_preprocessing" / "provenance.json"
    if provenance.exists():
        label = json.loads(provenance.read_text())["cohort"]
    run = Run(root, name, Parameters(**known), label)
    manifest = folder / "00_cohort" / "manifest.csv"
    if not manifest.exists():
        return Shown(run, ("T1w", "T2w"), {s: s for s in subjects})
    # not checked as a cohort is: its raw images need not be there any more
    table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    modalities = ("T1w", "T2w", *(c for c in table if c in FURTHER_MODALITIES))
    ordered = table.sort_values("split", kind="stable")[["subject", "split"]].to_numpy()
    named = {s: f"{s} ({split})" for s, split in ordered if s in subjects}
    if not named:
        raise ValueError(f"results/{name}: expected preprocessed patients of its manifest, found "
                         "others; run 01_preprocessing again")
    return Shown(run, modalities, named)


def weights_for(shown: Shown, method: str) -> Path | None:
    """The run's own weights of a method; where it has none, the released ones for two sequences."""
    own = shown.run.weights(method)
    if own.exists():
        return own
    if len(shown.modalities) != 2:
        return None
    try:
        return released_file(method + own.suffix, shown.run.root)
    except ReleaseError:
        return None


def offered_methods(shown: Shown) -> dict[str, str]:
    """What can be shown of a run's patients, name → label: sources, methods, other programs' images."""
    folder = shown.run.fused("", "").parent
    written = {p.stem.split("_desc-")[1].removesuffix("_T2w") for p in folder.glob("*_desc-*_T2w.nii")}
    methods = compared_methods(shown.modalities)
    return {
        name: method_named(name).label for name in ordered_methods(methods.keys() | written)
        if name in written or not methods[name].needs_weights or weights_for(shown, name)
    }


def panel_label(shown: Shown, subject: str, method: str) -> str:
    """A method's label; with "released" where weights that have seen phantoms only made this image."""
    chosen = compared_methods(shown.modalities).get(method)
    written = shown.run.fused(subject, method).exists()
    released = chosen is not None and chosen.needs_weights and (
        shown.run.parameters.released if written else not shown.run.weights(method).exists()
    )
    return method_named(method).label + (", released" if released else "")


def method_volume(shown: Shown, patient: PatientSlices, method: str) -> NDArray[np.float32]:
    """A method's image of a patient: the run's fused volume where there is one, else fused now."""
    if shown.run.fused(patient.subject, method).exists():
        return read_fused(shown.run, patient.subject, method)
    chosen = compared_methods(shown.modalities).get(method)
    if chosen is None:
        raise ValueError(f"{method}: no image of {patient.subject} in results/{shown.run.name}")
    return fuse_volume(chosen, patient, weights_for(shown, method) if chosen.needs_weights else None)


class Explorer(ipywidgets.VBox):
    """Menus of runs and patients, one box per method, the viewer, and sliders that fuse at once.

    `viewer` is the `Viewer`; `shown`, `patient` what it shows. Nothing of the run is changed.
    """

    def __init__(self, run: str = "", root: Path | None = None) -> None:
        self.root = root or find_root()
        names = explorable_runs(self.root)
        if names in ([], [RUN]) or run == RUN:  # also what an interruption left undone
            demonstration_store(self.root)
            names = explorable_runs(self.root)
        name = run or names[0]
        self.viewer, self.boxes = Viewer(against="t2w"), {}
        self.cohort = ipywidgets.Dropdown(options=names, description="run")
        self.subject = ipywidgets.Dropdown(description="patient")
        self.methods = ipywidgets.Box(layout={"flex_flow": "row wrap"})
        self.message = ipywidgets.HTML()
        self.sliders = ipywidgets.VBox()
        panel = ipywidgets.Accordion([self.sliders], titles=["Fuse now: gradient domain, closed form"])
        super().__init__([
            ipywidgets.HBox([self.cohort, self.subject]), self.methods, self.message, self.viewer, panel,
        ])
        self.patient = None
        if run:
            open_explorable(self.root, name)  # refuses a misspelt run, as the menu would not
        self.cohort.value = name
        self._guarded(self._show_run)(None)
        self.subject.observe(self._guarded(self._show_patient), "value")
        self.cohort.observe(self._guarded(self._show_run), "value")

    def _guarded(self, action: Callable[[], None]) -> Callable[[Any], None]:
        def act(_: Any) -> None:
            self.message.value = "<p>…</p>"
            try:
                action()
                self.message.value = ""
            except Exception as error:  # damaged files fail in many ways; a callback has nowhere else
                said = str(error) if isinstance(error, ValueError | OSError) else repr(error)
                if self.patient is None:
                    self.viewer.clear(said)
                self.message.value = f"<p role='alert'>{html.escape(said)}</p>"

        return act

    def _show_run(self) -> None:
        self.patient = None
        self.subject.options = ()  # none of another run's patients, should this one not open
        self.shown = open_explorable(self.root, self.cohort.value)
        wanted = [n for n, box in self.boxes.items() if box.value] or FIRST_SHOWN
        left = [*self.methods.children, *self.sliders.children]
        self.boxes = {
            name: ipywidgets.Checkbox(name in wanted, description=label, indent=False,
                                      layout={"width": "auto", "margin": "0 14px 0 0"})
            for name, label in offered_methods(self.shown).items()
        }
        for name, box in self.boxes.items():
            box.observe(self._guarded(partial(self._toggle, name)), "value")
        self.methods.children = tuple(self.boxes.values())
        self._build_sliders()
        for widget in left:  # else kernel and page keep them
            widget.close()
        self.subject.options = [(text, subject) for subject, text in self.shown.subjects.items()]
        self.subject.value = next(iter(self.shown.subjects))
        if self.patient is None:  # unless the menu, having changed, has already shown it
            self._show_patient()

    def _show_patient(self) -> None:
        self.patient = None  # until all is loaded: nothing of one patient under another's name
        if self.subject.value is None:  # the run did not open
            return
        patient = self.shown.run.patient(self.subject.value)
        chosen = [name for name, box in self.boxes.items() if box.value] or ["t2w"]
        images = {name: method_volume(self.shown, patient, name) for name in chosen}
        sources = {m: patient.sources[:, k] for k, m in enumerate(self.shown.modalities)}
        labels = {name: panel_label(self.shown, patient.subject, name) for name in chosen}
        spacing = patient.grid.GetSpacing()
        self.viewer.load(
            images, patient.gtv, patient.reference, sources, labels,
            f"{patient.subject}: {self.shown.run.label}", spacing[1] / spacing[0], patient.grid,
        )
        self.patient = patient
        self.boxes["t2w"].value |= "t2w" in chosen
        if self.now.value:
            self._fuse_now()

    def _toggle(self, name: str) -> None:
        if self.patient is None:  # what was wrong with it may have been unchecked
            self._show_patient()
            return
        if self.boxes[name].value == (name in self.viewer.shown):
            return
        if not self.boxes[name].value:
            self.viewer.hide(name)
            return
        order = [n for n, box in self.boxes.items() if box.value] + [NOW]
        volume = method_volume(self.shown, self.patient, name)
        self.viewer.show(name, volume, panel_label(self.shown, self.patient.subject, name))
        self.viewer.panels = sorted(self.viewer.panels, key=lambda p: (
            order.index(p["name"]) if p["name"] in order else len(order)  # a panel of the user's own
        ))

    def _build_sliders(self) -> None:
        slim = {"width": "420px"}
        self.now = ipywidgets.Checkbox(False, description="show", indent=False)
        self.epsilon = ipywidgets.FloatLogSlider(
            0.1, min=-3, max=0, step=0.05, description="ε", layout=slim, readout_format=".3f"
        )
        self.gain = ipywidgets.FloatSlider(2, min=0.5, max=5, step=0.1, description="gain", layout=slim)
        self.weights = [
            ipywidgets.FloatSlider(1, min=0, max=8, step=0.25, description=m, layout=slim)
            for m in self.shown.modalities
        ]
        about = ipywidgets.HTML(
            "The image whose gradients are nearest to gain · ε∇/(‖∇‖ + ε), ∇ that of all sources "
            "together, each with its weight. Small ε: every edge alike; large ε: plain gradient domain."
        )
        for slider in (self.now, self.epsilon, self.gain, *self.weights):
            slider.observe(self._guarded(self._fuse_now), "value")
        self.sliders.children = (about, self.now, self.epsilon, self.gain, *self.weights)

    def _fuse_now(self) -> None:
        if not self.now.value or self.patient is None:
            if NOW in self.viewer.shown:
                self.viewer.hide(NOW)
            return
        sources = torch.from_numpy(np.array(self.patient.sources))
        weights = [slider.value for slider in self.weights]
        fused = gradient_domain(
            sources, weights=weights, epsilon=self.epsilon.value, gain=self.gain.value
        )
        self.viewer.show(NOW, fused[:, 0], f"Fused now, ε = {self.epsilon.value:.3g}")
