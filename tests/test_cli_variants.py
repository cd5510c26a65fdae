"""genebert variant-effect: files that hold no variants."""

from typer.testing import CliRunner

import genebert as gb
from genebert.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_file_without_any_variant_is_refused(tmp_path):
    gb.datasets.toy_cohort(n_individuals=4, n_variants=12, folder=tmp_path)
    peaks, out = tmp_path / "peaks.bed", tmp_path / "y.tsv"
    command = ["variant-effect", peaks, "-g", tmp_path / "genome.fa", "--device", "cpu", "-o", out]
    peaks.write_text("chr1\t1000\t1200\nchr1\t1500\t1700\n")
    before = sorted(tmp_path.iterdir())
    result = run(*command)
    assert result.exit_code == 1
    message = "Expected a VCF or a table with chrom, pos, ref and alt; found no row that can be read among the 2 of"
    assert result.stderr.startswith(f"Error: {message}")
    assert str(peaks) in result.stderr
    assert sorted(tmp_path.iterdir()) == before
    assert gb.io.read_variants(peaks)["status"].tolist() == ["malformed"] * 2
    rows = (tmp_path / "variants.vcf").read_text().splitlines()
    peaks.write_text("chr1\t1000\t1200\n" + "\n".join("\t".join(row.split("\t")[:5]) for row in rows if row[0] != "#"))
    result = run(*command)
    assert (result.exit_code, "1 malformed" in result.output) == (0, True), result.output
