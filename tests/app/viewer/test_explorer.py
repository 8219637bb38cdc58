"""The explorer's menus: runs, patients and methods, and what it says of them."""

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from pgmif.demonstration import LABEL, RUN, aligned_slices, demonstration_store
from pgmif.viewer.explorer import Explorer, explorable_runs, open_explorable, panel_label
from pgmif_core.evaluation.measures import cnr, sobel_against
from pgmif_core.images.store import write_patient


@pytest.fixture
def own_root(root, tmp_path, phantom):
    """A clone with one run of one patient, without weights of its own."""
    (tmp_path / "Snakefile").touch()
    for name in ("params", "weights", "data_manifest.csv"):
        (tmp_path / name).symlink_to(root / name)
    store = tmp_path / "results" / "mine" / "01_preprocessing" / "slices"
    write_patient(store, aligned_slices(phantom, "sub-x"), {"settings": {}, "row": {}})
    return tmp_path


def test_explorer_shows_a_run(own_root):
    explorer = Explorer(root=own_root)
    assert explorer.cohort.options == ("mine",)
    assert explorer.viewer.shown == ["t1w", "t2w", "pgmif", "pgmif_plus", "average", "moi"]
    assert explorer.viewer.caption == "sub-x: mine"
    labels = {p["name"]: p["label"] for p in explorer.viewer.panels}
    assert labels["pgmif"] == "PGMIF, released"
    assert labels["moi"] == "MoI"
    by_name = {p["name"]: p["patient"] for p in explorer.viewer.panels}
    patient = explorer.patient
    t2w = np.array(patient.sources[:, 1])
    np.testing.assert_allclose(by_name["t2w"][0], cnr(t2w, patient), rtol=1e-5)
    np.testing.assert_allclose(by_name["t2w"][1], sobel_against(t2w, patient, 0), rtol=1e-5)


def test_explorer_toggles_fuses_and_says_what_went_wrong(own_root):
    explorer = Explorer(root=own_root)
    explorer.boxes["wavelet"].value = True
    explorer.boxes["pgmif"].value = False
    assert explorer.viewer.shown == ["t1w", "t2w", "pgmif_plus", "average", "moi", "wavelet"]
    explorer.now.value = True
    first = explorer.viewer.panels[-1]
    explorer.epsilon.value = 0.01
    assert explorer.viewer.panels[-1]["version"] != first["version"]
    assert explorer.viewer.panels[-1]["label"].startswith("Fused now, ε = 0.01")
    for slider in explorer.weights:
        slider.value = 0
    assert "weights: expected 2" in explorer.message.value
    explorer.weights[0].value = 1
    assert explorer.message.value == ""
    explorer.now.value = False
    assert "fuse now" not in explorer.viewer.shown


def test_released_weights_are_named_beside_every_image_they_made(own_root):
    folder = own_root / "results" / "mine"
    shown = open_explorable(own_root, "mine")
    assert panel_label(shown, "sub-x", "pgmif") == "PGMIF, released"
    (folder / "04_baseline_comparison").mkdir()
    (folder / "04_baseline_comparison" / "sub-x_desc-pgmif_T2w.nii").touch()
    assert panel_label(shown, "sub-x", "pgmif") == "PGMIF"
    assert panel_label(shown, "sub-y", "pgmif") == "PGMIF, released"
    (folder / "parameters.yaml").write_text(yaml.safe_dump({"released": True}))
    shown = open_explorable(own_root, "mine")
    assert panel_label(shown, "sub-x", "pgmif") == "PGMIF, released"


def test_another_run_brings_its_own_menus_and_keeps_the_choice(own_root):
    (own_root / "results" / "other").symlink_to(own_root / "results" / "mine")
    explorer = Explorer(root=own_root)
    explorer.boxes["average"].value = False
    before = explorer.boxes["moi"]
    explorer.cohort.value = "other" if explorer.cohort.value == "mine" else "mine"
    assert explorer.message.value == ""
    assert before.comm is None, "menus of the former run are closed"
    assert explorer.methods.children == tuple(explorer.boxes.values())
    assert explorer.viewer.shown == ["t1w", "t2w", "pgmif", "pgmif_plus", "moi"]


def test_looking_makes_nothing_in_the_run(own_root):
    before = sorted(p for p in (own_root / "results").rglob("*"))
    Explorer(root=own_root).boxes["gmmci"].value = True
    assert sorted(p for p in (own_root / "results").rglob("*")) == before


def test_no_patient_is_shown_under_anothers_name(own_root, phantom, monkeypatch):
    store = own_root / "results" / "mine" / "01_preprocessing" / "slices"
    write_patient(store, aligned_slices(phantom, "sub-y"), {"settings": {}, "row": {}})
    explorer = Explorer(root=own_root)
    for box in explorer.boxes.values():
        box.value = False
    explorer.subject.value = "sub-y"
    assert explorer.viewer.caption.startswith("sub-y")
    assert explorer.viewer.shown == ["t2w"]
    assert explorer.boxes["t2w"].value

    def broken(*_):
        raise OSError("the disk is gone")

    monkeypatch.setattr("pgmif.viewer.explorer.method_volume", broken)
    explorer.subject.value = "sub-x"
    assert "the disk is gone" in explorer.message.value
    assert explorer.viewer.shown == []
    monkeypatch.undo()
    explorer.boxes["moi"].value = True
    assert explorer.viewer.caption.startswith("sub-x")


def test_a_run_that_does_not_open_shows_nothing_of_another(own_root):
    (own_root / "results" / "other").symlink_to(own_root / "results" / "mine")
    explorer = Explorer("mine", root=own_root)
    (own_root / "results" / "other").unlink()
    explorer.cohort.value = "other"
    assert "results/other: expected a run" in explorer.message.value
    assert explorer.subject.options == ()
    assert explorer.viewer.shown == []
    explorer.boxes["moi"].value = not explorer.boxes["moi"].value
    assert explorer.viewer.shown == []
    explorer.cohort.value = "mine"
    assert explorer.message.value == ""
    assert explorer.viewer.caption.startswith("sub-x")


@pytest.mark.parametrize(("name", "text"), [
    ("sub-y_sources.npy", ""), ("sub-y.json", "{}"), ("sub-y.json", "{"),
])
def test_damaged_files_of_a_patient_leave_no_other_on_the_screen(own_root, phantom, name, text):
    store = own_root / "results" / "mine" / "01_preprocessing" / "slices"
    write_patient(store, aligned_slices(phantom, "sub-y"), {"settings": {}, "row": {}})
    explorer = Explorer(root=own_root)
    (store / name).write_text(text)
    explorer.subject.value = "sub-y"
    assert "role='alert'" in explorer.message.value
    assert explorer.viewer.shown == []
    explorer.subject.value = "sub-x"
    assert explorer.message.value == ""
    assert explorer.viewer.caption.startswith("sub-x")


def test_a_damaged_newest_run_still_opens_the_menus(own_root):
    store = own_root / "results" / "mine" / "01_preprocessing" / "slices"
    (store / "sub-x_sources.npy").write_bytes(b"")
    explorer = Explorer(root=own_root)
    assert "role='alert'" in explorer.message.value
    assert explorer.subject.options


def test_a_run_is_looked_at_without_its_raw_images_and_leftovers_are_no_patients(own_root):
    folder = own_root / "results" / "mine"
    (folder / "00_cohort").mkdir()
    (folder / "00_cohort" / "manifest.csv").write_text(
        "subject,split,T1w,T2w,gtv,source,license\n"
        "sub-w,train,gone.nii,gone.nii,gone.nii,x,y\nsub-x,test,gone.nii,gone.nii,gone.nii,x,y\n"
    )
    (folder / "01_preprocessing" / "slices" / ".12-sub-9.json").write_text("{}")
    (folder / "parameters.yaml").write_text("")
    shown = open_explorable(own_root, "mine")
    assert shown.subjects == {"sub-x": "sub-x (test)"}
    assert shown.modalities == ("T1w", "T2w")


def test_methods_come_back_after_all_were_unchecked_and_beside_a_panel_of_ones_own(own_root):
    explorer = Explorer(root=own_root)
    for box in explorer.boxes.values():
        box.value = False
    assert explorer.viewer.shown == []
    explorer.boxes["wavelet"].value = True
    assert explorer.message.value == ""
    assert explorer.viewer.shown == ["wavelet"]
    explorer.viewer.show("mine", np.array(explorer.patient.sources[:, 0]))
    explorer.boxes["t1w"].value = True
    assert explorer.message.value == ""
    assert explorer.viewer.shown == ["t1w", "wavelet", "mine"]


def test_a_file_shown_in_the_explorer_is_placed_on_the_patient(own_root):
    explorer = Explorer(root=own_root)
    t2w = sitk.GetImageFromArray(np.array(explorer.patient.sources[:, 1]))
    t2w.CopyInformation(explorer.patient.grid)
    pixels = {}
    for shift in (0, 20):
        moved = sitk.Image(t2w)
        moved.SetOrigin(np.add(t2w.GetOrigin(), (shift, 0, 0)).tolist())
        explorer.viewer.show("mine", moved)
        pixels[shift] = explorer.viewer._pixels["mine"][1]
    assert pixels[0] == explorer.viewer._pixels["t2w"][1]
    assert pixels[20] != pixels[0]


def test_a_misspelt_run_is_refused_with_those_there_are(own_root):
    with pytest.raises(ValueError, match=r"results/yours: expected a run .* there are: mine"):
        Explorer("yours", root=own_root)


def test_a_run_says_its_cohort_and_its_parameters(own_root):
    folder = own_root / "results" / "mine"
    (folder / "parameters.yaml").write_text(yaml.safe_dump({"epsilon": 0.05, "run": "mine"}))
    (folder / "01_preprocessing" / "provenance.json").write_text('{"cohort": "cohort north"}')
    shown = open_explorable(own_root, "mine")
    assert shown.run.label == "cohort north"
    assert shown.run.parameters.epsilon == 0.05


@pytest.mark.slow
def test_without_a_run_phantoms_are_made_once(own_root):
    said = []
    store = demonstration_store(own_root, 1, said.append)
    assert RUN in explorable_runs(own_root)
    assert open_explorable(own_root, RUN).run.label == LABEL
    before = {p: p.stat().st_mtime_ns for p in store.iterdir()}
    assert said[0] == "making 1 phantoms, once"
    demonstration_store(own_root, 1, said.append)
    assert {p: p.stat().st_mtime_ns for p in store.iterdir()} == before
