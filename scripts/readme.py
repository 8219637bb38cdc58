"""Fill README.md and benchmarks/README.md from the committed tables: python scripts/readme.py [--check]

Every number between their markers, and the minutes of README's figure table, are written from
figures/*/*.csv and benchmarks/*.csv, never by hand. `--check` only
compares (the tests of the house do): exit code 1 where one is stale.
"""

import re
import sys
from pathlib import Path

import pandas as pd
from all_results import COHORTS, SPREAD, number

from pgmif.runs.parameter_files import read_parameters
from pgmif.runs.root import find_root
from pgmif.steps.claims import FUSING, counted
from pgmif_core.methods.names import NOT_IN_COMPARISON, TARGET, method_named

BEGIN, END = "<!-- results: scripts/readme.py -->", "<!-- end of results -->"
SPEED_BEGIN, SPEED_END = "<!-- speed: scripts/readme.py -->", "<!-- end of speed -->"


SHOWN = ("t2w", "t2w_sharpened", "pgmif", "pgmif_literal", "pgmif_plus", "gmmci", "dlmwl")
WORDS = {"cnr": "CNR", "cnr_within": "CNR with σ within slices", "q_t1w": "Q against T1w",
         "q_t2w": "Q against T2w", "ssim_t2w": "SSIM to T2w"}
OVER_SEEDS, UNET = "table_claims_over_seeds.csv", "table_unet.csv"


def short_rows(phantom: Path, real: Path) -> list[str]:
    """Markdown table of some methods on both cohorts, with the CNR that the paper prints."""
    lines = ["| | phantoms: CNR | Q T1w / T2w | printed CNR | real heads: CNR | Q T1w / T2w |",
             "|---|---|---|---|---|---|"]
    printed = pd.read_csv(phantom / "table_cnr.csv").set_index("method")["paper_median"]
    for name in SHOWN:
        cells = [method_named(name).label]
        for folder in (phantom, real):
            q = [Found(folder, "table_sobel", name, f"q_{m}") for m in ("t1w", "t2w")]
            cells += [f"{Found(folder, 'table_cnr', name, 'cnr'):range}", f"{q[0]:short} / {q[1]:short}"]
            cells += [number(printed[name], 2)] if folder == phantom else []
        lines.append(f"| {' | '.join(cells)} |")
    return lines


class Found:
    """A median over patients: of a trained method the median over seeds, with its range."""

    def __init__(self, folder: Path, table: str, method: str, measure: str):
        rows = pd.read_csv(folder / f"{table}.csv")
        if "reference" in rows:
            rows = rows[rows["reference"].str.lower() == measure.removeprefix("q_")]
        self.median = float(rows.set_index("method").loc[method, "median"])
        self.seeds, self.range = 1, (self.median, self.median)
        spread = pd.read_csv(folder / SPREAD)
        own = spread[(spread["method"] == method) & (spread["measure"] == measure)]
        for row in own.itertuples():  # none of what is not trained
            self.median, self.range, self.seeds = row.median, (row.lowest, row.highest), row.seeds

    def __format__(self, form: str) -> str:
        """`short`: the median; `range`: and in brackets the range; `words`: and of how many seeds."""
        low, high = (f"{value:.2f}" for value in self.range)
        if form == "short" or self.seeds == 1 or (form == "range" and low == high):
            return f"{self.median:.2f}"
        if form == "range":
            return f"{self.median:.2f} ({low} to {high})"
        return f"{self.median:.2f} ({low} to {high} over {self.seeds} seeds)"


def _patients(cohort: tuple[Path, str]) -> str:
    folder, where = cohort
    return f"{pd.read_csv(folder / 'table_cnr.csv')['n'].max():.0f} {where}"


def _untrained(cnr: pd.Series) -> str:
    """The best of the methods that nothing is trained or fitted for, and its median CNR."""
    own = cnr[[n for n in cnr.index if method_named(n).kind in ("rule", "classical")]]
    return f"{own.max():.2f} of {method_named(own.idxmax()).label}, which needs no training"


def _medians(folder: Path, table: str) -> pd.Series:
    """Median CNR by method; `table_cnr`: σ over all slices, `table_cnr_within`: within slices."""
    return pd.read_csv(folder / f"{table}.csv").set_index("method")["median"]


def _fusing(folder: Path, where: str) -> str:
    """What the second source changes for PGMIF, over the seeds, which method gains most by it and which
    loses most, and the limit of a mix."""
    gains = pd.read_csv(folder / "table_gain.csv").set_index("method")
    gains = gains.drop([n for n in NOT_IN_COMPARISON if n in gains.index])
    own, most, least = (gains.loc[name] for name in (
        TARGET, gains["gain"].idxmax(), gains["gain"].idxmin()))
    limits = pd.read_csv(folder / "table_limit.csv")["over_better"]
    row = pd.read_csv(folder / OVER_SEEDS).set_index("claim").loc[FUSING]
    return (f"on {where} PGMIF's CNR changes by {row['median']:+.2f} ({row['lowest']:+.2f} to "
            f"{row['highest']:+.2f} over the seeds) in the median patient; with seed 0, "
            f"{own['gained']:.0f} of {own['n']:.0f} patients gain, and {(gains['gain'] > 0).sum()} of "
            f"{len(gains)} methods: {most['label']} most ({most['gain']:+.2f}), "
            f"{least['label']} least ({least['gain']:+.2f}); and the best linear mix reaches "
            f"{limits.median():.2f} ({limits.min():.2f} to {limits.max():.2f}) times the better source")


def _drawn(folder: Path, where: str) -> str:
    """How well a small U-Net draws the tumour: on which image best, on which worst, PGMIF between."""
    dice = pd.read_csv(folder / UNET).set_index("method")["dice"]
    best, worst = (f"{method_named(name).label} ({dice[name]:.3f})"
                   for name in (dice.idxmax(), dice.idxmin()))
    return (f"on {where} best on {best}, worst on {worst}, {dice[TARGET]:.3f} on PGMIF, which "
            f"{(dice > dice[TARGET]).sum()} of the {len(dice) - 1} others exceed, {dice['t2w']:.3f} on "
            "T2w untouched")


def _verdicts(folder: Path, where: str) -> str:
    """How many of the paper's statements hold with every seed, with none, with some."""
    claims = counted(pd.read_csv(folder / OVER_SEEDS))
    count = claims["verdict"].value_counts()
    testable = count.sum() - count.get("cannot be tested", 0)
    bound = claims["at_printed_in"].dropna().map(lambda text: len(set(text.split(" of "))) == 1)
    turned = int((claims["depends_on"] != "nothing").sum())
    seeds = str(claims["holds_in"].iloc[0]).split()[-1]
    depend = int(count.get("depends on the seed", 0))
    return (f"on {where} {count.get('holds', 0)} of the paper's {testable} testable statements hold "
            f"with all of {seeds} training seeds ({bound.sum()} of {len(bound)} at the printed P),"
            f" {count.get('not reproduced', 0)} with none, and {depend} "
            f"depend{'s' * (depend == 1)} on the seed; {turned} of these verdicts "
            f"turn{'s' * (turned == 1)} where σ or the Sobel operator is read otherwise")


def answer(phantom: Path, real: Path) -> list[str]:
    """What README says of both cohorts: what speaks for the method beside what speaks against it."""
    over, said, within = [], [], []
    cohorts = tuple(zip((phantom, real), COHORTS.values(), strict=True))
    for folder, where in cohorts:
        cnr, inside = (_medians(folder, table) for table in ("table_cnr", "table_cnr_within"))
        mine = Found(folder, "table_cnr", TARGET, "cnr")
        within.append(f"{Found(folder, 'table_cnr_within', TARGET, 'cnr_within'):range} beside "
                      f"{inside['t2w']:.2f} of T2w on {where}")
        said.append(f"on {where} PGMIF's median CNR is {mine:words} beside "
                    f"{cnr['t2w']:.2f} of T2w untouched and {_untrained(cnr)}")
        over.append(_verdicts(folder, where))
    lists = ", ".join(f"[{where}](figures/{folder.name}/{OVER_SEEDS})" for folder, where in cohorts)
    return [
        "**Do the paper's claims hold?** " + ". ".join(text[0].upper() + text[1:] for text in over)
        + f" ({lists}: which, in how many, why).",
        f"**Does it help?** With σ over all slices of the reference region {said[0]}; {said[1]}. With σ "
        f"within slices it is {' and '.join(within)} "
        "([`table_cnr_within.csv`](figures/phantom/table_cnr_within.csv)). "
        "The real ones are brains, not nasopharynx.",
        "**What does fusing itself give?** Against the same method fed with the better source alone, "
        f"{'; '.join(_fusing(*cohort) for cohort in cohorts)}, "
        "its weights chosen with the contour known: what lies beyond that smooths, sharpens or brings "
        "slices to one scale ([`table_gain.csv`](figures/phantom/table_gain.csv), "
        "[`table_limit.csv`](figures/phantom/table_limit.csv)).",
        "**Does it help to draw the tumour?** Median Dice of a small U-Net (three seeds) trained on "
        f"each image, fused with seed 0: {'; '.join(_drawn(*cohort) for cohort in cohorts)} "
        "([`table_unet.csv`](figures/phantom/table_unet.csv)).",
        "All these numbers are of "
        f"{read_parameters(find_root() / 'params' / 'quick.yaml').iterations:,} training iterations, "
        "medians over the seeds (range) where nothing else is said, and over test patients "
        f"({' and '.join(map(_patients, cohorts))}).",
    ]


def full_length(full: Path) -> str:
    """Whether the paper's own length says otherwise than the training of the figures."""
    claims = pd.read_csv(full / "table_quick_verdicts.csv", keep_default_na=False)
    medians = pd.read_csv(full / "table_quick_medians.csv")
    medians = medians[medians["method"] != "pgmif_plus"]  # fitted, not trained
    mine = medians[medians["method"] == TARGET]
    farthest = medians.loc[medians["outside_percent"].idxmax()]
    same = (claims["agree"] == "yes").sum()
    trained = read_parameters(find_root() / "params" / "paper.yaml")
    cnr = mine.set_index("measure").loc["cnr"]
    spread = f"{cnr['lowest_full']:.2f} to {cnr['highest_full']:.2f}, {cnr['seeds_full']} seeds"
    turned = (claims["agree"] == "no").sum()
    within = [f"{(part['agree'] == 'yes').sum()} of {len(part)}" for part in (mine, medians)]
    return ("**Would the paper's own length say otherwise?** After "
            f"{trained.iterations:,} iterations on {trained.phantom_train} phantoms, on the same test "
            f"phantoms, {same} of {len(claims)} verdicts are the same and "
            f"{turned} turn about. PGMIF's CNR is then {cnr['median_full']:.2f} ({spread}); of its "
            f"medians {within[0]} lie within the seeds of the short training, of all trained methods' "
            f"{within[1]}, farthest outside {WORDS[farthest['measure']]} of "
            f"{method_named(farthest['method']).label} "
            f"({farthest['median_short']:.2f} → {farthest['median_full']:.2f}; "
            f"[medians](figures/{full.name}/table_quick_medians.csv), "
            f"[verdicts](figures/{full.name}/table_quick_verdicts.csv)).")


def another_processor(root: Path) -> str:
    """Whether the same seeds say otherwise on another processor."""
    said = []
    for name, where in COHORTS.items():
        folder = root / "figures" / name
        claims = pd.read_csv(folder / "table_replication_verdicts.csv", keep_default_na=False)
        medians = pd.read_csv(folder / "table_replication_medians.csv")
        medians = medians[medians["method"] != "pgmif_plus"]  # fitted, not trained
        cnr = medians[medians["method"] == TARGET].set_index("measure").loc["cnr"]
        moved, apart = cnr["same_seed_percent"], cnr["between_percent"]
        same, turned = ((claims["agree"] == word).sum() for word in ("yes", "no"))
        within = (medians["agree"] == "yes").sum()
        farthest = medians.loc[medians["same_seed_percent"].idxmax()]
        most = f"{WORDS[farthest['measure']]} of {method_named(farthest['method']).label}"
        said.append(
            f"on {where} the same seed moves PGMIF's CNR by {moved:.0f} % there (the most: {most}, "
            f"{farthest['same_seed_percent']:.0f} %), another seed here by {apart:.0f} %; over "
            f"{cnr['seeds_here']} seeds {same} of {len(claims)} verdicts are the same, {turned} turn "
            f"about, {within} of {len(medians)} medians lie within the range here "
            f"([medians](figures/{folder.name}/table_replication_medians.csv), "
            f"[verdicts](figures/{folder.name}/table_replication_verdicts.csv))")
    return ("**Would another processor say otherwise?** It rounds otherwise, which is another seed to "
            f"an adversarial training: {'; '.join(said)}. Compare medians and ranges over seeds, never "
            "one seed's number.")


def results(root: Path) -> str:
    """Everything between README's markers."""
    phantom, real = (root / "figures" / name for name in COHORTS)
    return "\n".join([
        BEGIN, *answer(phantom, real), full_length(root / "figures" / "phantom-paper"),
        another_processor(root), "",
        *short_rows(phantom, real), "",
        "All methods, seeds, paired tests and what trivial filters reach: the tables in "
        f"[`figures/phantom/`](figures/phantom) and [`figures/{real.name}/`](figures/{real.name}), on "
        "one page in the documentation (*All results*) and in the report of a run.", END,
    ])


def _cell(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def gpu_text(root: Path) -> str:
    """What was measured on a GPU, or that nothing was."""
    path = root / "benchmarks" / "gpu.csv"
    if not path.exists():
        return "On a GPU: not measured (`make bench PART=gpu` measures it beside the paper's figures)."
    table = pd.read_csv(path)
    said = "; ".join(f"{row.name} {_cell(row.value)} {row.unit}" for row in table.itertuples())
    return f"On a GPU ({table['device'].iloc[0]}): {said}. The paper: 60 ms an iteration, 100 ms a pair."


def speeds(root: Path) -> str:
    """Every row of the benchmark, and what was measured on a GPU, with their markers."""
    table = pd.read_csv(root / "benchmarks" / "results.csv")
    judged, met = table["target"].notna(), (table["holds"] == "yes").sum()
    lines = [f"| {row.name} | {_cell(row.value)} {row.unit} | {_cell(row.ratio)} |"
             for row in table.itertuples()]
    table = table.assign(line=lines)
    return "\n".join([
        SPEED_BEGIN,
        f"`make bench`, all in one run on {table['machine'].iloc[0]}; of {judged.sum()} targets "
        f"{met} hold ([`results.csv`](results.csv), [figure](results.png)):", "",
        "| what | here | ratio | target | holds |", "|---|---|---|---|---|",
        *(f"{row.line} {row.target} | {row.holds} |" for row in table[judged].itertuples()), "",
        "<details><summary>What was measured without a target</summary>", "",
        "| what | here | ratio |", "|---|---|---|",
        *table.loc[~judged, "line"], "",
        "</details>", "", gpu_text(root), SPEED_END,
    ])


def filled(text: str, root: Path) -> str:
    """A README with its results, speeds and the minutes of its figure table up to date."""
    text = re.sub(f"{BEGIN}.*?{END}", lambda _: results(root), text, flags=re.DOTALL)
    text = re.sub(f"{SPEED_BEGIN}.*?{SPEED_END}", lambda _: speeds(root), text, flags=re.DOTALL)
    seconds = pd.read_csv(root / "figures/phantom/table_seconds.csv").set_index("notebook")["seconds"]

    def minutes(match: re.Match) -> str:
        name = match.group(1)
        own = seconds[[n for n in seconds.index if n.startswith(name)]]
        each = " each" if len(own) > 1 else ""
        return re.sub(r"\| [^|]* \|$", f"| {own.mean() / 60:.1f}{each} |", match.group(0)) \
            if len(own) else match.group(0)

    return re.sub(r"^\|.*\| `(\d\d_\w+)` \|.*\|$", minutes, text, flags=re.MULTILINE)


def main() -> int:
    root = find_root(Path(__file__).parent)
    texts = {path: path.read_text() for path in (root / "README.md", root / "benchmarks" / "README.md")}
    wanted = {path: filled(text, root) for path, text in texts.items()}
    if "--check" in sys.argv:
        return int(wanted != texts)
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
