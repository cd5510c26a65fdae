"""The facts that `toy` promises can be learnt, by simple probes that train on chr1-4 and are scored on chr5-6."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import genebert as gb
from genebert import _keys
from genebert._motifs import default_motifs
from genebert.datasets._toy import (
    ACTIVE,
    BOUND,
    BYSTANDERS,
    CELL_TYPES,
    PLANTED,
    PROMOTER_SLOT,
    PROMOTER_TF,
    SLOT_LENGTH,
)

TYPES = pytest.mark.parametrize("cell_type", CELL_TYPES)


def scores(mdata, tfs):
    return mdata[_keys.TF].to_df()[list(tfs)].to_numpy()


def is_open(mdata):
    return _keys.OPEN.get(mdata).toarray()


def label(mdata, name):
    return mdata[_keys.LABEL].to_df()[name].to_numpy()


def planted(mdata, tf):
    return mdata[_keys.SEQ].obs[PLANTED].str.split().map(lambda tfs: tf in tfs).to_numpy()


def auroc(mdata, features, target):
    """Of a logistic regression fitted on the train split, on the other two."""
    known = ~np.isnan(target)
    train = (_keys.REGION_SPLIT.get(mdata) == "train").to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(features[train & known], target[train & known])
    return roc_auc_score(target[~train & known], model.decision_function(features[~train & known]))


@pytest.mark.usefixtures("toy")  # the kernels are compiled
def test_takes_less_than_a_second():
    started = time.process_time()
    gb.datasets.toy()
    assert time.process_time() - started < 1


def test_same_seed_same_data(toy):
    again, other = gb.datasets.toy(), gb.datasets.toy(rng=1)
    for slot in (_keys.DNA_CODE, _keys.TF_SCORE, _keys.ACCESSIBILITY, _keys.LABELS):
        np.testing.assert_array_equal(slot.get(again), slot.get(toy))
        assert not np.array_equal(slot.get(other), slot.get(toy), equal_nan=True)


def test_fills_the_contract(toy):
    later = {_keys.CELL_TYPE_SPLIT, _keys.TF_ACTIVITY, _keys.IN_TF_ACTIVITY, _keys.TF_EXPRESSION, _keys.EMBEDDING}
    later |= {_keys.SEQ_START, _keys.MEMBERS, _keys.PROBABILITY, _keys.CALL, _keys.PREDICTED, _keys.PREDICTED_SD}
    filled = {slot.path for slot in _keys.SLOTS if slot.has(toy)}
    assert {slot.path for slot in _keys.SLOTS if slot not in later} - filled <= {_keys.N_REPLICATES.path}
    assert _keys.DNA_CODE.get(toy).shape == (600, 200)
    assert toy[_keys.TF].n_vars == len(default_motifs())
    assert _keys.N_CELLS.get(toy).dtype == np.int64
    assert 0.05 < np.isnan(_keys.LABELS.get(toy)).mean() < 0.15


def test_truth_is_recorded(toy):
    activity = _keys.load_record(toy, "toy", "toy", filled_by="gb.datasets.toy")["activity"]
    assert {(row.cell_type, row.tf) for row in activity.itertuples()} == {(c, tf) for c in ACTIVE for tf in ACTIVE[c]}
    assert all(activity["tf"].value_counts() == 2)


@pytest.mark.parametrize("tf", [*BOUND, *BYSTANDERS, PROMOTER_TF, *ACTIVE["B cell"]])
def test_planted_motifs_are_found_by_the_scan(toy, tf):
    assert roc_auc_score(planted(toy, tf), scores(toy, [tf])[:, 0]) > 0.9


def test_promoters_are_in_the_sequence(toy):
    assert auroc(toy, scores(toy, [PROMOTER_TF, *BOUND, *BYSTANDERS]), label(toy, "promoter")) > 0.95
    window = _keys.DNA_CODE.get(toy)[:, PROMOTER_SLOT * SLOT_LENGTH :][:, :14]
    assert auroc(toy, np.eye(5)[window].reshape(len(window), -1), label(toy, "promoter")) > 0.95


@TYPES
def test_accessibility_is_in_the_motifs_of_active_tfs(toy, cell_type):
    opened = is_open(toy)[:, CELL_TYPES.index(cell_type)]
    assert 0.3 < opened.mean() < 0.6
    assert auroc(toy, scores(toy, ACTIVE[cell_type]), opened) > 0.85
    assert auroc(toy, scores(toy, BYSTANDERS), opened) < 0.65


@TYPES
@pytest.mark.parametrize("tf", BOUND)
def test_binding_needs_the_sequence_and_the_cell_type(toy, tf, cell_type):
    bound, motif = label(toy, f"{tf}|{cell_type}"), scores(toy, [tf])
    opened = is_open(toy)[:, [CELL_TYPES.index(cell_type)]]
    both, motif_only = (auroc(toy, features, bound) for features in (np.hstack([motif, opened, motif * opened]), motif))
    assert both > 0.9
    assert both > motif_only + 0.05


def test_cell_types_differ(toy):
    correlation = np.corrcoef(is_open(toy).T)
    assert correlation[~np.eye(6, dtype=bool)].max() < 0.8


def test_neighbours_are_dense_and_alike(toy):
    """The next open region of a cell type is near, and its motif scores are more alike than those of any other."""
    opened, chrom = is_open(toy), _keys.CHROM.get(toy).to_numpy()
    tfs = sorted({tf for pair in ACTIVE.values() for tf in pair})
    values = StandardScaler().fit_transform(scores(toy, tfs))
    rng = np.random.default_rng(0)
    next_alike, other_alike = [], []
    for column in opened.T:
        rows = np.flatnonzero(column)
        same_chrom = chrom[rows[:-1]] == chrom[rows[1:]]
        a, b = rows[:-1][same_chrom], rows[1:][same_chrom]
        assert np.median(_keys.START.get(toy).to_numpy()[b] - _keys.START.get(toy).to_numpy()[a]) < 2_000
        next_alike += list((values[a] * values[b]).sum(axis=1))
        other_alike += list((values[a] * values[rng.permutation(b)]).sum(axis=1))
    is_next = np.repeat([1, 0], [len(next_alike), len(other_alike)])
    assert roc_auc_score(is_next, next_alike + other_alike) > 0.6


@pytest.mark.parametrize("n_regions", [6, 61, 1200])
def test_other_sizes(n_regions):
    mdata = gb.datasets.toy(n_regions=n_regions)
    assert mdata.n_obs == n_regions
    assert _keys.CHROM.get(mdata).nunique() == 6


def test_too_few_regions():
    with pytest.raises(ValueError, match="`n_regions`"):
        gb.datasets.toy(n_regions=5)
