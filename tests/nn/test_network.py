"""The network: sizes, fusion, heads, and that each objective can be learnt."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from genebert.nn import OBJECTIVES, PRESETS, Batch, GeneBERTConfig, GeneBERTNetwork, SequenceEncoder, objectives


def make(n_tfs=40, **changes):
    torch.manual_seed(0)
    return GeneBERTNetwork(GeneBERTConfig.preset("tiny", n_tfs=n_tfs, **changes))


def draw_batch(n_windows=6, window_size=4, n_tfs=40, length=60):
    g = torch.Generator().manual_seed(3)
    n = n_windows * window_size
    codes = torch.randint(0, 4, (n, length), generator=g, dtype=torch.uint8)
    scores = torch.randn(n_windows, window_size, n_tfs, generator=g)
    mask = torch.ones(n_windows, window_size, dtype=torch.bool)
    return Batch(codes, torch.full((n,), length), scores, mask, torch.arange(n))


def test_mini_keeps_its_budget():
    network = GeneBERTNetwork(GeneBERTConfig.preset("mini", n_tfs=857)).eval()
    assert sum(p.numel() for p in network.parameters()) <= 8e6
    batch = (torch.zeros((1, 256), dtype=torch.uint8), torch.tensor([256]), torch.zeros(1, 1, 857))
    with FlopCounterMode(display=False) as counter:
        network(*batch, torch.ones((1, 1), dtype=torch.bool))
    assert counter.get_total_flops() <= 300e6


def test_paper_has_the_sizes_of_bert_base_and_swin_t():
    config = GeneBERTConfig.preset("paper", n_tfs=500)
    assert (config.n_layers, config.dim, config.n_heads, config.max_tokens) == (12, 768, 12, 512)
    assert (config.region_dim, config.region_depths, config.region_heads) == (96, (2, 2, 6, 2), (3, 6, 12, 24))
    assert config.positions == "learned"
    assert config.norm == "post"
    assert config.stem == "kmer"
    encoder = SequenceEncoder(config)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 88_600_320  # BertModel without its pooler


@pytest.mark.parametrize("preset", PRESETS)
def test_a_config_survives_json(preset):
    import json

    config = GeneBERTConfig.preset(preset, n_tfs=7)
    assert GeneBERTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 9}, r"`k` to be an integer in \[3, 8\]; found 9"),
        ({"dim": 34}, "multiple of twice `n_heads`"),
        ({"stride": 0}, "`stride` to be an integer, 1 or more"),
        ({"stem": "words"}, "`stem` to be one of 'kmer', 'conv'; found 'words'"),
        ({"positions": "rotray"}, "`positions` to be one of"),
        ({"norm": "Pre"}, "`norm` to be one of"),
        ({"n_heads": 0}, "`n_heads` to be an integer, 1 or more; found 0"),
        ({"dim": 32.0}, "`dim` to be an integer"),
        ({"dropout": 2}, "`dropout`"),
        ({"region_heads": (0, 2)}, "`region_heads` to be an integer, 1 or more"),
        ({"region_window": 7}, "`region_window` to be a tuple of integers; found 7"),
        ({"region_window": (4, 4, 4)}, "in TF patches and in regions"),
        ({"filter_width": 10}, "`filter_width` to be odd"),
        ({"region_dim": 15, "region_heads": (2, 2)}, "multiples of `region_heads`"),
        ({"region_heads": (1,)}, "as many"),
    ],
)
def test_a_config_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        GeneBERTConfig.preset("tiny", n_tfs=8, **changes)


def test_unknown_presets_and_fields_are_refused():
    with pytest.raises(ValueError, match="one of paper, base, mini"):
        GeneBERTConfig.preset("huge", n_tfs=8)
    with pytest.raises(ValueError, match=r"unknown fields.*colour"):
        GeneBERTConfig.from_dict({"n_tfs": 8, "colour": 1})


def test_the_half_of_an_absent_modality_is_zero():
    network = make()
    sequence, region = torch.randn(3, 32), torch.randn(3, 32)
    both = network.fuse(sequence, region)
    assert both.shape == (3, network.config.n_latent)
    assert torch.equal(network.fuse(sequence, None), torch.cat([both[:, :32], torch.zeros(3, 32)], 1))
    assert torch.equal(network.fuse(None, region), torch.cat([torch.zeros(3, 32), both[:, 32:]], 1))
    torch.testing.assert_close(both[:, :32].var(1, unbiased=False), torch.ones(3), atol=1e-3, rtol=0)


def test_standardised_scores_are_weighted_and_limited():
    network = make(n_tfs=2)
    network.set_tf_scale(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    scores = torch.tensor([[[3.0, 1.0]]])
    assert network.standardise(scores).tolist() == [[[1.0, 1.0]]]  # a TF that was constant keeps its own unit
    assert network.standardise(scores * 100).tolist() == [[[10.0, 10.0]]]
    assert network.standardise(scores, torch.tensor([[[0.5]]])).tolist() == [[[0.5, 0.5]]]


def test_the_kmer_head_starts_from_the_frequencies():
    network = make()
    frequencies = torch.rand(256).double()
    frequencies /= frequencies.sum()
    network.set_kmer_frequencies(frequencies)
    probabilities = network.kmer_logits(torch.randn(2, 32)).softmax(-1)
    torch.testing.assert_close(probabilities.double(), frequencies.expand(2, -1), atol=1e-6, rtol=1e-4)


def test_the_kmer_head_spells_kmers():
    head = make().kmer_head
    # 27 = 0123 in base 4: A C G T
    assert head.spelling[27].view(4, 4).tolist() == torch.eye(4).tolist()


def test_a_head_that_knows_something_keeps_its_bias():
    network = make()
    network.kmer_head.kmers.weight.data.normal_()
    before = network.kmer_head.kmers.bias.clone()
    network.set_kmer_frequencies(torch.full((256,), 1 / 256))
    assert torch.equal(network.kmer_head.kmers.bias, before)


def test_filters_start_from_motifs():
    network = make(filter_width=5)
    motif = torch.zeros(1, 4, 4)
    motif[0, torch.arange(4), torch.tensor([0, 1, 2, 3])] = 2.0  # ACGT
    network.set_filters(motif)
    filters = network.sequence_encoder.stem.filters
    one_hot = torch.zeros(1, 5, 5)
    one_hot[0, [0, 1, 2, 3], [0, 1, 2, 3]] = 1
    answer = filters(torch.nn.functional.pad(one_hot, (2, 2)))[0, 0].amax()
    assert abs(answer.item() - 2.0) < 0.5


def metric(objective, scored):
    """Accuracy, accuracy, recall@1, R2."""
    if objective == "next_segment":
        return ((scored.prediction > 0) == (scored.truth > 0.5)).float().mean()
    if objective == "masked_region":
        return 1 - ((scored.prediction - scored.truth) ** 2).mean() / scored.truth.var(unbiased=False)
    return (scored.prediction == scored.truth).float().mean()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_can_be_learnt_by_heart(objective):
    """Alone, on fixed masks and pairs of 24 regions: in 150 steps the loss goes to zero and the metric to 1."""
    network, batch = make(dim=64, n_layers=2), draw_batch()
    weights = {name: float(name == objective) for name in OBJECTIVES}
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.0)
    losses = []
    for _ in range(150):
        scored = objectives(network, batch, weights=weights, generator=torch.Generator().manual_seed(1))
        assert list(scored) == [objective]
        optimizer.zero_grad()
        scored[objective].loss.backward()
        optimizer.step()
        losses.append(scored[objective].loss.item())
        if losses[-1] < 0.01 * losses[0] and metric(objective, scored[objective]) > 0.99:
            break
    assert losses[-1] < 0.02 * losses[0]
    assert metric(objective, scored[objective]) > 0.99


def test_the_same_seed_gives_the_same_weights():
    def train():
        network, batch = make(dropout=0.1), draw_batch()
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        generator = torch.Generator().manual_seed(4)
        for _ in range(3):
            scored = objectives(network, batch, weights=dict.fromkeys(OBJECTIVES, 1.0), generator=generator)
            optimizer.zero_grad()
            sum(item.loss for item in scored.values()).backward()
            optimizer.step()
        return network.state_dict()

    first, second = train(), train()
    assert all(torch.equal(first[name], second[name]) for name in first)
    untrained = make().state_dict()
    assert not torch.equal(first["tf_head.weight"], untrained["tf_head.weight"])


def test_some_states_are_the_same_as_of_all(device):
    """The last block is worked out for the k-mers that the head asks for, and for no others."""
    for changes in ({}, {"stem": "kmer", "stride": 1, "positions": "learned", "norm": "post"}):
        encoder = make(**changes).sequence_encoder.to(device).eval()
        batch = draw_batch().to(device)
        lengths = batch.lengths - torch.arange(len(batch.lengths), device=device)  # some padding
        tokens = encoder(batch.codes[:, None], lengths[:, None]).tokens[:, 0]
        chosen = torch.rand(tokens.shape[:2], generator=torch.Generator().manual_seed(0)).to(device) < 0.2
        torch.testing.assert_close(encoder.states_at(batch.codes, lengths, chosen), tokens[chosen], atol=1e-5, rtol=0)


def test_objectives_repeat_and_name_their_regions(device):
    network, batch = make().to(device).eval(), draw_batch().to(device)
    weights = dict.fromkeys(OBJECTIVES, 1.0)
    runs = [objectives(network, batch, weights=weights, generator=torch.Generator(device).manual_seed(2)) for _ in "ab"]
    for name in OBJECTIVES:
        first, second = (run[name] for run in runs)
        assert first.loss == second.loss
        assert len(first.rows) == len(first.truth)
    assert set(runs[0]["matching"].rows.tolist()) == set(range(24))


def test_half_precision_finds_the_nearest_of_candidates_that_are_alike(device, monkeypatch):
    """The metric, like the loss, is worked out in 32 bits: in 16, near candidates would be ties."""
    network, batch = make().to(device).eval(), draw_batch(n_windows=64).to(device)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(256, 32, generator=generator).to(device) + 30)
    monkeypatch.setattr(network, "match", lambda *_: (vectors, vectors, torch.tensor(10.0, device=device)))
    weights = {name: float(name == "matching") for name in OBJECTIVES}
    with torch.autocast(device.type if isinstance(device, torch.device) else device, torch.bfloat16):
        scored = objectives(network, batch, weights=weights, generator=torch.Generator(device))["matching"]
    assert torch.equal(scored.prediction, scored.truth)


def test_windows_of_one_for_next_segment_prediction_cost_nothing():
    network, batch = make(), draw_batch(window_size=1)
    scored = objectives(network, batch, weights=dict.fromkeys(OBJECTIVES, 1.0), generator=torch.Generator())
    assert len(scored["next_segment"].truth) == 0
    assert scored["next_segment"].loss == 0
