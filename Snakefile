# The pipeline: one rule per notebook, nothing else. `make reproduce` calls it through
# `python -m pgmif_core.pipeline`, which checks parameters and manifest first and fills `config`.
#
# A rule's params are the parameters that its notebook declares, so changing one parameter reruns
# exactly the notebooks that use it, and what comes after them.

from pgmif_core.pipeline import declared_parameters, patient_files, rule_command

RUN = f"results/{config['run']}"
FIGURES = f"figures/{config['run']}"
LEARNED = ["pgmif", "gmmci", "dlmwl", "pgmif_literal"]
THREADS = max(1, workflow.cores)


def core(*modules):
    return [f"pgmif_core/{name}.py" for name in modules]


def parameters(notebook):
    return declared_parameters(f"notebooks/{notebook}.ipynb", config)


wildcard_constraints:
    method="|".join(LEARNED),


rule all:
    input:
        f"{RUN}/06_claims/claims.csv",


rule cohort:
    input:
        "notebooks/00_cohort.ipynb",
        config["manifest"],
        core("phantom/__init__", "phantom/anatomy", "phantom/tumour", "phantom/acquisition"),
        core("phantom/tissues"),
        "pgmif_core/phantom/tissues.csv",
        "pgmif_core/phantom/atlas.csv",
        patient_files(config),
    output:
        f"{RUN}/00_cohort/manifest.csv",
    params:
        parameters("00_cohort"),
    log:
        f"{RUN}/notebooks/00_cohort.ipynb",
    threads: THREADS
    shell:
        rule_command("00_cohort")


rule preprocessing:
    input:
        "notebooks/01_preprocessing.ipynb",
        rules.cohort.output,
        patient_files(config),
        core("preprocessing", "registration", "slices", "regions", "images"),
    output:
        f"{RUN}/01_preprocessing/preprocessing.csv",
        f"{FIGURES}/figure_registration.png",
    params:
        parameters("01_preprocessing"),
    log:
        f"{RUN}/notebooks/01_preprocessing.ipynb",
    threads: THREADS
    shell:
        rule_command("01_preprocessing")


rule training:
    input:
        "notebooks/02_training.ipynb",
        rules.preprocessing.output,
        core("training", "networks", "losses", "gradients"),
    output:
        f"{RUN}/02_training/{{method}}/weights.safetensors",
        f"{RUN}/02_training/{{method}}/validation.csv",
        f"{FIGURES}/figure_training_{{method}}.png",
    params:
        parameters("02_training"),
    log:
        f"{RUN}/notebooks/02_training_{{method}}.ipynb",
    threads: THREADS
    shell:
        rule_command("02_training", "-p method {wildcards.method}")


rule baseline_comparison:
    input:
        "notebooks/03_baseline_comparison.ipynb",
        expand(rules.training.output[0], method=LEARNED),
        core("methods", "evaluation"),
    output:
        f"{RUN}/03_baseline_comparison/fused.csv",
        f"{FIGURES}/figure_3_baselines.png",
        f"{FIGURES}/figure_4_patients.png",
    params:
        parameters("03_baseline_comparison"),
    log:
        f"{RUN}/notebooks/03_baseline_comparison.ipynb",
    threads: THREADS
    shell:
        rule_command("03_baseline_comparison")


rule cnr_boxplots:
    input:
        "notebooks/04_cnr_boxplots.ipynb",
        rules.baseline_comparison.output,
        core("metrics", "statistics"),
        "published/results.csv",
    output:
        f"{RUN}/04_cnr_boxplots/cnr.csv",
        f"{RUN}/04_cnr_boxplots/cnr_summary.csv",
        f"{FIGURES}/figure_5a_cnr.png",
    params:
        parameters("04_cnr_boxplots"),
    log:
        f"{RUN}/notebooks/04_cnr_boxplots.ipynb",
    threads: 1
    shell:
        rule_command("04_cnr_boxplots")


rule sobel_analysis:
    input:
        "notebooks/05_sobel_analysis.ipynb",
        rules.baseline_comparison.output,
        core("metrics", "statistics", "gradients"),
        "published/results.csv",
    output:
        f"{RUN}/05_sobel_analysis/sobel.csv",
        f"{RUN}/05_sobel_analysis/sobel_summary.csv",
        f"{FIGURES}/figure_5b_sobel.png",
    params:
        parameters("05_sobel_analysis"),
    log:
        f"{RUN}/notebooks/05_sobel_analysis.ipynb",
    threads: 1
    shell:
        rule_command("05_sobel_analysis")


rule claims:
    input:
        "notebooks/06_claims.ipynb",
        rules.cnr_boxplots.output,
        rules.sobel_analysis.output,
        core("claims"),
    output:
        f"{RUN}/06_claims/claims.csv",
        f"{FIGURES}/table_claims.png",
    params:
        parameters("06_claims"),
    log:
        f"{RUN}/notebooks/06_claims.ipynb",
    threads: 1
    shell:
        rule_command("06_claims")
