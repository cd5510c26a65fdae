"""Which windows are read when."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert._data import Schedule, Windows


def draw_windows(n=200, n_types=3, window_size=4, seed=0):
    """Windows of sorted regions, some of them short, of several cell types."""
    rng = np.random.default_rng(seed)
    rows = np.arange(n * window_size).reshape(n, window_size)
    rows[rng.random(n) < 0.2, 2:] = -1
    return Windows(rows, rng.integers(0, n_types, n) * 5)


def steps(schedule, epoch=0, skip=0):
    return [batch for group in schedule.batches(epoch, skip=skip) for batch in group]


@given(
    n=st.integers(1, 120), n_types=st.integers(1, 4), per_batch=st.integers(1, 60), epoch=st.integers(0, 3),
    block=st.sampled_from([None, 16, 50]), seed=st.sampled_from([None, 3]), by_length=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_an_epoch_holds_every_window_once_and_one_cell_type_per_batch(
    n, n_types, per_batch, epoch, block, seed, by_length
):
    windows = draw_windows(n, n_types)
    lengths = np.random.default_rng(0).integers(1, 99, windows.rows.size) if by_length else None
    schedule = Schedule(windows, regions_per_batch=per_batch, seed=seed, block=block, lengths=lengths)
    batches = steps(schedule, epoch)
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert all(len(set(windows.cell_type[batch])) == 1 for batch in batches)
    assert len(batches) == schedule.n_steps(epoch)


@pytest.mark.parametrize("block", [None, 64])
def test_skipping_leaves_what_follows_as_it_is(block):
    schedule = Schedule(draw_windows(), regions_per_batch=32, seed=1, block=block)
    full = steps(schedule, 2)
    for skip in (0, 1, 5, len(full) - 1, len(full)):
        rest = steps(schedule, 2, skip)
        assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in full[skip:]]


def test_epochs_and_seeds_differ_and_repeat():
    def order(seed, epoch):
        return [batch.tolist() for batch in steps(Schedule(draw_windows(), regions_per_batch=32, seed=seed), epoch)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert order(None, 0) == order(None, 1)


def test_a_group_reads_few_blocks_of_neighbours():
    windows = draw_windows(400, 1)
    schedule = Schedule(windows, regions_per_batch=32, seed=0, block=100)
    for group in schedule.batches(0):
        rows = windows.rows[np.concatenate(group)]
        assert len(set(rows[:, 0] // 100)) <= 4
    shuffled = [sorted(set(windows.rows[np.concatenate(group)][:, 0] // 100)) for group in schedule.batches(0)]
    assert shuffled[0] != [0, 1, 2, 3]  # the blocks of a group come from anywhere


def test_batches_hold_about_as_many_regions_as_asked_for():
    windows = draw_windows(500, 2)
    sizes = [(windows.rows[batch] >= 0).sum() for batch in steps(Schedule(windows, regions_per_batch=64, seed=0))]
    assert 50 < np.mean(sizes) < 80
    assert max(sizes) < 100


def test_sequences_of_similar_length_go_together():
    windows = Windows(np.arange(640)[:, None], np.full(640, -1))
    lengths = np.random.default_rng(0).integers(50, 500, 640)

    def padding(**options):
        batches = steps(Schedule(windows, regions_per_batch=16, seed=0, **options))
        return sum((lengths[batch].max() - lengths[batch]).sum() for batch in batches)

    assert padding(lengths=lengths) < 0.2 * padding()
