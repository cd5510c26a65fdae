"""Building a MuData and putting modalities into it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import genebert as gb
from genebert import _mudata
from genebert._keys import ATAC, EMBEDDING, LABEL, SEQ, TF

N_REGIONS = 6


def modality(names, columns) -> AnnData:
    values = np.arange(len(names) * len(columns), dtype=np.float32).reshape(len(names), -1)
    return AnnData(values, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=columns))


@pytest.fixture
def names():
    return pd.Index([f"chr1:{place}-{place + 1}" for place in range(N_REGIONS)], dtype=object)


@pytest.fixture
def mdata(names):
    mdata = _mudata.build({SEQ: AnnData(obs=pd.DataFrame(index=names)), ATAC: modality(names, ["B", "T"])})
    mdata.obs["leiden"] = pd.Categorical(list("aabbcc"))
    EMBEDDING.set(mdata, np.arange(N_REGIONS * 2, dtype=np.float32).reshape(-1, 2))
    mdata.obsp["distances"] = np.eye(N_REGIONS)
    mdata.uns["note"] = "kept"
    return mdata


def test_put_adds_without_losing_anything(mdata, names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _mudata.put(mdata, **{TF: modality(names, ["SPI1", "B"])})
    assert list(mdata.mod) == [SEQ, ATAC, TF]
    assert mdata.axis == 0
    assert list(mdata.obs["leiden"]) == list("aabbcc")
    assert mdata.uns["note"] == "kept"
    assert "distances" in mdata.obsp
    assert EMBEDDING.get(mdata).shape == (N_REGIONS, 2)


def test_put_replaces_columns_by_others(mdata, names):
    _mudata.put(mdata, **{ATAC: modality(names, ["B", "NK", "Mono"])})
    assert list(mdata[ATAC].var_names) == ["B", "NK", "Mono"]
    assert mdata.n_vars == 3
    assert EMBEDDING.get(mdata)[3].tolist() == [6, 7]


def test_put_refuses_other_regions(mdata, names):
    with pytest.raises(ValueError, match="with the regions of `mdata` in their order"):
        _mudata.put(mdata, **{LABEL: modality(names[::-1], ["x"])})
    assert list(mdata.mod) == [SEQ, ATAC]


@pytest.mark.parametrize("order", [[4, 1, 3], [5, 4, 3, 2, 1, 0]])
def test_subsets_and_permutations_stay_aligned(mdata, names, order):
    _mudata.put(mdata, **{TF: modality(names, ["SPI1"])})
    part = mdata[names[order]].copy()
    assert list(part.obs_names) == list(names[order])
    for name in part.mod:
        assert list(part[name].obs_names) == list(names[order])
    assert part[TF].X.ravel().tolist() == order
    assert EMBEDDING.get(part)[:, 0].tolist() == [2 * place for place in order]
    _mudata.put(part, **{LABEL: modality(names[order], ["x"])})
    assert EMBEDDING.get(part)[:, 0].tolist() == [2 * place for place in order]


@pytest.fixture
def annotated(mdata, names):
    """With columns and matrices of the variables; B is a cell type and a TF."""
    _mudata.put(mdata, **{TF: modality(names, ["SPI1", "B"])})
    mdata.var["own"] = ["cell B", "cell T", "TF SPI1", "TF B"]
    mdata.var["flag"] = [True, False, True, False]
    mdata.var["rank"] = np.arange(4)
    mdata.varm["loading"] = np.arange(8).reshape(4, 2)
    mdata.varm["table"] = pd.DataFrame({"x": np.arange(4)}, index=mdata.var_names)
    mdata.varp["similar"] = np.arange(16).reshape(4, 4)
    return mdata


def test_put_keeps_what_is_known_of_variables(annotated, names):
    _mudata.put(annotated, **{LABEL: AnnData(obs=pd.DataFrame(index=names))})
    assert list(annotated.var["own"]) == ["cell B", "cell T", "TF SPI1", "TF B"]
    assert annotated.var["flag"].dtype == bool
    assert annotated.varm["loading"].dtype.kind == "i"
    assert annotated.varp["similar"][2].tolist() == [8, 9, 10, 11]


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_put_matches_variables_by_modality_and_name(annotated, names, tmp_path, suffix):
    _mudata.put(annotated, **{TF: modality(names, ["B", "GATA1"])})
    path = tmp_path / f"a.{suffix}"
    gb.io.write(annotated, path)
    for found in (annotated, gb.io.read(path)):
        assert found.var["own"].astype(object).fillna("none").tolist() == ["cell B", "cell T", "TF B", "none"]
        assert found.var["flag"].isna().tolist() == [False, False, False, True]
        assert found.var["rank"][:3].tolist() == [0, 1, 3]
        np.testing.assert_array_equal(found.varm["loading"][:, 0], [0, 2, 6, np.nan])
        assert found.varm["table"]["x"].isna().tolist() == [False, False, False, True]
        assert "similar" not in found.varp  # nobody knows the pairs of GATA1


def test_removed_variables_leave_the_pairs_of_the_others(annotated, names):
    _mudata.put(annotated, **{TF: modality(names, ["B"])})
    assert annotated.varp["similar"].tolist() == [[0, 1, 3], [4, 5, 7], [12, 13, 15]]


def test_keep_and_views_keep_what_is_known_of_variables(annotated):
    view = annotated[3:]
    copies = [_mudata.writable(view, copy=True), _mudata.writable(annotated, copy=True)[3:]]
    _mudata.writable(view, copy=False)
    assert not view.is_view
    _mudata.keep(annotated, np.arange(N_REGIONS) > 2)
    for found in (view, annotated, *copies):
        assert found.n_obs == 3
        assert list(found.var["own"]) == ["cell B", "cell T", "TF SPI1", "TF B"]
        assert found.varm["loading"].shape == (4, 2)


def test_names_that_occur_twice_lose_what_was_known(annotated, names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twice = modality(names, ["X", "X"])
        _mudata.put(annotated, **{TF: twice})
        annotated.var["own"] = list("abcd")
        _mudata.put(annotated, **{LABEL: modality(names, ["y"])})
    assert annotated.var["own"].isna().tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("step", ["__init__", "_restore_variables"])
def test_put_is_all_or_nothing(annotated, names, monkeypatch, step):
    def fail(*args, **kwargs):
        raise MemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(*((MuData, step) if step == "__init__" else (_mudata, step)), fail)
        with pytest.raises(MemoryError, match="no memory"):
            _mudata.put(annotated, **{LABEL: modality(names, ["x"])})
    assert list(annotated.mod) == [SEQ, ATAC, TF]
    assert list(annotated.obs["leiden"]) == list("aabbcc")
    assert annotated.var["rank"].tolist() == [0, 1, 2, 3]
    assert EMBEDDING.get(annotated).shape == (N_REGIONS, 2)
    assert annotated[:2].copy().shape == (2, 4)


@pytest.mark.parametrize("is_view", [False, True])
def test_a_copy_shares_nothing(annotated, is_view):
    annotated.obsm["table"] = pd.DataFrame({"x": np.arange(N_REGIONS)}, index=annotated.obs_names)
    annotated.uns["deep"] = {"list": [1]}
    annotated.var["own"] = 1.0
    whole = annotated.copy()
    found = _mudata.writable(annotated[:4] if is_view else annotated, copy=True)
    EMBEDDING.get(found)[:] = -1
    found[TF].X[:] = -1
    found.obsp["distances"][:] = -1
    found.varm["loading"][:] = -1
    found.varp["similar"][:] = -1
    found.obsm["table"]["x"] = found.varm["table"]["x"] = -1
    found.obs["leiden"] = found.var["own"] = -1
    found.uns["deep"]["list"].append(2)
    assert (EMBEDDING.get(annotated) >= 0).all()
    assert (annotated[TF].X >= 0).all()
    assert (annotated.obsp["distances"] >= 0).all()
    assert (annotated.varm["loading"] >= 0).all()
    assert (annotated.varp["similar"] >= 0).all()
    pd.testing.assert_frame_equal(annotated.obsm["table"], whole.obsm["table"])
    pd.testing.assert_frame_equal(annotated.varm["table"], whole.varm["table"])
    pd.testing.assert_frame_equal(annotated.obs, whole.obs)
    pd.testing.assert_frame_equal(annotated.var, whole.var)
    assert annotated.uns["deep"] == {"list": [1]}


def test_rows_that_are_missing_leave_the_other_values_as_they_are():
    index = pd.Index(["r1", "r2", "r3"])
    table = pd.DataFrame({"score": [1.0, 2.0], "count": [1, 2], "flag": [True, False], "name": ["a", "b"]})

    found = _mudata.taken(table, np.array([1, -1, 0]), index)

    assert found.dtypes.astype(str).tolist()[:3] == ["float64", "Int64", "boolean"]
    assert found["score"].isna().tolist() == [False, True, False]
    assert found.loc["r3"].tolist() == [1.0, 1, True, "a"]
    assert found.columns.tolist() == table.columns.tolist()
