"""What training reads, and what the data tell before it."""

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback

import genebert as gb
from genebert import _keys, _mudata
from genebert.model import GeneBERT
from genebert.model._plan import PretrainingPlan
from genebert.model._priors import order_tfs
from genebert.model._settings import objective_weights, resolve_cell_types
from genebert.model._split import split_regions
from genebert.nn import OBJECTIVES


def test_train_and_val_of_the_split(toy):
    split = split_regions(toy, seed=0)
    expected = np.asarray(_keys.REGION_SPLIT.get(toy))
    np.testing.assert_array_equal(split.train, expected == "train")
    np.testing.assert_array_equal(split.val, expected == "val")


@pytest.mark.parametrize("has_split", [True, False])
def test_an_inner_part_is_whole_chromosomes_and_never_test(toy, has_split):
    if has_split:
        _keys.REGION_SPLIT.set(toy, _keys.REGION_SPLIT.get(toy).astype(str).replace({"val": "train"}))
    else:
        del toy[_keys.SEQ].obs[_keys.REGION_SPLIT.key]
    split = split_regions(toy, seed=0)
    chrom = np.asarray(_keys.CHROM.get(toy))
    assert split.val.any()
    assert not set(chrom[split.val]) & set(chrom[split.train])
    if has_split:
        assert not (np.asarray(_keys.REGION_SPLIT.get(toy)) == "test")[split.train | split.val].any()


def test_an_inner_part_of_bare_sequences_is_drawn(toy):
    del toy[_keys.SEQ].obs[_keys.REGION_SPLIT.key], toy[_keys.SEQ].obs[_keys.CHROM.key]
    split = split_regions(toy, seed=0)
    assert split.val.sum() == 60
    assert (split.train ^ split.val).all()


def test_cell_types_that_are_held_out_are_not_read(toy):
    assert len(resolve_cell_types(toy, None)) == 6
    _keys.CELL_TYPE_SPLIT.set(toy, ["train"] * 4 + ["holdout"] * 2)
    assert resolve_cell_types(toy, None) == list(toy[_keys.ATAC].var_names[:4])
    with pytest.raises(ValueError, match="found 'Neuron'"):
        resolve_cell_types(toy, ["Neuron"])


def test_without_accessibility_regions_are_read_alone(toy):
    bare = _mudata.build({name: toy[name] for name in (_keys.SEQ, _keys.TF)})
    assert resolve_cell_types(bare, None) is None
    with pytest.raises(KeyError, match="binarize"):
        resolve_cell_types(bare, ["B cell"])


def test_calls_are_needed_for_windows(toy):
    del toy[_keys.ATAC].layers[_keys.OPEN.key]
    with pytest.raises(KeyError, match="binarize"):
        resolve_cell_types(toy, None)


def test_similar_tfs_become_neighbours(toy):
    tfs = order_tfs(toy)
    assert sorted(tfs) == sorted(toy[_keys.TF].var_names)
    scores = np.asarray(toy[_keys.TF][:, tfs].X)
    along = np.mean([np.corrcoef(scores[:, i], scores[:, i + 1])[0, 1] for i in range(0, 800, 7)])
    apart = np.mean([np.corrcoef(scores[:, i], scores[:, (i + 400) % 857])[0, 1] for i in range(0, 800, 7)])
    assert along > apart + 0.2


def test_filters_start_from_motifs_where_there_are_some(toy):
    def filters(mdata):
        GeneBERT.setup_mudata(mdata)
        return GeneBERT(mdata, preset="tiny").module.sequence_encoder.stem.filters

    with_motifs = filters(toy)
    assert (with_motifs.bias == -2).all()
    del toy[_keys.TF].varm[_keys.MOTIF.key]
    assert (filters(toy).bias > -1).all()


def test_weights_of_objectives():
    assert set(objective_weights(None)) == set(OBJECTIVES)
    assert objective_weights({"matching": 0})["matching"] == 0
    with pytest.raises(ValueError, match="found 'guessing'"):
        objective_weights({"guessing": 1})
    with pytest.raises(ValueError, match="matching"):
        objective_weights({"matching": -1})


def test_scores_need_a_trained_model(toy):
    GeneBERT.setup_mudata(toy)
    with pytest.raises(ValueError, match="Expected a model that was trained"):
        GeneBERT(toy, preset="tiny").get_pretraining_scores()


def test_a_split_without_open_regions_is_refused(toy):
    GeneBERT.setup_mudata(toy)
    _keys.OPEN.get(toy).data[:] = 0
    with pytest.raises(ValueError, match="Expected open regions"):
        GeneBERT(toy, preset="tiny").train(max_epochs=1)


@pytest.mark.slow
def test_what_is_planted_is_learnt_on_chromosomes_that_were_not_seen():
    """Matching, masked region and, since neighbours are alike, next segment are above chance by an interval."""
    toy = gb.datasets.toy(n_regions=1200)
    GeneBERT.setup_mudata(toy)
    model = GeneBERT(toy, preset="tiny")
    model.train(max_epochs=6, batch_size=64, lr=3e-3, objectives={"masked_genome": 0, "next_segment": 1})
    held_out = np.asarray(_keys.REGION_SPLIT.get(toy)) != "train"
    scores = model.get_pretraining_scores(regions=held_out).set_index(["objective", "metric"])
    assert scores.loc[("matching", "recall@1"), "low"] > scores.loc[("matching", "recall@1"), "chance"]
    assert scores.loc[("masked_region", "r2"), "low"] > 0
    assert scores.loc[("next_segment", "auroc"), "low"] > 0.5


@pytest.fixture(scope="module")
def small():
    return gb.datasets.toy(n_regions=120)


def test_training_repeats(small):
    def train():
        GeneBERT.setup_mudata(small)
        model = GeneBERT(small, preset="tiny", seed=3)
        model.train(max_epochs=1, batch_size=32, seed=3)
        return model.digest

    assert train() == train()


@pytest.fixture
def train(small):
    """A tiny model after a short training, with options of `GeneBERT.train`."""

    def run(mdata=None, **options):
        mdata = small.copy() if mdata is None else mdata
        GeneBERT.setup_mudata(mdata)
        model = GeneBERT(mdata, preset="tiny")
        model.train(**{"max_epochs": 2, "batch_size": 32, "lr": 3e-3, **options})
        return model

    return run


def test_the_loss_of_every_step_is_kept(train):
    model = train()
    assert len(model.training_losses) == 12
    mean = model.history["loss_train"]["loss_train"]
    for epoch in range(2):  # objectives are averaged over items, so about the mean over steps
        assert abs(np.mean(model.training_losses[6 * epoch : 6 * epoch + 6]) - mean[epoch]) < 0.1
    assert list(model.history["loss_validation"].index) == [0, 1]


def test_parts_of_a_step_sum_to_the_whole(train):
    """All but matching, whose negatives are those of a part."""
    options = {"objectives": {"matching": 0}, "precision": "64"}
    whole = train(**options)
    for accumulate in (2, 3):
        parts = train(**options, accumulate=accumulate)
        np.testing.assert_allclose(parts.training_losses, whole.training_losses, atol=1e-9)
        np.testing.assert_allclose(parts.pretraining_history["value"], whole.pretraining_history["value"], atol=1e-9)
        assert next(parts.module.parameters()).dtype == torch.float32  # whatever it was trained in


def test_matching_in_parts_has_fewer_candidates(train):
    options = {"objectives": {"masked_genome": 0, "next_segment": 0, "masked_region": 0}}
    chance = [
        train(**options, accumulate=n)
        .pretraining_history.query("split == 'train' and metric == 'recall@1'")["chance"]
        .mean()
        for n in (1, 2)
    ]
    assert chance[1] == pytest.approx(2 * chance[0], rel=0.05)


class Weights(Callback):
    """The weights that each epoch is measured with on held-out regions."""

    def __init__(self):
        self.measured = []

    def on_validation_epoch_end(self, trainer, plan):
        self.measured.append({name: value.clone() for name, value in plan.module.state_dict().items()})


def are_same(model, weights):
    return all(torch.equal(value, weights[name]) for name, value in model.module.state_dict().items())


def test_an_average_of_the_weights_is_measured_and_returned(train):
    seen = Weights()
    last, short, long = train(), train(ema=1e-9), train(ema=0.5, callbacks=[seen])
    assert short.digest == last.digest  # one step back is the last step
    assert long.digest != last.digest
    np.testing.assert_array_equal(last.training_losses, long.training_losses)  # averaging changes no step
    assert are_same(long, seen.measured[-1])


def test_it_stops_when_held_out_regions_gain_nothing_and_keeps_the_best(train, monkeypatch):
    losses, measure = iter([5.0, 4.0, 3.0, 3.5, 3.2]), PretrainingPlan._write

    def scripted(plan, split):
        measured = measure(plan, split)
        return next(losses) if split == "val" else measured

    monkeypatch.setattr(PretrainingPlan, "_write", scripted)
    seen = Weights()
    model = train(max_epochs=12, patience=2, callbacks=[seen])
    assert next(losses, None) is None
    assert len(model.history["loss_validation"]) == 5
    assert are_same(model, seen.measured[2])
    assert not are_same(model, seen.measured[-1])
    monkeypatch.undo()
    still = train(max_epochs=12, lr=0.0, patience=2)
    assert still.pretraining_history["epoch"].max() == 2


def test_half_precision_learns_alike(train):
    full, half = train(), train(precision="bf16")
    assert half.digest != full.digest
    np.testing.assert_allclose(half.training_losses, full.training_losses, rtol=0.05)
    assert half.training_record["precision"] == "bf16"


def test_half_precision_with_the_optimizer_of_gpus(train, monkeypatch):
    """Which is fused, and which Lightning would not clip in 16 bits."""

    class Fused(torch.optim.AdamW):
        def __init__(self, groups, **options):
            super().__init__(groups, **{**options, "fused": True})

    plain = train(max_epochs=1, precision="bf16")
    monkeypatch.setattr(torch.optim, "AdamW", Fused)
    fused = train(max_epochs=1, precision="bf16")
    np.testing.assert_allclose(fused.training_losses, plain.training_losses, rtol=0.02)


def test_a_model_whose_training_fails_can_still_be_used(small):
    class Fail(Callback):
        def on_train_start(self, trainer, plan):
            raise RuntimeError("no more power")

    mdata = small.copy()
    GeneBERT.setup_mudata(mdata)
    model = GeneBERT(mdata, preset="tiny")
    with pytest.raises(RuntimeError, match="no more power"):
        model.train(max_epochs=1, precision="64", callbacks=[Fail()])
    assert next(model.module.parameters()).dtype == torch.float32
    assert not model.module.training


@pytest.mark.parametrize("kind", ["csv", "tensorboard"])
def test_losses_go_to_a_logger_on_request(train, tmp_path, kind):
    train(logger=kind, log_every_n_steps=1, checkpoint_dir=tmp_path)
    (folder,) = (tmp_path / "logs").iterdir()
    if kind == "csv":
        table = pd.read_csv(folder / "metrics.csv")
        assert table["train/loss"].notna().sum() == 12
        assert {"train/matching/recall@1", "val/masked_genome/loss", "rate"} <= set(table.columns)
    else:
        assert any(path.name.startswith("events") for path in folder.iterdir())


def test_progress_tells_device_speed_waiting_and_time_left(train, log):
    train()
    assert "pre-training on cpu: 2 epochs of 6 steps" in log.messages[0]
    assert "epoch 2/2 | val masked_genome" in log.messages[-1]
    for told in ("regions/s", "tokens/s", "% waiting for data", "0 s left"):
        assert told in log.messages[-1]


def test_the_rate_rises_and_falls(train, tmp_path):
    train(logger="csv", log_every_n_steps=1, checkpoint_dir=tmp_path, warmup=0.25)
    rate = pd.read_csv(tmp_path / "logs" / "version_0" / "metrics.csv")["rate"].dropna().to_numpy()
    expected = 3e-3 * np.r_[np.arange(1, 4) / 3, 0.5 * (1 + np.cos(np.pi * np.arange(9) / 9))]
    np.testing.assert_allclose(rate, expected, rtol=1e-6)


def test_gradients_are_clipped(train):
    whole, clipped = train(max_epochs=1), train(max_epochs=1, gradient_clip_val=1e-6)
    assert whole.digest != clipped.digest
    assert train(max_epochs=1, gradient_clip_val=0).digest != whole.digest


def test_on_slurm_no_other_checkpoints_are_written(train, monkeypatch):
    """Lightning would take SIGUSR1 as the order to write one, and start from it the next time."""
    import signal

    for name, value in {
        "NTASKS": "1",
        "JOB_NAME": "train",
        "JOB_ID": "7",
        "PROCID": "0",
        "LOCALID": "0",
        "NODEID": "0",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    handlers = []

    class Look(Callback):
        def on_train_start(self, trainer, plan):
            handlers.append(signal.getsignal(signal.SIGUSR1))

    train(max_epochs=1, callbacks=[Look()])
    assert handlers == [signal.SIG_DFL]


def test_a_store_trains_like_memory_and_gets_the_record(small, tmp_path, monkeypatch):
    """Read block by block: other batches than from memory, so that losses are alike but not equal."""
    monkeypatch.setattr("genebert.model._training.BLOCK", 16)
    gb.io.write(small, tmp_path / "toy.zarr")
    mdata = gb.io.open(tmp_path / "toy.zarr")
    first = gb.tl.pretrain(mdata, preset="tiny", max_epochs=2, batch_size=32, lr=3e-3)
    again = gb.tl.pretrain(gb.io.open(tmp_path / "toy.zarr"), preset="tiny", max_epochs=2, batch_size=32, lr=3e-3)
    assert first.digest == again.digest
    memory = gb.tl.pretrain(small.copy(), preset="tiny", max_epochs=2, batch_size=32, lr=3e-3)
    ours, theirs = (m.history["loss_validation"]["loss_validation"] for m in (first, memory))
    np.testing.assert_allclose(ours, theirs, rtol=0.05)
    history = gb.get.history(gb.io.open(tmp_path / "toy.zarr"))
    np.testing.assert_allclose(history["value"], again.pretraining_history["value"])


def test_bare_sequences_of_any_length(train, small):
    """Those of similar length are read together."""
    seq = small[_keys.SEQ].copy()
    del seq.obs[_keys.CHROM.key]
    codes = np.asarray(seq.obsm[_keys.DNA_CODE.key]).copy()
    for row, length in enumerate(np.random.default_rng(0).integers(60, 200, len(codes))):
        codes[row, length:] = 4
    seq.obsm[_keys.DNA_CODE.key] = codes
    model = train(_mudata.build({_keys.SEQ: seq, _keys.TF: small[_keys.TF]}))
    assert np.isfinite(model.training_losses).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"accumulate": 0}, ValueError, "`accumulate`"),
        ({"accumulate": 17}, ValueError, "`accumulate`"),
        ({"ema": 2.0}, ValueError, "`ema`"),
        ({"patience": 0}, ValueError, "`patience`"),
        ({"precision": "16"}, ValueError, "`precision` to be one of 'auto'"),
        ({"warmup": 1.5}, ValueError, "`warmup`"),
        ({"checkpoint_minutes": -1}, ValueError, "`checkpoint_minutes`"),
        ({"seed": -1}, ValueError, "`seed`"),
        ({"accumulate_grad_batches": 2}, TypeError, "Expected `accumulate`; found `accumulate_grad_batches`"),
        ({"early_stopping": True}, TypeError, "Expected `patience`"),
        ({"strategy": "ddp_spawn"}, ValueError, "`strategy` to be one of 'auto', 'ddp'"),
        ({"logger": "paper"}, ValueError, "`logger` to be one of 'csv', 'tensorboard'"),
        ({"val_check_interval": 2, "checkpoint_dir": "x"}, ValueError, "Expected no `val_check_interval`"),
        ({"limit_train_batches": 4, "checkpoint_dir": "x"}, ValueError, "Expected no `limit_train_batches`.*found 4"),
    ],
)
def test_bad_options_change_nothing(small, options, error, message):
    mdata = small.copy()
    before = set(mdata.uns), set(mdata.uns[_keys.UNS])
    with pytest.raises(error, match=message):
        gb.tl.pretrain(mdata, preset="tiny", max_epochs=1, batch_size=32, **options)
    assert (set(mdata.uns), set(mdata.uns[_keys.UNS])) == before
