from __future__ import annotations

import pandas as pd
import pytest

import genebert as gb
from genebert import _keys


@pytest.fixture
def table():
    rows = [(0, 10, "train", "masked_genome", "loss", 1.5, 2.0), (0, 10, "val", "masked_genome", "loss", 1.6, 2.0)]
    return pd.DataFrame(rows, columns=list(_keys.HISTORY_COLUMNS))


def test_reads_what_pretrain_wrote(toy, table):
    _keys.record(toy, "pretrain", "mine", params={}, history=table)
    found = gb.get.history(toy, key="mine")
    assert list(found.columns) == list(_keys.HISTORY_COLUMNS)
    assert found["value"].tolist() == [1.5, 1.6]


def test_default_key(toy, table):
    _keys.record(toy, "pretrain", _keys.UNS, params={}, history=table)
    assert len(gb.get.history(toy)) == 2


def test_changes_nothing(toy, table):
    _keys.record(toy, "pretrain", _keys.UNS, params={}, history=table)
    gb.get.history(toy)["value"] = 0.0
    assert gb.get.history(toy)["value"].tolist() == [1.5, 1.6]


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_survives_a_file(table, tmp_path, suffix):
    mdata = gb.io.assemble(sequences=["ACGT", "GGCC"])
    _keys.record(mdata, "pretrain", _keys.UNS, params={"sizes": (1, 2)}, history=table)
    gb.io.write(mdata, tmp_path / f"x.{suffix}")
    back = gb.get.history(gb.io.read(tmp_path / f"x.{suffix}"))
    pd.testing.assert_frame_equal(back, gb.get.history(mdata), check_dtype=False, check_categorical=False)


def test_survives_subsetting(toy, table):
    _keys.record(toy, "pretrain", _keys.UNS, params={}, history=table)
    assert len(gb.get.history(toy[:5].copy())) == 2


def test_nothing_there(toy):
    with pytest.raises(KeyError, match=r"Run gb\.tl\.pretrain first"):
        gb.get.history(toy)
