from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sparse
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.sparse.linalg import spsolve

from pgmif_core.gradients import gradient_norm, image_gradient
from pgmif_core.pgmif_plus import (
    PlusSettings,
    fuse_plus,
    read_settings,
    standardised,
    target_gradient,
    write_settings,
)
from pgmif_core.plus_fitting import (
    best_settings,
    candidates,
    fitting_rows,
    left_out,
    resampled,
    share_grid,
)
from pgmif_core.slices import PatientSlices

HALF = PlusSettings((0.5, 0.5))


def random_sources(shape, seed=0):
    noise = np.random.default_rng(seed).random(shape)
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1, 1))
    return torch.from_numpy((smooth - smooth.min()) / np.ptp(smooth)).float()


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
    expected = epsilon * gradient / (length + epsilon)
    field = target_gradient(image.expand(1, 2, 30, 41), HALF)
    torch.testing.assert_close(field, expected, atol=1e-9, rtol=0)


def test_an_inverted_source_does_not_invert_the_image():
    image = random_sources((1, 1, 40, 40))
    strong = torch.cat((image, 0.5 - 0.2 * image), dim=1)
    fused = fuse_plus(strong, HALF)
    assert np.corrcoef(fused.flatten(), image.flatten())[0, 1] > 0.5


def test_solution_by_a_sparse_solver():
    own = replace(HALF, shares=(0.3, 0.7), gain=1.3)
    sources = 0.4 + 0.2 * random_sources((1, 2, 11, 14)).double()
    images = standardised(sources)
    field = own.gain * target_gradient(images, own)[0].numpy()
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
    own = PlusSettings((0.25, 0.75), 2.0, 1.5, 0.1, sequences=("T1w", "T2w"))
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


def patient(seed, size=48):
    """Dark tissue with a tumour that only the second source shows; the first has edges of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    head = (y - 24) ** 2 + (x - 24) ** 2 < 22**2
    gtv = (y - 20) ** 2 + (x - 20) ** 2 < 25
    reference = (np.abs(y - 33) < 4) & (np.abs(x - 28) < 4)
    first = head * (0.4 + 0.1 * (x > 24)) + 0.01 * rng.standard_normal((4, size, size))
    second = head * 0.3 + 0.25 * gtv + 0.01 * rng.standard_normal((4, size, size))
    sources = np.clip(np.stack((first, second), axis=1), 0, 1).astype(np.float32)
    sources[:, :, 24, 5] = 1.0
    masks = [np.repeat(mask[None], 4, axis=0) for mask in (gtv, reference)]
    return PatientSlices(f"sub-{seed}", sources, *masks, sitk.Image([size, size, 4], sitk.sitkFloat32))


@pytest.fixture(scope="module")
def rows():
    shares = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    return pd.DataFrame([
        row for seed in range(4) for row in fitting_rows(patient(seed), HALF, shares, (0.1,), (1.0, 2.0))
    ])


def test_fitting_measures_what_fusing_gives(rows):
    from pgmif_core.evaluation import cnr, sobel_against

    one = patient(2)
    row = rows[(rows["subject"] == "sub-2") & (rows["gain"] == 2)]
    row = row[row["shares"] == (0.5, 0.5)].iloc[0]
    own = replace(HALF, gain=2.0, screening=0.1)
    volume = fuse_plus(torch.from_numpy(one.sources), own)[:, 0].numpy()
    assert row["cnr"] == pytest.approx(cnr(volume, one), rel=1e-3)
    assert row["q_t2w"] == pytest.approx(sobel_against(volume, one, 1), rel=1e-3)


def test_fitting_finds_the_source_that_shows_the_tumour(rows):
    table = candidates(rows)
    by_cnr = table.sort_values("lower_cnr").iloc[-1]
    assert by_cnr["shares"] == (0.0, 1.0)
    assert set(best_settings(rows, HALF).shares) <= {0.0, 0.5, 1.0}


def test_candidates_that_reach_the_aims_come_first(rows):
    changed = rows.assign(q_t1w=0.9, q_t2w=0.9, cut=0.0, correlation=0.5)
    assert best_settings(changed, HALF).shares == (0.0, 1.0)
    inverted = changed["shares"] == (0.0, 1.0)
    changed.loc[inverted & (changed["subject"] == "sub-1"), "correlation"] = -0.1
    assert best_settings(changed, HALF).shares != (0.0, 1.0)


def test_left_out_patients_take_no_part_in_their_own_settings(rows):
    every = left_out(rows, HALF)
    assert list(every["subject"]) == sorted(rows["subject"].unique())
    absurd = rows.copy()
    absurd.loc[absurd["subject"] == "sub-0", "cnr"] *= 1e3
    mine = left_out(absurd, HALF).set_index("subject").loc["sub-0"]
    expected = best_settings(rows[rows["subject"] != "sub-0"], HALF)
    assert (mine["gain"], mine["shares"]) == (expected.gain, expected.shares)
    with pytest.raises(ValueError, match="at least two"):
        left_out(rows[rows["subject"] == "sub-0"], HALF)


def test_resampling_repeats_itself(rows):
    assert resampled(rows, HALF, 3) == resampled(rows, HALF, 3)


def test_shares_fill_the_grid():
    assert len(share_grid(2)) == 11
    assert len(share_grid(3)) == 21
    assert all(sum(s) == pytest.approx(1) for s in share_grid(3))
