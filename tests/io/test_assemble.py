"""assemble: tables of regions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert._dna import decode
from genebert._keys import (
    ACCESSIBILITY,
    ATAC,
    CHROM,
    COUNTS,
    DNA_CODE,
    END,
    FAMILY,
    LABEL,
    LABEL_CELL_TYPE,
    LABEL_TASK,
    LABEL_TF,
    LABELS,
    MOTIF_ID,
    OPEN,
    SEQ,
    START,
    TF,
    TF_SCORE,
    WIDTH,
)

IDS = ["r1", "r2", "r3"]
NAMES = ["chr2:5-9", "chr1:0-4", "chr1:4-8"]


@pytest.fixture
def regions():
    return pd.DataFrame({CHROM.key: ["chr2", "chr1", "chr1"], START.key: [5, 0, 4], END.key: [9, 4, 8]}, index=IDS)


def test_all_modalities(regions):
    mdata = gb.io.assemble(
        regions=regions,
        sequences=pd.Series(["ACGT", "AC", "GGGG"], index=IDS),
        tf=pd.DataFrame({"SPI1": [1.5, -2, 0]}, index=IDS),
        accessibility=pd.DataFrame({"B": [1, 0, -9], "T": [0, 0, 1]}, index=IDS),
        labels=pd.DataFrame({"CTCF|K562": [1, -1, 0], "promoter": [0, 1, np.nan]}, index=IDS),
        missing_values=(-1, -9),
    )
    assert list(mdata.mod) == [SEQ, TF, ATAC, LABEL]
    assert list(mdata.obs_names) == NAMES
    assert [decode(row) for row in DNA_CODE.get(mdata)] == ["ACGT", "NACN", "GGGG"]
    assert WIDTH.get(mdata).tolist() == [4, 4, 4]
    assert TF_SCORE.get(mdata).ravel().tolist() == [1.5, -2, 0]
    assert MOTIF_ID.get(mdata).tolist() == ["SPI1"]
    assert FAMILY.get(mdata).tolist() == [""]
    np.testing.assert_array_equal(ACCESSIBILITY.get(mdata), [[1, 0], [0, 0], [np.nan, 1]])
    assert OPEN.get(mdata).toarray().tolist() == [[1, 0], [0, 0], [0, 1]]
    np.testing.assert_array_equal(LABELS.get(mdata), [[1, 0], [np.nan, 1], [0, np.nan]])
    assert LABEL_TASK.get(mdata).tolist() == ["tf_binding", "promoter"]
    assert LABEL_TF.get(mdata).tolist() == ["CTCF", ""]
    assert LABEL_CELL_TYPE.get(mdata).tolist() == ["K562", ""]


def test_tables_are_aligned_by_index(regions):
    table = pd.DataFrame({"B": [1, 2, 3]}, index=["r3", "r1", "r2"])
    mdata = gb.io.assemble(regions=regions, accessibility=table)
    assert COUNTS.get(mdata).toarray().ravel().tolist() == [2, 3, 1]
    by_new_name = gb.io.assemble(regions=regions, accessibility=table.set_axis([NAMES[2], *NAMES[:2]]))
    assert COUNTS.get(by_new_name).toarray().ravel().tolist() == [2, 3, 1]


def test_numbered_rows():
    regions = pd.DataFrame({CHROM.key: ["1", "2"], START.key: [0, 1], END.key: [2, 3]})
    mdata = gb.io.assemble(regions=regions, accessibility=pd.DataFrame({"B": [0.5, 1.5]}), sequences=["AC", "GT"])
    assert ACCESSIBILITY.get(mdata).ravel().tolist() == [0.5, 1.5]
    assert not COUNTS.has(mdata)
    assert not OPEN.has(mdata)


def test_without_regions_the_index_says_where(regions):
    mdata = gb.io.assemble(accessibility=pd.DataFrame({"B": [1, 0]}, index=["chr1-0-4", "chr1-4-8"]))
    assert list(mdata.obs_names) == ["chr1:0-4", "chr1:4-8"]
    bare = gb.io.assemble(sequences=["ACGT", "AC"], labels=pd.DataFrame({"x": [1, 0]}, index=["seq1", "seq0"]))
    assert not START.has(bare)
    assert [decode(row) for row in DNA_CODE.get(bare)] == ["ACGT", "ACNN"]
    assert LABELS.get(bare).ravel().tolist() == [0, 1]


def test_inputs_are_unchanged(regions):
    table = pd.DataFrame({"B": [1, 0, -9]}, index=IDS)
    before = table.copy(), regions.copy()
    gb.io.assemble(regions=regions, accessibility=table, missing_values=[-9])
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(regions, before[1])


def frame(values, index=IDS, columns=("B",)):
    return pd.DataFrame(values, index=index, columns=list(columns))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"accessibility": frame([1, 0], IDS[:2])}, r"1 are missing \(r3\), 0 are not among them"),
        ({"labels": frame([1, 0, 1], ["r1", "r2", "r4"])}, r"1 are missing \(r3\), 1 are not among them \(r4\)"),
        ({"labels": frame([1, 0, 1], ["r1", "r1", "r2"])}, "each region once"),
        ({"accessibility": frame([1, -1, 0])}, "not negative .*name codes in `missing_values`"),
        ({"accessibility": frame([1, np.inf, 0])}, "finite"),
        ({"accessibility": frame(["a", "b", "c"])}, "numbers in `accessibility`; found text"),
        ({"accessibility": frame(np.ones((3, 2)), columns=["B", "B"])}, "each cell type once; repeated: B"),
        ({"labels": frame(np.ones((3, 2)), columns=["x", "x"])}, "each label column once; repeated: x"),
        ({"labels": frame([1, np.inf, 0])}, "numbers or missing values in label column 'B'"),
        ({"tf": frame([1, np.nan, 0])}, "finite motif scores"),
        ({"sequences": ["ACGT"]}, "a sequence for each of 3 regions; found 1"),
    ],
)
def test_bad_tables(regions, tables, message):
    with pytest.raises(ValueError, match=message):
        gb.io.assemble(regions=regions, **tables)


@pytest.mark.parametrize("name", ["tf", "accessibility", "labels"])
def test_tables_that_are_no_tables(regions, name):
    with pytest.raises(ValueError, match=f"at least one column in `{name}`; found none. Leave"):
        gb.io.assemble(regions=regions, **{name: pd.DataFrame(index=IDS)})
    with pytest.raises(TypeError, match=rf"`{name}` to be a DataFrame; found a Series. Give it as \.to_frame"):
        gb.io.assemble(regions=regions, **{name: pd.Series([1, 0, 1], index=IDS)})
    with pytest.raises(TypeError, match=r"found a ndarray\. Give one row per region"):
        gb.io.assemble(regions=regions, **{name: np.ones((3, 1))})
    with pytest.raises(TypeError, match="`regions` to be a DataFrame; found a list"):
        gb.io.assemble(regions=NAMES)


def test_nothing_given():
    with pytest.raises(ValueError, match="at least one table"):
        gb.io.assemble()
    with pytest.raises(ValueError, match="at least one region or sequence"):
        gb.io.assemble(sequences=[])
