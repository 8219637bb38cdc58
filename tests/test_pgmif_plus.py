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

from pgmif.steps.pgmif_plus import (
    IDEAS,
    best_settings,
    candidates,
    fitting_rows,
    idea_images,
    idea_settings,
    ideas_summary,
    left_out,
    resampled,
    share_grid,
)
from pgmif_core.gradients import gradient_norm, image_gradient
from pgmif_core.images.patient import PatientSlices
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


SHARES = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame([
        row for seed in range(4) for row in fitting_rows(patient(seed), HALF, SHARES)
    ])


def test_fitting_measures_what_fusing_gives(rows):
    from pgmif_core.evaluation.measures import cnr, sobel_against

    one = patient(2)
    row = rows[(rows["subject"] == "sub-2") & (rows["shares"] == (0.5, 0.5))].iloc[0]
    volume = fuse_plus(torch.from_numpy(one.sources), HALF)[:, 0].numpy()
    assert row["cnr"] == pytest.approx(cnr(volume, one), rel=1e-3)
    assert row["q_t2w"] == pytest.approx(sobel_against(volume, one, 1), rel=1e-3)
    assert row["cnr_source"] == pytest.approx(cnr(one.sources[:, 1], one), rel=1e-4)


def test_fitting_finds_the_source_that_shows_the_tumour(rows):
    table = candidates(rows)
    assert table.sort_values("lower_cnr").iloc[-1]["shares"] == (0.0, 1.0)
    assert table["score"].is_monotonic_decreasing


def test_shortfalls_count_against_shares(rows):
    fine = rows.assign(q_t1w=0.9, q_t2w=0.9, cut=0.0, correlation=0.5)
    assert (candidates(fine)["shortfall"] == 0).all()
    assert best_settings(fine, HALF).shares == (0.0, 1.0)
    mine = fine["shares"] == (0.0, 1.0)
    for column, value in (("q_t2w", -9.0), ("cut", 9.0)):
        assert best_settings(fine.mask(mine, fine.assign(**{column: value})), HALF).shares != (0.0, 1.0)
    inverted = fine.copy()
    inverted.loc[mine & (fine["subject"] == "sub-1"), "correlation"] = -9.0
    assert best_settings(inverted, HALF).shares != (0.0, 1.0)


def test_left_out_patients_take_no_part_in_their_own_settings(rows):
    every = left_out(rows, HALF)
    assert list(every["subject"]) == sorted(rows["subject"].unique())
    assert every["left_out"].all()
    absurd = rows.copy()
    absurd.loc[(absurd["subject"] == "sub-0") & (absurd["shares"] == (1.0, 0.0)), "cnr"] = 1e6
    mine = left_out(absurd, HALF).set_index("subject").loc["sub-0"]
    assert mine["shares"] == best_settings(rows[rows["subject"] != "sub-0"], HALF).shares
    alone = left_out(rows[rows["subject"] == "sub-0"], HALF)
    assert not alone["left_out"].any()


def test_resampling_repeats_itself(rows):
    assert resampled(rows, HALF, 3) == resampled(rows, HALF, 3)
    one = rows[rows["subject"] == "sub-0"]
    assert {s.shares for s in resampled(one, HALF, 3)} == {best_settings(one, HALF).shares}


def test_shares_fill_the_grid():
    assert len(share_grid(2)) == 11
    assert len(share_grid(3)) == 21
    assert all(sum(s) == pytest.approx(1) for s in share_grid(3))


@pytest.mark.parametrize("modalities", [("T1w", "T2w"), ("T1w", "T2w", "ceT1w")])
def test_every_idea_changes_the_image(modalities):
    sources = random_sources((1, len(modalities), 60, 60), 3)
    whole, shares = idea_settings("PGMIF+", modalities)
    assert len(shares) > 10
    for idea in IDEAS:
        own, choice = idea_settings(idea, modalities)
        if idea == "equal shares":
            assert choice == [own.shares]
        elif idea != "PGMIF+":
            assert (fuse_plus(sources, own) - fuse_plus(sources, whole)).abs().max() > 1e-3, idea


def test_images_and_summary_of_the_ideas(rows):
    images = idea_images(patient(0), HALF)
    assert {"t1w", "t2w", "t2w_standardised", "PGMIF+", "no gain"} <= set(images)
    assert all(i.shape == (48, 48) for i in images.values())
    judged = left_out(rows, HALF).assign(cnr_ratio=1.0)
    table = pd.concat([judged.assign(idea=i) for i in ("PGMIF+", "no gain")])
    summary = ideas_summary(table)
    assert list(summary["idea"]) == ["PGMIF+", "no gain"]
    assert (summary["inverted"] <= 4).all()
