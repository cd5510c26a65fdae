"""The registry of slots, its page, and what a round trip keeps."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import genebert as gb
from genebert import _keys, _mudata

DOCS = Path(__file__).parents[1] / "docs"
BY_PATH = [pytest.param(slot, id=slot.path) for slot in _keys.SLOTS]
IN_TOY = ("genebert.datasets.toy", "genebert.io", "genebert.pp")


@pytest.fixture
def empty():
    """Two regions, no slot filled but the matrices."""
    names = ["chr1:10-20", "chr1:30-40"]
    return _mudata.build(
        {
            modality: AnnData(obs=pd.DataFrame(index=names), var=pd.DataFrame(index=[f"{modality}_1", f"{modality}_2"]))
            for modality in _keys.MODALITIES
        }
    )


def _value(slot, mdata):
    """Something that fits into a slot."""
    owner = mdata if slot.modality is None else mdata[slot.modality]
    if slot.attr in {"obs", "obsm"}:
        return np.zeros(owner.n_obs) if slot.attr == "obs" else np.ones((owner.n_obs, 3), dtype=np.float32)
    if slot.attr in {"var", "varm"}:
        return np.zeros(owner.n_vars) if slot.attr == "var" else np.ones((owner.n_vars, 3), dtype=np.float32)
    return sparse.csr_matrix(np.ones(owner.shape, dtype=np.float32))


@pytest.fixture(scope="module")
def contract():
    spec = importlib.util.spec_from_file_location("_contract", DOCS / "_contract.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(contract):
    contract.check()
    page = contract.PAGE.read_text()
    assert [slot.path for slot in _keys.SLOTS if f"`{slot.path}`" not in page] == []


def test_stale_page_is_refused(contract, tmp_path, monkeypatch):
    monkeypatch.setattr(contract, "PAGE", tmp_path / "data_contract.md")
    contract.PAGE.write_text("old")
    with pytest.raises(RuntimeError, match=r"python docs/_contract\.py"):
        contract.check()


@pytest.mark.parametrize("slot", BY_PATH)
def test_slot_is_in_toy_or_filled_later(slot, toy):
    assert slot.has(toy) or any(map(_exists, slot.filled_by)), slot.path


def _exists(name):
    _, namespace, verb = name.split(".")
    return verb in getattr(gb, namespace).__all__


@pytest.mark.parametrize("slot", BY_PATH)
def test_missing_slot_names_who_fills_it(slot, empty):
    if slot.attr == "X":
        del empty.mod[slot.modality]
    assert not slot.has(empty)
    with pytest.raises(KeyError, match=re.escape(slot.path)) as error:
        slot.get(empty)
    assert all(function in str(error.value) for function in slot.filled_by)


@pytest.mark.parametrize("slot", BY_PATH)
def test_set_then_get(slot, empty):
    value = _value(slot, empty)
    slot.set(empty, value)
    assert slot.has(empty)
    found = slot.get(empty)
    assert found.shape == value.shape
    assert np.array_equal(_dense(found), _dense(value))


def _dense(value):
    return value.toarray() if sparse.issparse(value) else np.asarray(value)


def test_paths_are_unique():
    assert len({slot.path for slot in _keys.SLOTS}) == len(_keys.SLOTS)


PARAMS = {
    "sizes": (1, 2, 3),
    "names": ("a", "b"),
    "nothing": None,
    "number": np.float32(0.5),
    "nested": {"yes": True, "text": "x"},
    "empty": "",
}


@pytest.fixture
def recorded(empty):
    table = pd.DataFrame({"split": ["train", "val"], "metric": ["loss", None], "value": [1.5, np.nan]}, index=[7, 9])
    _keys.record(empty, "pretrain", "mine", params=PARAMS, history=table)
    return empty


def test_record_then_load(recorded):
    entry = _keys.load_record(recorded, "pretrain", "mine", filled_by="gb.tl.pretrain")
    assert entry["params"]["sizes"] == [1, 2, 3]
    assert entry["params"]["nothing"] is None
    assert isinstance(entry["params"]["number"], float)
    assert list(entry["history"].index) == [0, 1]
    assert entry["history"]["split"].dtype == "category"


def test_records_stand_side_by_side(recorded):
    _keys.record(recorded, "pretrain", "other", params={})
    assert set(recorded.uns[_keys.UNS]["pretrain"]) == {"mine", "other"}


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_record_survives_a_file(recorded, tmp_path, suffix):
    gb.io.write(recorded, tmp_path / f"x.{suffix}")
    back = gb.io.read(tmp_path / f"x.{suffix}")
    entry = _keys.load_record(back, "pretrain", "mine", filled_by="gb.tl.pretrain")
    assert list(entry["params"]["sizes"]) == [1, 2, 3]
    assert list(entry["params"]["names"]) == ["a", "b"]
    assert entry["params"]["nothing"] is None
    assert entry["params"]["number"] == 0.5
    assert bool(entry["params"]["nested"]["yes"]) is True
    assert entry["params"]["empty"] == ""
    assert list(entry["history"]["split"]) == ["train", "val"]
    assert np.isnan(entry["history"]["value"][1])


@pytest.mark.parametrize("dtype", [object, "string", pd.StringDtype("python", na_value=np.nan)])
@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_text_of_any_type_is_stored_and_missing_text_is_empty(empty, tmp_path, dtype, suffix):
    table = pd.DataFrame({"metric": pd.Series(["loss", None, "gain"], dtype=dtype)})
    _keys.record(empty, "pretrain", "mine", params={}, history=table)
    gb.io.write(empty, tmp_path / f"x.{suffix}")
    for found in (empty, gb.io.read(tmp_path / f"x.{suffix}")):
        stored = _keys.load_record(found, "pretrain", "mine", filled_by="")["history"]["metric"]
        assert stored.dtype == "category"
        assert list(stored) == ["loss", "", "gain"]
    assert table["metric"].isna().tolist() == [False, True, False]


def test_missing_record_tells_what_is_there(recorded):
    with pytest.raises(KeyError, match=r"Found: .*mine.*\. Run gb\.tl\.pretrain first"):
        _keys.load_record(recorded, "pretrain", "other", filled_by="gb.tl.pretrain")
    with pytest.raises(KeyError, match=r"which is missing\. Run gb\.tl\.embed first"):
        _keys.load_record(recorded, "embed", "X", filled_by="gb.tl.embed")


def test_a_slot_of_something_else_than_a_mudata():
    with pytest.raises(TypeError, match=r"Expected a MuData; found AnnData.*gb.io.from_anndata"):
        _keys.DNA_CODE.get(AnnData(np.ones((2, 2))))


def test_a_missing_slot_shows_its_message_without_quotes(empty):
    with pytest.raises(KeyError) as caught:
        _keys.TF_EXPRESSION.get(empty)
    assert str(caught.value).startswith("Expected mdata")
    assert str(caught.value).endswith("Run gb.pp.tf_expression first.")
