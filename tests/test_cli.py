"""The command line writes what the API gives, and says in one line what is wrong."""

from __future__ import annotations

import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import genebert as gb
from genebert import _keys
from genebert.cli import app
from genebert.nn import GeneBERTConfig


@pytest.fixture
def run():
    """Run a command; the streams apart."""

    def call(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def motif_file(tmp_path):
    path = tmp_path / "motifs.jaspar"
    path.write_text(
        ">M1 GATA1\nA [0 9 0 9]\nC [0 0 0 0]\nG [9 0 0 0]\nT [0 0 9 0]\n>M2 CTCF\nA [0 0 0 9]\nC [9 9 0 0]\nG [0 0 9 0]\nT [0 0 0 0]\n"
    )
    return path


@pytest.fixture
def toy_file(toy, tmp_path):
    gb.io.write(toy, tmp_path / "toy.h5mu")
    return tmp_path / "toy.h5mu"


@pytest.fixture
def genome_file(tmp_path):
    bases = np.random.default_rng(0).choice(list("ACGT"), 5000)
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{''.join(bases)}\n")
    return path


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["--help"],
        ["demo", "--help"],
        ["scan", "-h"],
        ["embed", "-h"],
        ["pretrain", "-h"],
        ["classify", "-h"],
        ["variant-effect", "-h"],
    ],
)
def test_help_needs_nothing(run, command):
    result = run(*command)
    assert "Usage" in result.output
    assert result.exit_code in {0, 2} if not command else result.exit_code == 0
    if len(command) == 2:
        assert "genebert " + command[0] in result.output


def test_help_is_light():
    code = (
        "import sys; sys.argv = ['genebert', '--help']\n"
        "from genebert.cli import app\n"
        "try: app()\n"
        "except SystemExit: print('loaded', *({'torch', 'scvi', 'scanpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1].strip() == "loaded"


def test_version(run):
    assert run("--version").output.strip() == gb.__version__
    printed = subprocess.check_output([sys.executable, "-m", "genebert", "--version"], text=True)
    assert printed.strip() == gb.__version__


def test_scan_bed(run, tmp_path, genome_file, motif_file):
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr1\t1000\t1200\nchr1\t2000\t2200\nchr1\t3000\t3200\n")
    out = tmp_path / "out.h5mu"
    result = run("scan", bed, "--genome", genome_file, "--motifs", motif_file, "--seq-length", 128, "-o", out)
    assert result.exit_code == 0, result.output
    assert f"Wrote {out}: 3 regions" in result.output
    mdata = gb.io.read(out)
    assert _keys.DNA_CODE.get(mdata).shape == (3, 128)
    assert list(mdata[_keys.TF].var_names) == ["GATA1", "CTCF"]


def test_scan_fasta_and_table(run, tmp_path, motif_file):
    fasta = tmp_path / "promoters.fa"
    fasta.write_text(">one\n" + "ACGATAACGTCCGA" * 4 + "\n>two\n" + "TTGCACCGTACGTA" * 4 + "\n")
    result = run("scan", fasta, "--motifs", motif_file, "-o", tmp_path / "out.zarr")
    assert result.exit_code == 0, result.output
    assert list(gb.io.read(tmp_path / "out.zarr").obs_names) == ["one", "two"]
    table = tmp_path / "promoters.tsv"
    table.write_text(
        "name\tsequence\tlabel\none\t" + "ACGATAACGTCCGA" * 4 + "\t1\ntwo\t" + "TTGCACCGTACGTA" * 4 + "\t0\n"
    )
    result = run("scan", table, "--motifs", motif_file, "-o", tmp_path / "table.h5mu")
    assert result.exit_code == 0, result.output
    mdata = gb.io.read(tmp_path / "table.h5mu")
    assert _keys.LABELS.get(mdata)[:, 0].tolist() == [1, 0]
    assert list(mdata[_keys.TF].var_names) == ["GATA1", "CTCF"]


def test_scan_cells(run, tmp_path, genome_file, motif_file):
    cells = pd.DataFrame({"kind": ["B", "B", "T"], "donor": ["x", "y", "x"]}, index=["c1", "c2", "c3"])
    peaks = pd.DataFrame(index=["chr1:1000-1200", "chr1-3000-3200"])
    counts = np.array([[1, 0], [2, 1], [0, 4]], dtype=np.float32)
    ad.AnnData(counts, obs=cells, var=peaks).write_h5ad(tmp_path / "atac.h5ad")
    options = ["--groupby", "kind", "--replicate", "donor", "-g", genome_file, "-m", motif_file]
    result = run("scan", tmp_path / "atac.h5ad", *options, "-o", tmp_path / "out.h5mu")
    assert result.exit_code == 0, result.output
    mdata = gb.io.read(tmp_path / "out.h5mu")
    assert _keys.COUNTS.get(mdata).toarray().tolist() == [[3, 0], [1, 4]]
    assert _keys.N_REPLICATES.get(mdata).tolist() == [2, 1]
    result = run("scan", genome_file, "--groupby", "kind", "-o", tmp_path / "out.h5mu")
    assert result.exit_code == 1
    assert "Expected --groupby and --replicate only for cells x peaks" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.bed", None, "absent.bed"),
        ("x.xlsx", "", "Expected a name that ends in one of .bed"),
        ("x.bed", "chr1\t5\t1\n", "Error:"),
        ("x.bed", "chr1\t5\t100\n", "Expected --genome for the regions of 'x.bed'"),
        ("x.h5ad", "", "Expected --genome for the regions of 'x.h5ad'"),
        ("x.h5", "", "Convert it with scanpy"),
    ],
)
def test_errors_are_one_line(run, tmp_path, motif_file, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    result = run("scan", tmp_path / name, "--motifs", motif_file, "-o", tmp_path / "out.h5mu")
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.h5mu").exists()


@pytest.mark.parametrize("command", ["scan", "embed"])
def test_an_output_that_cannot_be_written_is_refused_first(run, tmp_path, command):
    result = run(command, tmp_path / "absent.h5mu", "-o", tmp_path / "out.h5ad")
    assert result.exit_code == 1
    assert "Expected --output to end in .h5mu or .zarr; found 'out.h5ad'" in result.stderr


def test_pretrain_refuses_the_folder_of_a_model_first(run, tmp_path):
    (tmp_path / "model.safetensors").touch()
    result = run("pretrain", tmp_path / "absent.h5mu", "-o", tmp_path)
    assert result.exit_code == 1
    assert "Expected no model in" in result.stderr


def test_pretrain_says_how_to_go_on_as_options_are_given_here(run, toy_file, tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "checkpoint.pt").touch()
    result = run("pretrain", toy_file, "--preset", "tiny", "-o", tmp_path)
    assert result.exit_code == 1
    assert "Pass --resume to go on" in result.stderr


@pytest.mark.slow
def test_pretrain_then_embed(run, toy_file, tmp_path, motif_file):
    scanned, model, out = tmp_path / "scanned.h5mu", tmp_path / "model", tmp_path / "out.h5mu"
    for command in (
        ("scan", toy_file, "--motifs", motif_file, "-o", scanned),
        ("pretrain", scanned, "--preset", "tiny", "--max-epochs", 1, "--lr", 0.002, "--device", "cpu", "-o", model),
        ("embed", scanned, "--model", model, "--device", "cpu", "-o", out),
    ):
        result = run(*command)
        assert result.exit_code == 0, result.output
        assert f"Wrote {command[-1]}" in result.output
    assert "masked_genome" in (model / "history.tsv").read_text()
    embedding = _keys.EMBEDDING.get(gb.io.read(out))
    assert np.isfinite(embedding).all()
    assert embedding.std(axis=0).max() > 0


def test_embed_refuses_unknown_cell_type(run, toy_file, tmp_path):
    result = run("embed", toy_file, "--cell-type", "none", "-o", tmp_path / "out.h5mu")
    assert result.exit_code == 1
    assert "Expected `cell_type` to be one of" in result.stderr


@pytest.mark.slow
def test_demo(run, tmp_path, log):
    result = run("demo", "--output", tmp_path / "demo", "--n-regions", 200, "--max-epochs", 1, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "on cpu" in log.text
    assert "regions/s" in log.text
    for name in ("demo.h5mu", "umap.png", "tf_matrix.png", "history.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 5000
        assert str(tmp_path / "demo" / name) in result.output
    mdata = gb.io.read(tmp_path / "demo" / "demo.h5mu")
    embedding = _keys.EMBEDDING.get(mdata)
    assert np.isfinite(embedding).all()
    assert embedding.std(axis=0).max() > 0
    assert mdata.obsm["X_umap"].shape == (200, 2)
    assert mdata.obs["leiden"].nunique() > 1


def test_scan_leaves_out_repeated_regions_and_unknown_chromosomes(run, tmp_path, genome_file, motif_file):
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr1\t1000\t1200\nchr1\t1000\t1200\nchr1\t2000\t2200\nchr9\t10\t210\n")
    command = ["scan", bed, "-g", genome_file, "-m", motif_file, "-o", tmp_path / "out.h5mu"]
    result = run(*command)
    assert (result.exit_code, "Keep the first of each with --duplicates drop." in result.stderr) == (1, True)
    result = run(*command, "--duplicates", "drop")
    assert (result.exit_code, "or --missing drop to remove" in result.stderr) == (1, True)
    result = run(*command, "--duplicates", "drop", "--missing", "drop")
    assert result.exit_code == 0, result.output
    assert list(gb.io.read(tmp_path / "out.h5mu").obs_names) == ["chr1:1000-1200", "chr1:2000-2200"]
    result = run("scan", genome_file, "--duplicates", "drop", "-o", tmp_path / "out.h5mu")
    assert "Expected --duplicates only for regions" in result.stderr


def test_variant_effect(run, tmp_path):
    cohort = gb.datasets.toy_cohort(n_individuals=4, n_variants=12, folder=tmp_path)
    out = tmp_path / "effects.tsv"
    command = ["variant-effect", tmp_path / "variants.vcf", "-g", tmp_path / "genome.fa", "--device", "cpu", "-o", out]
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert f"Wrote {out}: 12 variants (12 ok)" in result.output
    found = pd.read_csv(out, sep="\t")
    assert found["id"].tolist() == cohort.var["id"].tolist()
    assert (found["distance"] > 0).all()
    result = run(*command)
    assert (result.exit_code, "--resume" in result.stderr) == (1, True)
    assert run(*command, "--resume").exit_code == 0
    result = run(*command[:-1], tmp_path / "effects.h5mu")
    assert "Expected --output to end in .tsv or .parquet; found 'effects.h5mu'" in result.stderr


def test_variants_of_another_assembly_are_marked_on_request(run, tmp_path):
    gb.datasets.toy_cohort(n_individuals=4, n_variants=24, folder=tmp_path)
    shifted = [line.split("\t") for line in (tmp_path / "variants.vcf").read_text().splitlines() if line[0] != "#"]
    rows = ["\t".join([chrom, str(int(pos) + 7), *rest]) for chrom, pos, *rest in shifted]
    (tmp_path / "other.vcf").write_text("##fileformat=VCFv4.2\n" + "\n".join(rows) + "\n")
    out = tmp_path / "effects.tsv"
    command = ["variant-effect", tmp_path / "other.vcf", "-g", tmp_path / "genome.fa", "--device", "cpu", "-o", out]
    result = run(*command)
    assert result.exit_code == 1
    assert "another assembly" in result.stderr
    assert "--mismatch mark reads them all the same" in result.stderr
    result = run(*command, "--mismatch", "mark")
    assert result.exit_code == 0, result.output
    assert (pd.read_csv(out, sep="\t")["status"] == "REF mismatch").sum() > 6
    result = run(*command[:-1], tmp_path / "no.tsv", "--mismatch", "ignore")
    assert "Expected `mismatch` to be one of 'error', 'mark'; found 'ignore'" in result.stderr


def test_variant_effect_takes_strands_and_motifs(run, tmp_path, motif_file):
    gb.datasets.toy_cohort(n_individuals=4, n_variants=12, folder=tmp_path)
    tfs = [motif.tf for motif in gb.io.read_motifs(motif_file)]
    gb.model.GeneBERT(tfs=tfs, config=GeneBERTConfig.preset("tiny", n_tfs=len(tfs))).save(tmp_path / "tiny")
    command = [
        "variant-effect",
        tmp_path / "variants.vcf",
        "-g",
        tmp_path / "genome.fa",
        "--model",
        tmp_path / "tiny",
        "--seq-length",
        64,
    ]
    for strands in ("both", "forward"):
        out = tmp_path / f"{strands}.tsv"
        result = run(*command, "--strands", strands, "--motifs", motif_file, "-o", out)
        assert result.exit_code == 0, result.output
    both, forward = (pd.read_csv(tmp_path / f"{name}.tsv", sep="\t") for name in ("both", "forward"))
    assert set(both["motif"].dropna()) <= set(tfs)
    assert both["effect_motif"].equals(forward["effect_motif"])  # a scan reads both strands in any case
    assert not both["distance"].equals(forward["distance"])
