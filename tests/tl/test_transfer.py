"""genebert.tl.transfer."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import genebert as gb
from genebert import _keys
from genebert.model import _cell_types_heads
from genebert.model._cell_types_heads import N_DRAWS
from genebert.tl import _transfer


@pytest.fixture(scope="module")
def _small(make_small_toy):
    return make_small_toy(360)


@pytest.fixture
def small(_small):
    return _small.copy()


def auroc(mdata, cell_type="Monocyte"):
    """On test regions, which were not learnt from."""
    column = mdata["atac"].var_names.get_loc(cell_type)
    test = np.asarray(_keys.REGION_SPLIT.get(mdata)) == "test"
    truth = _keys.OPEN.get(mdata).toarray()[test, column]
    return roc_auc_score(truth, np.asarray(_keys.PREDICTED.get(mdata))[test, column])


@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
def test_a_new_type_is_predicted_in_all_regions(small, known):
    assert gb.tl.transfer(small, "none", cell_types="Monocyte", known=known, n_models=3) is None
    predicted, spread = (slot.get(small) for slot in (_keys.PREDICTED, _keys.PREDICTED_SD))
    column = small["atac"].var_names.get_loc("Monocyte")
    assert predicted.shape == spread.shape == small["atac"].shape
    assert predicted.dtype == spread.dtype == np.float32
    assert np.isnan(np.delete(predicted, column, axis=1)).all()
    assert np.isfinite(predicted[:, column]).all()
    assert (spread[:, column] > 0).any()
    assert auroc(small) > 0.85
    assert small.uns[_keys.UNS]["transfer"]["transfer"]["params"]["train_cell_types"] == [
        "B cell", "Dendritic cell", "Erythroid cell", "Megakaryocyte", "Progenitor",
    ]  # fmt: skip


def test_a_type_measured_on_two_chromosomes_is_predicted_elsewhere(small):
    expected = small.copy()
    values = np.array(_keys.ACCESSIBILITY.get(small))
    chrom = np.asarray(_keys.CHROM.get(small)).astype(str)
    values[~np.isin(chrom, ["chr1", "chr2"]), 2] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1)
    assert auroc(small) > 0.75
    assert np.isnan(_keys.PREDICTED_SD.get(small)).all()  # one model has no spread
    gb.tl.transfer(expected, "none", cell_types="Monocyte", n_models=1)
    assert not np.allclose(_keys.PREDICTED.get(small)[:, 2], _keys.PREDICTED.get(expected)[:, 2])


def test_what_the_new_type_is_elsewhere_has_no_say(small):
    gb.tl.transfer(small, "none", cell_types=["Monocyte"], n_models=1)
    other = small.copy()
    values = np.array(_keys.ACCESSIBILITY.get(other))
    test = np.asarray(_keys.REGION_SPLIT.get(other)) != "train"
    values[test, 2] = values[test, 2][::-1]
    _keys.ACCESSIBILITY.set(other, values)
    gb.tl.transfer(other, "none", cell_types=["Monocyte"], n_models=1)
    np.testing.assert_array_equal(_keys.PREDICTED.get(other)[:, 2], _keys.PREDICTED.get(small)[:, 2])


def test_a_store_is_read_and_written_chunk_by_chunk(small, tmp_path, monkeypatch):
    monkeypatch.setattr(_transfer, "STEP", 100)
    gb.io.write(small, tmp_path / "x.zarr")
    opened = gb.io.open(tmp_path / "x.zarr")
    gb.tl.transfer(opened, "none", cell_types=["Monocyte", "B cell"], n_models=2)
    assert hasattr(_keys.PREDICTED.get(opened), "compute")  # it lies in the store
    gb.tl.transfer(small, "none", cell_types=["Monocyte", "B cell"], n_models=2)
    back = gb.io.read(tmp_path / "x.zarr")
    for slot in (_keys.PREDICTED, _keys.PREDICTED_SD):
        np.testing.assert_allclose(slot.get(back), slot.get(small), atol=1e-6)


def test_copy_seed_and_fewer_regions(small):
    first = gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=2, max_regions=100, copy=True)
    assert not _keys.PREDICTED.has(small)
    again = gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=2, max_regions=100, copy=True)
    other = gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=2, max_regions=100, seed=1, copy=True)
    np.testing.assert_array_equal(_keys.PREDICTED.get(first), _keys.PREDICTED.get(again))
    assert not np.array_equal(_keys.PREDICTED.get(first)[:, 2], _keys.PREDICTED.get(other)[:, 2])


@pytest.mark.parametrize(("n_models", "n_draws"), [(1, N_DRAWS), (2, 1)])
def test_several_models_draw_landmarks_once_each(small, monkeypatch, n_models, n_draws):
    monkeypatch.setattr(_cell_types_heads, "N_LANDMARKS", 50)
    fit, found = _transfer.fit_cell_types, []
    monkeypatch.setattr(
        _transfer, "fit_cell_types", lambda *args, **kwargs: found.append(fit(*args, **kwargs)) or found[-1]
    )
    gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=n_models)
    assert [len(model.heads.head.radial) for model in found] == [n_draws] * n_models


def test_values_and_the_shipped_kind_of_encoder(small, tiny_model):
    gb.tl.transfer(small, tiny_model, cell_types="Monocyte", kind="value", n_models=2)
    truth, found = _keys.ACCESSIBILITY.get(small)[:, 2], _keys.PREDICTED.get(small)[:, 2]
    assert np.corrcoef(truth, found)[0, 1] > 0.5
    assert small.uns[_keys.UNS]["transfer"]["transfer"]["model"] == tiny_model.digest


def test_without_a_split_all_measured_regions_are_learnt_from(small):
    del small["seq"].obs[_keys.REGION_SPLIT.key]
    gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1)
    assert small.uns[_keys.UNS]["transfer"]["transfer"]["params"]["n_regions"] == 360


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell_types": "Neuron"}, "one of B cell"),
        ({"cell_types": []}, "name what is predicted"),
        ({"known": "all"}, "`known`"),
        ({"n_models": 0}, "`n_models`"),
        ({"max_regions": 3}, "`max_regions`"),
        ({"seed": -1}, "`seed`"),
        ({"seed": 1.5}, "`seed` to be an integer"),
        ({"cell_types": "Zed"}, "Expected `cell_types`"),
        ({"train_cell_types": ["Zed"]}, "Expected `train_cell_types`"),
        ({"tf_weight": "expression"}, "Run gb.pp.tf_expression"),
    ],
)
def test_bad_input(small, options, message):
    with pytest.raises((ValueError, KeyError), match=message):
        gb.tl.transfer(small, "none", **{"cell_types": "Monocyte", **options})


def where_known(mdata):
    found = _keys.PREDICTED.get(mdata)
    return [
        name for name in mdata["atac"].var_names if np.isfinite(found[:, mdata["atac"].var_names.get_loc(name)]).all()
    ]


@pytest.mark.parametrize("is_store", [False, True])
def test_a_call_replaces_what_it_names_and_leaves_what_earlier_ones_wrote(small, tmp_path, monkeypatch, is_store):
    monkeypatch.setattr(_transfer, "STEP", 100)
    if is_store:
        gb.io.write(small, tmp_path / "x.zarr")
        small = gb.io.open(tmp_path / "x.zarr")
    gb.tl.transfer(small, "none", cell_types=["Monocyte", "B cell"], n_models=2)
    before = [np.array(slot.get(small)) for slot in (_keys.PREDICTED, _keys.PREDICTED_SD)]
    if is_store:
        small = gb.io.open(tmp_path / "x.zarr")
    gb.tl.transfer(small, "none", cell_types=["B cell", "Progenitor"], n_models=2, seed=1, key_added="other")
    after = gb.io.read(tmp_path / "x.zarr") if is_store else small
    assert where_known(after) == ["B cell", "Monocyte", "Progenitor"]
    b_cell, monocyte = (after["atac"].var_names.get_loc(name) for name in ("B cell", "Monocyte"))
    for slot, values in zip((_keys.PREDICTED, _keys.PREDICTED_SD), before, strict=True):
        np.testing.assert_array_equal(slot.get(after)[:, monocyte], values[:, monocyte])
        assert not np.array_equal(slot.get(after)[:, b_cell], values[:, b_cell])
    copy = gb.tl.transfer(small, "none", cell_types="Megakaryocyte", n_models=1, copy=True)
    assert set(where_known(copy)) == {"B cell", "Megakaryocyte", "Monocyte", "Progenitor"}


def test_a_call_that_fails_loses_nothing(small, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError

    gb.io.write(small, tmp_path / "x.zarr")
    opened = gb.io.open(tmp_path / "x.zarr")
    gb.tl.transfer(opened, "none", cell_types="Monocyte", n_models=1)
    monkeypatch.setattr(_transfer, "_spread", fail)
    with pytest.raises(RuntimeError):
        gb.tl.transfer(opened, "none", cell_types="B cell", n_models=1)
    assert where_known(gb.io.read(tmp_path / "x.zarr")) == ["Monocyte"]


@pytest.mark.parametrize("slot", [_keys.PREDICTED, _keys.PREDICTED_SD])
def test_a_layer_of_the_user_is_refused(small, monkeypatch, slot):
    monkeypatch.setattr(_transfer, "_fitted", None)  # nothing is computed before
    own = np.ones(small["atac"].shape, dtype=np.float32)
    slot.set(small, own)
    with pytest.raises(ValueError, match=r"no record of gb\.tl\.transfer tells\. Give it another name, or remove it"):
        gb.tl.transfer(small, "none", cell_types="Monocyte")
    np.testing.assert_array_equal(slot.get(small), 1)


def test_the_order_of_the_cell_types_changes_nothing(small):
    names = ["Progenitor", "B cell", "Erythroid cell", "Megakaryocyte"]
    turned = small.copy()
    turned.mod["atac"] = turned["atac"][:, ::-1].copy()
    found = []
    for mdata, types in ((small, names), (small, names[::-1]), (turned, names)):
        new = ["Monocyte", "Dendritic cell"] if mdata is small else ["Dendritic cell", "Monocyte"]
        made = gb.tl.transfer(mdata, "none", cell_types=new, train_cell_types=types, n_models=2, copy=True)
        found.append(_keys.PREDICTED.get(made)[:, made["atac"].var_names.get_loc("Monocyte")])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_allclose(found[2], found[0], atol=1e-4)


def test_a_bad_key_changes_nothing(small):
    with pytest.raises(ValueError, match="without '/'"):
        gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1, key_added="a/b")
    assert not _keys.PREDICTED.has(small)


def test_where_no_type_was_measured_the_prediction_does_not_hang_on_the_chunk(small, monkeypatch):
    values = np.array(_keys.ACCESSIBILITY.get(small))
    values[np.asarray(_keys.REGION_SPLIT.get(small)) == "test"] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    found = []
    for step in (360, 7):
        monkeypatch.setattr(_transfer, "STEP", step)
        gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1)
        found.append(np.array(_keys.PREDICTED.get(small))[:, 2])
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_where_one_type_was_not_measured_the_prediction_does_not_hang_on_the_chunk(small, monkeypatch):
    values = np.array(_keys.ACCESSIBILITY.get(small))
    values[np.asarray(_keys.REGION_SPLIT.get(small)) == "test", 0] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    found = []
    for step in (360, 50, 7):
        monkeypatch.setattr(_transfer, "STEP", step)
        gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1)
        found.append(np.array(_keys.PREDICTED.get(small))[:, 2])
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)


def test_nothing_measured(small):
    values = np.array(_keys.ACCESSIBILITY.get(small))
    values[:, 2] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    with pytest.raises(ValueError, match="accessible train regions in each cell type"):
        gb.tl.transfer(small, "none", cell_types="Monocyte")
    values[:, 0] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    with pytest.raises(ValueError, match=r"at least 20 train regions in which B cell.* were measured; found 0"):
        gb.tl.transfer(small, "none", cell_types="Monocyte")


def test_expression_needs_no_accessibility_of_the_new_type(small):
    activity = gb.pp.tf_activity(small, copy=True)
    _keys.TF_EXPRESSION.set(small, pd.DataFrame(_keys.TF_ACTIVITY.get(activity)))
    values = np.array(_keys.ACCESSIBILITY.get(small))
    values[:, 2] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    gb.tl.transfer(small, "none", cell_types="Monocyte", tf_weight="expression", n_models=1)
    assert auroc(small) > 0.7


def test_train_regions_that_are_left_out_are_told(small):
    train = np.flatnonzero(_keys.REGION_SPLIT.get(small) == "train")
    values = np.array(_keys.ACCESSIBILITY.get(small))
    few, many = len(train) // 20, len(train) // 5
    values[train[:few], 0] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1)
    values[train[-many:], 1] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    names = small["atac"].var_names
    message = (
        f"{few + many} of {len(train)} train regions are left out, .* Most gaps: {names[1]} \\({many}\\), {names[0]} \\({few}\\)\\. "
        r"Leave such types out: train_cell_types=\[\.\.\.\]\."
    )
    with pytest.warns(UserWarning, match=message) as told:
        gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1)
    assert told[0].filename == __file__
    assert small.uns[_keys.UNS]["transfer"]["transfer"]["params"]["n_regions"] == len(train) - few - many
    values[train[10:], 1] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    with pytest.raises(ValueError, match=f"found 0.* Most gaps: {names[1]}"):
        gb.tl.transfer(small, "none", cell_types="Monocyte", n_models=1)


def test_new_types_must_be_named_and_others_left(small):
    for found in (None, []):
        with pytest.raises(
            ValueError, match=r"Expected `cell_types` to name what is predicted; found none. There are B cell"
        ):
            gb.tl.transfer(small, "none", cell_types=found)
    with pytest.raises(ValueError, match=r"at least two cell types.*found Monocyte alone"):
        gb.tl.transfer(small, "none", cell_types="Monocyte", train_cell_types=[])
    for kwargs in ({"cell_types": 3}, {"cell_types": "Monocyte", "train_cell_types": 3}):
        with pytest.raises(TypeError, match=f"`{list(kwargs)[-1]}` to be a name or a list of names; found 3"):
            gb.tl.transfer(small, "none", **kwargs)
    assert not _keys.PREDICTED.has(small)
