"""`pgmif evaluate`: a fused image measured, files named one by one."""

from pathlib import Path
from typing import Annotated

import SimpleITK as sitk
import typer
from rich.markup import escape
from rich.table import Table

from pgmif.cli.terminal import AllowOutside, AssumeRas, exit_codes, name_values, out, warn
from pgmif_core.files import replacing
from pgmif_core.images.checks import mask_problems, region_problems
from pgmif_core.images.masks import mask_note, read_mask
from pgmif_core.images.volumes import Trust, read_image, same_grid

# what messages say of a manifest's columns, in the words of `evaluate`
COLUMNS = {
    "gtv_roi": "--roi", "gtv_label": "--label", ", its geometry, and gtv_space": ", and its geometry",
    ", or name the modality that it was drawn on in gtv_space": "",
    " Name the modality that it was drawn on in gtv_space.": " Draw it on the fused image's slices.",
    "use a smaller window or a larger distance (reference_window_mm, reference_farthest_mm)":
        "draw a region and name it by --reference.",
}


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
    roi: Annotated[str, typer.Option(
        help="Name of the tumour in an RTSTRUCT, SEG or .seg.nrrd.")] = "",
    label: Annotated[str, typer.Option(
        help="Label of the tumour in a mask of several; 1+4 joins two, all takes any.")] = "",
    csv: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
    assume_ras: AssumeRas = False, allow_outside: AllowOutside = False,
) -> None:
    """Print CNR (Eq. 8; σ over all slices of the reference region and within them; how much of its
    variance lies between them) and generalized Sobel Q (Eq. 12) of a fused image and its sources.

    Example: `pgmif evaluate fused.nii.gz --gtv gtv.nii.gz --source T1w.nii.gz --source T2w.nii.gz`
    """
    with exit_codes(COLUMNS):
        if csv is not None and csv.is_dir():
            raise ValueError(f"{csv}: expected the name of a file, found a folder.")
        from pgmif.one_patient import measure

        trust = Trust(assume_ras, allow_outside)
        given = _sources(sources)
        images = {n: read_image(p, trust) for n, p in given.items()}
        image = read_image(fused, trust)
        mask = read_mask(gtv, lambda: image, roi, label, trust)
        region = read_mask(reference, lambda: image, "*", trust=trust) if reference else None
        _check_masks(gtv, mask, reference, region, fused, image)
        for name in (n for n, i in images.items() if not same_grid(i, image)):
            warn(f"CHECK: {name} is not on the grid of the fused image; is it registered to T2w? "
                 "`pgmif fuse --save-registered` writes sequences that are.")
        low, high = sitk.MinimumMaximum(image)
        if low < -1e-3 or high > 1 + 1e-3:
            warn(f"CHECK: {fused} has values from {low:g} to {high:g}, not from 0 to 1: every slice is "
                 "min-max normalised before it is measured")
        try:
            table = measure(image, mask, images, region)
        except ValueError as error:
            files = ", ".join(map(str, (fused, gtv, *given.values())))
            raise ValueError(f"{files}: {error}") from error
        if csv:
            with replacing(csv) as temporary:
                table.to_csv(temporary, index=False, float_format="%.6g")
    against = (f"Q against {escape(name)}" for name in images)
    grid = Table("image", "CNR", "within slices", "% between", *against)
    for row in table.itertuples(index=False):
        grid.add_row(escape(str(row[0])), *(f"{value:.3f}" for value in row[1:3]), f"{row[3]:.0f}",
                     *(f"{value:.3f}" for value in row[4:]))
    out.print(grid)


def _check_masks(
    gtv: Path, mask: sitk.Image, reference: Path | None, region: sitk.Image | None, fused: Path,
    image: sitk.Image,
) -> None:
    problems = [f"{gtv}, on {fused}: {p}" for p in mask_problems(mask, image, "fused")]
    if region is not None:
        own = mask_problems(region, image, "fused", "reference region")
        problems += [f"{reference}, on {fused}: {p}" for p in own or region_problems(region, mask)]
    if problems:
        raise ValueError("\n  - ".join(problems))
    for path, read in ((gtv, mask), (reference, region)):
        if read is not None and (note := mask_note(read)):
            warn(f"{path}: {note}")
