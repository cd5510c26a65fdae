from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert._motifs import Motif, default_motifs
from genebert.pp import _archetypes
from genebert.pp._archetypes import arrange, find_archetypes, motif_similarity, similarity_order

MOTIFS = default_motifs()[:60]


def consensus(text, *, motif_id=None, sites=100.0):
    """A motif of one word; N is any base."""
    counts = [np.full(4, sites / 4) if base == "N" else sites * (np.arange(4) == "ACGT".index(base)) for base in text]
    return Motif(motif_id or text, motif_id or text, np.array(counts, dtype=float))


def turned(motif):
    return Motif(motif.tf, motif.motif_id, motif.counts[::-1, ::-1])


def similarity_of(*motifs):
    return motif_similarity(motifs)[0, 1]


def test_known_similarities():
    motif = consensus("TGACTCA")
    assert similarity_of(motif, consensus("TGACTCA", motif_id="again")) == pytest.approx(1)
    assert similarity_of(motif, consensus("NNTGACTCANN")) == pytest.approx(1, abs=1e-6)  # N says nothing
    # One of two words of 7 is 5 columns longer: its bits are 12/7 times as many, and none of the 5 has a counterpart.
    assert similarity_of(motif, consensus("TGACTCAGGCCT")) == pytest.approx(np.sqrt(7 / 12), abs=1e-6)
    # A wrong base out of 7: its column correlates with -1/3.
    assert similarity_of(motif, consensus("TGACTCG")) == pytest.approx((6 - 1 / 3) / 7, abs=1e-6)
    assert similarity_of(motif, consensus("NNNNNNN")) == 0


def test_overlap_of_short_motifs():
    assert similarity_of(consensus("ACG"), consensus("TTACGTT")) == pytest.approx(np.sqrt(3 / 7), abs=1e-6)
    assert similarity_of(consensus("A"), consensus("C")) == pytest.approx(-1 / 3, abs=1e-6)  # G on the other strand


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_strand_and_order_make_no_difference(data):
    order = data.draw(st.permutations(range(len(MOTIFS))))
    is_turned = data.draw(st.lists(st.booleans(), min_size=len(MOTIFS), max_size=len(MOTIFS)))
    others = [turned(MOTIFS[i]) if turn else MOTIFS[i] for i, turn in zip(order, is_turned, strict=True)]
    similarity, other = motif_similarity(MOTIFS), motif_similarity(others)
    np.testing.assert_array_equal(similarity, similarity.T)
    np.testing.assert_allclose(other, similarity[np.ix_(order, order)], atol=1e-9)
    names, other_names = ([motif.motif_id for motif in motifs] for motifs in (MOTIFS, others))
    assert [other_names[i] for i in similarity_order(others, other)] == [
        names[i] for i in similarity_order(MOTIFS, similarity)
    ]

    def groups(motifs, similarity):
        archetypes = find_archetypes(motifs, similarity, threshold=0.7)
        return {motifs[a.representative].motif_id: [motifs[i].motif_id for i in a.members] for a in archetypes}

    assert groups(others, other) == groups(MOTIFS, similarity)


def test_neighbours_are_similar():
    similarity = motif_similarity(MOTIFS)
    order = similarity_order(MOTIFS, similarity)
    assert sorted(order) == list(range(len(MOTIFS)))
    before = similarity[np.arange(59), np.arange(1, 60)].mean()
    assert similarity[order[:-1], order[1:]].mean() > before + 0.2


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_all_members_are_similar(threshold):
    motifs = [*MOTIFS, consensus("TGACTCA", motif_id="one"), consensus("TGACTCA", motif_id="other")]
    similarity = motif_similarity(motifs)
    archetypes = find_archetypes(motifs, similarity, threshold=threshold)
    assert sorted(i for archetype in archetypes for i in archetype.members) == list(range(len(motifs)))
    for archetype in archetypes:
        within = similarity[np.ix_(archetype.members, archetype.members)]
        assert within.min() >= threshold - 1e-8
        closest = archetype.members[int(within.sum(axis=1).argmax())]
        assert archetype.representative == closest
    assert [archetype.representative for archetype in archetypes] == sorted(a.representative for a in archetypes)
    together = [set(archetype.members) for archetype in archetypes]
    assert any({60, 61} <= members for members in together)


def test_arrange():
    pair = [consensus("TGACTCA", motif_id="a"), consensus("GGGGCGG", motif_id="b"), consensus("TGAGTCA", motif_id="c")]
    assert arrange(pair, order="given", archetypes=None) == (pair, None)
    motifs, members = arrange(pair, order="given", archetypes=0.9)
    assert [motif.motif_id for motif in motifs] == ["a", "b"]
    assert [[motif.motif_id for motif in group] for group in members] == [["a", "c"], ["b"]]
    motifs, members = arrange(pair, order="similarity", archetypes=None)
    assert members is None
    assert [motif.motif_id for motif in motifs] in (["b", "a", "c"], ["b", "c", "a"], ["a", "c", "b"], ["c", "a", "b"])


def test_few_motifs():
    for n_motifs in (1, 2):
        motifs = MOTIFS[:n_motifs]
        similarity = motif_similarity(motifs)
        assert len(similarity_order(motifs, similarity)) == n_motifs
        assert len(find_archetypes(motifs, similarity, threshold=0.99)) == n_motifs


def test_kernel_as_python():
    motifs = MOTIFS[:4]
    columns = [_archetypes._columns(motif) for motif in motifs]
    ends = np.cumsum([0, *map(len, motifs)])
    similarity = np.eye(4)
    kernel = getattr(_archetypes._compare, "py_func", _archetypes._compare)
    kernel(np.concatenate(columns), np.concatenate([c[::-1, ::-1] for c in columns]), ends, similarity)
    np.testing.assert_allclose(similarity, motif_similarity(motifs), atol=1e-8)


def test_all_shipped_motifs_in_seconds():
    motifs = default_motifs()
    motif_similarity(motifs[:2])  # compiles
    start = time.process_time()
    arrange(motifs, order="similarity", archetypes=0.9)
    assert time.process_time() - start < 10
