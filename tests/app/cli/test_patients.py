"""`pgmif fuse` and `pgmif evaluate` on one patient."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.commands import call
from helpers.dicoms import PLANTED, frame_of, into_air, mask_contours, write_rtstruct
from helpers.phantoms import tiny
from safetensors.torch import load_file
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif.cli.patients import Fusion, _method_and_weights
from pgmif_core.images.dicom import read_series
from pgmif_core.images.slices import minmax_per_slice
from pgmif_core.images.volumes import read_image, same_grid, write_image
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.weights import write_weights
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer


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
    assert own[-1] == pytest.approx(np.tanh(0.5), abs=1e-3)  # an image against itself
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


@pytest.mark.parametrize("cut", ["slices", "columns"])
def test_fuse_says_where_t2w_stands_alone_and_keeps_its_brightness(odd, tmp_path, cut):
    t1w = odd.T1w[:, :, :8] if cut == "slices" else odd.T1w[: odd.T1w.GetSize()[0] - 36, :, :]
    write_image(t1w, tmp_path / "t1.nii.gz")
    write_image(odd.T2w, tmp_path / "t2.nii.gz")
    done = CliRunner().invoke(app, [
        "fuse", "--t1w", str(tmp_path / "t1.nii.gz"), "--t2w", str(tmp_path / "t2.nii.gz"), "--method",
        "average", "-o", str(tmp_path / "f.nii.gz"), "--save-registered", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert "there the fused image is T2w alone" in " ".join(done.output.split())
    fused = sitk.GetArrayFromImage(read_image(tmp_path / "f.nii.gz"))
    t2w = minmax_per_slice(sitk.GetArrayFromImage(odd.T2w))
    part = (slice(10, 12),) if cut == "slices" else (slice(None), slice(None), slice(-24, None))
    tissue = t2w[part] > 0.15
    assert np.median(fused[part][tissue] / t2w[part][tissue]) == pytest.approx(1, abs=0.05)


def test_pgmif_fuse_needs_no_weights_of_ones_own(tmp_path, phantom):
    for name in ("T1w", "T2w"):
        write_image(getattr(phantom, name), tmp_path / f"{name}.nii.gz")
    answer = CliRunner().invoke(app, [
        "fuse", "--t1w", str(tmp_path / "T1w.nii.gz"), "--t2w", str(tmp_path / "T2w.nii.gz"),
        "-o", str(tmp_path / "fused.nii.gz")], env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    assert "made from synthetic phantoms" in answer.output
    assert (tmp_path / "fused.nii.gz").exists()
