"""PGMIF+ is fitted on patients that it is not judged by."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from helpers.plus import HALF, random_sources

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
from pgmif_core.images.patient import PatientSlices
from pgmif_core.methods.pgmif_plus import fuse_plus


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
