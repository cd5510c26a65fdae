"""gb.tl.classify, its presets, and gb.tl.predict."""

import re

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert import _chunks, _keys
from genebert._dna import decode, reverse_complement
from genebert._motifs import WEIGHTS
from genebert.model import Task
from genebert.tl import _baselines, _task_fit
from genebert.tl._baselines import BASELINES, PARTS
from genebert.tl._task_fit import _tell

FAST = {"max_epochs": 1, "baselines": ["kmer"]}


@pytest.fixture
def base(tiny_model):
    return tiny_model


@pytest.fixture(scope="module")
def small(make_small_toy):
    return make_small_toy(240)


@pytest.fixture(scope="module")
def fitted(tiny_model, make_small_toy):
    """A task on toy promoters with all baselines, and its data."""
    mdata = make_small_toy(600)
    task = gb.tl.promoter(mdata, tiny_model, max_epochs=3)
    return mdata, task


def bare(mdata, numbers):
    """The same sequences without coordinates, with one column of class numbers."""
    names = [f"s{i}" for i in range(mdata.n_obs)]
    bases = [decode(row) for row in np.asarray(_keys.DNA_CODE.get(mdata))]
    made = gb.io.assemble(sequences=pd.Series(bases, index=names), labels=pd.DataFrame({"site": numbers}, index=names))
    gb.pp.split_regions(made, by="similarity", val=0)
    return made


def test_promoters_are_learnt_and_compared(fitted):
    mdata, task = fitted
    assert (task.kind, task.outputs, task.seq_length) == ("binary", ["promoter"], 200)
    table = gb.get.evaluation(mdata, key="promoter")
    assert tuple(table.columns) == _keys.EVALUATION_COLUMNS
    assert set(table["method"]) == {"genebert", *BASELINES} - {
        "accessibility",
        "kernel",
        "trees",
    }  # these are for other data
    assert set(table["split"]) == {"val", "test"}
    found = gb.get.evaluation(mdata, key="promoter", split="test", metric="auroc").set_index("method")
    assert found.loc["genebert", "value"] > 0.8  # the motif lies at one place on one strand
    assert found.loc["genebert", "gain"] == 0
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    assert found.loc["kmer", "gain"] == pytest.approx(found.loc["genebert", "value"] - found.loc["kmer", "value"])


def test_slots_are_written_and_survive_a_file(fitted, tmp_path):
    mdata, task = fitted
    gb.io.write(mdata, tmp_path / "x.h5mu")
    back = gb.io.read(tmp_path / "x.h5mu")
    for found in (mdata, back):
        table = found.obsm["promoter_proba"]
        assert list(table.columns) == ["promoter"]
        assert table["promoter"].between(0, 1).all()
        called = found["seq"].obs["promoter"]
        assert list(called.cat.categories) == ["0", "1"]
        assert ((table["promoter"] >= 0.5).astype(int).astype(str).to_numpy() == called.to_numpy()).all()
        record = found.uns[_keys.UNS]["classify"]["promoter"]
        assert record["model"] == task.digest
        assert record["params"]["strands"] == "forward"
    part = mdata[:10]
    assert np.allclose(part.obsm["promoter_proba"], mdata.obsm["promoter_proba"].iloc[:10])


def test_a_task_is_saved_and_loaded(fitted, tmp_path):
    mdata, task = fitted
    codes = np.asarray(_keys.DNA_CODE.get(mdata))[:20]
    task.save(tmp_path)
    with pytest.raises(FileExistsError):
        task.save(tmp_path)
    loaded = Task.load(tmp_path, device="cpu")
    assert loaded.digest == task.digest
    with pytest.raises(ValueError, match=r"Expected a model in .*; found a task. Read it with gb\.model\.Task\.load"):
        gb.tl.load(tmp_path)
    with pytest.raises(ValueError, match=r"Expected a task in .*; found a model"):
        Task.load(WEIGHTS / "mini")
    assert (loaded.kind, loaded.outputs, loaded.tfs) == (task.kind, task.outputs, task.tfs)
    found = task.predict_codes(codes)
    assert (found.dtype, found.shape) == (np.float32, (20, 1))
    assert np.allclose(loaded.predict_codes(codes), found, atol=1e-6)
    assert np.allclose(mdata.obsm["promoter_proba"].iloc[:20], found, atol=1e-5)
    logits = task.logits_codes(codes, batch_size=7)
    assert np.allclose(1 / (1 + np.exp(-logits)), found, atol=1e-5)
    assert np.allclose(task.logits_codes(codes, tf_scores=task.motifs.scan(codes)), logits, atol=1e-5)


def test_predict_new_regions(fitted, tmp_path):
    _, task = fitted
    new = gb.datasets.toy(n_regions=60, rng=1)
    path = tmp_path / "promoter.bedgraph"
    gb.tl.predict(new, task, track=path)
    codes = np.asarray(_keys.DNA_CODE.get(new))
    assert np.allclose(new.obsm["prediction_proba"], task.predict_codes(codes), atol=1e-5)
    written = pd.read_csv(path, sep="\t", header=None)
    assert written.shape == (60, 4)
    assert new.uns[_keys.UNS]["predict"]["prediction"]["model"] == task.digest
    task.save(tmp_path / "task")
    other = gb.tl.predict(new, tmp_path / "task", key_added="again", device="cpu", copy=True)
    assert np.allclose(other.obsm["again_proba"], new.obsm["prediction_proba"], atol=1e-5)
    assert "again_proba" not in new.obsm
    with pytest.raises(ValueError, match=r"Expected codes as uint8 \(sequences, 200\)"):
        task.predict_codes(codes[:, :100])
    with pytest.raises(ValueError, match="Expected no `cell_type`"):
        task.predict_codes(codes, cell_type="Monocyte")


def test_progress_is_told_while_networks_train(base, small, monkeypatch, log):
    monkeypatch.setattr(_chunks, "_TELL_AFTER", 0.0)
    gb.tl.classify(small.copy(), base, labels="promoter", max_epochs=1, baselines=["kmer", "position_1mer"])
    text = "\n".join(log.messages)
    assert re.search(
        r"training a network, 1 epochs at most: \d+ of \d+ regions on cpu \| [\d,.]+ regions/s \| \d+ s left", text
    )
    assert re.search(r"comparing: 1 of 2 baselines on cpu", text)


def test_it_repeats_and_reads_no_label_that_it_is_scored_on(base, small):
    changed = small.copy()
    other = np.asarray(_keys.REGION_SPLIT.get(small)) != "train"
    labels = _keys.LABELS.get(changed)
    labels[other] = 1 - labels[other]
    digests = {
        gb.tl.classify(mdata, base, labels="promoter", **FAST).digest for mdata in (small.copy(), small.copy(), changed)
    }
    assert len(digests) == 1
    assert gb.tl.classify(small.copy(), base, labels="promoter", seed=1, **FAST).digest not in digests


def test_strand_does_not_matter_where_it_should_not(base, small):
    task = gb.tl.classify(small.copy(), base, labels="CTCF|Monocyte", **FAST)
    codes = np.asarray(_keys.DNA_CODE.get(small))[:10]
    assert np.allclose(task.predict_codes(codes), task.predict_codes(reverse_complement(codes)), atol=1e-5)


def test_several_labels_with_gaps_gated_by_accessibility(base, small):
    mdata = small.copy()
    labels = ["CTCF|Monocyte", "REST|Monocyte", "CTCF|B cell"]
    task = gb.tl.tf_binding(mdata, base, labels=labels, max_epochs=2, baselines=["kmer", "accessibility"])
    assert (task.kind, task.outputs) == ("multilabel", labels)
    assert task.contexts.cell_types == ["B cell", "Monocyte"]
    assert task.contexts.own == (1, 1, 0)
    table = gb.get.evaluation(mdata, key="tf_binding", metric="auprc")
    assert set(table["output"]) == {"all", *labels}
    sizes = table[table["method"] == "genebert"].set_index(["split", "output"])[["n_regions", "n_positive", "n_seen"]]
    for split in ("val", "test", "test_open"):  # the share of positives of the mean row is that of its labels
        assert sizes.loc[split, "all"].tolist() == sizes.loc[split].drop("all").mean().round().astype(int).tolist()
        assert sizes.loc[split, "all"]["n_positive"] > 0
    assert "tf_binding" not in mdata["seq"].obs
    lines = gb.pl.evaluation(mdata, key="tf_binding", split="test_open", panel="pr").get_lines()
    dotted = lines[[line.get_label() for line in lines].index("REST|Monocyte") + 1].get_ydata()[0]
    scored = np.asarray(_keys.REGION_SPLIT.get(mdata)) == "test"
    scored &= mdata["atac"][:, "Monocyte"].layers[_keys.OPEN.key].toarray()[:, 0] > 0
    column = mdata[_keys.LABEL].var_names.get_loc("REST|Monocyte")
    assert dotted == pytest.approx(np.nanmean(_keys.LABELS.get(mdata)[scored, column]))  # share of bound regions
    codes = np.asarray(_keys.DNA_CODE.get(mdata))[:5]
    opened, closed = (task.predict_codes(codes, cell_type=name) for name in ("Monocyte", "B cell"))
    assert (opened[:, 0] > closed[:, 0]).mean() > 0.5
    assert task.predict_codes(codes).shape == (5, 3)


def test_several_classes_without_coordinates(base, small, tmp_path):
    mdata = bare(small, np.arange(small.n_obs) % 3)
    task = gb.tl.splice_site(mdata, base, max_epochs=1)
    assert (task.kind, task.outputs) == ("multiclass", ["acceptor", "donor", "neither"])
    assert np.allclose(mdata.obsm["splice_site_proba"].sum(axis=1), 1, atol=1e-5)
    assert set(mdata["seq"].obs["splice_site"]) <= set(task.outputs)
    assert set(gb.get.evaluation(mdata, key="splice_site")["output"]) == {"all", *task.outputs}
    task.save(tmp_path)
    codes = np.asarray(_keys.DNA_CODE.get(mdata))[:4]
    assert np.allclose(Task.load(tmp_path, device="cpu").predict_codes(codes), task.predict_codes(codes), atol=1e-6)
    with pytest.raises(ValueError, match="Expected strands='forward'"):
        gb.tl.splice_site(mdata, base, strands="both")


def test_probe_all_baselines_and_several_models(base, small, tmp_path):
    mdata = small.copy()
    task = gb.tl.classify(mdata, base, labels="promoter", method="probe", n_models=2, class_weight="balanced")
    assert len(task.members) == 2
    assert set(gb.get.evaluation(mdata)["method"]) == {"genebert", *BASELINES} - {"accessibility", *PARTS}
    task.save(tmp_path)
    codes = np.asarray(_keys.DNA_CODE.get(mdata))[:4]
    assert np.allclose(Task.load(tmp_path, device="cpu").predict_codes(codes), task.predict_codes(codes), atol=1e-6)


def test_inner_part_keeps_similar_sequences_together(small):
    from genebert.pp._groups import similar_regions
    from genebert.tl._task_inner import inner_rows

    mdata = bare(small, np.arange(small.n_obs) % 2)
    train = np.ones(mdata.n_obs, dtype=bool)
    inner = inner_rows(mdata, train, seed=0)
    groups = similar_regions(mdata)
    assert 0 < inner.sum() < mdata.n_obs
    assert not set(groups[inner]) & set(groups[~inner])
    by_place = inner_rows(small, train, seed=0)
    chrom = np.asarray(_keys.CHROM.get(small)).astype(str)
    assert not set(chrom[by_place]) & set(chrom[~by_place])


def test_rare_classes_are_on_both_sides_of_the_inner_part(small):
    from genebert.model._targets import Targets
    from genebert.tl._task_inner import inner_rows

    values = np.zeros((small.n_obs, 1), dtype=np.float32)
    values[::40] = 1  # six, of which a cut at random leaves none in the inner part one time in six
    mdata, train = bare(small, values[:, 0]), np.ones(small.n_obs, dtype=bool)
    targets = Targets("binary", ["a"], values)
    for seed in range(20):
        inner = inner_rows(mdata, train, seed=seed, targets=targets)
        assert 0 < values[inner].sum() < 6


def test_parts_of_the_task_are_no_baselines_in_what_is_told(log):
    values = {"genebert": 0.8, **dict.fromkeys(PARTS, 0.9), "kmer": 0.7, "cnn": 0.6}
    table = pd.DataFrame({"method": list(values), "value": list(values.values())}).assign(
        split="test", metric="auroc", output="x"
    )
    _tell(table)
    _tell(table[table["method"].isin(["genebert", *PARTS])])
    assert log.messages == ["test: auroc 0.800, best baseline kmer 0.700", "test: auroc 0.800"]


@pytest.mark.parametrize("has_places", [True, False])
def test_the_kernel_is_told_whether_sequences_are_centred(base, small, monkeypatch, has_places):
    mdata = small.copy() if has_places else bare(small, np.asarray(_keys.LABELS.get(small))[:, 0])
    told, fit = [], _baselines.fit_kernel
    monkeypatch.setattr(
        _baselines, "fit_kernel", lambda *args, **options: told.append(options["is_centred"]) or fit(*args, **options)
    )
    label, options = mdata["labels"].var_names[0], {"max_epochs": 1, "strands": "both", "baselines": ["kernel"]}
    task = gb.tl.classify(mdata, base, labels=label, **options)
    assert told == [has_places]  # one fit: the task's own is the one that stands alone in the table
    assert "kernel" in set(gb.get.evaluation(mdata)["method"])
    assert task.members[0].models["kernel"].is_centred is has_places


def placed(chroms, *, step, seed=0):
    """Random sequences of 60 bp with coordinates, `step` bp apart, on chromosomes of these sizes."""
    rng = np.random.default_rng(seed)
    names = [f"{chrom}:{i * step}-{i * step + 60}" for chrom, size in chroms.items() for i in range(size)]
    bases = pd.Series(["".join(rng.choice(list("ACGT"), 60)) for _ in names], index=names)
    return gb.io.assemble(sequences=bases)


def test_inner_part_is_neither_too_large_nor_too_small():
    from genebert.tl._task_inner import inner_rows

    for chroms in ({"chr1": 3000, "chr2": 10}, {"chr1": 600, "chr2": 600}):  # neither chromosome will do
        mdata = placed(chroms, step=100)
        train = np.ones(mdata.n_obs, dtype=bool)
        for seed in range(3):
            assert 0.1 <= inner_rows(mdata, train, seed=seed).mean() <= 0.3
    mdata = placed({"chr1": 400, "chr2": 50, "chr3": 60, "chr4": 20}, step=100)
    chrom = np.asarray(_keys.CHROM.get(mdata)).astype(str)
    for seed in range(5):
        inner = inner_rows(mdata, np.ones(mdata.n_obs, dtype=bool), seed=seed)
        assert sorted(set(chrom[inner])) == ["chr2", "chr3", "chr4"]  # 130, nearest to the 132 that are wanted
        assert "chr1" in chrom[~inner]


def test_train_regions_that_hang_together_are_refused():
    from genebert.tl._task_inner import inner_rows

    mdata = placed({"chr1": 300, "chr2": 1}, step=30)  # tiles that overlap
    message = r"Expected train regions of which 19 or more can be set apart.*found 1: 300 of 301 hang together"
    with pytest.raises(ValueError, match=message):
        inner_rows(mdata, np.ones(mdata.n_obs, dtype=bool), seed=0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"labels": "nothing"}, r"Expected `labels` among the columns.*found nothing"),
        ({"method": "guess"}, "`method` to be one of 'probe', 'finetune'"),
        ({"strands": "reverse"}, "`strands`"),
        ({"n_models": 0}, "`n_models`"),
        ({"baselines": ["xgboost"]}, "`baselines`"),
        ({"baselines": "kmer"}, r"Write \['kmer'\]"),
        ({"class_weight": "heavy"}, "`class_weight`"),
        ({"seed": -1}, r"`seed` to be an integer in \[0, 2147483647\]; found -1"),
        ({"seed": 1.5}, "`seed` to be an integer"),
        ({"device": "tpu"}, "`device` to be \"auto\" or a device of torch .*; found 'tpu'"),
        ({"tf_weight": "activity"}, "`tf_weight`"),
        ({"key_added": "a/b"}, "`key_added`"),
        ({"key_added": "gc"}, "`key_added`"),
        ({"classes": ["a"]}, "Expected a name for each class"),
    ],
)
def test_bad_arguments_change_nothing(base, small, kwargs, message):
    mdata = small.copy()
    with pytest.raises(ValueError, match=message):
        gb.tl.classify(mdata, base, **{"labels": "promoter", **kwargs})
    assert "classify" not in mdata.uns[_keys.UNS]
    assert _keys.PROBABILITY.key not in mdata.obsm


def test_bad_labels(base, small):
    mdata = small.copy()
    labels = _keys.LABELS.get(mdata)
    column = mdata[_keys.LABEL].var_names.get_loc("promoter")
    labels[:, column] = 0
    with pytest.raises(ValueError, match=r"at least 5 regions of each class.*0 of 1"):
        gb.tl.classify(mdata, base, labels="promoter")
    labels[0, column] = 1
    with pytest.raises(ValueError, match="1 of 1"):
        gb.tl.classify(mdata, base, labels="promoter")
    labels[:, column] = 0.5
    with pytest.raises(ValueError, match=r"gb\.tl\.regress"):
        gb.tl.classify(mdata, base, labels="promoter")
    labels[:, column] = np.where(np.arange(len(labels)) % 2, 1e9, 0)
    with pytest.raises(ValueError, match=r"Expected class numbers 0 to 1.*found 0.0, 1e\+09"):
        gb.tl.classify(mdata, base, labels="promoter")
    labels[:, column] = np.nan
    with pytest.raises(ValueError, match="all values of promoter are missing"):
        gb.tl.classify(mdata, base, labels="promoter")


@pytest.mark.parametrize("value", [0, 1])
def test_splits_of_one_class_are_scored_as_far_as_they_can_be(base, small, value):
    mdata = small.copy()
    labels = _keys.LABELS.get(mdata)
    column = mdata[_keys.LABEL].var_names.get_loc("promoter")
    labels[(_keys.REGION_SPLIT.get(mdata) != "train").to_numpy(), column] = value
    with pytest.warns(
        UserWarning, match="regions of val, test are of one class, so only accuracy, calibration_error were"
    ):
        gb.tl.classify(mdata, base, labels="promoter", method="probe", baselines=["kmer"])
    table = gb.get.evaluation(mdata, split="test")
    assert table["metric"].tolist() == ["accuracy", "calibration_error"] * 2
    called = mdata["seq"].obs["task"][(_keys.REGION_SPLIT.get(mdata) == "test").to_numpy()]
    assert table["value"][0] == pytest.approx((called.astype(int) == value).mean())
    assert "accuracy" in gb.pl.evaluation(mdata).get_xlabel()  # one panel: there are no curves
    with pytest.raises(ValueError, match="Expected panel='forest' of regions that are all of one class; found 'roc'"):
        gb.pl.evaluation(mdata, panel="roc")


def test_a_column_of_the_users_own_is_kept(base, small):
    mdata = small.copy()
    mdata["seq"].obs["cohort"] = "a"
    with pytest.raises(ValueError, match=r'obs\["cohort"\] was not written by a task'):
        gb.tl.classify(mdata, base, labels="promoter", key_added="cohort")
    assert (mdata["seq"].obs["cohort"] == "a").all()


def test_binding_is_yes_or_no(base, small):
    mdata = small.copy()
    labels = _keys.LABELS.get(mdata)
    labels[::3, mdata[_keys.LABEL].var_names.get_loc("CTCF|Monocyte")] = 2
    with pytest.raises(
        ValueError, match=r"labels of 0 \(not bound\), 1 \(bound\) or NaN; found 0.0, 1.0, 2.0 .*gb.tl.classify"
    ):
        gb.tl.tf_binding(mdata, base, labels="CTCF|Monocyte", method="probe")


def test_missing_split(base, small):
    mdata = small.copy()
    del mdata["seq"].obs[_keys.REGION_SPLIT.key]
    with pytest.raises(KeyError, match=r"gb\.pp\.split_regions"):
        gb.tl.classify(mdata, base, labels="promoter")


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"method": "probe"}, "kmers"),
        ({"method": "probe", "tf_weight": "accessibility"}, "network"),
        ({"method": "finetune", "strands": "forward"}, "kernel"),
        ({"method": "finetune"}, "trees"),
    ],
)
def test_parts_that_a_task_does_not_have_are_no_baselines(base, small, kwargs, name):
    mdata = small.copy()
    message = f"with method='{kwargs['method']}': kmer, position_1mer, .*; found {name}, a part of other tasks"
    with pytest.raises(ValueError, match=message):
        gb.tl.classify(mdata, base, labels="CTCF|Monocyte", baselines=["kmer", name], **kwargs)
    assert "classify" not in mdata.uns[_keys.UNS]


def test_regions_that_are_all_train_are_told_before_the_fit(base, small, monkeypatch):
    mdata = small.copy()
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(["train"] * mdata.n_obs))
    for _ in range(2):  # each time, at the line of the user
        with pytest.warns(UserWarning, match=r"nothing tells how good it is.*gb\.pp\.split_regions\(mdata") as told:
            gb.tl.classify(mdata, base, labels="promoter", method="probe", baselines=["kmer"])
        assert [warning.filename for warning in told if "No labelled" in str(warning.message)] == [__file__]
    assert len(gb.get.evaluation(mdata)) == 0
    monkeypatch.setattr(_task_fit, "_data", None)
    with pytest.warns(UserWarning, match="No labelled region"), pytest.raises(TypeError):
        gb.tl.classify(mdata, base, labels="promoter", method="probe")


def test_labels_are_names(base, small):
    for verb in (gb.tl.classify, gb.tl.tf_binding):
        with pytest.raises(TypeError, match="`labels` to be a name or a list of names; found 3"):
            verb(small, base, labels=3)
