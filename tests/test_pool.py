"""Pooling of cells: formats, order of cells, what is left out."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from genebert import _pool, _pool_kernel

FORMATS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "coo": sparse.coo_matrix,
    "csr_array": sparse.csr_array,
    "dense": np.asarray,
    "dask": lambda values: dask.array.from_array(values, chunks=(2, -1)),
}


def reference(values, groups, n_groups, keep):
    return np.array([np.nansum(values[groups == group][:, keep], axis=0) for group in range(n_groups)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 7)),
    n_groups=st.integers(1, 4),
    kind=st.sampled_from(list(FORMATS)),
    dtype=st.sampled_from([np.float32, np.uint8, np.uint32, np.bool_]),
    chunk=st.integers(1, 10),
)
def test_sums_of_any_format_in_any_order_of_cells(seed, shape, n_groups, kind, dtype, chunk):
    rng = np.random.default_rng(seed)
    values = (rng.integers(0, 4, shape) * (rng.random(shape) < 0.5)).astype(dtype)
    groups, keep = rng.integers(-1, n_groups, shape[0]), rng.random(shape[1]) < 0.7
    expected = reference(values.astype(float), groups, n_groups, keep)
    order = rng.permutation(shape[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pool, "CHUNK", chunk)
        patch.setattr(_pool, "BLOCK", chunk)
        for cells in (slice(None), order):
            sums = _pool.pool(FORMATS[kind](values[cells]), groups[cells], n_groups=n_groups, keep=keep)
            assert sums.format == "csr"
            assert np.array_equal(sums.toarray(), expected)


@pytest.mark.parametrize("kind", list(FORMATS))
def test_what_is_not_pooled_is_not_looked_at(kind):
    values = np.array([[1, -1, 2], [np.inf, np.nan, -3], [4, 0.5, 5]])
    groups, keep = np.array([0, -1, 0]), np.array([True, False, True])
    sums = _pool.pool(FORMATS[kind](values), groups, n_groups=1, keep=keep)
    assert sums.toarray().tolist() == [[5, 7]]


@pytest.mark.parametrize("kind", list(FORMATS))
def test_bad_values(kind, log):
    values, everything = np.array([[1.0, np.nan], [2, 3]]), np.ones(2, dtype=bool)
    sums = _pool.pool(FORMATS[kind](values), np.array([0, 1]), n_groups=2, keep=everything, what="expression")
    assert sums.toarray().tolist() == [[1, 0], [2, 3]]
    assert "expression: 1 values are NaN (not measured)" in log.text
    assert np.isnan(values[0, 1])
    with pytest.warns(UserWarning, match="Expected raw counts"):
        _pool.pool(FORMATS[kind](values + 0.5), np.array([0, 1]), n_groups=2, keep=everything)
    for bad in (-1, np.inf):
        values[0, 0] = bad
        with pytest.raises(ValueError, match=f"expression that is finite and not negative .*such as {float(bad)}"):
            _pool.pool(FORMATS[kind](values), np.array([0, 1]), n_groups=2, keep=everything, what="expression")


def test_half_precision():
    values = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    values.data = values.data.astype(np.float16)
    assert _pool.pool(values, np.zeros(3, int), n_groups=1, keep=np.ones(3, bool)).toarray().tolist() == [[1, 1, 1]]


def test_kernels_without_compiler():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (8, 6)).astype(np.float64)
    values[0, :4] = [np.nan, 0.5, -1, np.inf]
    csr, csc = sparse.csr_matrix(values), sparse.csc_matrix(values)
    rows, groups, columns = np.arange(8), rng.integers(-1, 3, 8), np.array([0, 2, 5])
    some, everything = np.array([True, False, True, True, False, True]), np.zeros(0, dtype=bool)
    for kernel, matrix, options, shape in (
        (_pool_kernel.add_rows, csr, (rows, some), 6),
        (_pool_kernel.add_rows, csr, (rows, everything), 6),
        (_pool_kernel.add_columns, csc, (groups, columns), (3, 3)),
    ):
        sums, plain_sums = np.zeros(shape), np.zeros(shape)
        faults = kernel(matrix.data, matrix.indices, matrix.indptr, *options, sums)
        plain = getattr(kernel, "py_func", kernel)
        with np.errstate(invalid="ignore"):
            found = plain(matrix.data, matrix.indices, matrix.indptr, *options, plain_sums)
        assert found.tolist() == faults.tolist()
        assert np.array_equal(sums, plain_sums)
    for kernel, arguments in (
        (_pool_kernel._are_counts, (values[0],)),
        (_pool_kernel._add, (np.zeros(1), 0, np.nan, np.zeros(3, dtype=np.int64))),
    ):
        with np.errstate(invalid="ignore"):
            assert getattr(kernel, "py_func", kernel)(*arguments) == kernel(*arguments)
