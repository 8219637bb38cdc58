"""The same seeds on another processor: the study's rules, and what is committed of it."""

import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest
from studies import replication
from studies.replication import CLAIMS, SEEDS, SPREAD, committed, steps


def seeds(*values, method="pgmif"):
    return pd.DataFrame([{"method": method, "seed": k, "cnr": cnr, "q_t1w": 0.7}
                         for k, cnr in enumerate(values)])


def test_steps_between_processors_and_between_seeds_by_hand():
    """Of seeds 2, 4, 5 with the median 4, pairs lie 2, 3 and 1 apart; they moved by 0, 1 and 3."""
    row = steps(seeds(2.0, 4.0, 5.0), seeds(2.0, 3.0, 8.0)).set_index("measure")
    assert row.loc["cnr", ["same_seed_percent", "between_percent"]].tolist() == [25, 50]
    assert row.loc["q_t1w", ["same_seed_percent", "between_percent"]].tolist() == [0, 0]
    below = steps(seeds(-2.0, -4.0), seeds(-1.0, -4.0)).iloc[0]
    assert (below["same_seed_percent"], below["between_percent"]) == pytest.approx((100 / 6, 200 / 3))


def test_a_seed_or_a_method_that_is_not_here_is_no_step_of_nothing():
    there = pd.concat([seeds(2.0, 4.0), seeds(1.0, method="gmmci")])
    table = steps(there, seeds(2.0)).query("measure == 'cnr'").set_index("method")
    assert table.loc["pgmif", "same_seed_percent"] == 0  # of the seed that is
    assert table.loc["gmmci"].isna()[["same_seed_percent", "between_percent"]].all()


def test_tables_are_those_of_the_commit(tmp_path):
    run = SimpleNamespace(root=tmp_path, figures=tmp_path / "figures" / "phantom")
    run.figures.mkdir(parents=True)
    (run.figures / SPREAD).write_text("method,seeds\npgmif,5\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "First"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    (run.figures / SPREAD).write_text("method,seeds\npgmif,1\n")
    assert committed(run, "HEAD", SPREAD)["seeds"].tolist() == [5]
    with pytest.raises(SystemExit, match=f"figures/phantom/{SEEDS}: expected it at commit HEAD, found"):
        committed(run, "HEAD", SEEDS)


def test_both_tables_of_what_is_committed_and_here():
    spread = pd.DataFrame({"method": ["pgmif"], "measure": "cnr", "seeds": 2, "median": 3.0,
                           "lowest": 2.0, "highest": 4.0})
    claim = pd.DataFrame([{"claim": "a", "counts": "yes", "verdict": "holds", "holds_in": "2 of 2"}])
    there = {SPREAD: spread, CLAIMS: claim, SEEDS: seeds(2.0, 4.0)}
    here = {SPREAD: spread.assign(median=4.5), CLAIMS: claim.assign(verdict="not reproduced"),
            SEEDS: seeds(4.0, 5.0)}
    medians, verdicts = replication.replication(there.get, here.get)
    row = medians.iloc[0]
    assert (row["median_committed"], row["median_here"], row["agree"]) == (3, 4.5, "no")
    assert row["outside_percent"] == pytest.approx(100 * 0.5 / 3)
    assert row[["same_seed_percent", "between_percent"]].tolist() == pytest.approx([50, 200 / 3])
    assert verdicts[["verdict_committed", "verdict_here", "agree"]].iloc[0].tolist() == [
        "holds", "not reproduced", "no"]
