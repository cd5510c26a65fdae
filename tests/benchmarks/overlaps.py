"""Time, memory and correctness of the search for sequence that splits share, at a million regions on two cores.

    python tests/benchmarks/overlaps.py [--regions 100000 1000000] [--repeats 3] [--check]

Regions of 256 bp, with motif scores and accessibility, lie in a store on disk; pieces of train are planted into val and
test, and of val into test, so that all counts are known. Each run is a process of its own: `gb.pp.check`, all of it, and
`gb.pp.split_regions(by="similarity")`. Small sets are compared with sets of strings, too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

LENGTH, N_TFS, N_CELL_TYPES, CHROMOSOMES, DOMAIN = 256, 250, 30, 10, 100
SPLIT = {"val": ["chr8"], "test": ["chr9", "chr10"]}
PAIRS = tuple(combinations(("train", "val", "test"), 2))
STEPS = ("check", "split")
N_CORES, N_SMALL = 2, 30
MOST_SECONDS, MOST_GROWTH, MOST_PEAK = 60, 400, 2048  # s, MB, MiB


def make_store(path: Path, n_regions: int, *, seed: int) -> None:
    """Random regions with planted overlaps, a thousandth of all for each pair of splits and kind of overlap."""
    import dask.array as da
    from anndata import AnnData

    import genebert as gb
    from genebert import _keys, _mudata

    start = np.arange(n_regions) // CHROMOSOMES * 1_000
    chrom = [f"chr{number + 1}" for number in range(CHROMOSOMES)] * (n_regions // CHROMOSOMES)
    mdata = gb.io.read_regions(pd.DataFrame({"chrom": chrom, "start": start, "end": start + LENGTH}))
    gb.pp.split_regions(mdata, **SPLIT)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n_regions, LENGTH), dtype=np.uint8)
    plant(codes, np.asarray(_keys.REGION_SPLIT.get(mdata)), n_each=max(n_regions // 1_000, 1), rng=rng)
    _keys.DNA_CODE.set(mdata, codes)
    noise = da.random.default_rng(seed)
    for name, n_columns in ((_keys.TF, N_TFS), (_keys.ATAC, N_CELL_TYPES)):
        values = da.absolute(noise.normal(size=(n_regions, n_columns), chunks=(2**14, n_columns))).astype(np.float32)
        columns = pd.DataFrame(index=[f"{name}{number}" for number in range(n_columns)])
        _mudata.put(mdata, **{name: AnnData(values, obs=pd.DataFrame(index=mdata.obs_names), var=columns)})
    gb.io.write(mdata, path)


def plant(codes: np.ndarray, split: np.ndarray, *, n_each: int, rng: np.random.Generator) -> None:
    """Give regions of the second split of each pair a copy, a reverse complement, or 32 or 31 bases of one of the first."""
    from genebert._dna import reverse_complement

    free = {name: list(rng.permutation(np.flatnonzero(split == name))) for name in ("train", "val", "test")}
    for first, second in PAIRS:
        for number in range(4 * n_each):
            giver, taker = codes[free[first].pop()], codes[free[second].pop()]
            kind = number % 4
            if kind < 2:
                taker[:] = giver if kind == 0 else reverse_complement(giver)
            else:
                graft(giver if rng.random() < 0.5 else reverse_complement(giver), taker, n=34 - kind, rng=rng)


def graft(giver: np.ndarray, taker: np.ndarray, *, n: int, rng: np.random.Generator) -> None:
    """Copy `n` bases, and make sure that those on either side differ."""
    a, b = rng.integers(1, LENGTH - n - 1, 2)
    taker[b - 1 : b + n + 1] = giver[a - 1 : a + n + 1]
    taker[[b - 1, b + n]] = (taker[[b - 1, b + n]] + 1) % 4


def run_step(step: str, store: Path) -> None:
    """One verb on the store, and what it took, as JSON on the last line."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_CORES])
    import genebert as gb

    mdata = gb.io.open(store)
    before, begun, cpu = memory("VmRSS"), time.monotonic(), time.process_time()
    if step == "check":
        table = gb.pp.check(mdata).set_index("check")["count"]
        found = table[table.index.str.contains(" / ")].to_dict()
    else:
        gb.pp.split_regions(mdata, by="similarity")
        found = {}
    taken = {"seconds": time.monotonic() - begun, "cpu": time.process_time() - cpu}
    peak = memory("VmHWM")
    print(json.dumps({"n_regions": mdata.n_obs, "step": step, **taken, "peak": peak, "added": peak - before, "found": found}))  # fmt: skip


def memory(name: str) -> float:
    """Memory of this process in MiB; its peak is not `ru_maxrss`, which a child takes over from its parent."""
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) / 1024


def small_errors(*, seed: int) -> int:
    """Sets of 60 regions on which `pp.check` and sets of strings disagree."""
    import genebert as gb
    from genebert import _keys
    from genebert._logging import logger

    logger.setLevel("WARNING")
    n_errors = 0
    for number in range(N_SMALL):
        rng = np.random.default_rng([seed, number])
        codes = small_codes(rng)
        split = rng.choice(["train", "val", "test"], len(codes))
        mdata = gb.io.assemble(sequences=[as_text(row) for row in codes])
        _keys.REGION_SPLIT.set(mdata, pd.Categorical(split))
        found = gb.pp.check(mdata).set_index("check")["count"]
        expected = reference(codes, split)
        n_errors += any(found[name] != count for name, count in expected.items())
    return n_errors


def small_codes(rng: np.random.Generator) -> np.ndarray:
    """Random sequences that share pieces of about 32 bases, with a few N."""
    from genebert._dna import N, reverse_complement

    codes = rng.integers(0, 4, (60, 80), dtype=np.uint8)
    for giver, taker in rng.integers(0, 60, (30, 2)):
        n = rng.choice([30, 31, 32, 33, 80])
        a, b = rng.integers(0, 80 - n + 1, 2)
        piece = codes[giver, a : a + n].copy()
        codes[taker, b : b + n] = piece if rng.random() < 0.5 else reverse_complement(piece)
    codes[rng.integers(0, 60, 10), rng.integers(0, 80, 10)] = N
    return codes


def reference(codes: np.ndarray, split: np.ndarray) -> dict[str, int]:
    """Count overlaps by sets of strings."""
    from genebert._dna import reverse_complement

    texts, reverse = ([as_text(row).strip("N") for row in some] for some in (codes, reverse_complement(codes)))
    pieces = [
        {text[i : i + 32] for text in both for i in range(len(text) - 31) if "N" not in text[i : i + 32]}
        for both in zip(texts, reverse, strict=True)
    ]
    counts = {}
    for first, second in PAIRS:
        ours, theirs = np.flatnonzero(split == first), np.flatnonzero(split == second)
        there = {texts[row] for row in ours}
        held = set().union(*(pieces[row] for row in ours))
        counts[f"{first} / {second}: sequence"] = sum(texts[row] in there for row in theirs)
        counts[f"{first} / {second}: reverse complement"] = sum(reverse[row] in there for row in theirs)
        counts[f"{first} / {second}: 32-mer"] = sum(not held.isdisjoint(pieces[row]) for row in theirs)
    return counts


def as_text(row: np.ndarray) -> str:
    from genebert._dna import decode

    return decode(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--regions", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures as a section of this page")
    parser.add_argument("--data", type=Path, help="not needed; `make bench` gives it to every script")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step == "make":
        make_store(args.store, args.regions[0], seed=args.seed)
    elif args.step:
        run_step(args.step, args.store)
    else:
        report(args)


def measure(n_regions: int, folder: Path, *, repeats: int, seed: int) -> list[dict]:
    """All steps on a store of `n_regions`, each `repeats` times; the second changes the splits."""
    store = folder / f"{n_regions}.zarr"
    rows = []
    for step in ("make", *np.repeat(STEPS, repeats)):
        command = [sys.executable, __file__, "--step", step, "--store", str(store), "--seed", str(seed)]
        run = subprocess.run([*command, "--regions", str(n_regions)], check=True, stdout=subprocess.PIPE, text=True)
        if step != "make":
            rows.append(json.loads(run.stdout.splitlines()[-1]))
            row = rows[-1]
            print(
                f"{n_regions:>9,} regions | {step:5} | {row['seconds']:6.1f} s, CPU {row['cpu']:6.1f} s | peak "
                f"{row['peak']:,.0f} MiB, {row['added']:,.0f} more than before | load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    shutil.rmtree(store)
    return rows


def report(args: argparse.Namespace) -> None:
    """Measure, print the table and the bars."""
    from _shared import Bars, machine

    print(f"{machine()}, load {os.getloadavg()[0]:.1f}", flush=True)
    bars = Bars(args.check)
    n_errors = small_errors(seed=args.seed)
    bars.bar("small sets", n_errors == 0, f"{n_errors} of {N_SMALL} differ from sets of strings")
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame(
            [row for size in args.regions for row in measure(size, Path(folder), repeats=args.repeats, seed=args.seed)]
        )
    small, large = min(args.regions), max(args.regions)
    wrong = [row for row in table.itertuples() if row.step == "check" and row.found != planted(row.n_regions)]
    bars.bar("planted overlaps", not wrong, f"{len(wrong)} runs of check count other than {planted(large)}")
    for step in STEPS:
        rows = table[table["step"] == step].set_index("n_regions")
        seconds = rows.loc[[large], "seconds"]
        spread = f"{seconds.min():.1f} to {seconds.max():.1f} s for {large:,} regions, below {MOST_SECONDS}"
        bars.bar(f"{step}: time", seconds.median() < MOST_SECONDS, spread)
        peak, added = (rows[column].groupby(level=0).max() for column in ("peak", "added"))
        growth = (added[large] - added[small]) * 1.048576
        bars.bar(f"{step}: peak", peak.max() < MOST_PEAK, f"{peak.max():.0f} MiB, below {MOST_PEAK}")
        detail = f"adds {growth:.0f} MB more to what there is than at {small:,} regions, below {MOST_GROWTH}"
        bars.bar(f"{step}: growth", growth < MOST_GROWTH, detail)
    bars.finish(args.report, __doc__)


def planted(n_regions: int) -> dict[str, int]:
    """What `pp.check` must find."""
    n = max(n_regions // 1_000, 1)
    kinds = {"sequence": n, "reverse complement": n, "32-mer": 3 * n}
    return {f"{first} / {second}: {kind}": count for first, second in PAIRS for kind, count in kinds.items()}


if __name__ == "__main__":
    main()
