
import http.server
import subprocess
import sys
import threading
import zipfile
from dataclasses import asdict
from functools import cache

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from dicoms import (
    PLANTED,
    bids_tree,
    frame_of,
    into_air,
    mask_contours,
    npc277_tree,
    write_rtstruct,
)
from safetensors.torch import load_file
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif.cli.patients import Fusion, _method_and_weights
from pgmif.cohort.download import DATASETS, DownloadError, check_room, download
from pgmif.cohort.layouts import scan_folder
from pgmif.cohort.manifest import read_gtv, read_manifest
from pgmif.cohort.sequence_names import LayoutError
from pgmif_core.images.dicom import read_series
from pgmif_core.images.volumes import read_image, same_grid
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.weights import write_weights
from pgmif_core.phantom import PhantomSize, make_phantom
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer

TINY = PhantomSize(slices=8, thickness_mm=7.0, pixel_mm=2.4)
runner = CliRunner()


@cache
def tiny(k):
    return make_phantom(20240001 + k, TINY, further=("ceT1w",))


@pytest.fixture(scope="module")
def npc277(tmp_path_factory):
    return npc277_tree(tmp_path_factory.mktemp("npc277"), 3, tiny)


def call(*arguments, code=0):
    result = runner.invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_scan_and_check_the_public_layout(npc277, tmp_path):
    manifest = npc277 / "data_manifest.csv"
    output = call("scan", npc277, "--layout", "npc277", "--test", "1")
    assert "2 training and 1 test patients, T1w, T2w, ceT1w" in output
    table = pd.read_csv(manifest, dtype=str)
    assert table["subject"].tolist() == ["sub-001", "sub-002", "sub-003"]
    assert table["T2w"][0] == "data/MRI-Segments/001/T2WI"
    assert table["gtv"][0] == "data/MRI-Segments/001/ROI-T2.nii"
    assert set(table["license"]) == {"CC-BY-4.0"}
    assert "no problem" in call("check", manifest)
    found = read_image(read_manifest(manifest).file("sub-001", "T2w"))
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(tiny(0).T2w), atol=0.51
    )
    assert "--force" in call("scan", npc277, code=2)
    call("scan", npc277, "--force", "--test", "0.3", "--seed", "4", "--modalities", "T1w,T2w")
    assert "ceT1w" not in pd.read_csv(manifest)
    assert "FLIAR" in call("scan", npc277, "--force", "--modalities", "T1w,T2w,FLIAR", code=2)


def test_the_split_is_seeded_and_by_patient(npc277, tmp_path):
    splits = []
    for seed in (0, 0, 1, 2, 3):
        call("scan", npc277, "-o", tmp_path / "m.csv", "--force", "--seed", seed, "--test", 1)
        splits.append(tuple(pd.read_csv(tmp_path / "m.csv")["split"]))
    assert splits[0] == splits[1]
    assert len(set(splits)) > 1
    assert all(s.count("test") == 1 for s in splits)


def test_a_patient_without_a_sequence_is_left_out_and_named(npc277, tmp_path):
    import shutil

    folder = shutil.copytree(npc277 / "data", tmp_path / "data").parent
    shutil.rmtree(folder / "data" / "MRI-Segments" / "002" / "CE-T1WI")
    (folder / "data" / "MRI-Segments" / "003" / "ROI-T2.nii").unlink()
    output = call("scan", folder)
    assert "T1w, T2w, seed 0" in output  # not all have ceT1w, so it is not used
    table = pd.read_csv(folder / "data_manifest.csv", dtype=str).set_index("subject")
    assert table.loc["sub-003", "gtv_space"] == "T1w"
    assert table.loc["sub-003", "gtv"].endswith("ROI-T1.nii")
    output = call("scan", folder, "--force", "--modalities", "T1w,T2w,ceT1w")
    assert "left out: 002: no ceT1w" in output


def test_scan_bids(tmp_path):
    folder = bids_tree(tmp_path / "bids", 3, tiny)
    second = folder / "sub-01" / "ses-02" / "anat"
    second.mkdir(parents=True)
    (second / "sub-01_ses-02_T2w.nii.gz").write_bytes(b"")
    output = call("scan", folder)
    assert "layout bids" in output
    assert "sub-01/ses-02: a further session" in output
    assert "no problem" in call("check", folder / "data_manifest.csv")
    assert set(pd.read_csv(folder / "data_manifest.csv")["license"]) == {"CC0"}


def test_scan_brats_names(tmp_path):
    for style in (("t1", "t1ce", "t2", "flair", "seg"), ("t1n", "t1c", "t2w", "t2f", "seg")):
        folder = tmp_path / style[0]
        for name in ("BraTS-001", "BraTS-002"):
            (folder / name).mkdir(parents=True)
            for suffix in style:
                (folder / name / f"{name}_{suffix}.nii.gz").write_bytes(b"")
            (folder / name / "notes.txt").write_text("")
        layout, found = scan_folder(folder)
        assert layout == "brats"
        assert set(found[0].files) == {"T1w", "ceT1w", "T2w", "FLAIR", "gtv"}
        assert found[0].files["ceT1w"].name == f"BraTS-001_{style[1]}.nii.gz"
        assert "notes.txt" in found[0].notes[0]


def own_names(folder, patients=3):
    for k in range(patients):
        place = folder / f"pat{k + 1}"
        place.mkdir(parents=True)
        for name in ("ax_t1_tse", "ax_t2_tse", "contour_T"):
            (place / f"{name}.nii.gz").write_bytes(b"")
    return folder


def test_scan_names_of_ones_own(tmp_path):
    folder = own_names(tmp_path / "own")
    said = call("scan", folder, code=2)
    assert "the first folder holds pat1/ax_t1_tse.nii.gz" in said
    assert "--name 'T1w=*t1_tse*'" in said
    names = ("--name", "T1w=*t1_tse*", "--name", "T2w=*t2_tse*", "--name", "gtv=contour*")
    (folder / "pat3" / "old_t1_tse.nii.gz").write_bytes(b"")
    said = call("scan", folder, *names)
    assert "pat3/ax_t1_tse.nii.gz, pat3/old_t1_tse.nii.gz: all fit T1w=*t1_tse*, none taken" in said
    table = pd.read_csv(folder / "data_manifest.csv")
    assert table["subject"].tolist() == ["sub-pat1", "sub-pat2"]
    assert table["T1w"].tolist() == ["pat1/ax_t1_tse.nii.gz", "pat2/ax_t1_tse.nii.gz"]
    assert "no T1w" in call("scan", folder, "--force", *names[2:], code=2)
    assert "found 't1w'" in call("scan", folder, "--force", "--name", "t1w=*", code=2)
    assert "expected NAME=VALUE" in call("scan", folder, "--force", "--name", "T1w", code=2)
    assert "given twice" in call("scan", folder, "--force", *names, *names[:2], code=2)


def test_scan_real_patients(real_mri, tmp_path):
    output = call("scan", real_mri, "-o", tmp_path / "m.csv", "--test", "3", "--rename")
    assert "3 training and 3 test patients, T1w, T2w" in output
    assert f"pgmif check {tmp_path / 'm.csv'} --allow-outside" in output
    table = pd.read_csv(tmp_path / "m.csv")
    assert table["subject"].tolist() == [f"sub-{k:03d}" for k in range(1, 7)]
    assert "leaves the manifest's folder" in call("check", tmp_path / "m.csv", code=2)


def test_folders_without_patients_are_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(LayoutError, match="expected"):
            scan_folder(folder)
        assert "expected" in call("scan", folder, code=2)


def test_check_reports_all_problems_at_once(npc277, tmp_path):
    import shutil

    folder = shutil.copytree(npc277 / "data", tmp_path / "data").parent
    call("scan", folder, "--test", "1")
    place = folder / "data" / "MRI-Segments"
    next(p for p in (place / "001" / "T1WI").iterdir()
         if pydicom.dcmread(p).InstanceNumber == 4).unlink()
    (place / "003" / "T2WI" / "0000.dcm").write_bytes(b"junk")
    output = call("check", folder / "data_manifest.csv", code=2)
    assert "row 2 (sub-001), column T1w" in output
    assert "A slice is missing" in output
    assert "row 4 (sub-003), column T2w" in output
    assert not any(str(v) in output for v in PLANTED.values())


def test_a_structure_set_as_gtv(npc277, tmp_path):
    import shutil

    folder = shutil.copytree(npc277 / "data", tmp_path / "data").parent
    place = folder / "data" / "MRI-Segments" / "001"
    loops = {"GTVp": mask_contours(tiny(0).gtv), "brainstem": mask_contours(tiny(0).gtv)}
    write_rtstruct(place / "rs.dcm", loops, frame_of(place / "T2WI"))
    call("scan", folder, "--test", "1")
    manifest = folder / "data_manifest.csv"
    table = pd.read_csv(manifest, dtype=str)
    table["gtv_roi"] = ""
    table.loc[0, "gtv"] = "data/MRI-Segments/001/rs.dcm"
    table.to_csv(manifest, index=False)
    call("check", manifest)
    found = sitk.GetArrayFromImage(read_gtv(read_manifest(manifest), "sub-001")) > 0
    expected = sitk.GetArrayFromImage(tiny(0).gtv) > 0
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.95
    table.loc[0, "gtv_roi"] = "GTVn"
    table.to_csv(manifest, index=False)
    output = call("check", manifest, code=2)
    assert "'GTVp', 'brainstem'" in output
    assert "row 2" in output


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    settings = TrainingSettings(channels=4, sequences=("T1w", "T2w"))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    write_weights(Trainer(settings).result, asdict(settings), path, 1)
    assert load_file(path)
    return path


def test_fuse_writes_dicom_that_overlays_on_t2w(npc277, weights, tmp_path):
    place = npc277 / "data" / "MRI-Segments" / "001"
    images = ("--t1w", place / "T1WI", "--t2w", place / "T2WI", "--weights", weights)
    contours = write_rtstruct(
        tmp_path / "rs.dcm", {"GTVp": mask_contours(tiny(0).gtv)}, frame_of(place / "T2WI")
    )
    output = call("fuse", *images, "-o", tmp_path / "fused", "--subject", "sub-001")
    assert "T1w to T2w: bspline" in output or "T1w to T2w: rigid" in output
    fused, t2w = read_series(tmp_path / "fused"), read_series(place / "T2WI")
    for name in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(fused, name)(), getattr(t2w, name)(), atol=1e-3)
    assert frame_of(tmp_path / "fused") == frame_of(place / "T2WI")
    assert "found files" in call("fuse", *images, "-o", tmp_path / "fused", code=2)
    call("fuse", *images, "-o", tmp_path / "fused.nii.gz", "--save-registered", tmp_path / "reg")
    call("evaluate", tmp_path / "fused.nii.gz", "--gtv", place / "ROI-T2.nii", "--source",
         f"before={place / 'T1WI'}", "--source", tmp_path / "reg" / "T1w.nii.gz", "--source",
         tmp_path / "reg" / "T2w.nii.gz", "--csv", tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["image"].tolist() == ["fused", "before", "T1w", "T2w"]
    assert same_grid(read_image(tmp_path / "reg" / "T1w.nii.gz"), read_image(place / "T2WI"))
    tables = []
    for name, gtv in (("fused", contours), ("fused.nii.gz", place / "ROI-T2.nii")):
        call("evaluate", tmp_path / name, "--gtv", gtv, "--source", place / "T2WI", "--csv",
             tmp_path / "t.csv")
        tables.append(pd.read_csv(tmp_path / "t.csv"))
    assert tables[0].loc[1, "cnr"] == pytest.approx(tables[1].loc[1, "cnr"], rel=0.1)
    assert tables[0].loc[0, "cnr"] == pytest.approx(tables[1].loc[0, "cnr"], rel=0.1)
    volume = sitk.GetArrayFromImage(read_image(tmp_path / "fused.nii.gz"))
    np.testing.assert_allclose(sitk.GetArrayFromImage(fused), volume, atol=2e-4)
    assert "--force" in call("fuse", *images, "-o", tmp_path / "fused.nii.gz", code=2)
    three = (*images, "--more", f"ceT1w={place / 'CE-T1WI'}", "-o", tmp_path / "3.nii.gz")
    assert "trained on 2 sequences (T1w, T2w), found 3" in call("fuse", *three, code=2)
    contours.unlink()
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert not any(str(value).encode() in written for value in PLANTED.values())
    assert not any(str(value) in output for value in PLANTED.values())


def test_fuse_knows_what_the_weights_are(tmp_path):
    phantom = tiny(0)
    for name in ("T1w", "T2w", "gtv"):
        sitk.WriteImage(getattr(phantom, name), str(tmp_path / f"{name}.nrrd"))
    settings = TrainingSettings(method="gmmci", channels=4, sequences=("T1w", "T2w"))
    path = tmp_path / "weights.safetensors"
    weights = write_weights(Trainer(settings).result, asdict(settings), path, 1)
    images = ("--t1w", tmp_path / "T1w.nrrd", "--t2w", tmp_path / "T2w.nrrd", "--weights", weights)
    assert "GMMCI on the T2w grid" in call("fuse", *images, "-o", tmp_path / "f.nii.gz")
    said = call("fuse", *images, "-o", tmp_path / "g.nii.gz", "--method", "pgmif", code=2)
    assert "expected its weights, found those of gmmci" in said
    assert "is a rule" in call("fuse", *images, "-o", tmp_path / "g.nii.gz", "--method", "pwa", code=2)
    other = ("evaluate", tmp_path / "f.nii.gz", "--source", tmp_path / "T1w.nrrd", "--gtv")
    assert "T1w is not on the grid of the fused image" in call(*other, tmp_path / "gtv.nrrd")
    sitk.WriteImage(into_air(phantom.gtv), str(tmp_path / "away.nrrd"))
    assert "in the air around the head" in call(*other, tmp_path / "away.nrrd", code=2)


def test_sequences_of_two_sessions_are_named(npc277, tmp_path):
    base = npc277 / "data" / "MRI-Segments"
    said = call("fuse", "--t1w", base / "001" / "T1WI", "--t2w", base / "002" / "T2WI", "--method",
                "average", "-o", tmp_path / "f.nii.gz")
    assert "different frames of reference" in said


def test_only_who_asks_for_the_public_cohort_gets_its_citation(npc277, tmp_path):
    call("scan", npc277, "-o", tmp_path / "m.csv")
    table = pd.read_csv(tmp_path / "m.csv", dtype=str)
    assert set(table["license"]) == {"not stated"}


def test_fuse_by_rule_and_evaluate(tmp_path):
    phantom = tiny(0)
    for name in ("T1w", "T2w", "gtv"):
        sitk.WriteImage(getattr(phantom, name), str(tmp_path / f"{name}.nrrd"))
    call("fuse", "--t1w", tmp_path / "T1w.nrrd", "--t2w", tmp_path / "T2w.nrrd",
         "-o", tmp_path / "pwa.nrrd", "--method", "pwa")
    files = ("--gtv", tmp_path / "gtv.nrrd", "--source", tmp_path / "T2w.nrrd")
    assert "CNR" in call("evaluate", tmp_path / "pwa.nrrd", *files)
    call("evaluate", tmp_path / "T2w.nrrd", *files, "--csv", tmp_path / "t.csv")
    fused, own = pd.read_csv(tmp_path / "t.csv").drop(columns="image").to_numpy()
    np.testing.assert_allclose(fused, own)  # raw intensities are normalised like those of sources
    assert own[1] == pytest.approx(np.tanh(0.5), abs=1e-3)  # an image against itself
    assert "no such file" in call("evaluate", tmp_path / "absent.nii.gz", "--gtv",
                                  tmp_path / "gtv.nrrd", "--source", tmp_path / "T2w.nrrd", code=2)


def test_different_patients_are_not_fused(tmp_path):
    phantom = tiny(0)
    away = sitk.Image(phantom.T1w)
    away.SetOrigin((5000.0, 0.0, 0.0))
    sitk.WriteImage(away, str(tmp_path / "t1.nrrd"))
    sitk.WriteImage(phantom.T2w, str(tmp_path / "t2.nrrd"))
    output = call("fuse", "--t1w", tmp_path / "t1.nrrd", "--t2w", tmp_path / "t2.nrrd", "-o",
                  tmp_path / "f.nrrd", "--method", "average", code=2)
    assert "do not overlap" in output
    assert not (tmp_path / "f.nrrd").exists()


@pytest.mark.parametrize("command", ["scan", "check", "download", "fuse", "evaluate"])
def test_every_command_shows_an_example(command):
    assert f"pgmif {command}" in call(command, "--help").replace("\n", " ")


def test_fuse_offers_every_method_that_fuses():
    fusing = {n for n, m in METHODS.items() if m.kind in ("learned", "fitted", "rule", "classical")}
    assert set(Fusion) == fusing - {"pgmif_literal"}  # shown only where starts are compared


def test_fitted_settings_are_weights_too(tmp_path):
    from pgmif.one_patient import _in_the_order_of
    from pgmif_core.methods.pgmif_plus import PlusSettings, write_settings

    own = PlusSettings((0.2, 0.5, 0.3), sequences=("T1w", "T2w", "ceT1w"))
    path = write_settings(own, tmp_path / "settings.json")
    for method in (None, Fusion.pgmif_plus):
        assert _method_and_weights(method, path) == ("pgmif_plus", own)
    assert _in_the_order_of(own, ["T1w", "T2w", "ceT1w"]) == ["T1w", "T2w", "ceT1w"]
    with pytest.raises(ValueError, match="fitted on 3 sequences"):
        _in_the_order_of(own, ["T1w", "T2w"])
    with pytest.raises(ValueError, match="expected fitted settings"):
        _method_and_weights(Fusion.pgmif_plus, tmp_path / "absent.json")


def test_help_does_not_wait_for_torch():
    code = "import sys, pgmif.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Server(http.server.BaseHTTPRequestHandler):
    content, cut, requests = b"", 0, []  # `cut`: bytes after which the connection is dropped

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        type(self).requests.append(start)
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.cut:
            body, type(self).cut = body[: self.cut], 0
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    archive = tmp_path / "served.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("MRI-Segments/001/T1WI/0.dcm", np.random.default_rng(0).bytes(3_000_000))
    Server.content, Server.cut, Server.requests = archive.read_bytes(), 0, []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/data.zip"
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_cut_download_goes_on_where_it_stopped(server, tmp_path):
    dataset = DATASETS["npc277"]._replace(url=server)
    Server.cut = 1_500_000
    with pytest.raises(DownloadError, match="what was loaded so far is kept"):
        download(dataset, tmp_path / "data")
    have = (tmp_path / "data" / "data.zip.part").stat().st_size
    assert 0 < have <= 1_500_000
    place = download(dataset, tmp_path / "data")
    assert Server.requests == [0, have]
    assert (place / "MRI-Segments" / "001" / "T1WI" / "0.dcm").stat().st_size == 3_000_000
    assert not (tmp_path / "data" / "data.zip.part").exists()
    record = (tmp_path / "data" / "data.zip.sha256").read_text()
    download(dataset, tmp_path / "data")
    assert len(Server.requests) == 2  # nothing loaded twice
    assert (tmp_path / "data" / "data.zip.sha256").read_text() == record


def test_a_changed_archive_is_refused(server, tmp_path):
    dataset = DATASETS["npc277"]._replace(url=server)
    download(dataset, tmp_path / "data")
    (tmp_path / "data" / "data.zip").unlink()
    Server.content = Server.content[:-1] + b"x"
    with pytest.raises(DownloadError, match="another"):
        download(dataset, tmp_path / "data")


def test_the_download_command_says_size_and_licence_first(server, tmp_path):
    output = call("download", "npc277", "--folder", tmp_path / "d", "--url", server, "--yes")
    assert output.index("CC BY 4.0") < output.index("MB") < output.index("unpacked")
    assert "pgmif scan" in output
    assert "expected one of npc277" in call("download", "npc278", code=2)
    offline = call("download", "npc277", "--url", "http://127.0.0.1:9/data.zip", "--yes", code=1)
    assert "cannot be reached" in offline
    with pytest.raises(DownloadError, match="free space"):
        check_room(tmp_path, 10**18)


def test_a_relative_folder_and_a_page_instead_of_the_archive(server, tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    dataset = DATASETS["npc277"]._replace(url=server)
    place = download(dataset, Path("data"))
    assert place == tmp_path / "data" / "data"
    assert (place / "MRI-Segments" / "001").is_dir()
    Server.content = b"<html>log in</html>"
    with pytest.raises(DownloadError, match="expected a ZIP archive"):
        download(dataset, tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_a_brain_mask_is_no_tumour(tmp_path):
    touch(tmp_path / "a", "p1/t1.nii.gz", "p1/t2.nii.gz", "p1/brain_mask.nii.gz", "p1/tumor_seg.nii.gz")
    _, (patient,) = scan_folder(tmp_path / "a")
    assert patient.files["gtv"].name == "tumor_seg.nii.gz"
    touch(tmp_path / "b", "p1/t1.nii.gz", "p1/t2.nii.gz", "p1/a_seg.nii.gz", "p1/b_seg.nii.gz")
    _, (patient,) = scan_folder(tmp_path / "b")
    assert "gtv" not in patient.files
    assert "several contours, none taken" in patient.notes[0]
    touch(tmp_path / "c", "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz",
          "derivatives/x/sub-1/sub-1_dseg.nii.gz", "derivatives/x/sub-1/sub-1_label-lesion_mask.nii.gz",
          "derivatives/x/sub-1/sub-1_space-MNI152_label-lesion_mask.nii.gz")
    _, (patient,) = scan_folder(tmp_path / "c")
    assert patient.files["gtv"].name == "sub-1_label-lesion_mask.nii.gz"


def test_two_time_points_are_one_patient(tmp_path):
    for name in ("BraTS-GLI-00005-000", "BraTS-GLI-00005-001", "BraTS-GLI-00006-000", "P1_baseline",
                 "P1_followup"):
        touch(tmp_path, *(f"{name}/{name}-{s}.nii.gz" for s in ("t1n", "t2w", "seg")))
    _, found = scan_folder(tmp_path)
    assert [p.subject for p in found] == ["BraTS-GLI-00005-000", "BraTS-GLI-00006-000", "P1_baseline"]
    assert "a further session" in found[0].notes[-1]


def test_names_that_leave_nothing_are_numbered(tmp_path):
    for name in ("陈", "李", "王"):
        touch(tmp_path, *(f"{name}/{s}.nii.gz" for s in ("t1", "t2", "mask")))
    call("scan", tmp_path)
    subjects = pd.read_csv(tmp_path / "data_manifest.csv")["subject"]
    assert subjects.tolist() == ["sub-001", "sub-002", "sub-003"]


def test_the_answer_no_downloads_nothing(server, tmp_path):
    answer = runner.invoke(app, ["download", "npc277", "--folder", str(tmp_path / "d"), "--url", server],
                           input="n\n")
    assert answer.exit_code == 0
    assert not (tmp_path / "d").exists()
