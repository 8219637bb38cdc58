"""Every step has its rule in the Snakefile."""

from pgmif.runs.order import STEPS


def test_every_step_has_its_rule(root):
    text = (root / "Snakefile").read_text()
    for step in STEPS.values():
        assert f"\nrule {step.rule}:\n" in text
        body = text.partition(f"\nrule {step.rule}:\n")[2].partition("\nrule ")[0]
        assert (f'before("{step.name}")' in body) == bool(step.after)
        assert f'product("{step.name}")' in body
