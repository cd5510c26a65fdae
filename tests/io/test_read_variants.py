"""Variants are read row by row, and no row is lost."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from Bio import bgzf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert import _keys, _variants
from genebert.io import _read_variants

BASES = np.array(list("ACGT"))


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(0)
    return {"chr1": "".join(rng.choice(BASES, 3000)), "chr2": "".join(rng.choice(BASES, 800))}


@pytest.fixture(scope="module")
def genome(sequences, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in sequences.items()))
    return gb.Genome(path)


@pytest.fixture
def write(tmp_path):
    def make(text, name="variants.vcf"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return make


def _other(base):
    return "ACGT"["ACGT".index(base) - 1]


def _snvs(sequences, positions, chrom="chr1"):
    return [(chrom, pos, sequences[chrom][pos - 1], _other(sequences[chrom][pos - 1])) for pos in positions]


def _lines(rows):
    return "".join(f"{chrom}\t{pos}\t.\t{ref}\t{alt}\n" for chrom, pos, ref, alt in rows)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("chr1\t10\trs1\tREF\tALT", _variants.OK),
        ("1\t10\trs1\tREF\tALT", _variants.OK),  # another style
        ("chr1\t10\trs1\tref\talt", _variants.OK),  # soft-masked
        ("chr1\t10\t.\tALT\tREF", _variants.SWAPPED),
        ("chr1\t10\t.\tALT\tOTHER", _variants.MISMATCH),
        ("chr1\t10\t.\tREF\t<DEL>", _variants.SYMBOLIC),
        ("chr1\t10\t.\tREF\t*", _variants.SYMBOLIC),
        ("chr1\t10\t.\tREF\tREF[chr2:5[", _variants.SYMBOLIC),
        ("chr1\t10\t.\tREF\t.", _variants.NO_CHANGE),
        ("chr1\t10\t.\tREF\tREF", _variants.NO_CHANGE),
        ("chr1\t10\t.\tREF\tN", _variants.NOT_ACGT),
        ("chr1\t10\t.\tREF\t-", _variants.NOT_ACGT),
        ("chr9\t10\t.\tREF\tALT", _variants.UNKNOWN_CHROM),
        ("chr1\t3001\t.\tREF\tALT", _variants.BEYOND),
        ("chr1\t0\t.\tREF\tALT", _variants.BEYOND),
        ("chr1\t-4\t.\tREF\tALT", _variants.MALFORMED),
        ("chr1\tten\t.\tREF\tALT", _variants.MALFORMED),
        ("chr1\t99999999999999999999999\t.\tREF\tALT", _variants.MALFORMED),
        ("chr1\t10\t.\tREF", _variants.MALFORMED),
        ("chr1", _variants.MALFORMED),
        ("\t\t\t\t", _variants.MALFORMED),
        (".\t10\t.\tREF\tALT", _variants.MALFORMED),
        ("chr1\t10\t.\t\tALT", _variants.MALFORMED),
    ],
)
def test_status(write, genome, sequences, line, status):
    ref = sequences["chr1"][9]
    alt, other = _other(ref), _other(_other(ref))
    for word, base in {"REF": ref, "ALT": alt, "OTHER": other, "ref": ref.lower(), "alt": alt.lower()}.items():
        line = line.replace(word, base)
    table = gb.io.read_variants(write(line + "\n"), genome=genome)
    assert table["status"].tolist() == [status]
    assert tuple(table.columns) == _keys.VARIANT_COLUMNS
    assert table["pos"].dtype == np.int64


def test_multi_allelic_and_duplicates(write):
    table = gb.io.read_variants(
        write("chr1\t10\trs1\tA\tC,G,<DEL>\nchr1\t10\trs2\tA\tG\nchr1\t10\t.\tA\tT\n1\t10\t.\tA\tT\n")
    )
    assert table["alt"].tolist() == ["C", "G", "<DEL>", "G", "T", "T"]
    assert table["status"].tolist() == [
        "multi-allelic", "multi-allelic", "symbolic allele", "duplicate", "ok", "duplicate"
    ]  # fmt: skip
    assert table["id"].tolist() == ["rs1", "rs1", "rs1", "rs2", "", ""]


def test_indels_are_checked_in_full(write, genome, sequences):
    text = sequences["chr1"]
    deletion = ("chr1", 101, text[100:104], text[100])
    insertion = ("chr1", 201, text[200], text[200] + "ACGTACGT")
    wrong = ("chr1", 301, text[300:303] + _other(text[303]), text[300] + "AAAAAAAAAAAA")
    past = ("chr2", 799, sequences["chr2"][798:] + "A", "C" * 9)
    table = gb.io.read_variants(write(_lines([deletion, insertion, wrong, past])), genome=genome)
    assert table["status"].tolist() == ["ok", "ok", "REF mismatch", "beyond the end"]


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
def test_vcf_plain_and_compressed_unsorted(tmp_path, genome, sequences, kind):
    rows = _snvs(sequences, [500, 20, 1000])
    text = "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=3000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    text += "".join(f"{line}\t.\tPASS\tX=1\n" for line in _lines(rows).splitlines())
    path = tmp_path / ("x.vcf" if kind == "plain" else "x.vcf.gz")
    if kind == "bgzip":
        with bgzf.BgzfWriter(str(path), "wb") as handle:
            handle.write(text.encode())
    else:
        (gzip.open if kind == "gzip" else open)(path, "wb").write(text.encode())
    table = gb.io.read_variants(path, genome=genome)
    assert table["pos"].tolist() == [500, 20, 1000]
    assert set(table["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "chrom\tpos\tref\talt\trsid\tphylop\nchr1\t5\tA\tC\trs7\t1.5\n"),
        ("a.tsv", "#CHROM\tPOS\tREF\tALT\tSNP\tphylop\nchr1\t5.0\tA\tC\trs7\t1.5\n"),
        ("a.csv", "rsid,chromosome,position,reference,alternate,phylop\nrs7,chr1,5,A,C,1.5\n"),
        ("a.txt", "chr pos ref alt id phylop\nchr1 5 A C rs7 1.5\n"),
    ],
)
def test_tables_keep_identifiers_and_columns(write, name, text):
    table = gb.io.read_variants(write(text, name))
    assert table.iloc[0].to_dict() == {
        "chrom": "chr1", "pos": 5, "ref": "A", "alt": "C", "id": "rs7", "status": "ok", "phylop": 1.5
    }  # fmt: skip


@pytest.mark.parametrize(
    "line", ["chr1\t5\tA\tC", "chr1\t5\tA\tC\trs7", "chr1\t5\trs7\tA\tC", "chr1\t5\trs7\tA\tC\t.\tPASS\t."]
)
def test_tables_without_a_header(write, line):
    row = gb.io.read_variants(write(line + "\n", "a.tsv")).iloc[0]
    assert (row["chrom"], row["pos"], row["ref"], row["alt"], row["status"]) == ("chr1", 5, "A", "C", "ok")
    assert row["id"] == ("rs7" if "rs7" in line else "")


def test_a_column_status_keeps_its_values_under_another_name(write):
    table = gb.io.read_variants(write("chrom\tpos\tref\talt\tstatus\nchr1\t5\tA\tC\tmine\n", "a.tsv"))
    assert table["status"].tolist() == ["ok"]
    assert table["status_5"].tolist() == ["mine"]


def test_chunks_change_nothing(write, sequences, monkeypatch):
    rows = _lines(_snvs(sequences, [*range(10, 60), *range(30, 50)]))
    vcf = write(rows + "chr1\t100\t.\tA\tC,G,T\n" + "chr1\n")
    table = write(
        "snp\tchrom\tpos\tref\talt\tscore\n"
        + "".join(f"{n}\t{line}\n" for n, line in enumerate(rows.replace(".\t", "").splitlines())),
        "a.tsv",
    )
    whole = [gb.io.read_variants(path) for path in (vcf, table)]
    for size in (1, 7):
        monkeypatch.setattr(_read_variants, "_CHUNK", size)
        for path, wanted in zip((vcf, table), whole, strict=True):
            pd.testing.assert_frame_equal(gb.io.read_variants(path), wanted)
    assert whole[0]["status"].tolist()[50:] == ["duplicate"] * 20 + ["multi-allelic"] * 3 + ["malformed"]
    assert whole[1]["id"].tolist() == list(map(str, range(70)))


def test_a_row_costs_little_memory(write, monkeypatch):
    """Columns, not a pair of dictionaries for each row; text is held by chunks."""
    path = write(
        "".join(f"chr{row % 22 + 1}\t{row + 1}\t.\t{'ACGT'[row % 4]}\t{'CGTA'[row % 4]}\n" for row in range(40_000))
    )
    gb.io.read_variants(path)
    monkeypatch.setattr(_read_variants, "_CHUNK", 2_000)
    tracemalloc.start()
    table = gb.io.read_variants(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) == 40_000
    assert peak / len(table) < 300  # bytes; 800 with dictionaries


def test_header_without_a_column_is_refused(write):
    with pytest.raises(ValueError, match=r"Expected a header with the columns .*alt missing"):
        gb.io.read_variants(write("chrom\tpos\tref\nchr1\t5\tA\n", "a.tsv"))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_files_are_refused(write, text):
    with pytest.raises(ValueError, match=r"Expected a VCF or a table of variants; .* is empty"):
        gb.io.read_variants(write(text))


def test_a_table_is_no_path(genome):
    with pytest.raises(TypeError, match=r"Expected `path` to be the path of a file; found DataFrame.*variant_effect"):
        gb.io.read_variants(pd.DataFrame({"chrom": ["chr1"]}), genome=genome)


@pytest.mark.parametrize(
    ("text", "name"),
    [("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n", "x.vcf"), ("chrom\tpos\tref\talt\n", "x.tsv")],
)
def test_headers_alone_are_empty_tables(write, genome, text, name):
    table = gb.io.read_variants(write(text, name), genome=genome)
    assert len(table) == 0
    assert tuple(table.columns) == _keys.VARIANT_COLUMNS


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "x.vcf.gz"
    path.write_bytes(gzip.compress(b"chr1\t5\t.\tA\tC\n" * 5000)[:-20])
    with pytest.raises(ValueError, match="can be read to its end"):
        gb.io.read_variants(path)
    path = tmp_path / "x.bcf"
    path.write_bytes(gzip.compress(b"BCF\x02\x02" + b"\x00" * 50))
    with pytest.raises(ValueError, match="bcftools view"):
        gb.io.read_variants(path)
    with pytest.raises(FileNotFoundError):
        gb.io.read_variants(tmp_path / "absent.vcf")


def test_another_assembly_is_refused(write, genome):
    rng = np.random.default_rng(1)
    refs = rng.choice(BASES, 200)
    rows = [("chr1", int(pos), ref, _other(ref)) for pos, ref in zip(rng.integers(1, 3000, 200), refs, strict=True)]
    header = "##fileformat=VCFv4.2\n##reference=GRCh37\n##contig=<ID=chr1,length=249250621>\n"
    path = write(header + _lines(rows))
    with pytest.raises(ValueError, match=r"another assembly.*names GRCh37; its header gives chr1 249,250,621 bp"):
        gb.io.read_variants(path, genome=genome)
    table = gb.io.read_variants(path, genome=genome, mismatch="mark")
    assert (table["status"] == "REF mismatch").mean() > 0.3


def test_rows_that_cannot_be_compared_do_not_hide_another_assembly(write, genome):
    rng = np.random.default_rng(2)
    refs = rng.choice(BASES, 60)
    rows = [("chr1", int(pos), ref, _other(ref)) for pos, ref in zip(rng.integers(1, 3000, 60), refs, strict=True)]
    rows += [("chr1", pos, "A", "<DEL>") for pos in range(1, 500)] + [("chr9", pos, "A", "C") for pos in range(1, 500)]
    with pytest.raises(ValueError, match=r"in \d+ of (59|60) rows that can be compared they do not.*another assembly"):
        gb.io.read_variants(write(_lines(rows)), genome=genome)
    few = [*rows[:8], *rows[60:]]  # too few to tell
    assert len(gb.io.read_variants(write(_lines(few)), genome=genome)) == len(few)


def test_positions_from_0_are_guessed(write, genome, sequences):
    rows = [(chrom, pos - 1, ref, alt) for chrom, pos, ref, alt in _snvs(sequences, range(100, 1100, 10))]
    with pytest.raises(ValueError, match="probably 0-based"):
        gb.io.read_variants(write(_lines(rows)), genome=genome)


def test_swapped_alleles_throughout_are_no_other_assembly(write, genome, sequences):
    rows = [(chrom, pos, alt, ref) for chrom, pos, ref, alt in _snvs(sequences, range(100, 1100, 10))]
    assert set(gb.io.read_variants(write(_lines(rows)), genome=genome)["status"]) == {"alleles swapped"}


def _broken(rng, sequences):
    """A row with something wrong, of which there is no telling what."""
    pos = int(rng.integers(1, 3000))
    ref = sequences["chr1"][pos - 1]
    alt = _other(ref)
    letters = [*"ACGTN.<>[]*#;:=-+|~ é☃\x00\x07\ufeff\u2028", "chr1", "5", "rs1"]
    noise = "".join(rng.choice(letters, rng.integers(0, 8)))
    rows = [
        f"chr1\t{pos}\t.\t{_other(alt)}\t{noise or 'A'}",
        f"chr1\t{pos}\t.\t{ref}\t<{noise}>",
        f"chr1\t{pos}\t.\t{ref}\t{noise}",
        f"chr1\t{noise}\t.\t{ref}\t{alt}",
        f"x{noise}\t{pos}\t.\t{ref}\t{alt}",
        f"chr1\t{pos + 10 ** int(rng.integers(4, 25))}\t.\t{ref}\t{alt}",
        f"chr1\t{pos}",
        f"chr1\t{pos}\t.\t{ref}\t{alt}\t\t\t\t\t" + noise,
        f"chr1 {noise}",
        f"chr1\t{-pos}\t{noise}\t{ref}\t{alt}",
        f"chr1\t{pos}\t.\t{noise}\t{alt}",
        f"chr1\t2999\t.\t{ref}{'ACGT' * 20}\t{alt}",
    ]
    return rows[rng.integers(len(rows))]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_thousand_broken_rows_yield_a_thousand_statuses(seed, tmp_path, genome, sequences):
    rng = np.random.default_rng(seed)
    path = tmp_path / "broken.vcf"
    path.write_text("".join(_broken(rng, sequences) + "\n" for _ in range(1000)), encoding="utf-8")
    for options in ({}, {"genome": genome}):
        table = gb.io.read_variants(path, **options)
        assert len(table) == 1000
        assert set(table["status"]) <= set(_variants.STATUSES)
    assert (table["status"] != "ok").mean() > 0.5


@given(text=st.text(max_size=300))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_named_vcf_is_read(text, tmp_path, genome):
    path = tmp_path / "any.vcf"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    if not text.strip(" \r\n\ufeff"):
        with pytest.raises(ValueError, match="is empty"):
            gb.io.read_variants(path, genome=genome)
        return
    table = gb.io.read_variants(path, genome=genome)
    assert set(table["status"]) <= set(_variants.STATUSES)
