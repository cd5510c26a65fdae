"""Tracks: predictions as bedGraph and bigWig."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert._chunks import row_chunks
from genebert.tl import _tracks
from genebert.tl._tracks import plan_track


@pytest.fixture
def tiles():
    table = pd.DataFrame({"chrom": ["chr2", "chr1", "chr1"], "start": [0, 50, 0], "end": [40, 90, 50]})
    return gb.io.read_regions(table)


VALUES = np.array([0.25, np.nan, 0.5], dtype=np.float32)


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "genome.fa").write_text(f">chr1\n{'ACGT' * 25}\n>chr2\n{'ACGT' * 50}\n")
    return gb.Genome(tmp_path / "genome.fa")


@pytest.mark.parametrize("name", ["found.bedgraph", "found.BG", "found.bed"])
def test_bedgraph_is_sorted(tiles, tmp_path, name):
    plan_track(tiles, tmp_path / name, genome=None)(VALUES)
    assert (
        tmp_path / name
    ).read_text() == "chr1\t0\t50\t0.5\nchr2\t0\t40\t0.25\n"  # what could not be predicted is left out
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("has_genome", [False, True])
def test_bigwig(tiles, tmp_path, genome, has_genome):
    library = pytest.importorskip("pyBigWig")
    plan_track(tiles, tmp_path / "found.bw", genome=genome if has_genome else None)(VALUES)
    with library.open(str(tmp_path / "found.bw")) as file:
        assert file.chroms() == ({"chr1": 100, "chr2": 200} if has_genome else {"chr1": 90, "chr2": 40})
        assert file.intervals("chr1") == ((0, 50, 0.5),)  # what could not be predicted is left out
        assert file.intervals("chr2") == ((0, 40, 0.25),)


def test_a_bigwig_is_written_part_by_part(tiles, tmp_path, monkeypatch):
    """With a stand-in for the library, which not every machine has."""
    calls = []

    class File:
        def __enter__(self):
            return self

        def __exit__(self, *exc):
            (tmp_path / "found.bw").touch()

        def addHeader(self, lengths):
            calls.append(lengths)

        def addEntries(self, chroms, starts, *, ends, values):
            calls.append((chroms, starts, ends, values))

    def opened(path, mode):
        Path(path).touch()
        return File()

    monkeypatch.setitem(sys.modules, "pyBigWig", SimpleNamespace(open=opened))
    monkeypatch.setattr(_tracks, "row_chunks", lambda n_rows: row_chunks(n_rows, step=1))
    plan_track(tiles, tmp_path / "found.bw", genome=None)(np.array([0.25, 1, 0.5], dtype=np.float32))
    assert calls == [
        [("chr1", 90), ("chr2", 40)],
        (["chr1"], [0], [50], [0.5]), (["chr1"], [50], [90], [1.0]), (["chr2"], [0], [40], [0.25]),
    ]  # fmt: skip


def test_what_cannot_be_written_is_refused_first(tiles, tmp_path, genome, monkeypatch):
    with pytest.raises(ValueError, match=r"Expected `track` to end in .*; found 'found.txt'"):
        plan_track(tiles, tmp_path / "found.txt", genome=None)
    with pytest.raises(KeyError):
        plan_track(gb.io.assemble(sequences=["ACGT", "GGGG"]), tmp_path / "found.bedgraph", genome=None)
    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    with pytest.raises(ImportError, match=r"genebert\[io\]"):
        plan_track(tiles, tmp_path / "found.bw", genome=None)
    monkeypatch.setitem(sys.modules, "pyBigWig", object())
    overlapping = gb.io.read_regions(pd.DataFrame({"chrom": "chr1", "start": [0, 5], "end": [9, 14]}))
    for name in ("found.bw", "found.bedgraph"):
        with pytest.raises(ValueError, match=r"found 1 that do, such as chr1:5-14"):
            plan_track(overlapping, tmp_path / name, genome=None)
    beyond = gb.io.read_regions(pd.DataFrame({"chrom": ["chr1"], "start": [90], "end": [120]}))
    with pytest.raises(ValueError, match=r"beyond it on chr1 \(120\)"):
        plan_track(beyond, tmp_path / "found.bigWig", genome=genome)
