"""genebert classify."""

import numpy as np
import pandas as pd
from typer.testing import CliRunner

import genebert as gb
from genebert import _keys
from genebert._dna import decode
from genebert.cli import app
from genebert.model import GeneBERT, Task
from genebert.nn import GeneBERTConfig


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_sequences_with_labels(toy, tmp_path):
    bases = [decode(row) for row in np.asarray(_keys.DNA_CODE.get(toy))[:240]]
    column = toy[_keys.LABEL].var_names.get_loc("promoter")
    table = pd.DataFrame({"sequence": bases, "label": np.asarray(_keys.LABELS.get(toy))[:240, column].astype(int)})
    table.to_csv(tmp_path / "x.tsv", sep="\t", index=False)
    GeneBERT(tfs=toy[_keys.TF].var_names, config=GeneBERTConfig.preset("tiny", n_tfs=toy[_keys.TF].n_vars)).save(
        tmp_path / "tiny"
    )
    out = tmp_path / "out"
    result = run(
        "classify", tmp_path / "x.tsv", "--task", "promoter", "--method", "probe", "--model", tmp_path / "tiny", "-o", out,
        "--predictions", tmp_path / "p.h5mu",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(out / "evaluation.tsv", sep="\t").columns) == set(_keys.EVALUATION_COLUMNS)
    assert (out / "evaluation.png").exists()
    assert Task.load(out / "task", device="cpu").outputs == ["label"]
    assert Task.load(out, device="cpu").digest == Task.load(out / "task", device="cpu").digest
    pd.DataFrame({"sequence": bases, "strong": table["label"], "label": 0}).to_csv(tmp_path / "y.csv", index=False)
    result = run("classify", tmp_path / "y.csv", "--labels", "strong", "--method", "probe", "-o", tmp_path / "strong")
    assert result.exit_code == 0, result.output
    assert _keys.PROBABILITY.key in gb.io.read(tmp_path / "p.h5mu").obsm
    again = run("classify", tmp_path / "x.tsv", "-o", out)
    assert again.exit_code == 1
    assert "Choose another folder" in again.output


def test_a_fasta_with_labels(toy, tmp_path):
    bases = [decode(row) for row in np.asarray(_keys.DNA_CODE.get(toy))[:240]]
    (tmp_path / "x.fa").write_text("".join(f">r{i} of toy\n{text}\n" for i, text in enumerate(bases)))
    column = toy[_keys.LABEL].var_names.get_loc("promoter")
    labels = np.asarray(_keys.LABELS.get(toy))[:240, column].astype(int)
    table = pd.DataFrame({"name": [f"r{i}" for i in range(240)], "is_promoter": labels})
    table[::-1].to_csv(tmp_path / "labels.tsv", sep="\t", index=False)
    model = GeneBERT(tfs=toy[_keys.TF].var_names, config=GeneBERTConfig.preset("tiny", n_tfs=toy[_keys.TF].n_vars))
    model.save(tmp_path / "tiny")
    arguments = (
        "classify",
        tmp_path / "x.fa",
        "--method",
        "probe",
        "--model",
        tmp_path / "tiny",
        "-o",
        tmp_path / "out",
    )
    result = run(*arguments)
    assert result.exit_code == 1
    assert "--label-table" in result.output
    result = run(*arguments, "--label-table", tmp_path / "labels.tsv", "--predictions", tmp_path / "p.h5mu")
    assert result.exit_code == 0, result.output
    assert Task.load(tmp_path / "out" / "task", device="cpu").outputs == ["is_promoter"]
    found = gb.io.read(tmp_path / "p.h5mu")
    assert np.asarray(_keys.LABELS.get(found))[:, 0].tolist() == labels.tolist()


def test_mistakes(tmp_path):
    result = run("classify", tmp_path / "x.tsv", "--label-table", tmp_path / "y.tsv", "-o", tmp_path / "out")
    assert "--label-table only beside a FASTA" in result.output
    (tmp_path / "x.tsv").write_text("sequence\nACGT\n")
    result = run("classify", tmp_path / "x.tsv", "-o", tmp_path / "out")
    assert result.exit_code == 1
    message = "Expected a table (x.tsv) with column(s) sequence, label; label missing. Found: sequence."
    assert message in " ".join(result.output.split())
    result = run("classify", tmp_path / "x.tsv", "--task", "guess", "-o", tmp_path / "out")
    assert "--task" in result.output
