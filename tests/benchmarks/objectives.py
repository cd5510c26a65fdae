"""What the objectives learn on real regions, against controls from which what could be learnt was taken out.

    python tests/benchmarks/objectives.py --data ../shared/data [--regions 4000] [--epochs 2] [--preset mini] [--check]

Train split of `dhs` only; chr3 and chr12 of it are held out, so nothing here is seen by what is tested on dev. Every model
takes the same number of steps from the same start. Controls: bases drawn independently from the pooled composition (no k-mer
tells of the next); rows of the matrix permuted over regions (no sequence tells of its row); sequences shuffled with their
dinucleotides kept (composition remains); on `toy`, where neighbours are alike, regions put in another order. --regions 0 takes
all of the train split.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

# Waiting threads sleep instead of spinning on cores that others use, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch
from _shared import Bars, cpu_minutes, load_dhs, machine
from mudata import MuData

import genebert as gb
from genebert import _keys
from genebert.model._evaluation import score_regions

HELD_OUT = ("chr3", "chr12")
CELL_TYPES = ["K562", "HepG2"]
MOST_BELOW, MOST_ABOVE = 0.01, 0.05  # nats by which a model without anything to learn may miss the entropy of k-mers
N_BOOTSTRAP = 1_000


def train_part(data: Path, n_regions: int, *, seed: int) -> MuData:
    """Regions of the train split, some of them, with a matrix; chr3 and chr12 as test."""
    mdata = load_dhs(data)
    keep = np.flatnonzero(_keys.REGION_SPLIT.get(mdata) == "train")
    if n_regions:
        # Runs of neighbours, so that windows hold what lies side by side.
        runs = np.array_split(keep, max(1, len(keep) // 50))
        chosen = np.random.default_rng(seed).permutation(len(runs))[: max(1, n_regions // 50)]
        keep = np.concatenate([runs[i] for i in sorted(chosen)])
    mdata = mdata[keep].copy()
    gb.pp.split_regions(mdata, val=0, test=list(HELD_OUT))
    gb.pp.scan_motifs(mdata)
    return mdata


def independent_bases(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every known base drawn anew from the composition of all."""
    known = codes < 4
    drawn = codes.copy()
    share = np.bincount(codes[known], minlength=4) / known.sum()
    drawn[known] = rng.choice(4, known.sum(), p=share)
    return drawn


def shuffle_dinucleotides(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each sequence in an order of its own with the same dinucleotides (Altschul and Erickson 1985)."""
    return np.stack([_shuffled(row, rng) for row in codes])


def _shuffled(row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random walk over all steps from base to base: last steps that lead to the end first, the others in any order."""
    n_letters, last = int(row.max()) + 1, int(row[-1])
    followers = [row[1:][row[:-1] == base] for base in range(n_letters)]
    while True:
        final = {base: int(rng.choice(f)) for base, f in enumerate(followers) if len(f) and base != last}
        if all(_leads(base, final, last) for base in final):
            break
    order = []
    for base, steps in enumerate(followers):
        steps = rng.permutation(steps)
        if base in final:  # its last step is the one that was drawn
            place = np.flatnonzero(steps == final[base])[0]
            steps[[place, -1]] = steps[[-1, place]]
        order.append(iter(steps.tolist()))
    walk = [int(row[0])]
    for _ in range(len(row) - 1):
        walk.append(next(order[walk[-1]]))
    return np.array(walk, dtype=row.dtype)


def _leads(base: int, final: dict[int, int], last: int) -> bool:
    seen = set()
    while base != last:
        if base in seen:
            return False
        seen.add(base)
        base = final[base]
    return True


def controls(mdata: MuData, *, seed: int) -> dict[str, MuData]:
    """The data, and what is left when something is taken out of them."""
    rng = np.random.default_rng(seed)
    found = {"real": mdata}
    for name, change in (("independent bases", independent_bases), ("dinucleotides kept", shuffle_dinucleotides)):
        found[name] = mdata.copy()
        _keys.DNA_CODE.set(found[name], change(np.asarray(_keys.DNA_CODE.get(mdata)), rng))
    found["rows permuted"] = mdata.copy()
    _keys.TF_SCORE.set(found["rows permuted"], _keys.TF_SCORE.get(mdata)[rng.permutation(mdata.n_obs)])
    return found


def train(mdata: MuData, args: argparse.Namespace, **options) -> tuple[gb.model.GeneBERT, pd.DataFrame, np.ndarray]:
    """A model, how it does on held-out chromosomes, and the share of right matches of each of their regions."""
    settings = {"preset": args.preset, "max_epochs": args.epochs, "batch_size": args.batch_size, "seed": args.seed}
    model = gb.tl.pretrain(mdata, accelerator="cpu", precision="32", **{**settings, **options})
    book = score_regions(
        model.module, mdata, tfs=model.tfs, regions=None, cell_types=None, record=model.training_record,
        batch_size=args.batch_size, seed=args.seed,
    )  # fmt: skip
    tables = book.tables()
    table = pd.DataFrame(book.summary(rng=np.random.default_rng(args.seed)))
    right = None
    if "matching" in tables:
        sums = pd.DataFrame(tables["matching"].numpy()).groupby(0).sum()
        right = (sums[2] / sums[sums.columns[-1]]).to_numpy()  # regions in their order, the same in every control
    return model, table, right


def paired(one: np.ndarray, other: np.ndarray, *, seed: int) -> tuple[float, float, float]:
    """Mean difference, with a 95 % interval over regions drawn with replacement."""
    difference, rng = one - other, np.random.default_rng(seed)
    draws = [difference[rng.integers(len(difference), size=len(difference))].mean() for _ in range(N_BOOTSTRAP)]
    return difference.mean(), *np.percentile(draws, [2.5, 97.5])


def on_regions(bars: Bars, args: argparse.Namespace) -> None:
    """The first three controls."""
    mdata = train_part(args.data, args.regions, seed=args.seed)
    n_held_out = int((_keys.REGION_SPLIT.get(mdata) == "test").sum())
    print(f"{mdata.n_obs:,} regions, {n_held_out:,} of them on {' and '.join(HELD_OUT)}", flush=True)
    scores, right = {}, {}
    for name, data in controls(mdata, seed=args.seed).items():
        start = time.monotonic()
        model, table, right[name] = train(data, args, cell_types=CELL_TYPES)
        scores[name] = table.set_index(["objective", "metric"])
        took = f"{len(model.training_losses)} steps, {time.monotonic() - start:.0f} s"
        print(f"\n{name}: {took}\n{table.round(4).to_string(index=False)}", flush=True)
    print()
    genome = {name: table.loc[("masked_genome", "loss")] for name, table in scores.items()}
    match = {name: table.loc[("matching", "recall@1")] for name, table in scores.items()}
    bars.bar(
        "masked genome, real", genome["real"]["high"] < genome["real"]["chance"], f"{told(genome['real'])} nats, below the entropy"
    )  # fmt: skip
    below = genome["independent bases"]["chance"] - genome["independent bases"]["value"]
    bars.bar(
        "masked genome, independent bases", -MOST_ABOVE < below < MOST_BELOW,
        f"{told(genome['independent bases'])} nats, at most {MOST_BELOW} below the entropy and {MOST_ABOVE} above",
    )  # fmt: skip
    bars.bar("matching, real", match["real"]["low"] > match["real"]["chance"], f"{told(match['real'])}, above chance")
    permuted = match["rows permuted"]
    bars.bar("matching, rows permuted", permuted["low"] <= permuted["chance"] <= permuted["high"], f"{told(permuted)}, at chance")  # fmt: skip
    difference, low, high = paired(right["real"], right["dinucleotides kept"], seed=args.seed)
    bars.bar(
        "matching, dinucleotides kept", low > 0,
        f"recall@1 {match['dinucleotides kept']['value']:.3f}; {difference:.3f} [{low:.3f}, {high:.3f}] below the real one",
    )  # fmt: skip


def on_toy(bars: Bars, args: argparse.Namespace) -> None:
    """Next-segment prediction, where neighbours are alike and where they are not."""
    options = {"preset": "tiny", "max_epochs": 8, "batch_size": 64, "lr": 3e-3}
    options["objectives"] = {"masked_genome": 0, "next_segment": 1}
    found = {}
    for name in ("real", "order permuted"):
        mdata = gb.datasets.toy(n_regions=1800)
        gb.pp.split_regions(mdata, val=0, test=["chr5", "chr6"])
        if name != "real":
            permute_within_chromosomes(mdata, seed=args.seed)
        _, table, _ = train(mdata, args, **options)
        found[name] = table.set_index(["objective", "metric"]).loc[("next_segment", "auroc")]
    real, permuted = found["real"], found["order permuted"]
    bars.bar("next segment on toy", real["low"] > 0.5, f"AUROC {told(real)}, above chance")
    bars.bar("next segment on toy, order permuted", permuted["low"] <= 0.5 <= permuted["high"], f"AUROC {told(permuted)}, at chance")  # fmt: skip


def permute_within_chromosomes(mdata: MuData, *, seed: int) -> None:
    """Give each region the place of another one of its chromosome."""
    rng = np.random.default_rng(seed)
    chrom = np.asarray(_keys.CHROM.get(mdata))
    place = np.arange(mdata.n_obs)
    for name in np.unique(chrom):
        place[chrom == name] = rng.permutation(place[chrom == name])
    start, end = (np.asarray(slot.get(mdata))[place] for slot in (_keys.START, _keys.END))
    _keys.START.set(mdata, start)
    _keys.END.set(mdata, end)


def told(row: pd.Series) -> str:
    return f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}], chance {row['chance']:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--regions", type=int, default=4_000, help="of the train split; 0: all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures into this page")
    args = parser.parse_args()
    bars = Bars(args.check)
    print(machine(), flush=True)
    torch.set_num_threads(1)
    on_regions(bars, args)
    on_toy(bars, args)
    print(f"{cpu_minutes():.1f} CPU minutes")
    bars.finish(args.report, __doc__)


if __name__ == "__main__":
    main()
