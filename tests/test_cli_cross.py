"""genebert cross-cell-type."""

import pandas as pd
import pytest
from typer.testing import CliRunner

import genebert as gb
from genebert import _keys
from genebert._cli_cross import parse_holdout
from genebert.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def path(make_small_toy, tmp_path):
    gb.io.write(make_small_toy(240), tmp_path / "x.h5mu")
    return tmp_path / "x.h5mu"


def test_table_and_plot(path, tmp_path):
    out = tmp_path / "out"
    result = run(
        "cross-cell-type", path, "--model", "none", "--holdout", "Monocyte, Progenitor; B cell", "--test-chroms", "chr2",
        "--few-shot", "20,50", "-o", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "cross_cell_type.tsv", sep="\t")
    assert list(table.columns) == list(_keys.CROSS_COLUMNS)
    assert set(table["holdout"]) == {"Monocyte+Progenitor", "B cell", "all"}
    assert set(pd.read_csv(out / "few_shot.tsv", sep="\t")["n"]) == {20, 50}
    assert (out / "cross_cell_type.png").stat().st_size > 10_000
    assert "sequence_only" in result.output
    again = run("cross-cell-type", path, "-o", out)
    assert again.exit_code == 1
    assert "Choose another folder" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--holdout", "Neuron"], "Expected `holdout` to be one of"),
        (["--tf-weight", "open"], "puts the answer into the input"),
        (["--known", "everything"], "known"),
        (["--few-shot", "many"], "whole numbers"),
    ],
)
def test_mistakes(path, tmp_path, arguments, message):
    result = run("cross-cell-type", path, "--model", "none", *arguments, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_regions_without_dna_are_sent_to_scan(tmp_path):
    """Neither command takes a genome."""
    (tmp_path / "peaks.bed").write_text("chr1\t5\t100\n")
    for command in ("cross-cell-type", "classify"):
        result = run(command, tmp_path / "peaks.bed", "-o", tmp_path / "out")
        assert result.exit_code == 1
        assert "Expected the DNA of the regions of 'peaks.bed'" in result.stderr
        assert "genebert scan " in result.stderr
        assert not (tmp_path / "out").exists()


def test_groups():
    assert parse_holdout("each") == "each"
    assert parse_holdout("a, b; c") == [["a", "b"], ["c"]]
    assert parse_holdout("a,b") == [["a", "b"]]
