"""What can be wrong with the images of one patient, found before work starts: the same for `check`,
`fuse`, `evaluate` and the pipeline. Each problem says what was expected, found, and what to do."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from pgmif_core.images.dicom import Identity
from pgmif_core.images.masks import displaced
from pgmif_core.images.placement import misplaced, oversized
from pgmif_core.images.regions import head_mask
from pgmif_core.images.registration import FEWEST_VOXELS
from pgmif_core.images.volumes import fill_note, imaged_part, overlap_fraction, resample, same_grid
from pgmif_core.images.windows import hot_voxels

SMALLEST_OVERLAP = 0.1
LEAST_AIR_HU = -500.0  # a CT in HU that shows any air reaches below this
LOCALIZER_SLICES = 12  # a series of fewer, in a plane of its own, is a localizer
COARSE_MM = 1.8  # images are compared on pixels of this size
FEWEST_GREYS = 8  # different values of an image, not of a mask
LEAST_BACKGROUND, LEAST_DARKER = 0.2, 0.02  # of the volume: its commonest value; darker than that
MOST_SHOWN = 10  # slices named in a note
SAMPLE = 50_000  # voxels, where a part stands for all
MOST_SHARED = 0.5  # of a reference region with a tumour drawn on another sequence
FEWEST_REFERENCE = 9  # voxels of a reference region
FEWEST_SHARED = 1000  # voxels that are compared
SAME_CORRELATION = 0.9998  # inside the head: then one image is the other in another unit
BRIGHT, DARK = 1.5, 0.8  # times the median of the head: fluid on T2w, on T1w
LEAST_FLUID, MOST_FLUID = 0.003, 0.06  # of the head; suppressed fat is more
MORE_FLUID = 1.7  # times as much with the sequences exchanged
DEEP_MM = 12.0  # below the skin: suppressed fat is as dark on T2w, and lies above
UNLIKELY = "If that is wrong, pass --allow-unlikely (allow_unlikely: true)."


def image_problems(name: str, image: sitk.Image) -> list[str]:
    """What is wrong with one sequence by itself."""
    low, high = sitk.MinimumMaximum(image)
    problems = []
    if low == high:
        problems.append(f"expected an image, found the constant {low:g}.")
    elif (greys := _greys(image)) <= FEWEST_GREYS:
        problems.append(f"expected intensities, found {greys} different values: a mask. Name the image.")
    if name == "CT" and low > LEAST_AIR_HU:
        problems.append(
            f"expected Hounsfield units, air at about -1000, found nothing below {low:g}. Apply the "
            "scanner's rescale slope and intercept."
        )
    if min(image.GetSize()) < FEWEST_VOXELS:
        problems.append(
            f"expected a volume of at least {FEWEST_VOXELS} voxels along every axis, found "
            f"{image.GetSize()}; 3-D registration needs the series."
        )
    return problems


def _greys(image: sitk.Image) -> int:
    """Number of different values, where there are few."""
    some = len(np.unique(_some(image)))
    return some if some > FEWEST_GREYS else len(np.unique(sitk.GetArrayViewFromImage(image)))


def _some(image: sitk.Image) -> NDArray:
    """Some tens of thousands of an image's voxels, evenly spread."""
    voxels = sitk.GetArrayViewFromImage(image).ravel()
    return voxels[:: max(1, len(voxels) // SAMPLE)]


def image_notes(name: str, image: sitk.Image) -> list[str]:
    """What deserves a look of one sequence, and stops nothing: its background, and what was cut."""
    slices = [] if name == "CT" else hot_voxels(image)
    shown = f"{', '.join(map(str, slices[:MOST_SHOWN]))}{' …' if len(slices) > MOST_SHOWN else ''}"
    hot = f"a few voxels beyond all others cut in slice {shown}" if slices else ""
    return [f"{name}: {note}" for note in (background_note(image), fill_note(image), hot) if note]


def background_note(image: sitk.Image) -> str:
    """What to know of an image whose background is brighter than some of its tissue; '' of others."""
    values, counts = np.unique(_some(image), return_counts=True)
    common, darker = values[counts.argmax()], counts[: counts.argmax()].sum()
    if counts.max() < LEAST_BACKGROUND * counts.sum() or darker < LEAST_DARKER * counts.sum():
        return ""
    return (f"its background ({common:g}) is brighter than some tissue, as after z-scoring in a head; "
            "bring it below all tissue, or the contrast of methods that weigh intensities changes")


def pair_problems(images: Mapping[str, sitk.Image], unlikely: bool = False) -> list[str]:
    """What is wrong with sequences taken together; `images` by name, T2w among them.

    With `unlikely` it is accepted that T1w and T2w look exchanged, or one of them like a localizer.
    """
    if "T2w" not in images:
        return []
    problems = [
        f"expected {name} and T2w of one place, found that they do not overlap in space; are they of "
        "the same patient and session? Check their orientation and origin."
        for name, image in images.items()
        if name != "T2w" and overlap_fraction(image, images["T2w"]) < SMALLEST_OVERLAP
    ]
    problems += [
        f"expected one image of each sequence, found that {first} and {second} hold the same image. "
        "Correct one of the two."
        for first, second in combinations(images, 2) if _equal(images[first], images[second])
    ]
    if problems or unlikely or any(min(i.GetSize()) < FEWEST_VOXELS for i in images.values()):
        return problems
    problems += [
        f"expected a series, found that {name} looks like a localizer: {count} slices in a plane of "
        f"their own. Name the series itself. {UNLIKELY}" for name, count in _localizers(images)
    ]
    if not problems and "T1w" in images and exchanged(images["T1w"], images["T2w"]):
        problems.append(
            "expected fluid dark on T1w and bright on T2w, found the reverse: the two look exchanged. "
            f"Exchange them. {UNLIKELY}"
        )
    return problems


def identity_problems(known: Mapping[str, Identity], different: bool = False) -> list[str]:
    """Sequences whose DICOM headers name different patients, unless that is accepted."""
    named = {name: identity.patient for name, identity in known.items() if identity.patient}
    if different or len(set(named.values())) < 2:
        return []
    return [
        f"expected {', '.join(named)} of one patient, found that their PatientID differs. Bring the "
        "series of one patient; pass --allow-different-patients (allow_different_patients: true) if "
        "they were given different names on purpose."
    ]


def identity_notes(known: Mapping[str, Identity]) -> list[str]:
    """What DICOM headers say that deserves a look: other studies, other frames of reference."""
    notes = []
    for field, what in (("frame", "frames of reference"), ("study", "studies")):
        named = {name: getattr(i, field) for name, i in known.items() if getattr(i, field)}
        if len(set(named.values())) > 1:
            notes.append(f"{', '.join(named)} have different {what}: scanned in different sessions, or "
                         "different patients?")
    return notes[:1]


def mask_problems(
    mask: sitk.Image, image: sitk.Image, name: str, what: str = "tumour"
) -> list[str]:
    """Why a mask cannot be the `what` (tumour, reference region) of an image called `name`."""
    if not sitk.GetArrayViewFromImage(mask).any():
        return [f"expected a {what} contour, found an empty mask. Remove the patient or supply the "
                "contour."]
    reasons = [misplaced(mask, image, name, what) or oversized(mask, image, name, what),
               displaced(mask, image, name)]
    if not any(reasons):
        placed = resample(sitk.Cast(mask > 0, sitk.sitkUInt8), image, nearest=True)
        if not sitk.GetArrayViewFromImage(placed).any():
            reasons.append(f"expected the {what} on slices of {name}, found it between two of them: "
                           "nothing of it is left there. Draw it on the image's own slices")
    return [f"{reason} (now {name})." for reason in reasons if reason]


def region_problems(reference: sitk.Image, gtv: sitk.Image, most: float = 0.0) -> list[str]:
    """Why a reference region cannot be beside a tumour: they share more than a part `most` of it."""
    drawn = int(np.count_nonzero(sitk.GetArrayViewFromImage(reference)))
    if drawn < FEWEST_REFERENCE:
        return [f"expected a reference region of at least {FEWEST_REFERENCE} voxels, whose noise can be "
                f"had, found {drawn}. Draw a larger one."]
    moved = resample(sitk.Cast(gtv > 0, sitk.sitkUInt8), reference, nearest=True)
    shared = sitk.GetArrayViewFromImage(moved).astype(bool) & (sitk.GetArrayViewFromImage(reference) > 0)
    if shared.sum() <= most * drawn:
        return []
    return [f"expected a reference region beside the tumour, found {int(shared.sum())} voxels of it "
            "inside. Draw it elsewhere."]


def _equal(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether two images are one, whatever the unit, the offset or the sign of their intensities."""
    if same_grid(first, second) and np.array_equal(
            sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second)):
        return True
    first, second = (sitk.Cast(image, sitk.sitkFloat32) for image in (first, second))
    small = _coarse(second)
    shared = imaged_part(first, small)
    if not shared.any():
        return False
    # both through the same resampling, so that what is equal stays equal
    one, other = (sitk.GetArrayFromImage(resample(image, small)) for image in (first, second))
    inside = shared & head_mask(other[None])
    if inside.sum() < FEWEST_SHARED or not one[inside].std() or not other[inside].std():
        return False
    return bool(abs(np.corrcoef(one[inside], other[inside])[0, 1]) > SAME_CORRELATION)


def _coarse(image: sitk.Image) -> sitk.Image:
    return sitk.BinShrink(image, [max(1, round(COARSE_MM / s)) for s in image.GetSpacing()])


def _plane(image: sitk.Image) -> tuple[int, int]:
    """The patient's axis that slices are stacked along (0, 1, 2: x, y, z), and their number."""
    coarsest = int(np.argmax(image.GetSpacing()))
    axes = np.abs(np.array(image.GetDirection()).reshape(3, 3)).argmax(axis=0)
    return int(axes[coarsest]), image.GetSize()[coarsest]


def _localizers(images: Mapping[str, sitk.Image]) -> list[tuple[str, int]]:
    planes = {name: _plane(image) for name, image in images.items() if name in ("T1w", "T2w")}
    if len({axis for axis, _ in planes.values()}) < 2:
        return []
    return [(name, count) for name, (_, count) in planes.items() if count < LOCALIZER_SLICES]


def exchanged(t1w: sitk.Image, t2w: sitk.Image) -> bool:
    """Whether fluid is bright on the image called T1w and dark on that called T2w.

    Fluid is looked for as compact parts of the head, deep below the skin, where one sequence is bright
    and the other dark. The limits were set with all 21 real heads in view, those for training and for
    testing, so they are no measurement of it: no right pair is taken for exchanged, 20 exchanged ones
    are named. Nothing but a refusal depends on them.
    """
    if background_note(t1w) or background_note(t2w):
        return False
    t1w, t2w = sitk.Cast(t1w, sitk.sitkFloat32), sitk.Cast(t2w, sitk.sitkFloat32)
    small = _coarse(t2w)
    shared = imaged_part(t1w, small)
    planes = [sitk.GetArrayFromImage(image) for image in (resample(t1w, small), small)]
    head = head_mask(np.stack(planes)) & shared
    if not head.any():
        return False
    scaled = [_relative(plane, head) for plane in planes]
    fluid = _compact((scaled[1] > BRIGHT) & (scaled[0] < DARK) & head)
    other = _compact((scaled[0] > BRIGHT) & (scaled[1] < DARK) & head)
    share = other.sum() / head.sum()
    if not LEAST_FLUID <= share <= MOST_FLUID or other.sum() < MORE_FLUID * fluid.sum():
        return False
    filled = head_mask(np.stack(planes), fill=True)
    padded = np.pad(filled, ((0, 0), (1, 1), (1, 1)))
    depth = np.stack([ndimage.distance_transform_edt(p, small.GetSpacing()[1::-1]) for p in padded])
    return float(np.median(depth[:, 1:-1, 1:-1][other])) > DEEP_MM


def _relative(plane: NDArray, head: NDArray) -> NDArray:
    smooth = ndimage.gaussian_filter(plane, (0, 0.7, 0.7))
    floor = np.percentile(plane, 1)
    return (smooth - floor) / max(float(np.median(smooth[head]) - floor), 1e-9)


def _compact(part: NDArray) -> NDArray:
    return ndimage.binary_opening(part, np.ones((1, 3, 3), bool))
