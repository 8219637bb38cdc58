"""The report of a run: results/<run>/report/index.html, one page that opens offline, with its files.

`pgmif report` (`make report`) writes it. Images stand inside the page; PDFs, tables and executed
notebooks lie beside it.
"""

import base64
import json
import os
import shutil
import struct
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup
from tqdm import tqdm

from pgmif.pages import table_html, templates, write_page
from pgmif.report.notebooks import notebook_page, without_paths, without_values
from pgmif.report.summary import findings, key_numbers, method_table
from pgmif.report.tables import readable, tables_behind_claims
from pgmif.runs.order import LAST, STEPS
from pgmif.runs.parameters import Parameters
from pgmif.runs.records import recorded_here
from pgmif.runs.released import PHANTOMS
from pgmif.runs.run import AS_WRITTEN
from pgmif.runs.staleness import stale_steps, step_keys
from pgmif_core.files import replacing_folder
from pgmif_core.images.modalities import FURTHER_MODALITIES
from pgmif_core.methods.names import LEARNED, method_named

FOLDER = Path(__file__).parent
VERDICTS = {"holds": "good", "reached": "good", "not reproduced": "bad", "missed": "bad"}
SECTIONS = {
    "summary": "Summary", "claims": "Claims", "figures": "Figures", "tests": "Tests",
    "patients": "Patients and QC", "parameters": "Parameters", "provenance": "Provenance",
    "notebooks": "Notebooks",
}


class ReportError(ValueError):
    """No complete run to report on; says which there are."""


def complete_runs(root: Path) -> list[str]:
    """Names of runs whose last notebook has finished, the newest first."""
    done = sorted((root / "results").glob(f"*/{LAST}"), key=lambda p: p.stat().st_mtime)
    return [p.parents[1].name for p in reversed(done)]


def write_report(root: Path, run: str = "") -> Path:
    """Write the report of a run (the newest if empty); returns its index.html. Raises ReportError."""
    runs = complete_runs(root)
    if not runs or (run and run not in runs):
        wanted = f"results/{run}" if run else "results/"
        others = f", or name one of: {', '.join(runs)}" if runs else ""
        raise ReportError(f"{wanted}: expected a run that has finished, found none; make one with "
                          f"`make reproduce`{others}")
    run = run or runs[0]
    folder = root / "results" / run / "report"
    try:
        with replacing_folder(folder) as temporary:
            _write_pages(root, run, temporary)
    except FileNotFoundError as error:
        raise ReportError(f"{error.filename}: expected a table of the run, found none; write it again "
                          f"with `make reproduce` and the parameters of results/{run}") from error
    return folder / "index.html"


def _write_pages(root: Path, run: str, folder: Path) -> None:
    base, figures = root / "results" / run, root / "figures" / run
    (folder / "files").mkdir()
    notes = json.loads((base / "provenance.json").read_text())
    label = notes["10_claims"]["cohort"]
    executed = sorted(p for p in (base / "notebooks").glob("*.ipynb") if p.stem.startswith(tuple(STEPS)))
    hidden = []
    values = yaml.safe_load((base / "parameters.yaml").read_text())
    if not label.startswith(PHANTOMS):
        # paths of real patients stay out of pages that are passed on; 00_cohort shows the manifest
        executed = [p for p in executed if p.stem != "00_cohort"]
        hidden = _patient_folders(root, values)
    alts = {figure["stem"]: figure["alt"] for figure in described_figures(figures)}
    pages = [notebook_page(p, folder / "notebooks", label, hidden, alts)
             for p in tqdm(executed, "notebooks", leave=False, delay=2, disable=None)]
    methods, note = method_table(figures)
    body = templates(FOLDER).get_template("index.html.j2").render(
        version=version("pgmif"), run=run, label=label, phantom=label.startswith(PHANTOMS),
        profile=notes["10_claims"]["parameters"].get("profile", ""),
        made=f"commit {notes['10_claims']['commit']}", sections=SECTIONS.items(),
        findings=findings(figures), methods=table_html(methods, "Methods"), note=note,
        old=_out_of_date(root, run, values),
        claims=_claims(figures), figures=_figures(figures, folder, {p.stem for p in pages}),
        tests=_tests(figures), provenance=_provenance(notes),
        details=_details(notes, label.startswith(PHANTOMS)),
        parameters=_parameters(values, hidden),
        notebooks=[(p.stem, f"notebooks/{p.name}") for p in pages], **_patients(base, folder, figures),
    )
    write_page(folder / "index.html", f"pgmif: {label}", Markup(body))


def _out_of_date(root: Path, run: str, values: dict[str, Any]) -> list[str]:
    """What of a run is not what its inputs, parameters and code would give now, and why."""
    base = root / "results" / run
    try:
        if not recorded_here(base):
            return []
        return [f"{Path(output).name}: {reason}"
                for output, reason in stale_steps(base, step_keys(values, root), evidence=True).items()]
    except (KeyError, OSError, ValueError):  # its patients are elsewhere: nothing is known
        return []


def _patient_folders(root: Path, values: dict[str, Any]) -> list[str]:
    """Folders of the manifest and of other programs' images, as written and in full; longest first."""
    named = [os.path.dirname(values.get("manifest", "")), *values.get("outside_methods", {}).values()]
    full = [os.path.abspath(root / name) for name in named if name]
    return sorted({name for name in [*named, *full] if name}, key=len, reverse=True)


def _claims(figures: Path) -> Markup:
    table = pd.read_csv(figures / "table_claims.csv").drop(columns="cohort")
    return table_html(table, "What the paper says, what this cohort gives",
                      classes={"verdict": lambda text: VERDICTS.get(text, "soft")})


def _tests(figures: Path) -> list[Markup]:
    return [
        table_html(table, title, classes={"verdict": lambda text: VERDICTS.get(text, "")})
        for title, table in tables_behind_claims(figures)
    ]


def described_figures(figures: Path) -> Iterable[dict[str, str]]:
    """Every PNG of a run with title, notebook and alternative text, in the order of figures.csv."""
    known = {}
    for row in pd.read_csv(FOLDER / "figures.csv").to_dict("records"):
        for method in LEARNED if "{method}" in row["stem"] else ("",):
            words = {"method": method, "label": method_named(method).label}
            own = {key: text.format_map(words) for key, text in row.items()}
            known[own["stem"]] = own
    stems = {p.stem for p in figures.glob("*.png")}
    for stem in [s for s in known if s in stems] + sorted(stems - known.keys()):
        words = stem.replace("_", " ")
        yield {"stem": stem, "title": words, "notebook": "", "alt": words, **known.get(stem, {})}


def _figures(figures: Path, folder: Path, pages: set[str]) -> list[dict[str, Any]]:
    found = []
    for figure in described_figures(figures):
        files = [p for s in (".png", ".pdf", ".csv") if (p := figures / f"{figure['stem']}{s}").exists()]
        for path in files:
            shutil.copyfile(path, folder / "files" / path.name)
        image = files[0].read_bytes()
        width, height = struct.unpack(">II", image[16:24])  # of the PNG's header
        data = base64.b64encode(image).decode()
        page = next((p for p in sorted(pages) if p.startswith(figure["notebook"] or "-")), "")
        own = f"{figure['notebook']}_{figure['stem'].split('_', 2)[-1]}"
        page = own if own in pages else page
        found.append({
            **figure, "data": f"data:image/png;base64,{data}", "width": width, "height": height,
            "files": [(p.suffix[1:].upper(), f"files/{p.name}") for p in files],
            "page": f"notebooks/{page}.html" if page else "",
        })
    return found


def _shown(value: Any, hidden: list[str]) -> str:
    return without_values(without_paths(json.dumps(value, ensure_ascii=False), hidden), hidden)


def _parameters(values: dict[str, Any], hidden: list[str]) -> Markup:
    """Every parameter with its value, whether it is the default, and what it means."""
    defaults = Parameters().model_dump()
    rows = [
        {"parameter": name, "value": _shown(values[name], hidden),
         "default": "" if values[name] == defaults[name] else json.dumps(defaults[name]),
         "meaning": field.description}
        for name, field in Parameters.model_fields.items() if name in values
    ]
    table = pd.DataFrame(rows, columns=["parameter", "value", "default", "meaning"])
    return table_html(table, "Parameters; a default is shown where the run departs from it")


def _provenance(notes: dict[str, Any]) -> Markup:
    columns = ("commit", "seconds", "threads", "gpu", "python", "processor")
    rows = [{"step": step, **{c: note.get(c) for c in columns}} for step, note in notes.items()]
    return table_html(pd.DataFrame(rows), "Steps of the run, and what made them")


def _details(notes: dict[str, Any], phantom: bool) -> str:
    """Packages and inputs; of real patients only the inputs that are not their files."""
    packages = "\n".join(f"{n} {v}" for n, v in notes["10_claims"]["packages"].items())
    inputs = {
        name: digest for step, note in notes.items() for name, digest in note["inputs"].items()
        if phantom or step != "00_cohort"
    }
    return packages + "\n\n" + "\n".join(f"{digest}  {name}" for name, digest in sorted(inputs.items()))


def _patients(base: Path, folder: Path, figures: Path) -> dict[str, Any]:
    """Cohort and QC tables, QC pages beside the report, and the numbers at its top."""
    registered = pd.read_csv(base / "01_preprocessing" / "preprocessing.csv", **AS_WRITTEN)
    registered["flags"] = registered["flags"].fillna("")
    pages = base / "01_preprocessing" / "qc"
    (folder / "qc").mkdir()
    for page in pages.glob("*.png"):
        shutil.copyfile(page, folder / "qc" / page.name)
    made = base / "00_cohort" / "phantoms.csv"
    manifest = pd.read_csv(base / "00_cohort" / "manifest.csv", dtype=str, keep_default_na=False)
    modalities = [c for c in ("T1w", "T2w", *FURTHER_MODALITIES) if c in manifest]
    cohort = (pd.read_csv(made).drop(columns="code") if made.exists()
              else manifest[["subject", "split", "source", "license"]])
    return {
        "modalities": modalities,
        "patients": table_html(readable(cohort), "Cohort"),
        "qc": table_html(readable(registered), "Registration",
                         {"subject": lambda s: f"qc/{s}.png" if (pages / f"{s}.png").exists() else ""},
                         flagged=lambda row: bool(row["flags"])),
        "numbers": key_numbers(figures, registered, int(registered["flags"].ne("").sum())),
    }
