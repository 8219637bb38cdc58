"""Put a run's trained weights into weights/: python scripts/release_weights.py [--run phantom-paper]

Each file keeps its tensors and gains metadata: cohort, hash of the slices it was trained on, commit,
median CNR and Q on the test patients. Beside them lie the tables that the figures of training show;
weights/released.json lists every file with its checksum, and MODEL_CARD.md's table is written from
it. Refuses files over 2 MB and code that was never committed.
"""

import argparse
import json
import math
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from pgmif.runs.parameters import check_parameters
from pgmif.runs.released import FOLDER, IDEAS, LIST, PHANTOMS
from pgmif.runs.root import find_root
from pgmif.runs.run import Run, open_run
from pgmif.steps.pgmif_plus import ideas_rows
from pgmif.steps.training import split_training
from pgmif_core.files import file_hash, replacing, write_json
from pgmif_core.images.store import store_fingerprint
from pgmif_core.methods.names import LEARNED

STEPS = {**{m: f"02_training/{m}" for m in LEARNED}, "pgmif_plus": "03_pgmif_plus"}
LARGEST_BYTES = 2_000_000
HISTORY_ROWS = 3_500  # of a method; of a longer history every nth, the last among them
BEGIN, END = "<!-- released: scripts/release_weights.py -->", "<!-- end of released -->"


def metrics(run: Run, method: str) -> dict[str, float]:
    """Medians over the test patients, as 05 and 06 wrote them."""
    cnr = pd.read_csv(run.folder("05_cnr_boxplots") / "cnr_summary.csv").set_index("method")
    sobel = pd.read_csv(run.folder("06_sobel_analysis") / "sobel_summary.csv")
    sobel = sobel.set_index(["method", "reference"])["median"]
    return {"median_cnr": float(cnr.loc[method, "median"]),
            **{f"median_q_{r.lower()}": float(sobel[(method, r)]) for r in ("T1w", "T2w")}}


def notes(run: Run, method: str) -> dict:
    """What a user must know of a released file."""
    made = json.loads((run.folder(STEPS[method]) / "provenance.json").read_text())
    if made["commit"].endswith("-dirty"):
        raise SystemExit(f"{method}: expected weights of committed code, found {made['commit']}; "
                         "commit, and run make reproduce again")
    fitted = split_training(run)[0] if method in LEARNED else run.cohort.subjects("train")
    return {
        "method": method, "cohort": run.label, "training_patients": len(fitted),
        "cohort_sha256": store_fingerprint(run.store, fitted), "commit": made["commit"],
        "parameters": made["parameters"], "test_patients": len(run.cohort.subjects("test")),
        "metrics": metrics(run, method),
    }


def release(run: Run, method: str, about: dict, folder: Path) -> dict:
    """Write one file of weights/; its line of released.json."""
    source = run.weights(method)
    path = folder / (method + source.suffix)
    with replacing(path) as temporary:
        if source.suffix == ".safetensors":
            with safe_open(source, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                metadata = {**file.metadata(), "release": json.dumps(about, sort_keys=True)}
            save_file(tensors, temporary, metadata)
        else:
            shutil.copyfile(source, temporary)
        if temporary.stat().st_size > LARGEST_BYTES:
            size = temporary.stat().st_size
            raise SystemExit(f"{path.name}: expected at most 2 MB, found {size / 1e6:.1f} MB")
    return {"file": path.name, "bytes": path.stat().st_size, **about}


def thinned(history: pd.DataFrame, rows: int = HISTORY_ROWS) -> pd.DataFrame:
    """Every nth row, counted from the last, so that at most `rows` are left."""
    return history.iloc[::-1][::max(1, math.ceil(len(history) / rows))][::-1]


def release_tables(run: Run, folder: Path) -> None:
    """What the figures of training show: histories, validation tables, what PGMIF+ is fitted on."""
    for part in ("history", "validation"):
        tables = [thinned(pd.read_csv(run.folder(STEPS[m]) / f"{part}.csv")).assign(method=m)
                  for m in LEARNED]
        pd.concat(tables).to_csv(folder / f"{part}.csv", index=False)
    ideas_rows(run).to_csv(folder / IDEAS, index=False)


def card_table(released: list[dict]) -> str:
    """MODEL_CARD.md's table, between its markers."""
    lines = [BEGIN, "| file | kB | CNR | Q against T1w | Q against T2w | trained on | commit |",
             "|---|---|---|---|---|---|---|"]
    for one in released:
        m = one["metrics"]
        lines.append(
            f"| `{one['file']}` | {one['bytes'] / 1e3:.0f} | {m['median_cnr']:.2f} | "
            f"{m['median_q_t1w']:.3f} | {m['median_q_t2w']:.3f} | {one['training_patients']} phantoms | "
            f"`{one['commit'].split('-')[-1].removeprefix('g')}` |"
        )
    return "\n".join([*lines, END])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="phantom-paper")
    options = parser.parse_args()
    root = find_root()
    given = root / "results" / options.run / "parameters.yaml"
    if not given.is_file():
        print(f"{given}: expected a finished run, found none; first: make reproduce PROFILE=paper",
              file=sys.stderr)
        return 2
    run = open_run(check_parameters(yaml.safe_load(given.read_text())))
    if not run.label.startswith(PHANTOMS):
        print(f"{run.name}: expected a phantom cohort, found {run.label}: weights of real patients are "
              "theirs to release", file=sys.stderr)
        return 2
    folder = root / FOLDER
    about = {method: notes(run, method) for method in STEPS}  # every check before the first file
    released = [release(run, method, about[method], folder) for method in STEPS]
    release_tables(run, folder)
    sums = {path.name: file_hash(path) for path in sorted(folder.iterdir()) if path.name != LIST}
    write_json({"sha256": sums, "files": released}, folder / LIST)
    card = root / "MODEL_CARD.md"
    text = re.sub(f"{BEGIN}.*?{END}", lambda _: card_table(released), card.read_text(), flags=re.DOTALL)
    card.write_text(text)
    print(card_table(released))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
