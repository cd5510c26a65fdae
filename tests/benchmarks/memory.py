"""Memory and time of sequences, motif scan and embedding from a store on disk, at 100,000 and at 1,000,000 regions.

    python tests/benchmarks/memory.py [--regions 100000 1000000] [--check] [--report PATH]

Regions of 256 bp lie on a random genome. Each step runs in a process of its own, so that its peak is its own.
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
from pathlib import Path

# Waiting threads sleep instead of spinning on cores that others use, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd

CHROMOSOMES, CHROMOSOME_LENGTH = 8, 20_000_000
WIDTH, N_MOTIFS = 256, 250
STEPS = ("sequence", "scan", "embed")
MOST_GROWTH, MOST_PEAK = 400, 2048  # MB, MiB
WARM_UP = 1_000  # regions
NETWORK = {"n_filters": 16, "filter_width": 7, "stride": 16, "dim": 16}  # smaller than `tiny`: the engine is measured
RATIO, MOST_MINUTES = (0.85, 1.15), 25


def make_genome(path: Path, *, seed: int) -> None:
    """Random chromosomes as FASTA."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as handle:
        for number in range(1, CHROMOSOMES + 1):
            handle.write(f">chr{number}\n".encode())
            handle.write(np.frombuffer(b"ACGT", np.uint8)[rng.integers(4, size=CHROMOSOME_LENGTH)].tobytes() + b"\n")


def make_store(path: Path, n_regions: int) -> None:
    """Regions at even distances along the chromosomes, without sequences."""
    import genebert as gb

    n_each = -(-n_regions // CHROMOSOMES)
    start = np.tile(np.linspace(0, CHROMOSOME_LENGTH - WIDTH, n_each, dtype=np.int64), CHROMOSOMES)[:n_regions]
    chrom = np.repeat([f"chr{number}" for number in range(1, CHROMOSOMES + 1)], n_each)[:n_regions]
    gb.io.write(gb.io.read_regions(pd.DataFrame({"chrom": chrom, "start": start, "end": start + WIDTH})), path)


def run_step(step: str, store: Path, genome: Path, *, seed: int) -> None:
    """One verb on the store, and what it took, as JSON on the last line."""
    from _shared import peak_mib

    import genebert as gb
    from genebert._motifs import default_motifs

    _ = gb.pp, gb.tl, gb.model  # their imports take seconds, however many regions there are
    start = time.monotonic()
    mdata = gb.io.open(store)
    if step == "sequence":
        gb.pp.add_sequence(mdata, genome)
    elif step == "scan":
        gb.pp.scan_motifs(mdata, default_motifs()[:N_MOTIFS])
    else:
        from genebert.nn import GeneBERTConfig

        tfs = list(mdata["tf"].var_names)
        config = GeneBERTConfig.preset("tiny", n_tfs=len(tfs), **NETWORK)
        model = gb.model.GeneBERT(config=config, tfs=tfs, seed=seed)
        gb.tl.embed(mdata, model)
    found = {"n_regions": mdata.n_obs, "step": step, "seconds": time.monotonic() - start, "peak_mib": peak_mib()}
    print(json.dumps(found))


def measure(n_regions: int, folder: Path, genome: Path, *, seed: int) -> list[dict]:
    """All steps on a store of `n_regions`."""
    store = folder / f"{n_regions}.zarr"
    rows = []
    for step in ("make", *STEPS):
        command = [sys.executable, __file__, "--step", step, "--store", str(store), "--genome", str(genome)]
        run = subprocess.run(
            [*command, "--regions", str(n_regions), "--seed", str(seed)], check=True, stdout=subprocess.PIPE, text=True
        )
        if step != "make":
            rows.append(json.loads(run.stdout.splitlines()[-1]))
            print(f"{n_regions:>9,} regions | {step:8} | {rows[-1]['seconds']:7.1f} s | peak {rows[-1]['peak_mib']:,.0f} MiB", flush=True)  # fmt: skip
    shutil.rmtree(store)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--regions", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=1, help="of the smaller size, for the spread of its time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures as a section of this page")
    parser.add_argument("--data", type=Path, help="not needed; `make bench` gives it to every script")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--genome", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step == "make":
        make_store(args.store, args.regions[0])
    elif args.step:
        run_step(args.step, args.store, args.genome, seed=args.seed)
    else:
        report(args)


def report(args: argparse.Namespace) -> None:
    """Measure both sizes, print the table and the bars."""
    from _shared import Bars, machine

    print(machine(), flush=True)
    begun = time.monotonic()
    small, large = min(args.regions), max(args.regions)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_genome(folder / "genome.fa", seed=args.seed)
        # The smaller one before and after the larger one: on a shared machine its time says how much the load has changed.
        sizes = [small] * args.repeats + [large] + [small] * args.repeats
        measure(WARM_UP, folder, folder / "genome.fa", seed=args.seed)  # compiles what numba keeps for later processes
        rows = [
            {**row, "run": run}
            for run, size in enumerate(sizes)
            for row in measure(size, folder, folder / "genome.fa", seed=args.seed)
        ]
    table = pd.DataFrame(rows)
    minutes = (time.monotonic() - begun) / 60
    runs = table.groupby(["run", "n_regions"]).agg(seconds=("seconds", "sum"), peak=("peak_mib", "max")).reset_index()
    print(runs.round(1).to_string(index=False))
    seconds, peak = (runs.groupby("n_regions")[column].median() for column in ("seconds", "peak"))
    growth = (peak[large] - peak[small]) * 1.048576
    ratio = seconds[large] / seconds[small] / (large / small)
    spread = runs.loc[runs["n_regions"] == small, "seconds"]
    bars = Bars(args.check)
    bars.bar(
        "growth of the peak", growth < MOST_GROWTH, f"{growth:.0f} MB from {small:,} to {large:,} regions, below 400"
    )
    bars.bar("peak", peak.max() < MOST_PEAK, f"{peak.max():.0f} MiB, below 2048")
    bars.bar(
        "time is linear", RATIO[0] <= ratio <= RATIO[1],
        f"{seconds[large]:.0f} s against {spread.min():.0f} to {spread.max():.0f} s: {ratio:.2f} per region, 0.85 to 1.15",
    )  # fmt: skip
    bars.bar("time", minutes < MOST_MINUTES, f"{minutes:.1f} minutes in all, below 25")
    bars.finish(args.report, __doc__)


if __name__ == "__main__":
    main()
