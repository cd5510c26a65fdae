"""gb.tl.finetune."""

import numpy as np
import pytest
import torch

import genebert as gb
from genebert import _keys
from genebert.model import GeneBERT
from genebert.nn import PRESETS


@pytest.fixture(scope="module")
def base():
    mdata = gb.datasets.toy(n_regions=120)
    return gb.tl.pretrain(mdata, preset="tiny", max_epochs=1, batch_size=32)


@pytest.fixture(scope="module")
def small():
    return gb.datasets.toy(n_regions=240)


@pytest.mark.parametrize("mode", ["head", "lora", "full"])
def test_modes_train_what_they_say(base, small, mode):
    mdata = small.copy()
    before = base.digest
    model = gb.tl.finetune(mdata, base, labels="promoter", mode=mode, max_epochs=2, lr=1e-2)
    assert base.digest == before
    assert (model.digest == before) == (mode == "head")
    assert model.head_labels == ["promoter"]
    assert (model.head.in_features, model.head.out_features) == (model.module.config.n_latent, 1)
    assert set(model.module.state_dict()) == set(base.module.state_dict())  # adapters are merged
    assert all(weight.requires_grad for weight in model.module.parameters())
    record = mdata.uns[_keys.UNS]["finetune"]["genebert"]
    assert record["params"]["mode"] == mode
    assert record["model"] == model.digest
    assert tuple(record["history"].columns) == _keys.HISTORY_COLUMNS
    heads = base.module.kmer_head.state_dict(), model.module.kmer_head.state_dict()
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_labels_are_learnt_on_chromosomes_that_were_not_seen(base):
    from genebert.model._scores import auroc

    mdata = gb.datasets.toy(n_regions=600)
    model = gb.tl.finetune(mdata, base, labels="promoter", mode="full", lr=3e-3, max_epochs=6)
    embedding = torch.from_numpy(model.get_latent_representation(mdata))
    with torch.no_grad():
        logits = model.head(embedding)[:, 0].numpy()
    test = np.asarray(_keys.REGION_SPLIT.get(mdata)) != "train"
    truth = _keys.LABELS.get(mdata)[:, mdata[_keys.LABEL].var_names.get_loc("promoter")]
    assert auroc(truth[test], logits[test]) > 0.75
    history = model.pretraining_history.query("split == 'val' and metric == 'loss'")
    assert history["value"].min() < history["chance"].iloc[0]


def test_it_reads_the_train_split_only(base, small):
    """Other labels and sequences elsewhere change nothing."""
    changed = small.copy()
    other = np.asarray(_keys.REGION_SPLIT.get(small)) != "train"
    _keys.LABELS.get(changed)[other] = 1 - _keys.LABELS.get(changed)[other]
    _keys.DNA_CODE.get(changed)[other] = 0
    first, second = (gb.tl.finetune(mdata, base, mode="lora", max_epochs=1) for mdata in (small.copy(), changed))
    assert first.digest == second.digest
    assert torch.equal(first.head.weight, second.head.weight)
    assert first.training_record["finetune"]["chromosomes"] == ["chr1", "chr2", "chr3", "chr4"]


def test_all_labels_with_gaps_and_a_store(base, small, tmp_path):
    gb.io.write(small, tmp_path / "toy.zarr")
    mdata = gb.io.open(tmp_path / "toy.zarr")
    model = gb.tl.finetune(mdata, base, mode="head", max_epochs=2)
    assert model.head.out_features == 13
    assert "finetune" in gb.io.open(tmp_path / "toy.zarr").uns[_keys.UNS]
    memory = gb.tl.finetune(small.copy(), base, mode="head", max_epochs=2)
    torch.testing.assert_close(model.head.weight, memory.head.weight)


def test_the_fine_tuned_model_is_saved_and_loaded(base, small, tmp_path):
    model = gb.tl.finetune(small.copy(), base, labels="promoter", mode="lora", max_epochs=1)
    model.save(tmp_path)
    loaded = GeneBERT.load(tmp_path, device="cpu")
    assert loaded.digest == model.digest
    assert loaded.training_record["finetune"]["labels"] == loaded.head_labels == ["promoter"]
    assert torch.equal(loaded.head.weight, model.head.weight)
    assert torch.equal(loaded.head.bias, model.head.bias)
    assert base.head is None
    seen = loaded.training_record["chromosomes"]
    part = small[np.asarray(_keys.CHROM.get(small)) == "chr6"].copy()
    del part[_keys.SEQ].obs[_keys.REGION_SPLIT.key]
    loaded.train(part, max_epochs=1, batch_size=8)
    assert loaded.head is None  # it read what these weights no longer say
    assert loaded.training_record["chromosomes"] == ["chr6"]
    assert loaded.training_record["earlier"]["chromosomes"] == seen  # but they did see those, too
    assert loaded.training_record["earlier"]["finetune"]["labels"] == ["promoter"]


def test_it_repeats_with_dropout_and_leaves_random_numbers_alone(small, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", {**PRESETS["tiny"], "dropout": 0.3})
    mdata = small.copy()
    GeneBERT.setup_mudata(mdata)
    model = GeneBERT(mdata, preset="tiny")
    digests = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        digests.append(gb.tl.finetune(mdata, model, labels="promoter", max_epochs=1).digest)
        assert torch.equal(torch.random.get_rng_state(), state)
    assert digests[0] == digests[1]


def test_shipped_weights_are_the_default(small):
    assert gb.tl.finetune(small.copy(), labels="promoter", mode="head", max_epochs=1).module.config.dim == 192


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"labels": "nothing"}, r"Expected `labels` among the columns.*found nothing"),
        ({"labels": []}, "found none"),
        ({"mode": "half"}, "`mode` to be one of 'full', 'lora', 'head'"),
        ({"max_epochs": 0}, "`max_epochs`"),
        ({"rank": 0}, "`rank`"),
        ({"lr": -1}, "`lr`"),
        ({"patience": 0}, "`patience`"),
        ({"key_added": "a/b"}, "`key_added`"),
        ({"seed": -1}, r"`seed` to be an integer in \[0, 2147483647\]; found -1"),
        ({"seed": 1.5}, "`seed` to be an integer"),
        ({"seed": 2**64}, "`seed` to be an integer"),
        ({"device": "meta"}, "`device` to be \"auto\" or a device of torch .*; found 'meta'"),
        ({"device": None}, '`device` to be "auto" or a device of torch .*; found None'),
    ],
)
def test_bad_arguments_change_nothing(base, small, kwargs, message):
    mdata = small.copy()
    with pytest.raises(ValueError, match=message):
        gb.tl.finetune(mdata, base, **{"labels": "promoter", **kwargs})
    assert "finetune" not in mdata.uns[_keys.UNS]


def test_what_is_no_mudata_is_told(base, small):
    with pytest.raises(TypeError, match="Expected `mdata` to be a MuData; found AnnData"):
        gb.tl.finetune(small["seq"], base, labels="promoter")


def test_labels_that_are_no_classes_or_not_there(base, small):
    mdata = small.copy()
    _keys.LABELS.get(mdata)[0, 0] = 0.5
    with pytest.raises(ValueError, match=r"labels of 0, 1 or NaN"):
        gb.tl.finetune(mdata, base)
    _keys.LABELS.get(mdata)[:] = np.nan
    with pytest.raises(ValueError, match="found 0"):
        gb.tl.finetune(mdata, base)
