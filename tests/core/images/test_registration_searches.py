"""How each stage of a registration searches: as was measured (`make study NAME=registration`).

Another setting is no fault by itself, but then figures and study have to be made again.
"""

from functools import partial
from unittest.mock import MagicMock

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif_core.images import registration
from pgmif_core.images.displacements import head_of
from pgmif_core.images.registration import _shrink, register
from pgmif_core.images.volumes import resample

DESCENT, LINES = "SetOptimizerAsRegularStepGradientDescent", "SetOptimizerAsConjugateGradientLineSearch"
FINE = {"relaxationFactor": 0.6, "gradientMagnitudeTolerance": 1e-6}


@pytest.fixture
def searched(phantom, monkeypatch):
    """The settings of every search that `stage(fixed, moving, …)` begins; none is carried out."""
    def run(stage, *more, fixed=phantom.T2w, moving=phantom.T1w):
        methods = []

        def method(*asked):
            methods.append((asked, MagicMock()))
            return methods[-1][1]

        monkeypatch.setattr(registration, "_method", method)
        result = stage(fixed, moving, *more)
        found = []
        for (sampling, seed, mask), mock in methods:
            calls = {name: (args, named) for name, args, named in mock.method_calls}
            images = (calls.get("Execute") or calls["MetricEvaluate"])[0]
            small = images[0]
            inside = sitk.GetArrayFromImage(resample(head_of(fixed), small, nearest=True))
            np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), inside)
            factor = next(f for f in range(1, 9) if _shrink(fixed, f).GetSize() == small.GetSize())
            assert images[1].GetSize() == _shrink(moving, factor).GetSize()
            optimizer = {name: call for name, call in calls.items() if name.startswith("SetOptimizerAs")}
            found.append((sampling, seed, factor, optimizer))
        return found, result
    return run


def test_the_rigid_search(searched, monkeypatch):
    monkeypatch.setattr(registration, "_best_start", lambda *_: sitk.Euler3DTransform())
    found, _ = searched(registration.rigid_registration, 7)
    assert found == [(0.5, 7, 4, {DESCENT: ((1.0, 0.01, 80), FINE)}),
                     (0.2, 7, 2, {DESCENT: ((0.5, 0.01, 80), FINE)})]


def test_the_affine_search(searched):
    found, _ = searched(registration.affine_registration, sitk.Euler3DTransform(), 7)
    assert found == [(0.5, 7, 2, {LINES: ((1.0, 30, 1e-5, 5), {})})]


def test_the_search_of_a_spline(searched, phantom):
    """Forty steps, ever shorter, each on five thousand samples of its own."""
    found, spline = searched(registration.bspline_registration, sitk.Euler3DTransform(), 7)
    pixels = _shrink(phantom.T2w, 2).GetNumberOfPixels()
    assert [f[:3] for f in found] == [(5000 / pixels, 7 + k, 2) for k in range(40)]
    steps = [f[3][DESCENT] for f in found]
    assert [(args[1:], named) for args, named in steps] == [((1e-3, 1), {})] * 40
    np.testing.assert_allclose([args[0] for args, _ in steps], 1 - 0.7 * np.arange(40) / 40)
    extent = np.array(phantom.T2w.GetSize()) * phantom.T2w.GetSpacing()
    assert spline.GetTransformDomainMeshSize() == tuple(np.rint(extent / 40).astype(int))


def test_a_spline_of_few_pixels_is_searched_on_nearly_all_of_them(searched, phantom):
    few = phantom.T2w[::8, ::8, ::2]
    assert _shrink(few, 2).GetNumberOfPixels() < 5000
    search = partial(searched, registration.bspline_registration, sitk.Euler3DTransform(), 0)
    found, _ = search(fixed=few, moving=few)
    assert {f[0] for f in found} == {0.99}
    thin = sitk.Image(few)
    thin.SetSpacing((1.0, 1.0, 0.1))
    _, spline = search(fixed=thin, moving=thin)
    assert spline.GetTransformDomainMeshSize() == (1, 1, 1)


def test_the_mean_of_the_second_half_of_a_splines_path_counts(phantom, monkeypatch):
    """Every step moves all control points by one millimetre more: from 21 to 40 in the last twenty."""
    def method(*_):
        mock = MagicMock()

        def begin(spline, inPlace):
            mock.Execute = lambda *_: spline.SetParameters([p + 1 for p in spline.GetParameters()])

        mock.SetInitialTransform = begin
        return mock

    monkeypatch.setattr(registration, "_method", method)
    spline = registration.bspline_registration(phantom.T2w, phantom.T1w, sitk.Euler3DTransform(), 0)
    np.testing.assert_allclose(spline.GetParameters(), 30.5)


def test_mutual_information_is_looked_at_with_the_same_samples_every_time(searched):
    found, value = searched(registration._metric, sitk.Euler3DTransform())
    assert found == [(0.3, 1, 2, {})]
    assert value == 1.0  # of a mock


def test_a_search_counts_in_32_bins_on_one_thread_in_the_head_alone(monkeypatch, phantom):
    head, asked = head_of(phantom.T2w), {}
    wanted = {"SetMetricAsMattesMutualInformation": (32,), "SetMetricSamplingPercentage": (0.5, 3),
              "SetMetricFixedMask": (head,), "SetInterpolator": (sitk.sitkLinear,),
              "SetMetricSamplingStrategy": (sitk.ImageRegistrationMethod.RANDOM,),
              "SetNumberOfThreads": (1,)}
    for name in wanted:
        monkeypatch.setattr(sitk.ImageRegistrationMethod, name,
                            lambda _, *given, name=name: asked.update({name: given}))
    registration._method(0.5, 3, head)
    assert asked == wanted


def test_the_scanners_own_start_turns_about_the_middle_of_the_volume(phantom, monkeypatch):
    starts = []
    monkeypatch.setattr(registration, "_metric", lambda *given: starts.append(given[2]) or len(starts))
    best = registration._best_start(phantom.T2w, phantom.T1w)
    middle = [(n - 1) / 2 for n in phantom.T2w.GetSize()]
    half = np.array(phantom.T2w.GetSpacing()) / 2
    expected = phantom.T2w.TransformContinuousIndexToPhysicalPoint(middle)
    np.testing.assert_allclose(best.GetCenter(), expected, atol=half.max() * 1.01)
    assert best.GetParameters() == (0,) * 6
    assert len(starts) == 3


@pytest.mark.parametrize("seed", [None, 5])
def test_every_stage_draws_by_the_seed_after_that_of_the_points(phantom, monkeypatch, seed):
    drawn = []

    def stage(name, result):
        def made(*given):
            drawn.append((name, given[-1]))
            return result
        return made

    for name, result in (("rigid", sitk.TranslationTransform(3, (9.0, 0.0, 0.0))),
                         ("affine", sitk.AffineTransform(3)),
                         ("bspline", sitk.TranslationTransform(3, (1.0, 0.0, 0.0)))):
        monkeypatch.setattr(registration, f"{name}_registration", stage(name, result))
    monkeypatch.setattr(registration, "head_points",
                        lambda *given: drawn.append(given[1:]) or np.zeros((1, 3)))
    monkeypatch.setattr(registration, "smallest_jacobian", lambda *_: 1.0)
    values = iter(range(0, -9, -1))
    monkeypatch.setattr(registration, "_metric", lambda *_: next(values))
    given = {} if seed is None else {"seed": seed}
    found = register(phantom.T2w, phantom.T1w, use_affine=True, **given)
    seed = seed or 0
    assert drawn == [(500, seed), ("rigid", seed + 1), ("affine", seed + 1), ("bspline", seed + 1)]
    assert found.stage == "bspline"
    assert 0 < found.seconds < 60


@pytest.mark.parametrize(("rigid", "stage"), [
    (RuntimeError("nothing of it is inside"), "failed"), (sitk.Euler3DTransform(), "aligned")])
def test_where_nothing_is_moved_no_correction_is_told(phantom, monkeypatch, rigid, stage):
    def made(*_):
        if isinstance(rigid, Exception):
            raise rigid
        return rigid

    monkeypatch.setattr(registration, "rigid_registration", made)
    found = register(phantom.T2w, phantom.T2w)
    assert found.stage == stage
    assert (found.rigid_mm, found.bspline_mm, found.smallest_jacobian) == (0, 0, 1)
    assert 0 < found.seconds < 60
    assert found.note == ("rigid stage ended: nothing of it is inside" if stage == "failed" else "")
