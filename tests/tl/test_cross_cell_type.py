"""genebert.tl.cross_cell_type."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert import _keys
from genebert._dna import decode
from genebert.model._cell_types import CellTypeModel
from genebert.tl import _cell_type_data
from genebert.tl._cell_type_data import Reader

PAIR = ["Monocyte", "Progenitor"]
QUICK = {"quarters": "headline", "n_draws": 50}


@pytest.fixture(scope="module")
def _small(make_small_toy):
    return make_small_toy(360)


@pytest.fixture
def small(_small):
    return _small.copy()


def means(mdata, metric="auroc", **kwargs):
    table = gb.get.cross_cell_type(mdata, metric=metric, **kwargs)
    return table[(table["holdout"] == "all") & (table["tf"] == "all")].set_index("method")


@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
def test_the_planted_logic_is_recovered_in_types_that_were_held_out_together(toy, known):
    gb.tl.cross_cell_type(toy, "none", known=known, holdout=PAIR, **QUICK)
    auroc, within = means(toy)["value"], means(toy, "within_region_auroc")["value"]
    assert auroc["genebert"] >= 0.9
    assert within["genebert"] >= 0.9
    assert within["sequence_only"] == within["mean"] == 0.5  # they know nothing of the cell type: exactly
    assert abs(within["shuffled_activity"] - 0.5) < 0.15
    assert auroc["genebert"] > auroc[["sequence_only", "mean", "nearest", "shuffled_activity", "random"]].max() + 0.1
    row = means(toy).loc["sequence_only"]
    assert row["gain_low"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
def test_shuffled_activity_gives_nothing(toy, known):
    """On the mean of five shuffles: one of them hits or misses by chance, which an interval over regions does not tell."""
    rows, within = [], []
    for seed in range(5):
        gb.tl.cross_cell_type(toy, "none", known=known, holdout=PAIR, seed=seed, **QUICK)
        rows.append(means(toy).loc[["sequence_only", "shuffled_activity"]])
        within.append(means(toy, "within_region_auroc").loc["shuffled_activity", "value"])
    assert np.mean([row.loc["sequence_only", "control_low"] for row in rows]) <= 0
    assert abs(np.mean([row.loc["shuffled_activity", "value"] for row in rows]) - 0.5) < 0.1
    assert abs(np.mean(within) - 0.5) < 0.1


def test_what_is_written(small):
    before = small.copy()
    assert gb.tl.cross_cell_type(small, "none", holdout=PAIR, n_draws=50) is None
    entry = small.uns[_keys.UNS]["cross_cell_type"]["cross_cell_type"]
    assert set(entry) == {"params", "model", "table"}
    assert entry["params"]["holdout"] == ["Monocyte+Progenitor"]
    assert list(entry["table"].columns) == list(_keys.CROSS_COLUMNS)
    assert set(before.obsm) == set(small.obsm)
    assert _keys.TF_ACTIVITY.has(small) == _keys.TF_ACTIVITY.has(before)
    copy = gb.tl.cross_cell_type(before, "none", holdout=PAIR, n_draws=50, copy=True, key_added="other")
    assert "cross_cell_type" not in before.uns[_keys.UNS]
    assert gb.get.cross_cell_type(copy, key="other", rows="all").equals(gb.get.cross_cell_type(small, rows="all"))


def test_the_four_quarters(small):
    gb.tl.cross_cell_type(small, "none", known="train_cell_types", holdout=PAIR, n_draws=50)
    table = gb.get.cross_cell_type(small, rows="all", metric="auroc")
    quarters = table[table["holdout"] == "all"].groupby(["types", "regions"], observed=True)["method"].nunique()
    assert quarters.tolist() == [9, 9, 9, 9]
    assert set(table[table["types"] == "train"]["cell_type"]) == {"all"}  # single types in the headline only
    ours = table[(table["holdout"] == "all") & (table["method"] == "genebert")].set_index(["types", "regions"])
    assert ours.loc[("train", "test"), "n_regions"] == 4 * 60


def test_two_settings_are_never_mixed_in_a_row(small):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, **QUICK)
    table = gb.get.cross_cell_type(small, metric="auroc")
    known = table.drop_duplicates("method").set_index("method")["known"].astype(str).to_dict()
    assert known["genebert"] == known["sequence_only"] == known["motif_activity"] == "nothing"
    assert known["mean"] == known["nearest"] == "train_cell_types"
    assert not set(table[table["is_best"]]["method"].astype(str)) & {"mean", "nearest", "genebert", "random"}
    gb.tl.cross_cell_type(small, "none", known="train_cell_types", holdout=PAIR, **QUICK)
    table = gb.get.cross_cell_type(small, metric="auroc")
    assert {"mean_sequence", "weighted_mean"} <= set(table["method"])
    assert set(table[table["method"] == "genebert"]["known"]) == {"train_cell_types"}


@pytest.mark.parametrize(
    ("holdout", "expected"),
    [
        (["Monocyte", "Progenitor"], {"Monocyte+Progenitor"}),
        ([["Monocyte", "Progenitor"], ["B cell"]], {"Monocyte+Progenitor", "B cell"}),
        ([["Monocyte"], "B cell"], {"Monocyte", "B cell"}),
        ("split", {"Monocyte"}),
    ],
)
def test_folds(small, holdout, expected):
    gb.pp.split_cell_types(small, holdout=["Monocyte"])
    gb.tl.cross_cell_type(small, "none", holdout=holdout, **QUICK)
    assert set(gb.get.cross_cell_type(small)["holdout"]) == {*expected, "all"}


def test_each(small):
    gb.tl.cross_cell_type(small, "none", cell_types=[*PAIR, "B cell"], **QUICK)
    table = gb.get.cross_cell_type(small, metric="auroc")
    single = table[(table["method"] == "genebert") & (table["cell_type"] != "all")]
    assert sorted(single["holdout"].astype(str)) == sorted([*PAIR, "B cell"])
    assert means(small).loc["genebert", "value"] == pytest.approx(single["value"].mean())


def test_the_same_seed_gives_the_same_table(small):
    tables = []
    for seed in (0, 0, 1):
        gb.tl.cross_cell_type(small, "none", holdout=PAIR, seed=seed, **QUICK)
        tables.append(gb.get.cross_cell_type(small, stratum=None))
    assert tables[0].equals(tables[1])
    assert not tables[0]["low"].equals(tables[2]["low"])


def test_the_order_of_the_regions_changes_nothing(small):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, **QUICK)
    other = small[np.random.default_rng(0).permutation(small.n_obs)].copy()
    gb.tl.cross_cell_type(other, "none", holdout=PAIR, **QUICK)
    kept = [name for name in means(small).index if name != "random"]
    np.testing.assert_allclose(means(other)["value"][kept], means(small)["value"][kept], atol=5e-3)


def test_fewer_train_regions(small):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, max_regions=120, n_draws=50)
    table = gb.get.cross_cell_type(small, rows="all", metric="auroc")
    row = table[(table["method"] == "genebert") & (table["holdout"] == "all")].set_index(["types", "regions"])
    assert row.loc[("holdout", "train"), "n_regions"] == 2 * 120
    assert row.loc[("holdout", "test"), "n_regions"] == 2 * 60


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_results_survive_a_file(small, tmp_path, suffix):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, few_shot=[30], **QUICK)
    gb.io.write(small, tmp_path / f"x.{suffix}")
    back = gb.io.read(tmp_path / f"x.{suffix}")
    for rows in ("all", "few_shot"):
        columns = ["method", "value", "low"]
        found, expected = (
            gb.get.cross_cell_type(mdata, rows=rows)[columns].astype({"method": str}) for mdata in (back, small)
        )
        pd.testing.assert_frame_equal(found, expected)


def test_a_store_gives_the_same_table(small, tmp_path):
    gb.io.write(small, tmp_path / "x.zarr")
    opened = gb.io.open(tmp_path / "x.zarr")
    for mdata in (small, opened):
        gb.tl.cross_cell_type(mdata, "none", holdout=PAIR, **QUICK)
    assert gb.get.cross_cell_type(opened)["value"].equals(gb.get.cross_cell_type(small)["value"])
    again = gb.io.open(tmp_path / "x.zarr")
    assert len(gb.get.cross_cell_type(again)) == len(gb.get.cross_cell_type(small))


def test_numbers_instead_of_calls(small):
    gb.tl.cross_cell_type(small, "none", kind="value", holdout=PAIR, **QUICK)
    table = gb.get.cross_cell_type(small)
    assert set(table["metric"]) == {"pearson", "spearman", "within_region_auroc"}
    assert means(small, "pearson").loc["genebert", "value"] > means(small, "pearson").loc["sequence_only", "value"]


def test_what_was_not_measured_is_neither_learnt_from_nor_scored(small):
    values = np.array(_keys.ACCESSIBILITY.get(small))
    test = np.flatnonzero(np.asarray(_keys.REGION_SPLIT.get(small)) == "test")
    values[test[:20], 2] = np.nan  # Monocyte
    values[:15, 0] = np.nan  # B cell, in train
    _keys.ACCESSIBILITY.set(small, values)
    gb.tl.cross_cell_type(small, "none", known="train_cell_types", holdout=PAIR, **QUICK)
    table = gb.get.cross_cell_type(small, metric="auroc")
    sizes = table[table["method"] == "genebert"].set_index("cell_type")["n_regions"]
    assert sizes["Monocyte"] == len(test) - 20
    assert sizes["Progenitor"] == len(test)


def test_nothing_measured_where_it_would_be_scored(small):
    values = np.array(_keys.ACCESSIBILITY.get(small))
    test = np.asarray(_keys.REGION_SPLIT.get(small)) == "test"
    values[np.ix_(test, [0, 1, 3, 4])] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    with pytest.raises(ValueError, match=r"Use known='nothing'"):
        gb.tl.cross_cell_type(small, "none", known="train_cell_types", holdout=PAIR, **QUICK)
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, **QUICK)
    values[test] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    with pytest.raises(ValueError, match="nothing was measured there"):
        gb.tl.cross_cell_type(small, "none", holdout=PAIR, **QUICK)


def test_numbers_without_calls_have_no_strata_of_open_types(small):
    del small["atac"].layers[_keys.OPEN.key]
    gb.tl.cross_cell_type(small, "none", kind="value", holdout=PAIR, **QUICK)
    assert not any(str(name).startswith("open_in") for name in gb.get.cross_cell_type(small, stratum=None)["stratum"])
    with pytest.raises(KeyError, match=r"gb\.pp\.binarize"):
        gb.tl.cross_cell_type(small, "none", holdout=PAIR, **QUICK)


def test_strata_say_how_many_training_types_are_open(small):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, promoters="promoter", **QUICK)
    table = gb.get.cross_cell_type(small, stratum=None, metric="auroc")
    assert {"all", "open_in_1_to_4", "distal", "promoter", "gc_low", "gc_middle", "gc_high"} <= set(table["stratum"])
    row = table[(table["method"] == "genebert") & (table["cell_type"] == "Monocyte")].set_index("stratum")["n_regions"]
    calls = _keys.OPEN.get(small).toarray()[np.asarray(_keys.REGION_SPLIT.get(small)) == "test"][:, [0, 1, 3, 4]]
    n_open = (calls > 0).sum(axis=1)
    assert row["open_in_1_to_4"] == ((n_open >= 1) & (n_open <= 4)).sum()
    assert row["distal"] + row["promoter"] == row["all"] == row[["gc_low", "gc_middle", "gc_high"]].sum()


def test_few_shot_curve(small):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, few_shot=[200, 20, 9_999], few_shot_cells=[20, 120], **QUICK)
    table = gb.get.cross_cell_type(small, rows="few_shot", metric="auroc")
    table = table[(table["method"] == "genebert") & (table["cell_type"] == "all")]
    assert list(zip(table["unit"], table["n"], strict=True)) == [
        ("regions", 20), ("regions", 200), ("regions", 240), ("cells", 20), ("cells", 120),
    ]  # fmt: skip
    by_regions = table[table["unit"] == "regions"]["value"].tolist()
    assert by_regions[0] < by_regions[1]


@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
def test_a_curve_ends_where_all_regions_are_taken(small, known):
    gb.tl.cross_cell_type(small, "none", known=known, kind="value", holdout=PAIR, few_shot=9_999, **QUICK)
    found, whole = (
        gb.get.cross_cell_type(small, metric="pearson", **options) for options in ({"rows": "few_shot"}, {})
    )
    for name in PAIR:
        ends, expected = (
            table.loc[(table["method"] == "genebert") & (table["cell_type"] == name), "value"].tolist()
            for table in (found, whole)
        )
        assert ends == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
def test_the_table_is_of_the_estimator_that_transfer_runs(small, known, monkeypatch):
    """The activity of a type that was measured in few train regions counts less in the table, too."""
    seen, predict = [], CellTypeModel.predict

    def spied(model, features, activity, **options):
        seen.append(options.get("n_regions"))
        return predict(model, features, activity, **options)

    monkeypatch.setattr(CellTypeModel, "predict", spied)
    train = np.asarray(_keys.REGION_SPLIT.get(small)) == "train"
    values = np.array(_keys.ACCESSIBILITY.get(small))
    values[train & (np.cumsum(train) > 90), small["atac"].var_names.get_loc("Monocyte")] = np.nan
    options = {"known": known, "holdout": PAIR, **QUICK}
    gb.tl.cross_cell_type(small, "none", **options)
    assert seen == 2 * [[None, None]]
    _keys.ACCESSIBILITY.set(small, values)
    seen.clear()
    gb.tl.cross_cell_type(small, "none", few_shot=9_999, few_shot_cells=9_999, **options)
    assert seen[:2] == 2 * [[90, None]]  # and the control; then the curves, with three draws each, of either type
    assert seen[2:] == 12 * [90] + 12 * [None]
    for is_stored in (False, True):
        if is_stored:
            gb.pp.tf_activity(small)
        seen.clear()
        gb.tl.transfer(small, "none", known=known, cell_types=PAIR, n_models=1)
        assert seen == [[90, None]]
    seen.clear()
    _keys.TF_EXPRESSION.set(small, _keys.TF_ACTIVITY.get(small))
    gb.tl.cross_cell_type(small, "none", tf_weight="expression", **options)
    assert seen == 2 * [[None, None]]


def test_more_cells_than_there_are_means_all_of_them(small):
    small["atac"].var[_keys.N_CELLS.key] = _keys.N_CELLS.get(small).where(small["atac"].var_names != "Monocyte", 60)
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, few_shot_cells=[70, 1_000, 2_000], **QUICK)
    table = gb.get.cross_cell_type(small, rows="few_shot", metric="auroc")
    table = table[table["method"] == "genebert"].set_index("cell_type")
    most = int(_keys.N_CELLS.get(small)["Progenitor"])
    assert table.loc[["Monocyte"], "n"].tolist() == [60]
    assert table.loc["Progenitor", "n"].tolist() == table.loc["all", "n"].tolist() == [70, most]
    assert table.loc["all", "value"].iloc[1] == pytest.approx(
        (table.loc["Monocyte", "value"] + table.loc["Progenitor", "value"].iloc[1]) / 2
    )


@pytest.mark.parametrize("count", [500, np.nan])
def test_cells_tell_nothing_of_regions_that_were_not_measured(small, count):
    train = np.asarray(_keys.REGION_SPLIT.get(small)) == "train"
    gaps, column = train & (np.cumsum(train) % 3 == 0), small["atac"].var_names.get_loc("Monocyte")
    values, counts = np.array(_keys.ACCESSIBILITY.get(small)), _keys.COUNTS.get(small).toarray().astype(np.float32)
    values[gaps, column] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    found = []
    for filled in (0, count):
        counts[gaps, column] = filled
        _keys.COUNTS.set(small, counts.copy())
        gb.tl.cross_cell_type(small, "none", holdout=PAIR, few_shot_cells=1_000_000, **QUICK)
        table = gb.get.cross_cell_type(small, rows="few_shot", metric="auroc").set_index(["cell_type", "method"])
        found.append(table.loc[("Monocyte", "genebert"), "value"])
    whole = gb.get.cross_cell_type(small, metric="auroc").set_index(["cell_type", "method"]).sort_index()
    assert found[1] == found[0] == pytest.approx(whole.loc[("Monocyte", "genebert"), "value"], abs=0.002)


@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
def test_few_regions_that_give_no_activity_are_nan(small, known):
    train = np.asarray(_keys.REGION_SPLIT.get(small)) == "train"
    values = np.array(_keys.ACCESSIBILITY.get(small))
    values[train & (np.cumsum(train) > 5), 2] = (
        np.nan
    )  # Monocyte was measured in five regions, and is open in the first
    values[np.flatnonzero(train)[:5], 2] = [1, 0, 0, 0, 0]
    values[np.flatnonzero(train)[:4]] *= np.arange(6) == 2  # where no other type is
    _keys.ACCESSIBILITY.set(small, values)
    with pytest.warns(UserWarning, match="No activity of Monocyte can be computed from n = 1 regions") as warned:
        gb.tl.cross_cell_type(small, "none", known=known, holdout=PAIR, few_shot=[1, 2, 5], **QUICK)
    assert {each.filename for each in warned if "activity" in str(each.message)} == {__file__}
    table = (
        gb.get.cross_cell_type(small, rows="few_shot", metric="auroc")
        .set_index(["cell_type", "method", "n"])
        .sort_index()
    )
    by_activity = {"genebert", "motif_activity", "weighted_mean"} & set(table.index.get_level_values("method"))
    assert len(by_activity) == (3 if known == "train_cell_types" else 2)
    for method in by_activity:
        assert table.loc[("Monocyte", method, 1), ["value", "low", "high"]].isna().all()
    assert table.loc[("Progenitor", "sequence_only")].notna().all(axis=None)
    assert table.loc[("Monocyte", "genebert", 5)].notna().all()


def test_draws_without_an_activity_are_counted(small):
    values = np.array(_keys.ACCESSIBILITY.get(small))
    train = np.flatnonzero(np.asarray(_keys.REGION_SPLIT.get(small)) == "train")
    values[train, 2] = (
        np.arange(len(train)) % 20 == 0
    )  # so that most draws of a few regions hold no open one of Monocyte
    _keys.ACCESSIBILITY.set(small, values)
    with pytest.warns(
        UserWarning, match=r"An activity of Monocyte can be computed from n = 8 regions in [12] of 3 draws"
    ):
        gb.tl.cross_cell_type(small, "none", holdout=PAIR, few_shot=8, **QUICK)


def test_features_tell_whether_sequences_are_centred(small):
    codes = np.asarray(_keys.DNA_CODE.get(small))[:4]
    bare = gb.io.assemble(sequences=pd.Series([decode(row) for row in codes], index=list("abcd")))
    for mdata, is_centred in ((small, True), (bare, False)):
        reader, _ = Reader.of(mdata, None, use_rep=None, target="accessibility")
        found = reader.read(np.arange(4))
        assert found.is_centred is is_centred
        np.testing.assert_array_equal(found.codes, codes)


def test_one_number_of_regions(small):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, few_shot=50, few_shot_cells=np.array([20]), **QUICK)
    table = gb.get.cross_cell_type(small, rows="few_shot")
    assert set(zip(table["unit"], table["n"], strict=True)) == {("regions", 50), ("cells", 20)}


def test_expression_as_what_the_cell_type_is(small):
    activity = gb.pp.tf_activity(small, copy=True)
    _keys.TF_EXPRESSION.set(small, _keys.TF_ACTIVITY.get(activity) + 3)
    gb.tl.cross_cell_type(small, "none", tf_weight="expression", holdout=PAIR, **QUICK)
    assert means(small).loc["sequence_only", "gain"] > 0.1
    gb.tl.cross_cell_type(small, "none", tf_weight="none", holdout=PAIR, **QUICK)
    assert means(small).loc["sequence_only", "gain"] == 0


@pytest.mark.parametrize("kind", ["binary", "value"])
def test_with_expression_a_type_may_be_unmeasured_where_it_is_held_out_but_not_where_it_is_learnt_from(small, kind):
    activity = gb.pp.tf_activity(small, copy=True)
    _keys.TF_EXPRESSION.set(small, _keys.TF_ACTIVITY.get(activity))
    values = np.array(_keys.ACCESSIBILITY.get(small))
    values[np.asarray(_keys.REGION_SPLIT.get(small)) == "train", 2] = np.nan
    _keys.ACCESSIBILITY.set(small, values)
    options = {"tf_weight": "expression", "kind": kind, **QUICK}
    with pytest.raises(ValueError, match=r"of Monocyte none was measured there\. Hold them out in all folds"):
        gb.tl.cross_cell_type(small, "none", holdout=[PAIR, ["B cell"]], **options)
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, **options)
    table = gb.get.cross_cell_type(small)
    assert table[table["method"] == "genebert"]["value"].notna().all()


def test_binding_is_gated_by_the_accessibility_of_the_new_type(small):
    gb.tl.cross_cell_type(small, target="labels", holdout=[PAIR, ["B cell"]], n_draws=50)
    table = gb.get.cross_cell_type(small, metric="auprc")
    assert set(table["tf"]) == {"CTCF", "REST", "all"}
    auprc = means(small, "auprc")
    assert (
        auprc.loc[["accessibility", "motif", "sequence_only", "mean", "shuffled_accessibility"], "gain_low"].min() > 0
    )
    within = means(small, "auroc", stratum="accessible")
    assert within.loc["genebert", "value"] > 0.95
    assert within.loc["sequence_only", "value"] < within.loc["genebert", "value"]
    assert means(small, "within_region_auroc").loc["motif", "value"] == 0.5
    assert set(table[table["method"] == "mean"]["known"]) == {"train_cell_types"}


def test_binding_with_labels_of_the_training_types_known(small):
    gb.tl.cross_cell_type(small, target="labels", known="train_cell_types", holdout=PAIR, **QUICK)
    auprc = means(small, "auprc")["value"]
    assert auprc["genebert"] > auprc["mean"]


def test_binding_without_accessibility(small):
    del small.mod["atac"]
    with pytest.warns(UserWarning, match="predicted from sequence alone"):
        gb.tl.cross_cell_type(small, target="labels", holdout=[["Monocyte"]], **QUICK)
    found = means(small)
    assert found.loc["genebert", "value"] > 0.6
    assert "open_motif" not in found.index
    assert set(gb.get.cross_cell_type(small, stratum=None)["stratum"]) >= {"all", "gc_low"}


@pytest.mark.parametrize("missing", ["Monocyte", "Progenitor"])
def test_binding_where_one_of_those_held_out_together_has_no_accessibility(small, missing):
    atac = small["atac"]
    small.mod["atac"] = atac[:, [name for name in atac.var_names if name != missing]].copy()
    with pytest.warns(UserWarning, match=f"No accessibility of {missing}"):
        gb.tl.cross_cell_type(small, target="labels", holdout=[PAIR, ["B cell"]], **QUICK)
    table = gb.get.cross_cell_type(small, metric="auroc")
    assert set(table[table["method"] == "accessibility"]["holdout"]) == {"B cell"}
    assert "accessibility" not in means(small).index


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"holdout": "Monocyte"}, r"found 'Monocyte'. Write \['Monocyte'\]"),
        ({"holdout": ["Neuron"]}, "one of B cell"),
        ({"holdout": []}, "name a cell type; found none"),
        ({"holdout": [["Monocyte"], ["Monocyte"]]}, "once in `holdout`; found Monocyte twice"),
        ({"known": "all"}, "`known`"),
        ({"target": "counts"}, "`target`"),
        ({"kind": "counts"}, "`kind`"),
        ({"tf_weight": "strong"}, "`tf_weight`"),
        ({"quarters": "two"}, "`quarters`"),
        ({"n_draws": 3}, "`n_draws`"),
        ({"max_regions": 3}, "`max_regions`"),
        ({"cell_types": ["Neuron", "B cell"]}, "one of B cell"),
        ({"use_rep": "X_none"}, "Run gb.tl.embed"),
        ({"promoters": "tss"}, "`promoters`"),
        ({"holdout": ["Zed"]}, "Expected `holdout`"),
        ({"cell_types": ["Zed"]}, "Expected `cell_types`"),
        ({"seed": -1}, "`seed`"),
        ({"seed": 1.5}, "`seed` to be an integer"),
        ({"seed": 2**32}, "`seed`"),
        ({"few_shot": [0]}, "`few_shot`"),
        ({"few_shot": [5], "tf_weight": "none"}, "the activity that is computed"),
        ({"few_shot": 2.5}, "`few_shot` to be an integer"),
        ({"few_shot_cells": "20"}, "`few_shot_cells` to be an integer"),
        ({"target": "labels", "labels": ["promoter"]}, "name a TF and a cell type"),
        ({"target": "labels", "labels": ["CTCF|Monocyte"], "holdout": "each"}, "two or more cell types"),
        ({"target": "labels", "tf_weight": "activity"}, "`tf_weight`"),
        ({"target": "labels", "kind": "value"}, "Leave `kind` out"),
    ],
)
def test_bad_input(small, options, message):
    with pytest.raises((ValueError, KeyError), match=message):
        gb.tl.cross_cell_type(small, "none", **{"holdout": PAIR, **options})
    assert "cross_cell_type" not in small.uns[_keys.UNS]


def test_what_is_missing_is_named(small):
    split = _keys.REGION_SPLIT.get(small).copy()
    _keys.REGION_SPLIT.set(small, pd.Categorical(np.repeat("train", small.n_obs)))
    with pytest.raises(ValueError, match=r"at least 20 regions in each of the splits train, test; found test \(0\)"):
        gb.tl.cross_cell_type(small, "none", holdout=PAIR)
    _keys.REGION_SPLIT.set(small, split)
    calls = _keys.OPEN.get(small).toarray()
    closed = np.array(_keys.ACCESSIBILITY.get(small))
    closed[np.asarray(split) == "train", 2] = 0
    _keys.ACCESSIBILITY.set(small, closed)
    with pytest.raises(ValueError, match=r"Monocyte have none\. Leave them out"):
        gb.tl.cross_cell_type(small, "none", holdout=PAIR)
    labels = np.array(_keys.LABELS.get(small))
    labels[:, 1] = calls.sum(axis=1)
    _keys.LABELS.set(small, labels)
    with pytest.raises(ValueError, match="Expected labels of 0, 1 or NaN"):
        gb.tl.cross_cell_type(small, target="labels", holdout=PAIR)


def test_the_number_of_train_regions_is_told_and_stored(small, log):
    gb.tl.cross_cell_type(small, "none", holdout=PAIR, max_regions=150, **QUICK)
    assert small.uns[_keys.UNS]["cross_cell_type"]["cross_cell_type"]["params"]["n_regions"] == 150
    assert any("(learnt from 150 train regions): auroc" in message for message in log.messages)


def test_one_cell_type_is_too_few_and_numbers_are_no_names(small):
    with pytest.raises(ValueError, match=r"at least two cell types.*found Monocyte alone. Name more"):
        gb.tl.cross_cell_type(small, "none", cell_types=["Monocyte"])
    for kwargs in ({"cell_types": 3}, {"holdout": 3}, {"holdout": [3, "Monocyte"]}, {"target": "labels", "labels": 3}):
        with pytest.raises(TypeError, match=f"`{list(kwargs)[-1]}` to be a name or a list of names; found 3"):
            gb.tl.cross_cell_type(small, "none", **kwargs)


def test_regions_without_a_place_have_no_surroundings(small):
    small = small.copy()
    columns, rows = [0, 1, 2], np.arange(small.n_obs)
    values = _cell_type_data.target_values(small, rows, columns, kind="binary")
    bare = rows[:9]
    chrom = small["seq"].obs["chrom"].astype(object)
    chrom.iloc[bare] = np.nan
    small["seq"].obs["chrom"] = chrom.astype("category")
    found = _cell_type_data.surroundings(small, rows, columns, kind="binary").read(rows, values)
    mean = np.broadcast_to(values.mean(axis=0)[None, :, None], found[bare].shape)
    np.testing.assert_allclose(found[bare], mean, rtol=1e-5)
    assert not np.allclose(found[9:], mean[:1])
    del small["seq"].obs["start"]
    assert _cell_type_data.surroundings(small, rows, columns, kind="binary") is None


def test_a_stored_activity_counts_the_regions_that_it_is_from(small):
    small = small.copy()
    gb.pp.tf_activity(small)
    used = np.flatnonzero(_keys.IN_TF_ACTIVITY.get(small))
    table = np.array(small["atac"].X, dtype=np.float32)
    table[used[::2], 1] = np.nan
    small["atac"].X = table
    found = _cell_type_data.n_measured(small, used[:10], [0, 1])  # of a sample
    assert found.tolist() == [len(used), len(used) - len(used[::2])]
