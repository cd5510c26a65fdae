"""Genome: what it returns, where it writes, what it refuses."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
from Bio import bgzf

import genebert as gb
from genebert._dna import N, decode, encode
from genebert._genome import check_genome

LINE = 60


def write_fasta(path: Path, records: dict[str, str], *, newline: str = "\n") -> Path:
    text = "".join(
        f">{name} described{newline}" + newline.join(seq[i : i + LINE] for i in range(0, len(seq), LINE)) + newline
        for name, seq in records.items()
    )
    if path.suffix == ".gz":
        with bgzf.BgzfWriter(str(path), "wb") as handle:
            handle.write(text.encode())
    else:
        path.write_bytes(text.encode())
    return path


def random_dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGTacgtN"), size=length))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "genebert" / "indexes"


def test_fetch_equals_the_letters(tmp_path):
    sequence = random_dna(1000)
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"chr1": sequence, "chr2": "ACGT"}))
    for start, end in [(0, 1), (0, 1000), (59, 61), (60, 120), (990, 1000), (5, 5)]:
        assert np.array_equal(genome.fetch("chr1", start, end), encode(sequence[start:end]))
    assert genome.chromosomes == {"chr1": (0, 1000), "chr2": (0, 4)}
    assert genome.fetch("chr2", 0, 4).dtype == np.uint8


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lower_case_iupac_and_line_ends(tmp_path, newline):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"chr1": "acgtRYKMnN-" * 20}, newline=newline))
    assert decode(genome.fetch("chr1", 0, 11)) == "ACGTNNNNNNN"
    assert decode(genome.fetch("chr1", 110, 121)) == "ACGTNNNNNNN"


def test_positions_outside_are_n(tmp_path):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"chr1": "ACGTACGT"}))
    assert decode(genome.fetch("chr1", -2, 3)) == "NNACG"
    assert decode(genome.fetch("chr1", 6, 10)) == "GTNN"
    assert (genome.fetch("chr1", 100, 110) == N).all()
    assert genome.interval("chr1", -2, 3) == (0, 8)
    assert genome.interval("chr1", 8, 10) is None
    assert genome.interval("chr7", 8, 10) is None


def test_slices_answer_for_their_coordinates(tmp_path):
    records = {"chr2:11-18": "ACGTACGT", "chr2:19-22": "GGGG", "chr2:101-104": "TTTT", "chr3": "AC"}
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", records))
    assert genome.intervals == {"chr2": [(10, 22), (100, 104)], "chr3": [(0, 2)]}
    assert genome.chromosomes["chr2"] == (10, 104)
    assert decode(genome.fetch("chr2", 8, 12)) == "NNAC"
    assert decode(genome.fetch("chr2", 16, 20)) == "GTGG"  # over the seam of two slices
    assert genome.interval("chr2", 15, 25) == (10, 22)
    assert genome.interval("chr2", 95, 102) == (100, 104)


def test_a_name_that_is_no_slice_is_a_chromosome(tmp_path):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"HLA:1-2": "ACGTACGT", "chr2:5-90": "ACGT"}))
    assert genome.intervals == {"HLA:1-2": [(0, 8)], "chr2": [(4, 8)]}


@pytest.mark.parametrize(
    ("names", "queries"),
    [
        (["chr1", "chrX", "chrM"], ["1", "X", "MT"]),
        (["1", "X", "MT"], ["chr1", "chrX", "chrM"]),
        (["NC_000001.11", "NC_000023.11", "NC_012920.1"], ["chr1", "X", "chrM"]),
        (["1", "X", "MT"], ["NC_000067.7", "NC_000086.8", "NC_005089.1"]),
        (["chr1_KI270706v1_random", "chrUn_GL000220v1"], ["KI270706.1", "GL000220.1"]),
    ],
)
def test_styles_are_mapped(tmp_path, names, queries):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", dict.fromkeys(names, "ACGT")))
    assert genome.match(queries) == dict(zip(queries, names, strict=True))
    assert decode(genome.fetch(queries[0], 1, 3)) == "CG"
    assert genome.match([*names, "chr99"]) == {**{name: name for name in names}, "chr99": None}


def test_style_report(tmp_path, log):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"1": "ACGT", "2": "ACGT"}))
    genome.match(["1"])
    assert not log.messages
    genome.match(["chr1", "chr2", "chr3"])
    assert log.messages == ["chromosome style: regions UCSC, genome Ensembl; 2 chromosomes mapped"]


def test_two_assemblies_do_not_match(tmp_path):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"NC_000001.11": "ACGT"}))
    assert genome.match(["NC_000001.10"]) == {"NC_000001.10": None}


def test_unknown_chromosome_names_what_is_there(tmp_path):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"}))
    with pytest.raises(KeyError, match=r"Expected a chromosome of a\.fa \(chr1\); found 'chr9'"):
        genome.fetch("chr9", 0, 2)
    with pytest.raises(ValueError, match="not before"):
        genome.fetch("chr1", 3, 2)


def test_bgzip_equals_plain(tmp_path):
    records = {"chr1": random_dna(150_000), "chr2": random_dna(70_000, 1)}
    plain = gb.Genome(write_fasta(tmp_path / "a.fa", records))
    packed = gb.Genome(write_fasta(tmp_path / "a.fa.gz", records))
    rng = np.random.default_rng(1)
    # Blocks of 64 KiB end within these: the first base behind a block is where readers go wrong.
    starts = np.r_[rng.integers(-50, 150_000, 200), np.arange(64_350, 64_550)]
    for start in map(int, starts):
        assert np.array_equal(plain.fetch("chr1", start, start + 100), packed.fetch("chr1", start, start + 100))
    assert np.array_equal(plain.fetch("chr2", 0, 70_000), packed.fetch("chr2", 0, 70_000))


def test_codes_keeps_the_order_of_the_regions(tmp_path):
    genome = gb.Genome(write_fasta(tmp_path / "a.fa", {"chr1": random_dna(300), "chr2": random_dna(300, 1)}))
    chrom, start = ["chr2", "chr1", "chr2"], np.array([100, 5, 7])
    codes = genome.codes(chrom, start, start + 20)
    assert codes.shape == (3, 20)
    assert np.array_equal(codes, [genome.fetch(c, s, s + 20) for c, s in zip(chrom, start, strict=True)])
    assert genome.codes([], [], []).shape == (0, 0)
    with pytest.raises(ValueError, match="one width"):
        genome.codes(chrom, start, [110, 30, 20])


@pytest.mark.parametrize("suffix", ["fa", "fa.gz"])
def test_nothing_is_written_beside_the_file(tmp_path, cache, suffix):
    path = write_fasta(tmp_path / f"a.{suffix}", {"chr1": "ACGT"})
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert decode(gb.Genome(path).fetch("chr1", 0, 4)) == "ACGT"
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert len(list(cache.iterdir())) == (2 if suffix == "fa.gz" else 1)


def test_index_in_the_cache_is_used_again_until_the_file_changes(tmp_path, cache):
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"})
    assert gb.Genome(path).chromosomes == {"chr1": (0, 4)}
    (index,) = cache.iterdir()
    written = index.stat().st_mtime_ns
    assert gb.Genome(path).chromosomes == {"chr1": (0, 4)}
    assert index.stat().st_mtime_ns == written
    write_fasta(path, {"chr1": "ACGTACGT"})
    assert gb.Genome(path).chromosomes == {"chr1": (0, 8)}


def test_works_without_a_cache(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))  # a folder cannot be made below a file
    assert gb.Genome(write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"})).chromosomes == {"chr1": (0, 4)}


def test_an_index_beside_the_file_is_used_when_it_is_newer(tmp_path, cache):
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"})
    index = Path(f"{path}.fai")
    index.write_text("renamed\t4\t16\t4\t5\n")
    assert list(gb.Genome(path).intervals) == ["renamed"]
    os.utime(index, (1, 1))
    assert list(gb.Genome(path).intervals) == ["chr1"]
    assert index.read_text().startswith("renamed")


def test_an_index_that_does_not_fit_is_noticed(tmp_path):
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"})
    Path(f"{path}.fai").write_text("chr1\t400\t16\t60\t61\n")
    with pytest.raises(ValueError, match="out of date"):
        gb.Genome(path).fetch("chr1", 0, 100)


def _fetch(genome: gb.Genome) -> str:
    return decode(genome.fetch("chr1", 1, 3))


def test_pickle_close_and_fork(tmp_path):
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"})
    with gb.Genome(path) as genome:
        assert _fetch(genome) == "CG"
        assert _fetch(pickle.loads(pickle.dumps(genome))) == "CG"
        with multiprocessing.get_context("fork").Pool(1) as workers:
            assert workers.apply(_fetch, (genome,)) == "CG"
    assert _fetch(genome) == "CG"  # opens again
    genome.close()
    assert repr(genome) == f"Genome({str(path)!r})"


def plain_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b">chr1\nACGT\n"))


def cut_short(path: Path) -> None:
    write_fasta(path, {"chr1": random_dna(100_000)})
    path.write_bytes(path.read_bytes()[:-28])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fa.gz", plain_gzip, r"plain gzip.*Run: gunzip a\.fa\.gz && bgzip a\.fa"),
        ("a.fa.gz", cut_short, "cut short. Download"),
        ("a.fa", lambda path: path.write_text(""), "an empty file. Download"),
        ("a.fa", lambda path: path.write_text("<!DOCTYPE html><html>"), "an HTML page"),
        ("a.fa", lambda path: path.write_text("chr1\t1\t2\n"), "starts with b'chr1"),
        ("a.fa.gz", lambda path: path.write_text(">chr1\nACGT\n"), "plain text under the name.*Rename"),
    ],
)
def test_refuses_what_is_no_fasta(tmp_path, name, content, message):
    content(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        gb.Genome(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [">chr1\nACGT\n>chr1\nACGT\n", ">chr1\nACGT\nAC\nACGT\n", ">\nACGT\n"],
    ids=["repeated", "ragged", "unnamed"],
)
def test_refuses_records_that_cannot_be_indexed(tmp_path, text):
    (tmp_path / "a.fa").write_text(text)
    genome = gb.Genome(tmp_path / "a.fa")
    with pytest.raises(ValueError, match="Expected a FASTA whose records have different names"):
        genome.fetch("chr1", 0, 2)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected a FASTA file; found none"):
        gb.Genome(tmp_path / "none.fa")


def test_check_genome(tmp_path):
    check_genome(tmp_path / "genome.fa", or_path=True)
    with pytest.raises(TypeError, match=r"`genome` to be a gb\.Genome or the path of a FASTA file; found NoneType"):
        check_genome(None, or_path=True)
    with pytest.raises(TypeError, match=r"`genome` to be a gb.Genome; found str. Write gb.Genome\(path\)"):
        check_genome("genome.fa")
