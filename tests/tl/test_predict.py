"""gb.tl.predict: other cell types, lengths, keys, and stores."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch

import genebert as gb
from genebert import _keys, _mudata, _transaction
from genebert._dna import N, decode
from genebert.model import Task
from genebert.model._stack import Member, Stack
from genebert.model._task_inputs import MotifSet
from genebert.tl import _task_results

LABELS = ["CTCF|Monocyte", "CTCF|B cell", "REST|B cell"]


@pytest.fixture(scope="module")
def gated(tiny_model, make_small_toy):
    """A task that reads accessibility, and its data."""
    mdata = make_small_toy(240)
    options = {"method": "probe", "baselines": ["accessibility"], "tf_weight": "accessibility"}
    return mdata, gb.tl.tf_binding(mdata, tiny_model, labels=LABELS, **options)


class Bases:
    """Logits that are linear in the bases, with random weights: as many outputs as one likes, at no cost."""

    name = "bases"

    def __init__(self, length, n_outputs):
        self.weight = np.random.default_rng(0).normal(size=(length, N + 1, n_outputs)).astype(np.float32)
        self.weight[:, N] = 0

    def logits(self, inputs):
        return self.weight[np.arange(len(self.weight)), inputs.codes].sum(axis=1)

    def state(self):
        return {}, {"weight": torch.from_numpy(self.weight)}


def plain_task(*, n_outputs=1, seq_length=40, kind="multilabel", **record):
    model = Bases(seq_length, n_outputs)
    members = [Member({"bases": model}, Stack(np.ones(1, dtype=np.float32), np.zeros(n_outputs, dtype=np.float32)))]
    motifs = MotifSet(["A"], np.ones((1, 3, 4), dtype=np.float32))
    outputs = [f"o{i}" for i in range(n_outputs)]
    return Task(kind=kind, outputs=outputs, seq_length=seq_length, members=members, motifs=motifs, record=record)


def random_bases(n, length, *, seed=0):
    return np.random.default_rng(seed).integers(0, 4, (n, length), dtype=np.uint8)


def bare(codes):
    names = [f"s{i}" for i in range(len(codes))]
    return gb.io.assemble(sequences=pd.Series([decode(row) for row in codes], index=names))


def with_accessibility(mdata, **columns):
    """The same bases with another table of accessibility, of values that are no counts."""
    bases = pd.Series([decode(row) for row in np.asarray(_keys.DNA_CODE.get(mdata))], index=mdata.obs_names)
    table = pd.DataFrame(columns, index=mdata.obs_names).astype(np.float32)
    return gb.io.assemble(sequences=bases, accessibility=table)


def test_another_cell_type_takes_the_place_of_all(gated):
    mdata, task = gated
    names = list(mdata[_keys.ATAC].var_names)
    table = np.asarray(mdata[_keys.ATAC].X)
    mono, other = (table[:, names.index(name)] for name in ("Monocyte", "Erythroid cell"))
    new = with_accessibility(mdata, New=other, Monocyte=mono)
    gb.tl.predict(new, task, cell_type="New", key_added="there")
    found = new.obsm["there_proba"]
    assert list(found.columns) == [f"{name} in New" for name in LABELS]
    params = new.uns[_keys.UNS]["predict"]["there"]["params"]
    assert (params["cell_type"], new.uns[_keys.UNS]["predict"]["there"]["model"]) == ("New", task.digest)
    # The same by hand: what every output reads is the accessibility of New, over its mean where it is open.
    unit = other / other[other > 0].mean()
    codes = np.asarray(_keys.DNA_CODE.get(mdata))
    by_hand = task._finished(task._logits(codes, None, np.stack([unit, unit], axis=1), batch_size=256))
    assert np.allclose(found, by_hand, atol=1e-5)
    assert np.abs(found["CTCF|Monocyte in New"] - found["CTCF|B cell in New"]).max() > 1e-3  # two opinions
    assert task.outputs == LABELS  # the task is as it was
    assert task.contexts.cell_types == ["B cell", "Monocyte"]


def test_a_fitted_cell_type_keeps_its_unit(gated):
    mdata, task = gated
    column = np.asarray(mdata[_keys.ATAC].X)[:, list(mdata[_keys.ATAC].var_names).index("Monocyte")]
    few = with_accessibility(mdata[:10], Monocyte=column[:10])
    gb.tl.predict(few, task, cell_type="Monocyte")  # though hardly a region is there to measure it on
    unit = column[:10] / task.contexts.scale[task.contexts.cell_types.index("Monocyte")]
    codes = np.asarray(_keys.DNA_CODE.get(few))
    by_hand = task._finished(task._logits(codes, None, np.stack([unit, unit], axis=1), batch_size=256))
    assert np.allclose(few.obsm["prediction_proba"], by_hand, atol=1e-5)


def test_a_track_in_another_cell_type(gated, tmp_path):
    mdata, task = gated
    new = with_accessibility(mdata, New=np.asarray(mdata[_keys.ATAC].X)[:, 2])
    gb.tl.predict(new, task, cell_type="New", track=tmp_path / "x.bedgraph", output="REST|B cell")
    written = pd.read_csv(tmp_path / "x.bedgraph", sep="\t", header=None, index_col=[0, 1, 2])[3]
    places = pd.MultiIndex.from_frame(new["seq"].obs[[_keys.CHROM.key, _keys.START.key, _keys.END.key]])
    assert np.allclose(written.loc[places], new.obsm["prediction_proba"]["REST|B cell in New"], rtol=1e-4)


def test_where_nothing_was_measured_nothing_is_predicted(gated, tmp_path):
    mdata, task = gated
    names = list(mdata[_keys.ATAC].var_names)
    table = np.array(mdata[_keys.ATAC].X, dtype=np.float32)[:, [names.index(name) for name in ("B cell", "Monocyte")]]
    gb.tl.predict(full := with_accessibility(mdata, **dict(zip(("B cell", "Monocyte"), table.T, strict=True))), task)
    table[:7, 0] = np.nan
    new = with_accessibility(mdata, **dict(zip(("B cell", "Monocyte"), table.T, strict=True)))
    with pytest.warns(UserWarning, match=rf"B cell, Monocyte.*not measured.*7 of {mdata.n_obs} are NaN"):
        gb.tl.predict(new, task, track=tmp_path / "x.bedgraph", output="REST|B cell")
    found = new.obsm["prediction_proba"]
    is_missing = np.zeros(found.shape, dtype=bool)
    is_missing[:7] = [name.endswith("B cell") for name in found.columns]
    assert np.array_equal(found.isna(), is_missing)
    assert np.array_equal(found.to_numpy()[7:], full.obsm["prediction_proba"].to_numpy()[7:])
    assert len((tmp_path / "x.bedgraph").read_text().splitlines()) == mdata.n_obs - 7


def test_labels_are_left_out_where_nothing_was_measured(gated, tiny_model):
    mdata = gated[0].copy()
    options = {"method": "probe", "baselines": ["accessibility"], "labels": LABELS}
    names, table = list(mdata[_keys.ATAC].var_names), np.array(mdata[_keys.ATAC].X, dtype=np.float32)
    table[::3, names.index("B cell")] = np.nan
    mdata[_keys.ATAC].X = table
    with pytest.warns(UserWarning, match=r"labels left out of B cell \(\d+\)"):
        gb.tl.tf_binding(mdata, tiny_model, tf_weight="accessibility", **options)
    rows = gb.get.evaluation(mdata, key="tf_binding", metric="auroc")
    n = rows[rows["method"] == "genebert"].groupby("output", observed=True)["n_regions"].first()
    assert n["REST|B cell"] < n["CTCF|Monocyte"]
    table[:, names.index("B cell")] = np.nan
    table[:3, names.index("Monocyte")] = np.nan
    mdata[_keys.ATAC].X = table
    before = mdata.copy()
    with pytest.raises(ValueError, match=r"accessibility of B cell in labelled regions.*tf_weight='none'"):
        gb.tl.tf_binding(mdata, tiny_model, tf_weight="accessibility", **options)
    assert list(mdata.obsm) == list(before.obsm)


def test_cell_types_that_cannot_be_read(gated):
    mdata, task = gated
    closed = np.zeros(mdata.n_obs)
    closed[:19] = 1.5
    new = with_accessibility(mdata, New=closed)
    with pytest.raises(ValueError, match=r"Expected 20 regions or more that are open in 'New'.*found 19"):
        gb.tl.predict(new, task, cell_type="New")
    with pytest.raises(ValueError, match=r"`cell_type` to be one of New; found 'Neuron'"):
        gb.tl.predict(new, task, cell_type="Neuron")
    with pytest.raises(ValueError, match=r"\['B cell', 'Monocyte'\] are missing"):
        gb.tl.predict(new, task)
    with pytest.raises(ValueError, match="Expected no `cell_type`"):
        gb.tl.predict(bare(random_bases(5, 40)), plain_task(), cell_type="New")
    assert "prediction_proba" not in new.obsm


@pytest.mark.parametrize("is_centred", [False, True])
def test_shorter_sequences_are_padded_as_those_of_the_fit(is_centred):
    codes, task = random_bases(6, 31), plain_task(is_centred=is_centred)
    mdata = bare(codes)
    gb.tl.predict(mdata, task)
    padded = np.full((6, 40), N, dtype=np.uint8)
    padded[:, 4 * is_centred : 4 * is_centred + 31] = codes
    assert np.allclose(mdata.obsm["prediction_proba"], task.predict_codes(padded))


def test_the_fit_tells_how_sequences_lay(gated):
    assert gated[1].record["is_centred"]


def test_other_lengths_are_refused(gated):
    with pytest.raises(ValueError, match=r"Expected sequences of at most 40 bp.*the longest has 41 bp. Cut them"):
        gb.tl.predict(bare(random_bases(5, 41)), plain_task())
    mdata, _ = gated
    with pytest.raises(ValueError, match=r"Expected windows of 240 bp.*found 200 bp. Run gb.pp.add_sequence"):
        gb.tl.predict(mdata, plain_task(seq_length=240))


def test_what_no_task_wrote_is_kept():
    mdata, task = bare(random_bases(5, 40)), plain_task(kind="binary")
    gb.tl.predict(mdata, task, key_added="mine")
    gb.tl.predict(mdata, task, key_added="mine")  # its own may be replaced
    gb.tl.predict(mdata, plain_task(n_outputs=2), key_added="mine")  # several labels, which have no calls
    gb.tl.predict(mdata, task, key_added="mine")
    mdata["seq"].obs["batch"] = "a"
    with pytest.raises(
        ValueError, match=r'mdata\["seq"\].obs\["batch"\] was not written by a task. Choose another key'
    ):
        gb.tl.predict(mdata, task, key_added="batch")
    assert (mdata["seq"].obs["batch"] == "a").all()
    mdata.obsm["theirs_proba"] = np.zeros((5, 2))
    with pytest.raises(ValueError, match=r'mdata.obsm\["theirs_proba"\] was not written by a task'):
        gb.tl.predict(mdata, task, key_added="theirs")
    gb.tl.predict(mdata, plain_task(n_outputs=2), key_added="two")
    mdata["seq"].obs["two"] = "a"  # a task wrote probabilities under this key, but no column
    with pytest.raises(ValueError, match=r'obs\["two"\] was not written'):
        gb.tl.predict(mdata, task, key_added="two")


def stored(codes, path):
    """An opened store of these bases, on two chromosomes."""
    table = pd.DataFrame({"chrom": ["chr1", "chr2"] * (len(codes) // 2), "start": 50 * np.arange(len(codes))})
    mdata = gb.io.read_regions(table.assign(end=table["start"] + codes.shape[1]))
    _keys.DNA_CODE.set(mdata, codes)
    with _mudata.quiet():
        gb.io.write(mdata, path)
    return gb.io.open(path)


def test_results_go_into_an_opened_store(tmp_path):
    codes, task = random_bases(100, 40), plain_task(n_outputs=3, kind="multiclass")
    mdata = stored(codes, tmp_path / "x.zarr")
    expected = task.predict_codes(np.asarray(_keys.DNA_CODE.get(mdata)))
    gb.tl.predict(mdata, task, track=tmp_path / "x.bedgraph", output="o1")
    again = gb.io.open(tmp_path / "x.zarr")
    for found in (mdata, again):
        matrix = found.obsm["prediction_proba"]
        assert hasattr(matrix, "compute")  # it stays in the store
        assert np.allclose(matrix.compute(), expected)
        assert (found["seq"].obs["prediction"] == np.array(task.outputs)[expected.argmax(axis=1)]).all()
        assert list(found.uns[_keys.UNS]["predict"]["prediction"]["params"]["outputs"]) == task.outputs
    written = pd.read_csv(tmp_path / "x.bedgraph", sep="\t", header=None)
    assert np.allclose(np.sort(written[3]), np.sort(expected[:, 1]), rtol=1e-4)
    in_memory = gb.tl.predict(again, task, copy=True)
    assert list(in_memory.obsm["prediction_proba"].columns) == task.outputs


def test_memory_does_not_grow_with_the_regions(tmp_path, monkeypatch):
    task, sizes = plain_task(n_outputs=50, seq_length=6), []
    for module in (_task_results, _transaction):  # chunks of what is read, and of the store
        monkeypatch.setattr(module, "ROWS", 1000)
    predict = Task.predict_regions
    monkeypatch.setattr(Task, "predict_regions", lambda self, *args: sizes.append(len(args[2])) or predict(self, *args))
    peaks = []
    for n_regions in (1000, 4000, 14_000):  # the first one loads what is loaded once
        mdata = stored(random_bases(n_regions, 6), tmp_path / f"{n_regions}.zarr")
        tracemalloc.start()
        gb.tl.predict(mdata, task)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(sizes) == 1000
    values = 10_000 * 50 * 4  # bytes of the predictions that the last one has more
    assert peaks[2] - peaks[1] < values / 4


def test_a_cell_type_that_was_not_measured_is_told(gated):
    mdata, task = gated
    new = with_accessibility(mdata, HSC=np.full(mdata.n_obs, np.nan), Monocyte=np.ones(mdata.n_obs))
    with pytest.raises(
        ValueError, match=f"Expected accessibility of 'HSC'; it was not measured in any of the {mdata.n_obs} regions"
    ):
        gb.tl.predict(new, task, cell_type="HSC")
    assert "prediction_proba" not in new.obsm


def test_what_is_no_task_and_no_folder_is_told(gated, tmp_path):
    mdata, task = gated
    with pytest.raises(TypeError, match="Expected `task` to be a fitted task, or the folder of one; found MuData"):
        gb.tl.predict(mdata, mdata)
    for verb in (task.save, gb.model.Task.load, gb.model.GeneBERT.load):
        with pytest.raises(TypeError, match="Expected the path of a folder; found NoneType"):
            verb(None)
    with pytest.raises(FileNotFoundError, match=r"Expected a fitted task in .*Write one with `task\.save\(folder\)`"):
        gb.model.Task.load(tmp_path / "nope")
    with pytest.raises(FileNotFoundError, match=r"Expected a genebert model in .*`model\.save\(folder\)`"):
        gb.model.GeneBERT.load(tmp_path / "nope")
