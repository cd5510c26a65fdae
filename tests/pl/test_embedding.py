from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import genebert as gb
from genebert import _keys
from genebert.pl._style import PALETTE


@pytest.fixture
def mapped(toy):
    rng = np.random.default_rng(0)
    toy.obsm["X_umap"] = rng.normal(size=(toy.n_obs, 2))
    toy.obs["group"] = pd.Categorical(rng.choice(["a", "b", "c"], toy.n_obs))
    return toy


def _colours(ax):
    return sorted({to_hex(colour).upper() for colour in ax.collections[0].get_facecolors()})


def _first(mdata, modality):
    return f"{modality}:{mdata[modality].var_names[0]}"


def test_groups_get_safe_colours(mapped):
    ax = gb.pl.embedding(mapped, color="group")
    assert len(ax.collections[0].get_offsets()) == mapped.n_obs
    assert _colours(ax) == sorted(PALETTE[:3])


def test_own_colours_win(mapped):
    mapped.uns["group_colors"] = ["#111111", "#222222", "#333333"]
    assert _colours(gb.pl.embedding(mapped, color="group")) == ["#111111", "#222222", "#333333"]


def test_many_groups(mapped):
    mapped.obs["group"] = pd.Categorical((np.arange(mapped.n_obs) % 15).astype(str))
    assert len(_colours(gb.pl.embedding(mapped, color="group"))) == 15


@pytest.mark.parametrize("values", [["yes", "no"], [True, False]], ids=["text", "bool"])
def test_plain_columns_count_as_groups(mapped, values):
    mapped.obs["group"] = np.resize(np.array(values), mapped.n_obs)
    assert _colours(gb.pl.embedding(mapped, color="group")) == sorted(PALETTE[:2])


def test_colours_of_modalities(mapped):
    names = [_first(mapped, modality) for modality in (_keys.TF, _keys.ATAC, _keys.LABEL)]
    axes = gb.pl.embedding(mapped, color=["group", "seq:gc", *names])
    assert [ax.get_title() for ax in axes] == ["group", "seq:gc", *names]
    for name, ax in zip(names, axes[2:], strict=True):
        owner = mapped[name.partition(":")[0]]
        drawn, expected = ax.collections[0].get_array(), owner.obs_vector(owner.var_names[0])
        drawn = np.ma.filled(drawn, np.nan)
        np.testing.assert_allclose(np.sort(drawn[~np.isnan(drawn)]), np.sort(expected[~np.isnan(expected)]), rtol=1e-5)


@pytest.mark.parametrize("basis", ["umap", "X_umap"])
def test_draws_into_ax(mapped, basis):
    _, ax = plt.subplots()
    assert gb.pl.embedding(mapped, basis=basis, ax=ax) is ax


def test_changes_nothing(mapped):
    before = (list(mapped.obs), list(mapped.uns), list(mapped.obsm))
    gb.pl.embedding(mapped, color=["group", "seq:gc"])
    assert (list(mapped.obs), list(mapped.uns), list(mapped.obsm)) == before


@pytest.mark.parametrize("name", ["nothing", "tf:nothing", "nothing:x", "atac:"])
def test_unknown_colour_lists_what_there_is(mapped, name):
    with pytest.raises(KeyError) as error:
        gb.pl.embedding(mapped, color=name)
    message = error.value.args[0]
    assert f"found {name!r}" in message
    assert all(there in message for there in ("group", "seq:chrom", "atac:", "tf:"))


def test_unknown_basis(mapped):
    with pytest.raises(KeyError, match=r"found .*tsne.*\. There: .*X_umap.*Run sc\.tl\.umap\(mdata\) first"):
        gb.pl.embedding(mapped, basis="tsne")
