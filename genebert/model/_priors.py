"""What training regions tell a network before the first step: the order of TFs, moments, frequencies, filters."""

from __future__ import annotations

import numpy as np
import torch
from mudata import MuData
from scipy.cluster.hierarchy import leaves_list, linkage

from genebert import _keys
from genebert._data import RegionSource
from genebert._dna import kmer_ids, reverse_complement
from genebert.model._split import split_regions
from genebert.nn import GeneBERTNetwork

__all__ = ["SAMPLE", "order_tfs", "set_filters", "set_priors"]

SAMPLE = 20_000
"""Regions from which moments and frequencies are taken."""


def order_tfs(mdata: MuData, *, seed: int = 0) -> list[str]:
    """Order TFs so that neighbours score alike over training regions: leaves of average linkage on correlation."""
    names = [str(name) for name in mdata[_keys.TF].var_names]
    source = RegionSource(mdata, tfs=names, fill=np.zeros(len(names)))
    if len(names) < 3 or source.n_regions < 3:
        return names
    rows = source.sample(split_regions(mdata, seed=seed).train, 2_000, seed=seed)
    taken = source.take(rows)
    scores = taken.scores(np.arange(len(rows)))
    scores = scores - scores.mean(0)
    scores /= np.maximum(np.linalg.norm(scores, axis=0), 1e-9)
    distance = 1 - (scores.T @ scores)[np.triu_indices(len(names), k=1)]
    return [names[i] for i in leaves_list(linkage(distance.astype(np.float64).clip(0), method="average"))]


def set_priors(network: GeneBERTNetwork, sample: RegionSource, *, is_new: bool) -> np.ndarray:
    """Give a new network moments of motif scores and frequencies of k-mers; one that was trained has its own.

    Parameters
    ----------
    sample
        Training regions, in memory.

    Returns
    -------
    Frequencies of the k-mers in the sample, float64 ``(4**k,)``.
    """
    rows = np.arange(sample.n_regions)
    frequencies = _kmer_frequencies(sample.codes(rows)[0], network.config.k)
    if is_new:
        scores = sample.scores(rows)
        network.set_tf_scale(torch.from_numpy(scores.mean(0)), torch.from_numpy(scores.std(0)))
        network.set_kmer_frequencies(torch.from_numpy(frequencies))
    return frequencies


def set_filters(network: GeneBERTNetwork, mdata: MuData, *, tfs: list[str]) -> None:
    """Start the filters of a convolutional stem from the motifs of the matrix, spread evenly over its TFs.

    Does nothing with another stem, or where the matrix came without motifs.
    """
    if network.config.stem != "conv" or not _keys.MOTIF.has(mdata):
        return
    n_motifs = min(network.config.n_filters, len(tfs))
    chosen = np.linspace(0, len(tfs) - 1, n_motifs).round().astype(int)  # neighbours in this order are alike
    place = mdata[_keys.TF].var_names.get_indexer([tfs[i] for i in chosen])
    network.set_filters(torch.from_numpy(np.asarray(_keys.MOTIF.get(mdata))[place[place >= 0]]))


def _kmer_frequencies(codes: np.ndarray, k: int) -> np.ndarray:
    """Share of each k-mer on both strands, float64 ``(4**k,)``."""
    counts = np.zeros(4**k + 1)
    for start in range(0, len(codes), 1_000):
        chunk = codes[start : start + 1_000]
        for strand in (chunk, reverse_complement(chunk)):
            counts += np.bincount(kmer_ids(strand, k).ravel(), minlength=4**k + 1)
    counts = counts[:-1]
    return counts / max(counts.sum(), 1)
