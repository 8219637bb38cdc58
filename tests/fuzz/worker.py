"""One process that makes mutants and gives them to the commands, job after job, and reports on each."""

import json
import os
import re
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from damaged_dicom import dicom, rtstruct
from damaged_images import nifti, text_headed
from good import ORIENTATIONS, good_forms, good_jobs
from typer.testing import CliRunner

from pgmif.cli import app

MOST_DATA = 6 * 2**30  # of this process: what asks for more gets a MemoryError, not the whole machine
DAMAGE = {"nifti": nifti, "dicom": dicom, "rtstruct": rtstruct, "text-headed": text_headed}
HEADER = "subject,split,T1w,T2w,gtv,gtv_roi,source,license"


def _given(base: Path, role: str, mutant: Path, gtv: Path) -> dict[str, Path]:
    """The files of a patient of whom one is the mutant."""
    end = "_dicom" if mutant.is_dir() or role == "rtstruct" else ".nii.gz"
    files = {name: base / f"{name}{end}" for name in ("T1w", "T2w")} | {"gtv": gtv}
    return files | {"gtv" if role == "rtstruct" else role: mutant}


def _manifest(base: Path, job: Path, files: dict[str, Path], roi: str) -> Path:
    """A cohort of two below `base`: the first patient has the mutant, the second is good."""
    own = ",".join(os.path.relpath(files[name], base) for name in ("T1w", "T2w", "gtv"))
    rows = [f"a,train,{own},{roi},x,y", "b,test,other/T1w.nii.gz,other/T2w.nii.gz,other/gtv.nii.gz,,x,y"]
    path = base / f"{job.name}.csv"
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def commands(base: Path, job: Path, role: str, mutant: Path, gtv: Path) -> list[list[str]]:
    """What is run on a mutant in a role: `check` and `evaluate`, and `fuse` where it can be given."""
    files, roi = _given(base, role, mutant, gtv), "GTVp" if role == "rtstruct" else ""
    lines = [["check", str(_manifest(base, job, files, roi))]]
    if role in ("T1w", "T2w"):
        lines.append(["fuse", "--t1w", str(files["T1w"]), "--t2w", str(files["T2w"]), "--method", "pwa",
                      "--slice-size", "32", "-o", str(job / "out.nii.gz")])
    fused = {"T2w": mutant, "rtstruct": files["T2w"]}.get(role, base / "fused.nii.gz")
    source = mutant if role == "T1w" else base / "registered.nii.gz"
    lines.append(["evaluate", str(fused), "--gtv", str(files["gtv"]), "--source", str(source),
                  *(["--roi", roi] if roi else [])])
    return lines


def fault(line: list[str], done, mutant: Path, job: Path) -> str:
    """Why the end of a command is a fault; '' if it was a success or a refusal that helps."""
    text = " ".join(done.output.split())
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        last = "".join(traceback.format_exception(done.exception)[-3:])
        return f"{line[0]} raised {last}"
    if done.exit_code not in (0, 2):
        return f"{line[0]} ended with {done.exit_code}: {text[-600:]}"
    named = mutant.name.split(".")[0] in text or f"{job.name}.csv, row 2 (a)" in text
    if done.exit_code == 2 and not (named and "xpected" in text and "found" in text):
        return f"{line[0]} refused without file, expected and found: {text[-600:]}"
    output = job / "out.nii.gz"
    if line[0] == "fuse" and done.exit_code == 0 and not np.isfinite(
            sitk.GetArrayFromImage(sitk.ReadImage(str(output)))).all():
        return "fuse wrote values that are not finite"
    if line[0] == "evaluate" and done.exit_code == 0 and re.search(r"\b(nan|inf)\b", text):
        return f"evaluate printed {text[-600:]}"
    return ""


def _megabytes() -> float:
    """The most this process, or one of its children, has held so far."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / 1024


def run(base: Path, kind: str, role: str, number: int, seed: int) -> None:
    """Make one mutant, run its commands, and report each."""
    job = base / f"{kind}-{number}".replace(" ", "-")
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir()
    rng = np.random.default_rng([seed, number, len(kind)])
    name, gtv = "gtv" if role == "rtstruct" else role, base / "gtv.nii.gz"
    if kind == "good":
        form, role = good_jobs()[number]
        _, make = good_forms()[form]
        mutant = make(base, job, name)
        if role == "T2w" and form in [f"nifti {axes}" for axes in ORIENTATIONS]:
            gtv = make(base, job, "gtv")  # a mask has the axes of its image
    else:
        mutant = DAMAGE[kind](base, job, name, rng)
    for line in commands(base, job, role, mutant, gtv):
        start = time.monotonic()
        done = CliRunner().invoke(app, line)
        print(json.dumps({
            "command": line, "code": done.exit_code, "fault": fault(line, done, mutant, job),
            "text": done.output[-2000:], "seconds": time.monotonic() - start, "megabytes": _megabytes(),
        }), flush=True)
    print(json.dumps({"end": True}), flush=True)


def main() -> None:
    """Jobs come as lines of JSON on standard input; everything about them leaves on standard output."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA, MOST_DATA))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    warnings.simplefilter("ignore")
    base = Path(sys.argv[1])
    print(json.dumps({"ready": True, "megabytes": _megabytes()}), flush=True)
    for text in sys.stdin:
        run(base, **json.loads(text))


if __name__ == "__main__":
    main()
