"""What runs after what: the one table of steps, which the Snakefile, staleness and notebooks read."""

from dataclasses import dataclass

from pgmif_core.methods.names import LEARNED, TARGET

ABLATIONS = (
    "epsilon", "weight", "adversarial", "penalty", "window", "distance", "reference", "registration",
    "minmax",
)
REPLICATES = ("1", "2", "3", "4")  # further trainings, with the run's seed + 1 …: five seeds in all


@dataclass(frozen=True)
class Step:
    """A notebook of the pipeline, by its stem.

    `product`: the file below results/<run>/ that it writes last; {wildcard} where it runs once for each
    of `parts`. `after`: the steps whose products it reads. `needs`: those without which it cannot run at
    all (None: all of `after`); what else is not there it does without, and says so. `evidence`: beyond
    the figures of the paper, run by `make evidence`.
    """

    name: str
    product: str
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] | None = None
    parts: tuple[str, ...] = ()
    evidence: bool = False

    @property
    def rule(self) -> str:
        """Its rule in the Snakefile."""
        return self.name.partition("_")[2]

    @property
    def wildcard(self) -> str:
        """The parameter that `parts` are values of; '' where it runs once."""
        return self.product.partition("{")[2].partition("}")[0]

    def products(self) -> list[str]:
        """Every file that it leaves for others, below results/<run>/."""
        return [self.product.format_map({self.wildcard: p}) for p in self.parts or ("",)]


STEPS: dict[str, Step] = {step.name: step for step in (
    Step("00_cohort", "00_cohort/manifest.csv"),
    Step("01_preprocessing", "01_preprocessing/preprocessing.csv", ("00_cohort",)),
    Step("02_training", "02_training/{method}/weights.safetensors", ("01_preprocessing",),
         parts=LEARNED),
    Step("03_pgmif_plus", "03_pgmif_plus/settings.json", ("01_preprocessing",)),
    Step("04_baseline_comparison", "04_baseline_comparison/fused.csv",
         ("02_training", "03_pgmif_plus"), needs=("01_preprocessing",)),
    Step("05_cnr_boxplots", "05_cnr_boxplots/cnr.csv", ("04_baseline_comparison",)),
    Step("06_sobel_analysis", "06_sobel_analysis/sobel.csv", ("04_baseline_comparison",)),
    Step("07_frontier", "07_frontier/standing.csv", ("05_cnr_boxplots", "06_sobel_analysis")),
    Step("08_delineation", "08_delineation/separation.csv", ("04_baseline_comparison",), evidence=True),
    Step("09_ablations", "09_ablations/{ablation}.csv", ("02_training", "03_pgmif_plus"),
         needs=("02_training",), parts=ABLATIONS, evidence=True),
    Step("10_claims", "10_claims/claims.csv",
         ("05_cnr_boxplots", "06_sobel_analysis", "07_frontier"),
         needs=("02_training", "05_cnr_boxplots", "06_sobel_analysis", "07_frontier")),
    Step("11_seeds", "11_seeds/{replicate}/sobel.csv", ("02_training", "03_pgmif_plus"),
         needs=("02_training",), parts=REPLICATES, evidence=True),
    Step("12_claims_over_seeds", "12_claims_over_seeds/claims.csv",
         ("04_baseline_comparison", "05_cnr_boxplots", "06_sobel_analysis", "07_frontier",
          "11_seeds"), evidence=True),
)}
LAST = STEPS["10_claims"].product  # of a run: what its last notebook writes


def products_before(name: str) -> list[str]:
    """What a step reads of those before it, below results/<run>/."""
    return [path for before in STEPS[name].after for path in STEPS[before].products()]


def needed_products(name: str) -> dict[str, str]:
    """Files without which a step cannot run, and the step that makes each. Of training, PGMIF's weights
    are enough, of further seeds one: what else was not trained is left out."""
    step = STEPS[name]
    wanted = [STEPS[before] for before in (step.after if step.needs is None else step.needs)]
    return {sorted(before.products(), key=lambda path: f"/{TARGET}/" not in path)[0]: before.name
            for before in wanted}
