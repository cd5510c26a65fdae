"""gb.tl.embed_cells."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import genebert as gb
from genebert import _keys

KEY = _keys.EMBEDDING.key


@pytest.fixture
def mdata(toy):
    toy.obsm[KEY] = np.random.default_rng(0).normal(size=(toy.n_obs, 5)).astype(np.float32)
    return toy


@pytest.fixture
def cells(mdata):
    names = mdata.obs_names.str.replace(":", "-")[::-1]  # another spelling, another order
    X = sparse.random(20, len(names), density=0.2, format="csr", random_state=0, dtype=np.float32)
    return AnnData(X, var=pd.DataFrame(index=names))


def test_weighted_mean(cells, mdata):
    gb.tl.embed_cells(cells, mdata)
    weights, regions = cells.X.toarray(), mdata.obsm[KEY][::-1]
    expected = weights @ regions / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cells.obsm[KEY], expected, atol=1e-5)
    assert cells.obsm[KEY].dtype == np.float32


def test_peaks_that_are_no_region_do_not_count(cells, mdata):
    gb.tl.embed_cells(cells, mdata[:100].copy(), key_added="some")
    kept = cells[:, ::-1][:, :100]
    gb.tl.embed_cells(kept := kept.copy(), mdata, key_added="some")
    np.testing.assert_allclose(cells.obsm["some"], kept.obsm["some"], atol=1e-5)


def test_empty_cells_are_nan_and_told(cells, mdata):
    cells.layers["counts"] = sparse.vstack([cells.X[:19] * 0, cells.X[19:]]).tocsr()
    with pytest.warns(UserWarning, match="19 of 20 cells have no accessible region"):
        gb.tl.embed_cells(cells, mdata, layer="counts")
    assert np.isnan(cells.obsm[KEY][:19]).all()
    assert np.isfinite(cells.obsm[KEY][19]).all()


def test_copy(cells, mdata):
    assert KEY in gb.tl.embed_cells(cells, mdata, copy=True).obsm
    assert KEY not in cells.obsm


def test_bad_input_changes_nothing(cells, mdata):
    with pytest.raises(KeyError, match=r"gb.tl.embed\(mdata, key_added=\"other\"\)"):
        gb.tl.embed_cells(cells, mdata, key="other")
    with pytest.raises(KeyError, match="`layer`"):
        gb.tl.embed_cells(cells, mdata, layer="raw")
    cells.layers["bad"] = -cells.X
    with pytest.raises(ValueError, match="not negative"):
        gb.tl.embed_cells(cells, mdata, layer="bad")
    assert KEY not in cells.obsm
