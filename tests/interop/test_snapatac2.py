"""SnapATAC2 (2.9): cells x peaks as `pp.make_peak_matrix` stores them, peaks as `tl.macs3` and `tl.merge_peaks` give them."""

from __future__ import annotations

import gzip

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import genebert as gb
from genebert._keys import ATAC, COUNTS, EMBEDDING, N_CELLS

PEAKS = ["chr1:0-200", "chr1:500-700", "chr2:1000-1200"]
COUNTS_OF_CELLS = np.array([[1, 0, 2], [0, 0, 1], [0, 3, 0], [2, 1, 0]], dtype=np.uint32)
CELL_TYPES = ["A", "A", "B", "B"]
MACS3 = {
    "A": [("chr1", 1_000, 1_400, 100.0, 10), ("chr1", 5_000, 5_600, 300.0, 5)],
    "B": [("chr1", 1_200, 1_500, 50.0, 50), ("chr1", 9_000, 9_300, 100.0, 7)],
}


def write_peak_matrix(path) -> None:
    """The file that ``snap.pp.make_peak_matrix(data, file=path)`` writes, as h5py shows it."""
    matrix = sparse.csr_matrix(COUNTS_OF_CELLS)
    frame = {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "index"}
    text = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
    with h5py.File(path, "w") as file:
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "h5sparse_format": "csr"})
        x.attrs["shape"] = matrix.shape
        x["data"], x["indices"], x["indptr"] = (
            matrix.data,
            matrix.indices.astype(np.int64),
            matrix.indptr.astype(np.int64),
        )
        columns = {"n_fragment": np.uint64([9, 8, 7, 6]), "frac_dup": np.zeros(4), "cell_type": CELL_TYPES}
        tables = {"obs": (["AAAC-1", "AAAG-1", "CCCC-1", "GGGG-1"], columns), "var": (PEAKS, {})}
        for name, (index, values) in tables.items():
            group = file.create_group(name)
            group.attrs.update({**frame, "column-order": np.array(list(values), dtype=object if values else np.int64)})
            for key, column in {"index": index, **values}.items():
                is_text = isinstance(column, list)
                group.create_dataset(key, data=column, dtype=h5py.string_dtype() if is_text else None)
                group[key].attrs.update(text if is_text else {"encoding-type": "array", "encoding-version": "0.2.0"})
        for name in ("uns", "obsm", "varm", "layers", "obsp", "varp"):
            file.create_group(name).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})


def macs3_frame(rows) -> pd.DataFrame:
    """One entry of ``data.uns["macs3"]``: columns of a narrowPeak, `p_value` as minus log10, `peak` from the start."""
    chrom, start, end, p_value, peak = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "chrom": chrom, "start": np.uint64(start), "end": np.uint64(end), "name": "macs3", "score": np.uint16(1000),
            "strand": None, "signal_value": 1.0, "p_value": p_value, "q_value": 1.0, "peak": np.uint64(peak),
        }
    )  # fmt: skip


class PolarsFrame:
    """What genebert uses of a polars DataFrame, which is no dependency."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.schema = dict(frame.dtypes)

    def to_dict(self, *, as_series: bool) -> dict:
        assert not as_series
        return {key: self._frame[key].to_list() for key in self._frame}


@pytest.mark.parametrize("backed", [None, "r"])
def test_peak_matrix(tmp_path, backed):
    write_peak_matrix(tmp_path / "peaks.h5ad")
    atac = ad.read_h5ad(tmp_path / "peaks.h5ad", backed=backed)
    mdata = gb.io.from_anndata(atac, groupby="cell_type")
    assert list(mdata.obs_names) == PEAKS
    assert COUNTS.get(mdata).toarray().tolist() == [[1, 2], [0, 4], [3, 0]]
    assert N_CELLS.get(mdata).tolist() == [2, 2]
    mdata.obsm[EMBEDDING.key] = np.arange(6, dtype=np.float32).reshape(3, 2)
    result = gb.io.to_anndata(mdata, atac)
    assert np.array_equal(result.varm[EMBEDDING.key], mdata.obsm[EMBEDDING.key])
    assert result.X.dtype == np.uint32
    result.write_h5ad(tmp_path / "again.h5ad")


@pytest.mark.parametrize("kind", [pd.DataFrame, PolarsFrame])
def test_peaks_of_macs3(kind):
    """The regions and flags are those that SnapATAC2 2.9 gives with ``half_width=250``."""
    peaks = {name: kind(macs3_frame(rows)) for name, rows in MACS3.items()}
    mdata = gb.io.consensus_regions(peaks, width=501, score_per_million=False)
    assert list(mdata.obs_names) == ["chr1:760-1261", "chr1:4755-5256", "chr1:8757-9258"]
    assert mdata[ATAC].to_df().astype(int).to_dict("list") == {"A": [1, 1, 0], "B": [1, 0, 1]}
    assert gb.io.read_regions(peaks["A"]).n_obs == 2


@pytest.mark.parametrize("kind", [pd.DataFrame, PolarsFrame])
def test_merged_peaks(kind):
    """The table of ``snap.tl.merge_peaks``: names in a column `Peaks`, one column of flags per group."""
    merged = pd.DataFrame({"Peaks": PEAKS, "B": [True, False, True], "A": [True, True, False]})
    assert list(gb.io.read_regions(kind(merged)).obs_names) == PEAKS
    mdata = gb.io.assemble(accessibility=merged.set_index("Peaks").astype(float))
    assert list(mdata.obs_names) == PEAKS
    assert mdata[ATAC].to_df()["A"].tolist() == [1, 1, 0]


def test_the_tool_itself(tmp_path):
    """Ran with SnapATAC2 2.9.0 beside anndata 0.12; it is not installed here since MACS3 must be compiled for it."""
    snap = pytest.importorskip("snapatac2", reason="SnapATAC2 is not installed: it builds MACS3 from source")
    rng = np.random.default_rng(0)
    rows = sorted(
        ("chr1", int(s) * 500, int(s) * 500 + 100, f"cell{c}") for c in range(6) for s in rng.integers(0, 40, 40)
    )
    with gzip.open(tmp_path / "fragments.tsv.gz", "wt") as file:
        file.writelines("\t".join(map(str, (*row, 1))) + "\n" for row in rows)
    data = snap.pp.import_fragments(
        tmp_path / "fragments.tsv.gz", chrom_sizes={"chr1": 50_000}, file=tmp_path / "fragments.h5ad",
        sorted_by_barcode=False, min_num_fragments=1, n_jobs=1,
    )  # fmt: skip
    data.obs["cell_type"] = ["A", "A", "A", "B", "B", "B"]
    peaks = [f"chr1:{start}-{start + 200}" for start in range(0, 10_000, 500)]
    atac = snap.pp.make_peak_matrix(data, use_rep=peaks, file=tmp_path / "peaks.h5ad")
    with pytest.raises(TypeError, match=r"give adata\.to_memory\(\)"):
        gb.io.from_anndata(atac, groupby="cell_type")
    mdata = gb.io.from_anndata(atac.to_memory(), groupby="cell_type")
    atac.close()
    data.close()
    assert list(mdata.obs_names) == peaks
    backed = ad.read_h5ad(tmp_path / "peaks.h5ad", backed="r")
    try:
        import hdf5plugin  # noqa: F401  (its files are compressed with zstd)
    except ImportError:
        with pytest.raises(OSError, match="pip install hdf5plugin"):
            gb.io.from_anndata(backed, groupby="cell_type")
        pytest.skip("hdf5plugin is not installed")
    again = gb.io.from_anndata(backed, groupby="cell_type")
    assert (COUNTS.get(again) != COUNTS.get(mdata)).nnz == 0
    assert COUNTS.get(mdata).sum() > 0

    polars = pytest.importorskip("polars")
    frames = {name: polars.from_pandas(macs3_frame(rows)) for name, rows in MACS3.items()}
    frames = {name: frame.with_columns(polars.col("strand").cast(polars.String)) for name, frame in frames.items()}
    merged = snap.tl.merge_peaks(frames, {"chr1": 50_000}, half_width=250)
    ours = gb.io.consensus_regions(frames, width=501, score_per_million=False)
    assert list(ours.obs_names) == merged["Peaks"].to_list()
    for name in frames:
        assert ours[ATAC].to_df()[name].tolist() == merged[name].to_list()
