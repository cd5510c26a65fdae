from __future__ import annotations

import time

import numpy as np

import genebert as gb
from genebert import _keys
from genebert._dna import N, decode, encode, reverse_complement
from genebert.pp._overlaps import canonical_32mers, overlaps

CODES = np.random.default_rng(0).integers(0, 4, size=(6, 80), dtype=np.uint8)


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


def test_overlaps_ignore_strand_and_padding():
    codes = np.full((6, 90), N, dtype=np.uint8)
    codes[:, :80] = CODES
    codes[3] = np.roll(codes[0], 10)  # padded on the other side
    codes[4, :80] = reverse_complement(CODES[1])
    codes[5, :31] = CODES[2, :31]  # one base short of a 32-mer
    found = {what: shared.tolist() for _, _, what, shared in overlaps(codes, np.array(["train"] * 3 + ["test"] * 3))}
    assert found == {
        "sequence": [True, False, False],
        "reverse complement": [False, True, False],
        "32-mer": [True, True, False],
    }


def test_canonical_32mers():
    kmers, is_known = canonical_32mers(CODES)
    assert kmers.shape == (6, 49)
    assert is_known.all()
    np.testing.assert_array_equal(canonical_32mers(reverse_complement(CODES))[0][:, ::-1], kmers)
    text = decode(CODES[0, :32])
    both = (int("".join(map(str, encode(text))), 4), int("".join(map(str, reverse_complement(encode(text)))), 4))
    assert int(kmers[0, 0]) == min(both)


def test_sequences_shorter_than_32():
    kmers, is_known = canonical_32mers(CODES[:, :20])
    assert kmers.shape == is_known.shape == (6, 0)


def test_twenty_thousand_regions_take_seconds():
    codes = np.random.default_rng(0).integers(0, 4, size=(20_000, 500), dtype=np.uint8)
    started = time.perf_counter()
    assert sum(found.is_shared.sum() for found in overlaps(codes, np.repeat(["train", "test"], 10_000))) == 0
    assert time.perf_counter() - started < 60
