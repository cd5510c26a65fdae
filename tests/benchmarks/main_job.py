"""The main job on real regions: sequences, motif scan, pre-training, embedding, and what the embedding knows.

    python tests/benchmarks/main_job.py --data ../shared/data [--check] [--report docs/benchmarks.md] [--save DIR]

Pre-trains on the train chromosomes of `dhs` (K562 and HepG2 windows), embeds all regions with the defaults (no cell
type, no weight), and tells K562 from HepG2 regions on the dev chromosomes by logistic regression on the embedding.
The penalty of each logistic regression is chosen on two chromosomes of train.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

# Waiting threads sleep instead of spinning, so that CPU minutes count work, also on a machine that others use.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch
from _shared import Bars, bootstrap_auroc, cpu_minutes, load_dhs, machine, write_section
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import genebert as gb
from genebert import _keys
from genebert._dna import kmer_ids, reverse_complement

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
INNER = ("chr3", "chr12")  # of train, for choices
MOST_CPU_MINUTES = 15
LEAST_AUROC = 0.94


def kmer_counts(codes: np.ndarray, k: int = 6) -> sparse.csr_matrix:
    """Share of each k-mer on both strands, square root: CSR (regions, 4**k)."""
    n_kmers = 4**k
    ids = np.concatenate([kmer_ids(codes, k), kmer_ids(reverse_complement(codes), k)], axis=1)
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    known = ids.ravel() < n_kmers
    counts = sparse.csr_matrix((np.ones(known.sum()), (rows[known], ids.ravel()[known])), shape=(len(ids), n_kmers))
    return counts.sqrt().astype(np.float32)


def probe(features, truth: np.ndarray, train: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, float]:
    """Logistic regression on train, its penalty chosen on the inner part; scores of all regions."""

    def fit(rows: np.ndarray, penalty: float):
        scaler = StandardScaler(with_mean=not sparse.issparse(features))
        return make_pipeline(scaler, LogisticRegression(C=penalty, max_iter=2_000)).fit(features[rows], truth[rows])

    outer = train & ~inner
    inner_auroc = {
        penalty: roc_auc_score(truth[inner], fit(outer, penalty).decision_function(features[inner]))
        for penalty in PENALTIES
    }
    best = max(inner_auroc, key=inner_auroc.get)
    return fit(train, best).decision_function(features), best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--save", type=Path, help="write the model: this is how genebert/weights/mini was made")
    parser.add_argument("--report", type=Path, help="write the tables as Markdown")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    bars = Bars(args.check)
    print(machine(), flush=True)

    mdata = load_dhs(args.data)
    motifs = gb.io.jaspar(species="9606")
    start = time.monotonic()
    gb.pp.scan_motifs(mdata, motifs)
    print(f"scanned {mdata.n_obs:,} regions with {len(motifs)} motifs in {time.monotonic() - start:.1f} s")

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one costs a fifth more CPU time for this small network
    before, start = cpu_minutes(), time.monotonic()
    model = gb.tl.pretrain(
        mdata, preset="mini", cell_types=["K562", "HepG2"], max_epochs=args.epochs, batch_size=64, seed=args.seed
    )
    cpu, wall = cpu_minutes() - before, (time.monotonic() - start) / 60
    torch.set_num_threads(n_threads)
    if args.save:
        model.save(args.save, overwrite=True, half_precision=True)
    gb.tl.embed(mdata, model)

    split = np.asarray(_keys.REGION_SPLIT.get(mdata))
    train, dev = split == "train", split == "test"
    inner = train & np.isin(_keys.CHROM.get(mdata), INNER)
    truth = np.asarray(_keys.ACCESSIBILITY.get(mdata))[:, mdata[_keys.ATAC].var_names.get_loc("K562")].astype(int)
    features = {
        "X_genebert": mdata.obsm[_keys.EMBEDDING.key],
        "6-mers": kmer_counts(np.asarray(_keys.DNA_CODE.get(mdata))),
        "motif scores": np.asarray(_keys.TF_SCORE.get(mdata)),
        "GC content": np.asarray(_keys.GC.get(mdata))[:, None],
    }
    scores, penalties = {}, {}
    for name, matrix in features.items():
        score, penalties[name] = probe(matrix, truth, train, inner)
        scores[name] = score[dev]
    table = bootstrap_auroc(truth[dev], scores, seed=args.seed)
    table["C"] = table["method"].map(penalties)
    objectives = model.get_pretraining_scores(mdata, seed=args.seed)

    print("\nK562 against HepG2 regions on dev (chr8, chr10), logistic regression fitted on train")
    print(table.round(4).to_string(index=False))
    print("\nObjectives on dev; masked genome modelling counts only k-mers of which no base is visible")
    print(objectives.round(4).to_string(index=False), "\n")
    check(bars, motifs, cpu, wall, table, objectives)
    if args.report:
        write_report(args, table, objectives, cpu)
    bars.finish()


def check(bars: Bars, motifs: list, cpu: float, wall: float, table: pd.DataFrame, objectives: pd.DataFrame) -> None:
    """One line per bar of issue 2."""
    auroc = table.set_index("method")["auroc"]
    value = objectives.set_index(["objective", "metric"])
    genome, match = value.loc[("masked_genome", "loss")], value.loc[("matching", "recall@1")]
    following = value.loc[("next_segment", "auroc")]
    bars.bar("motifs", len(motifs) >= 600, f"{len(motifs)} JASPAR human CORE profiles, at least 600")
    bars.bar(
        "pre-training time", cpu <= MOST_CPU_MINUTES, f"{cpu:.1f} CPU minutes ({wall:.1f} by the clock), at most 15"
    )
    bars.bar(
        "K562 against HepG2", auroc["X_genebert"] >= LEAST_AUROC, f"AUROC {auroc['X_genebert']:.4f}, at least 0.94"
    )
    bars.bar(
        "masked genome", genome["value"] < genome["chance"],
        f"{genome['value']:.4f} [{genome['low']:.4f}, {genome['high']:.4f}] nats, below the entropy {genome['chance']:.4f}",
    )  # fmt: skip
    bars.bar(
        "matching", match["low"] > match["chance"],
        f"recall@1 {match['value']:.3f} [{match['low']:.3f}, {match['high']:.3f}], chance {match['chance']:.4f}",
    )  # fmt: skip
    print(
        f"       | next segment | AUROC {following['value']:.3f} [{following['low']:.3f}, {following['high']:.3f}], reported only"
    )


def write_report(args: argparse.Namespace, table: pd.DataFrame, objectives: pd.DataFrame, cpu: float) -> None:
    """Tables with seed, data and machine."""
    lines = [
        "Written by `tests/benchmarks/main_job.py`. K562 against HepG2 regions of the DHS vocabulary (Meuleman et al. 2020),",
        "logistic regression fitted on the train chromosomes, scored on chr8 and chr10; intervals: bootstrap over regions.",
        f"Model: preset `mini`, {args.epochs} epochs on the train chromosomes, {cpu:.1f} CPU minutes, seed {args.seed}.",
        f"Machine: {machine()}.",
        "",
        markdown(table),
        "",
        "Pre-training objectives on the same chromosomes; masked genome modelling counts only k-mers of which no base is",
        "visible, and its chance level is the entropy of the training k-mers.",
        "",
        markdown(objectives),
    ]
    write_section(args.report, "The main job on real regions", lines)


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers with four digits."""
    cells = [[f"{x:.4g}" if isinstance(x, float) else str(x) for x in row] for row in table.itertuples(index=False)]
    rows = [list(table.columns), ["---"] * table.shape[1], *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
