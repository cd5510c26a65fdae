from __future__ import annotations

import numpy as np
import pytest

import genebert as gb
from genebert import _keys

WRITTEN = {f"atac.var.{_keys.CELL_TYPE_SPLIT.key}", f"uns.split_cell_types.{_keys.CELL_TYPE_SPLIT.key}"}


def held_out(mdata):
    return set(mdata[_keys.ATAC].var_names[_keys.CELL_TYPE_SPLIT.get(mdata) == "holdout"])


def test_named(toy, changed):
    assert changed(toy, lambda mdata: gb.pp.split_cell_types(mdata, holdout=["B cell", "Progenitor"])) == WRITTEN
    assert held_out(toy) == {"B cell", "Progenitor"}
    gb.pp.split_cell_types(toy, holdout="Monocyte")
    assert held_out(toy) == {"Monocyte"}


@pytest.mark.parametrize(("share", "n_held_out"), [(0.01, 1), (0.34, 2), (0.5, 3)])
def test_share(toy, share, n_held_out):
    gb.pp.split_cell_types(toy, holdout=share, rng=1)
    first = held_out(toy)
    gb.pp.split_cell_types(toy, holdout=share, rng=np.random.default_rng(1))
    assert held_out(toy) == first
    assert len(first) == n_held_out


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_shares_of_any_number_type(toy, number):
    gb.pp.split_cell_types(toy, holdout=number(0.34), rng=1)
    assert len(held_out(toy)) == 2


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        (["T cell"], "`holdout` to be one of B cell, .*; found 'T cell'"),
        ([], "found none"),
        (1.0, "takes all 6"),
        (2, "`holdout` to be a number"),
        (float("nan"), "`holdout` to be a number in .*; found nan"),
    ],
)
def test_wrong_arguments(toy, expect_refusal, holdout, message):
    with expect_refusal(toy, ValueError, message):
        gb.pp.split_cell_types(toy, holdout=holdout)


def test_without_accessibility():
    with pytest.raises(KeyError, match=r"gb\.io\.from_anndata"):
        gb.pp.split_cell_types(gb.io.assemble(sequences=["ACGT"]))


def test_copy_and_round_trip(toy, changed, round_trip):
    results = []
    assert changed(toy, lambda mdata: results.append(gb.pp.split_cell_types(mdata, copy=True))) == set()
    assert held_out(round_trip(results[0])) == held_out(results[0])
    assert held_out(results[0][:10].copy()) == held_out(results[0])
