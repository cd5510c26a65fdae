"""Speed and correctness of the motif scan, against memelite's FIMO and lightmotif.

    python tests/benchmarks/motif_scan.py [--check] [--sequences 4000] [--motifs 250] [--length 500] [--repeats 5]

Random sequences, motifs of genebert's default set, both strands, hits at p <= 1e-4. Each run is a process of its own, the
contestants in turns; compiled code is warm (each process scans something tiny first). Inside the timing: everything from
motifs and sequences in a tool's own form to the numbers, tables and thresholds included; for genebert that is the whole of
`pp.scan_motifs`, which makes more than memelite, whose counts are one number per motif for all sequences.

lightmotif is taken twice: sequence by sequence, as its documentation shows, and with all sequences joined to one, which is
its best case (long sequences are what it is made for) and costs some lines to cut the result into sequences again.
The bars hold against the faster of the two. An unknown base, of which the room behind a sequence is made, gets a score
that no window recovers from; otherwise lightmotif 0.10 finds hits there, and maxima.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from _interleaved import faster, in_turns

PVALUE = 1e-4
PSEUDOCOUNT = 0.8
UNIFORM = np.full(4, 0.25)
STEPS_PER_BIT = 1024
LEAST_MEMELITE, LEAST_LIGHTMOTIF = 1.3, 3.0
CONTESTANTS = (
    ("genebert", "count"), ("memelite", "count"), ("lightmotif", "count"), ("lightmotif_joined", "count"),
    ("genebert", "max"), ("lightmotif", "max"), ("lightmotif_joined", "max"),
)  # fmt: skip
N_REFERENCE = 40  # sequences that are scanned the plain way, too
UNKNOWN = -1000.0  # log-odds of N for lightmotif
MOST_APART = {"count": 0.05, "max": 1e-4}  # of the sums of results; thresholds of other tools are approximations


def make_codes(n_sequences: int, length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, size=(n_sequences, length), dtype=np.uint8)


def make_motifs(n_motifs: int) -> list:
    """Evenly over the default set, so that lengths and families are those of all."""
    from genebert._motifs import default_motifs

    motifs = default_motifs()
    return [motifs[i] for i in np.linspace(0, len(motifs) - 1, n_motifs).astype(int)]


def log_odds_of(motif) -> np.ndarray:
    from genebert._motifs import log_odds

    return log_odds(motif, background=UNIFORM)


# Contestants: a function of (codes, motifs, threads) that prepares, and returns what is timed.


def genebert(codes: np.ndarray, motifs: list, n_threads: int, *, score: str):
    import genebert as gb
    from genebert._dna import decode

    texts = pd.Series([decode(row) for row in codes], index=[f"s{row}" for row in range(len(codes))])
    mdata = gb.io.assemble(sequences=texts)

    def run() -> np.ndarray:
        gb.pp.scan_motifs(mdata, motifs, score=score, pvalue=PVALUE, n_threads=n_threads)
        return mdata["tf"].X

    return run


def memelite(codes: np.ndarray, motifs: list, n_threads: int, *, score: str):
    import numba
    from memelite import fimo

    numba.set_num_threads(n_threads)
    one_hot = np.stack([codes == base for base in range(4)], axis=1).astype(np.int8)
    matrices = {}
    for place, motif in enumerate(motifs):
        counts = motif.counts + PSEUDOCOUNT * UNIFORM
        matrices[str(place)] = np.ascontiguousarray((counts / counts.sum(axis=1, keepdims=True)).T)
    return lambda: fimo(matrices, one_hot, threshold=PVALUE, return_counts=True)


def _in_parts(codes: np.ndarray, motifs: list, n_threads: int, *, score: str, prepare, scan):
    """lightmotif in threads: a sequence is locked while it is scanned, so each thread has sequences of its own."""
    import lightmotif

    parts = [prepare(part) for part in np.array_split(codes, n_threads)]

    def strands_of(motif):
        matrix = log_odds_of(motif)
        bases = {base: matrix[:, i].tolist() for i, base in enumerate("ACGT")}
        forward = lightmotif.ScoringMatrix({**bases, "N": [UNKNOWN] * len(matrix)})
        threshold = lightmotif.ScoringMatrix(bases).score(PVALUE) if score == "count" else None
        return (forward, forward.reverse_complement()), threshold

    def run() -> np.ndarray:
        with ThreadPoolExecutor(n_threads) as pool:
            matrices = list(pool.map(strands_of, motifs))
            found = pool.map(lambda part: [scan(part, strands, threshold) for strands, threshold in matrices], parts)
            return np.concatenate([np.stack(columns, axis=1) for columns in found])

    return run


def lightmotif(codes: np.ndarray, motifs: list, n_threads: int, *, score: str):
    import lightmotif

    from genebert._dna import decode

    def prepare(part: np.ndarray) -> list:
        return [lightmotif.stripe(decode(row)) for row in part]

    def highest(scores) -> float:
        return scores[scores.argmax()]  # lightmotif's own `max` is never below 0

    def scan(sequences: list, strands, threshold: float | None) -> list[float]:
        if threshold is None:
            return [max(highest(strand.calculate(sequence)) for strand in strands) for sequence in sequences]
        return [
            sum(len(strand.calculate(sequence).threshold(threshold)) for strand in strands) for sequence in sequences
        ]

    return _in_parts(codes, motifs, n_threads, score=score, prepare=prepare, scan=scan)


def lightmotif_joined(codes: np.ndarray, motifs: list, n_threads: int, *, score: str):
    import lightmotif

    from genebert._dna import decode

    length = codes.shape[1]

    def prepare(part: np.ndarray):
        return lightmotif.stripe("".join(decode(row) for row in part)), len(part)

    def scan(part, strands, threshold: float | None) -> np.ndarray:
        joined, n_sequences = part
        n_windows = length - len(strands[0]) + 1
        if threshold is None:
            best = np.full(n_sequences, -np.inf, dtype=np.float32)
            for strand in strands:
                scores = np.asarray(memoryview(strand.calculate(joined))).reshape(-1)[: n_sequences * length]
                highest = scores.reshape(n_sequences, length)[:, :n_windows].max(axis=1)
                np.maximum(best, highest, out=best)
            return best
        hits = [hit.position for strand in strands for hit in lightmotif.scan(strand, joined, threshold=threshold)]
        row, window = np.divmod(np.array(hits, dtype=np.int64), length)
        return np.bincount(row[window < n_windows], minlength=n_sequences)  # the others lie over an end

    return _in_parts(codes, motifs, n_threads, score=score, prepare=prepare, scan=scan)


def work(args: argparse.Namespace) -> None:
    """One timed run."""
    tool, score, n_threads = args.worker[0], args.worker[1], int(args.worker[2])
    prepare = globals()[tool]
    motifs = make_motifs(args.motifs)
    codes = make_codes(args.sequences, args.length)
    prepare(codes[:20], motifs[:3], n_threads, score=score)()  # compiles, or loads what was compiled
    run = prepare(codes, motifs, n_threads, score=score)
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "sum": float(result.sum())}))


# Correctness: every window of some sequences, in float64; thresholds from the distribution of all scores.


def reference_threshold(steps: np.ndarray) -> float:
    """Lowest score that a random sequence reaches with at most `PVALUE`: all sequences of a short motif, else by convolution."""
    if len(steps) <= 8:
        words = np.stack(np.meshgrid(*[np.arange(4)] * len(steps), indexing="ij"), axis=-1).reshape(-1, len(steps))
        counts = np.unique(steps[np.arange(len(steps)), words].sum(axis=1), return_counts=True)
        scores, probabilities = counts[0], counts[1] / len(words)
    else:
        lowest = int(steps.min(axis=1).sum())
        probabilities = np.ones(1)
        for column in steps - steps.min(axis=1, keepdims=True):
            longer = np.zeros(len(probabilities) + column.max())
            for step in column:
                longer[step : step + len(probabilities)] += 0.25 * probabilities
            probabilities = longer
        scores = lowest + np.arange(len(probabilities))
    tail = np.cumsum(probabilities[::-1])[::-1]
    reached = scores[(tail <= PVALUE * (1 + 1e-9)) & (probabilities > 0)]
    return reached[0] if len(reached) else np.inf


def window_scores(codes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Scores of all windows on both strands, float64 ``(strands, sequences, windows)``."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, len(matrix), axis=1)
    columns = np.arange(len(matrix))
    return np.stack([strand[columns, windows].sum(axis=2) for strand in (matrix, matrix[::-1, ::-1])])


def check_numbers(bars, args: argparse.Namespace) -> None:
    """One line per kind of number."""
    from genebert.pp._scan import Scanner

    codes, motifs = make_codes(args.sequences, args.length)[:N_REFERENCE], make_motifs(args.motifs)
    matrices = [log_odds_of(motif) for motif in motifs]
    highest, counts = np.empty((2, len(codes), len(motifs)))
    for place, (motif, matrix) in enumerate(zip(motifs, matrices, strict=True)):
        sites = motif.counts + PSEUDOCOUNT * UNIFORM  # log-odds are in float64 here, from the counts on
        exact = np.log2(sites / sites.sum(axis=1, keepdims=True) / UNIFORM)
        highest[:, place] = window_scores(codes, exact).max(axis=(0, 2))
        steps = np.rint(matrix.astype(np.float64) * STEPS_PER_BIT).astype(np.int64)
        counts[:, place] = (window_scores(codes, steps) >= reference_threshold(steps)).sum(axis=(0, 2))
    found = Scanner(matrices, background=UNIFORM, score="max")(codes)
    error = np.abs(found - highest).max()
    bars.bar(
        "maximal scores", error <= 1e-5, f"at most {error:.1e} from float64, on {highest.size} pairs; 1e-5 allowed"
    )
    found = Scanner(matrices, background=UNIFORM, score="count", pvalue=PVALUE)(codes)
    wrong = int((found != counts).sum())
    bars.bar(
        "counts", wrong == 0, f"{wrong} of {counts.size} pairs differ from the plain way; {int(counts.sum())} hits"
    )


def check_sums(bars, sums: dict[tuple[str, ...], set[float]]) -> None:
    """One line per score: whether all contestants computed the same."""
    for score, most in MOST_APART.items():
        found = sorted({(tool, total) for (tool, kind, _), totals in sums.items() if kind == score for total in totals})
        apart = max(abs(total / found[0][1] - 1) for _, total in found)  # from genebert, the first by name
        text = ", ".join(f"{tool} {total:.0f}" for tool, total in found)
        bars.bar(f"same {score}", apart <= most, f"{text}: at most {apart:.1e} apart, {most:g} allowed")


def compare(bars, seconds: dict[tuple[str, ...], list[float]], n_pairs: int) -> None:
    """Speeds, then one line per bar."""
    for (tool, score, n_threads), times in seconds.items():
        median = statistics.median(times)
        print(f"{tool} {score}, {n_threads} thread(s): {n_pairs / median / 1e6:.2f} M pairs/s, {median:.2f} s")
    for n_threads in ("1", "2"):
        ours = seconds["genebert", "count", n_threads]
        ratio = faster(ours, seconds["memelite", "count", n_threads])
        name = f"counts, {n_threads} thread(s), against memelite"
        bars.bar(name, ratio.median >= LEAST_MEMELITE, f"{ratio}, at least {LEAST_MEMELITE}")
        for score in ("count", "max"):
            ours = seconds["genebert", score, n_threads]
            both = {tool: faster(ours, seconds[tool, score, n_threads]) for tool in ("lightmotif", "lightmotif_joined")}
            name = f"{score}, {n_threads} thread(s), against lightmotif"
            text = f"{both['lightmotif']} by sequence, {both['lightmotif_joined']} joined, at least {LEAST_LIGHTMOTIF}"
            bars.bar(name, min(both.values()).median >= LEAST_LIGHTMOTIF, text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures as a section of this page")
    parser.add_argument("--sequences", type=int, default=4000)
    parser.add_argument("--motifs", type=int, default=250)
    parser.add_argument("--length", type=int, default=500, help="bp of a sequence")
    parser.add_argument("--repeats", type=int, default=5, help="processes per contestant and number of threads")
    parser.add_argument("--data", help="ignored: this benchmark makes its own data")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse()
    if args.worker:
        work(args)
        return
    from _shared import Bars, machine

    bars = Bars(args.check)
    print(machine(), f"| load {os.getloadavg()[0]:.1f}", flush=True)
    print(f"{args.sequences} sequences of {args.length} bp, {args.motifs} motifs, {args.repeats} rounds", flush=True)
    check_numbers(bars, args)
    sizes = ("--sequences", str(args.sequences), "--motifs", str(args.motifs), "--length", str(args.length))
    jobs = [(*contestant, n_threads) for contestant in CONTESTANTS for n_threads in ("1", "2")]
    runs = in_turns(__file__, jobs, options=sizes, repeats=args.repeats)
    check_sums(bars, {job: {run["sum"] for run in found} for job, found in runs.items()})
    compare(bars, {job: [run["seconds"] for run in found] for job, found in runs.items()}, args.sequences * args.motifs)
    print(f"load {os.getloadavg()[0]:.1f}")
    bars.finish(args.report, __doc__)


if __name__ == "__main__":
    sys.exit(main())
