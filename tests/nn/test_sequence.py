"""Sequence encoder: tokens, padding, segments."""

import pytest
import torch

from genebert._dna import decode, kmer_ids
from genebert.nn import MASK, GeneBERTConfig, SequenceEncoder, count_tokens, tokenize
from genebert.nn._sequence import MASK_TOKEN, N_SPECIAL, UNKNOWN_TOKEN

CONFIGS = {
    "conv": GeneBERTConfig.preset("tiny", n_tfs=8),
    "kmer": GeneBERTConfig.preset("tiny", n_tfs=8, stem="kmer", stride=1),
    "paper": GeneBERTConfig.preset("tiny", n_tfs=8, stem="kmer", stride=1, positions="learned", norm="post"),
}


def encoder(name, device="cpu"):
    torch.manual_seed(0)
    return SequenceEncoder(CONFIGS[name]).to(device).eval()


def draw(n, length, seed=0):
    return torch.randint(0, 4, (n, length), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_tokens_are_the_kmers_that_the_base_layer_reads():
    codes = draw(3, 30)
    codes[0, 7] = 4
    expected = torch.from_numpy(kmer_ids(codes.numpy(), 6)).long()
    found = tokenize(codes, k=6, stride=1)
    known = expected < 4**6
    assert torch.equal(found[known], expected[known] + N_SPECIAL)
    assert (found[~known] == UNKNOWN_TOKEN).all()
    assert (~known).sum() == 6


def test_tokens_with_a_hidden_base_are_masked():
    codes = draw(1, 20)
    codes[0, 10] = MASK
    masked = tokenize(codes, k=4, stride=1)[0] == MASK_TOKEN
    assert masked.nonzero()[:, 0].tolist() == [7, 8, 9, 10], decode(codes[0].clamp(max=4).numpy())


@pytest.mark.parametrize("name", CONFIGS)
def test_padding_changes_nothing(name, device):
    model = encoder(name, device)
    codes, lengths = draw(2, 41), torch.tensor([41, 29])
    codes[1, 29:] = 4
    with torch.inference_mode():
        alone = model(codes[1:, None, :29].to(device), lengths[1:, None].to(device))
        padded = model(codes[:, None].to(device), lengths[:, None].to(device))
    torch.testing.assert_close(padded.vector[1], alone.vector[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(padded.cls[1], alone.cls[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_padding_changes_nothing_between_two_segments(name):
    model = encoder(name)
    a, b = draw(1, 24, 1), draw(1, 40, 2)
    short = torch.stack([torch.cat([a, torch.full((1, 16), 4, dtype=torch.uint8)], 1), b], 1)
    longer = torch.nn.functional.pad(short, (0, 12), value=4)
    lengths = torch.tensor([[24, 40]])
    with torch.inference_mode():
        torch.testing.assert_close(model(short, lengths).cls, model(longer, lengths).cls, atol=1e-5, rtol=0)


def test_the_order_of_segments_matters():
    model = encoder("conv")
    codes, lengths = torch.stack([draw(1, 40, 1), draw(1, 40, 2)], 1), torch.tensor([[40, 40]])
    with torch.inference_mode():
        assert not torch.allclose(model(codes, lengths).cls, model(codes.flip(1), lengths).cls, atol=1e-3)


def test_sequences_without_a_token_get_zeros():
    model = encoder("conv")
    with torch.inference_mode():
        output = model(torch.full((1, 1, 12), 4, dtype=torch.uint8), torch.tensor([[0]]))
    assert count_tokens(torch.tensor([0, 3, 4, 7, 8]), model.config).tolist() == [0, 0, 1, 1, 2]
    assert (output.vector == 0).all()


def test_too_long_for_learned_positions():
    config = GeneBERTConfig.preset("tiny", n_tfs=8, stem="kmer", stride=1, positions="learned", max_tokens=20)
    with pytest.raises(ValueError, match=r"at most 20 tokens.*found 29.*rotary"):
        SequenceEncoder(config)(draw(1, 30)[:, None], torch.tensor([[30]]))
