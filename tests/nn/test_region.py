"""Region encoder: windows, padding, order."""

import pytest
import torch

from genebert.nn import GeneBERTConfig, RegionEncoder
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
