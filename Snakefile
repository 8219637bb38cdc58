# The pipeline: one rule per notebook, nothing else. `make reproduce` calls it through
# `pgmif reproduce`, which checks parameters and manifest first and fills `config`.
#
# What runs after what is written once, in pgmif/runs/order.py. What a step is made from (its code, its
# parameters, the files of patients) is no input of a rule: pgmif/runs/staleness.py hashes it, and the
# command tells Snakemake what to make again.

from pgmif.runs.notebooks import declared_parameters, rule_command
from pgmif.runs.order import STEPS, products_before

RUN = f"results/{config['run']}"
FIGURES = f"figures/{config['run']}"
LEARNED = STEPS["02_training"].parts
ABLATIONS = STEPS["09_ablations"].parts
REPLICATES = STEPS["11_seeds"].parts
THREADS = max(1, workflow.cores)
KEYS, PHANTOMS = config["keys"], config["phantoms"]  # which `pgmif reproduce` knows


def parameters(step):
    return declared_parameters(f"notebooks/{step}.ipynb", config)


def before(step):
    return [f"{RUN}/{path}" for path in products_before(step)]


def product(step):
    return f"{RUN}/{STEPS[step].product}"


wildcard_constraints:
    method="|".join(LEARNED),
    ablation="|".join(ABLATIONS),
    replicate="|".join(REPLICATES),


rule cohort:
    output:
        product("00_cohort"),
        f"{FIGURES}/figure_0_{'phantoms' if PHANTOMS else 'cohort'}.png",
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
        before("01_preprocessing"),
    output:
        product("01_preprocessing"),
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
        before("02_training"),
    output:
        product("02_training"),
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
        rule_command("02_training", "-p method={wildcards.method}")


rule pgmif_plus:
    input:
        before("03_pgmif_plus"),
    output:
        product("03_pgmif_plus"),
        f"{FIGURES}/figure_10_ideas.png",
        f"{FIGURES}/figure_10_steps.png",
    params:
        values=parameters("03_pgmif_plus"),
        key=KEYS["03_pgmif_plus"],
    log:
        f"{RUN}/notebooks/03_pgmif_plus.ipynb",
    threads: THREADS
    shell:
        rule_command("03_pgmif_plus")


rule baseline_comparison:
    input:
        before("04_baseline_comparison"),
    output:
        product("04_baseline_comparison"),
        f"{FIGURES}/figure_3_baselines.png",
        f"{FIGURES}/figure_4_patients.png",
    params:
        values=parameters("04_baseline_comparison"),
        key=KEYS["04_baseline_comparison"],
    log:
        f"{RUN}/notebooks/04_baseline_comparison.ipynb",
    threads: THREADS
    shell:
        rule_command("04_baseline_comparison")


rule cnr_boxplots:
    input:
        before("05_cnr_boxplots"),
    output:
        product("05_cnr_boxplots"),
        f"{RUN}/05_cnr_boxplots/cnr_summary.csv",
        f"{RUN}/05_cnr_boxplots/cnr_within_summary.csv",
        f"{FIGURES}/figure_5a_cnr.png",
    params:
        values=parameters("05_cnr_boxplots"),
        key=KEYS["05_cnr_boxplots"],
    log:
        f"{RUN}/notebooks/05_cnr_boxplots.ipynb",
    threads: 1
    shell:
        rule_command("05_cnr_boxplots")


rule sobel_analysis:
    input:
        before("06_sobel_analysis"),
    output:
        product("06_sobel_analysis"),
        f"{RUN}/06_sobel_analysis/sobel_summary.csv",
        f"{RUN}/06_sobel_analysis/sobel_readings.csv",
        f"{FIGURES}/figure_5b_sobel.png",
        f"{FIGURES}/figure_5c_readings.png",
    params:
        values=parameters("06_sobel_analysis"),
        key=KEYS["06_sobel_analysis"],
    log:
        f"{RUN}/notebooks/06_sobel_analysis.ipynb",
    threads: 1
    shell:
        rule_command("06_sobel_analysis")


rule frontier:
    input:
        before("07_frontier"),
    output:
        product("07_frontier"),
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


rule delineation:
    input:
        before("08_delineation"),
    output:
        product("08_delineation"),
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


rule ablations:
    input:
        before("09_ablations"),
    output:
        product("09_ablations"),
        f"{FIGURES}/figure_9_{{ablation}}.png",
    params:
        values=parameters("09_ablations"),
        key=KEYS["09_ablations"],
    log:
        f"{RUN}/notebooks/09_ablations_{{ablation}}.ipynb",
    threads: max(1, THREADS // 2)
    shell:
        rule_command("09_ablations", "-p ablation={wildcards.ablation}")


# the last one of the figures of the paper: it gathers the provenance and the minutes of the others
rule claims:
    input:
        before("10_claims"),
    output:
        product("10_claims"),
        f"{FIGURES}/table_claims.png",
    params:
        values=parameters("10_claims"),
        key=KEYS["10_claims"],
    log:
        f"{RUN}/notebooks/10_claims.ipynb",
    threads: 1
    shell:
        rule_command("10_claims")


rule seeds:
    input:
        before("11_seeds"),
    output:
        product("11_seeds"),
        f"{RUN}/11_seeds/{{replicate}}/cnr.csv",
        f"{RUN}/11_seeds/{{replicate}}/fidelity.csv",
        f"{RUN}/11_seeds/{{replicate}}/gain.csv",
    params:
        values=parameters("11_seeds"),
        key=KEYS["11_seeds"],
    log:
        f"{RUN}/notebooks/11_seeds_{{replicate}}.ipynb",
    threads: max(1, THREADS // 2)
    shell:
        rule_command("11_seeds", "-p replicate={wildcards.replicate}")


rule claims_over_seeds:
    input:
        before("12_claims_over_seeds"),
    output:
        product("12_claims_over_seeds"),
        f"{FIGURES}/figure_12_seeds.png",
        f"{FIGURES}/table_claims_over_seeds.png",
    params:
        values=parameters("12_claims_over_seeds"),
        key=KEYS["12_claims_over_seeds"],
    log:
        f"{RUN}/notebooks/12_claims_over_seeds.ipynb",
    threads: 1
    shell:
        rule_command("12_claims_over_seeds")


# beyond the figures of the paper: `make evidence`
rule evidence:
    input:
        rules.delineation.output,
        rules.claims_over_seeds.output,
        expand(rules.ablations.output, ablation=ABLATIONS),


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
