"""tile_genome: windows, ends, slices, N, blacklist."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert._keys import CHROM, END, SEQ, START, load_record
from genebert.io import _tile_genome


@pytest.fixture
def genome(tmp_path):
    def write(text: str) -> gb.Genome:
        path = tmp_path / "genome.fa"
        path.write_text(text)
        return gb.Genome(path)

    return write


def test_windows_touch_and_the_rest_is_left_out(genome, log):
    mdata = gb.io.tile_genome(genome(">chr2\n" + "A" * 25 + "\n>chr1\n" + "C" * 9 + "\n>chr3\n" + "g" * 10), width=10)
    assert list(mdata.mod) == [SEQ]
    assert list(mdata.obs_names) == ["chr2:0-10", "chr2:10-20", "chr3:0-10"]
    assert (START.get(mdata).dtype, END.get(mdata).dtype) == (np.int64, np.int64)
    assert isinstance(CHROM.get(mdata).dtype, pd.CategoricalDtype)
    assert "3 windows; left out: 0 with unknown bases, 0 in the blacklist" in log.text
    params = load_record(mdata, "tile_genome", START.modality, filled_by="gb.io.tile_genome")["params"]
    assert params == {"width": 10, "step": 10, "chromosomes": ["chr2", "chr1", "chr3"], "max_n": 0.1}


@pytest.mark.parametrize("step", [4, 10, 17])
def test_step(genome, step):
    mdata = gb.io.tile_genome(genome(">chr1\n" + "A" * 50), width=10, step=step)
    assert START.get(mdata).tolist() == list(range(0, 41, step))


def test_slices_give_the_windows_of_the_whole(genome):
    whole = "ACGT" * 50
    names = set(gb.io.tile_genome(genome(f">chr1\n{whole}\n"), width=10).obs_names)
    slices = gb.io.tile_genome(genome(f">chr1:14-53\n{whole[13:53]}\n>chr1:101-120\n{whole[100:120]}\n"), width=10)
    assert list(slices.obs_names) == [f"chr1:{start}-{start + 10}" for start in (20, 30, 40, 100, 110)]
    assert set(slices.obs_names) <= names


def test_chromosomes_in_any_style(genome):
    fasta = genome(">chr1\n" + "A" * 20 + "\n>chr2\n" + "A" * 20 + "\n>chrM\n" + "A" * 20)
    assert set(CHROM.get(gb.io.tile_genome(fasta, width=10, chromosomes=["2", "MT"]))) == {"chr2", "chrM"}
    with pytest.raises(ValueError, match=r"Expected chromosomes of genome.fa \(chr1, chr2, chrM\); found chr7"):
        gb.io.tile_genome(fasta, chromosomes=["chr7"])
    with pytest.raises(ValueError, match=r"`chromosomes` to be a list; found 'chr2'. Write \['chr2'\]"):
        gb.io.tile_genome(fasta, chromosomes="chr2")


@settings(max_examples=25, deadline=None)
@given(
    bases=st.text("ACGTNacgtn", min_size=12, max_size=120),
    width=st.integers(1, 12),
    step=st.integers(1, 9),
    max_n=st.sampled_from([0.0, 0.3, 1.0]),
    block=st.sampled_from([1, 10, 2**22]),
)
def test_unknown_bases_are_counted(tmp_path_factory, bases, width, step, max_n, block):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(">1\n" + bases)
    starts = range(0, len(bases) - width + 1, step)
    expected = [s for s in starts if bases[s : s + width].upper().count("N") <= max_n * width]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tile_genome, "BLOCK", block)
        if expected:
            found = gb.io.tile_genome(gb.Genome(path), width=width, step=step, max_n=max_n)
            assert START.get(found).tolist() == expected
        else:
            with pytest.raises(ValueError, match="at least one region; found none"):
                gb.io.tile_genome(gb.Genome(path), width=width, step=step, max_n=max_n)


def test_blacklist(genome, log):
    blacklist = pd.DataFrame({"chrom": ["1", "1"], "start": [9, 40], "end": [11, 45]})
    mdata = gb.io.tile_genome(genome(">chr1\n" + "A" * 60), width=10, blacklist=blacklist)
    assert START.get(mdata).tolist() == [20, 30, 50]
    assert "0 with unknown bases, 3 in the blacklist" in log.text


@pytest.mark.parametrize(
    ("options", "message"),
    [({"width": 0}, "`width`"), ({"step": 0}, "`step`"), ({"max_n": 1.1}, "`max_n`"), ({"width": 1.5}, "`width`")],
)
def test_bad_options(genome, options, message):
    with pytest.raises(ValueError, match=f"Expected {message} to be"):
        gb.io.tile_genome(genome(">chr1\nACGT\n"), **options)


def test_no_genome():
    with pytest.raises(TypeError, match=r"`genome` to be a gb.Genome; found str. Write gb.Genome\(path\)"):
        gb.io.tile_genome("hg38.fa")


def test_windows_longer_than_the_chromosomes(genome):
    fasta = genome(">chr1\n" + "A" * 40 + "\n>chr2\n" + "A" * 60)
    with pytest.raises(
        ValueError, match=r"as long as `width`, 100 bp; the longest of genome.fa \(chr1, chr2\) has 60 bp"
    ):
        gb.io.tile_genome(fasta, width=100)
