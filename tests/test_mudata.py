"""Building a MuData and putting modalities into it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

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
