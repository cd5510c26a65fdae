"""From states to vectors; sequences that are longer than what is read at once."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert.nn import GeneBERTConfig, SequenceEncoder, SequenceOutput, count_tokens, pool, read_sequences
from genebert.nn._pooling import cut

CONFIGS = {
    "conv": GeneBERTConfig.preset("tiny", n_tfs=8, n_layers=2),
    "kmer": GeneBERTConfig.preset("tiny", n_tfs=8, n_layers=2, stem="kmer", stride=1),
    "paper": GeneBERTConfig.preset(
        "tiny", n_tfs=8, n_layers=2, stem="kmer", stride=1, positions="learned", norm="post"
    ),
}
LENGTHS = torch.tensor([61, 40, 0, 23, 3])


def encoder(name):
    torch.manual_seed(0)
    return SequenceEncoder(CONFIGS[name]).eval()


def draw(lengths, seed=0):
    codes = torch.randint(0, 4, (len(lengths), int(lengths.max())), generator=torch.Generator().manual_seed(seed))
    return codes.masked_fill(torch.arange(codes.shape[1]) >= lengths[:, None], 4).to(torch.uint8)


def test_pooling_in_closed_form():
    tokens = torch.tensor([[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]])[None, None].repeat(2, 1, 1, 1)
    output = SequenceOutput(tokens, torch.tensor([[[2.0, -3.0]], [[0.0, 0.0]]]), torch.tensor([[7.0, 8.0], [7.0, 8.0]]))
    n_tokens = torch.tensor([2, 0])  # the third is padding; the second sequence has no k-mer
    assert pool(output, n_tokens, pooling="mean").tolist() == [[2, -3], [0, 0]]
    assert pool(output, n_tokens, pooling="max").tolist() == [[3, -2], [0, 0]]
    assert pool(output, n_tokens, pooling="cls").tolist() == [[7, 8], [0, 0]]


@given(n_tokens=st.lists(st.integers(0, 300), min_size=1, max_size=5), most=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_pieces_cover_everything_alike_from_both_ends(n_tokens, most):
    table = cut(torch.tensor(n_tokens), most=most)
    for row, n in enumerate(n_tokens):
        first = table.first[table.row == row].tolist()
        if n <= most:
            assert first == [0]
            continue
        assert first[0] == 0
        assert first[-1] == n - most
        steps = [b - a for a, b in itertools.pairwise(first)]
        assert all(0 < step <= most - most // 2 + 1 for step in steps)  # about half in common
        mirrored = [n - most - start for start in reversed(first)]
        assert all(
            abs(a - b) <= (2 * i + 1 == len(first)) for i, (a, b) in enumerate(zip(first, mirrored, strict=True))
        )


@pytest.mark.parametrize(("pooling", "layer"), [("mean", -1), ("mean", 0), ("cls", -1), ("max", -1)])
@pytest.mark.parametrize("name", CONFIGS)
def test_pieces_are_pooled_as_documented(name, pooling, layer):
    model, codes = encoder(name), draw(LENGTHS)
    config, most = model.config, 9
    with torch.inference_mode():
        found = read_sequences(model, codes, LENGTHS, pooling=pooling, layer=layer, most=most, batch_size=3)
        for row, length in enumerate(LENGTHS.tolist()):
            n_tokens = int(count_tokens(torch.tensor(length), config))
            states, ends = [[] for _ in range(n_tokens)], []
            for first in cut(torch.tensor([n_tokens]), most=most).first.tolist() if n_tokens else []:
                start = first * config.stride
                piece = codes[row, start : min(length, start + (most - 1) * config.stride + config.k)]
                output = model(piece[None, None], torch.tensor([[len(piece)]]), layer=layer)
                ends.append(output.cls[0])
                for place, state in enumerate(output.tokens[0, 0], start=first):
                    states[place].append(state)
            expected = torch.zeros(config.dim)
            if n_tokens and pooling == "mean":
                expected = torch.stack([torch.stack(seen).mean(0) for seen in states]).mean(0)
            elif n_tokens and pooling == "max":
                expected = torch.stack([state for seen in states for state in seen]).amax(0)
            elif n_tokens:
                expected = torch.stack(ends).mean(0)
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_what_fits_is_read_at_once(pooling):
    model, codes = encoder("kmer"), draw(LENGTHS)
    with torch.inference_mode():
        whole = read_sequences(model, codes, LENGTHS, pooling=pooling)
        assert torch.equal(read_sequences(model, codes, LENGTHS, pooling=pooling, most=58), whole)
        cut_one = read_sequences(model, codes, LENGTHS, pooling=pooling, most=57)  # the first has 58 k-mers
    torch.testing.assert_close(cut_one[1:], whole[1:], atol=1e-5, rtol=0)
    assert not torch.allclose(cut_one[0], whole[0], atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("most", [None, 9])
def test_the_batch_and_its_padding_change_nothing(pooling, most, device):
    model, codes = encoder("conv").to(device), draw(LENGTHS).to(device)
    with torch.inference_mode():
        together = read_sequences(model, codes, LENGTHS.to(device), pooling=pooling, most=most)
        for row, length in enumerate(LENGTHS.tolist()):
            alone = codes[row : row + 1, : max(length, 1)]
            found = read_sequences(model, alone, LENGTHS[row : row + 1].to(device), pooling=pooling, most=most)
            torch.testing.assert_close(found[0], together[row], atol=1e-5, rtol=0)


def test_layers_are_counted_as_in_a_list():
    model, codes, lengths = encoder("kmer"), draw(torch.tensor([30]))[:, None], torch.tensor([[30]])
    with torch.inference_mode():
        assert torch.equal(model(codes, lengths, layer=-1).tokens, model(codes, lengths, layer=1).tokens)
        assert torch.equal(model(codes, lengths, layer=-2).tokens, model(codes, lengths, layer=0).tokens)
        first, last = (model(codes, lengths, layer=layer).tokens for layer in (0, 1))
        assert not torch.allclose(first, last, atol=1e-2)
        # Only the last layer's states are normalised at the end.
        torch.testing.assert_close(last.mean(-1), torch.zeros_like(last.mean(-1)), atol=1e-5, rtol=0)
        assert first.mean(-1).abs().max() > 1e-3
    with pytest.raises(IndexError):
        model(codes, lengths, layer=2)
