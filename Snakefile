# The pipeline: one rule per notebook, nothing else. `make reproduce` calls it through
# `python -m pgmif.cli.reproduce`, which checks parameters and manifest first and fills `config`.
#
# What a step is made from (its code, its parameters, the files of patients) is no input of a rule:
# pgmif.runs.staleness hashes it, and the pipeline tells Snakemake what to make again.

from pathlib import Path

from pgmif_core.methods.names import LEARNED
from pgmif.cohort.manifest import read_manifest
from pgmif.runs.notebooks import rule_command
from pgmif.cli.reproduce import LAST
from pgmif.runs.staleness import declared_parameters, step_keys

RUN = f"results/{config['run']}"
FIGURES = f"figures/{config['run']}"
ABLATIONS = [
    "epsilon", "weight", "adversarial", "iterations", "seed", "window", "distance", "pooling",
    "registration",
]
THREADS = max(1, workflow.cores)
KEYS = step_keys(config, Path.cwd())
KIND = "phantoms" if read_manifest(config["manifest"], config["allow_outside"]).is_phantom else "cohort"


def parameters(notebook):
    return declared_parameters(f"notebooks/{notebook}.ipynb", config)


wildcard_constraints:
    method="|".join(LEARNED),
    ablation="|".join(ABLATIONS),


rule cohort:
    output:
        f"{RUN}/00_cohort/manifest.csv",
        f"{FIGURES}/figure_0_{KIND}.png",
    params:
        values=parameters("00_cohort"),
        key=KEYS["00_cohort"],
    log:
        f"{RUN}/notebooks/00_cohort.ipynb",
    threads: THREADS
    shell:
        rule_command("00_cohort")


rule preprocessing:
    input:
        rules.cohort.output[0],
    output:
        f"{RUN}/01_preprocessing/preprocessing.csv",
        f"{FIGURES}/figure_registration.png",
        f"{FIGURES}/figure_preprocessed.png",
    params:
        values=parameters("01_preprocessing"),
        key=KEYS["01_preprocessing"],
    log:
        f"{RUN}/notebooks/01_preprocessing.ipynb",
    threads: THREADS
    shell:
        rule_command("01_preprocessing")


rule training:
    input:
        rules.preprocessing.output[0],
    output:
        f"{RUN}/02_training/{{method}}/weights.safetensors",
        f"{RUN}/02_training/{{method}}/validation.csv",
        f"{FIGURES}/figure_training_{{method}}.png",
    params:
        values=parameters("02_training"),
        key=KEYS["02_training"],
    log:
        f"{RUN}/notebooks/02_training_{{method}}.ipynb",
    # two methods side by side: faster than one after the other on all threads
    threads: max(1, THREADS // 2)
    shell:
        rule_command("02_training", "-p method {wildcards.method}")


rule pgmif_plus:
    input:
        rules.preprocessing.output[0],
    output:
        f"{RUN}/10_pgmif_plus/settings.json",
        f"{FIGURES}/figure_10_ideas.png",
        f"{FIGURES}/figure_10_steps.png",
    params:
        values=parameters("10_pgmif_plus"),
        key=KEYS["10_pgmif_plus"],
    log:
        f"{RUN}/notebooks/10_pgmif_plus.ipynb",
    threads: THREADS
    shell:
        rule_command("10_pgmif_plus")


rule baseline_comparison:
    input:
        expand(rules.training.output[0], method=LEARNED),
        rules.pgmif_plus.output[0],
    output:
        f"{RUN}/03_baseline_comparison/fused.csv",
        f"{FIGURES}/figure_3_baselines.png",
        f"{FIGURES}/figure_4_patients.png",
    params:
        values=parameters("03_baseline_comparison"),
        key=KEYS["03_baseline_comparison"],
    log:
        f"{RUN}/notebooks/03_baseline_comparison.ipynb",
    threads: THREADS
    shell:
        rule_command("03_baseline_comparison")


rule cnr_boxplots:
    input:
        rules.baseline_comparison.output[0],
    output:
        f"{RUN}/04_cnr_boxplots/cnr.csv",
        f"{RUN}/04_cnr_boxplots/cnr_summary.csv",
        f"{FIGURES}/figure_5a_cnr.png",
    params:
        values=parameters("04_cnr_boxplots"),
        key=KEYS["04_cnr_boxplots"],
    log:
        f"{RUN}/notebooks/04_cnr_boxplots.ipynb",
    threads: 1
    shell:
        rule_command("04_cnr_boxplots")


rule sobel_analysis:
    input:
        rules.baseline_comparison.output[0],
    output:
        f"{RUN}/05_sobel_analysis/sobel.csv",
        f"{RUN}/05_sobel_analysis/sobel_summary.csv",
        f"{FIGURES}/figure_5b_sobel.png",
    params:
        values=parameters("05_sobel_analysis"),
        key=KEYS["05_sobel_analysis"],
    log:
        f"{RUN}/notebooks/05_sobel_analysis.ipynb",
    threads: 1
    shell:
        rule_command("05_sobel_analysis")


rule frontier:
    input:
        rules.cnr_boxplots.output[0],
        rules.sobel_analysis.output[0],
    output:
        f"{RUN}/07_frontier/standing.csv",
        f"{FIGURES}/figure_7_frontier.png",
        f"{FIGURES}/figure_7_metrics.png",
    params:
        values=parameters("07_frontier"),
        key=KEYS["07_frontier"],
    log:
        f"{RUN}/notebooks/07_frontier.ipynb",
    threads: THREADS
    shell:
        rule_command("07_frontier")


# the last one: it gathers the provenance and the minutes of all others
rule claims:
    input:
        rules.cnr_boxplots.output[:2],
        rules.sobel_analysis.output[:2],
        rules.frontier.output[0],
    output:
        f"{RUN}/{LAST}",
        f"{FIGURES}/table_claims.png",
    params:
        values=parameters("06_claims"),
        key=KEYS["06_claims"],
    log:
        f"{RUN}/notebooks/06_claims.ipynb",
    threads: 1
    shell:
        rule_command("06_claims")


rule ablation:
    input:
        expand(rules.training.output[0], method=LEARNED),
        rules.pgmif_plus.output[0],
    output:
        f"{RUN}/09_ablations/{{ablation}}.csv",
        f"{FIGURES}/figure_9_{{ablation}}.png",
    params:
        values=parameters("09_ablations"),
        key=KEYS["09_ablations"],
    log:
        f"{RUN}/notebooks/09_ablations_{{ablation}}.ipynb",
    threads: max(1, THREADS // 2)
    shell:
        rule_command("09_ablations", "-p ablation {wildcards.ablation}")


rule delineation:
    input:
        rules.baseline_comparison.output[0],
    output:
        f"{RUN}/08_delineation/separation.csv",
        f"{FIGURES}/figure_8_separation.png",
        f"{FIGURES}/figure_8_unet.png",
    params:
        values=parameters("08_delineation"),
        key=KEYS["08_delineation"],
    log:
        f"{RUN}/notebooks/08_delineation.ipynb",
    threads: THREADS
    shell:
        rule_command("08_delineation")


# beyond the figures of the paper: `make evidence`
rule evidence:
    input:
        rules.delineation.output,
        expand(rules.ablation.output, ablation=ABLATIONS),


# every output, so that a deleted figure or table is made again
rule all:
    input:
        rules.cohort.output,
        rules.preprocessing.output,
        expand(rules.training.output, method=LEARNED),
        rules.pgmif_plus.output,
        rules.baseline_comparison.output,
        rules.cnr_boxplots.output,
        rules.sobel_analysis.output,
        rules.frontier.output,
        rules.claims.output,
    default_target: True
