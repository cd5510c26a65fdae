"""Region encoder: windows, padding, order; the numbers of one written with loops."""

import itertools
import math

import pytest
import torch

from genebert.nn import GeneBERTConfig, GeneBERTNetwork, RegionEncoder
from genebert.nn._region import WindowAttention


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    config = GeneBERTConfig.preset("tiny", n_tfs=70, tf_patch=4, region_depths=(2, 2), region_window=(4, 3))
    model = RegionEncoder(config).eval()
    for module in model.modules():
        if isinstance(module, WindowAttention):
            torch.nn.init.normal_(module.bias)
    return model


def matrix(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_padding_regions_change_nothing(encoder):
    x, mask = matrix(2, 8, 70), torch.ones(2, 8, dtype=torch.bool)
    mask[:, 5:] = False
    with torch.inference_mode():
        padded, short = encoder(x, mask)[:, :5], encoder(x[:, :5], mask[:, :5])
    torch.testing.assert_close(padded, short, atol=1e-5, rtol=0)


def test_a_window_of_one_is_the_same_padded_or_not(encoder):
    x, mask = matrix(3, 8, 70), torch.zeros(3, 8, dtype=torch.bool)
    mask[:, 0] = True
    with torch.inference_mode():
        torch.testing.assert_close(encoder(x, mask)[:, :1], encoder(x[:, :1], mask[:, :1]), atol=1e-5, rtol=0)


def test_each_region_keeps_its_column_and_sees_its_neighbours(encoder):
    x, mask = matrix(1, 6, 70), torch.ones(1, 6, dtype=torch.bool)
    changed = x.clone()
    changed[0, 2] += 1
    with torch.inference_mode():
        moved = (encoder(changed, mask) - encoder(x, mask)).abs().amax(-1)[0]
    assert moved.shape == (6,)
    assert moved[2] == moved.max()
    assert moved[1] > 1e-6


def test_tfs_are_not_interchangeable(encoder):
    x, mask = matrix(1, 1, 70), torch.ones(1, 1, dtype=torch.bool)
    with torch.inference_mode():
        assert not torch.allclose(encoder(x.roll(8, -1), mask), encoder(x, mask), atol=1e-3)


def test_relative_bias_in_closed_form():
    attention = WindowAttention(4, 1, window=(2, 2))
    attention.bias.data = torch.arange(9.0).view(1, 3, 3)
    bias = attention._relative_bias((2, 2))[0]
    # places (0,0) (0,1) (1,0) (1,1); the bias of query i and key j lies at (i - j) + 1 in both axes
    assert bias.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    assert torch.equal(attention._relative_bias((2, 1))[0], torch.tensor([[4.0, 1.0], [7.0, 4.0]]))


def attend(block, x, mask, *, shift):
    """Attention of one block, window by window and head by head; windows begin `shift` places before the image."""
    attention, (n_patches, n_regions, dim) = block.attention, x.shape
    height, width = block.window
    shift_p, shift_r = shift
    if n_regions == 1:
        shift_r = 0  # alone in its column, whatever the window
    out = torch.zeros_like(x)
    for top, left in itertools.product(range(-shift_p, n_patches, height), range(-shift_r, n_regions, width)):
        inside = itertools.product(range(top, top + height), range(left, left + width))
        places = [(p, r) for p, r in inside if 0 <= p < n_patches and 0 <= r < n_regions]
        seen = [i for i, (_, r) in enumerate(places) if mask[r]]
        if not seen:
            continue  # only regions that are none: nobody reads what they become
        place = torch.tensor(places)
        q, k, v = (x[place[:, 0], place[:, 1]] @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, dim=1)
        offset = place[:, None] - place[None, seen]
        heads = []
        for head, channels in enumerate(torch.arange(dim).chunk(attention.n_heads)):
            scores = q[:, channels] @ k[seen][:, channels].T / math.sqrt(len(channels))
            scores = scores + attention.bias[head, offset[..., 0] + height - 1, offset[..., 1] + width - 1]
            weights = scores.exp() / scores.exp().sum(1, keepdim=True)
            heads.append(weights @ v[seen][:, channels])
        out[place[:, 0], place[:, 1]] = torch.cat(heads, 1) @ attention.out.weight.T + attention.out.bias
    return out


def reference(encoder, scores, mask):
    """Vectors of the regions of one window: patches of p TFs of one region, blocks, merging of pairs along the TFs."""
    p = encoder.tf_patch
    scores = torch.nn.functional.pad(scores, (0, -scores.shape[1] % p))
    patches = torch.stack([scores[:, i : i + p] for i in range(0, scores.shape[1], p)])  # (patches, regions, p)
    x = patches @ encoder.embed.weight.T + encoder.embed.bias + encoder.patch_position
    for stage, blocks in enumerate(encoder.stages):
        if stage:
            if len(x) % 2:
                x = torch.cat([x, torch.zeros_like(x[:1])])
            merge = encoder.merges[stage - 1]
            pairs = [torch.cat([x[i], x[i + 1]], dim=1) for i in range(0, len(x), 2)]
            x = torch.stack([merge.norm(pair) @ merge.reduce.weight.T for pair in pairs])
        for number, block in enumerate(blocks):
            shift = [size // 2 if number % 2 else 0 for size in block.window]
            x = x + attend(block, block.attention_norm(x), mask, shift=shift)
            x = x + block.mlp(block.mlp_norm(x))
    return torch.stack([encoder.out(encoder.norm(x[:, r]).flatten()) for r in range(x.shape[1])])


@pytest.mark.parametrize(
    ("depths", "heads", "window", "n_regions", "n_real"),
    [
        ((1, 1), (3, 6), (7, 7), 8, 5),  # no block is shifted
        ((1, 1), (2, 2), (4, 3), 9, 2),
        ((2, 2), (3, 6), (7, 7), 8, 8),
        ((2, 2), (2, 2), (4, 3), 8, 5),
        ((2, 2), (2, 2), (4, 3), 1, 1),
        ((2, 2, 2, 2), (3, 6, 12, 24), (7, 7), 8, 5),  # the stages and heads of `paper`
    ],
)
def test_the_numbers_of_one_written_with_loops(depths, heads, window, n_regions, n_real):
    torch.manual_seed(0)
    changes = {"region_depths": depths, "region_heads": heads, "region_window": window, "region_dim": 12}
    config = GeneBERTConfig.preset("tiny", n_tfs=70, tf_patch=4, **changes)
    encoder = RegionEncoder(config).double().eval()
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    x, mask = matrix(1, n_regions, 70).double(), torch.arange(n_regions) < n_real
    with torch.inference_mode():
        found, expected = encoder(x, mask[None])[0], reference(encoder, x[0], mask)
    torch.testing.assert_close(found[:n_real], expected[:n_real], atol=1e-9, rtol=0)
    assert expected.std() > 0.1


def test_paper_has_the_blocks_of_swin_t():
    """28,288,354 parameters (Liu et al. 2021), of which blocks are what the patches and the task do not change."""
    encoder = GeneBERTNetwork(GeneBERTConfig.preset("paper", n_tfs=857)).region_encoder
    n_blocks = sum(parameter.numel() for parameter in encoder.stages.parameters())
    widths = (96, 192, 384, 768)
    patches = 4 * 4 * 3 * 96 + 96 + 2 * 96
    merges = sum(4 * width * 2 * width + 2 * 4 * width for width in widths[:3])
    task = 2 * 768 + 768 * 1000 + 1000
    assert n_blocks == 28_288_354 - patches - merges - task
    assert [block.window for blocks in encoder.stages for block in blocks] == [(7, 7)] * 12
    assert [merge.reduce.weight.shape for merge in encoder.merges] == [(2 * width, 2 * width) for width in widths[:3]]
    assert encoder.embed.weight.shape == (96, 4)
