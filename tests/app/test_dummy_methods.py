"""A method is its function or loss and one row; command, parameters, tables, figures, pages see it."""

import subprocess
import sys

DUMMIES = """
import torch
from pgmif_core.methods import names

def dummy_rule(sources):
    \"\"\"Dummy rule: the darkest source.\"\"\"
    return sources.amin(dim=1, keepdim=True)

def dummy_loss(fused, sources, epsilon):
    \"\"\"Dummy content term.\"\"\"
    return (fused - sources[:, :1]).square().mean() + epsilon

rows = [names.MethodName("dummy", "Dummy label", "classical", "dummy_rule"),
        names.MethodName("dummy_learned", "Dummy learned", "learned", loss="dummy_loss",
                         scale="gradient_scale")]
source = open(names.__file__).read()
table = "NAMES: dict[str, MethodName] = {row.name: row for row in ("
added = "".join(f"\\n    {row!r}," for row in rows)
exec(compile(source.replace(table, table + added), names.__file__, "exec"), names.__dict__)

from pgmif_core import losses
from pgmif_core.methods import classical
classical.dummy_rule, losses.dummy_loss = dummy_rule, dummy_loss
"""

USES = """
import numpy as np, pandas as pd
from typer.testing import CliRunner
from pgmif.cli import app
from pgmif_core.methods.registry import METHODS, compared_methods

sources = torch.rand(1, 2, 8, 9)
assert torch.equal(METHODS["dummy"](sources), sources.amin(dim=1, keepdim=True))
assert "dummy" in compared_methods(("T1w", "T2w"))

for command, wanted in (("fuse", ("dummy", "dummy_learned")), ("train", ("dummy_learned",))):
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"}).output
    assert all(name in said for name in wanted), said

from pgmif.runs.order import STEPS
from pgmif.runs.parameters import check_parameters
assert check_parameters({"method": "dummy_learned"}).method == "dummy_learned"
assert "02_training/dummy_learned/weights.safetensors" in STEPS["02_training"].products()

from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer
trainer = Trainer(TrainingSettings(method="dummy_learned", channels=4, batch_size=2, crop=16))
assert trainer.step(torch.rand(2, 2, 16, 16))["content"] > 0

table = pd.DataFrame([{"subject": s, "method": m, "cnr": float(k + i)}
                      for i, s in enumerate("abc") for k, m in enumerate(("pgmif", "dummy", "t2w"))])
published = pd.DataFrame(columns=["metric", "method", "median", "q1", "q3", "p_versus_pgmif",
                                  "cv_percent"])
from pgmif.steps.cnr_boxplots import summarize_cnr
assert "Dummy label" in set(summarize_cnr(table, published)["label"])
from pgmif.figures.boxplots import boxplots
figure = boxplots(table, ["cnr"], [published], ["CNR"], "phantoms")
assert any("Dummy" in text.get_text() for text in figure.axes[0].get_xticklabels())

import sys
sys.path.insert(0, "docs")
import generate
page = generate.methods_page()
assert "`dummy`" in page and "the darkest source" in page and "Dummy content term" in page
sys.path.insert(0, "scripts")
import release_weights
assert "dummy_learned" in release_weights.STEPS
"""


def test_a_row_is_enough(root):
    code = DUMMIES + USES
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr[-2000:]
