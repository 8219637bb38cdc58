"""`pgmif scan`, `check` and `download`: a cohort before the pipeline sees it."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, track
from rich.table import Table

from pgmif.cli.terminal import (
    AllowDifferent,
    AllowUnlikely,
    AssumeRas,
    command,
    err,
    exit_codes,
    name_values,
    out,
    printable,
    say,
    warn,
)
from pgmif.cohort.download import DATASETS, download, remote_size
from pgmif.cohort.first_manifest import common_modalities, manifest_table
from pgmif.cohort.layouts import LAYOUTS, NPC277, scan_folder, unused
from pgmif.cohort.manifest import all_problems, read_manifest, write_manifest
from pgmif_core.images.modalities import FURTHER_MODALITIES

Layout = StrEnum("Layout", ["auto", *LAYOUTS])
SHOWN = 20


def scan(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the patients.")],
    layout: Annotated[Layout, typer.Option(help="How the folder is organised.")] = Layout.auto,
    names: Annotated[list[str] | None, typer.Option(
        "--name", help="Where no layout fits: COLUMN=GLOB inside a patient's folder.")] = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", help="Manifest to write; FOLDER/data_manifest.csv if not given.")] = None,
    modalities: Annotated[str, typer.Option(
        help="Sequences to fuse, like T1w,T2w,ceT1w; those that all patients have if not given."
    )] = "",
    test: Annotated[float, typer.Option(
        min=0, help="Test patients: a fraction, or a number from 1 on. The paper's is 10 of 80."
    )] = 0.125,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    rename: Annotated[bool, typer.Option(
        "--rename", help="Number the subjects: folder names may be names of people.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a manifest.")] = False,
    everything: Annotated[bool, typer.Option(
        "--all", help="Say of all files and folders why they were not used, however many.")] = False,
) -> None:
    """Build a manifest from a folder of patients and split it into training and test patients.

    Examples:

    * `pgmif scan data --layout npc277`

    * `pgmif scan bids/ --modalities T1w,T2w --test 10 -o bids/data_manifest.csv`

    * `pgmif scan study --name 'T1w=*t1_tse*' --name 'T2w=*t2_tse*' --name 'gtv=*contour*'`
    """
    with exit_codes():
        target = output or folder / "data_manifest.csv"
        if target.exists() and not force:
            raise ValueError(f"{target}: expected no manifest yet, found one; --force replaces it.")
        known, patients = scan_folder(folder, layout.value, _patterns(names or []))
        wanted = tuple(m.strip() for m in modalities.split(",") if m.strip())
        unknown = sorted(set(wanted) - {"T1w", "T2w", *FURTHER_MODALITIES})
        if unknown or (wanted and not {"T1w", "T2w"} <= set(wanted)):
            raise ValueError(
                f"--modalities {modalities}: expected T1w,T2w and of "
                f"{', '.join(FURTHER_MODALITIES)}, found {', '.join(unknown) or 'no T1w and T2w'}."
            )
        taken = wanted or common_modalities(patients)
        table, lacking = manifest_table(
            folder, patients, taken, target, test, seed, rename,
            # a clinic may name its folders alike: only who asks for that cohort gets its citation
            NPC277 if layout is Layout.npc277 else None,
        )
        write_manifest(table, target)
    counts = table["split"].value_counts()
    shown = Table(title=escape(printable(f"{folder}, layout {known}")), title_justify="left")
    for column in ("sequence", "patients"):
        shown.add_column(column)
    for column in ("T1w", "T2w", *FURTHER_MODALITIES, "gtv"):
        number = sum(column in p.files for p in patients)
        if number:
            used = "" if column in (*taken, "gtv") else "  (not used)"
            shown.add_row(column + used, f"{number} of {len(patients)}")
    out.print(shown)
    notes = [note for p in patients for note in p.notes] + unused(folder, patients)
    left = [f"{subject}: {why}" for subject, why in lacking.items()]
    for kind, word, entries in (("patients", "left out", left), ("files", "skipped", notes)):
        for entry in entries[: len(entries) if everything else SHOWN]:
            say(f"{word}: {entry}")
        if len(entries) > SHOWN and not everything:
            say(f"… and {len(entries) - SHOWN} more {kind}; --all shows them")
    say(f"{target}: {counts['train']} training and {counts['test']} test patients, "
        f"{', '.join(taken)}, seed {seed} ({len(patients)} found)")
    outside = any(str(v).startswith("..") for c in (*taken, "gtv") for v in table[c])
    option = " --allow-outside  (the patients lie outside the manifest's folder)" if outside else ""
    say(f"next: {command()} check {shlex.quote(str(target))}{option}")


def _patterns(pairs: list[str]) -> dict[str, str]:
    patterns = name_values(pairs, "--name")
    columns = ("T1w", "T2w", "gtv", *FURTHER_MODALITIES)
    unknown = sorted(set(patterns) - set(columns))
    if unknown:
        raise ValueError(f"--name: expected one of {', '.join(columns)}, found {unknown[0]!r}")
    return patterns


def check(
    manifest: Annotated[Path, typer.Argument(help="The manifest, a CSV.")],
    allow_outside: Annotated[bool, typer.Option(
        "--allow-outside", help="Allow paths that leave the manifest's folder.")] = False,
    assume_ras: AssumeRas = False, allow_different_patients: AllowDifferent = False,
    allow_unlikely: AllowUnlikely = False,
) -> None:
    """Open every file of a manifest and report all problems at once; nothing is written.

    Example: `pgmif check data/data_manifest.csv`
    """
    with exit_codes():
        cohort = read_manifest(manifest, allow_outside, assume_ras, allow_different_patients,
                               allow_unlikely)
    problems: list[str] = []
    files = sum(not cohort.value(s, "phantom_seed") for s in cohort.table["subject"])
    with exit_codes():
        found = all_problems(cohort)
        for of_patient in track(found, "checking patients", files, console=err, disable=not files):
            problems += of_patient
    for problem in problems:
        warn(f"  - {problem}", style="red")
    if problems:
        count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
        warn(f"pgmif: {count} in {manifest}", style="red")
        raise typer.Exit(2)
    say(f"{manifest}: {len(cohort.table)} patients, {', '.join(cohort.modalities)}: no problem found")
    given = {"--allow-outside": allow_outside, "--assume-ras": assume_ras,
             "--allow-different-patients": allow_different_patients, "--allow-unlikely": allow_unlikely}
    options = " ".join(option for option, wanted in given.items() if wanted)
    say(f"next: make reproduce MANIFEST={shlex.quote(str(manifest))} PROFILE=smoke"
        + (f' ARGS="{options}"' if options else ""))


def download_cohort(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(DATASETS)}.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where to put it.")] = Path("data"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Annotated[str, typer.Option(help="Another address of the same file (a mirror).")] = "",
) -> None:
    """Download a public cohort: licence and size first, resumable, checked against its record.

    Example: `pgmif download npc277 --folder data`
    """
    with exit_codes():
        if name not in DATASETS:
            raise ValueError(f"expected one of {', '.join(DATASETS)}, found {name!r}")
        dataset = DATASETS[name]._replace(url=url) if url else DATASETS[name]
        out.print(f"{dataset.title}\n{dataset.citation}\nlicence: {dataset.licence}", highlight=False)
        size = remote_size(dataset.url)
        out.print(f"{dataset.url}: {size / 1e6:.1f} MB" if size else "size: the server does not say",
                  markup=False, highlight=False)
        if not yes and not typer.confirm("Download?"):
            raise typer.Exit(0)
        bar = Progress("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn(),
                       console=err)
        with bar:
            task = bar.add_task(name, total=size or None)
            place = download(
                dataset, folder, lambda done, total: bar.update(task, completed=done, total=total)
            )
    say(f"{place}: unpacked\nnext: {command()} scan {place} --layout {dataset.layout}")
