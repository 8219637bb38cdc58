"""Scripts that are run by hand."""

import os
import subprocess
import sys
from fnmatch import fnmatch


def test_the_slurm_script_says_what_it_would_run(root, tmp_path):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho node7\necho node8\n")
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "42",
             "SLURM_SUBMIT_DIR": str(root), "DRY_RUN": "1", "PROCESSES_PER_NODE": "4",
             "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = root / "scripts" / "train_slurm.sh"
    done = subprocess.run(["bash", str(script), "pgmif", "--profile", "paper", "--set", "batch_size=32"],
                          env={**os.environ, **slurm}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("srun", "--nnodes 2", "--nproc-per-node 4", "--rdzv-endpoint node7:20042",
                 "--rdzv-id 42", "-m pgmif train pgmif --profile paper --set batch_size=32"):
        assert part in done.stdout
    refused = subprocess.run(["bash", str(script)], env={**os.environ, "DRY_RUN": "1"},
                             capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "sbatch" in refused.stderr


def test_a_run_that_is_not_there_is_not_released(root):
    done = subprocess.run([sys.executable, "scripts/release_weights.py", "--run", "nowhere"], cwd=root,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a finished run, found none" in done.stderr


def test_every_committed_figure_and_table_has_one_writer(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "docs"))
    import generate

    writers = generate.writers(root)
    assert "table_claims" in writers["10_claims"]
    for folder in ("phantom", "phantom-paper", "real_heads"):
        for path in (root / "figures" / folder).glob("*_*"):
            makers = [m for m, names in writers.items() if any(fnmatch(path.stem, n) for n in names)]
            assert len(makers) == 1, (path.name, makers)
