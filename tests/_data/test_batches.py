"""Batches of windows, and the loader of one of several processes."""

import threading
import time

import dask.array as da
import numpy as np
import pytest

from genebert import _keys
from genebert._data import (
    Place,
    RegionSource,
    Schedule,
    StepLoader,
    WindowDataset,
    cell_type_weight,
    open_windows,
    share,
)
from genebert._data._batches import ahead


@pytest.fixture
def make(toy):
    tfs = list(toy[_keys.TF].var_names)[:10]
    windows = open_windows(
        toy, cell_types=["Monocyte", "B cell"], allowed=np.ones(toy.n_obs, dtype=bool), window_size=4
    )

    def dataset(mdata=toy, **kwargs):
        return WindowDataset(RegionSource(mdata, tfs=tfs, fill=np.zeros(10)), windows, **kwargs)

    return dataset


@pytest.fixture
def lazy(toy):
    """The same data as dask arrays, as in a store."""
    stored = toy.copy()
    _keys.DNA_CODE.set(stored, da.from_array(_keys.DNA_CODE.get(toy), chunks=(100, -1)))
    _keys.TF_SCORE.set(stored, da.from_array(np.asarray(_keys.TF_SCORE.get(toy)), chunks=(100, -1)))
    return stored


def run(dataset, *, block=None, batch=32, **kwargs):
    schedule = Schedule(dataset.windows, regions_per_batch=batch, seed=kwargs.get("seed"), block=block)
    return list(StepLoader(dataset, schedule, **kwargs))


def test_rows_of_a_batch_belong_together(make, toy):
    batch = run(make(), batch=20)[0].batch
    np.testing.assert_array_equal(batch.codes.numpy(), _keys.DNA_CODE.get(toy)[batch.rows.numpy()])
    np.testing.assert_array_equal(
        batch.scores[batch.region_mask].numpy(), np.asarray(_keys.TF_SCORE.get(toy))[batch.rows.numpy(), :10]
    )


def test_a_step_knows_the_windows_of_all(make):
    for step in run(make(), batch=20):
        np.testing.assert_array_equal(step.rows, step.batch.rows)
        np.testing.assert_array_equal(step.n_regions, step.batch.region_mask.sum(1))
        assert step.first == 0


@pytest.mark.parametrize("n_processes", [2, 3, 7])
def test_processes_share_each_batch_and_read_every_region_once(make, n_processes):
    alone = run(make(), seed=0)
    shares = [run(make(), seed=0, rank=rank, n_processes=n_processes) for rank in range(n_processes)]
    for number, step in enumerate(alone):
        parts = [steps[number] for steps in shares]
        n_windows = len(step.n_regions)
        own = [part.batch for rank, part in enumerate(parts) if len(range(*share(n_windows, rank, n_processes)))]
        for name in ("codes", "scores", "rows"):  # on the same strands, too
            np.testing.assert_array_equal(
                np.concatenate([getattr(part, name) for part in own]), getattr(step.batch, name)
            )
        for part in parts:
            np.testing.assert_array_equal(part.rows, step.rows)
            np.testing.assert_array_equal(part.region_mask, step.region_mask)


def test_a_process_without_a_window_reads_the_first(make):
    steps = run(make(), seed=0, batch=4, rank=0, n_processes=3)
    assert all(len(step.batch.region_mask) == 1 and step.first == 0 for step in steps if len(step.n_regions) == 1)
    assert any(len(step.n_regions) == 1 for step in steps)


@pytest.mark.parametrize("n_processes", [1, 2])
def test_a_store_gives_what_memory_gives(make, lazy, n_processes):
    options = {"seed": 4, "block": 128, "rank": n_processes - 1, "n_processes": n_processes}
    first, second = run(make(), **options), run(make(lazy), **options)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for name in ("codes", "lengths", "scores", "rows", "region_mask"):
            np.testing.assert_array_equal(getattr(one.batch, name), getattr(other.batch, name))


def test_a_store_is_read_in_blocks_and_no_more_than_a_few_at_once(make, lazy, monkeypatch):
    read, known = [], []
    take = RegionSource.take

    def watched(self, rows):
        read.append(rows)
        taken = take(self, rows)
        known.append(taken.n_regions)
        return taken

    monkeypatch.setattr(RegionSource, "take", watched)
    dataset = make(lazy)
    run(dataset, seed=0, block=64)
    assert len(read) >= 2  # groups of four blocks
    assert max(known) <= 4 * 64 + 4 * dataset.windows.rows.shape[1] * 2
    assert sum(known) < 1.2 * dataset.source.n_regions  # what lies on the border of two groups is read twice


def test_resumed_from_any_place(make):
    dataset = make()
    for place in (Place(0, 0), Place(0, 3), Place(2, 5)):
        rest = run(dataset, seed=1, place=place)
        full = run(dataset, seed=1, place=Place(place.epoch, 0))
        assert len(rest) == len(full) - place.done
        np.testing.assert_array_equal(rest[0].batch.codes, full[place.done].batch.codes)


def test_epochs_differ_and_repeat(make):
    def rows(epoch):
        return [step.rows.tolist() for step in run(make(), seed=1, place=Place(epoch))]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)


def test_strands_differ_between_epochs_and_are_the_reference_without_a_seed(make, toy):
    codes = _keys.DNA_CODE.get(toy)
    for step in run(make()):
        np.testing.assert_array_equal(step.batch.codes.numpy(), codes[step.batch.rows.numpy()])
    turned = [
        {
            (int(row), int(window))
            for window, step in enumerate(run(make(), seed=1, place=Place(epoch)))
            for row, found in zip(step.batch.rows, step.batch.codes.numpy(), strict=True)
            if not np.array_equal(found, codes[int(row)])
        }
        for epoch in (0, 1)
    ]
    n_regions = (make().windows.rows >= 0).sum()
    assert all(0.4 < len(found) / n_regions < 0.6 for found in turned)
    assert {row for row, _ in turned[0]} != {row for row, _ in turned[1]}


def test_weights_go_along(make, toy):
    number = toy[_keys.ATAC].var_names.get_loc("Monocyte")
    weight = cell_type_weight(toy, "Monocyte", tf_weight="accessibility", tfs=[])
    dataset = make(weights={number: weight})
    found = set()
    for step in run(dataset, seed=0):
        batch = step.batch
        found.add(batch.weight is None)
        if batch.weight is not None:
            np.testing.assert_array_equal(batch.weight[batch.region_mask][:, 0].numpy(), weight[batch.rows.numpy(), 0])
    assert found == {True, False}


def test_a_thread_works_ahead_and_keeps_the_order():
    done = []

    def job(number):
        done.append(number)
        return number, threading.current_thread()

    results = ahead((lambda number=number: job(number) for number in range(6)), depth=2)
    first, thread = next(results)
    time.sleep(0.1)
    assert first == 0
    assert thread is not threading.main_thread()
    assert done == [0, 1, 2]
    assert [number for number, _ in results] == [1, 2, 3, 4, 5]


def test_what_fails_in_the_thread_is_raised_where_it_is_asked_for():
    def fail():
        raise OSError("disk gone")

    results = ahead(iter([lambda: 1, fail]), depth=1)
    assert next(results) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(results)


def test_waiting_is_counted(make, monkeypatch):
    fetch = WindowDataset.fetch

    def slow(self, *args, **kwargs):
        time.sleep(0.02)
        return fetch(self, *args, **kwargs)

    dataset = make()
    loader = StepLoader(dataset, Schedule(dataset.windows, regions_per_batch=64))
    n_steps = len(list(loader))
    quick = loader.seconds_waited
    monkeypatch.setattr(WindowDataset, "fetch", slow)
    list(loader)
    assert loader.seconds_waited - quick > 0.015 * n_steps
