"""What pre-trained weights have seen, and the scan that a task compares with theirs."""

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert import _keys
from genebert.model._scan import check_task_scan
from genebert.model._seen import Seen, seen_regions

OPENNESS = {"cell_types": ["K562"], "chromosomes": ["chr5", "X"]}


def test_records_are_read_to_the_first_run():
    assert Seen.of({}) == Seen(frozenset(), ())
    assert Seen.of({"cell_types": None, "chromosomes": ["chr1"]}).chromosomes == frozenset()  # bases alone
    assert Seen.of(OPENNESS) == Seen(frozenset({"5", "X"}), ("K562",))
    record = {"cell_types": ["B"], "chromosomes": ["chr1"], "earlier": OPENNESS}
    record["finetune"] = {
        "labels": ["a"],
        "chromosomes": ["chr7"],
        "earlier": {"labels": ["b"], "chromosomes": ["chr8"]},
    }
    assert Seen.of(record) == Seen(frozenset({"1", "5", "7", "8", "X"}), ("B", "K562"))


def test_chromosomes_are_matched_in_any_style():
    mdata = gb.io.read_regions(pd.DataFrame({"chrom": ["5", "6", "X"], "start": 0, "end": 9}))
    assert seen_regions(mdata, Seen.of(OPENNESS)).tolist() == [True, False, True]
    assert not seen_regions(gb.io.assemble(sequences=["ACGT", "GGGG"]), Seen.of(OPENNESS)).any()


def test_shipped_weights_tell_what_they_saw():
    record = gb.tl.load().training_record
    assert {"3", "X"} <= Seen.of(record).chromosomes
    assert not {"1", "2", "8", "10"} & Seen.of(record).chromosomes
    check_task_scan(gb.datasets.toy(n_regions=60), record)  # the motifs that they come with


def test_rows_on_seen_chromosomes_are_marked_and_told(tiny_model, make_small_toy, monkeypatch):
    mdata = make_small_toy(240)
    monkeypatch.setattr(tiny_model, "training_record", OPENNESS)
    options = {"labels": ["promoter", "CTCF|Monocyte"], "method": "probe", "baselines": ["kmer"]}
    labels = _keys.LABELS.get(mdata)
    column = mdata[_keys.LABEL].var_names.get_loc("promoter")
    of_val = np.asarray(_keys.CHROM.get(mdata)) == "chr5"
    labels[np.flatnonzero(of_val)[:7], column] = np.nan
    message = r"40 of 80 scored regions lie on chromosomes where .* saw the openness of K562.* Hold out chr1, chr2"
    with pytest.warns(UserWarning, match=message):
        gb.tl.classify(mdata, tiny_model, **options)
    table = gb.get.evaluation(mdata, metric="auroc")
    of_val = table["split"] == "val"
    assert set(table["method"]) == {"genebert", "kmer"}  # `gain` is that of the task, in every row
    assert (table["n_seen"] == np.where(of_val, table["n_regions"], 0)).all()
    assert (table["n_seen"][of_val & (table["output"] == "promoter")] == 33).all()


def test_scores_of_another_kind_are_refused(tiny_model, make_small_toy, monkeypatch):
    mdata = make_small_toy(240)
    scan = tiny_model.training_record["scan"]
    options = {"labels": "promoter", "baselines": ["kmer"], "max_epochs": 1}
    monkeypatch.setattr(tiny_model, "training_record", {"scan": {**scan, "score": "count"}})
    message = r"Expected motif scores with score='count', .*; a task's own scan has 'max'. Take method='finetune'"
    with pytest.raises(ValueError, match=message):
        gb.tl.classify(mdata, tiny_model, method="probe", **options)
    gb.tl.classify(mdata, tiny_model, **options)
    monkeypatch.setattr(tiny_model, "training_record", {"scan": {**scan, "background": [0.3, 0.2, 0.2, 0.3]}})
    with pytest.raises(ValueError, match=r"Run gb.pp.scan_motifs\(mdata, background=\[0.3, 0.2, 0.2, 0.3\]\)"):
        gb.tl.classify(mdata, tiny_model, method="probe", **options)
    del mdata.mod[_keys.TF]  # then the shipped motifs are scanned for, with a uniform background
    with pytest.raises(ValueError, match=r"a task's own scan has \[0.25, 0.25, 0.25, 0.25\]"):
        check_task_scan(mdata, tiny_model.training_record)
