"""What pre-training hides, and that it cannot be seen."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert.nn import (
    MASK,
    OBJECTIVES,
    Batch,
    GeneBERTConfig,
    GeneBERTNetwork,
    hidden_kmers,
    hide_spans,
    hide_tfs,
    neighbour_pairs,
    objectives,
    tokenize,
)
from genebert.nn._sequence import CLS_TOKEN, MASK_TOKEN, SEP_TOKEN


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


@pytest.mark.parametrize("length", [1, 3])
def test_a_batch_without_a_whole_kmer_has_nothing_to_score(length):
    """As when regions of unknown bases alone, or very short ones, meet in a batch."""
    network, codes = make("conv"), torch.full((4, length), 4, dtype=torch.uint8)
    batch = draw_batch(network, n=4)._replace(codes=codes, lengths=torch.full((4,), length))
    for weights in (dict.fromkeys(OBJECTIVES, 1.0), {**dict.fromkeys(OBJECTIVES, 0.0), "masked_genome": 1.0}):
        scored = objectives(network, batch, weights=weights, generator=generator())
        assert len(scored["masked_genome"].truth) == 0
        assert scored["masked_genome"].loss == 0
        assert all(item.loss.isfinite() for item in scored.values())


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


@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=6),
    k=st.integers(3, 8),
    step=st.integers(1, 8),
    fraction=st.floats(0.02, 0.6),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_spans_are_whole_and_stay_within_the_sequence(lengths, k, step, fraction, seed):
    span, lengths = 2 * k, torch.tensor(lengths)
    codes = torch.randint(0, 4, (len(lengths), int(lengths.max())), generator=generator(seed), dtype=torch.uint8)
    masked, hidden = hide_spans(codes, lengths, span=span, step=step, fraction=fraction, generator=generator(seed))
    assert torch.equal(masked == MASK, hidden)
    assert torch.equal(masked[~hidden], codes[~hidden])
    for length, row in zip(lengths.tolist(), hidden, strict=True):
        assert not row[length:].any()
        assert 0 < row.sum() <= max(math.ceil(fraction * length / span), 1) * span
        edges = torch.diff(row.int(), prepend=torch.zeros(1), append=torch.zeros(1))
        starts, ends = (edges == 1).nonzero()[:, 0], (edges == -1).nonzero()[:, 0]
        assert (ends - starts >= min(span, length)).all()
        assert (starts % step == 0).all()


NETWORKS = {
    "conv": {},
    "kmer": {"stem": "kmer", "stride": 1},
    "paper": {"stem": "kmer", "stride": 1, "positions": "learned", "norm": "post"},
}


def make(name):
    torch.manual_seed(0)
    return GeneBERTNetwork(GeneBERTConfig.preset("tiny", n_tfs=40, **NETWORKS[name])).eval()


def draw_batch(network, *, n=12, length=90):
    codes = torch.randint(0, 4, (n, length), generator=generator(1), dtype=torch.uint8)
    scores, mask = torch.randn(n // 4, 4, 40, generator=generator(2)), torch.ones(n // 4, 4, dtype=torch.bool)
    return Batch(codes, torch.full((n,), length), scores, mask, torch.arange(n))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_under_the_mask_changes_no_output(name, monkeypatch):
    """Whatever the hidden bases are, the network says the same: a hidden k-mer cannot be recovered from its input."""
    network = make(name)
    batch, seen = draw_batch(network), []
    monkeypatch.setattr(
        network.kmer_head, "forward", lambda states: seen.append(states) or states.new_zeros(len(states), 256)
    )
    _, hidden = hide_spans(batch.codes, batch.lengths, span=8, step=network.config.stride, generator=generator(5))
    truths = []
    for codes in (batch.codes, torch.where(hidden, (batch.codes + 1) % 4, batch.codes)):
        weights = dict.fromkeys(OBJECTIVES, 1.0)
        scored = objectives(network, batch._replace(codes=codes), weights=weights, generator=generator(5))
        truths.append(scored["masked_genome"].truth)
    assert torch.equal(*seen)
    assert (truths[0] != truths[1]).all()  # the bases were others
    assert len(seen[0]) > 40


@pytest.mark.parametrize("name", ["kmer", "paper"])
def test_words_under_the_mask_get_no_gradient(name):
    network = make(name)
    batch = draw_batch(network)
    network.kmer_head.kmers.weight.data.normal_()  # which starts at zero and would stop every gradient
    masked, _ = hide_spans(batch.codes, batch.lengths, span=8, step=1, generator=generator(5))
    weights = {objective: float(objective == "masked_genome") for objective in OBJECTIVES}
    objectives(network, batch, weights=weights, generator=generator(5))["masked_genome"].loss.backward()
    touched = network.sequence_encoder.stem.embedding.weight.grad.abs().sum(1) > 0
    read = torch.zeros_like(touched)
    read[tokenize(masked, k=4, stride=1).unique()] = True
    read[[CLS_TOKEN, SEP_TOKEN]] = True
    assert torch.equal(touched, read)
    all_words = tokenize(batch.codes, k=4, stride=1).unique()
    assert not touched[all_words].all()  # some words were hidden wherever they stand


def test_hidden_scores_get_no_gradient():
    network = make("conv")
    batch = draw_batch(network)
    hidden = hide_tfs(batch.region_mask, 40, generator=generator(3))
    matrix = batch.scores.clone().requires_grad_()
    output = network(batch.codes, batch.lengths, matrix, batch.region_mask, tf_hidden=hidden)
    (output.joint * torch.randn(output.joint.shape, generator=generator(4))).sum().backward()
    assert (matrix.grad[hidden] == 0).all()
    assert (matrix.grad[~hidden] != 0).all()
    assert hidden.any()
