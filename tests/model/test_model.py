"""GeneBERT as an scvi-tools model: embedding, training, saving."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import genebert as gb
from genebert import _keys, _mudata
from genebert._dna import reverse_complement
from genebert.model import GeneBERT
from genebert.model._pretrained import read_weights, write_weights
from genebert.nn import GeneBERTConfig

CLOSE = 2e-4
"""Some CPUs (AVX-512) round a convolution of one batch size otherwise than that of another, and the norm behind the stem enlarges
that where all filters are silent. What another region, strand or padding would do is a hundred times larger."""


@pytest.fixture(scope="module")
def _quarter(_toy):
    return _toy[::4].copy()


@pytest.fixture
def toy(_quarter):
    """A quarter of the regions that the model was trained on: most tests embed all of them, some one by one."""
    return _quarter.copy()


@pytest.fixture(scope="module")
def whole(_toy):
    return _toy.copy()


@pytest.fixture(scope="module")
def model(whole):
    mdata = whole.copy()
    GeneBERT.setup_mudata(mdata)
    model = GeneBERT(mdata, preset="tiny")
    model.train(max_epochs=3, batch_size=64, lr=3e-3)
    return model


def embed(model, mdata, **kwargs):
    return model.get_latent_representation(mdata, **kwargs)


def test_training_writes_a_record_and_a_history(model, whole):
    record = model.training_record
    assert record["cell_types"] == list(whole[_keys.ATAC].var_names)
    assert record["chromosomes"] == ["chr1", "chr2", "chr3", "chr4"]
    assert record["n_regions"] == (np.asarray(_keys.REGION_SPLIT.get(whole)) == "train").sum()
    history = model.pretraining_history
    assert tuple(history.columns) == _keys.HISTORY_COLUMNS
    assert len(history) == 3 * 2 * 8  # epochs x splits x metrics
    assert np.isfinite(history["value"]).all()


def test_every_objective_improves_while_training(model):
    losses = model.pretraining_history.query("metric == 'loss' and split == 'train'")
    by_objective = losses.pivot(index="epoch", columns="objective", values="value")
    assert (by_objective.iloc[-1] < by_objective.iloc[0]).all()


@pytest.mark.parametrize("strands", ["both", "forward"])
def test_a_region_alone_in_a_batch_in_another_order_or_subset(model, toy, strands):
    full = embed(model, toy, strands=strands)
    assert full.dtype == np.float32
    order = np.random.default_rng(0).permutation(toy.n_obs)[:50]
    np.testing.assert_allclose(embed(model, toy[order].copy(), strands=strands), full[order], atol=CLOSE)
    np.testing.assert_allclose(embed(model, toy[[7]].copy(), strands=strands)[0], full[7], atol=CLOSE)
    np.testing.assert_allclose(embed(model, toy, strands=strands, batch_size=7), full, atol=CLOSE)


def test_with_a_cell_type_batch_and_order_change_nothing(model, toy):
    full = embed(model, toy, cell_type="Monocyte")
    order = np.random.default_rng(0).permutation(toy.n_obs)
    np.testing.assert_allclose(embed(model, toy, cell_type="Monocyte", batch_size=9), full, atol=CLOSE)
    np.testing.assert_allclose(embed(model, toy[order].copy(), cell_type="Monocyte"), full[order], atol=CLOSE)


def test_a_closed_region_has_a_window_of_one(model, toy):
    alone, among = embed(model, toy), embed(model, toy, cell_type="Monocyte")
    is_open = _keys.OPEN.get(toy)[:, [2]].toarray()[:, 0] > 0
    np.testing.assert_allclose(among[~is_open], alone[~is_open], atol=CLOSE)
    moved = np.abs(among[is_open] - alone[is_open]).max(axis=1)
    assert (moved > 1e-3).mean() > 0.9


def test_the_strand_changes_nothing_by_default(model, toy):
    turned = toy.copy()
    _keys.DNA_CODE.set(turned, reverse_complement(_keys.DNA_CODE.get(toy)))
    np.testing.assert_allclose(embed(model, turned), embed(model, toy), atol=CLOSE)
    difference = embed(model, turned, strands="forward") - embed(model, toy, strands="forward")
    assert np.abs(difference).max() > 1e-2


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("max_seq_length", [None, 70])
def test_no_pooling_depends_on_strand_batch_or_padding(model, toy, pooling, max_seq_length):
    options = {"pooling": pooling, "max_seq_length": max_seq_length}
    toy = toy[:60].copy()
    _keys.DNA_CODE.get(toy)[::2, 130:] = 4  # of two lengths
    full = embed(model, toy, **options)
    np.testing.assert_allclose(embed(model, toy, batch_size=7, **options), full, atol=CLOSE)
    np.testing.assert_allclose(embed(model, toy[[8]].copy(), **options)[0], full[8], atol=CLOSE)
    turned = toy.copy()
    _keys.DNA_CODE.set(turned, reverse_complement(_keys.DNA_CODE.get(toy)))
    np.testing.assert_allclose(embed(model, turned, **options), full, atol=CLOSE)
    padded = toy.copy()
    _keys.DNA_CODE.set(padded, np.pad(_keys.DNA_CODE.get(toy), ((0, 0), (3, 8)), constant_values=4))
    np.testing.assert_allclose(embed(model, padded, **options), full, atol=CLOSE)
    assert np.abs(full - embed(model, toy))[:, : model.module.config.dim].max() > 1e-2 or options == {
        "pooling": "mean", "max_seq_length": None,
    }  # fmt: skip


def test_regions_that_fit_have_the_same_numbers(model, toy):
    full = embed(model, toy)
    np.testing.assert_array_equal(embed(model, toy, max_seq_length=200), full)
    assert np.abs(embed(model, toy, max_seq_length=196) - full).max() > 1e-2


def test_longer_regions_than_there_are_positions_for(toy):
    small = {"positions": "learned", "norm": "post", "max_tokens": 12}  # 12 - 2 k-mers of 4 bases, one every 4
    tfs = list(toy[_keys.TF].var_names)
    model = GeneBERT(tfs=tfs, config=GeneBERTConfig.preset("tiny", n_tfs=len(tfs), **small))
    toy = toy[:20].copy()
    _keys.DNA_CODE.get(toy)[5, 40:] = 4
    full = embed(model, toy)
    assert np.isfinite(full).all()
    np.testing.assert_array_equal(embed(model, toy, max_seq_length=40), full)
    np.testing.assert_allclose(embed(model, toy[[5]].copy())[0], full[5], atol=CLOSE)  # which fits
    with pytest.raises(ValueError, match=r"`max_seq_length` to be an integer in \[4, 40\]; found 41"):
        embed(model, toy, max_seq_length=41)


def test_layers_differ(toy):
    tfs = list(toy[_keys.TF].var_names)
    model = GeneBERT(tfs=tfs, config=GeneBERTConfig.preset("tiny", n_tfs=len(tfs), n_layers=2))
    toy = toy[:20].copy()
    np.testing.assert_array_equal(embed(model, toy, layer=1), embed(model, toy))
    first = embed(model, toy, layer=0)
    np.testing.assert_array_equal(embed(model, toy, layer=-2), first)
    assert np.abs(first - embed(model, toy))[:, :32].max() > 1e-2
    np.testing.assert_array_equal(first[:, 32:], embed(model, toy)[:, 32:])  # the matrix is read as before


@pytest.mark.parametrize(("before", "behind"), [(0, 9), (5, 0), (3, 8)])
def test_padding_changes_nothing(model, toy, before, behind):
    padded = toy.copy()
    _keys.DNA_CODE.set(padded, np.pad(_keys.DNA_CODE.get(toy), ((0, 0), (before, behind)), constant_values=4))
    np.testing.assert_allclose(embed(model, padded), embed(model, toy), atol=CLOSE)


def test_tfs_in_another_order(model, toy):
    shuffled = toy.copy()
    order = np.random.default_rng(0).permutation(toy[_keys.TF].n_vars)
    _mudata.put(shuffled, **{_keys.TF: toy[_keys.TF][:, order].copy()})
    np.testing.assert_allclose(embed(model, shuffled), embed(model, toy), atol=CLOSE)


def test_an_absent_modality_leaves_its_half_zero(model, toy):
    full, dim = embed(model, toy), model.module.config.dim
    bare = _mudata.build({_keys.SEQ: toy[_keys.SEQ]})
    np.testing.assert_allclose(embed(model, bare)[:, :dim], full[:, :dim], atol=CLOSE)
    assert (embed(model, bare)[:, dim:] == 0).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"cell_type": "Neuron"}, r"one of B cell.*found 'Neuron'"),
        ({"tf_weight": "open"}, "Expected a `cell_type`"),
        ({"tf_weight": "loud"}, r"`tf_weight` to be one of 'none'.*found 'loud'"),
        ({"strands": "left"}, "`strands`"),
        ({"pooling": "sum"}, "`pooling` to be one of 'mean', 'cls', 'max'; found 'sum'"),
        ({"layer": 1}, r"`layer` to be an integer in \[-1, 0\]; found 1"),
        ({"max_seq_length": 3}, r"`max_seq_length` to be an integer, 4 or more; found 3"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_bad_arguments(model, toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        embed(model, toy, **kwargs)


def test_weights_of_a_cell_type_change_the_region_half(model, toy):
    plain = embed(model, toy, cell_type="Monocyte")
    weighted = embed(model, toy, cell_type="Monocyte", tf_weight="accessibility")
    dim = model.module.config.dim
    np.testing.assert_allclose(weighted[:, :dim], plain[:, :dim], atol=CLOSE)
    assert np.abs(weighted[:, dim:] - plain[:, dim:]).max() > 1e-2


def test_saving_and_loading(model, toy, tmp_path):
    model.save(tmp_path / "model")
    loaded = GeneBERT.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(embed(loaded, toy), embed(model, toy))
    assert loaded.tfs == model.tfs
    assert loaded.training_record == json.loads(json.dumps(model.training_record))
    assert loaded.digest == model.digest
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(tmp_path / "model")
    model.save(tmp_path / "model", overwrite=True, half_precision=True)
    half = GeneBERT.load(tmp_path / "model", toy, device="cpu")
    np.testing.assert_allclose(half.get_latent_representation(), embed(model, toy), atol=0.05)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]


def test_other_files_of_a_model_folder_stay(model, tmp_path):
    (tmp_path / "MODEL_CARD.md").write_text("card")
    model.save(tmp_path)
    assert (tmp_path / "MODEL_CARD.md").read_text() == "card"


def test_damaged_or_foreign_weights_are_refused(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        GeneBERT.load(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="cannot be read"):
        GeneBERT.load(tmp_path)
    save_file({"x": np.ones(3)}, path)
    with pytest.raises(ValueError, match="carries no description"):
        GeneBERT.load(tmp_path)
    model.save(tmp_path, overwrite=True)
    description = json.loads((tmp_path / "config.json").read_text())
    tensors = load_file(path)
    tensors["tf_mean"] = tensors["tf_mean"] + 1
    save_file(tensors, path, metadata={"genebert": json.dumps(description)})
    with pytest.raises(ValueError, match="sha256"):
        GeneBERT.load(tmp_path)
    save_file(tensors, path, metadata={"genebert": json.dumps({**description, "format_version": 99})})
    with pytest.raises(ValueError, match="Upgrade genebert"):
        GeneBERT.load(tmp_path)


def test_a_failed_save_leaves_the_old_model(model, toy, tmp_path, monkeypatch):
    model.save(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save(tmp_path, overwrite=True)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_an_anndata_is_refused(toy):
    with pytest.raises(TypeError, match="from_anndata"):
        GeneBERT.setup_anndata(toy[_keys.SEQ])


def test_missing_slots_name_their_function(toy):
    bare = _mudata.build({_keys.SEQ: toy[_keys.SEQ]})
    with pytest.raises(KeyError, match="scan_motifs"):
        GeneBERT.setup_mudata(bare)


def test_regions_without_a_base_get_a_zero_half_whatever_the_batch(model, toy):
    dim = model.module.config.dim
    _keys.DNA_CODE.get(toy)[5] = 4
    full = embed(model, toy)
    assert (full[5, :dim] == 0).all()
    np.testing.assert_allclose(embed(model, toy[[5]].copy())[0], full[5], atol=CLOSE)
    np.testing.assert_allclose(embed(model, toy, batch_size=1), full, atol=CLOSE)


def test_scores_of_another_kind_are_refused(model, toy):
    gb.pp.scan_motifs(toy, score="count")
    with pytest.raises(ValueError, match=r"score='max', as the model was trained on; found 'count'.*scan_motifs"):
        embed(model, toy)


def test_a_model_without_data_asks_for_it(model, tmp_path):
    model.save(tmp_path)
    loaded = GeneBERT.load(tmp_path, device="cpu")
    for call in (loaded.get_latent_representation, loaded.train, loaded.get_pretraining_scores):
        with pytest.raises(ValueError, match="loaded without data"):
            call()
    with pytest.raises(ValueError, match="`mdata` or `tfs`"):
        GeneBERT()


def test_training_on_keeps_the_moments_that_the_weights_know(model, toy, tmp_path):
    model.save(tmp_path)
    loaded = GeneBERT.load(tmp_path, device="cpu")
    before = loaded.module.tf_mean.clone()
    loaded.train(toy[: toy.n_obs // 2].copy(), max_epochs=1)
    assert (loaded.module.tf_mean == before).all()
    assert loaded.digest != model.digest


def test_weights_of_another_layout_are_refused(model, tmp_path):
    model.save(tmp_path)
    state, description = read_weights(tmp_path)
    del state["tf_mean"]
    rest = {name: description[name] for name in ("config", "tfs", "training")}
    write_weights(tmp_path, state, rest, overwrite=True, half=False)
    with pytest.raises(ValueError, match=r"1 in .* differ, the first is tf_mean: expected \(857,\), found None"):
        GeneBERT.load(tmp_path)


def test_scores_on_regions_of_the_wrong_shape(model, toy):
    with pytest.raises(ValueError, match=r"`regions` as bool \(150,\); found"):
        model.get_pretraining_scores(toy, regions=np.arange(5))


def test_a_config_for_other_tfs(toy):
    with pytest.raises(ValueError, match="n_tfs=3"):
        GeneBERT(tfs=["A"], config=GeneBERTConfig.preset("tiny", n_tfs=3))


def test_absent_modalities_and_other_lengths_are_told(model, toy, log):
    bare = _mudata.build({_keys.SEQ: toy[_keys.SEQ]})
    embed(model, bare)
    assert 'mdata["tf"].X is missing: its columns of the embedding are 0. gb.pp.scan_motifs' in log.text
    _keys.DNA_CODE.set(toy, np.tile(_keys.DNA_CODE.get(toy), 2))
    with pytest.warns(UserWarning, match=r"about 200 bp.*found 400 bp.*seq_length=200"):
        embed(model, toy)
