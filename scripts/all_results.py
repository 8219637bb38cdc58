"""Every method on both cohorts, with the sentences that sum a cohort up: a page of the documentation."""

from pathlib import Path

import pandas as pd

from pgmif.steps.claims import counted
from pgmif_core.methods.names import NOT_IN_COMPARISON, TARGET, method_named

COHORTS = {"phantom": "phantoms", "real_heads": "real heads"}  # folders of figures/
SPREAD = "table_seed_spread.csv"


def number(value: float, digits: int) -> str:
    """A number for a cell; empty where there is none."""
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
            cells.append(number(row["median"], digits))
            if printed:
                cells.append(number(row["paper_median"], 3))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def phantom_text(folder: Path) -> list[str]:
    """The sentences under the phantom table."""
    verdicts = counted(pd.read_csv(folder / "table_claims.csv"))["verdict"].value_counts()
    error = pd.read_csv(folder / "figure_registration.csv")
    speed = pd.read_csv(folder / "table_speed.csv").iloc[0]
    inverted = pd.read_csv(folder / "table_starts.csv").set_index("start")["inverted_fraction"]
    notebooks = pd.read_csv(folder / "table_seconds.csv")
    minutes = (notebooks["begun"] + notebooks["seconds"]).max() / 60
    return [
        f"Of the paper's {verdicts.sum()} statements {verdicts.get('holds', 0)} hold on "
        f"this cohort, {verdicts.get('not reproduced', 0)} are not reproduced and "
        f"{verdicts.get('cannot be tested', 0)} cannot be tested "
        "([`table_claims.csv`](figures/phantom/table_claims.csv) says why).",
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
        "PGMIF+, a closed form whose gains, ε, screening and weights were settled on training patients, "
        f"reaches {len(aims) - len(missed)} of the "
        f"{len(aims)} aims set for it "
        f"([`table_plus_aims.csv`](figures/{folder.name}/table_plus_aims.csv))"
    )
    if missed.empty:
        return [text + "."]
    named = "; ".join(f"{r.aim} ({r.here}, wanted {r.wanted})" for r in missed.itertuples())
    return [f"{text}; missed: {named}."]


def seeds_text(folder: Path) -> list[str]:
    """How far PGMIF's medians move with the training seed."""
    if not (folder / SPREAD).exists():
        return ["**These are the numbers of one training, seed 0** (`make evidence` trains four more)."]
    table = pd.read_csv(folder / SPREAD).set_index(["method", "measure"])
    words = {"cnr": "CNR", "q_t1w": "Q against T1w", "q_t2w": "Q against T2w"}
    moved = ", ".join(
        f"{word} {row['lowest']:.2f} to {row['highest']:.2f} (median {row['median']:.2f})"
        for row, word in ((table.loc[("pgmif", name)], word) for name, word in words.items())
    )
    seeds = int(table["seeds"].iloc[0])
    return ["**These are the numbers of one training, seed 0.** Under "
            f"{seeds} seeds PGMIF's medians are: {moved} "
            f"([`{SPREAD}`](figures/{folder.name}/{SPREAD}))."]


def unet_text(folder: Path) -> list[str]:
    """How well a U-Net draws the tumour on the sources, unfused and fused; nothing before 08 has run."""
    if not (folder / "table_unet.csv").exists():
        return []
    dice = pd.read_csv(folder / "table_unet.csv").set_index("method")["dice"]
    link = f"[`table_unet.csv`](figures/{folder.name}/table_unet.csv)"
    if dice.max() < 0.5:
        return ["A small U-Net trained on these few patients finds the tumour on no input (highest "
                f"median Dice {dice.max():.2f}; {link})."]
    channels = next(name for name in dice.index if " + " in name)
    named = ", ".join(f"{method_named(name).label} {dice[name]:.2f}"
                      for name in (channels, "t2w", "pgmif", "pgmif_plus"))
    best, worst = (f"{method_named(name).label} ({dice[name]:.2f})"
                   for name in (dice.idxmax(), dice.idxmin()))
    better = [method_named(name).label for name in dice.index if dice[name] > dice[TARGET]]
    return [f"By median Dice a small U-Net draws the tumour best on {best}, worst on {worst}; beside "
            f"them {named}. {len(better)} of the {len(dice) - 1} other inputs lie above PGMIF: "
            f"{', '.join(better)} ({link})."]


def all_results(root: Path) -> str:
    """Both cohorts with every method: a page of the documentation."""
    phantom, real = (root / "figures" / name for name in COHORTS)
    patients = pd.read_csv(real / "table_cnr.csv")["n"].iloc[0]
    return "\n".join([
        "**Synthetic phantom cohort**, 10 test patients, `PROFILE=quick`, medians "
        "([`figures/phantom/`](figures/phantom)):", "",
        *method_rows(phantom, printed=True), "", *phantom_text(phantom), *seeds_text(phantom),
        *standing_text(phantom),
        *plus_text(phantom), *unet_text(phantom), "",
        f"**Real patients**, {patients} public test patients (brain tumours and multiple sclerosis, not "
        "nasopharynx), `PROFILE=quick`, medians "
        f"([`figures/{real.name}/`](figures/{real.name})):", "",
        *method_rows(real, printed=False), "", *seeds_text(real), *standing_text(real),
        *plus_text(real), *unet_text(real), "",
    ])
