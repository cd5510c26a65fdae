"""Tasks on public data, beside their baselines and published figures.

    python tests/benchmarks/downstream.py --data ../shared/data [--data DIR2] [--tasks tf_2,splice] [--seeds 3] [--quick] [--check]

Trains on `train`, scores `dev`, and `test` and `test_dedup` wherever one of the folders holds them. One recipe for all tasks; only
the strand differs: it counts in promoters and splice sites. What is done is kept in --out, task by task and seed by seed, and a
second run goes on from there.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

# Waiting threads sleep instead of spinning on cores that others use, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import matplotlib as mpl
import numpy as np
import pandas as pd
from _shared import Bars, load_dhs, machine, write_section
from mudata import MuData

import genebert as gb
from genebert import _keys

mpl.use("Agg")
from matplotlib import pyplot as plt

GUE = ("tf_0", "tf_1", "tf_2", "tf_3", "tf_4", "prom_core_tata", "prom_core_all", "prom_300_tata", "splice")
FASTSK = ("CTCF", "EP300", "JUND")
TASKS = (*GUE, *(f"fastsk_{name}" for name in FASTSK), "ctcf_shuffled", "dhs_tf")
MANY_SEEDS = ("tf_2", "prom_core_tata", "splice")
SPLITS = {"train": "train", "dev": "val", "test": "test", "test_dedup": "test_dedup"}
CHEAP = ["kmer", "position_2mer", "motif_boosting"]  # of seconds
PARTS = ("network", "kmers", "kernel", "trees")  # of the task: shown, but no baselines
LEAST_POSITIVES = 100
MINUTES, CALIBRATION = 12, 0.06

# Test MCC of DNABERT-6mer, Nucleotide Transformer 2.5 B and DNABERT-2 (Zhou et al. 2024).
PUBLISHED = {
    "tf_0": (0.668, 0.666, 0.720), "tf_1": (0.701, 0.703, 0.761), "tf_2": (0.610, 0.587, 0.665),
    "tf_3": (0.519, 0.517, 0.585), "tf_4": (0.710, 0.693, 0.774), "prom_core_tata": (0.761, 0.730, 0.742),
    "prom_core_all": (0.689, 0.703, 0.694), "prom_300_tata": (0.616, 0.794, 0.716), "splice": (0.841, 0.894, 0.850),
}  # fmt: skip


def find(folders: list[Path], name: str) -> Path | None:
    """The first of the folders that holds a file."""
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def load_parts(folders: list[Path], place: str, task: str) -> MuData | None:
    """Bare sequences with one column of labels, from the files of their parts."""
    files = {part: find(folders, f"{place}.{part}.tsv.gz") for part in SPLITS}
    if files["train"] is None:
        return None
    parts = {part: pd.read_csv(file, sep="\t") for part, file in files.items() if file is not None}
    table = pd.concat([rows.set_axis([f"{part}{i}" for i in range(len(rows))]) for part, rows in parts.items()])
    mdata = gb.io.assemble(sequences=table["sequence"], labels=table[["label"]], task=task)
    if len(parts) == 1:  # nothing to score on: sequences that share no 32-mer with the rest
        gb.pp.split_regions(mdata, by="similarity", val=0.2, test=0)
        return mdata
    split = np.concatenate([np.repeat(SPLITS[part], len(rows)) for part, rows in parts.items()])
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(split))
    return mdata


def load_shuffled(folders: list[Path]) -> MuData | None:
    """CTCF sites and shuffles, by name: both have the same place."""
    file = find(folders, "ctcf/shuffled.tsv.gz")
    if file is None:
        return None
    table = pd.read_csv(file, sep="\t").set_index("name")
    table.index = [f"site{i}" for i in range(len(table))]
    mdata = gb.io.assemble(sequences=table["sequence"], labels=table[["label"]], task="tf_binding")
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(table["split"].map(SPLITS).to_numpy()))
    return mdata


def load_binding(folders: list[Path]) -> MuData | None:
    """All TFs x cell lines of `dhs` with enough positives on the chromosomes that are scored: those of test, else of dev."""
    file = find(folders, "dhs/tf_binding.tsv.gz")
    if file is None:
        return None
    mdata = load_dhs(file.parent.parent)
    table = pd.read_csv(file, sep="\t")
    labels = table.drop(columns=["name", "split"]).set_axis(mdata.obs_names)
    split = table["split"].map(SPLITS).to_numpy()
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(split))
    scored = split == ("test" if "test" in split else "val")
    labels = labels.loc[:, ((labels == 1) & scored[:, None]).sum() >= LEAST_POSITIVES]
    other = gb.io.assemble(regions=mdata["seq"].obs[["chrom", "start", "end"]], labels=labels, missing_values=(-1, -9))
    joined = MuData({**mdata.mod, _keys.LABEL: other[_keys.LABEL]}, axis=0)
    return joined


def load(task: str, folders: list[Path]) -> MuData | None:
    """Data of a task; None where no folder holds them."""
    if task == "dhs_tf":
        return load_binding(folders)
    if task == "ctcf_shuffled":
        return load_shuffled(folders)
    if task.startswith("fastsk_"):
        return load_parts(folders, f"fastsk/{task.removeprefix('fastsk_')}", "tf_binding")
    return load_parts(folders, f"gue/{task}", verb(task))


def verb(task: str) -> str:
    """The preset that fits a task."""
    return "promoter" if task.startswith("prom") else "splice_site" if task == "splice" else "tf_binding"


def cheap(task: str) -> list[str]:
    """Baselines of seconds, and the parts that such a task has."""
    parts = ["network", "kmers"]
    if verb(task) == "tf_binding":  # the strand does not count
        parts += ["kernel", *(["trees"] if task == "dhs_tf" else [])]  # read in how many cell types a region is open
    return [*CHEAP, *parts]


def run(task: str, seed: int, mdata: MuData, args: argparse.Namespace) -> pd.DataFrame:
    """Fit one task with one seed; the slow baselines only with the first."""
    options = {"baselines": None if seed == 0 else cheap(task)}
    if args.quick:
        options = {"baselines": cheap(task), "max_epochs": 2}
        train = np.flatnonzero(np.asarray(_keys.REGION_SPLIT.get(mdata)) == "train")
        left_out = np.random.default_rng(seed).permutation(train)[6_000:]
        mdata = mdata[np.setdiff1d(np.arange(mdata.n_obs), left_out)].copy()
    start, start_cpu = time.monotonic(), time.process_time()
    getattr(gb.tl, verb(task))(mdata, key_added="bench", seed=seed, n_models=args.models, device=args.device, **options)
    minutes, cpu_minutes = (time.monotonic() - start) / 60, (time.process_time() - start_cpu) / 60
    table = gb.get.evaluation(mdata, key="bench")
    return table.assign(task=task, seed=seed, minutes=minutes, cpu_minutes=cpu_minutes)


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the only output, or of all outputs together."""
    output = table["output"].astype(str)
    has_all = table.groupby(["task", "split"])["output"].transform(lambda column: (column == "all").any()).astype(bool)
    return table[(output == "all") | ~has_all]


def judge(bars: Bars, table: pd.DataFrame) -> None:
    """The bars on dev: better than the best baseline on most, below it on none, calibrated, in time."""
    first = headline(table)
    first = first[(first["seed"] == 0) & first["split"].isin(["val", "test"])]
    for metric in ("auroc", "mcc"):
        better, worse, n_tasks = [], [], 0
        for task, rows in first[
            (first["metric"] == metric) & first["task"].isin(GUE) & (first["split"] == "val")
        ].groupby("task"):
            others = rows[~rows["method"].isin(["genebert", *PARTS])]
            best = others.loc[others["value"].idxmax()]
            n_tasks += 1
            better += [task] * bool(best["gain"] > 0)
            worse += [task] * bool(best["gain_high"] < 0)
            detail = f"{best['gain']:+.3f} [{best['gain_low']:+.3f}, {best['gain_high']:+.3f}] against {best['method']}"
            print(f"{task:16s} {metric}: {detail}", flush=True)
        if n_tasks:
            bars.bar(f"{metric} on dev", len(better) >= 5 / 7 * n_tasks and not worse, f"above the best baseline on {len(better)} of {n_tasks}, below by an interval on {worse or 'none'}")  # fmt: skip
    ours = first[(first["method"] == "genebert") & (first["metric"] == "calibration_error")]
    for _, row in ours[(ours["n_regions"] >= 900) & ~ours["task"].isin(["splice", "dhs_tf"])].iterrows():
        bars.bar(f"calibration of {row['task']} ({row['split']})", row["value"] < CALIBRATION, f"{row['value']:.3f}, below {CALIBRATION}")  # fmt: skip
    spent = table[table["task"].isin(GUE)].groupby(["task", "seed"])[["minutes", "cpu_minutes"]].first()
    if len(spent):
        detail = f"{spent['minutes'].max():.1f} minutes at most, {spent['cpu_minutes'].max():.1f} CPU minutes, all baselines included"
        bars.bar("time", spent["minutes"].max() <= MINUTES, detail)
    binding = first[(first["task"] == "dhs_tf") & (first["metric"] == "auprc")]
    for split, rows in binding.groupby("split"):
        best = rows[~rows["method"].isin(["genebert", *PARTS])].sort_values("value").iloc[-1]
        bars.bar(f"dhs_tf, mean AUPRC ({split})", best["gain"] >= 0.03, f"{best['gain']:+.3f} against {best['method']}")


def lines_of(table: pd.DataFrame) -> list[str]:
    """A Markdown table: task, split, method and its metrics; means over seeds, intervals of the first."""
    rows = headline(table)
    rows = rows[rows["metric"].isin(["auroc", "auprc", "mcc", "calibration_error"])]
    mean = rows.groupby(["task", "split", "method", "metric"], observed=True)["value"].mean().unstack()
    first = rows[rows["seed"] == 0].set_index(["task", "split", "method", "metric"])
    found = ["| task | scored on | method | AUROC | AUPRC | MCC at 0.5 | calibration error |", "| --- " * 7 + "|"]
    for (task, split, method), values in mean.iterrows():
        cells = []
        for metric in ("auroc", "auprc", "mcc", "calibration_error"):
            place = (task, split, method, metric)
            spread = f" [{first.loc[place, 'low']:.3f}, {first.loc[place, 'high']:.3f}]" if place in first.index else ""
            cells.append(f"{values[metric]:.3f}{spread}")
        found.append(f"| {task} | {split.replace('val', 'dev')} | {method} | {' | '.join(cells)} |")
    found += [
        "",
        "Published test MCC (DNABERT-6mer / Nucleotide Transformer 2.5 B / DNABERT-2, Zhou et al. 2024; splice trained on all):",
        "",
    ]
    return [
        *found,
        *(
            f"- {task}: {' / '.join(f'{v:.3f}' for v in PUBLISHED[task])}"
            for task in PUBLISHED
            if task in set(table["task"])
        ),
    ]


def draw(table: pd.DataFrame, path: Path) -> None:
    """Forest plot: a panel per task, a line per method."""
    rows = headline(table)
    rows = rows[(rows["metric"] == "auroc") & (rows["seed"] == 0)]
    rows = rows[rows["split"] == rows.groupby("task")["split"].transform("min")]  # test before val
    tasks = list(dict.fromkeys(rows["task"]))
    _, axes = plt.subplots(-(-len(tasks) // 3), 3, figsize=(12, 2.8 * -(-len(tasks) // 3)), layout="constrained", squeeze=False)  # fmt: skip
    for ax in axes.ravel()[len(tasks) :]:
        ax.set_axis_off()
    for ax, task in zip(axes.ravel(), tasks, strict=False):
        part = rows[rows["task"] == task].sort_values("value").reset_index(drop=True)
        for place, row in part.iterrows():
            colour = "#D55E00" if row["method"] == "genebert" else "#0072B2"
            ax.plot([row["low"], row["high"]], [place, place], color=colour)
            ax.plot(row["value"], place, color=colour, marker="o", ms=4)
        ax.set_yticks(range(len(part)), part["method"])
        ax.set(title=f"{task} ({part['split'].iloc[0].replace('val', 'dev')})", xlabel="AUROC")
        ax.spines[["top", "right"]].set_visible(False)
    plt.gcf().savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, action="append", help="may be given several times")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3, help=f"of {', '.join(MANY_SEEDS)}; the others take one")
    parser.add_argument("--models", type=int, default=1, help="averaged per seed")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("downstream_output"))
    parser.add_argument("--quick", action="store_true", help="6,000 training rows, 2 epochs, cheap baselines")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures into this page")
    args = parser.parse_args()
    folders = args.data or [Path("../shared/data")]
    args.out.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    tables = []
    for task in args.tasks.split(","):
        mdata = None
        for seed in range(args.seeds if task in MANY_SEEDS else 1):
            path = args.out / f"{task}.{seed}{'.quick' if args.quick else ''}.csv"
            if not path.exists():
                mdata = load(task, folders) if mdata is None else mdata
                if mdata is None:
                    print(f"{task}: no train file in {', '.join(map(str, folders))}", flush=True)
                    break
                scratch = path.with_suffix(".part")
                run(task, seed, mdata, args).to_csv(scratch, index=False)
                os.replace(scratch, path)
            tables.append(pd.read_csv(path))
    if not tables:
        raise SystemExit("Expected data of one of the tasks; found none. Name the folder with --data.")
    table = pd.concat(tables)
    table.to_csv(args.out / "downstream.csv", index=False)
    print("\n".join(lines_of(table)))
    draw(table, args.out / "downstream.png")
    bars = Bars(args.check)
    judge(bars, table)
    if args.report is not None:
        origin = f"Written by `tests/benchmarks/downstream.py`. Machine, shared with other work: {machine()}. Of {', '.join(MANY_SEEDS)} means over seeds, and intervals of the first one (bootstrap over regions). {', '.join(f'`{part}`' for part in PARTS)} are parts of genebert, each alone; all others are baselines."
        measured = [f"- {name}: {detail}" for name, detail in bars.lines]
        figure = args.report.parent / "_static" / "tasks.png"
        figure.parent.mkdir(exist_ok=True)
        draw(table, figure)
        shown = "![AUROC of each method on each task, with 95 % intervals](_static/tasks.png)"
        write_section(
            args.report, "Tasks beside their baselines", [origin, "", *measured, "", shown, "", *lines_of(table)]
        )
    bars.finish()


if __name__ == "__main__":
    main()
