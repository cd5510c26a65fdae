"""read_regions: BED, narrowPeak, DataFrames."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert._keys import CHROM, END, SEQ, START

NARROWPEAK = "chr1\t1000\t2000\tp1\t10\t.\t5\t4\t3\t{summit}\n"


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "peaks.bed"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["peaks.bed", "peaks.bed.gz"])
@pytest.mark.parametrize(
    "header", ["", "chrom\tstart\tend\n", "#c\ntrack name=x\nbrowser y\n\n", "# c\nchr start end\n"]
)
def test_bed(file, name, header):
    mdata = gb.io.read_regions(file(header + "chr2\t5\t9\tp1\r\nchr1\t0\t4\n", name))
    assert list(mdata.mod) == [SEQ]
    assert list(mdata.obs_names) == ["chr2:5-9", "chr1:0-4"]
    assert mdata[SEQ].n_vars == 0
    assert isinstance(CHROM.get(mdata).dtype, pd.CategoricalDtype)
    assert (START.get(mdata).dtype, END.get(mdata).dtype) == (np.int64, np.int64)


def test_spaces_separate_where_there_is_no_tab(file):
    assert list(gb.io.read_regions(file("chr1 5 9\n")).obs_names) == ["chr1:5-9"]


def test_windows_around_summit_or_centre(file, log):
    text = NARROWPEAK.format(summit=100) + "chr1\t3000\t3100\tp2\t1\t.\t1\t1\t1\t-1\nchr1\t10\t20\n"
    mdata = gb.io.read_regions(file(text), width=200)
    assert list(mdata.obs_names) == ["chr1:1000-1200", "chr1:2950-3150", "chr1:0-200"]
    assert "1 windows shifted" in log.text


def test_several_summits_of_a_peak(file):
    path = file(NARROWPEAK.format(summit=100) + NARROWPEAK.format(summit=700))
    with pytest.raises(ValueError, match="1 occur more often: chr1:1000-2000"):
        gb.io.read_regions(path)
    assert gb.io.read_regions(path, duplicates="drop").n_obs == 1
    assert gb.io.read_regions(path, width=200).n_obs == 2


def test_dataframe_is_left_as_it_was():
    frame = pd.DataFrame({"chromosome": ["1", "X"], START.key: [5, 6], END.key: [9, 10], "score": 1})
    before = frame.copy()
    assert list(gb.io.read_regions(frame, width=2).obs_names) == ["1:6-8", "X:7-9"]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one region; found none"),
        ("chrom\tstart\tend\n", "at least one region; found none"),
        ("chr1\t5\t9\nchr1\t5\n", "line 2 of .* is 'chr1.t5'"),
        ("chr1\t5\tx\n", "line 1 of"),
        ("chr1\t5\t9\nchrom\tstart\tend\n", "line 2 of"),
        ("chr1\t-5\t9\nchr1\t1\t2\n", "line 1 of|line 2 of"),
        ("chr1\t5\t5\n", "0 <= start < end"),
        ("chr1\t5\t9\nchr1\t5\t9\n", "each region once"),
    ],
)
def test_bad_files(file, text, message):
    with pytest.raises(ValueError, match=message):
        gb.io.read_regions(file(text))


def test_bad_options(file, tmp_path):
    with pytest.raises(ValueError, match="`width` to be an integer"):
        gb.io.read_regions(file("chr1\t5\t9\n"), width=0)
    with pytest.raises(ValueError, match="`duplicates` to be one of 'error', 'drop'"):
        gb.io.read_regions(file("chr1\t5\t9\n"), duplicates="keep")
    with pytest.raises(FileNotFoundError, match="Expected a file"):
        gb.io.read_regions(tmp_path / "none.bed")


def test_repeated_regions_name_the_remedy(file):
    with pytest.raises(
        ValueError, match=r'1 occur more often: chr1:5-9\. Keep the first of each with duplicates="drop"'
    ):
        gb.io.read_regions(file("chr1\t5\t9\nchr1\t5\t9\nchr1\t5\t9\n"))


@pytest.mark.parametrize("line", ["chr1:100-200", "chr1,100,200", "chr1_100_200", "1;100;200", "abs_summit\t-log10(p)"])
@pytest.mark.parametrize("rest", ["chr1\t5\t9\n", "chr1 5 9\n"])
def test_a_first_line_that_is_skipped_is_told(file, log, line, rest):
    assert gb.io.read_regions(file(f"{line}\n{rest}")).n_obs == 1
    assert log.messages == [f"peaks.bed: line taken for a header and skipped: {line!r}"]


@pytest.mark.parametrize("line", ["chr1:100-200", "chr1,100,200", "chr1_100_200", "1;100;200"])
def test_a_line_that_is_not_understood_is_no_header_of_an_empty_file(file, line):
    with pytest.raises(ValueError, match=f"with tabs between, in each line of a BED file; line 2 of .* is '{line}'"):
        gb.io.read_regions(file(f"# comment\n{line}\n"))
