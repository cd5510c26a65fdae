"""Cell types and chromosomes that were held out, beside every simple explanation.

    python tests/benchmarks/cross_cell_type.py --data ../shared/data [--holdout each|lineages|A,B,C] [--test-chroms chr1,chr2] [--check] [--report PAGE]

Works with the cell types, chromosomes and splits that DIR holds, in the layout of ../shared/data; scores `test` where it is there,
else `dev`. K562 and HepG2 are open in complementary regions by selection, so accessibility is predicted in the other types, and
TF binding across the two lines. The encoder is the one that ships: trained on K562 and HepG2 windows of chromosomes that its
model card names. `A,B,C` are held out together in one fit; without --holdout: each, lineages, and B, Mono, Mega, HSC together.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

# Waiting threads sleep instead of spinning on cores that others use, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import matplotlib as mpl
import numpy as np
import pandas as pd
from _shared import Bars, cpu_minutes, machine, write_section
from mudata import MuData

import genebert as gb
from genebert import _keys

mpl.use("Agg")

LINES = ("K562", "HepG2")
LINEAGES = (
    ("B", "CD4", "CD8", "NK", "CLP"), ("HSC", "MPP", "LMPP", "CMP"), ("GMP-A", "GMP-B", "GMP-C", "Mono", "mDC", "pDC"),
    ("Mega", "MEP", "Ery"),
)  # fmt: skip
TOGETHER = ("B", "Mono", "Mega", "HSC")
SETTINGS = ("nothing", "train_cell_types")
LEAST_POSITIVES, MINUTES = 30, 45
FEW_SHOT = (50, 500, 5_000)
REP = "X_benchmark"

# Bars on the dev chromosomes of `dhs`: AUROC and AUPRC, mean over held-out types.
FLOORS = {
    ("each", "nothing"): (0.772, 0.33), ("lineages", "nothing"): (0.752, 0.295),
    ("each", "train_cell_types"): (0.945, 0.80), ("lineages", "train_cell_types"): (0.880, 0.59),
}  # fmt: skip
WITHIN = {"nothing": 0.66, "train_cell_types": 0.73}
SHARE_BETTER = {"nothing": 9 / 12, "train_cell_types": 11 / 12}
SIMPLE = {"nothing": "sequence_only", "train_cell_types": "mean_sequence"}
REFERENCE = {"nothing": "sequence_only", "train_cell_types": "mean"}


def load(folder: Path, table: str, **other: str) -> tuple[MuData, dict[str, pd.Series]] | None:
    """Regions, sequences and other tables of a data set, and the split that each table names. -1 and -9 become NaN."""
    if not (folder / table).exists():
        return None
    regions = pd.read_csv(folder / table, sep="\t")
    names = regions["chrom"] + ":" + regions["start"].astype(str) + "-" + regions["end"].astype(str)
    keep = ~names.duplicated().to_numpy()
    parts, splits = {}, {}
    for what, file in other.items():
        values = regions if file == table else pd.read_csv(folder / file, sep="\t")
        assert (values["name"] == regions["name"]).all()
        splits[what] = (values if "split" in values else regions)["split"][keep]
        numbers = values.drop(columns=[c for c in regions.columns[:6] if c in values]).select_dtypes("number")
        parts[what] = numbers.add_prefix("CTCF|" if table == "sites.tsv.gz" else "").set_axis(names)[keep]
    mdata = gb.io.assemble(
        regions=regions[["chrom", "start", "end"]].set_axis(names)[keep], sequences=regions["sequence"].set_axis(names)[keep],
        missing_values=(-1, -9), **parts,
    )  # fmt: skip
    gb.pp.scan_motifs(mdata)
    return mdata, splits


def set_split(mdata: MuData, split: pd.Series, test_chroms: list[str] | None) -> bool:
    """Score `test` where there is one, else `dev`; whether it is dev as given."""
    has_test = bool((split == "test").any())
    found = np.where(split == ("test" if has_test else "dev"), "test", np.where(split == "train", "train", "val"))
    if test_chroms is not None:  # others that are held out stay held out
        chrom = np.asarray(_keys.CHROM.get(mdata)).astype(str)
        found = np.where(np.isin(chrom, test_chroms), "test", np.where(found == "test", "val", found))
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(found))
    return not has_test and test_chroms is None


def groups_of(holdout: str, cell_types: list[str]) -> str | list[list[str]]:
    """Cell types that are held out together."""
    if holdout == "each":
        return "each"
    wanted = LINEAGES if holdout == "lineages" else [holdout.split(",")]
    groups = [[name for name in group if name in cell_types] for group in wanted]
    left = [[name] for name in cell_types if holdout == "lineages" and name not in set().union(*LINEAGES)]
    return [group for group in [*groups, *left] if group]


def accessibility(mdata: MuData, holdouts: list[str], args: argparse.Namespace) -> pd.DataFrame | None:
    """Tables of all ways to hold out and both settings."""
    cell_types = [str(name) for name in mdata["atac"].var_names if name not in LINES]
    gb.tl.embed(mdata, key_added=REP, device=args.device)
    tables = []
    for holdout in holdouts:
        groups = groups_of(holdout, cell_types)
        if not groups:
            print(f"{holdout}: none of these cell types is in the data", flush=True)
            continue
        for known in SETTINGS:
            key = f"{holdout} {known}".replace("/", " ")
            few = FEW_SHOT if known == "nothing" and "," in holdout else None
            gb.tl.cross_cell_type(
                mdata, known=known, holdout=groups, cell_types=cell_types, use_rep=REP, quarters="headline", few_shot=few,
                seed=args.seed, device=args.device, key_added=key,
            )  # fmt: skip
            tables.append(gb.get.cross_cell_type(mdata, key=key, stratum=None).assign(run=holdout, setting=known))
            axes = gb.pl.cross_cell_type(mdata, key=key)
            axes[0].figure.savefig(args.out / f"{holdout}.{known}.png".replace(",", "_"), dpi=110)
            if few:
                gb.get.cross_cell_type(mdata, key=key, rows="few_shot").to_csv(args.out / "few_shot.csv", index=False)
            print(f"{holdout}, {known} known: {cpu_minutes():.1f} CPU minutes so far", flush=True)
    return pd.concat(tables) if tables else None


def binding(
    mdata: MuData, args: argparse.Namespace, *, only: tuple[str, ...] | None, run: str, known: str = "nothing"
) -> pd.DataFrame | None:
    """Table of TF binding, each line held out; TFs with enough positives in all lines."""
    var, scored = mdata["labels"].var, np.asarray(_keys.REGION_SPLIT.get(mdata)) == "test"
    enough = np.nansum(np.asarray(_keys.LABELS.get(mdata))[scored], axis=0) >= LEAST_POSITIVES
    lines = list(only or dict.fromkeys(var["cell_type"]))
    there = var[enough & var["cell_type"].isin(lines).to_numpy()]
    tfs = there.groupby("tf")["cell_type"].nunique()
    labels = there.index[there["tf"].isin(tfs.index[tfs == len(lines)])].tolist()
    if not labels:
        return None
    gb.tl.cross_cell_type(
        mdata, target="labels", labels=labels, known=known, holdout="each", quarters="headline", seed=args.seed, key_added=f"{run} {known}"
    )  # fmt: skip
    axes = gb.pl.cross_cell_type(mdata, key=f"{run} {known}", metric="auprc")
    axes[0].figure.savefig(args.out / f"{run}.{known}.png", dpi=110)
    print(f"{run}, {known} known: {len(labels)} experiments, {cpu_minutes():.1f} CPU minutes so far", flush=True)
    return gb.get.cross_cell_type(mdata, key=f"{run} {known}", stratum=None).assign(run=run, setting=known)


def means(table: pd.DataFrame, run: str, setting: str | None, metric: str, stratum: str = "all") -> pd.DataFrame:
    """Means over what was held out, by method."""
    rows = table[(table["run"] == run) & (table["holdout"] == "all") & (table["tf"] == "all")]
    rows = rows[(rows["metric"] == metric) & (rows["stratum"] == stratum)]
    if setting is not None:
        rows = rows[rows["setting"] == setting]
    return rows.set_index("method")


def told(row: pd.Series, name: str = "gain") -> str:
    return f"{row[name]:+.3f} [{row[f'{name}_low']:+.3f}, {row[f'{name}_high']:+.3f}]"


def judge_accessibility(bars: Bars, table: pd.DataFrame, *, is_dev: bool) -> None:
    """The bars on accessibility; the floors hold for the dev chromosomes of `dhs` as given."""
    for run, setting in table[["run", "setting"]].drop_duplicates().itertuples(index=False):
        if setting not in SETTINGS or run.startswith(("dhs", "ctcf")):
            continue
        name = f"{run}, {setting.replace('_', ' ')} known"
        auroc, auprc = (means(table, run, setting, metric) for metric in ("auroc", "auprc"))
        found = auroc.loc["genebert", "value"], auprc.loc["genebert", "value"]
        floor = FLOORS.get((run, setting))
        detail = f"AUROC {found[0]:.4f}, AUPRC {found[1]:.4f}"
        if floor is not None and is_dev:
            bars.bar(name, found[0] >= floor[0] and found[1] >= floor[1], f"{detail}; at least {floor[0]}, {floor[1]}")
        else:
            bars.note(name, detail)
        reference = REFERENCE[setting]
        if setting == "nothing":
            row = auroc.loc[reference]
            bars.bar(f"{name}: gain over {reference}", row["gain_low"] > 0, told(row))
        if run == "each":
            single = table[
                (table["run"] == run)
                & (table["setting"] == setting)
                & (table["metric"] == "auroc")
                & (table["stratum"] == "all")
            ]
            single = single[(single["method"] == reference) & (single["cell_type"] != "all")]
            better = int((single["gain"] > 0).sum())
            bars.bar(
                f"{name}: better than {reference}",
                better >= SHARE_BETTER[setting] * len(single),
                f"in {better} of {len(single)} types",
            )
        simple = auroc.loc[SIMPLE[setting]]
        bars.bar(f"{name}: shuffled control over {SIMPLE[setting]}", simple["control_low"] <= 0, f"{told(simple, 'control')}, to contain 0 or lie below")  # fmt: skip
        within = means(table, run, setting, "within_region_auroc")
        if len(within):
            detail = ", ".join(
                f"{method} {within.loc[method, 'value']:.3f}"
                for method in ("genebert", "shuffled_activity", SIMPLE[setting])
            )
            if run == ",".join(TOGETHER):
                bars.bar(
                    f"{name}: which of them",
                    within.loc["genebert", "value"] >= WITHIN[setting],
                    f"{detail}; at least {WITHIN[setting]}",
                )
            else:
                bars.note(f"{name}: which of them", detail)


def judge_binding(bars: Bars, table: pd.DataFrame) -> None:
    """The bars on TF binding across lines."""
    simple = ["accessibility", "open_motif", "open_sequence"]
    for metric in ("auprc", "auroc"):
        rows = means(table, "dhs binding", "nothing", metric)
        if len(rows):
            best = rows.loc[rows.loc[simple, "value"].idxmax()]
            bars.bar(
                f"TF binding across lines, {metric.upper()}",
                best["gain"] > 0,
                f"{rows.loc['genebert', 'value']:.3f}, {told(best)} over {best.name}",
            )
    within = means(table, "dhs binding", "nothing", "auroc", "accessible")
    if len(within):
        value = within.loc["genebert", "value"]
        bars.bar(
            "TF binding across lines, within accessible regions", value >= 0.70, f"AUROC {value:.3f}; at least 0.70"
        )
    for setting in SETTINGS:
        rows = means(table, "ctcf", setting, "auroc")
        if len(rows):
            row = rows.loc["motif"]
            bars.bar(f"CTCF occupancy of a held-out line, {setting.replace('_', ' ')} known", row["gain"] > 0, f"AUROC {rows.loc['genebert', 'value']:.3f}, {told(row)} over the CTCF motif")  # fmt: skip


def lines_of(table: pd.DataFrame) -> list[str]:
    """A Markdown table of the means over what was held out."""
    found = [
        "| held out | known | method | AUROC | AUPRC | which of them | genebert's gain in AUROC | marks |",
        "| --- " * 8 + "|",
    ]
    rows = table[(table["holdout"] == "all") & (table["tf"] == "all") & table["stratum"].isin(["all", "accessible"])]
    for (run, setting, stratum, method), part in rows.groupby(
        ["run", "setting", "stratum", "method"], sort=False, observed=True
    ):
        by_metric = part.set_index("metric")
        cells = [
            f"{by_metric.loc[m, 'value']:.3f} [{by_metric.loc[m, 'low']:.3f}, {by_metric.loc[m, 'high']:.3f}]"
            if m in by_metric.index
            else ""
            for m in ("auroc", "auprc", "within_region_auroc")
        ]
        known = str(part["known"].iloc[0])
        where = run.replace(",", ", ") + (", within accessible regions" if stratum == "accessible" else "")
        text = method + ("" if known in ("nothing", setting) else " (measured there)")
        gain = "" if method == "genebert" else told(by_metric.loc["auroc"])
        marks = ", ".join(sorted(set(",".join(part["marks"].astype(str)).split(",")) - {""}))
        found.append(f"| {where} | {setting.replace('_', ' ')} | {text} | {' | '.join(cells)} | {gain} | {marks} |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--holdout", help="each, lineages, or names joined by commas; default: all three ways")
    parser.add_argument("--test-chroms", help="joined by commas; default: the test split, else dev")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("cross_cell_type_output"))
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures into this page")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    chroms = None if args.test_chroms is None else args.test_chroms.split(",")
    holdouts = ["each", "lineages", ",".join(TOGETHER)] if args.holdout is None else [args.holdout]
    tables, is_dev = [], True
    dhs = load(args.data / "dhs", "regions.tsv.gz", accessibility="accessibility.tsv.gz", labels="tf_binding.tsv.gz")
    if dhs is not None:
        mdata, splits = dhs
        is_dev = set_split(mdata, splits["accessibility"], chroms)
        tables.append(accessibility(mdata, holdouts, args))
        set_split(mdata, splits["labels"], chroms)
        tables.append(binding(mdata, args, only=LINES, run="dhs binding"))
    ctcf = load(args.data / "ctcf", "sites.tsv.gz", labels="sites.tsv.gz")
    if ctcf is not None:
        set_split(ctcf[0], ctcf[1]["labels"], chroms)
        tables += [binding(ctcf[0], args, only=None, run="ctcf", known=known) for known in SETTINGS]
    tables = [table for table in tables if table is not None]
    if not tables:
        raise SystemExit(f"Expected the folder dhs or ctcf in {args.data}; found none. Name the data with --data.")
    table = pd.concat(tables, ignore_index=True)
    finish(table, args, is_dev=is_dev)


def finish(table: pd.DataFrame, args: argparse.Namespace, *, is_dev: bool) -> None:
    """Write the table, and judge."""
    text = table.to_csv(index=False)
    (args.out / "cross_cell_type.csv").write_text(text)
    (args.out / "cross_cell_type.md").write_text("\n".join(lines_of(table)) + "\n")
    bars = Bars(args.check)
    judge_accessibility(bars, table, is_dev=is_dev)
    judge_binding(bars, table)
    minutes = cpu_minutes()
    bars.bar("time", minutes < MINUTES, f"{minutes:.1f} CPU minutes, below {MINUTES}")
    bars.note("fingerprint of the table", hashlib.sha256(text.encode()).hexdigest()[:16])
    if args.report is not None:
        origin = f"Written by `tests/benchmarks/cross_cell_type.py`. Machine, shared with other work: {machine()}."
        measured = [f"- {name}: {detail}" for name, detail in bars.lines]
        write_section(args.report, "Cell types that were held out", [origin, "", *measured, "", *lines_of(table)])
    bars.finish()


if __name__ == "__main__":
    main()
