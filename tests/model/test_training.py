"""What training reads, and what the data tell before it."""

import numpy as np
import pytest

import genebert as gb
from genebert import _keys, _mudata
from genebert.model import GeneBERT
from genebert.model._training import objective_weights, order_tfs, resolve_cell_types, split_regions
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
    toy = gb.datasets.toy(n_regions=1800)
    GeneBERT.setup_mudata(toy)
    model = GeneBERT(toy, preset="tiny")
    model.train(max_epochs=8, batch_size=64, lr=3e-3, objectives={"masked_genome": 0, "next_segment": 1})
    held_out = np.asarray(_keys.REGION_SPLIT.get(toy)) != "train"
    scores = model.get_pretraining_scores(regions=held_out).set_index(["objective", "metric"])
    assert scores.loc[("matching", "recall@1"), "low"] > scores.loc[("matching", "recall@1"), "chance"]
    assert scores.loc[("masked_region", "r2"), "low"] > 0
    assert scores.loc[("next_segment", "auroc"), "low"] > 0.5


def test_training_repeats(toy):
    def train():
        GeneBERT.setup_mudata(toy)
        model = GeneBERT(toy, preset="tiny", seed=3)
        model.train(max_epochs=1, seed=3)
        return model.digest

    assert train() == train()
