"""PGMIF+: its equations, and settings that are refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from helpers.plus import HALF, random_sources
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import spsolve

from pgmif_core.gradients import gradient_norm, image_gradient
from pgmif_core.methods.pgmif_plus import (
    PlusSettings,
    fuse_plus,
    read_settings,
    saliency,
    standardised,
    steepened,
    target_gradient,
    write_settings,
)
from pgmif_core.methods.registry import METHODS

GOOD = {"method": "pgmif_plus", "shares": [0.5, 0.5], "sequences": ["T1w", "T2w"]}


@pytest.mark.parametrize(("name", "value"), [
    ("shares", [math.nan, math.nan]), ("shares", ["a", "b"]), ("shares", [0.5, 0.5] + [0.0] * 5),
    ("shares", [1.5, -0.5]), ("shares", "ab"), ("shares", None), ("gain", 1e308), ("gain", math.inf),
    ("gain", True), ("gain", 0), ("calm_gain", math.nan), ("edge", 1e-308), ("screening", math.inf),
    ("screening", 1e-300), ("standardised", "no"), ("compressed", 1), ("tensor", None),
    ("sequences", "T1w"), ("sequences", [1, 2]), ("method", "pgmif"), ("unknown", 1),
])
def test_settings_of_pgmif_plus_are_checked(tmp_path, name, value):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(GOOD))
    fused = METHODS["pgmif_plus"](torch.rand(1, 2, 32, 32), read_settings(path))
    assert torch.isfinite(fused).all()
    path.write_text(json.dumps({**GOOD, name: value}))
    with pytest.raises(ValueError, match="settings of pgmif_plus"):
        read_settings(path)


def test_settings_made_in_code_are_checked_too():
    with pytest.raises(ValueError, match="gain"):
        PlusSettings((0.5, 0.5), gain=math.nan)


@pytest.mark.parametrize("text", ['{"a":' * 50_000, '{"method": "pgmif_plus"', "[]", "\0"])
def test_damaged_settings_are_refused(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match="expected settings of pgmif_plus"):
        read_settings(tmp_path / "s.json")


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 3), st.integers(3, 40), st.integers(3, 40), st.booleans(), st.booleans())
def test_any_size_any_number_of_sources(modalities, height, width, standard, compressed):
    own = PlusSettings((1 / modalities,) * modalities, standardised=standard, compressed=compressed)
    sources = random_sources((2, modalities, height, width))
    before = sources.clone()
    fused = fuse_plus(sources, own)
    assert fused.shape == (2, 1, height, width)
    assert fused.dtype == sources.dtype
    assert fused.min() >= 0
    assert fused.max() <= 1
    assert torch.equal(sources, before)


def test_slices_do_not_depend_on_their_batch():
    sources = random_sources((3, 2, 33, 40))
    one = torch.cat([fuse_plus(part, HALF) for part in sources.split(1)])
    torch.testing.assert_close(fuse_plus(sources, HALF), one, atol=1e-6, rtol=0)


def test_landmarks_land_where_they_should():
    sources = random_sources((1, 2, 50, 61))
    done = standardised(sources)
    for image, tissue in zip(done[0], sources[0] > 0.08, strict=True):
        np.testing.assert_allclose(np.percentile(image[tissue], (25, 75)), (0.3, 0.6), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 0.9), st.integers(0, 50))
def test_standardising_undoes_a_scaled_slice(factor, seed):
    image = 0.2 + 0.6 * random_sources((1, 1, 40, 40), seed)
    both = standardised(torch.cat((image, factor * image), dim=1))[0]
    middle = (both[0] > 0.01) & (both[0] < 0.6)
    torch.testing.assert_close(both[1][middle], both[0][middle], atol=2e-3, rtol=0)


def test_standardising_keeps_order_and_empty_slices():
    ramp = torch.linspace(0, 1, 900).view(1, 1, 30, 30)
    assert (standardised(ramp).flatten().diff() > 0).all()
    for dull in (torch.zeros(1, 2, 20, 20), torch.ones(1, 2, 20, 20)):
        assert torch.equal(standardised(dull), dull)


def test_the_target_of_one_image_is_its_normalized_gradient():
    image = random_sources((1, 1, 30, 41)).double()
    gradient = image_gradient(image)[:, 0]
    length = gradient_norm(gradient[:, None])
    tissue = image > 0.08
    epsilon = HALF.edge * length[tissue].mean()
    expected = gradient / (1 + (length / epsilon) ** 2).sqrt()
    field = target_gradient(image.expand(1, 2, 30, 41), HALF)
    torch.testing.assert_close(field, expected, atol=1e-9, rtol=0)


def test_the_target_of_the_mean_is_that_of_the_mean():
    own = replace(HALF, tensor=False, compressed=False)
    sources = random_sources((1, 2, 20, 23)).double()
    weights = torch.tensor(own.gradient_weights, dtype=torch.float64)[:, None, None]
    expected = image_gradient((sources * weights).sum(1, keepdim=True))[:, 0]
    torch.testing.assert_close(target_gradient(sources, own), expected)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_gradient_weights_sum_to_one_and_favour_t2w(modalities):
    weights = PlusSettings((1 / modalities,) * modalities).gradient_weights
    assert sum(weights) == pytest.approx(1)
    assert max(weights) == weights[1] == 0.65


def test_calm_tissue_is_steepened_less():
    rng = np.random.default_rng(0)
    image = 0.4 + 0.01 * rng.standard_normal((1, 2, 64, 64))
    image[..., 32:] += 0.1 * rng.standard_normal((1, 2, 64, 32))
    sources = torch.from_numpy(image.clip(0, 1)).float()
    salient = saliency(target_gradient(sources, HALF), sources)[0, 0]
    assert salient.shape == (64, 64)
    assert salient.min() >= 0
    assert salient.max() < 1
    assert salient[:, 42:].mean() > 0.9
    assert salient[:, :20].mean() < 0.2
    calm, one = (steepened(sources, replace(HALF, gain=3.0, calm_gain=c))[0] for c in (1.0, 3.0))
    ratio = (calm / one)[:, :-1, :20].nanmedian()
    assert 1 / 3 <= ratio < 0.5
    assert 0.9 < (calm / one)[:, :-1, 42:-1].nanmedian() <= 1


def test_an_inverted_source_does_not_invert_the_image():
    image = random_sources((1, 1, 40, 40))
    fused = fuse_plus(torch.cat((0.5 - 0.2 * image, image), dim=1), replace(HALF, shares=(0.3, 0.7)))
    assert np.corrcoef(fused.flatten(), image.flatten())[0, 1] > 0.5


def test_solution_by_a_sparse_solver():
    own = replace(HALF, shares=(0.3, 0.7), gain=1.3)
    sources = 0.4 + 0.2 * random_sources((1, 2, 11, 14)).double()
    images = standardised(sources)
    field = steepened(images, own)[0].numpy()
    h, w = images.shape[-2:]

    def difference(n):
        d = sparse.lil_matrix((n, n))
        for i in range(n - 1):
            d[i, i], d[i, i + 1] = -1, 1
        return d.tocsr()

    down = sparse.kron(difference(h), sparse.eye(w))
    right = sparse.kron(sparse.eye(h), difference(w))
    base = 0.3 * images[0, 0].numpy() + 0.7 * images[0, 1].numpy()
    system = down.T @ down + right.T @ right + own.screening * sparse.eye(h * w)
    wanted = down.T @ field[0].ravel() + right.T @ field[1].ravel() + own.screening * base.ravel()
    expected = np.clip(spsolve(system.tocsc(), wanted).reshape(h, w), 0, 1)
    np.testing.assert_allclose(fuse_plus(sources, own)[0, 0], expected, atol=1e-9)


@pytest.mark.parametrize("wrong", [
    {"shares": (1.0,)}, {"shares": (0.5, 0.6)}, {"shares": (-0.5, 1.5)}, {"gain": 0.0},
    {"edge": -1.0}, {"screening": float("nan")},
])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"shares|gain|edge|screening"):
        replace(HALF, **wrong)


def test_settings_for_another_number_of_sources_are_refused():
    with pytest.raises(ValueError, match="fuse 2 modalities, found 3"):
        fuse_plus(torch.zeros(1, 3, 20, 20), HALF)


def test_settings_come_back_from_their_file(tmp_path):
    own = PlusSettings((0.25, 0.75), 2.0, 1.5, 0.1, tensor=False, sequences=("T1w", "T2w"))
    assert read_settings(write_settings(own, tmp_path / "settings.json")) == own


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"method": "pgmif"}',
                                  '{"method": "pgmif_plus", "shares": [2, 3]}',
                                  '{"method": "pgmif_plus", "shares": [0.5, 0.5], "colour": 1}'])
def test_foreign_settings_are_refused(tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"settings\.json"):
        read_settings(path)
    with pytest.raises(ValueError, match="found no file"):
        read_settings(tmp_path / "absent.json")
