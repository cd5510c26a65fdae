from __future__ import annotations

import dask.array
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import genebert as gb
from genebert import _keys
from genebert._dna import N, reverse_complement

KEY = _keys.REGION_SPLIT.key


def row(table, name):
    return table.set_index("check").loc[name]


def test_toy_is_sound(toy, changed):
    tables = []
    assert changed(toy, lambda mdata: tables.append(gb.pp.check(mdata))) == set()
    table = tables[0]
    assert tuple(table.columns) == _keys.CHECK_COLUMNS
    assert set(table["status"]) == {"ok"}, table[table["status"] != "ok"]
    assert row(table, "labels missing")["count"] > 0
    assert row(table, "train / test: 32-mer")["count"] == 0


def test_what_is_wrong_is_named(toy, log):
    codes = _keys.DNA_CODE.get(toy)
    codes[0] = N
    codes[1, :3] = N
    codes[500], codes[501], codes[502, 20:60] = codes[10], reverse_complement(codes[11]), codes[12, 100:140]
    _keys.ACCESSIBILITY.get(toy)[3, 0] = -1
    _keys.ACCESSIBILITY.get(toy)[4, 0] = np.nan
    open_calls = _keys.OPEN.get(toy).toarray()
    open_calls[:, 2] = 0
    _keys.OPEN.set(toy, type(_keys.OPEN.get(toy))(open_calls))
    _keys.TF_SCORE.get(toy)[:, 7] = 1.0
    _keys.TF_SCORE.get(toy)[0, 8] = np.nan
    _keys.LABELS.get(toy)[:, 0] = 1.0
    start = _keys.START.get(toy).copy()
    start.iloc[0], start.iloc[5], start.iloc[7] = -5, start.iloc[4], start.iloc[7] + 10_000_000
    _keys.START.set(toy, start)
    end = _keys.END.get(toy).copy()
    end.iloc[5] = end.iloc[4]
    _keys.END.set(toy, end)

    table = gb.pp.check(toy)
    expected = {
        "coordinates": ("error", 2), "duplicates": ("warning", 1), "unknown sequences": ("warning", 1),
        "unknown bases": ("ok", 1), "accessibility": ("error", 1), "accessibility missing": ("ok", 1),
        "open regions": ("warning", 1), "TF scores": ("error", 1), "constant TFs": ("warning", 1),
        "labels": ("warning", 1), "train / test: sequence": ("warning", 1),
        "train / test: reverse complement": ("warning", 1), "train / test: 32-mer": ("warning", 3),
    }  # fmt: skip
    assert {name: (row(table, name)["status"], row(table, name)["count"]) for name in expected} == expected
    assert "Monocyte" in row(table, "open regions")["detail"]
    assert "warning: train / test: sequence: 1" in log.text


def test_bare_sequences():
    mdata = gb.io.assemble(sequences=["ACGT" * 10, "GGCC" * 10])
    assert set(gb.pp.check(mdata)["status"]) == {"ok"}


def test_misaligned_modality_is_an_error(toy):
    toy.mod[_keys.TF] = toy[_keys.TF][::-1].copy()
    assert row(gb.pp.check(toy), "alignment")["status"] == "error"


@pytest.fixture
def leaky(toy):
    """Toy with 2 regions of train and 1 of val (regions 10, 11 and 400) in test (500, 501 and 502), and one of train in val."""
    codes = _keys.DNA_CODE.get(toy)
    codes[500], codes[501], codes[502, 20:60] = codes[10], reverse_complement(codes[11]), codes[400, 100:140]
    codes[401, 5:40] = codes[12, 5:40]
    return toy


def test_examples_of_shared_sequence(leaky):
    table = gb.pp.check(leaky)
    names = leaky.obs_names
    assert f"({names[500]} ~ {names[10]})" in row(table, "train / test: sequence")["detail"]
    assert f"({names[501]} ~ {names[11]})" in row(table, "train / test: reverse complement")["detail"]
    assert f"({names[502]} ~ {names[400]})" in row(table, "val / test: 32-mer")["detail"]
    _keys.DNA_CODE.get(leaky)[510:520] = _keys.DNA_CODE.get(leaky)[20:30]
    detail = row(gb.pp.check(leaky), "train / test: sequence")["detail"]
    assert detail.count("~") == 3
    assert detail.endswith("...)")


def test_dropped_regions_leave_their_split_only(leaky, changed, log):
    before = _keys.REGION_SPLIT.get(leaky).copy()
    tables = []
    written = changed(leaky, lambda mdata: tables.append(gb.pp.check(mdata, drop_shared=True)))
    assert written == {f"seq.obs.{KEY}", f"uns.check.{KEY}"}
    split = _keys.REGION_SPLIT.get(leaky)
    assert np.flatnonzero(split.isna()).tolist() == [401, 500, 501, 502]
    assert split.cat.categories.tolist() == before.cat.categories.tolist()
    pd.testing.assert_series_equal(split.dropna(), before[split.notna()])
    entry = _keys.load_record(leaky, "check", KEY, filled_by="gb.pp.check")
    assert entry["n_dropped"] == {"train": 0, "val": 1, "test": 3}
    assert "Regions taken out of their split: train 0, val 1, test 3." in log.messages

    found = row(tables[0], "train / test: 32-mer")
    assert (found["status"], found["count"]) == ("ok", 2)
    assert "taken out of the split" in found["detail"]
    again = gb.pp.check(leaky).set_index("check")
    assert not again.loc[again.index.str.contains(" / "), "count"].any()


def test_nothing_to_drop(toy, changed):
    assert changed(toy, lambda mdata: gb.pp.check(mdata, drop_shared=True)) == {f"uns.check.{KEY}"}


def test_a_test_region_goes_with_the_val_region_that_it_resembles(toy):
    codes = _keys.DNA_CODE.get(toy)
    codes[400, :40], codes[400, 100:140] = codes[10, :40], codes[500, :40]  # val: of train, and of test
    gb.pp.check(toy, drop_shared=True)
    assert np.flatnonzero(_keys.REGION_SPLIT.get(toy).isna()).tolist() == [400, 500]


def test_dropping_leaves_no_empty_split(toy, expect_refusal):
    split = _keys.REGION_SPLIT.get(toy).copy()
    split[:] = "train"
    split.iloc[[3, 4]] = "test"
    _keys.REGION_SPLIT.set(toy, split)
    _keys.DNA_CODE.get(toy)[[3, 4]] = _keys.DNA_CODE.get(toy)[0]
    with expect_refusal(toy, ValueError, r'all 2 of test share sequence .*split_regions\(mdata, by="similarity"\)'):
        gb.pp.check(toy, drop_shared=True)


def test_dropping_needs_splits_and_sequences(toy):
    del toy[_keys.SEQ].obs[KEY]
    with pytest.raises(KeyError, match=r"gb\.pp\.split_regions"):
        gb.pp.check(toy, drop_shared=True)
    bare = gb.io.read_regions(pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [0, 0], "end": [9, 9]}))
    gb.pp.split_regions(bare, val=0, test=["chr2"])
    with pytest.raises(KeyError, match=r"gb\.pp\.add_sequence"):
        gb.pp.check(bare, drop_shared=True)


def test_dropped_regions_of_a_view(leaky):
    view = leaky[100:]
    gb.pp.check(view, drop_shared=True)
    assert _keys.REGION_SPLIT.get(view).isna().sum() == 1  # the other three resemble what the view leaves out
    assert not _keys.REGION_SPLIT.get(leaky).isna().any()


def test_round_trip_of_missing_splits(leaky, round_trip):
    gb.pp.check(leaky, drop_shared=True)
    again = round_trip(leaky)
    pd.testing.assert_series_equal(_keys.REGION_SPLIT.get(again), _keys.REGION_SPLIT.get(leaky))


def break_matrices(mdata):
    """Put a bit of everything into the matrices that `check` counts."""
    _keys.ACCESSIBILITY.get(mdata)[[3, 7, 599], [0, 1, 2]] = np.nan, -1, np.inf
    _keys.TF_SCORE.get(mdata)[:, 7] = 1.0
    _keys.TF_SCORE.get(mdata)[[0, 450], 8] = np.nan, np.inf
    _keys.LABELS.get(mdata)[:, 0] = 1.0
    _keys.LABELS.get(mdata)[:, 1] = np.nan
    _keys.DNA_CODE.get(mdata)[[0, 599]] = N
    _keys.DNA_CODE.get(mdata)[5, 7] = N


SLOTS = (_keys.DNA_CODE, _keys.ACCESSIBILITY, _keys.TF_SCORE, _keys.LABELS, _keys.OPEN)


def test_chunks_give_the_same_table(leaky, monkeypatch):
    break_matrices(leaky)
    expected = gb.pp.check(leaky)
    counts = expected.set_index("check")["count"]
    assert counts[["accessibility", "TF scores", "constant TFs", "labels", "unknown sequences"]].tolist() == [
        2,
        2,
        1,
        2,
        2,
    ]
    monkeypatch.setattr("genebert._chunks.row_chunks.__kwdefaults__", {"step": 70})
    pd.testing.assert_frame_equal(gb.pp.check(leaky), expected)
    for slot in SLOTS:
        slot.set(leaky, dask.array.from_array(slot.get(leaky), chunks=(100, -1), asarray=False))
    pd.testing.assert_frame_equal(gb.pp.check(leaky), expected)


def test_sparse_matrices(leaky):
    scores = _keys.TF_SCORE.get(leaky)
    scores[scores < 5] = 0
    scores[:, 3] = 0
    expected = gb.pp.check(leaky)
    assert row(expected, "constant TFs")["count"] == (scores.max(axis=0) == 0).sum() > 0
    for slot in (_keys.TF_SCORE, _keys.ACCESSIBILITY):
        slot.set(leaky, sparse.csr_matrix(slot.get(leaky)))
    pd.testing.assert_frame_equal(gb.pp.check(leaky), expected)


def test_on_disk(leaky, tmp_path):
    break_matrices(leaky)
    expected = gb.pp.check(leaky)
    gb.io.write(leaky, tmp_path / "leaky.zarr")
    opened = gb.io.open(tmp_path / "leaky.zarr")
    pd.testing.assert_frame_equal(gb.pp.check(opened), expected)
    gb.pp.check(opened, drop_shared=True)
    for mdata in (opened, gb.io.read(tmp_path / "leaky.zarr")):
        assert np.flatnonzero(_keys.REGION_SPLIT.get(mdata).isna()).tolist() == [401, 500, 501, 502]
        assert _keys.load_record(mdata, "check", KEY, filled_by="gb.pp.check")["n_dropped"]["test"] == 3
        assert mdata.n_obs == 600


def test_log_tells_what_was_dropped(leaky, log):
    gb.pp.check(leaky, drop_shared=True)
    assert any(text.startswith("shared: train / test: 32-mer: 2 regions of test") for text in log.messages)
    assert (
        sum(text.endswith("checks, all ok but for shared sequence, which is taken out.") for text in log.messages) == 1
    )
    log.clear()
    gb.pp.check(leaky, drop_shared=True)
    assert any(text.endswith("checks, all ok.") for text in log.messages)
