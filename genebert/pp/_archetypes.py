"""Which motifs are alike: similarity, an order in which neighbours are alike, and groups that one motif stands for.

Databases hold the same motif many times, under the names of all factors of a family. Vierstra et al. (2020) call a group
of such motifs an archetype. Here an archetype is one of its members, the medoid, and not their average, as theirs: it
stays a published motif that can be looked up, with exact p-values and a column that a trained model knows by name, and it
does not depend on how motifs of unequal lengths are laid over each other before they are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numba
import numpy as np
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from genebert._logging import info
from genebert._motifs import PSEUDOCOUNT, Motif

__all__ = ["Archetype", "Order", "arrange", "find_archetypes", "motif_similarity", "similarity_order"]

Order = Literal["given", "similarity"]

MIN_OVERLAP = 5  # columns of an alignment; all of a shorter motif
DECIMALS = 9  # to which similarities are rounded, so that they are the same whichever motif comes first


class Archetype(NamedTuple):
    """Motifs that are alike."""

    representative: int
    """Place of the member that is most similar to the others."""
    members: list[int]
    """Places of all, the representative among them, sorted by identifier."""


def arrange(
    motifs: Sequence[Motif], *, order: Order, archetypes: float | None
) -> tuple[list[Motif], list[list[Motif]] | None]:
    """Choose and sort the motifs to scan.

    Parameters
    ----------
    motifs
        Motifs.
    order
        ``"given"`` or ``"similarity"``; archetypes stand where their representatives do.
    archetypes
        Least similarity of motifs that share an archetype; None to keep all motifs.

    Returns
    -------
    The motifs to scan, and the members of each where they are archetypes.
    """
    if order == "given" and archetypes is None:
        return list(motifs), None
    similarity = motif_similarity(motifs)
    members = {place: [place] for place in range(len(motifs))}
    if archetypes is not None:
        members = dict(find_archetypes(motifs, similarity, threshold=archetypes))
        info(f"{len(motifs)} motifs make {len(members)} archetypes (similarity of at least {archetypes:g}).")
    chosen = np.fromiter(members, dtype=np.int64)
    if order == "similarity":
        chosen = chosen[similarity_order([motifs[i] for i in chosen], similarity[np.ix_(chosen, chosen)])]
    groups = None if archetypes is None else [[motifs[i] for i in members[place]] for place in chosen]
    return [motifs[place] for place in chosen], groups


def motif_similarity(motifs: Sequence[Motif]) -> np.ndarray:
    """Compare motifs, each pair in its best alignment.

    Two columns are compared by the correlation of their base probabilities (Pietrokovski 1996), weighted by the geometric
    mean of what they say (bits), and summed over the overlap. That sum is divided by the geometric mean of the bits of the
    two whole motifs: 1 is reached only where both say the same, and informative columns without a counterpart lower it. The
    best of all offsets with an overlap of at least 5 columns, on both strands, counts. Tomtom (Gupta et al. 2007) searches
    alignments in the same way but turns the sum into a p-value against a database; here it is a plain number from -1 to
    1, which depends on the two motifs only.

    Returns
    -------
    float64 ``(motifs, motifs)``, symmetric.
    """
    forward = [_columns(motif) for motif in motifs]
    reverse = [columns[::-1, ::-1] for columns in forward]
    ends = np.cumsum([0, *map(len, motifs)])
    similarity = np.eye(len(motifs))
    _compare(np.concatenate(forward), np.concatenate(reverse), ends, similarity)
    return np.round(similarity, DECIMALS)


def _columns(motif: Motif) -> np.ndarray:
    """Centred base probabilities of each column, scaled so that products are what `motif_similarity` sums; ``(length, 4)``."""
    counts = motif.counts + PSEUDOCOUNT / 4
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    bits = np.maximum(2 + (probabilities * np.log2(probabilities)).sum(axis=1, keepdims=True), 0)
    centred = probabilities - 0.25
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    known = spread > 1e-9  # a column that says nothing correlates with none
    columns = np.sqrt(bits) * np.divide(centred, spread, out=np.zeros_like(centred), where=known)
    total = np.sqrt((columns**2).sum())
    return columns / total if total > 0 else columns


@numba.njit(cache=True, nogil=True)
def _compare(forward: np.ndarray, reverse: np.ndarray, ends: np.ndarray, similarity: np.ndarray) -> None:
    """Fill `similarity` but for the diagonal."""
    n_motifs = len(ends) - 1
    for i in range(n_motifs):
        a = forward[ends[i] : ends[i + 1]]
        for j in range(i + 1, n_motifs):
            best = -1.0
            for strand in (forward, reverse):
                b = strand[ends[j] : ends[j + 1]]
                overlap = min(MIN_OVERLAP, len(a), len(b))
                for offset in range(overlap - len(b), len(a) - overlap + 1):  # of b's first column in a
                    first, last = max(0, offset), min(len(a), offset + len(b))
                    total = 0.0
                    for column in range(first, last):
                        for base in range(4):
                            total += a[column, base] * b[column - offset, base]
                    best = max(best, total)
            similarity[i, j] = similarity[j, i] = best


def similarity_order(motifs: Sequence[Motif], similarity: np.ndarray) -> np.ndarray:
    """Order motifs so that neighbours are similar: hierarchical clustering (average linkage), leaves in optimal order.

    Of all orders that the tree allows this one has the largest sum of similarities of neighbours (Bar-Joseph et al. 2001). It
    does not depend on the order of the input.

    Returns
    -------
    int64 ``(motifs,)``: places in the input.
    """
    by_name = _by_name(motifs)
    if len(motifs) < 3:
        return by_name
    distances = _distances(similarity, by_name)
    return by_name[leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances))]


def find_archetypes(motifs: Sequence[Motif], similarity: np.ndarray, *, threshold: float) -> list[Archetype]:
    """Group motifs so that all pairs in a group are at least that similar: hierarchical clustering, complete linkage.

    Returns
    -------
    Archetypes, in the order of their representatives in the input.
    """
    by_name = _by_name(motifs)
    cluster = np.ones(len(motifs), dtype=np.int64)
    if len(motifs) > 1:
        tree = linkage(_distances(similarity, by_name), "complete")
        cluster = fcluster(tree, 1 - threshold + 0.5 * 10**-DECIMALS, criterion="distance")
    archetypes = []
    for number in np.unique(cluster):
        members = by_name[cluster == number]
        closeness = similarity[np.ix_(members, members)].sum(axis=1)
        archetypes.append(Archetype(int(members[np.argmax(closeness.round(DECIMALS))]), members.tolist()))
    return sorted(archetypes)


def _by_name(motifs: Sequence[Motif]) -> np.ndarray:
    """Places of motifs, sorted by identifier, so that ties are not broken by the order of the input."""
    names = [(motif.motif_id, motif.tf, motif.counts.tobytes()) for motif in motifs]
    return np.array(sorted(range(len(motifs)), key=names.__getitem__), dtype=np.int64)


def _distances(similarity: np.ndarray, order: np.ndarray) -> np.ndarray:
    return squareform(1 - similarity[np.ix_(order, order)], checks=False)
