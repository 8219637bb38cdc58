"""Fill README.md and benchmarks/README.md from the committed tables: python scripts/readme.py [--check]

Every number between their markers, and the minutes of README's figure table, are written from
figures/phantom/*.csv, figures/real_mri/*.csv and benchmarks/*.csv, never by hand. `--check` only
compares (the tests of the house do): exit code 1 where one is stale.
"""

import re
import sys
from pathlib import Path

import pandas as pd

from pgmif.runs.root import find_root
from pgmif_core.methods.names import NOT_IN_COMPARISON, TARGET, method_named

BEGIN, END = "<!-- results: scripts/readme.py -->", "<!-- end of results -->"
SPEED_BEGIN, SPEED_END = "<!-- speed: scripts/readme.py -->", "<!-- end of speed -->"


def _number(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def method_rows(folder: Path, printed: bool) -> list[str]:
    """Markdown table of median CNR and Q of every method, beside the paper's where asked for."""
    cnr = pd.read_csv(folder / "table_cnr.csv").set_index("method")
    sobel = pd.read_csv(folder / "table_sobel.csv").set_index(["method", "reference"])
    lines = (
        ["| method | CNR here | printed | Q against T1w here | printed | Q against T2w here | printed |",
         "|---|---|---|---|---|---|---|"] if printed else
        ["| method | CNR | Q against T1w | Q against T2w |", "|---|---|---|---|"]
    )
    for name in cnr.index:
        if name in NOT_IN_COMPARISON:
            continue
        rows = [(cnr.loc[name], 2), *((sobel.loc[(name, m)], 3) for m in ("T1w", "T2w"))]
        cells = [cnr.loc[name, "label"]]
        for row, digits in rows:
            cells.append(_number(row["median"], digits))
            if printed:
                cells.append(_number(row["paper_median"], 3))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def phantom_text(folder: Path) -> list[str]:
    """The sentences under the phantom table."""
    verdicts = pd.read_csv(folder / "table_claims.csv")["verdict"].value_counts()
    error = pd.read_csv(folder / "figure_registration.csv")
    speed = pd.read_csv(folder / "table_speed.csv").iloc[0]
    inverted = pd.read_csv(folder / "table_starts.csv").set_index("start")["inverted_fraction"]
    notebooks = pd.read_csv(folder / "table_seconds.csv")
    minutes = (notebooks["begun"] + notebooks["seconds"]).max() / 60
    spread = pd.read_csv(folder / "table_cnr.csv").set_index("method")
    return [
        f"Of the paper's {verdicts.sum()} testable statements, {verdicts.get('holds', 0)} hold on this "
        f"cohort, {verdicts.get('not reproduced', 0)} are not reproduced and "
        f"{verdicts.get('cannot be tested', 0)} cannot be tested "
        "([`table_claims.csv`](figures/phantom/table_claims.csv) says why).",
        f"Patients differ widely (CV of CNR: T1w {spread.loc['t1w', 'cv_percent']:.0f} %, PGMIF "
        f"{spread.loc['pgmif', 'cv_percent']:.0f} %).",
        f"Registration leaves a median error of {error['tre_after_median_mm'].median():.2f} mm "
        f"(before: {error['tre_before_median_mm'].median():.2f} mm).",
        f"A pair of slices is fused in {speed['seconds_per_pair'] * 1000:.0f} ms on "
        f"{speed['threads']:.0f} CPU threads.",
        "Started from the mean of the sources, PGMIF inverted the contrast of "
        f"{inverted['mean']:.0%} of the patients; started as the paper literally says, of "
        f"{inverted['none']:.0%}.",
        f"The whole run took {minutes:.0f} minutes on two cores.",
    ]


def _names(table: pd.DataFrame) -> str:
    labels = [method_named(n).label for n in table.index if n not in NOT_IN_COMPARISON]
    return ", ".join(labels) or "none"


def standing_text(folder: Path) -> list[str]:
    """Which methods lie above what trivial filters reach, and what the paired tests say of PGMIF."""
    table = pd.read_csv(folder / "table_frontier.csv")
    clear = table.assign(above=table["verdict"] == "above").groupby("method", sort=False)["above"].all()
    windowed = table.assign(above=table["verdict_stretched"] == "above")
    windowed = windowed.groupby("method", sort=False)["above"].all()
    paired = pd.read_csv(folder / "table_paired.csv")
    papers = paired[paired["p_holm"].notna()]
    won = papers[(papers["p_holm"] < 0.05) & (papers["rank_biserial"] > 0)]
    cnr = papers["measure"] == "cnr"
    patients, least = int(paired["n"].iloc[0]), 2.0 ** (1 - paired["n"].iloc[0])
    standing = (
        "Above every curve that a blurred or sharpened source traces, in both Q and in 95 % of "
        f"resampled patient groups: {_names(clear[clear])}; where intensities may be stretched too: "
        f"{_names(windowed[windowed])}."
    )
    if (table["verdict"] == "too few patients").all():
        ahead = table.groupby("method", sort=False)["margin"].min()
        standing = (
            "Above every curve that a blurred or sharpened source traces, in both Q, by medians alone "
            f"(too few patients for a verdict): {_names(ahead[ahead > 0.01])}."
        )
    return [
        standing,
        f"Paired tests ([`table_paired.csv`](figures/{folder.name}/table_paired.csv)): of the "
        f"{len(papers)} comparisons that the paper makes, PGMIF wins {len(won)} after Holm's "
        f"correction, {(won['measure'] == 'cnr').sum()} of {cnr.sum()} in CNR; with "
        f"{patients} patients no P can be below {least:.2g}.",
    ]


def plus_text(folder: Path) -> list[str]:
    """How many of its aims PGMIF+ reaches, and which it misses."""
    aims = pd.read_csv(folder / "table_plus_aims.csv")
    missed = aims[aims["verdict"] == "missed"]
    text = (
        f"PGMIF+, a closed form of which one number is fitted, reaches {len(aims) - len(missed)} of the "
        f"{len(aims)} aims set for it "
        f"([`table_plus_aims.csv`](figures/{folder.name}/table_plus_aims.csv))"
    )
    if missed.empty:
        return [text + "."]
    named = "; ".join(f"{r.aim} ({r.here}, wanted {r.wanted})" for r in missed.itertuples())
    return [f"{text}; missed: {named}."]


def seeds_text(folder: Path) -> list[str]:
    """How far PGMIF's medians move with the training seed."""
    table = pd.read_csv(folder / "table_9_seed_spread.csv").set_index(["method", "measure"])
    words = {"cnr": "CNR", "q_t1w": "Q against T1w", "q_t2w": "Q against T2w"}
    moved = ", ".join(
        f"{word} {row['lowest']:.2f} to {row['highest']:.2f} (median {row['median']:.2f})"
        for row, word in ((table.loc[("pgmif", name)], word) for name, word in words.items())
    )
    seeds = int(table["seeds"].iloc[0])
    return ["**These are the numbers of one training, seed 0.** Under "
            f"{seeds} seeds PGMIF's medians are: {moved} "
            f"([`figure_9_seed`](figures/{folder.name}/figure_9_seed.png))."]


def unet_text(folder: Path) -> list[str]:
    """How well a U-Net draws the tumour on the sources, unfused and fused."""
    dice = pd.read_csv(folder / "table_unet.csv").set_index("method")["dice"]
    link = f"[`table_unet.csv`](figures/{folder.name}/table_unet.csv)"
    if dice.max() < 0.5:
        return ["A small U-Net trained on these few patients finds the tumour on no input (highest "
                f"median Dice {dice.max():.2f}; {link})."]
    channels = next(name for name in dice.index if " + " in name)
    named = ", ".join(f"{method_named(name).label} {dice[name]:.2f}"
                      for name in (channels, "t2w", "pgmif", "pgmif_plus"))
    best = method_named(dice.idxmax()).label
    return [f"A small U-Net draws the tumour best on {best}; median Dice: {named} ({link})."]


SHOWN = ("t2w", "t2w_sharpened", "pgmif", "pgmif_plus", "gmmci", "dlmwl")  # README's six rows


def short_rows(phantom: Path, real: Path) -> list[str]:
    """Markdown table of six methods on both cohorts, with the CNR that the paper prints."""
    lines = ["| | phantoms: CNR | Q T1w / T2w | printed CNR | real heads: CNR | Q T1w / T2w |",
             "|---|---|---|---|---|---|"]
    tables = [(pd.read_csv(f / "table_cnr.csv").set_index("method"),
               pd.read_csv(f / "table_sobel.csv").set_index(["method", "reference"])["median"])
              for f in (phantom, real)]
    for name in SHOWN:
        cells = [method_named(name).label]
        for k, (cnr, sobel) in enumerate(tables):
            q = f"{sobel[name, 'T1w']:.2f} / {sobel[name, 'T2w']:.2f}"
            cells += [f"{cnr.loc[name, 'median']:.2f}", q]
            cells += [_number(cnr.loc[name, "paper_median"], 2)] if k == 0 else []
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _seeds(folder: Path) -> str:
    """The range of PGMIF's median CNR over seeds."""
    spread = pd.read_csv(folder / "table_9_seed_spread.csv")
    row = spread[(spread["method"] == TARGET) & (spread["measure"] == "cnr")].iloc[0]
    return f"{row['lowest']:.2f} to {row['highest']:.2f} over {row['seeds']:.0f} seeds"


def _untrained(cnr: pd.Series) -> str:
    """The best of the methods that nothing is trained or fitted for, and its median CNR."""
    own = cnr[[n for n in cnr.index if method_named(n).kind in ("rule", "classical")]]
    return f"{own.max():.2f} of {method_named(own.idxmax()).label}, which needs no training"


def _poolings(folder: Path) -> tuple[pd.Series, pd.Series]:
    """Median CNR by method with σ pooled over slices, and with σ within slices."""
    table = pd.read_csv(folder / "table_9_pooling.csv").set_index(["value", "method"])["cnr"]
    return table[0], table[1]


def answer(phantom: Path, real: Path) -> list[str]:
    """What README says of both cohorts: what speaks for the method beside what speaks against it."""
    verdicts = pd.read_csv(phantom / "table_claims.csv")["verdict"].value_counts()
    said, within, turns = [], [], []
    for folder, where in ((phantom, "phantoms"), (real, "three real heads")):
        pooled, inside = _poolings(folder)
        turns.append((pooled[TARGET] > pooled["t2w"]) != (inside[TARGET] > inside["t2w"]))
        within.append(f"{inside[TARGET]:.2f} beside {inside['t2w']:.2f} of T2w on {where}")
        cnr = pd.read_csv(folder / "table_cnr.csv").set_index("method")["median"]
        said.append(f"on {where} PGMIF's median CNR is {cnr[TARGET]:.2f} ({_seeds(folder)}) beside "
                    f"{cnr['t2w']:.2f} of T2w untouched and {_untrained(cnr)}")
    return [
        f"**Does it help?** {'It depends on how CNR counts noise. ' if all(turns) else ''}With σ pooled "
        f"over slices, as in every table here, {said[0]}; {said[1]}. With σ within slices it "
        f"is {' and '.join(within)} ([`table_9_pooling.csv`](figures/phantom/table_9_pooling.csv)). "
        "The real ones are too few for a verdict, and brains, not nasopharynx.",
        f"Of the paper's {verdicts.sum()} testable statements {verdicts.get('holds', 0)} hold on the "
        f"phantoms and {verdicts.get('not reproduced', 0)} do not "
        "([`table_claims.csv`](figures/phantom/table_claims.csv) says why). All numbers are of 200 "
        "training iterations, seed 0, medians over test patients (10 phantoms, 3 real).",
    ]


def results(root: Path) -> str:
    """Everything between README's markers."""
    phantom, real = (root / "figures" / name for name in ("phantom", "real_mri"))
    return "\n".join([
        BEGIN, *answer(phantom, real), "", *short_rows(phantom, real), "",
        "All methods, seeds, paired tests and what trivial filters reach: the tables in "
        "[`figures/phantom/`](figures/phantom) and [`figures/real_mri/`](figures/real_mri), on one page "
        "in the documentation (*All results*) and in the report of a run.", END,
    ])


def all_results(root: Path) -> str:
    """Both cohorts with every method: a page of the documentation."""
    phantom, real = (root / "figures" / name for name in ("phantom", "real_mri"))
    patients = pd.read_csv(real / "table_cnr.csv")["n"].iloc[0]
    return "\n".join([
        "**Synthetic phantom cohort**, 10 test patients, `PROFILE=quick`, medians "
        "([`figures/phantom/`](figures/phantom)):", "",
        *method_rows(phantom, printed=True), "", *phantom_text(phantom), *seeds_text(phantom),
        *standing_text(phantom),
        *plus_text(phantom), *unet_text(phantom), "",
        f"**Real patients**, {patients} test patients of six public ones (brain tumours and multiple "
        "sclerosis, not nasopharynx), `PROFILE=quick`, medians "
        "([`figures/real_mri/`](figures/real_mri)):", "",
        *method_rows(real, printed=False), "", *seeds_text(real), *standing_text(real),
        *plus_text(real), *unet_text(real), "",
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
