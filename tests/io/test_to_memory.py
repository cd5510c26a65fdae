"""A store, or a part of it, in memory."""

from __future__ import annotations

import numpy as np
from scipy import sparse

import genebert as gb
from genebert import _keys, _store


def test_to_memory(toy, tmp_path):
    gb.io.write(toy, tmp_path / "toy.zarr")
    stored = gb.io.open(tmp_path / "toy.zarr")
    stored.obsm["own"] = stored["tf"].X[:, :3]
    mdata = gb.io.to_memory(stored[100:200])
    expected = toy[100:200]
    assert isinstance(_keys.DNA_CODE.get(mdata), np.ndarray)
    assert isinstance(mdata.obsm["own"], np.ndarray)
    assert sparse.issparse(_keys.COUNTS.get(mdata))
    for slot in (_keys.DNA_CODE, _keys.TF_SCORE, _keys.ACCESSIBILITY):
        np.testing.assert_array_equal(slot.get(mdata), slot.get(expected))
    assert mdata.obs_names.equals(expected.obs_names)
    assert _store.store_of(gb.io.to_memory(stored)) is None


def test_one_in_memory_is_copied(toy):
    mdata = gb.io.to_memory(toy)
    _keys.DNA_CODE.get(mdata)[0, 0] = 3 - _keys.DNA_CODE.get(toy)[0, 0]
    assert _keys.DNA_CODE.get(mdata)[0, 0] != _keys.DNA_CODE.get(toy)[0, 0]
