"""What the map of training lengths says: where seeds end alike, and where training stands still."""

import pandas as pd

MEASURES = ("cnr", "q_t1w", "q_t2w", "ssim_t2w")
SHOWN = {"cnr": "CNR", "q_t2w": "Q against T2w", "ssim_t2w": "SSIM to T2w"}  # those that are drawn
CASE = ["method", "recipe", "epsilon", "scale", "annealed", "averaged"]
AGREE = 5.0  # percent: up to here seeds are said to agree, and training to stand still


def apart_and_moved(now: pd.DataFrame, before: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Sample SD between seeds ÷ |mean|, and how far the mean moved since `before`; percent, by measure.

    Both frames: a row per seed, a column per measure. One seed is NaN apart from others; moved are those
    that are in both, NaN where none is.
    """
    both = now.index.intersection(before.index)
    moved = now.loc[both].mean() / before.loc[both].mean() - 1
    return 100 * now.std() / now.mean().abs(), 100 * moved.abs()


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """One row per case, length and measure with two seeds or more.

    `median`, `lowest`, `highest`: of the seeds' medians over patients left out. `cv_percent`: sample SD
    between seeds ÷ |mean|. `moved_percent`: of the mean since the length before, as a part of it, over
    the seeds that reached both; NaN where none did. `settled`: "yes" where both are at most 5 %.
    """
    rows = []
    for case, part in table.groupby(CASE, sort=False):
        before = part.iloc[:0].set_index("seed")[list(MEASURES)]
        for iterations, seeds in part.groupby("iterations"):
            if len(seeds) < 2:
                continue
            own = seeds.set_index("seed")[list(MEASURES)]
            cv, moved = apart_and_moved(own, before)
            before = own
            rows += [{
                **dict(zip(CASE, case, strict=True)), "iterations": iterations, "measure": name,
                "seeds": len(seeds), "median": seeds[name].median(), "lowest": seeds[name].min(),
                "highest": seeds[name].max(), "cv_percent": cv[name], "moved_percent": moved[name],
                "settled": "yes" if cv[name] <= AGREE and moved[name] <= AGREE else "no",
            } for name in MEASURES]
    return pd.DataFrame(rows)
