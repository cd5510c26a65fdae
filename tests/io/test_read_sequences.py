"""read_sequences: FASTA and tables."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert._dna import decode
from genebert._keys import CHROM, DNA_CODE, GC, LABEL, LABEL_TASK, LABELS, SEQ, START, WIDTH

FASTA = ">a first\nACGT\nacg\n>b\nGGNNR\n"
TABLE = "name\tsequence\tlabel\tother\nx\tACGT\t0\t5\ny\tGGCCA\t2\t-1\n"


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "sequences.txt"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["a.fa", "a.fa.gz"])
def test_fasta(file, name):
    mdata = gb.io.read_sequences(file(FASTA, name))
    assert list(mdata.mod) == [SEQ]
    assert list(mdata.obs_names) == ["a", "b"]
    assert [decode(row) for row in DNA_CODE.get(mdata)] == ["ACGTACG", "GGNNNNN"]
    assert DNA_CODE.get(mdata).dtype == np.uint8
    assert WIDTH.get(mdata).tolist() == [7, 5]
    assert WIDTH.get(mdata).dtype == np.int32
    np.testing.assert_allclose(GC.get(mdata), [4 / 7, 1], rtol=1e-6)
    assert not CHROM.has(mdata)


def test_blank_lines_around_records(file):
    mdata = gb.io.read_sequences(file("\n  \n" + FASTA.replace("\nacg\n", "\n\nacg\n\n") + "\n"))
    assert [decode(row) for row in DNA_CODE.get(mdata)] == ["ACGTACG", "GGNNNNN"]


@pytest.mark.parametrize(("text", "name"), [(TABLE, "a.tsv"), (TABLE, "a.tsv.gz"), (TABLE.replace("\t", ","), "a.csv")])
def test_table(file, text, name):
    mdata = gb.io.read_sequences(file(text, name))
    assert list(mdata.mod) == [SEQ, LABEL]
    assert list(mdata.obs_names) == ["x", "y"]
    assert LABELS.get(mdata).tolist() == [[0], [2]]  # several classes stay one column
    assert LABELS.get(mdata).dtype == np.float32
    assert LABEL_TASK.get(mdata).tolist() == ["label"]


def test_columns_are_chosen(file):
    options = {
        "sequence_column": "dna",
        "label_columns": ["label", "other"],
        "missing_values": [-1],
        "task": "promoter",
    }
    mdata = gb.io.read_sequences(file(TABLE.replace("sequence", "dna")), name_column="label", **options)
    assert list(mdata.obs_names) == ["0", "2"]
    np.testing.assert_array_equal(LABELS.get(mdata), [[0, 5], [2, np.nan]])
    assert LABEL_TASK.get(mdata).tolist() == ["promoter", "promoter"]


def test_rows_without_names_are_numbered(file):
    mdata = gb.io.read_sequences(file("sequence\nACGT\nGG\n"))
    assert list(mdata.obs_names) == ["seq0", "seq1"]
    assert LABEL not in mdata.mod


def test_coordinates_are_read_on_request_only(file):
    path = file(">chr1:10-14\nACGT\n>chr1-20-26\nACGTAC\n")
    assert list(gb.io.read_sequences(path).obs_names) == ["chr1:10-14", "chr1-20-26"]
    mdata = gb.io.read_sequences(path, coordinates=True)
    assert list(mdata.obs_names) == ["chr1:10-14", "chr1:20-26"]
    assert START.get(mdata).tolist() == [10, 20]
    assert decode(DNA_CODE.get(mdata)[0]) == "NACGTN"  # the window stays centred on the region
    table = file("chrom\tstart\tend\tsequence\nchr2\t5\t9\tACGT\n")
    assert list(gb.io.read_sequences(table, coordinates=True).obs_names) == ["chr2:5-9"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nACGT\n>a\nAC\n", "each region once; 1 occur more often: a"),
        (">a\nACGT\n>\nAC\n", "a name behind '>'; found none in line 3"),
        (">a\n>b\nACGT\n", "a sequence for each record; 1 are empty: a"),
        (">a\nNNNN\n", "Expected DNA sequences; no A, C, G or T"),
        ("sequence\tlabel\n", "at least one region or sequence"),
        ("dna\tlabel\nACGT\t1\n", "sequence missing. Found: dna, label"),
        ("sequence\tlabel\nACGT\tyes\n", "numbers or missing values in label column 'label'; found 'yes'"),
        ("sequence\tlabel\n\t1\nAC\t0\n", "1 are empty: seq0"),
    ],
)
def test_bad_files(file, text, message):
    with pytest.raises(ValueError, match=message):
        gb.io.read_sequences(file(text))


@pytest.mark.parametrize("letter", ["X", "Q", "!", "-", "é", " "])
def test_letters_that_are_no_base_are_refused(file, letter):
    text = f"sequence\nACGTUNRYSWKMBDHVacgtunryswkmbdhv\nAC{letter}T\n"
    with pytest.raises(
        ValueError, match=f"IUPAC codes of bases, which are read as N; found '{letter}' at position 3 of seq1"
    ):
        gb.io.read_sequences(file(text))


def test_all_n_records_are_counted(file):
    with pytest.warns(UserWarning, match="1 of 2 sequences hold no A, C, G or T"):
        mdata = gb.io.read_sequences(file(">a\nNNNN\n>b\nACGT\n"))
    assert np.isnan(GC.get(mdata).iloc[0])


def test_a_chromosome_is_not_a_sequence(file):
    with pytest.raises(ValueError, match="the longest has 1000001"):
        gb.io.read_sequences(file(">chr1\n" + "A" * 1_000_001 + "\n"))


RECORDS = ">007 first\nACGT\n>b\nGGCC\n>c\nTTTT\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name\tlabel\nc\t1\n007\t0\n", "labels.tsv"),
        ("record,label\nc,1\n007,0\n", "labels.csv"),  # the first column holds the names
        ("label\tname\n1\tc\n0\t007\n", "labels.tsv.gz"),
    ],
)
def test_labels_beside_a_fasta(file, text, name):
    mdata = gb.io.read_sequences(file(RECORDS), labels=file(text, name), task="promoter")
    assert list(mdata.obs_names) == ["007", "b", "c"]
    np.testing.assert_array_equal(LABELS.get(mdata), np.array([[0], [np.nan], [1]], dtype=np.float32))
    assert list(mdata[LABEL].var_names) == ["label"]
    assert list(LABEL_TASK.get(mdata)) == ["promoter"]


def test_labels_of_a_fasta_from_a_dataframe(file):
    table = pd.DataFrame({"A|x": [1, 0, -1], "B|x": [0, 1, 1], "note": 3}, index=["b", "c", "007"])
    options = {"label_columns": ["B|x", "A|x"], "missing_values": (-1,)}
    mdata = gb.io.read_sequences(file(RECORDS), labels=table, **options)
    assert list(mdata[LABEL].var_names) == ["B|x", "A|x"]
    np.testing.assert_array_equal(LABELS.get(mdata), np.array([[1, np.nan], [0, 1], [1, 0]], dtype=np.float32))
    assert gb.io.read_sequences(file(RECORDS), labels=table)[LABEL].n_vars == 3
    placed = file(">chr1:0-4\nACGT\n>chr1:8-12\nGGCC\n", "places.fa")
    table = pd.DataFrame({"label": [1, 0]}, index=["chr1:8-12", "chr1:0-4"])
    assert LABELS.get(gb.io.read_sequences(placed, labels=table, coordinates=True))[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("name\tlabel\nd\t1\nb\t0\n", {}, r"found 1 of 2 that are none: d. The records are called 007, b, c"),
        ("name\tlabel\nb\t1\nb\t0\n", {}, "repeated"),
        ("name\nb\n", {}, "Expected a column of labels beside the names"),
        ("name\tlabel\nb\tyes\n", {}, "Expected numbers or missing values"),
        ("name\tlabel\nb\t1\n", {"label_columns": ["site"]}, "site missing"),
        ("name\tlabel\nb\t1\n", {"name_column": "id"}, "id missing"),
    ],
)
def test_bad_labels_beside_a_fasta(file, text, options, message):
    with pytest.raises(ValueError, match=message):
        gb.io.read_sequences(file(RECORDS), labels=file(text, "labels.tsv"), **options)


def test_labels_of_another_kind(file):
    with pytest.raises(TypeError, match="found list"):
        gb.io.read_sequences(file(RECORDS), labels=[0, 1, 1])
    with pytest.raises(ValueError, match="Expected no `labels` beside a table"):
        gb.io.read_sequences(file(TABLE), labels=file(TABLE, "other.tsv"))
