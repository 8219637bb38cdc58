"""Every step has its rule in the Snakefile."""

import json

from pgmif.runs.order import STEPS
from pgmif.runs.records import RECORDS
from pgmif.runs.staleness import stale_steps


def test_every_step_has_its_rule(root):
    text = (root / "Snakefile").read_text()
    for step in STEPS.values():
        assert f"\nrule {step.rule}:\n" in text
        body = text.partition(f"\nrule {step.rule}:\n")[2].partition("\nrule ")[0]
        assert (f'before("{step.name}")' in body) == bool(step.after)
        assert f'product("{step.name}")' in body


def test_what_another_version_made_and_this_one_knows_nothing_of_is_left(tmp_path):
    """An ablation that is no longer there has a record and no rule: it cannot be made again."""
    base = tmp_path / "results" / "mine"
    for stem in ("09_ablations_pooling", "09_ablations_window", "04_cnr_boxplots"):
        outputs = [f"results/mine/{stem}.csv"]
        record = {"step": stem, "key": "old", "outputs": outputs, "products": {}}
        (base / RECORDS).mkdir(parents=True, exist_ok=True)
        (base / RECORDS / f"{stem}.json").write_text(json.dumps(record))
    found = stale_steps(base, {"09_ablations_window": "new"}, evidence=True)
    assert found == {"results/mine/09_ablations_window.csv": "made from something else"}
    assert stale_steps(base, {"09_ablations_window": "new"}, evidence=False) == {}
