"""The public cohort's layout, DICOM and all, through the whole pipeline; no identifier comes out."""

import json
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pydicom
import pytest
from helpers.dicoms import PLANTED, npc277_tree
from helpers.phantoms import TINY

from pgmif_core.phantom import make_phantom

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def planted(folder):
    """All identifiers of a tree: what was planted, and every UID."""
    found = set(PLANTED.values())
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        found |= {str(header[name].value) for name in UIDS}
    return sorted(found)


def text_of(path):
    data = path.read_bytes()
    if path.suffix == ".ipynb":
        data += json.dumps(json.loads(data), ensure_ascii=False).encode()
    return data


@pytest.mark.slow
def test_the_public_layout_end_to_end_without_identifiers(root, tmp_path):
    folder = npc277_tree(
        tmp_path / "npc277", 3, lambda k: make_phantom(20240001 + k, TINY, further=("ceT1w",))
    )
    manifest = folder / "data_manifest.csv"
    environment = {**os.environ, "COLUMNS": "200"}

    def call(*command):
        answer = subprocess.run([sys.executable, "-m", *command], cwd=root, env=environment,
                                capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    said = call("pgmif", "scan", str(folder), "--layout", "npc277", "--test", "1")
    said += call("pgmif", "check", str(manifest))
    name = "npc277-test"
    places = [root / kind / name for kind in ("results", "figures")]
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
    try:
        said += call("pgmif", "reproduce", "--profile", "smoke", "--manifest",
                     str(manifest), "--set", f"run={name}")
        results, figures = places
        cnr = pd.read_csv(results / "05_cnr_boxplots" / "cnr.csv")
        assert {"t1w", "t2w", "cet1w", "pgmif"} <= set(cnr["method"])
        assert cnr["cnr"].notna().all()
        sobel = pd.read_csv(results / "06_sobel_analysis" / "sobel.csv")
        assert set(sobel["reference"]) == {"T1w", "T2w", "ceT1w"}
        table = pd.read_csv(results / "01_preprocessing" / "preprocessing.csv")
        assert set(table["ceT1w_stage"]) <= {"rigid", "bspline"}
        assert (results / "01_preprocessing" / "qc" / "index.html").exists()
        identifiers = re.compile("|".join(map(re.escape, planted(folder))).encode())
        assert identifiers.search(said.encode()) is None
        outputs = [p for place in places for p in place.rglob("*") if p.is_file()]
        assert len(outputs) > 60
        leaks = {p: identifiers.findall(text_of(p)) for p in outputs}
        assert not {p: found for p, found in leaks.items() if found}
        assert (figures / "figure_0_cohort.png").exists()
    finally:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
