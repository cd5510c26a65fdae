"""Attempts to cheat: each is refused, marked, or changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert import _keys
from genebert.tl import _cell_type_fit, _task_fit
from genebert.tl._leak_guard import CHROMOSOME, NEAR, TWIN, TYPE, check_inner, encoder_marks, near_duplicates, twins

HELD_OUT = ["Monocyte", "Progenitor"]
OPTIONS = {"holdout": HELD_OUT, "quarters": "headline", "n_draws": 50}


@pytest.fixture(scope="module")
def _data(make_small_toy):
    return make_small_toy(360)


@pytest.fixture
def data(_data):
    return _data.copy()


def table_of(mdata, model="none", **options):
    gb.tl.cross_cell_type(mdata, model, **{**OPTIONS, **options})
    return gb.get.cross_cell_type(mdata, rows="all", stratum=None)


def marks_of(table):
    return set(",".join(table["marks"].astype(str)).split(",")) - {""}


@pytest.mark.parametrize("tf_weight", ["accessibility", "open"])
@pytest.mark.parametrize("verb", [gb.tl.cross_cell_type, gb.tl.transfer])
def test_1_the_answer_as_a_weight_of_the_input_is_refused(data, verb, tf_weight):
    options = OPTIONS if verb is gb.tl.cross_cell_type else {"cell_types": "Monocyte"}
    with pytest.raises(ValueError, match=rf"found '{tf_weight}', which puts the answer into the input"):
        verb(data, "none", tf_weight=tf_weight, **options)


def test_2_an_activity_of_all_regions_is_refused(data):
    gb.pp.tf_activity(data, split=None)
    with pytest.raises(ValueError, match=r"computed on train regions only; \d+ of the regions that are to be scored"):
        table_of(data)
    with pytest.raises(ValueError, match="computed on train regions only"):
        gb.tl.transfer(data, "none", cell_types="Monocyte")


def test_3_an_activity_from_before_another_split_is_refused(data):
    gb.pp.tf_activity(data)
    gb.pp.split_regions(data, val=["chr6"], test=["chr2"])
    with pytest.raises(ValueError, match=r"Run gb\.pp\.tf_activity"):
        table_of(data)


@pytest.mark.parametrize("options", [{"cell_type": "Monocyte"}, {"cell_type": "Monocyte", "tf_weight": "open"}])
def test_4_and_5_vectors_from_windows_of_open_regions_are_refused(data, tiny_model, options):
    gb.tl.embed(data, tiny_model, key_added="X_cheat", **options)
    with pytest.raises(ValueError, match=r"regions that stand alone .* 'X_cheat' was embedded with windows"):
        table_of(data, use_rep="X_cheat")
    with pytest.raises(ValueError, match="which tells the answer"):
        gb.tl.transfer(data, "none", cell_types="Monocyte", use_rep="X_cheat")


def test_6_vectors_of_unknown_origin_are_marked(data):
    calls = _keys.OPEN.get(data).toarray()
    data.obsm["X_calls"] = calls
    assert "encoder_unknown" in marks_of(table_of(data, use_rep="X_calls"))


def test_7_thresholds_from_scored_regions_are_refused(data, monkeypatch):
    with pytest.raises(ValueError, match="inner part of train; 2 of its regions are scored"):
        check_inner(np.array([1, 2, 3]), np.array([2, 3, 4]))
    test = np.asarray(_keys.REGION_SPLIT.get(data)) == "test"
    monkeypatch.setattr(_task_fit, "inner_rows", lambda *args, **kwargs: test)
    with pytest.raises(ValueError, match="inner part of train"):
        gb.tl.classify(data, labels="promoter", method="probe", baselines=[])


def test_8_and_9_weights_that_saw_chromosomes_or_cell_types_are_marked(data, tiny_model):
    assert marks_of(table_of(data, tiny_model)) == {"encoder_saw_cell_type"}  # trained on chr1 to chr4 and all types
    gb.pp.split_regions(data, val=["chr6"], test=["chr2"])
    with pytest.warns(UserWarning, match="saw chromosomes that are scored"):
        table = table_of(data, tiny_model)
    assert {"encoder_saw_cell_type", "encoder_saw_chromosome"} <= marks_of(table)
    assert marks_of(table_of(data)) == set()


def test_10_near_duplicates_over_the_split_are_counted_and_marked(data):
    split = np.asarray(_keys.REGION_SPLIT.get(data))
    codes = np.array(_keys.DNA_CODE.get(data))
    codes[np.flatnonzero(split == "test")[:7], 50:82] = codes[np.flatnonzero(split == "train")[:7], 10:42]
    _keys.DNA_CODE.set(data, codes)
    with pytest.warns(UserWarning, match="7 of .* share 32 bases") as warned:
        table = table_of(data)
    assert {each.filename for each in warned if "share 32 bases" in str(each.message)} == {__file__}
    rows = table[(table["stratum"] == "all") & (table["cell_type"] == "Monocyte")]
    assert set(rows["n_near"]) == {7}
    assert NEAR in marks_of(table)
    assert (table[table["stratum"] == "not_near"]["n_near"] == 0).all()


def test_11_a_copy_of_the_held_out_type_in_training_is_marked(data):
    for slot in (_keys.ACCESSIBILITY, _keys.OPEN):
        values = slot.get(data).toarray() if hasattr(slot.get(data), "toarray") else np.array(slot.get(data))
        values[:, 0] = values[:, 2]  # "B cell" is "Monocyte" under another name
        slot.set(data, values)
    with pytest.warns(UserWarning, match=r"hold a copy of what is held out: Monocyte \(B cell\)") as warned:
        table = table_of(data)
    assert {each.filename for each in warned if "hold a copy" in str(each.message)} == {__file__}
    assert TWIN in marks_of(table[table["cell_type"] == "Monocyte"])
    assert TWIN not in marks_of(table[table["cell_type"] == "Progenitor"])


def test_12_a_cell_type_that_is_held_out_is_not_learnt_from(data):
    with pytest.raises(ValueError, match="not to be learnt from; Monocyte would be both"):
        gb.tl.transfer(data, "none", cell_types="Monocyte", train_cell_types=["Monocyte", "B cell"])
    with pytest.raises(ValueError, match="Expected a cell type left to learn from"):
        table_of(data, holdout=list(data["atac"].var_names))


def test_13_a_matrix_weighted_by_accessibility_is_not_read(data):
    expected = table_of(data)
    weight = 1 + _keys.OPEN.get(data).toarray()[:, [2]]
    _keys.TF_SCORE.set(data, (np.asarray(_keys.TF_SCORE.get(data)) * weight).astype(np.float32))
    pd.testing.assert_frame_equal(table_of(data), expected)
    del data["seq"].obsm[_keys.DNA_CODE.key]  # nothing to scan anew: it is read, and marked
    assert marks_of(table_of(data)) == {"motif_scores_as_given"}


def test_14_held_out_one_at_a_time_nothing_is_compared_within_a_region(data):
    table = table_of(data, holdout=[["Monocyte"], ["Progenitor"]])
    assert "within_region_auroc" not in set(table["metric"])
    assert "within_region_auroc" in set(table_of(data)["metric"])


def test_15_held_out_types_at_train_regions_are_marked_since_their_activity_is_from_there(data):
    table = table_of(data, quarters="all")
    train = table[table["regions"] == "train"]
    assert train["marks"].astype(str).str.contains("activity_of_these_regions").all()
    assert not table[table["regions"] == "test"]["marks"].astype(str).str.contains("activity_of_these_regions").any()


@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
def test_16_what_is_predicted_has_no_say_in_the_prediction(data, monkeypatch, known):
    """Whatever is measured in the held-out types at test regions; with nothing known, whatever is measured there at all."""
    expected = _predictions(data, monkeypatch, known)
    test = np.flatnonzero(np.asarray(_keys.REGION_SPLIT.get(data)) == "test")
    columns = [2, 5] if known == "train_cell_types" else slice(None)
    changed = data.copy()
    for slot in (_keys.ACCESSIBILITY, _keys.OPEN):
        values = slot.get(changed).toarray() if hasattr(slot.get(changed), "toarray") else np.array(slot.get(changed))
        part = values[test]
        part[:, columns] = part[::-1][:, columns]
        values[test] = part
        slot.set(changed, values)
    found = _predictions(changed, monkeypatch, known)
    same = set(expected) - ({"mean", "nearest"} if known == "nothing" else set())
    assert {method for method in same if not np.array_equal(found[method], expected[method])} == set()


@pytest.mark.parametrize("is_mixed", [False, True])
def test_17_a_training_type_is_predicted_without_what_was_measured_in_it(data, monkeypatch, is_mixed):
    """Also where test regions lie between train regions, around which other regions are read."""
    if is_mixed:
        split = np.random.default_rng(0).permutation(np.asarray(_keys.REGION_SPLIT.get(data)))
        _keys.REGION_SPLIT.set(data, pd.Categorical(split))
    expected = _predictions(data, monkeypatch, "train_cell_types", types="train")
    test = np.flatnonzero(np.asarray(_keys.REGION_SPLIT.get(data)) == "test")
    calls = _keys.OPEN.get(data).toarray()
    calls[test, 0] = 1 - calls[test, 0]  # the first of the training types
    _keys.OPEN.set(data, calls)
    found = _predictions(data, monkeypatch, "train_cell_types", types="train")
    assert {m for m in expected if not np.allclose(found[m][:, 0], expected[m][:, 0])} == set()
    assert not np.allclose(found["mean"][:, 1], expected["mean"][:, 1])  # the others see it


def _predictions(mdata, monkeypatch, known, types="holdout"):
    seen = {}

    def block(*args, **kwargs):
        found = real(*args, **kwargs)
        seen[found.types, found.regions] = found.predicted
        return found

    with monkeypatch.context() as patch:
        real = _cell_type_fit._block
        patch.setattr(_cell_type_fit, "_block", block)
        table_of(mdata, known=known, quarters="all")
    return seen[types, "test"]


def test_what_the_encoder_saw_is_told_in_any_style_and_from_before_fine_tuning():
    def marks(**record):
        return encoder_marks(record, chromosomes=np.array(["chr8", "chr10"]), cell_types=["HepG2"])["HepG2"]

    assert marks(cell_types=["K562"], chromosomes=["8"]) == [CHROMOSOME]
    assert marks(cell_types=["K562"], chromosomes=["chr1"]) == marks(cell_types=None, chromosomes=None) == []
    earlier = {"cell_types": ["HepG2"], "chromosomes": ["chr10"]}
    assert marks(cell_types=["K562"], chromosomes=["chr1"], earlier=earlier) == [CHROMOSOME, TYPE]
    assert marks(finetune={"labels": ["a"], "chromosomes": ["chr8"]}) == [CHROMOSOME]


@pytest.mark.parametrize("verb", [gb.tl.cross_cell_type, gb.tl.transfer])
def test_a_stored_activity_that_is_no_correlation_is_refused(data, verb):
    gb.pp.tf_activity(data, score="z")
    options = OPTIONS if verb is gb.tl.cross_cell_type else {"cell_types": "Monocyte"}
    with pytest.raises(ValueError, match=r"score='correlation'; found 'z'.*Run gb\.pp\.tf_activity"):
        verb(data, "none", **options)


def test_near_duplicates_on_the_other_strand():
    from genebert._dna import reverse_complement

    codes = np.random.default_rng(0).integers(0, 4, (4, 60), dtype=np.uint8)
    codes[3, 5:37] = reverse_complement(codes[0])[20:52]
    assert near_duplicates(codes, n_train=2).tolist() == [False, True]
    codes[3, 21] = (codes[3, 21] + 1) % 4
    assert near_duplicates(codes, n_train=2).tolist() == [False, False]


def test_twins_need_more_than_likeness():
    rng = np.random.default_rng(0)
    target = (rng.random((400, 3)) < 0.3).astype(np.float32)
    target[:, 1] = np.where(rng.random(400) < 0.1, 1 - target[:, 0], target[:, 0])
    assert twins(target, ["a", "b", "c"], ["a"]) == {}
    target[:, 1] = target[:, 0]
    target[0, 1] = np.nan
    assert twins(target, ["a", "b", "c"], ["a"]) == {"a": "b"}
    assert twins(target, ["a", "b", "c"], ["a", "b"]) == {}


def test_a_stored_activity_of_train_regions_is_taken(data):
    gb.pp.tf_activity(data)
    expected = table_of(data)
    activity = _keys.TF_ACTIVITY.get(data)
    replace(_keys.TF_ACTIVITY).set(data, activity * 0 + activity.to_numpy()[::-1])
    assert not table_of(data)["value"].equals(expected["value"])
