"""The same seeds on another processor: the study's rules, and what is committed of it."""

import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest
from studies import replication
from studies.agreement import claim_by_claim, side_by_side
from studies.replication import CLAIMS, MEDIANS, SEEDS, SPREAD, VERDICTS, committed, read, steps


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


@pytest.mark.parametrize("cohort", ["phantom", "real_heads"])
def test_what_another_processor_gave_is_beside_the_tables_in_force(root, cohort):
    """And no verdict turned about there; of five seeds the medians of PGMIF lie within those here."""
    folder = root / "figures" / cohort
    medians, verdicts = read(folder / MEDIANS), read(folder / VERDICTS)
    key, columns = ["method", "measure"], ["seeds", "median", "lowest", "highest"]
    here = medians.rename(columns={f"{c}_here": c for c in columns})[[*key, *columns]]
    again = side_by_side({"committed": read(folder / SPREAD), "here": here})
    pd.testing.assert_frame_equal(again, medians[list(again)], rtol=1e-4, atol=1e-3,
                                  check_dtype=False)
    here = verdicts.rename(columns={"verdict_here": "verdict", "holds_in_here": "holds_in"})
    again = claim_by_claim({"committed": read(folder / CLAIMS),
                            "here": here[["claim", "verdict", "holds_in"]]})
    pd.testing.assert_frame_equal(again, verdicts)
    assert "no" not in set(verdicts["agree"])
    assert set(medians.loc[medians["method"] == "pgmif", "agree"]) == {"yes"}


def test_the_page_says_what_another_processor_gave(root):
    page = " ".join((root / "docs/explanation/length.md").read_text().split())
    said = []
    for cohort in ("phantom", "real_heads"):
        folder = root / "figures" / cohort
        table = read(folder / MEDIANS).query("method != 'pgmif_plus'").set_index(["method", "measure"])
        row, verdicts = table.loc[("pgmif", "cnr")], read(folder / VERDICTS)["agree"]
        there, here = ("{:.2f} ({:.2f} to {:.2f})".format(
            *(row[f"{name}_{where}"] for name in ("median", "lowest", "highest")))
            for where in ("here", "committed"))
        said.append(f"{there} there and {here} here")
        within, same = (table["agree"] == "yes").sum(), (verdicts == "yes").sum()
        for n, whole, what in ((within, len(table), "medians"), (same, len(verdicts), "verdicts")):
            said.append(f"{n} of {whole} {what}" if n < whole else f"all {n} {what}")
        if cohort == "phantom":
            said.append(f"CNR moves by {row['same_seed_percent']:.0f} % of the median, two seeds lie "
                        f"{row['between_percent']:.0f} % apart")
    assert [words for words in said if words not in page] == []
