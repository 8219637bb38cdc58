"""T1w to T2w registration: rigid, affine if asked for, B-spline; Mattes mutual information (SimpleITK).

The paper registers in 3D Slicer with a B-spline transform and mutual information; Slicer's
BRAINSFit runs the same ITK components.
"""

import time
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.displacements import (
    head_of,
    head_points,
    mean_shift,
    smallest_jacobian,
    transform_points,
)
from pgmif_core.images.volumes import resample, same_grid

ALIGNED_MM = 1.0  # mean rigid correction below which a shared grid counts as registered already
CONTROL_SPACING_MM = 40.0
HISTOGRAM_BINS = 32
SAMPLES_PER_STEP = 5000
STEPS = 40
MOST_BSPLINE_MM = 15.0  # soft tissue of one session moves less; more is a runaway
MOST_VOLUME_CHANGE = 0.15  # of an affine stage: heads do not grow between two sequences
FEWEST_VOXELS = 4  # along every axis: what the filters of the coarser levels need


class Registration(NamedTuple):
    """`transform` maps T2w points to T1w points (mm); `stage` is 'aligned', 'rigid', 'affine',
    'bspline' or 'failed'.

    `rigid_mm` and `bspline_mm` are the mean corrections inside the head by each stage; the
    metrics are negative Mattes mutual information (lower is better) before and after. `note` says
    which later stage was given up and why; `smallest_jacobian` is that of the B-spline in the head
    (1: nothing stretched; 0 or less: folded).
    """

    transform: sitk.Transform
    stage: str
    rigid_mm: float
    bspline_mm: float
    metric_before: float
    metric_after: float
    seconds: float
    smallest_jacobian: float = 1.0
    note: str = ""

    @property
    def moves(self) -> sitk.Transform | None:
        """The transform to resample with; None where the images are aligned and nothing is moved."""
        return None if self.stage == "aligned" else self.transform


def _method(sampling: float, seed: int, mask: sitk.Image) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampling, seed)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)  # patients run in parallel; and one thread makes it repeatable
    return method


def _shrink(image: sitk.Image, factor: int) -> sitk.Image:
    """Coarser in-plane, and through-plane only as far as voxels stay near cubic and enough are left."""
    spacing = image.GetSpacing()
    target = factor * min(spacing)
    factors = [
        max(1, min(round(target / s), n // FEWEST_VOXELS))
        for s, n in zip(spacing, image.GetSize(), strict=True)
    ]
    # bins are averaged: sitk.Shrink picks one voxel and is half a voxel off for even factors
    return sitk.BinShrink(image, factors)


def _best_start(fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler3DTransform:
    """As the scanner says, or centre on centre of volumes or of heads: the best mutual information.

    The scanner is right within one session; another couch position or export may lose that.
    """
    starts = [sitk.Euler3DTransform()]
    middle = np.array(fixed.GetSize()) / 2
    starts[0].SetCenter(fixed.TransformContinuousIndexToPhysicalPoint(middle.tolist()))
    filters = sitk.CenteredTransformInitializerFilter
    for kind, pair in (
        (filters.GEOMETRY, (fixed, moving)), (filters.MOMENTS, (head_of(fixed), head_of(moving))),
    ):
        start = sitk.CenteredTransformInitializer(*pair, sitk.Euler3DTransform(), kind)
        starts.append(sitk.Euler3DTransform(start))
    return min(starts, key=lambda start: _metric(fixed, moving, start))


def rigid_registration(fixed: sitk.Image, moving: sitk.Image, seed: int) -> sitk.Transform:
    """Rigid transform from T2w to T1w space, by regular-step descent on two resolutions."""
    transform = _best_start(fixed, moving)
    for factor, sampling, step in ((4, 0.5, 1.0), (2, 0.2, 0.5)):
        small = _shrink(fixed, factor)
        method = _method(sampling, seed, resample(head_of(fixed), small, nearest=True))
        method.SetOptimizerAsRegularStepGradientDescent(
            step, 0.01, 80, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(small, _shrink(moving, factor))
    return transform


def affine_registration(
    fixed: sitk.Image, moving: sitk.Image, rigid: sitk.Transform, seed: int
) -> sitk.Transform:
    """Affine refinement of a rigid transform (scanners that scale their gradients differently)."""
    start = sitk.Euler3DTransform(rigid)
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(start.GetMatrix())
    affine.SetTranslation(start.GetTranslation())
    affine.SetCenter(start.GetCenter())
    small = _shrink(fixed, 2)
    method = _method(0.5, seed, resample(head_of(fixed), small, nearest=True))
    # regular steps, good for the rigid stage, run away along the scales
    method.SetOptimizerAsConjugateGradientLineSearch(1.0, 30, 1e-5, 5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(affine, inPlace=True)
    method.Execute(small, _shrink(moving, 2))
    return affine


def bspline_registration(
    fixed: sitk.Image, moving: sitk.Image, rigid: sitk.Transform, seed: int
) -> sitk.BSplineTransform:
    """B-spline refinement after a rigid transform: averaged stochastic gradient descent.

    Each step draws 5,000 new random samples in the head and moves the control points by a fixed,
    shrinking length; the result is the mean over the second half of the path. Measured on phantoms:
    LBFGS-B on fixed samples fits their noise (95 % of points within 3-4 mm, 7-50 s); new samples
    and averaging do not (within 2.4 mm, 5 s).
    """
    extent = np.array(fixed.GetSize()) * np.array(fixed.GetSpacing())
    mesh = [max(1, round(e / CONTROL_SPACING_MM)) for e in extent]
    spline = sitk.BSplineTransformInitializer(fixed, mesh, 3)
    small, small_moving = _shrink(fixed, 2), _shrink(moving, 2)
    mask = resample(head_of(fixed), small, nearest=True)
    sampling = min(0.99, SAMPLES_PER_STEP / small.GetNumberOfPixels())
    path = []
    for step in range(STEPS):
        method = _method(sampling, seed + step, mask)
        method.SetMovingInitialTransform(rigid)
        method.SetInitialTransform(spline, inPlace=True)
        method.SetOptimizerAsRegularStepGradientDescent(1.0 - 0.7 * step / STEPS, 1e-3, 1)
        method.Execute(small, small_moving)
        if step >= STEPS // 2:
            path.append(spline.GetParameters())
    spline.SetParameters(np.mean(path, axis=0).tolist())
    return spline


def _metric(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    small = _shrink(fixed, 2)
    method = _method(0.3, 1, resample(head_of(fixed), small, nearest=True))
    method.SetMovingInitialTransform(transform)
    method.SetInitialTransform(sitk.Euler3DTransform())
    try:
        return float(method.MetricEvaluate(small, _shrink(moving, 2)))
    except RuntimeError:  # too few samples fall inside the moving image: nothing is shared
        return 0.0


def _reason(error: RuntimeError) -> str:
    """The last line of an error of ITK: those before name its own files."""
    return str(error).strip().rsplit("\n", 1)[-1].rsplit("): ", 1)[-1]


def _spline_problem(spline: sitk.Transform, points: NDArray, jacobian: float) -> str:
    """Why a B-spline cannot be trusted whatever its mutual information; '' if it can."""
    if jacobian <= 0:
        return f"B-spline folds space (Jacobian {jacobian:.2f})"
    largest = float(np.linalg.norm(transform_points(spline, points) - points, axis=1).max())
    if largest > MOST_BSPLINE_MM:
        return f"B-spline moves by {largest:.0f} mm"
    return ""


def register(
    fixed: sitk.Image, moving: sitk.Image, seed: int = 0, use_bspline: bool = True,
    use_affine: bool = False,
) -> Registration:
    """Register `moving` (T1w, or any further modality) to `fixed` (T2w).

    Volumes on one grid that a rigid registration would move by less than 1 mm on average are
    left alone: public data often comes registered, and interpolating again only blurs. A stage that
    cannot be computed, makes mutual information worse, folds space, moves anything by more than 15 mm
    or, affine, changes volume by more than 15 % is given up for the one before, and `note` says so; if
    even the rigid stage does not improve it, nothing is moved and `stage` is 'failed': look at such a
    patient before using it.
    The same seed gives the same transform (to rounding; exactly, on one thread). Raises ValueError
    if either volume is constant.
    """
    start = time.perf_counter()
    for name, image in (("fixed", fixed), ("moving", moving)):
        extrema = sitk.MinimumMaximum(sitk.Cast(image, sitk.sitkFloat32))
        if extrema[0] == extrema[1]:
            raise ValueError(f"the {name} volume is constant: nothing to register")
    points = head_points(fixed, 500, seed)
    identity = sitk.Transform(3, sitk.sitkIdentity)
    before = _metric(fixed, moving, identity)
    try:
        rigid = rigid_registration(fixed, moving, seed + 1)
    except RuntimeError as error:
        return Registration(identity, "failed", 0.0, 0.0, before, before, time.perf_counter() - start,
                            note=f"rigid stage ended: {_reason(error)}")
    rigid_mm = mean_shift(rigid, points)
    if same_grid(fixed, moving) and rigid_mm < ALIGNED_MM:
        return Registration(
            identity, "aligned", rigid_mm, 0.0, before, before, time.perf_counter() - start
        )
    found = Registration(rigid, "rigid", rigid_mm, 0.0, before, _metric(fixed, moving, rigid), 0.0)
    if found.metric_after >= before:
        note = "rigid stage did not improve mutual information"
        found = found._replace(transform=identity, stage="failed", metric_after=before, note=note)
    if use_affine and found.stage == "rigid":
        found = _with_affine(found, fixed, moving, seed + 1)
    if use_bspline and found.stage != "failed":
        found = _with_bspline(found, fixed, moving, points, seed + 1)
    return found._replace(seconds=time.perf_counter() - start)


def _noted(found: Registration, note: str) -> Registration:
    return found._replace(note="; ".join(n for n in (found.note, note) if n))


def _with_affine(
    found: Registration, fixed: sitk.Image, moving: sitk.Image, seed: int
) -> Registration:
    affine = affine_registration(fixed, moving, found.transform, seed)
    change = abs(np.linalg.det(np.reshape(affine.GetMatrix(), (3, 3))) - 1)
    after = _metric(fixed, moving, affine)
    if after < found.metric_after and change <= MOST_VOLUME_CHANGE:
        return found._replace(transform=affine, stage="affine", metric_after=after)
    return _noted(found, f"affine stage given up (volume change {change:.0%})")


def _with_bspline(
    found: Registration, fixed: sitk.Image, moving: sitk.Image, points: NDArray, seed: int
) -> Registration:
    try:
        spline = bspline_registration(fixed, moving, found.transform, seed)
    except RuntimeError as error:
        return _noted(found, f"B-spline ended: {_reason(error)}")
    both = sitk.CompositeTransform([found.transform, spline])
    after, jacobian = _metric(fixed, moving, both), smallest_jacobian(spline, fixed)
    problem = _spline_problem(spline, points, jacobian)
    if after >= found.metric_after or problem:
        return _noted(found, problem or "B-spline did not improve mutual information")
    return found._replace(transform=both, stage="bspline", metric_after=after,
                          bspline_mm=mean_shift(spline, points), smallest_jacobian=jacobian)
