"""`pgmif fuse`: one patient, files named one by one."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import SimpleITK as sitk
import typer
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

from pgmif.cli.terminal import (
    AllowDifferent,
    AllowOutside,
    AllowUnlikely,
    AssumeRas,
    err,
    exit_codes,
    name_values,
    say,
    warn,
)
from pgmif_core.images.checks import (
    identity_notes,
    identity_problems,
    image_notes,
    image_problems,
    pair_problems,
)
from pgmif_core.images.dicom import series_identity, write_series
from pgmif_core.images.modalities import FURTHER_MODALITIES
from pgmif_core.images.volumes import (
    WRITTEN_SUFFIXES,
    Trust,
    read_image,
    resample,
    sidecar_file,
    voxel_file,
    write_image,
)
from pgmif_core.methods.names import FUSING

# importing torch takes seconds; help, completion and refusals need not wait for it
if TYPE_CHECKING:
    from pgmif.one_patient import Fused

Fusion = StrEnum("Fusion", FUSING)


def _default_weights(method: str) -> Path:
    """The released weights, or settings, in this repository: made from phantoms, and it says so."""
    from pgmif.runs.released import released_file

    path = released_file(method + (".json" if method == "pgmif_plus" else ".safetensors"))
    warn(f"{path.name}: released weights, made from synthetic phantoms (MODEL_CARD.md)", style="")
    return path


def _method_and_weights(method: Fusion | None, weights: Path | None) -> tuple[str, Any]:
    """The method's name and its generator or settings, if any; ValueError where they do not fit."""
    from pgmif_core.methods.pgmif_plus import read_settings
    from pgmif_core.methods.registry import METHODS
    from pgmif_core.networks.weights import load_generator

    if method and not METHODS[method.value].needs_weights:
        if weights:
            raise ValueError(f"--weights: {method.value} is a rule and has none; leave them out.")
        return method.value, None
    wanted = method.value if method else ""
    if wanted == "pgmif_plus" or (not wanted and weights and weights.suffix == ".json"):
        return "pgmif_plus", read_settings(weights or _default_weights("pgmif_plus"))
    generator = load_generator(weights or _default_weights(wanted or "pgmif"))
    trained_as = generator.method or wanted or "pgmif"
    if wanted and trained_as != wanted:
        raise ValueError(f"--method {wanted}: expected its weights, found those of {trained_as}.")
    return trained_as, generator


def _check_output(output: Path, force: bool) -> bool:
    """Whether the output is a file rather than a folder of DICOM; refused before any work."""
    as_file = output.name.lower().endswith(WRITTEN_SUFFIXES)
    if output.suffix and not as_file and not output.is_dir():
        raise ValueError(
            f"{output}: expected a name ending in {', '.join(WRITTEN_SUFFIXES)}, or one without a dot "
            f"for a folder of DICOM files, found {output.suffix}. Name another."
        )
    if as_file and output.is_dir():
        raise ValueError(f"{output}: expected no folder of that name, found one. Name another file.")
    beside = [p for p in (output, voxel_file(output), sidecar_file(output)) if p] if as_file else []
    taken = [path for path in beside if path.exists()]
    if taken and not force:
        raise ValueError(
            f"{taken[0]}: expected no file yet, found one that would be replaced; --force replaces it."
        )
    if not as_file and (output.is_file() or (output.is_dir() and any(output.iterdir()))):
        raise ValueError(
            f"{output}: expected an empty or absent folder, found files. Name another, or "
            f"a file ending in {', '.join(WRITTEN_SUFFIXES)}."
        )
    return as_file


def _check_registered(folder: Path | None, names: list[str], force: bool) -> None:
    """Refuse a folder for registered sequences that holds files of their names."""
    taken = [folder / f"{n}.nii.gz" for n in names if folder and (folder / f"{n}.nii.gz").exists()]
    if folder is not None and folder.is_file():
        raise ValueError(f"{folder}: expected a folder for registered sequences, found a file.")
    if taken and not force:
        raise ValueError(f"{taken[0]}: expected no file yet, found one; --force replaces it.")


def _save_registered(folder: Path, images: dict[str, sitk.Image], fused: "Fused") -> None:
    for name, image in images.items():
        transform = fused.registrations[name].moves if name in fused.registrations else None
        write_image(resample(image, images["T2w"], transform), folder / f"{name}.nii.gz")


def _read_sequences(
    paths: dict[str, Path], trust: Trust, different: bool, unlikely: bool
) -> dict[str, sitk.Image]:
    """Sequences of one patient, after everything that `check` would ask of them."""
    images = {name: read_image(path, trust) for name, path in paths.items()}
    problems = [f"{paths[name]}: {p}" for name, i in images.items() for p in image_problems(name, i)]
    known = {name: series_identity(path) for name, path in paths.items()}
    together = ", ".join(map(str, paths.values()))
    problems += [f"{together}: {p}" for p in
                 pair_problems(images, unlikely) + identity_problems(known, different)]
    if problems:
        raise ValueError("\n  - ".join(["refused, nothing was started:", *problems]))
    for note in identity_notes(known):
        warn(f"CHECK: {note}")
    for name, image in images.items():
        for note in image_notes(name, image):
            warn(f"CHECK: {note}")
    return images


def fuse(
    t1w: Annotated[Path, typer.Option("--t1w", help="T1w: NIfTI, NRRD, or a folder of DICOM files.")],
    t2w: Annotated[Path, typer.Option("--t2w", help="T2w; its grid is that of the result.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", help="A file (.nii.gz, .nrrd), or a folder that DICOM files are put in.")],
    more: Annotated[list[str] | None, typer.Option(
        "--more", help="A further sequence as NAME=PATH, like ceT1w=ce/.")] = None,
    method: Annotated[Fusion | None, typer.Option(
        help="Fusion method; that of the weights, or pgmif, if not given.")] = None,
    weights: Annotated[Path | None, typer.Option(
        help="results/<run>/02_training/<method>/weights.safetensors, or 03_pgmif_plus/settings.json "
             "for pgmif_plus; those released with this version if not given."
    )] = None,
    subject: Annotated[str, typer.Option(
        help="PatientID in DICOM; planning software overlays only equal ones.")] = "anonymous",
    save_registered: Annotated[Path | None, typer.Option(
        "--save-registered", help="Folder for all sequences registered to T2w: what `evaluate` takes."
    )] = None,
    slice_size: Annotated[int, typer.Option(min=32, help="Slices are fused at this size.")] = 192,
    force: Annotated[bool, typer.Option("--force", help="Replace a file.")] = False,
    assume_ras: AssumeRas = False, allow_outside: AllowOutside = False,
    allow_different_patients: AllowDifferent = False, allow_unlikely: AllowUnlikely = False,
) -> None:
    """Register and fuse one patient; the result lies on the T2w grid and overlays on T2w.

    Examples:

    * `pgmif fuse --t1w t1.nii.gz --t2w t2.nii.gz -o fused.nii.gz --method pwa`

    * `pgmif fuse --t1w T1WI/ --t2w T2WI/ --weights weights.safetensors -o fused_dicom/`
    """
    with exit_codes():
        as_file = _check_output(output, force)
        further = {n: Path(p) for n, p in name_values(more or [], "--more").items()}
        unknown = sorted(set(further) - set(FURTHER_MODALITIES))
        if unknown:
            raise ValueError(f"--more: expected {', '.join(FURTHER_MODALITIES)}, found {unknown[0]}")
        paths = {"T1w": t1w, "T2w": t2w, **further}
        _check_registered(save_registered, list(paths), force)
        from pgmif.one_patient import fuse_images
        from pgmif_core.methods.registry import METHODS

        name, generator = _method_and_weights(method, weights)
        trust = Trust(assume_ras, allow_outside)
        images = _read_sequences(paths, trust, allow_different_patients, allow_unlikely)
        with Progress(SpinnerColumn(), "{task.description}", TimeElapsedColumn(), console=err) as bar:
            task = bar.add_task("reading", total=None)
            fused = fuse_images(
                images, name, generator, slice_size,
                say=lambda text: bar.update(task, description=text),
            )
        if save_registered:
            _save_registered(save_registered, images, fused)
        label = METHODS[name].label
        if as_file:
            write_image(fused.image, output, {"Description": f"{label}, research use only"})
        else:
            write_series(fused.image, output, subject, label)
    if fused.partly_imaged:
        warn(f"CHECK: {len(fused.partly_imaged)} slices show head that not all sequences do; there the "
             f"fused image is T2w alone (slice {', '.join(map(str, fused.partly_imaged[:10]))})")
    for modality, result in fused.registrations.items():
        say(
            f"{modality} to T2w: {result.stage}, rigid {result.rigid_mm:.1f} mm, B-spline "
            f"{result.bspline_mm:.1f} mm, {result.seconds:.1f} s"
            + ("  CHECK: the registration did not improve" if result.stage == "failed" else "")
        )
    say(f"{output}: {label} on the T2w grid {fused.image.GetSize()}")

