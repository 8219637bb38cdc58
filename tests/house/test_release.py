"""What is released is what it says: files, checksums, metadata, model card."""

import hashlib
import io
import json
import subprocess

import pandas as pd
import pytest
import torch
from safetensors import safe_open

from pgmif_core.methods.names import LEARNED
from pgmif_core.methods.pgmif_plus import read_settings
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.weights import load_generator

WEIGHTS = ("pgmif.safetensors", "gmmci.safetensors", "dlmwl.safetensors", "pgmif_literal.safetensors")
TABLES = ("history.csv", "validation.csv", "pgmif_plus_ideas.csv")


@pytest.fixture(scope="module")
def released(root):
    listed = json.loads((root / "weights" / "released.json").read_text())["files"]
    return {one["file"]: one for one in listed}


def test_every_file_is_listed_with_its_checksum_and_small(root, released):
    present = {p.name for p in (root / "weights").iterdir()} - {"released.json"}
    learned = {f"{name}.safetensors" for name in LEARNED}  # a new one may not be released yet
    assert {*WEIGHTS, "pgmif_plus.json"} <= set(released) <= {*learned, "pgmif_plus.json"}
    sums = json.loads((root / "weights" / "released.json").read_text())["sha256"]
    assert present == set(released) | set(TABLES) == set(sums)
    for name, checksum in sums.items():
        data = (root / "weights" / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == checksum
        assert len(data) <= 2_000_000


def test_metadata_say_what_was_trained_on_what(root, released):
    for name in (n for n in released if n.endswith(".safetensors")):
        with safe_open(root / "weights" / name, framework="pt") as file:
            metadata = file.metadata()
        about = json.loads(metadata["release"])
        assert about == {k: v for k, v in released[name].items() if k not in ("file", "bytes")}
        assert about["cohort"] == "synthetic phantom cohort"
        assert len(about["cohort_sha256"]) == 64
        assert not about["commit"].endswith("-dirty")
        assert json.loads(metadata["training"])["method"] == about["method"]
        assert {"median_cnr", "median_q_t1w", "median_q_t2w"} == about["metrics"].keys()


def test_the_model_card_shows_the_released_files(root, released):
    card = (root / "MODEL_CARD.md").read_text()
    for name, one in released.items():
        assert f"| `{name}` | {one['bytes'] / 1e3:.0f} | {one['metrics']['median_cnr']:.2f} |" in card
    for words in ("Not a medical device", "Intended use", "Known limits", "No patient was used"):
        assert words in card


def test_metrics_are_those_of_the_committed_tables(root, released):
    # as committed: figures made anew on another processor differ in what is close to 0
    done = subprocess.run(["git", "show", "HEAD:figures/phantom-paper/table_cnr.csv"], cwd=root,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git checkout: the committed tables are not known")
    table = pd.read_csv(io.StringIO(done.stdout)).set_index("method")["median"]
    for one in released.values():
        assert one["metrics"]["median_cnr"] == pytest.approx(table[one["method"]], rel=0.02)


def test_a_long_history_is_released_as_every_nth_row_up_to_the_last(root, released, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    from release_weights import HISTORY_ROWS, thinned

    long = pd.DataFrame({"iteration": range(1, 12)})
    assert thinned(long, 4)["iteration"].tolist() == [2, 5, 8, 11]
    assert thinned(long, 11).equals(long)
    assert thinned(long[:0]).empty
    table = pd.read_csv(root / "weights" / "history.csv").groupby("method")["iteration"]
    assert table.size().max() <= HISTORY_ROWS
    assert table.last().to_dict() == {
        one["method"]: one["parameters"]["iterations"] for one in released.values()
        if one["file"].endswith(".safetensors")}


def test_released_weights_fuse(root):
    sources = torch.rand(1, 2, 48, 40)
    for name in WEIGHTS:
        generator = load_generator(root / "weights" / name)
        assert generator.sequences == ("T1w", "T2w")
        assert METHODS[generator.method](sources, generator).shape == (1, 1, 48, 40)
    assert read_settings(root / "weights" / "pgmif_plus.json")
