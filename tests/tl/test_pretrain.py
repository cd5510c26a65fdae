"""gb.tl.pretrain and gb.tl.load."""

import numpy as np
import pytest

import genebert as gb
from genebert import _keys
from genebert.nn import OBJECTIVES


@pytest.fixture(scope="module")
def _small():
    return gb.datasets.toy(n_regions=120)


@pytest.fixture
def toy(_small):
    """Fewer regions than elsewhere: less to train on."""
    return _small.copy()


@pytest.fixture(scope="module")
def trained(_small):
    mdata = _small.copy()
    return mdata, gb.tl.pretrain(mdata, preset="tiny", max_epochs=2, batch_size=32, key_added="mine")


def test_it_returns_a_model_and_writes_a_record(trained):
    mdata, model = trained
    record = mdata.uns[_keys.UNS]["pretrain"]["mine"]
    assert record["params"]["preset"] == "tiny"
    assert record["model"] == model.digest
    assert tuple(gb.get.history(mdata, key="mine").columns) == _keys.HISTORY_COLUMNS


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_the_record_survives_files(trained, tmp_path, suffix):
    mdata, _ = trained
    gb.io.write(mdata, tmp_path / f"x.{suffix}")
    back = gb.io.read(tmp_path / f"x.{suffix}")
    np.testing.assert_allclose(gb.get.history(back, key="mine")["value"], gb.get.history(mdata, key="mine")["value"])


def test_a_saved_model_embeds_the_same(trained, tmp_path):
    mdata, model = trained
    model.save(tmp_path)
    first, second = (gb.tl.embed(mdata, m, copy=True).obsm[_keys.EMBEDDING.key] for m in (model, tmp_path))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"preset": "huge"}, "`preset`"),
        ({"cell_types": ["Neuron"]}, "found 'Neuron'"),
        ({"max_epochs": 0}, "`max_epochs`"),
        ({"cell_types": []}, "one or more `cell_types`"),
        ({"objectives": {"guessing": 1}}, "guessing"),
        ({"objectives": dict.fromkeys(OBJECTIVES, 0)}, "a weight above 0"),
        ({"key_added": "a/b"}, "`key_added`"),
        ({"seed": 2**64}, r"`seed` to be an integer in \[0, 2147483647\]"),
    ],
)
def test_bad_arguments_write_nothing(toy, kwargs, message):
    before = set(toy.uns), set(toy.uns[_keys.UNS])
    with pytest.raises(ValueError, match=message):
        gb.tl.pretrain(toy, **{"preset": "tiny", "max_epochs": 1, **kwargs})
    assert (set(toy.uns), set(toy.uns[_keys.UNS])) == before


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"device": "cpu"}, "Write accelerator=... instead"),
        ({"n_epochs": 3}, "Write max_epochs=... instead"),
        ({"weight_deacy": 0.1}, "Did you mean weight_decay=...?"),
        ({"colour": 1}, "found `colour`"),
        ({"objectives": ["matching"]}, "weights by name"),
    ],
)
def test_options_that_are_none_are_refused_before_data_are_read(toy, kwargs, message, monkeypatch):
    monkeypatch.setattr("genebert.model._fit.prepare", None)
    with pytest.raises(TypeError, match=message.replace("?", r"\?")):
        gb.tl.pretrain(toy, preset="tiny", **kwargs)


def test_a_gpu_that_is_not_there_is_refused_first(toy, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="found no GPU for 'cuda'"):
        gb.tl.pretrain(toy, preset="tiny", accelerator="cuda")
    with pytest.raises(ValueError, match="found no GPU for 'cuda:1'"):
        gb.tl.embed(toy, device="cuda:1")
    assert _keys.EMBEDDING.key not in toy.obsm


def test_regions_that_learned_positions_do_not_reach_are_refused_before_training(toy, monkeypatch):
    """The toy regions of 200 bp have 197 4-mers; next-segment prediction reads two of them."""
    from genebert.nn import PRESETS

    learned = {**PRESETS["tiny"], "stem": "kmer", "stride": 1, "positions": "learned", "max_tokens": 200}
    monkeypatch.setitem(PRESETS, "tiny", learned)
    options = {"preset": "tiny", "max_epochs": 1, "limit_train_batches": 1}
    with pytest.raises(ValueError, match=r"at most 101 bp, since next-segment prediction reads two at once.*found 200"):
        gb.tl.pretrain(toy, **options)
    gb.tl.pretrain(toy, objectives={"next_segment": 0}, **options)
    monkeypatch.setitem(PRESETS, "tiny", {**learned, "max_tokens": 198})
    with pytest.raises(ValueError, match="at most 199 bp, since the network has positions for 198 tokens"):
        gb.tl.pretrain(toy, objectives={"next_segment": 0}, **options)
    monkeypatch.setitem(PRESETS, "tiny", {**learned, "max_tokens": 397})
    gb.tl.pretrain(toy, **options)


def test_bare_sequences_can_be_trained_on_and_scored(toy):
    from genebert import _mudata

    seq = toy[_keys.SEQ].copy()
    del seq.obs[_keys.CHROM.key]
    bare = _mudata.build({_keys.SEQ: seq, _keys.TF: toy[_keys.TF]})
    model = gb.tl.pretrain(bare, preset="tiny", max_epochs=1)
    scores = model.get_pretraining_scores(regions=np.ones(bare.n_obs, dtype=bool))
    for table in (gb.get.history(bare), scores):
        assert set(table["objective"]) == {"masked_genome", "matching", "masked_region"}


def test_a_view_is_made_an_object_of_its_own(toy):
    view = toy[np.asarray(_keys.CHROM.get(toy) != "chr1")]
    gb.tl.pretrain(view, preset="tiny", max_epochs=1, cell_types="Monocyte")
    assert "pretrain" in view.uns[_keys.UNS]
    assert "pretrain" not in toy.uns[_keys.UNS]
