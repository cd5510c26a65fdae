from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import genebert as gb
from genebert import _keys
from genebert._regions import genomic_order


def _shown(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def _tfs(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def _families(ax):
    return [label.get_text() for child in ax.child_axes for label in child.get_yticklabels()]


def _rows(mdata, names):
    return mdata.obs_names.get_indexer(names)


def _scores(mdata):
    scores = _keys.TF_SCORE.get(mdata)
    return scores.toarray() if hasattr(scores, "toarray") else np.asarray(scores)


def _chosen(mdata, ax):
    return mdata[_keys.TF].var_names.get_indexer(_tfs(ax))


@pytest.fixture
def names(toy):
    """Five neighbours."""
    order = genomic_order(*(np.asarray(slot.get(toy)) for slot in (_keys.CHROM, _keys.START, _keys.END)))
    return toy.obs_names[order[:5]].tolist()


def test_shape(toy):
    ax = gb.pl.tf_matrix(toy, window_size=6, n_tfs=9)
    assert _shown(ax).shape == (9, 6)
    assert len(ax.figure.axes) == 2  # with a colour bar


def test_scores_as_stored(toy, names):
    ax = gb.pl.tf_matrix(toy, regions=names, n_tfs=7, scale="none")
    expected = _scores(toy)[_rows(toy, names)][:, _chosen(toy, ax)]
    np.testing.assert_allclose(_shown(ax), expected.T, rtol=1e-6)


def test_standard_deviations(toy, names):
    ax = gb.pl.tf_matrix(toy, regions=names, n_tfs=7)
    scores = _scores(toy)[:, _chosen(toy, ax)].astype(float)
    expected = ((scores - scores.mean(axis=0)) / scores.std(axis=0))[_rows(toy, names)]
    np.testing.assert_allclose(_shown(ax), expected.T, atol=1e-3)


def test_the_most_variable(toy, names):
    ax = gb.pl.tf_matrix(toy, regions=names, n_tfs=7)
    variance = _scores(toy)[_rows(toy, names)].var(axis=0)
    assert np.sort(variance[_chosen(toy, ax)]) == pytest.approx(np.sort(variance)[-7:])


def test_order_of_input_does_not_matter(toy, names):
    straight, turned = (gb.pl.tf_matrix(toy, regions=order, n_tfs=5) for order in (names, names[::-1]))
    np.testing.assert_array_equal(_shown(straight), _shown(turned))
    shuffled = toy[np.random.default_rng(0).permutation(toy.n_obs)].copy()
    again = gb.pl.tf_matrix(shuffled, regions=names[2], window_size=5, n_tfs=5)
    np.testing.assert_allclose(_shown(again), _shown(straight), atol=1e-3)


def test_families_stand_together(toy):
    ax = gb.pl.tf_matrix(toy, n_tfs=25)
    family = _keys.FAMILY.get(toy).astype(str).to_numpy()[_chosen(toy, ax)]
    changes = 1 + sum(a != b for a, b in itertools.pairwise(family))
    assert changes == len(set(family)) == len(_families(ax))


def test_without_families(toy):
    del toy[_keys.TF].var[_keys.FAMILY.key]
    assert _families(gb.pl.tf_matrix(toy, n_tfs=5)) == []


def test_window_of_a_cell_type(toy):
    cell_type = toy[_keys.ATAC].var_names[0]
    calls = _keys.OPEN.get(toy)
    calls = calls.toarray() if hasattr(calls, "toarray") else np.asarray(calls)
    is_open = calls[:, 0] > 0
    inside, outside = toy.obs_names[is_open][0], toy.obs_names[~is_open][0]
    ax = gb.pl.tf_matrix(toy, cell_type=cell_type, window_size=4, n_tfs=3)
    assert _shown(ax).shape == (3, 4)
    gb.pl.tf_matrix(toy, regions=inside, cell_type=cell_type, n_tfs=3)
    with pytest.raises(ValueError, match="is closed there"):
        gb.pl.tf_matrix(toy, regions=outside, cell_type=cell_type)


def test_regions_of_several_chromosomes_are_named(toy):
    order = genomic_order(*(np.asarray(slot.get(toy)) for slot in (_keys.CHROM, _keys.START, _keys.END)))
    names = toy.obs_names[order[[0, -1]]].tolist()
    ax = gb.pl.tf_matrix(toy, regions=names, n_tfs=3)
    assert [label.get_text() for label in ax.get_xticklabels()] == names


def test_bare_sequences_keep_their_order(toy):
    for slot in (_keys.CHROM, _keys.START, _keys.END):
        del toy[_keys.SEQ].obs[slot.key]
    ax = gb.pl.tf_matrix(toy, window_size=3, n_tfs=3)
    assert [label.get_text() for label in ax.get_xticklabels()] == toy.obs_names[:3].tolist()


def test_draws_into_ax(toy):
    _, ax = plt.subplots()
    assert gb.pl.tf_matrix(toy, n_tfs=3, ax=ax) is ax


def test_long_names_are_cut(toy):
    toy[_keys.TF].var[_keys.FAMILY.key] = pd.Categorical(["x" * 90] * toy[_keys.TF].n_vars)
    assert all(len(name) < 60 for name in _families(gb.pl.tf_matrix(toy, n_tfs=3)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"regions": "chr1:1-2"}, KeyError, r"Expected `regions` to be names in mdata\.obs_names"),
        ({"cell_type": "none"}, ValueError, "Expected `cell_type` to be one of"),
        ({"scale": "log"}, ValueError, "Expected `scale` to be one of 'z', 'none'"),
        ({"n_tfs": 0}, ValueError, "Expected `n_tfs`"),
        ({"window_size": 0}, ValueError, "Expected `window_size`"),
    ],
)
def test_bad_input(toy, options, error, message):
    with pytest.raises(error, match=message):
        gb.pl.tf_matrix(toy, **options)


def test_nothing_open(toy):
    calls = _keys.OPEN.get(toy)
    _keys.OPEN.set(toy, calls * 0)
    with pytest.raises(ValueError, match="found none"):
        gb.pl.tf_matrix(toy, cell_type=toy[_keys.ATAC].var_names[0])


def test_not_toy(toy):
    del toy.mod[_keys.TF]
    with pytest.raises(KeyError, match=r"gb\.pp\.scan_motifs"):
        gb.pl.tf_matrix(toy)
