"""`pgmif fuse` and `evaluate`: one patient, files named one by one."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import SimpleITK as sitk
import typer
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.table import Table

from pgmif_core.cli.terminal import err, exit_codes, name_values, out
from pgmif_core.cohort import ANY_GTV, read_mask
from pgmif_core.contours import misplaced
from pgmif_core.dicom import FRAME_OF_REFERENCE, write_series
from pgmif_core.images import WRITTEN_SUFFIXES, read_image, resample, same_grid, write_image
from pgmif_core.validation import FURTHER_MODALITIES

# importing torch takes seconds; help, completion and refusals need not wait for it
if TYPE_CHECKING:
    from pgmif_core.single import Fused

Fusion = StrEnum("Fusion", [
    "pgmif", "pgmif_plus", "gmmci", "dlmwl", "average", "pwa", "moi",
    "pca", "laplacian", "wavelet", "guided", "poisson",
])


def _default_weights(method: str) -> Path:
    """The released weights, or settings, in this repository: made from phantoms, and it says so."""
    from pgmif_core.released import released_file

    path = released_file(method + (".json" if method == "pgmif_plus" else ".safetensors"))
    err.print(f"{path.name}: released weights, made from synthetic phantoms (MODEL_CARD.md)",
              markup=False, highlight=False)
    return path


def _method_and_weights(method: Fusion | None, weights: Path | None) -> tuple[str, Any]:
    """The method's name and its generator or settings, if any; ValueError where they do not fit."""
    from pgmif_core.methods import METHODS, load_generator
    from pgmif_core.pgmif_plus import read_settings

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
    as_file = output.name.endswith(WRITTEN_SUFFIXES)
    if as_file and output.exists() and not force:
        raise ValueError(f"{output}: expected no file yet, found one; --force replaces it.")
    if not as_file and (output.is_file() or (output.is_dir() and any(output.iterdir()))):
        raise ValueError(
            f"{output}: expected an empty or absent folder, found files. Name another, or "
            f"a file ending in {', '.join(WRITTEN_SUFFIXES)}."
        )
    return as_file


def _save_registered(folder: Path, images: dict[str, sitk.Image], fused: "Fused") -> None:
    for name, image in images.items():
        moved = name in fused.registrations and fused.registrations[name].stage != "aligned"
        transform = fused.registrations[name].transform if moved else None
        write_image(resample(image, images["T2w"], transform), folder / f"{name}.nii.gz")


def _say_foreign_frames(images: dict[str, sitk.Image]) -> None:
    frames = {n: i.GetMetaData(FRAME_OF_REFERENCE) for n, i in images.items()
              if i.HasMetaDataKey(FRAME_OF_REFERENCE)}
    if len(set(frames.values())) > 1:
        err.print(f"CHECK: {', '.join(frames)} have different frames of reference: scanned in different "
                  "sessions, or different patients?", style="yellow")


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
        help="results/<run>/02_training/<method>/weights.safetensors, or 10_pgmif_plus/settings.json "
             "for pgmif_plus; those released with this version if not given."
    )] = None,
    subject: Annotated[str, typer.Option(
        help="PatientID in DICOM; planning software overlays only equal ones.")] = "anonymous",
    save_registered: Annotated[Path | None, typer.Option(
        "--save-registered", help="Folder for all sequences registered to T2w: what `evaluate` takes."
    )] = None,
    slice_size: Annotated[int, typer.Option(min=32, help="Slices are fused at this size.")] = 192,
    force: Annotated[bool, typer.Option("--force", help="Replace a file.")] = False,
) -> None:
    """Register and fuse one patient; the result lies on the T2w grid and overlays on T2w.

    Examples:

    * `pgmif fuse --t1w t1.nii.gz --t2w t2.nii.gz -o fused.nii.gz --method pwa`

    * `pgmif fuse --t1w T1WI/ --t2w T2WI/ --weights weights.safetensors -o fused_dicom/`
    """
    with exit_codes():
        as_file = _check_output(output, force)
        if save_registered:
            _check_output(save_registered, force)
        further = {n: Path(p) for n, p in name_values(more or [], "--more").items()}
        unknown = sorted(set(further) - set(FURTHER_MODALITIES))
        if unknown:
            raise ValueError(f"--more: expected {', '.join(FURTHER_MODALITIES)}, found {unknown[0]}")
        from pgmif_core.methods import METHODS
        from pgmif_core.single import fuse_images

        name, generator = _method_and_weights(method, weights)
        images = {n: read_image(p) for n, p in {"T1w": t1w, "T2w": t2w, **further}.items()}
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
    _say_foreign_frames(images)
    for modality, result in fused.registrations.items():
        out.print(
            f"{modality} to T2w: {result.stage}, rigid {result.rigid_mm:.1f} mm, B-spline "
            f"{result.bspline_mm:.1f} mm, {result.seconds:.1f} s"
            + ("  CHECK: the registration did not improve" if result.stage == "failed" else ""),
            markup=False, highlight=False,
        )
    out.print(f"{output}: {label} on the T2w grid {fused.image.GetSize()}", markup=False,
              highlight=False)


def export(
    weights: Annotated[Path, typer.Argument(help="weights.safetensors of a learned method.")],
    output: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file.")] = False,
) -> None:
    """Write trained weights as an ONNX file: sources (b, m, h, w) in [0, 1] to fused (b, 1, h, w).

    Example: `pgmif export results/phantom/02_training/pgmif/weights.safetensors pgmif.onnx`
    """
    with exit_codes():
        if output.suffix != ".onnx":
            raise ValueError(f"{output}: expected a name ending in .onnx, found {output.name!r}.")
        if output.exists() and not force:
            raise ValueError(f"{output}: expected no file yet, found one; --force replaces it.")
        from pgmif_core.methods import load_generator
        from pgmif_core.onnx_export import export_onnx

        export_onnx(load_generator(weights), output)
    out.print(f"{output}: {output.stat().st_size / 1e3:.0f} kB", markup=False, highlight=False)


def _sources(given: list[str]) -> dict[str, Path]:
    """PATH or NAME=PATH options by name; a path alone is named after its file."""
    named = []
    for text in given:
        path, name = Path(text), ""
        if "=" in text and not path.exists():
            (name, text), = name_values([text], "--source").items()
            path = Path(text)
        named.append((name or path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name, path))
    if len({name for name, _ in named}) < len(named):
        named = [(f"{k + 1}:{name}", path) for k, (name, path) in enumerate(named)]
    return dict(named)


def evaluate(
    fused: Annotated[Path, typer.Argument(help="The fused image.")],
    gtv: Annotated[Path, typer.Option(help="Tumour: a mask or an RTSTRUCT, in the same space.")],
    sources: Annotated[list[str], typer.Option(
        "--source", "--sources", help="A registered source, PATH or NAME=PATH; once per source.")],
    reference: Annotated[Path | None, typer.Option(
        help="Reference region of the CNR; found near the tumour if not given.")] = None,
    roi: Annotated[str, typer.Option(help="Name of the tumour in an RTSTRUCT.")] = ANY_GTV,
    csv: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Print CNR (Eq. 8) and generalized Sobel Q (Eq. 12) of a fused image and of its sources.

    Example: `pgmif evaluate fused.nii.gz --gtv gtv.nii.gz --source T1w.nii.gz --source T2w.nii.gz`
    """
    with exit_codes():
        from pgmif_core.single import measure

        images = {n: read_image(p) for n, p in _sources(sources).items()}
        image = read_image(fused)
        mask = read_mask(gtv, lambda: image, roi)
        if reason := misplaced(mask, image, "fused"):
            raise ValueError(f"{gtv}: {reason}")
        for name in (n for n, i in images.items() if not same_grid(i, image)):
            err.print(f"CHECK: {name} is not on the grid of the fused image; is it registered to T2w? "
                      "`pgmif fuse --save-registered` writes sequences that are.", style="yellow")
        table = measure(
            image, mask, images,
            read_image(reference) if reference else None,
        )
        if csv:
            table.to_csv(csv, index=False, float_format="%.6g")
    shown = Table("image", "CNR", *(f"Q against {n}" for n in images))
    for row in table.itertuples(index=False):
        shown.add_row(str(row[0]), *(f"{value:.3f}" for value in row[1:]))
    out.print(shown)
