"""Variants lie along the genome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import genebert as gb


@pytest.fixture
def effects():
    return pd.DataFrame(
        {
            "chrom": ["chr10", "chr2", "chr2", "chrX", "chr2"],
            "pos": [5, 100, 50, 7, 80],
            "id": ["rs1", "rs2", "", "rs4", "rs5"],
            "risk": [0, 1, 0, 0, 0],
            "effect_y": [0.5, -3.0, 1.0, 0.1, np.nan],
            "distance": [1.0, 2.0, 3.0, 4.0, np.nan],
        }
    )


def test_order_of_chromosomes_and_names(effects):
    ax = gb.pl.variant_effect(effects, n_labels=2)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["chr2", "chr10", "chrX"]
    assert [text.get_text() for text in ax.texts] == ["rs2", "chr2:50"]
    points = np.concatenate([np.asarray(group.get_offsets()) for group in ax.collections])
    assert sorted(points[:, 1]) == [-3.0, 0.1, 0.5, 1.0]
    by_place = points[points[:, 0].argsort()]
    assert by_place[:, 1].tolist() == [1.0, -3.0, 0.5, 0.1]


def test_names_do_not_lie_on_each_other():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=40) * 0.3, 2 + 0.01 * np.arange(8)])
    place = np.concatenate([rng.integers(1, 5_000, 40) * 10_000, 25_000_000 + np.arange(8)])
    table = pd.DataFrame({"chrom": "chr1", "pos": place, "id": "", "effect_y": values})
    ax = gb.pl.variant_effect(table, n_labels=12)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert 4 <= len(boxes) < 12
    assert ax.texts[0].get_text() == "chr1:25000007"
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])


def test_axes_of_a_subfigure(effects):
    left, _ = plt.figure().subfigures(1, 2)
    ax = left.subplots()
    assert gb.pl.variant_effect(effects, ax=ax) is ax
    assert ax.texts


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["chr10", "2", "10", "X", "MT"], ["chr2", "chr10", "chrM", "chrX"]),
        (["1", "chr1", "NC_000002.12", "chrM"], ["1", "2", "MT"]),
    ],
)
def test_chromosomes_are_named_in_one_style(names, expected):
    table = pd.DataFrame({"chrom": names, "pos": 5, "id": "", "effect_y": 1.0})
    ax = gb.pl.variant_effect(table, n_labels=0)
    assert [label.get_text() for label in ax.get_xticklabels()] == expected


def test_highlight_and_effect(effects):
    _, ax = plt.subplots()
    assert gb.pl.variant_effect(effects, effect="distance", highlight="risk", ax=ax) is ax
    assert np.asarray(ax.collections[-1].get_offsets())[:, 1].tolist() == [2.0]


@pytest.mark.parametrize("dtype", [bool, "boolean", object, "category", "float32"])
def test_what_highlights(effects, dtype):
    column = effects["risk"].astype(dtype)
    if dtype is not bool:
        column[effects["risk"] == 0] = None if dtype is object else pd.NA if dtype == "boolean" else np.nan
    ax = gb.pl.variant_effect(effects.assign(risk=column), effect="distance", highlight="risk")
    assert np.asarray(ax.collections[-1].get_offsets())[:, 1].tolist() == [2.0]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda table: table[["chrom", "pos"]], {}, "with columns effect_... or distance"),
        (lambda table: table.drop(columns="pos"), {}, "pos missing"),
        (lambda table: table.assign(effect_y=np.nan), {}, "Expected variants with a value of 'effect_y'"),
        (lambda table: table, {"effect": "effect_z"}, "Expected `effect` to be one of"),
        (lambda table: table, {"highlight": "none"}, "none missing"),
        (lambda table: table, {"highlight": "id"}, "Expected `highlight` to be a column of 0 and 1.*in 'id'"),
        (lambda table: table.assign(risk=0.5), {"highlight": "risk"}, "found 0.5 in 'risk'"),
        (lambda table: table, {"n_labels": -1}, "Expected `n_labels`"),
    ],
)
def test_wrong_arguments(effects, change, options, message):
    with pytest.raises(ValueError, match=message):
        gb.pl.variant_effect(change(effects), **options)
