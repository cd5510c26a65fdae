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
from genebert import _keys

SLOT = f"atac.varm.{_keys.TF_EXPRESSION.key}"
TFS = [
    "SPI1",
    "FOS::JUN",
    "SPI1_MA0080.6",
    "Gata1",
    "FOS::MISSING",
    "ABSENT",
    "RARA(var.2)",
    "JUN_MA0488.1_2",
    "NKX2_5",
]
MOTIF_IDS = ["MA0080.1", "MA0099.3", "MA0080.6", "MA0035.1", "x", "y", "MA0859.1", "MA0488.1", "5"]
GENES = ["ACTB", "spi1", "FOS", "JUN", "GATA1", "RARA", "NKX2"]
COUNTS = np.array(
    [[9, 1, 2, 3, 0, 4, 1], [8, 0, 1, 5, 0, 1, 0], [5, 0, 7, 1, 2, 0, 0], [7, 0, 0, 1, 9, 2, 1]], dtype=np.float32
)
CELL_TYPES = ["T", "B", "B", "T"]


@pytest.fixture
def mdata():
    names = ["chr1:0-9", "chr1:10-19"]
    mdata = gb.io.assemble(
        accessibility=pd.DataFrame([[1, 0], [2, 3]], index=names, columns=["B", "T"]),
        tf=pd.DataFrame(np.ones((2, len(TFS))), index=names, columns=TFS),
    )
    mdata[_keys.TF].var[_keys.MOTIF_ID.key] = MOTIF_IDS
    return mdata


def make(counts=COUNTS, genes=GENES, cell_types=CELL_TYPES, **obs):
    counts = sparse.csr_matrix(counts)
    cells = pd.DataFrame({"cell_type": cell_types, **obs}, index=[f"cell{i}" for i in range(counts.shape[0])])
    return ad.AnnData(counts, obs=cells, var=pd.DataFrame(index=list(genes)))


def expression(mdata, rna, **options):
    return _keys.TF_EXPRESSION.get(gb.pp.tf_expression(mdata, rna, groupby="cell_type", copy=True, **options))


def params(mdata):
    record = _keys.load_record(mdata, "tf_expression", _keys.TF_EXPRESSION.key, filled_by="gb.pp.tf_expression")
    return record["params"]


POOLED = np.array([COUNTS[[1, 2]].sum(axis=0), COUNTS[[0, 3]].sum(axis=0)])
CPM = POOLED / POOLED.sum(axis=1, keepdims=True) * 1e6
SPI1, FOS, JUN, GATA1, RARA = CPM[:, 1:6].T
NONE = np.full(2, np.nan)
EXPECTED = np.log1p(
    np.column_stack([SPI1, np.minimum(FOS, JUN), SPI1, GATA1, NONE, NONE, RARA, JUN, CPM[:, 6]])
)  # of the columns in TFS


def test_counts_per_million_of_the_gene(mdata, changed, log):
    rna = make()
    before = rna.copy()
    written = {SLOT, "uns.tf_expression.tf_expression"}
    assert changed(mdata, lambda mdata: gb.pp.tf_expression(mdata, rna, groupby="cell_type")) == written
    found = _keys.TF_EXPRESSION.get(mdata)
    assert list(found.index) == ["B", "T"]
    assert list(found.columns) == TFS
    assert set(found.dtypes) == {np.dtype(np.float32)}
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-5)
    assert params(mdata) == {
        "groupby": "cell_type", "replicate": None, "layer": None, "symbols": "var_names", "n_without_gene": 2,
    }  # fmt: skip
    assert "2 of 9 TFs have no gene in `rna` and get NaN: FOS::MISSING, ABSENT" in log.messages
    assert (rna.X != before.X).nnz == 0


def test_names_as_the_scan_gives_them(toy):
    """Every TF of the shipped motifs has a gene of its name, suffixed columns and heterodimers too."""
    partners = {part.upper() for name in toy[_keys.TF].var_names for part in name.split("_MA")[0].split("::")}
    rna = make(np.ones((6, len(partners))), sorted(partners), list(toy[_keys.ATAC].var_names))
    assert np.isfinite(expression(toy, rna)).all(axis=None)


@pytest.mark.parametrize("column", ["gene_symbols", "gene_name"])
def test_symbols_in_a_column(mdata, column):
    rna = make(genes=[f"ENSG{number}" for number in range(len(GENES))])
    rna.var[column] = pd.Categorical(GENES)
    np.testing.assert_allclose(expression(mdata, rna), EXPECTED, rtol=1e-5)
    gb.pp.tf_expression(mdata, rna, groupby="cell_type")
    assert params(mdata)["symbols"] == column


def test_genes_of_one_symbol_are_summed(mdata):
    rna = make(np.c_[COUNTS, COUNTS[:, 1]], [*GENES[:1], "other", *GENES[2:], "another"])
    rna.var["gene_symbols"] = [*GENES, "SPI1"]
    counts = np.c_[POOLED, POOLED[:, 1]]
    expected = np.log1p(2 * POOLED[:, 1] / counts.sum(axis=1) * 1e6)
    np.testing.assert_allclose(expression(mdata, rna)["SPI1"], expected, rtol=1e-5)


def test_only_genes_of_a_multiome_count(mdata):
    rna = make(np.c_[COUNTS, np.full((4, 2), 50)], [*GENES, "chr1:1-9", "CD3"])
    rna.var["feature_types"] = ["Gene Expression"] * len(GENES) + ["Peaks", "Antibody Capture"]
    np.testing.assert_allclose(expression(mdata, rna), EXPECTED, rtol=1e-5)


def test_each_replicate_weighs_the_same(mdata):
    rna = make(donor=["d1", "d1", "d2", "d1"])
    cpm = COUNTS[[1, 2]] / COUNTS[[1, 2]].sum(axis=1, keepdims=True) * 1e6
    found = expression(mdata, rna, replicate="donor")
    np.testing.assert_allclose(found.loc["B", "Gata1"], np.log1p(cpm[:, 4].mean()), rtol=1e-5)
    np.testing.assert_allclose(found.loc["T"], EXPECTED[1], rtol=1e-5)


def test_layer(mdata):
    rna = make()
    rna.layers["raw"] = rna.X.copy()
    rna.X = rna.X * 0.5
    np.testing.assert_allclose(expression(mdata, rna, layer="raw"), EXPECTED, rtol=1e-5)
    with pytest.warns(UserWarning, match="Expected raw counts"):
        expression(mdata, rna)


@pytest.mark.parametrize("kind", [sparse.csc_matrix, sparse.csr_array, np.asarray])
def test_any_matrix(mdata, kind):
    rna = make()
    rna.X = kind(COUNTS)
    np.testing.assert_allclose(expression(mdata, rna), EXPECTED, rtol=1e-5)


def test_backed(mdata, tmp_path):
    make().write_h5ad(tmp_path / "rna.h5ad")
    rna = ad.read_h5ad(tmp_path / "rna.h5ad", backed="r")
    np.testing.assert_allclose(expression(mdata, rna), EXPECTED, rtol=1e-5)
    rna.file.close()


@settings(max_examples=12, deadline=None)
@given(cells=st.permutations(range(4)), genes=st.permutations(range(len(GENES))))
def test_order_of_cells_and_genes_changes_nothing(cells, genes):
    names = ["chr1:0-9"]
    mdata = gb.io.assemble(
        accessibility=pd.DataFrame([[1, 0]], index=names, columns=["T", "B"]),
        tf=pd.DataFrame(np.ones((1, 3)), index=names, columns=["SPI1", "FOS::JUN", "ABSENT"]),
    )
    found = expression(mdata, make()[list(cells)][:, list(genes)].copy())
    np.testing.assert_allclose(found, EXPECTED[::-1][:, [0, 1, 5]], rtol=1e-5)


def test_cells_and_cell_types_that_are_left_out_are_told(mdata, log):
    rna = make(np.vstack([COUNTS, COUNTS]), cell_types=[*CELL_TYPES, "NK", "NK", None, "NK"])
    np.testing.assert_allclose(expression(mdata, rna), EXPECTED, rtol=1e-5)
    assert "1 of 8 cells have no 'cell_type', left out" in log.messages
    assert "1 cell types of `rna` have no accessibility and are left out: NK" in log.messages


def test_cells_x_genes_is_not_made_dense(mdata):
    n_cells, n_genes, rng = 2000, 5000, np.random.default_rng(0)
    counts = sparse.random(n_cells, n_genes, density=0.01, format="csr", dtype=np.float32, rng=rng)
    counts.data = np.ceil(counts.data * 3)
    rna = make(
        counts, [*GENES, *(f"gene{number}" for number in range(n_genes - len(GENES)))], ["B", "T"] * (n_cells // 2)
    )
    expression(mdata, make())
    tracemalloc.start()
    expression(mdata, rna)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_cells * n_genes * 4 / 4


def test_round_trip_and_view(mdata, changed, round_trip):
    views = []
    assert (
        changed(
            mdata, lambda whole: gb.pp.tf_expression(views.append(whole[:1]) or views[0], make(), groupby="cell_type")
        )
        == set()
    )
    np.testing.assert_allclose(_keys.TF_EXPRESSION.get(views[0]), EXPECTED, rtol=1e-5)
    gb.pp.tf_expression(mdata, make(), groupby="cell_type")
    back = round_trip(mdata)
    pd.testing.assert_frame_equal(_keys.TF_EXPRESSION.get(back), _keys.TF_EXPRESSION.get(mdata), check_names=False)
    assert params(back)["n_without_gene"] == 2


def test_without_motif_ids(mdata):
    del mdata[_keys.TF].var[_keys.MOTIF_ID.key]
    found = expression(mdata, make())
    np.testing.assert_allclose(found[["SPI1", "FOS::JUN"]], EXPECTED[:, :2], rtol=1e-5)
    assert np.isnan(found["SPI1_MA0080.6"]).all()


@pytest.mark.parametrize(
    ("rna", "options", "error", "message"),
    [
        (make(cell_types=["B"] * 4), {}, ValueError, r"column 'cell_type' of `rna`; none of T\. Found: B"),
        (make(), {"replicate": "donor"}, ValueError, "donor missing"),
        (make(), {"layer": "raw"}, ValueError, "Expected `layer` .*found 'raw'"),
        (make(genes=[f"ENSG{i}" for i in range(7)]), {}, ValueError, "genes named by symbols, .* 0 of 9 TFs .* such as ENSG0"),
        (make(-COUNTS), {}, ValueError, "Expected expression that is finite and not negative"),
        (make()[:, :0], {}, ValueError, "Expected counts of cells x genes .* found 4 x 0"),
        (ad.AnnData(obs=make().obs, var=make().var), {}, ValueError, "found none"),
        (pd.DataFrame(), {}, TypeError, "Expected `rna` to be an AnnData; found a DataFrame"),
    ],
)  # fmt: skip
def test_bad_input(mdata, expect_refusal, rna, options, error, message):
    with expect_refusal(mdata, error, message):
        gb.pp.tf_expression(mdata, rna, groupby="cell_type", **options)


def test_a_mudata_is_refused(mdata):
    with pytest.raises(TypeError, match=r"found a MuData. Give one of its modalities: mdata\['rna'\]"):
        gb.pp.tf_expression(mdata, mdata, groupby="cell_type")


def test_missing_column(mdata, expect_refusal):
    with expect_refusal(mdata, ValueError, "table of cells with column.* leiden; leiden missing"):
        gb.pp.tf_expression(mdata, make(), groupby="leiden")


@pytest.mark.parametrize(
    ("modality", "message"), [(_keys.TF, r"gb\.pp\.scan_motifs"), (_keys.ATAC, r"gb\.io\.from_anndata")]
)
def test_missing_modalities(mdata, modality, message):
    del mdata.mod[modality]
    with pytest.raises(KeyError, match=message):
        gb.pp.tf_expression(mdata, make(), groupby="cell_type")


def test_cell_types_and_replicates_from_a_series(mdata, expect_refusal):
    rna = make(donor=["x", "y", "x", "y"])
    expected = expression(mdata, rna, replicate="donor")
    cells = rna.obs.iloc[::-1]
    gb.pp.tf_expression(mdata, rna, groupby=cells["cell_type"], replicate=cells["donor"])
    pd.testing.assert_frame_equal(_keys.TF_EXPRESSION.get(mdata), expected)
    for groupby in (["cell_type", "donor"], None):
        with expect_refusal(mdata, TypeError, "Expected `groupby` to be the name of one column, or a Series"):
            gb.pp.tf_expression(mdata, rna, groupby=groupby)
