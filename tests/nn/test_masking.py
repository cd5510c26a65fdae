"""What pre-training hides, and that it cannot be seen."""

import pytest
import torch

from genebert.nn import MASK, hidden_kmers, hide_spans, hide_tfs, neighbour_pairs, tokenize
from genebert.nn._sequence import MASK_TOKEN


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (6, 1), (6, 6), (4, 2)])
def test_a_scored_kmer_shares_no_base_with_any_visible_token(k, stride):
    codes = torch.randint(0, 4, (64, 120), generator=generator(1), dtype=torch.uint8)
    lengths = torch.full((64,), 120)
    masked, hidden = hide_spans(codes, lengths, span=2 * k, step=stride, generator=generator())
    kmers, tokens = hidden_kmers(codes, hidden, k=k, stride=stride), tokenize(masked, k=k, stride=stride)
    assert (kmers >= 0).sum() > 64
    for row, token in (kmers >= 0).nonzero().tolist():
        bases = set(range(token * stride, token * stride + k))
        for other, read in enumerate(tokens[row].tolist()):
            if bases & set(range(other * stride, other * stride + k)):
                assert read == MASK_TOKEN


def test_hidden_bases_do_not_reach_the_network():
    codes = torch.randint(0, 4, (8, 60), generator=generator(1), dtype=torch.uint8)
    lengths = torch.full((8,), 60)
    masked, hidden = hide_spans(codes, lengths, span=12, generator=generator())
    other = torch.where(hidden, (codes + 1) % 4, codes)
    assert torch.equal(hide_spans(other, lengths, span=12, generator=generator())[0], masked)
    assert (masked[hidden] == MASK).all()
    assert torch.equal(masked[~hidden], codes[~hidden])


def test_the_share_that_is_hidden():
    codes, lengths = torch.zeros((2_000, 200), dtype=torch.uint8), torch.full((2_000,), 200)
    _, hidden = hide_spans(codes, lengths, span=12, generator=generator())
    # Three spans of 12 in 200 hide 0.18, less where they overlap.
    assert 0.14 < hidden.float().mean() < 0.18


def test_the_share_does_not_depend_on_longer_sequences_of_the_batch():
    codes, lengths = torch.zeros((500, 1000), dtype=torch.uint8), torch.tensor([100, 1000]).repeat(250)
    _, hidden = hide_spans(codes, lengths, span=12, generator=generator())
    short, long = hidden[lengths == 100].sum(1) / 100, hidden[lengths == 1000].sum(1) / 1000
    assert 0.12 < short.mean() <= 0.24
    assert 0.12 < long.mean() < 0.16


def test_padding_and_n_are_never_scored():
    codes = torch.zeros((50, 60), dtype=torch.uint8)
    codes[:, 30:] = 4
    lengths = torch.full((50,), 30)
    _, hidden = hide_spans(codes, lengths, span=12, generator=generator())
    assert not hidden[:, 30:].any()
    assert hidden.any(1).all()
    codes[:, 10] = 4
    assert (hidden_kmers(codes, torch.ones_like(hidden), k=6, stride=1)[:, 5:11] == -1).all()


def test_hidden_tfs():
    mask = torch.tensor([[True, True, False]])
    chosen = hide_tfs(mask, 10_000, generator=generator())
    assert not chosen[0, 2].any()
    assert torch.allclose(chosen[0, :2].float().mean(1), torch.tensor(0.15), atol=0.02)
    assert not torch.equal(chosen[0, 0], chosen[0, 1])


def test_pairs_are_neighbours_or_from_different_windows():
    mask = torch.zeros((400, 5), dtype=torch.bool)
    n_regions = torch.randint(1, 6, (400,), generator=generator(3))
    mask[torch.arange(5) < n_regions[:, None]] = True
    window = mask.nonzero()[:, 0]
    pairs = neighbour_pairs(mask, generator=generator())
    assert len(pairs.left) == (n_regions >= 2).sum()
    real = pairs.is_next == 1
    assert torch.equal(pairs.right[real], pairs.left[real] + 1)
    assert (window[pairs.left[real]] == window[pairs.right[real]]).all()
    assert (window[pairs.left[~real]] != window[pairs.right[~real]]).all()
    assert 0.4 < real.float().mean() < 0.6


def test_a_single_window_has_no_false_pair():
    assert neighbour_pairs(torch.ones((1, 4), dtype=torch.bool), generator=generator()).is_next.tolist() == [1.0]
    assert len(neighbour_pairs(torch.ones((3, 1), dtype=torch.bool), generator=generator()).left) == 0


def test_a_generator_repeats():
    codes, lengths = torch.zeros((4, 50), dtype=torch.uint8), torch.full((4,), 50)
    first, second = (hide_spans(codes, lengths, span=6, generator=generator(5))[1] for _ in range(2))
    assert torch.equal(first, second)
