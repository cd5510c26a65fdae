"""Verbs called on a view change the view, which becomes an object of its own, and never the whole."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import genebert as gb

CALLS = {
    "scan_motifs": lambda mdata, _: gb.pp.scan_motifs(mdata, score="count"),
    "binarize": lambda mdata, _: gb.pp.binarize(mdata, threshold=5),
    "normalize_accessibility": lambda mdata, _: gb.pp.normalize_accessibility(mdata, target_sum=10),
    "split_regions": lambda mdata, _: gb.pp.split_regions(mdata, val=["4"], test=["5"]),
    "split_cell_types": lambda mdata, _: gb.pp.split_cell_types(mdata),
    "add_sequence": lambda mdata, fasta: gb.pp.add_sequence(mdata, fasta, edge="drop", seq_length=100),
}


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">chr{number}\n{'ACGTTGCA' * 10_000}\n" for number in range(1, 7)))
    return path


@pytest.mark.parametrize("verb", CALLS)
def test_view(toy, changed, fasta, verb):
    views = []

    def call(mdata):
        views.append(mdata[300:])
        CALLS[verb](views[0], fasta)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert changed(toy, call) == set()
    assert not views[0].is_view
    assert verb in views[0].uns["genebert"]
    assert all(modality.obs_names.equals(views[0].obs_names) for modality in views[0].mod.values())


def test_dropping_keeps_columns_and_matrices(toy, fasta):
    toy.obs["own"] = pd.Categorical(["a", "b"] * 300)
    toy.obsm["own"] = toy["seq"].obs[["start"]].to_numpy()
    gb.pp.add_sequence(toy, fasta, edge="drop", seq_length=100)
    assert 0 < toy.n_obs < 600
    assert (toy.obsm["own"][:, 0] == toy["seq"].obs["start"]).all()
    assert toy.obs["own"].tolist() == [
        "ab"[position % 2] for position in gb.datasets.toy().obs_names.get_indexer(toy.obs_names)
    ]
