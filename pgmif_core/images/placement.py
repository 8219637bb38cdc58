"""Does a tumour contour lie where it can: inside the volume it was drawn on, and in the head?"""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.regions import head_mask
from pgmif_core.images.volumes import resample

LEAST_INSIDE = 0.5  # of the contour's volume, in the image and in the head
MOST_OF_HEAD = 1 / 3  # a contour may fill
PIXELS = 128  # the head is looked for on slices shrunk to this


def _volume_ml(mask: sitk.Image) -> float:
    return float(np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * np.prod(mask.GetSpacing()) / 1000)


def _binary(mask: sitk.Image) -> sitk.Image:
    return sitk.Cast(mask > 0, sitk.sitkUInt8)


def fraction_inside(mask: sitk.Image, image: sitk.Image) -> float:
    """Part of a mask's volume that lies inside an image's field of view, 0 to 1."""
    mask = _binary(mask)
    index = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    if not len(index):
        return 0.0
    index = index[:: max(1, len(index) // 2000)]
    points = [mask.TransformIndexToPhysicalPoint(i) for i in index.tolist()]
    places = np.array([image.TransformPhysicalPointToContinuousIndex(p) for p in points])
    size = np.array(image.GetSize())
    return float(((places >= -0.5) & (places <= size - 0.5)).all(axis=1).mean())


def _small(mask: sitk.Image, image: sitk.Image) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """A mask and the head, cavities filled, on the slices of an image shrunk in-plane."""
    factors = [max(1, n // PIXELS) for n in image.GetSize()[:2]]
    small = sitk.BinShrink(image, [*factors, 1])
    drawn = sitk.GetArrayFromImage(resample(_binary(mask), small, nearest=True)) > 0
    return drawn, head_mask(sitk.GetArrayFromImage(small)[None].astype(np.float32), fill=True)


def fraction_in_head(mask: sitk.Image, image: sitk.Image) -> float:
    """Part of a mask, as far as it lies inside an image, that is head there: tissue or its cavities."""
    drawn, head = _small(mask, image)
    return float(head[drawn].mean()) if drawn.any() else 1.0  # smaller than a pixel there


def misplaced(mask: sitk.Image, image: sitk.Image, name: str, what: str = "tumour") -> str:
    """Why a contour cannot belong to an image (`name` says which); '' if it can."""
    inside, found = fraction_inside(mask, image), ""
    if inside < LEAST_INSIDE:
        part = "it" if inside == 0 else f"{1 - inside:.0%} of it"
        found = f"{part} outside the {name} volume"
    elif (in_head := fraction_in_head(mask, image)) < LEAST_INSIDE:
        found = f"{1 - in_head:.0%} of it in the air around the head"
    return found and (f"expected the {what} inside the head on {name}, found {found}; check that it is "
                      "this patient's, its geometry, and gtv_space")


def oversized(mask: sitk.Image, image: sitk.Image, name: str, what: str = "tumour") -> str:
    """Why a mask is too large for a contour in an image; '' if it is not. A brain mask is found so."""
    drawn, head = _small(mask, image)
    part = float((drawn & head).sum() / max(1, head.sum()))
    if part <= MOST_OF_HEAD:
        return ""
    return (
        f"expected a {what}, found a mask of {part:.0%} of the head on {name} (at most "
        f"{MOST_OF_HEAD:.0%}): the mask of a brain, a head or an organ. Name the contour of the {what}"
    )
