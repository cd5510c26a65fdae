"""Batches of windows."""

import numpy as np
import pytest

from genebert import _keys
from genebert._data import RegionSource, WindowDataset, cell_type_weight, loader, open_windows


@pytest.fixture
def make(toy):
    tfs = list(toy[_keys.TF].var_names)[:10]
    source = RegionSource(toy, tfs=tfs, fill=np.zeros(10))
    windows = open_windows(
        toy, cell_types=["Monocyte", "B cell"], allowed=np.ones(toy.n_obs, dtype=bool), window_size=4
    )
    return lambda **kwargs: WindowDataset(source, windows, **kwargs)


def test_an_epoch_holds_every_window_once_and_one_cell_type_per_batch(make):
    dataset = make(seed=0)
    batches = list(loader(dataset, regions_per_batch=32))
    seen = np.concatenate([batch.rows.numpy() for batch in batches])
    expected = dataset.windows.rows[dataset.windows.rows >= 0]
    np.testing.assert_array_equal(np.sort(seen), np.sort(expected))
    for chosen in loader(dataset, regions_per_batch=32).sampler:
        assert len(set(dataset.windows.cell_type[chosen])) == 1


def test_rows_of_a_batch_belong_together(make, toy):
    dataset = make()
    batch = next(iter(loader(dataset, regions_per_batch=20)))
    np.testing.assert_array_equal(batch.codes.numpy(), _keys.DNA_CODE.get(toy)[batch.rows.numpy()])
    np.testing.assert_array_equal(
        batch.scores[batch.region_mask].numpy(), np.asarray(_keys.TF_SCORE.get(toy))[batch.rows.numpy(), :10]
    )


def test_epochs_differ_and_repeat(make):
    batches = loader(make(seed=1), regions_per_batch=64)
    first = [batch.rows.tolist() for batch in batches]
    assert [batch.rows.tolist() for batch in batches] == first
    batches.sampler.set_epoch(1)
    assert [batch.rows.tolist() for batch in batches] != first


def test_strands_differ_between_epochs(make):
    dataset = make(seed=1)
    chosen = np.arange(8)
    first = dataset[chosen].codes
    batches = loader(dataset, regions_per_batch=64)
    batches.sampler.set_epoch(1)
    assert not np.array_equal(dataset[chosen].codes, first)


def test_weights_go_along(make, toy):
    number = toy[_keys.ATAC].var_names.get_loc("Monocyte")
    weight = cell_type_weight(toy, "Monocyte", tf_weight="accessibility", tfs=[])
    dataset = make(weights={number: weight})
    for chosen in loader(dataset, regions_per_batch=32).sampler:
        batch = dataset[chosen]
        if dataset.windows.cell_type[chosen[0]] == number:
            np.testing.assert_array_equal(batch.weight[batch.region_mask][:, 0].numpy(), weight[batch.rows.numpy(), 0])
        else:
            assert batch.weight is None
