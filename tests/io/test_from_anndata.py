"""from_anndata: pooling, orientation, names, and what it refuses."""

from __future__ import annotations

import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import genebert as gb
from genebert import _pool
from genebert._keys import (
    ACCESSIBILITY,
    CHROM,
    COUNTS,
    END,
    N_CELLS,
    N_REPLICATES,
    OPEN,
    REGION_SPLIT,
    START,
    load_record,
)

PEAKS = ["chr2:50-250", "chr1:100-300", "chr1:400-600"]  # not sorted, on purpose
COUNTS_OF_CELLS = np.array([[1, 0, 2], [2, 1, 0], [0, 4, 0], [0, 3, 5]], dtype=np.float32)
CELL_TYPES = ["B", "B", "T", "T"]


def make(matrix=COUNTS_OF_CELLS, peaks=PEAKS, cell_types=CELL_TYPES, **obs) -> ad.AnnData:
    matrix = sparse.csr_matrix(matrix)
    cells = pd.DataFrame({"cell_type": cell_types, **obs}, index=[f"cell{i}" for i in range(matrix.shape[0])])
    return ad.AnnData(matrix, obs=cells, var=pd.DataFrame(index=list(peaks)))


def counts_of(mdata) -> np.ndarray:
    return COUNTS.get(mdata).toarray()


EXPECTED = np.array([[3, 0], [1, 7], [2, 5]])
LOG_CPM = np.log1p(EXPECTED / EXPECTED.sum(axis=0) * 1e6)


def test_pools_cells_into_cell_types():
    mdata = gb.io.from_anndata(make(), groupby="cell_type")
    assert list(mdata.obs_names) == PEAKS
    assert list(mdata.mod) == [START.modality, ACCESSIBILITY.modality]
    assert np.array_equal(counts_of(mdata), EXPECTED)
    assert COUNTS.get(mdata).dtype == np.float32
    assert COUNTS.get(mdata).format == "csr"
    assert ACCESSIBILITY.get(mdata).dtype == np.float32
    np.testing.assert_allclose(ACCESSIBILITY.get(mdata), LOG_CPM, rtol=1e-6)
    assert N_CELLS.get(mdata).tolist() == [2, 2]
    assert not N_REPLICATES.has(mdata)
    assert list(CHROM.get(mdata)) == ["chr2", "chr1", "chr1"]
    assert END.get(mdata).dtype == np.int64


@pytest.mark.parametrize("style", ["chr{}-{}-{}", "chr{}_{}_{}", "chr{}:{}-{}"])
def test_names_of_any_style(style):
    peaks = [style.format(*place) for place in [(2, 50, 250), (1, 100, 300), (1, 400, 600)]]
    assert list(gb.io.from_anndata(make(peaks=peaks), groupby="cell_type").obs_names) == PEAKS


@pytest.mark.parametrize("columns", [(CHROM.key, START.key, END.key), ("seqnames", "start", "end"), ("interval",)])
def test_coordinates_in_columns(columns):
    adata = make(peaks=["p1", "p2", "p3"])
    values = [("chr2", 50, 250), ("chr1", 100, 300), ("chr1", 400, 600)]
    if len(columns) == 1:
        adata.var[columns[0]] = PEAKS
    else:
        for column, column_values in zip(columns, zip(*values, strict=True), strict=True):
            adata.var[column] = list(column_values)
    assert list(gb.io.from_anndata(adata, groupby="cell_type").obs_names) == PEAKS


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.asarray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_any_matrix(kind, dtype):
    adata = make()
    adata.X = kind(COUNTS_OF_CELLS.astype(dtype))
    assert np.array_equal(counts_of(gb.io.from_anndata(adata, groupby="cell_type")), EXPECTED)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("has_genes", [False, True])
def test_chunks_of_cells_and_blocks_of_values_change_nothing(monkeypatch, kind, has_genes, log):
    monkeypatch.setattr(_pool, "CHUNK", 3)
    monkeypatch.setattr(_pool, "BLOCK", 2)
    matrix = COUNTS_OF_CELLS.copy()
    matrix[3, 2] = np.nan
    adata = make(
        np.hstack([matrix, -np.ones((4, 1))]) if has_genes else matrix, peaks=[*PEAKS, "SPI1"][: 3 + has_genes]
    )
    if has_genes:
        adata.var["feature_types"] = ["Peaks"] * 3 + ["Gene Expression"]
    adata.X = kind(adata.X.toarray())
    expected = EXPECTED.copy()
    expected[2, 1] -= 5
    assert np.array_equal(counts_of(gb.io.from_anndata(adata, groupby="cell_type")), expected)
    assert "1 values are NaN (not measured)" in log.text
    dense = adata.X.toarray() if sparse.issparse(adata.X) else adata.X
    assert np.isnan(dense[3, 2])  # the input is as it was


def test_checks_allocate_little():
    matrix = sparse.random(2000, 5000, density=0.4, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    matrix.data = np.ceil(matrix.data * 3)
    tracemalloc.start()
    _pool.pool(matrix, np.arange(2000) % 2, n_groups=2, keep=np.ones(5000, dtype=bool))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < matrix.data.nbytes / 4  # one mask of all values alone would be this much


def test_layer():
    adata = make()
    adata.layers["raw"] = adata.X.copy()
    adata.X = adata.X * 0.5
    assert np.array_equal(counts_of(gb.io.from_anndata(adata, groupby="cell_type", layer="raw")), EXPECTED)
    with pytest.warns(UserWarning, match="Expected raw counts"):
        gb.io.from_anndata(adata, groupby="cell_type")


def test_backed(tmp_path):
    make().write_h5ad(tmp_path / "a.h5ad")
    adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert np.array_equal(counts_of(gb.io.from_anndata(adata, groupby="cell_type")), EXPECTED)
    adata.file.close()
    make().T.copy().write_h5ad(tmp_path / "b.h5ad")
    adata = ad.read_h5ad(tmp_path / "b.h5ad", backed="r")
    assert np.array_equal(counts_of(gb.io.from_anndata(adata, groupby="cell_type")), EXPECTED)
    adata.file.close()


def test_each_replicate_weighs_the_same():
    adata = make(donor=["d1", "d2", "d1", "d1"])
    mdata = gb.io.from_anndata(adata, groupby="cell_type", replicate="donor")
    cpm = COUNTS_OF_CELLS[:2] / COUNTS_OF_CELLS[:2].sum(axis=1, keepdims=True) * 1e6
    np.testing.assert_allclose(ACCESSIBILITY.get(mdata)[:, 0], np.log1p(cpm.mean(axis=0)), rtol=1e-6)
    np.testing.assert_allclose(ACCESSIBILITY.get(mdata)[:, 1], LOG_CPM[:, 1], rtol=1e-6)
    assert np.array_equal(counts_of(mdata), EXPECTED)
    assert N_REPLICATES.get(mdata).tolist() == [2, 1]


def test_a_replicate_without_counts_does_not_weigh():
    matrix = np.vstack([COUNTS_OF_CELLS, [[0, 0, 0]]])
    adata = make(matrix, cell_types=[*CELL_TYPES, "T"], donor=["d1", "d1", "d1", "d1", "d2"])
    mdata = gb.io.from_anndata(adata, groupby="cell_type", replicate="donor")
    np.testing.assert_allclose(ACCESSIBILITY.get(mdata), LOG_CPM, rtol=1e-6)
    assert N_REPLICATES.get(mdata).tolist() == [1, 1]


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(4)), st.booleans(), st.booleans(), st.sampled_from([None, "donor"]))
def test_order_of_cells_and_orientation_change_nothing(order, is_transposed, is_dense, replicate):
    adata = make(donor=["d1", "d2", "d1", "d2"])
    reference = gb.io.from_anndata(adata, groupby="cell_type", replicate=replicate)
    turned = adata[list(order)].copy()
    if is_dense:
        turned.X = turned.X.toarray()
    turned = turned.T.copy() if is_transposed else turned
    mdata = gb.io.from_anndata(turned, groupby="cell_type", replicate=replicate)
    assert mdata.obs_names.equals(reference.obs_names)
    assert np.array_equal(counts_of(mdata), counts_of(reference))
    np.testing.assert_allclose(ACCESSIBILITY.get(mdata), ACCESSIBILITY.get(reference), rtol=1e-6)
    assert N_CELLS.get(mdata).equals(N_CELLS.get(reference))


@pytest.mark.parametrize("is_transposed", [False, True])
def test_cell_types_x_regions_either_way(is_transposed):
    types = ad.AnnData(EXPECTED.T.astype(np.float32), obs=pd.DataFrame(index=["B", "T"]), var=pd.DataFrame(index=PEAKS))
    mdata = gb.io.from_anndata(types.T.copy() if is_transposed else types)
    assert np.array_equal(counts_of(mdata), EXPECTED)
    np.testing.assert_allclose(ACCESSIBILITY.get(mdata), LOG_CPM, rtol=1e-6)
    assert list(mdata[ACCESSIBILITY.modality].var_names) == ["B", "T"]


def test_calls_stay_calls():
    calls = np.array([[1, 0, 1], [0, np.nan, 1]], dtype=np.float32)
    adata = ad.AnnData(calls, obs=pd.DataFrame(index=["B", "T"]), var=pd.DataFrame(index=PEAKS))
    mdata = gb.io.from_anndata(adata)
    np.testing.assert_array_equal(ACCESSIBILITY.get(mdata), calls.T)
    assert np.array_equal(OPEN.get(mdata).toarray(), np.nan_to_num(calls.T))
    assert not COUNTS.has(mdata)


def test_normalised_values_stay_as_they_are(log):
    values = np.array([[0.5, 0, 1.5], [0, 2.5, 1]], dtype=np.float32)
    adata = ad.AnnData(values, obs=pd.DataFrame(index=["B", "T"]), var=pd.DataFrame(index=PEAKS))
    mdata = gb.io.from_anndata(adata)
    assert np.array_equal(ACCESSIBILITY.get(mdata), values.T)
    assert not COUNTS.has(mdata)
    assert "taken as normalised" in log.text


def test_not_measured_is_left_out_and_counted(log):
    matrix = COUNTS_OF_CELLS.copy()
    matrix[0, 2] = np.nan
    adata = make(matrix)
    mdata = gb.io.from_anndata(adata, groupby="cell_type")
    assert counts_of(mdata)[2].tolist() == [0, 5]
    assert "1 values are NaN (not measured)" in log.text
    assert np.isnan(adata.X.toarray()).sum() == 1  # the input is as it was


def test_missing_counts_of_cell_types_stay_missing():
    counts = np.array([[3, 1, np.nan], [0, 7, 5]])
    adata = ad.AnnData(counts, obs=pd.DataFrame(index=["B", "T"]), var=pd.DataFrame(index=PEAKS))
    values = ACCESSIBILITY.get(gb.io.from_anndata(adata))
    assert np.isnan(values[2, 0])
    np.testing.assert_allclose(values[0, 0], np.log1p(0.75e6), rtol=1e-6)


def test_cells_without_a_type_are_left_out_and_counted(log):
    adata = make(cell_types=["B", "B", "T", None])
    mdata = gb.io.from_anndata(adata, groupby="cell_type")
    assert N_CELLS.get(mdata).tolist() == [2, 1]
    assert "1 of 4 cells have no 'cell_type'" in log.text


def test_order_of_categories_is_kept_and_unused_ones_dropped():
    adata = make()
    adata.obs["cell_type"] = pd.Categorical(CELL_TYPES, categories=["T", "NK", "B"])
    assert list(gb.io.from_anndata(adata, groupby="cell_type")[ACCESSIBILITY.modality].var_names) == ["T", "B"]


def test_peaks_of_a_10x_multiome(log):
    adata = make(np.hstack([COUNTS_OF_CELLS, -np.ones((4, 2))]), peaks=[*PEAKS, "SPI1", "GATA1"])
    adata.var["feature_types"] = ["Peaks"] * 3 + ["Gene Expression"] * 2
    mdata = gb.io.from_anndata(adata, groupby="cell_type")
    assert np.array_equal(counts_of(mdata), EXPECTED)
    assert "3 peaks kept, 2 other features left out" in log.text


def test_params_are_recorded_and_the_input_is_unchanged():
    adata = make()
    before = adata.copy()
    mdata = gb.io.from_anndata(adata, groupby="cell_type")
    entry = load_record(mdata, "from_anndata", ACCESSIBILITY.modality, filled_by="gb.io.from_anndata")
    assert entry["params"] == {"groupby": "cell_type", "replicate": None, "layer": None}
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert (adata.X != before.X).nnz == 0


def with_value(value: float) -> ad.AnnData:
    matrix = COUNTS_OF_CELLS.copy()
    matrix[0, 0] = value
    return make(matrix)


@pytest.mark.parametrize(
    ("adata", "options", "message"),
    [
        (make()[:, :0], {"groupby": "cell_type"}, "at least one cell and one peak; found 4 x 0"),
        (make(), {"groupby": "leiden"}, "`groupby` to name a column of cells; found 'leiden'. Columns: cell_type"),
        (make(cell_types=["B"] * 4), {"groupby": "cell_type"}, r"has 1 \(B\). Choose another column; for a single"),
        (make(), {"groupby": "cell_type", "replicate": "donor"}, "donor missing"),
        (make(), {"replicate": "cell_type"}, "Expected `groupby` beside `replicate`"),
        (make(), {"groupby": "cell_type", "layer": "raw"}, "`layer` to be one of .*found 'raw'"),
        (make(peaks=[PEAKS[0], "chr2-50-250", PEAKS[2]]), {"groupby": "cell_type"}, "1 occur more often: chr2:50-250"),
        (make(peaks=[*PEAKS[:2], "peak3"]), {"groupby": "cell_type"}, "1 of 3 have another form: peak3"),
        (make(peaks=["a", "b", "c"]), {}, "neither of obs .*cell0, cell1.* look like regions. Rename"),
        (make(peaks=[*PEAKS[:2], "chr1:9-9"]), {"groupby": "cell_type"}, "0 <= start < end"),
        (with_value(-1), {"groupby": "cell_type"}, "not negative .*1 values are not, such as -1.0"),
        (with_value(np.inf), {"groupby": "cell_type"}, "finite and not negative .*such as inf"),
        (with_value(-1), {}, "not negative"),
    ],
)
def test_bad_input(adata, options, message):
    with pytest.raises(ValueError, match=message) as error:
        gb.io.from_anndata(adata, **options)
    assert "Expected" in str(error.value)


def test_a_mudata_is_refused():
    mdata = gb.io.assemble(sequences=["ACGT"])
    with pytest.raises(TypeError, match=r"`adata` to be an AnnData; found a MuData\. Give one of its modalities"):
        gb.io.from_anndata(mdata, groupby="cell_type")
    with pytest.raises(TypeError, match=r"found a DataFrame\. Read one"):
        gb.io.from_anndata(pd.DataFrame())


def test_chromosomes_that_a_table_made_floats():
    adata = make(peaks=["p1", "p2", "p3"])
    adata.var[CHROM.key], adata.var[START.key], adata.var[END.key] = [1.0, 2.0, 22.0], [1, 2, 3], 100
    assert list(gb.io.from_anndata(adata, groupby="cell_type").obs_names) == ["1:1-100", "2:2-100", "22:3-100"]
    adata.var[CHROM.key] = pd.Categorical([1.0, 2.0, 22.0])
    assert list(CHROM.get(gb.io.from_anndata(adata, groupby="cell_type"))) == ["1", "2", "22"]
    adata.var[CHROM.key] = [1.0, 2.5, 22.0]
    with pytest.raises(ValueError, match=r"Expected names of chromosomes; found 2\.5"):
        gb.io.from_anndata(adata, groupby="cell_type")


def test_cells_without_groupby_are_not_made_dense():
    adata = ad.AnnData(sparse.csr_matrix((2000, 3), dtype=np.float32), var=pd.DataFrame(index=PEAKS))
    with pytest.raises(ValueError, match="found 2000 rows, which look like cells"):
        gb.io.from_anndata(adata)


def test_no_peaks_among_the_features():
    adata = make()
    adata.var["feature_types"] = "Gene Expression"
    with pytest.raises(ValueError, match="features of type 'Peaks'; found none"):
        gb.io.from_anndata(adata, groupby="cell_type")


def test_both_axes_look_like_regions():
    adata = ad.AnnData(np.ones((1, 1)), obs=pd.DataFrame(index=["chr1:1-2"]), var=pd.DataFrame(index=["chr1:1-2"]))
    with pytest.raises(ValueError, match="both of obs"):
        gb.io.from_anndata(adata)


@pytest.mark.parametrize("value", ["x", np.nan, 1.5])
def test_coordinate_columns_hold_whole_numbers(value):
    adata = make(peaks=["p1", "p2", "p3"])
    adata.var[CHROM.key], adata.var[START.key], adata.var[END.key] = "chr1", [1, 2, value], 100
    with pytest.raises(ValueError, match=f"whole numbers in column '{START.key}'; 1 are not"):
        gb.io.from_anndata(adata, groupby="cell_type")


def test_no_matrix():
    adata = ad.AnnData(obs=make().obs, var=make().var)
    with pytest.raises(ValueError, match="values in X; found none"):
        gb.io.from_anndata(adata, groupby="cell_type")


def test_many_rows_without_groupby_are_told():
    names = [f"chr1:{start}-{start + 50}" for start in range(0, 300, 100)]
    adata = ad.AnnData(np.ones((60, 3), dtype=np.float32), var=pd.DataFrame(index=names))
    with pytest.warns(UserWarning, match=r"60 rows are taken as cell types.*groupby="):
        gb.io.from_anndata(adata)


def test_cell_types_of_another_table(log):
    """As the rna modality of a multiome has them: in another order, with cells that the peaks lack, and the other way."""
    adata = make()
    rna_cell_types = pd.Series(["T", "B", "B", "B"], index=["cell3", "cell9", "cell1", "cell0"], name="celltype")
    mdata = gb.io.from_anndata(adata, groupby=rna_cell_types)
    assert counts_of(mdata).T.tolist() == [COUNTS_OF_CELLS[:2].sum(0).tolist(), COUNTS_OF_CELLS[3].tolist()]
    assert "1 of 4 cells have no 'celltype'" in log.text
    assert list(adata.obs.columns) == ["cell_type"]
    entry = load_record(mdata, "from_anndata", ACCESSIBILITY.modality, filled_by="gb.io.from_anndata")
    assert entry["params"]["groupby"] == "celltype"
    unnamed = gb.io.from_anndata(adata.T.copy(), groupby=rna_cell_types.rename(None), replicate="cell_type")
    assert np.array_equal(counts_of(unnamed), counts_of(mdata))


@pytest.mark.parametrize("index", [["a", "b"], ["cell0", "cell0"]])
def test_cell_types_of_other_cells(index):
    with pytest.raises(
        ValueError, match=r"`groupby` to be indexed by the 4 cells, each once \(cell0, cell1 and 2 more\)"
    ):
        gb.io.from_anndata(make(), groupby=pd.Series(["B", "T"], index=index))


@pytest.mark.parametrize("column", ["split", REGION_SPLIT.key])
def test_split_of_another_tool(column, log):
    adata = make()
    adata.var[column] = ["test", "train", "train"]
    mdata = gb.io.from_anndata(adata, groupby="cell_type")
    assert REGION_SPLIT.get(mdata).tolist() == ["test", "train", "train"]
    assert list(REGION_SPLIT.get(mdata).cat.categories) == ["train", "val", "test"]
    assert f"taken from column '{column}': train 2, val 0, test 1" in log.text


def test_regions_in_no_split():
    adata = make()
    adata.var[REGION_SPLIT.key] = ["test", None, "train"]
    assert REGION_SPLIT.get(gb.io.from_anndata(adata, groupby="cell_type")).isna().tolist() == [False, True, False]


@pytest.mark.parametrize("values", [["fold0", "fold1", "test"], [None, None, None], [0, 1, 2]])
def test_a_split_of_other_names_is_not_read(values, log):
    adata = make()
    adata.var["split"] = values
    assert not REGION_SPLIT.has(gb.io.from_anndata(adata, groupby="cell_type"))
    assert "column 'split' of the regions not read" in log.text


def test_a_file_that_hdf5_cannot_read(tmp_path, monkeypatch):
    make().write_h5ad(tmp_path / "a.h5ad")
    adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")

    def pool(*args, **kwargs):
        raise OSError("can't open directory (/usr/local/lib/plugin)")

    monkeypatch.setattr("genebert.io._from_anndata.pool", pool)
    with pytest.raises(OSError, match=r"found: can't open directory .* pip install hdf5plugin"):
        gb.io.from_anndata(adata, groupby="cell_type")
    adata.file.close()


def test_replicates_from_a_series():
    adata = make()
    adata.obs["donor"] = ["x", "x", "y", None]
    reference = gb.io.from_anndata(adata, groupby="cell_type", replicate="donor")
    donor = adata.obs["donor"].rename("cell_type")  # a name that is taken already
    mdata = gb.io.from_anndata(adata, groupby="cell_type", replicate=donor.iloc[::-1])
    assert np.array_equal(mdata[ACCESSIBILITY.modality].X, reference[ACCESSIBILITY.modality].X)
    with pytest.raises(ValueError, match="`replicate` to be indexed by the 4 cells, each once"):
        gb.io.from_anndata(adata, groupby="cell_type", replicate=pd.Series(["x"], index=["none"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"groupby": np.array(["B"] * 4)},
            r"`groupby` to be the name of one column, .* found a ndarray\. .*pd\.Series",
        ),
        ({"groupby": ["cell_type", "donor"]}, r"`groupby` to be .* found a list\. Join several into one column first"),
        ({"groupby": "cell_type", "replicate": pd.Categorical(["x"] * 4)}, "`replicate` .* found a Categorical"),
    ],
)
def test_one_column_or_a_series(options, message):
    with pytest.raises(TypeError, match=message):
        gb.io.from_anndata(make(), **options)
