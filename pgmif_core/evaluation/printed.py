"""Can the paper's printed medians, quartiles and P values all hold? Worked out, not judged by eye."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp

from pgmif_core.evaluation.statistics import mann_whitney
from pgmif_core.methods.names import TARGET

PATIENTS = 10  # test patients per method: Methods, "Data"
SEPARATION = 1e-4  # printed values have three decimals: closer ones count as equal


def samples_with_u(u: int, n_first: int, n_second: int) -> tuple[list[float], list[float]]:
    """Two samples without ties whose Mann-Whitney U (of the first) is `u`.

    Raises ValueError where U is outside [0, n_first · n_second].
    """
    if not 0 <= u <= n_first * n_second:
        raise ValueError(f"U must lie in [0, {n_first * n_second}], found {u}")
    exceeded = np.diff(np.minimum(np.arange(n_first + 1) * n_second, u))  # of the second, per value
    first = [count - 0.5 + 0.01 * i for i, count in enumerate(exceeded)]
    return first, [float(k) for k in range(n_second)]


def exact_p(u: int, n_first: int = PATIENTS, n_second: int = PATIENTS) -> float:
    """Two-sided exact P of a Mann-Whitney U without ties."""
    return mann_whitney(*samples_with_u(u, n_first, n_second)).p


def largest_u_below(p: float, n: int = PATIENTS) -> int:
    """The largest U (counted from its small side) whose exact two-sided P lies below p; −1 if none."""
    return max((u for u in range(n * n // 2 + 1) if exact_p(u, n, n) < p), default=-1)


def _quartile_rows(n: int) -> np.ndarray:
    """Rows that take the lower quartile, median, upper quartile of n sorted values (linear)."""
    rows = np.zeros((3, n))
    for row, share in zip(rows, (0.25, 0.5, 0.75), strict=True):
        position = share * (n - 1)
        low = int(position)
        row[low] += 1 - (position - low)
        if position > low:
            row[low + 1] += position - low
    return rows


def possible_u(
    first: Sequence[float], second: Sequence[float], n: int = PATIENTS, decimals: int = 3
) -> tuple[int, int] | None:
    """Smallest and largest number of pairs in which `second` exceeds `first`, given their quartiles.

    `first` and `second` are (q1, median, q3) of n values each, printed with `decimals`. A mixed-integer
    programme over all samples with these quartiles that share no value; None where no sample has them,
    as when a median lies outside its quartiles.
    """
    # in units of the separation: with values near 1, HiGHS calls some programmes infeasible that are not
    half = 0.5 * 10.0**-decimals / SEPARATION
    first, second = ([v / SEPARATION for v in printed] for printed in (first, second))
    reach = 4 * max(map(abs, (*first, *second, 1 / SEPARATION)))  # further out the same pairs count
    order = np.eye(n, k=1)[:-1] - np.eye(n)[:-1]
    blocks, lows, highs = [], [], []
    for position, printed in enumerate((first, second)):
        padded = np.zeros((n - 1 + 3, 2 * n + n * n))
        padded[:, position * n : (position + 1) * n] = np.vstack((order, _quartile_rows(n)))
        blocks.append(padded)
        lows += [0] * (n - 1) + [v - half for v in printed]
        highs += [np.inf] * (n - 1) + [v + half for v in printed]
    pairs = np.zeros((n * n, 2 * n + n * n))
    for k, (i, j) in enumerate(np.ndindex(n, n)):  # z = 1 exactly where second[j] > first[i]
        pairs[k, [n + j, i, 2 * n + k]] = 1, -1, -2 * reach
    blocks.append(pairs)
    lows += [1 - 2 * reach] * n * n
    highs += [-1] * n * n
    constraint = LinearConstraint(np.vstack(blocks), lows, highs)
    bounds = Bounds([-reach] * 2 * n + [0] * n * n, [reach] * 2 * n + [1] * n * n)
    binary = np.r_[np.zeros(2 * n), np.ones(n * n)]
    found = []
    for sign in (1, -1):
        solved = milp(sign * binary, constraints=constraint, bounds=bounds, integrality=binary)
        if solved.x is None:
            return None
        found.append(round(float(binary @ solved.x)))
    return found[0], found[1]


def printed_consistency(published: pd.DataFrame, patients: int = 10) -> pd.DataFrame:
    """Whether the paper's printed P values can come from its printed medians and quartiles.

    U counts the pairs in which the other method exceeds PGMIF. `u_needed`: the largest U with an
    exact P below the printed one, `p_needed` and `p_next` the exact P at it and at the next U;
    `u_least` and `u_most`: what samples with the printed quartiles allow (`published.possible_u`).
    """
    rows = []
    for (metric, reference), group in published.groupby(["metric", "reference"], dropna=False):
        group = group.set_index("method")
        mine = _printed_quartiles(group.loc[TARGET])
        for name, row in group.drop(TARGET).iterrows():
            allowed = possible_u(mine, _printed_quartiles(row), patients)
            p = row["p_versus_pgmif"]
            needed = largest_u_below(p, patients) if p == p else np.nan
            rows.append({
                "metric": metric, "reference": reference, "method": name, "p_printed": p,
                "u_needed": needed,
                "p_needed": exact_p(needed, patients, patients) if p == p else np.nan,
                "p_next": exact_p(needed + 1, patients, patients) if p == p else np.nan,
                "u_least": allowed[0] if allowed else np.nan,
                "u_most": allowed[1] if allowed else np.nan,
                "verdict": _consistency(allowed, needed),
            })
    return pd.DataFrame(rows)


def _printed_quartiles(row: pd.Series) -> Sequence[float]:
    return tuple(float(row[c]) for c in ("q1", "median", "q3"))


def _consistency(allowed: tuple[int, int] | None, needed: float) -> str:
    if allowed is None:
        return "impossible: no sample has these quartiles"
    if needed != needed:
        return "no P printed"
    return "possible" if allowed[0] <= needed else "impossible: the quartiles overlap too much"
