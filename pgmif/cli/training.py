"""`pgmif train`: one learned method of a run, on as many processes as started it."""

from pathlib import Path
from typing import Annotated

import typer

from pgmif.cli.reproduce import set_values
from pgmif.cli.terminal import exit_codes, out
from pgmif.runs.parameter_files import read_parameters
from pgmif.runs.root import find_root
from pgmif.runs.run import open_run
from pgmif_core.methods.names import LEARNED


def train(
    method: Annotated[str, typer.Argument(help=f"One of {', '.join(LEARNED)}.")],
    profile: Annotated[str, typer.Option(help="A file of params/, without .yaml.")] = "quick",
    manifest: Annotated[str, typer.Option(help="Cohort manifest; the profile's if not given.")] = "",
    allow_outside: Annotated[bool, typer.Option(help="Allow paths out of its folder.")] = False,
    values: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE of params/.")] = None,
) -> None:
    """Train where `make reproduce` would, after its preprocessing; it then takes the weights as its own.

    On several processes, GPUs or nodes the same command is started by torchrun or fabric, and gives
    the same losses:

    * `pgmif train pgmif --profile paper --set device=cuda`

    * `torchrun --standalone --nproc-per-node 2 -m pgmif train pgmif`

    * `sbatch --nodes 2 --gpus-per-node 4 scripts/train_slurm.sh pgmif --profile paper`
    """
    with exit_codes():
        if method not in LEARNED:
            raise ValueError(f"METHOD: expected one of {', '.join(LEARNED)}, found {method!r}.")
        given = set_values(values or [])
        given |= {"manifest": manifest} if manifest else {}
        given |= {"allow_outside": True} if allow_outside else {}
        parameters = read_parameters(find_root() / "params" / f"{profile}.yaml", **given)
        run = open_run(parameters)
        store = Path("results") / run.name / "01_preprocessing"
        if not (run.root / store / "preprocessing.csv").is_file():
            cohort = f' MANIFEST="{manifest}"' if manifest else ""
            raise ValueError(
                f"{store}: expected preprocessed patients, found none. First: make reproduce "
                f'PROFILE={profile}{cohort} ARGS="-- --until preprocessing"'
            )
        # importing torch takes seconds; refusals need not wait for it
        from pgmif.steps.training import train_method
        from pgmif_core.training.processes import is_first_process

        train_method(run, method)
    if is_first_process():
        out.print(f"{run.weights(method).relative_to(run.root)}: trained on {run.label}",
                  markup=False, highlight=False)
