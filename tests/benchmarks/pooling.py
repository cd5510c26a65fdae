"""Pooling of 50,000 cells x 200,000 peaks into 30 cell types: time against one product with an indicator, and memory.

    python tests/benchmarks/pooling.py [--cells 50000] [--peaks 200000] [--density 0.02] [--repeats 5] [--check]

Counts are made up: how often a peak is open varies as in single-cell ATAC-seq (log-normal), 2 % of values are not zero
(200 million, 1.6 GB as CSR). `product` is scipy's, of a cell types x cells indicator and the matrix; `pool` is what pools
in `gb.io.from_anndata`, which checks every value besides; `from_anndata` is all of it, reading 200,000 names of peaks and
building the MuData included. Each run has a fresh process, the ways take turns, and each starts with a small matrix, so
that nothing is compiled or imported while the clock runs. All run on one thread, and CPU seconds are compared: on a
machine that others use, they say more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numba
import numpy as np
import pandas as pd
from scipy import sparse

N_CELL_TYPES, PEAK_WIDTH, PEAK_DISTANCE = 30, 500, 15_000
WAYS = ("product", "pool", "from_anndata")
MOST_TIME, MOST_GROWTH = 1.5, 500  # times the product; MB


def make_matrix(folder: Path, *, n_cells: int, n_peaks: int, density: float, seed: int) -> None:
    """Write a CSR of counts as three arrays; columns are sorted in each row and occur once."""
    rng = np.random.default_rng(seed)
    chance = rng.lognormal(sigma=1.0, size=n_peaks)
    chance = np.minimum(chance * density / chance.mean(), 0.9)
    indices, indptr = draw_cells(chance, n_cells, seed)
    ones = np.ones(len(indices), dtype=np.int8)
    matrix = sparse.csc_matrix((ones, indices, indptr), shape=(n_cells, n_peaks)).tocsr()
    np.save(folder / "indices.npy", matrix.indices.astype(np.int32))
    np.save(folder / "indptr.npy", matrix.indptr)
    np.save(folder / "data.npy", 1 + rng.poisson(0.3, size=matrix.nnz).astype(np.float32))
    np.save(folder / "groups.npy", rng.integers(N_CELL_TYPES, size=n_cells))


@numba.njit
def draw_cells(chance: np.ndarray, n_cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each peak the cells in which it is open, by drawing the gaps between them; indices and indptr of a CSC."""
    np.random.seed(seed)  # noqa: NPY002
    indices = np.empty(int(chance.sum() * n_cells * 1.05) + 1_000_000, dtype=np.int32)
    indptr = np.zeros(len(chance) + 1, dtype=np.int64)
    n = 0
    for peak in range(len(chance)):
        cell = -1
        scale = np.log1p(-chance[peak])
        while True:
            cell += 1 + int(np.log(1 - np.random.random()) / scale)  # noqa: NPY002
            if cell >= n_cells:
                break
            indices[n] = cell
            n += 1
        indptr[peak + 1] = n
    return indices[:n], indptr


def make_adata(matrix: sparse.csr_matrix, groups: np.ndarray):
    from anndata import AnnData

    cells = pd.DataFrame({"cell_type": pd.Categorical([f"type {group}" for group in groups])})
    starts = np.arange(matrix.shape[1]) * PEAK_DISTANCE
    peaks = [f"chr1:{start}-{start + PEAK_WIDTH}" for start in starts]
    cells.index = cells.index.astype(str)
    return AnnData(matrix, obs=cells, var=pd.DataFrame(index=peaks))


def run_way(way: str, folder: Path) -> None:
    """Pool once, and what it took, as JSON on the last line."""
    import genebert as gb
    from genebert._pool import pool

    parts = (np.load(folder / f"{name}.npy") for name in ("data", "indices", "indptr"))
    groups = np.load(folder / "groups.npy")
    matrix = sparse.csr_matrix(tuple(parts), shape=(len(groups), int(os.environ["N_PEAKS"])))
    adata = make_adata(matrix, groups)
    small = adata[: 10 * N_CELL_TYPES, :100].copy()

    def run(adata):
        if way == "from_anndata":
            return gb.io.from_anndata(adata, groupby="cell_type")["atac"].layers["counts"]
        codes = adata.obs["cell_type"].cat.codes.to_numpy()
        if way == "pool":
            return pool(adata.X, codes, n_groups=N_CELL_TYPES, keep=np.ones(adata.n_vars, dtype=bool))
        ones = np.ones(adata.n_obs, dtype=np.float32)
        return sparse.csr_matrix((ones, (codes, np.arange(adata.n_obs))), shape=(N_CELL_TYPES, adata.n_obs)) @ adata.X

    run(small)
    before = memory(reset=True)
    start, cpu = time.perf_counter(), time.process_time()
    result = run(adata)
    row = {"way": way, "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    peak = memory()
    total = float(result.sum(dtype=np.float64))
    print(json.dumps({**row, "growth_mb": (peak - before) / 1e6, "n_values": matrix.nnz, "sum": total}))


def memory(*, reset: bool = False) -> int:
    """Highest memory of this process in bytes, since the last reset. `ru_maxrss` would count the parent's, too."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--peaks", type=int, default=200_000)
    parser.add_argument("--density", type=float, default=0.02)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures as a section of this page")
    parser.add_argument("--data", type=Path, help="not needed; `make bench` gives it to every script")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        run_way(args.way, args.folder)
    else:
        report(args)


def report(args: argparse.Namespace) -> None:
    """Make the matrix, let the ways take turns, print the table and the bars."""
    from _shared import Bars, machine

    print(machine(), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_matrix(Path(folder), n_cells=args.cells, n_peaks=args.peaks, density=args.density, seed=args.seed)
        for _ in range(args.repeats):
            for way in WAYS:
                run = subprocess.run(
                    [sys.executable, __file__, "--way", way, "--folder", folder],
                    env={**os.environ, "N_PEAKS": str(args.peaks)}, check=True, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                rows.append(json.loads(run.stdout.splitlines()[-1]))
                print({key: round(value, 3) if isinstance(value, float) else value for key, value in rows[-1].items()}, flush=True)  # fmt: skip
    table = pd.DataFrame(rows)
    median = table.groupby("way")[["seconds", "cpu_seconds", "growth_mb"]].median()
    print(f"{args.cells:,} x {args.peaks:,}, {rows[0]['n_values']:,} values; median of {args.repeats}")
    print(median.round(2).to_string())
    ratio = median["cpu_seconds"] / median.loc["product", "cpu_seconds"]
    growth = table.loc[table["way"] != "product", "growth_mb"].max()
    dense_gb = 4 * args.cells * args.peaks / 1e9
    bars = Bars(args.check)
    bars.bar("same sums", table["sum"].nunique() == 1, f"{table['sum'].iloc[0]:.0f}")
    bars.bar("time", ratio["pool"] < MOST_TIME, f"{ratio['pool']:.2f} x one pass over the non-zeros, below 1.5")
    bars.bar("memory", growth < MOST_GROWTH, f"peak grows by {growth:.0f} MB, below 500 (dense: {dense_gb:.0f} GB)")
    print(f"       | from_anndata | {ratio['from_anndata']:.2f} x one pass, names and MuData included; reported only")
    bars.finish(args.report, __doc__)


if __name__ == "__main__":
    main()
