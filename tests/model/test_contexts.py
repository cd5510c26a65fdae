"""The accessibility that a task reads: that of the own cell types, and in how many of all a region is open."""

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert import _keys
from genebert.model import Task
from genebert.model._kernel import KernelModel, fit_kernel
from genebert.model._targets import Targets
from genebert.model._task_inputs import Contexts, Inputs
from genebert.tl import _baselines

NAMES = ["A", "B", "C", "D", "E"]
N = 60


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(table, names=NAMES):
    """Bare sequences with this accessibility."""
    index = [f"s{i}" for i in range(len(table))]
    bases = ["".join(row) for row in np.random.default_rng(1).choice(list("ACGT"), (len(table), 30))]
    return gb.io.assemble(
        sequences=pd.Series(bases, index=index), accessibility=pd.DataFrame(table, index=index, columns=names)
    )


def contexts_of(mdata, own=("A", "B"), train=None):
    rows = np.arange(mdata.n_obs) if train is None else train
    return Contexts.of(mdata, list(own), layer="accessibility", own=range(len(own)), train=rows)


def test_the_share_of_all_cell_types_is_read_where_there_are_others(rng):
    table = rng.integers(0, 2, (N, 5)).astype(np.float32)
    mdata = make(table)
    contexts = contexts_of(mdata)
    assert (contexts.atlas, contexts.width) == (tuple(NAMES), 3)
    np.testing.assert_allclose(contexts.read(mdata, slice(None)), np.column_stack([table[:, :2], table.mean(axis=1)]))
    rows = np.array([7, 3])
    np.testing.assert_allclose(contexts.read(mdata, rows), contexts.read(mdata, slice(None))[rows])
    assert contexts.usual == pytest.approx(table[table[:, :2].any(axis=1)].mean())
    np.testing.assert_allclose(contexts.assumed(1, "B"), [[0, 1, contexts.usual]], rtol=1e-6)
    again = Contexts.restore(*contexts.state())
    np.testing.assert_array_equal(again.read(mdata, slice(None)), contexts.read(mdata, slice(None)))
    assert (again.atlas, again.usual, again.own) == (contexts.atlas, contexts.usual, contexts.own)
    counts = make(table * 3.5)  # no calls: gb.pp.binarize makes them
    assert contexts_of(counts).atlas == ()
    np.testing.assert_allclose(contexts.read(counts, slice(5))[:, 2], contexts.usual, rtol=1e-6)
    few = contexts_of(mdata, own=("A", "B", "C"))
    assert (few.atlas, few.read(mdata, slice(None)).shape) == ((), (N, 3))


def test_train_alone_tells_what_is_usual(rng):
    table = rng.integers(0, 2, (N, 5)).astype(np.float32)
    other = np.where(np.arange(N)[:, None] < 30, table, 1)
    assert contexts_of(make(table), train=np.arange(30)).usual == contexts_of(make(other), train=np.arange(30)).usual


def test_what_was_not_measured_is_as_usual(rng):
    table = rng.integers(0, 2, (N, 5)).astype(np.float32)
    contexts = contexts_of(make(table))
    gaps = table.copy()
    gaps[0, 2:] = np.nan  # two of five are left
    gaps[1, 3:] = np.nan  # three of five
    found = contexts.read(make(gaps), slice(None))[:, 2]
    np.testing.assert_allclose(found[:3], [contexts.usual, table[1, :3].mean(), table[2].mean()], rtol=1e-6)
    alone = contexts.elsewhere(make(table[:, :1], ["New"]), "New")
    found = alone.read(make(table[:, :1], ["New"]), slice(None))
    np.testing.assert_allclose(found[:, :2], table[:, [0, 0]] / table[table[:, 0] > 0, 0].mean())
    np.testing.assert_allclose(found[:, 2], contexts.usual, rtol=1e-6)


def test_the_kernel_tells_regions_that_are_open_everywhere(rng):
    share = rng.random(400).astype(np.float32)
    inputs = Inputs(
        rng.integers(0, 4, (400, 40)).astype(np.uint8), rng.normal(size=(400, 5)).astype(np.float32),
        np.column_stack([np.ones(400, dtype=np.float32), share]),
    )  # fmt: skip
    targets = Targets("binary", ["x"], (share > 0.5).astype(np.float32)[:, None])
    contexts = Contexts(["A"], "open", np.ones(1, dtype=np.float32), (0,), tuple(NAMES), 0.5)
    rows = np.arange(300)
    model = fit_kernel(inputs, targets, train=rows, contexts=contexts, is_centred=True, seed=0)
    assert ((model.logits(inputs)[300:, 0] > 0) == (share[300:] > 0.5)).mean() > 0.85
    np.testing.assert_allclose(KernelModel.restore(*model.state()).logits(inputs), model.logits(inputs), atol=1e-4)
    blind = fit_kernel(inputs, targets, train=rows, contexts=contexts._replace(atlas=()), is_centred=True, seed=0)
    assert ((blind.logits(inputs)[300:, 0] > 0) == (share[300:] > 0.5)).mean() < 0.7


def test_a_probe_and_its_baselines_read_own_cell_types_alone(tiny_model, make_small_toy, monkeypatch):
    mdata, widths, fit = make_small_toy(240), [], _baselines.accessibility_alone
    monkeypatch.setattr(
        _baselines, "accessibility_alone", lambda data: widths.append(data.inputs.context.shape[1]) or fit(data)
    )
    task = gb.tl.tf_binding(
        mdata, tiny_model, labels="CTCF|Monocyte", method="probe", baselines=["accessibility", "untrained"]
    )
    assert (task.contexts.atlas, task.contexts.usual, task.contexts.width, widths) == ((), 0, 1, [1])


def test_a_task_reads_the_share_and_the_baseline_does_not(tiny_model, make_small_toy, tmp_path, monkeypatch):
    mdata, widths, fit = make_small_toy(240), [], _baselines.fit_trees
    monkeypatch.setattr(
        _baselines,
        "fit_trees",
        lambda inputs, *args, **options: widths.append(inputs.context.shape[1]) or fit(inputs, *args, **options),
    )
    names = ["motif_boosting", "trees", "accessibility"]
    task = gb.tl.tf_binding(mdata, tiny_model, labels="CTCF|Monocyte", max_epochs=1, baselines=names)
    assert task.contexts.atlas == tuple(mdata["atac"].var_names)
    assert list(task.members[0].models) == ["network", "kmers", "kernel", "trees"]
    assert widths == [2, 1]  # the trees of the task, then the baseline
    assert set(gb.get.evaluation(mdata, key="tf_binding")["method"]) == {"genebert", *names}
    task.save(tmp_path / "task")
    again = Task.load(tmp_path / "task")
    codes = np.asarray(_keys.DNA_CODE.get(mdata))
    np.testing.assert_allclose(again.predict_regions(mdata, slice(0, 9), codes[:9]), task.predict_regions(mdata, slice(0, 9), codes[:9]), atol=1e-5)  # fmt: skip
    few = mdata["atac"].var_names.isin(["Monocyte", "B cell"])
    alone = mdata.copy()
    alone.mod["atac"] = alone["atac"][:, few].copy()
    names.remove("trees")  # such a task has none
    other = gb.tl.tf_binding(alone, tiny_model, labels="CTCF|Monocyte", max_epochs=1, baselines=names)
    assert other.contexts.atlas == ()
    assert widths[2:] == [1]
    assert list(other.members[0].models) == ["network", "kmers", "kernel", "motif_boosting"]
    assert set(gb.get.evaluation(alone, key="tf_binding")["method"]) == {"genebert", *names}
