"""Speed of 6-mer ids, against strings and a dictionary.

    python tests/benchmarks/tokenize.py [--check] [--sequences 2000] [--repeats 7]

512 bp, stride 1, some sequences with N. The string-and-dictionary way is that of DNABERT's tokenizer: cut a sequence into a
list of substrings, look each up in a vocabulary, unknown ones become one id. Each starts from its own form of a sequence
(text; uint8 codes, which is what a genebert MuData holds) and ends with ids. Each run is a process of its own, the
contestants in turns, compiled code warm.
"""

if __name__ == "tokenize":
    # This folder comes first on the path of every script in it, so whoever asks for the module of the standard library
    # (linecache, inspect and with them almost everything) finds this file. Be that module, then.
    import os

    with open(os.path.join(os.path.dirname(os.__file__), "tokenize.py"), encoding="utf-8") as _source:
        exec(compile(_source.read(), _source.name, "exec"))
else:
    import argparse
    import hashlib
    import itertools
    import json
    import os
    import statistics
    import time
    from pathlib import Path

    import numpy as np
    from _interleaved import faster, in_turns

    K, LENGTH, SHARE_WITH_N = 6, 512, 0.05
    LEAST = 80.0
    LEAST_SECONDS = 1.0  # a run is repeated until then: a pass of milliseconds would measure the scheduler

    def make_codes(n_sequences: int) -> np.ndarray:
        rng = np.random.default_rng(0)
        codes = rng.integers(0, 4, size=(n_sequences, LENGTH), dtype=np.uint8)
        for row in np.flatnonzero(rng.random(n_sequences) < SHARE_WITH_N):
            start = rng.integers(LENGTH)
            codes[row, start : start + rng.integers(1, 60)] = 4
        return codes

    def genebert(codes: np.ndarray):
        from genebert._dna import kmer_ids

        return lambda: kmer_ids(codes, K)

    def dictionary(codes: np.ndarray):
        from genebert._dna import decode

        texts = [decode(row) for row in codes]
        ids = {"".join(kmer): number for number, kmer in enumerate(itertools.product("ACGT", repeat=K))}
        unknown = len(ids)

        def tokens_of(text: str) -> list[int]:
            kmers = [text[start : start + K] for start in range(len(text) - K + 1)]
            return [ids.get(kmer, unknown) for kmer in kmers]

        return lambda: [tokens_of(text) for text in texts]

    def work(args: argparse.Namespace) -> None:
        """One timed run."""
        prepare = globals()[args.worker[0]]
        prepare(make_codes(3))()  # compiles, or loads what was compiled
        run = prepare(make_codes(args.sequences))
        n_passes, start = 0, time.perf_counter()
        while n_passes == 0 or time.perf_counter() - start < LEAST_SECONDS:
            ids = run()
            n_passes += 1
        seconds = (time.perf_counter() - start) / n_passes
        digest = hashlib.sha256(np.asarray(ids, dtype=np.int32).tobytes()).hexdigest()
        print(json.dumps({"seconds": seconds, "digest": digest}))

    def parse() -> argparse.Namespace:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
        parser.add_argument("--report", type=Path, help="write the figures as a section of this page")
        parser.add_argument("--sequences", type=int, default=2000)
        parser.add_argument("--repeats", type=int, default=7, help="processes per contestant")
        parser.add_argument("--data", help="ignored: this benchmark makes its own data")
        parser.add_argument("--worker", nargs=1, help=argparse.SUPPRESS)
        return parser.parse_args()

    def main() -> None:
        args = parse()
        if args.worker:
            work(args)
            return
        from _shared import Bars, machine

        bars = Bars(args.check)
        print(machine(), f"| load {os.getloadavg()[0]:.1f}", flush=True)
        jobs = [("genebert",), ("dictionary",)]
        runs = in_turns(__file__, jobs, repeats=args.repeats, options=("--sequences", str(args.sequences)))
        seconds = {job[0]: [run["seconds"] for run in found] for job, found in runs.items()}
        for name, times in seconds.items():
            print(f"{name}: {args.sequences / statistics.median(times):,.0f} sequences/s")
        digests = {run["digest"] for found in runs.values() for run in found}
        n_with_n = int((make_codes(args.sequences) == 4).any(axis=1).sum())
        bars.bar("ids", len(digests) == 1, f"identical for {args.sequences} sequences, {n_with_n} of them with N")
        ratio = faster(seconds["genebert"], seconds["dictionary"])
        bars.bar("speed", ratio.median >= LEAST, f"{ratio}, at least {LEAST:g}")
        bars.finish(args.report, __doc__)

    if __name__ == "__main__":
        main()
