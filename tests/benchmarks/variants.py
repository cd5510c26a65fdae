"""Effects of variants: speed, memory, broken rows, signs, and a saturation experiment that no model has seen.

    python tests/benchmarks/variants.py --data ../shared/data [--variants 10000] [--epochs 2] [--parts rows speed ldlr]
        [--check] [--report PAGE]

SNVs on a random genome, 256 bp, both alleles, both strands, with the shipped weights; each run is a process of its own. Then the
LDLR promoter of Kircher et al. (2019), in HepG2: effects that were never trained on, against measured ones. "HepG2 task" is
fitted on HepG2 against K562 regions of the train chromosomes, where chr19 is; k-mers (4 to 8) are the linear model of the same fit.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

# Waiting threads sleep instead of spinning on cores that others use, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
from _interleaved import in_turns

SEQ_LENGTH, GENOME_LENGTH, LEAST_BARCODES = 256, 2_000_000, 10
LEAST_SPEED, MOST_GROWTH = 60, 200  # SNVs/s, MiB
N_BROKEN, N_BOOTSTRAP, N_PAIRS = 1_000, 1_000, 200
BASES = np.array(list("ACGT"))
PARTS = ["rows", "speed", "ldlr"]


def make_genome(folder: Path) -> str:
    """A random chromosome, as FASTA."""
    rng = np.random.default_rng(0)
    sequence = "".join(BASES[rng.integers(4, size=GENOME_LENGTH)])
    lines = [sequence[start : start + 60] for start in range(0, GENOME_LENGTH, 60)]
    (folder / "genome.fa").write_text("\n".join([">chr1", *lines]) + "\n")
    return sequence


def write_vcf(path: Path, rows: list[tuple]) -> None:
    """Rows behind a header."""
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(head + "".join("\t".join(map(str, row)) + "\n" for row in rows))


def snvs(sequence: str, n: int) -> list[tuple]:
    """SNVs at random places."""
    rng = np.random.default_rng(1)
    places = np.sort(rng.choice(np.arange(1_000, GENOME_LENGTH - 1_000), n, replace=False))
    return [
        ("chr1", place + 1, f"rs{place}", sequence[place], rng.choice([b for b in "ACGT" if b != sequence[place]]), ".", ".", ".")
        for place in places
    ]  # fmt: skip


def broken(sequence: str) -> list[tuple]:
    """Rows that no one should score, each broken in its own way."""
    place = 5_000
    ref = sequence[place - 1]
    other = next(base for base in "ACGT" if base != ref)
    kinds = [
        ("chr1", place, "a", other, "ACGT".replace(other, "").replace(ref, "")[0]), ("chr1", "x1", "b", ref, other),
        ("chr1", -5, "c", ref, other), ("chr1", GENOME_LENGTH + 9, "d", ref, other), ("chr77", place, "e", ref, other),
        ("chr1", place, "f", ref, "<DEL>"), ("chr1", place, "g", ref, "*"), ("chr1", place, "h", ref, "."),
        ("chr1", place, "i", ref, ref), ("chr1", place, "j", "N", other), ("chr1", place, "k", ref, "X"),
        ("chr1", place, "l", ref, f"{other}]chr2:7]"), ("chr1",), ("chr1", place, "m"), ("", "", "", "", ""),
        ("chr1", 1.5, "n", ref, other), ("chr1", place, "o", "", other), ("chr1", place, "p", sequence[place - 1 : place + 499], ref),
    ]  # fmt: skip
    return [kinds[number % len(kinds)] for number in range(N_BROKEN)]


def work(folder: Path, name: str) -> None:
    """One timed run."""
    from _shared import peak_mib

    import genebert as gb

    genome, model = gb.Genome(folder / "genome.fa"), gb.tl.load("mini", device="cpu")
    variants = gb.io.read_variants(folder / name, genome=genome)
    gb.tl.variant_effect(variants.head(64), model, genome=genome, seq_length=SEQ_LENGTH)  # tables are built once
    before, start = peak_mib(), time.perf_counter()
    effects = gb.tl.variant_effect(variants, model, genome=genome, seq_length=SEQ_LENGTH)
    seconds = time.perf_counter() - start
    assert np.isfinite(effects["distance"]).all()
    print(json.dumps({"speed": len(variants) / seconds, "peak": peak_mib(), "growth": peak_mib() - before}))


def measure_speed(bars, folder: Path, sequence: str, n: int) -> None:
    """Variants per second, and what memory grows by with ten times as many."""
    for name, number in (("few.vcf", n // 10), ("many.vcf", n)):
        write_vcf(folder / name, snvs(sequence, number))
    jobs = [(str(folder), name) for name in ("few.vcf", "many.vcf")]
    few, many = (in_turns(__file__, jobs, repeats=1)[job][0] for job in jobs)
    bars.bar("speed", many["speed"] >= LEAST_SPEED, f"{many['speed']:.0f} SNVs/s ({n:,}), at least {LEAST_SPEED}")
    growth = many["peak"] - few["peak"]
    detail = f"peak {many['peak']:.0f} MiB, {growth:+.0f} MiB against a tenth of the variants, at most {MOST_GROWTH}"
    bars.bar("memory", growth <= MOST_GROWTH, detail)


def check_rows(bars, folder: Path, sequence: str) -> None:
    """Broken rows, signs, indels."""
    import genebert as gb

    genome = gb.Genome(folder / "genome.fa")
    write_vcf(folder / "broken.vcf", broken(sequence))
    table = gb.tl.variant_effect(
        gb.io.read_variants(folder / "broken.vcf", genome=genome, mismatch="mark"), genome=genome
    )
    unscored = table["status"].notna() & ~table["status"].isin(["ok"]) & table["distance"].isna()
    counts = ", ".join(f"{name} {n}" for name, n in table["status"].value_counts().items())
    bars.bar(
        "broken rows", len(table) == N_BROKEN and bool(unscored.all()), f"{int(unscored.sum())} of {N_BROKEN}: {counts}"
    )

    rows = snvs(sequence, N_PAIRS)
    windows = [sequence[row[1] - 1 - 128 : row[1] - 1 + 128] for row in rows]
    pairs = pd.DataFrame({"ref_sequence": windows, "alt_sequence": [w[:128] + r[4] + w[129:] for w, r in zip(windows, rows, strict=True)]})  # fmt: skip
    turned = pairs.rename(columns={"ref_sequence": "alt_sequence", "alt_sequence": "ref_sequence"})
    there, back = (gb.tl.variant_effect(part)["effect_motif"].to_numpy() for part in (pairs, turned))
    bars.bar("sign", bool(np.array_equal(there, -back)), f"{(there == -back).sum()} of {N_PAIRS} flip exactly")

    place, deleted = 100_000, 7
    ref, alt = sequence[place : place + deleted + 1], sequence[place]
    indel = pd.DataFrame({"chrom": ["chr1"], "pos": [place + 1], "ref": [ref], "alt": [alt]})
    by_hand = []
    for allele in (ref, alt):
        before = (SEQ_LENGTH - len(allele)) // 2
        text = (
            sequence[place - before : place] + allele + sequence[place + deleted + 1 : place + deleted + 1 + SEQ_LENGTH]
        )
        by_hand.append(text[:SEQ_LENGTH])
    hand = pd.DataFrame({"ref_sequence": by_hand[:1], "alt_sequence": by_hand[1:]})
    found = gb.tl.variant_effect(indel, genome=genome, seq_length=SEQ_LENGTH)["distance"].iloc[0]
    wanted = gb.tl.variant_effect(hand, seq_length=SEQ_LENGTH)["distance"].iloc[0]
    bars.bar("indel", bool(np.isclose(found, wanted, rtol=1e-5)), f"{found:.6f}, two sequences by hand {wanted:.6f}")


def liver_task(data: Path, epochs: int):
    """A task fitted on HepG2 against K562 regions of the train chromosomes."""
    from _shared import load_dhs
    from mudata import MuData

    import genebert as gb

    mdata = load_dhs(data)
    regions, labels = mdata["seq"].obs[["chrom", "start", "end"]], mdata["atac"].to_df()[["HepG2"]]
    labelled = gb.io.assemble(regions=regions, labels=labels)["labels"]
    mdata = MuData({**mdata.mod, "labels": labelled}, axis=0)
    return gb.tl.classify(mdata, labels="HepG2", max_epochs=epochs, baselines=[])


def saturation(data: Path, epochs: int) -> pd.DataFrame:
    """Correlation of each way of scoring with the measured effects: Spearman's, with an interval over variants."""
    from scipy.stats import spearmanr

    import genebert as gb
    from genebert._dna import encode
    from genebert.model._task_inputs import Inputs

    measured = pd.read_csv(data / "variants/satmut_LDLR_variants.tsv.gz", sep="\t")
    element = pd.read_csv(data / "variants/satmut_LDLR_element.tsv.gz", sep="\t")["sequence"].iloc[0]
    measured = measured[measured["barcodes"] >= LEAST_BARCODES]
    task = liver_task(data, epochs)
    windows = [window(element, row.variant_index, row.alt, task.seq_length) for row in measured.itertuples()]
    pairs = pd.DataFrame(windows, columns=["ref_sequence", "alt_sequence"])
    by_task, by_model = gb.tl.variant_effect(pairs, task), gb.tl.variant_effect(pairs)
    ref, alt = (np.stack([encode(text) for text in pairs[name]]) for name in pairs)
    motifs = task.motifs.scan(alt) - task.motifs.scan(ref)
    kmer = task.members[0].models["kmers"]
    difference = (kmer.logits(Inputs(alt, None, None)) - kmer.logits(Inputs(ref, None, None)))[:, 0]
    truth = measured["coefficient"].to_numpy()
    scores = {
        "HepG2 task": (by_task["effect_HepG2"], truth),
        "k-mers, HepG2": (difference, truth),
        "motif that changes most (zero-shot)": (by_model["effect_motif"], truth),
        "sum of motif scores": (motifs.sum(1), truth),
        "distance of embeddings (zero-shot), against size": (by_model["distance"], np.abs(truth)),
        "sum of motif changes, against size": (np.abs(motifs).sum(1), np.abs(truth)),
    }
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(N_BOOTSTRAP)]
    rows = []
    for name, (score, effect) in scores.items():
        score = np.asarray(score, dtype=float)
        low, high = np.percentile([spearmanr(score[draw], effect[draw])[0] for draw in draws], [2.5, 97.5])
        rows.append(
            {"method": name, "spearman": spearmanr(score, effect)[0], "low": low, "high": high, "n": len(truth)}
        )
    return pd.DataFrame(rows)


def report_saturation(bars, data: Path, epochs: int) -> None:
    """One line for each way of scoring; there is no bar."""
    if not ((data / "variants").is_dir() and (data / "dhs").is_dir()):
        bars.note("LDLR", "not measured: no folders variants and dhs in the data")
        return
    start = time.perf_counter()
    for row in saturation(data, epochs).itertuples():
        detail = f"Spearman {row.spearman:+.3f} [{row.low:+.3f}, {row.high:+.3f}], {row.n} variants"
        bars.note(f"LDLR: {row.method}", detail)
    print(f"LDLR: {time.perf_counter() - start:.0f} s, the fit of the task included", flush=True)


def window(element: str, place: int, alt: str, length: int) -> tuple[str, str]:
    """Both alleles in the part of the element around them, which is shorter at its ends."""
    start = max(0, place - length // 2)
    end = min(len(element), start + length)
    start = max(0, end - length)
    return element[start:end], element[start:place] + alt + element[place + 1 : end]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2, help="of the HepG2 task")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which parts to run")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures as a section of this page")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(Path(args.worker[0]), args.worker[1])
        return
    from _shared import Bars, machine

    print(machine(), flush=True)
    bars = Bars(args.check)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sequence = make_genome(folder)
        if "rows" in args.parts:
            check_rows(bars, folder, sequence)
        if "speed" in args.parts:
            measure_speed(bars, folder, sequence, args.variants)
    if "ldlr" in args.parts:
        report_saturation(bars, args.data, args.epochs)
    bars.finish(args.report, __doc__)


if __name__ == "__main__":
    main()
