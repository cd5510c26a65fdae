"""Groups of regions that must not end in different splits, since what is learnt on one would be known of the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from genebert import _keys
from genebert.pp._overlaps import UNKNOWN, sequence_numbers
from genebert.pp._shared_kmers import shared_kmers

__all__ = ["similar_regions"]

_Pairs = tuple[np.ndarray, np.ndarray]


def similar_regions(mdata: MuData) -> np.ndarray:
    """Group regions that hang together, directly or through others, by shared sequence or by place.

    Two regions hang together when they share a stretch of 32 bases on either strand, when their sequences are the same or
    each other's reverse complement (which shorter ones can be without that), or when their coordinates overlap or touch:
    then they share less than 32 bases, or none, but the same peak.

    Returns
    -------
    int64 ``(regions,)``: number of the group. Groups are numbered by the smallest name in each, so that neither the
    groups nor their numbers depend on the order of the regions.
    """
    codes = _keys.DNA_CODE.get(mdata)
    groups = np.arange(mdata.n_obs)
    for pairs in (_same_sequence(codes), _same_place(mdata)):
        groups = _joined(groups, pairs)
    for found in shared_kmers(codes):
        is_same = np.ones(max(len(found.region) - 1, 0), dtype=bool)
        is_same[found.start[1:] - 1] = False
        groups = _joined(groups, (found.region[:-1][is_same], found.region[1:][is_same]))
    return _numbered(groups, mdata.obs_names)


def _joined(groups: np.ndarray, pairs: _Pairs) -> np.ndarray:
    """Join the groups of each pair of regions."""
    first, second = groups[pairs[0]], groups[pairs[1]]
    differ = first != second
    if not differ.any():
        return groups
    edges = (first[differ], second[differ])
    graph = sparse.coo_matrix((np.ones(len(edges[0]), dtype=bool), edges), shape=(len(groups), len(groups)))
    return connected_components(graph, directed=False)[1].astype(np.int64)[groups]


def _same_sequence(codes: Any) -> _Pairs:
    forward, reverse = sequence_numbers(codes)
    either_strand = np.minimum(forward, reverse)
    order = np.argsort(either_strand, kind="stable")
    order = order[either_strand[order] != UNKNOWN]
    is_same = either_strand[order][1:] == either_strand[order][:-1]
    return order[:-1][is_same], order[1:][is_same]


def _same_place(mdata: MuData) -> _Pairs:
    """Neighbours along the genome, where one begins before, or where, all that come before it end."""
    slots = (_keys.CHROM, _keys.START, _keys.END)
    if not all(slot.has(mdata) for slot in slots):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    regions = pd.DataFrame(dict(zip(("chrom", "start", "end"), (slot.get(mdata) for slot in slots), strict=True)))
    places = np.flatnonzero(regions.notna().all(axis=1))
    chrom = pd.factorize(regions["chrom"].iloc[places].astype(object))[0]
    start, end = (regions[column].to_numpy()[places].astype(np.int64) for column in ("start", "end"))
    order = np.lexsort((end, start, chrom))
    places, chrom, start, end = places[order], chrom[order], start[order], end[order]
    # Shifted apart by more than the longest chromosome, ends on different chromosomes can share one running maximum.
    shift = chrom.astype(np.int64) * (int(end.max(initial=0)) + 2)
    reach = np.maximum.accumulate(end + shift)
    is_near = (start + shift)[1:] <= reach[:-1]
    return places[:-1][is_near], places[1:][is_near]


def _numbered(groups: np.ndarray, names: pd.Index) -> np.ndarray:
    """Number groups anew, in the order of the smallest name in each."""
    order = np.argsort(names.to_numpy(dtype=object), kind="stable")
    numbers = np.empty(len(groups), dtype=np.int64)
    numbers[order] = pd.factorize(groups[order])[0]
    return numbers
