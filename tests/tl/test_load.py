"""gb.tl.load: BERT checkpoints, against `transformers` where it is installed and a small BERT written down here."""

import itertools
import json
import math
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import genebert as gb
from genebert import _keys
from genebert.nn import GeneBERTConfig

TFS = ["CTCF", "REST", "TP53", "GATA1"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
ONE_LINE = json.dumps({"architectures": ["BertForMaskedLM"], **SIZES})  # like DNABERT's, silent about much


def vocabulary(k, letters="ATCG"):
    """In the order of DNABERT, which is not that of base 4."""
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map("".join, itertools.product(letters, repeat=k))]


def random_state(n_words, *, prefix, n_positions=512, dim=32, n_layers=3):
    g = torch.Generator().manual_seed(1)
    state = {}

    def linear(name, n_out, n_in=dim):
        state[f"{prefix}{name}.weight"] = torch.randn(n_out, n_in, generator=g) * 0.2
        state[f"{prefix}{name}.bias"] = torch.randn(n_out, generator=g) * 0.2

    def norm(name):
        state[f"{prefix}{name}.weight"] = 1 + torch.randn(dim, generator=g) * 0.2
        state[f"{prefix}{name}.bias"] = torch.randn(dim, generator=g) * 0.2

    for name, rows in (("word", n_words), ("position", n_positions), ("token_type", 2)):
        state[f"{prefix}embeddings.{name}_embeddings.weight"] = torch.randn(rows, dim, generator=g)
    norm("embeddings.LayerNorm")
    for number in range(n_layers):
        layer = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{part}", dim)
        linear(f"{layer}.intermediate.dense", 4 * dim)
        linear(f"{layer}.output.dense", dim, 4 * dim)
        norm(f"{layer}.attention.output.LayerNorm")
        norm(f"{layer}.output.LayerNorm")
    return state


def reference_bert(state, ids, *, prefix, n_heads=4):
    """States behind each layer of BERT as Devlin et al. (2019) describe it, one sequence at a time, in 64 bits."""
    p = {name.removeprefix(prefix): tensor.double() for name, tensor in state.items()}

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-12).sqrt()
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = p["embeddings.word_embeddings.weight"][ids] + p["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + p["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    behind = []
    for number in range(3):
        layer = f"encoder.layer.{number}"
        q, k, v = (linear(x, f"{layer}.attention.self.{name}") for name in ("query", "key", "value"))
        heads = []
        for channels in torch.arange(x.shape[1]).chunk(n_heads):
            scores = q[:, channels] @ k[:, channels].T / math.sqrt(len(channels))
            heads.append((scores.exp() / scores.exp().sum(1, keepdim=True)) @ v[:, channels])
        mixed = linear(torch.cat(heads, 1), f"{layer}.attention.output.dense")
        x = norm(x + mixed, f"{layer}.attention.output.LayerNorm")
        wide = linear(x, f"{layer}.intermediate.dense")
        wide = 0.5 * wide * (1 + torch.erf(wide / math.sqrt(2)))
        x = norm(x + linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        behind.append(x)
    return behind


def write_checkpoint(folder, *, k=3, prefix="bert.", suffix="bin", config=ONE_LINE, words=None):
    folder.mkdir(exist_ok=True)
    words = words or vocabulary(k)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "config.json").write_text(config)
    state = random_state(len(words), prefix=prefix)
    if suffix == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors")
    return state


def ids_of(sequence, words):
    """What a tokenizer makes of a sequence, from the words as text."""
    k = len(words[-1])
    place = {word: row for row, word in enumerate(words)}
    kmers = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
    return torch.tensor([place[word] for word in ("[CLS]", *(w if w in place else "[UNK]" for w in kmers), "[SEP]")])


def encode(model, sequences, **options):
    codes = np.full((len(sequences), max(map(len, sequences))), 4, dtype=np.uint8)
    for row, sequence in zip(codes, sequences, strict=True):
        row[: len(sequence)] = gb._dna.encode(sequence)
    lengths = torch.tensor([[len(sequence)] for sequence in sequences])
    with torch.inference_mode():
        return model.module.sequence_encoder(torch.from_numpy(codes)[:, None], lengths, **options)


def small(k, n_tfs=len(TFS), **changes):
    """`paper` with little beside the sequence encoder of `SIZES`."""
    sizes = {"k": k, "dim": 32, "n_layers": 3, "n_heads": 4, "tf_patch": 32, "region_dim": 16, "region_out": 32}
    region = {"region_depths": (1, 1), "region_heads": (1, 2)}
    return GeneBERTConfig.preset("paper", n_tfs=n_tfs, **{**sizes, **region, **changes})


def load(folder, k=3):
    return gb.tl.load(small(k), sequence_encoder=folder, tfs=TFS, device="cpu")


SEQUENCES = ["ACGTTGCAGGGATCCATTTGACCATTTT", "TTGANCATGCAAGG", "CCCGTA"]


@pytest.mark.parametrize(("prefix", "suffix"), [("bert.", "bin"), ("", "safetensors")])
@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_states_are_those_of_bert(tmp_path, k, prefix, suffix):
    state = write_checkpoint(tmp_path, k=k, prefix=prefix, suffix=suffix)
    model = load(tmp_path, k)
    for layer in (0, 1, -1):
        output = encode(model, SEQUENCES, layer=layer)  # padded to the longest
        for row, sequence in enumerate(SEQUENCES):
            expected = reference_bert(state, ids_of(sequence, vocabulary(k)), prefix=prefix)[layer].float()
            found = output.tokens[row, 0, : len(expected) - 2]
            torch.testing.assert_close(found, expected[1:-1], atol=1e-5, rtol=0)
            torch.testing.assert_close(output.cls[row], expected[0], atol=1e-5, rtol=0)
            torch.testing.assert_close(output.vector[row, 0], expected[1:-1].mean(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("k", [3, 6])
def test_states_and_logits_are_those_of_transformers(tmp_path, k):
    transformers = pytest.importorskip("transformers")
    words = vocabulary(k)
    torch.manual_seed(3)
    theirs = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(words), **SIZES)).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    theirs.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    model = load(tmp_path, k)
    output = encode(model, SEQUENCES)
    rows = [words.index("".join(kmer)) for kmer in itertools.product("ACGT", repeat=k)]
    for row, sequence in enumerate(SEQUENCES):
        with torch.inference_mode():
            expected = theirs(ids_of(sequence, words)[None], output_hidden_states=True)
            logits = model.module.kmer_logits(output.tokens[row, 0, : len(sequence) - k + 1])
        states = expected.hidden_states[-1][0]
        torch.testing.assert_close(output.tokens[row, 0, : len(states) - 2], states[1:-1], atol=1e-5, rtol=0)
        torch.testing.assert_close(output.cls[row], states[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(logits, expected.logits[0, 1:-1, rows], atol=1e-4, rtol=0)


def test_a_hidden_kmer_is_the_word_mask(tmp_path):
    state = write_checkpoint(tmp_path)
    model = load(tmp_path)
    codes = torch.tensor([[[0, 1, 2, 5, 0, 1, 2]]], dtype=torch.uint8)
    with torch.inference_mode():
        found = model.module.sequence_encoder(codes, torch.tensor([[7]])).tokens[0, 0]
    words = vocabulary(3)
    ids = [words.index(word) for word in ("[CLS]", "ACG", "[MASK]", "[MASK]", "[MASK]", "ACG", "[SEP]")]
    expected = reference_bert(state, torch.tensor(ids), prefix="bert.")[-1].float()
    torch.testing.assert_close(found, expected[1:-1], atol=1e-5, rtol=0)


def test_paper_takes_its_sizes_from_the_checkpoint(tmp_path):
    write_checkpoint(tmp_path, k=4)
    model = gb.tl.load("paper", sequence_encoder=tmp_path, tfs=TFS, device="cpu")
    sizes = {"k": 4, "dim": 32, "n_layers": 3, "n_heads": 4}
    assert model.module.config == GeneBERTConfig.preset("paper", n_tfs=len(TFS), **sizes)
    assert model.tfs == TFS


def test_a_config_that_does_not_fit(tmp_path):
    write_checkpoint(tmp_path, k=4)
    assert load(tmp_path, 4).module.config == small(4)
    with pytest.raises(ValueError, match=r"fits the checkpoint.*k=4.*found k=5\..*paper"):
        load(tmp_path, 5)
    with pytest.raises(ValueError, match=r"found stem='conv', stride=6, positions='rotary', norm='pre'"):
        gb.tl.load("mini", sequence_encoder=tmp_path, tfs=TFS)


def test_it_embeds_and_is_saved_as_not_yet_trained(tmp_path, toy):
    write_checkpoint(tmp_path / "bert")
    model = gb.tl.load(small(3, n_tfs=toy[_keys.TF].n_vars), sequence_encoder=tmp_path / "bert", device="cpu")
    toy = toy[:20].copy()
    gb.tl.embed(toy, model)
    before = toy.obsm[_keys.EMBEDDING.key]
    assert np.isfinite(before).all()
    model.save(tmp_path / "model")
    loaded = gb.tl.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.get_latent_representation(toy), before)
    assert not loaded.is_trained_  # training on it takes the moments of the scores from the data


def test_a_head_that_was_loaded_keeps_its_bias(tmp_path):
    state = write_checkpoint(tmp_path)
    for name, shape in (("transform.dense.weight", (32, 32)), ("transform.dense.bias", 32), ("bias", 69)):
        state[f"cls.predictions.{name}"] = torch.randn(shape)
    for kind in ("weight", "bias"):
        state[f"cls.predictions.transform.LayerNorm.{kind}"] = torch.randn(32)
    torch.save(state, tmp_path / "pytorch_model.bin")
    network = load(tmp_path).module
    place = vocabulary(3).index("ACT")
    assert network.kmer_head.kmers.bias[0b000111] == state["cls.predictions.bias"][place]
    # Without a decoder of its own, the words that go in are the words that come out.
    words = state["bert.embeddings.word_embeddings.weight"]
    torch.testing.assert_close(network.kmer_head.kmers.weight[0b000111], words[place])
    before = network.kmer_head.kmers.bias.clone()
    network.set_kmer_frequencies(torch.full((64,), 1 / 64))
    assert torch.equal(network.kmer_head.kmers.bias, before)
    assert F.mse_loss(network.kmer_logits(torch.randn(2, 32)), torch.zeros(2, 64)) > 0


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        ({"hidden_act": "relu"}, {}, r"hidden_act='gelu'.*found hidden_act='relu'"),
        ({"model_type": "roberta"}, {}, "found model_type='roberta'"),
        ({"layer_norm_eps": 1e-5}, {}, "found layer_norm_eps=1e-05"),
        ({"intermediate_size": 64}, {}, r"4 \* hidden_size.*found intermediate_size=64"),
        ({"position_embedding_type": "relative_key"}, {}, "found position_embedding_type='relative_key'"),
        ({"num_hidden_layers": 4}, {"n_layers": 4}, r"the tensor encoder\.layer\.3\..* of a BERT"),
        (
            {"max_position_embeddings": 64},
            {"max_tokens": 64},
            r"position\.weight of shape \(64, 32\).*found \(512, 32\)",
        ),
    ],
)
def test_other_networks_are_refused(tmp_path, change, fields, message):
    write_checkpoint(tmp_path, config=json.dumps({**SIZES, **change}))
    with pytest.raises(ValueError, match=message):
        gb.tl.load(small(3, **fields), sequence_encoder=tmp_path, tfs=TFS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "AAA"], r"\[MASK\].*found k-mers of \[3\] bases, without \[MASK\]"),
        ([*vocabulary(2), *vocabulary(3)[5:]], r"one length.*found k-mers of \[2, 3\] bases"),
        (vocabulary(3)[:-2], r"all 64 3-mers.*GGC, GGG missing"),
        (["hello", "world"], r"found k-mers of \[\] bases"),
    ],
)
def test_other_vocabularies_are_refused(tmp_path, words, message):
    write_checkpoint(tmp_path, words=words)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_vocabulary_longer_than_the_embedding(tmp_path):
    write_checkpoint(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*vocabulary(3), "[unused]"]))
    with pytest.raises(ValueError, match=r"70 words.*found 69 rows"):
        load(tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none at .*nowhere.*hf download"):
        gb.tl.load("paper", sequence_encoder=tmp_path / "nowhere")
    write_checkpoint(tmp_path)
    for name in ("pytorch_model.bin", "vocab.txt", "config.json"):
        (tmp_path / name).unlink()
        with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
            load(tmp_path)


class Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_pickle_is_run(tmp_path):
    write_checkpoint(tmp_path)
    torch.save({"x": Trap(tmp_path / "sprung")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be read"):
        load(tmp_path)
    assert not (tmp_path / "sprung").exists()
    for name in ("pytorch_model.bin", "model.safetensors"):
        (tmp_path / name).write_bytes(b"<html>")
        with pytest.raises(ValueError, match=r"cannot be read .*Copy it again"):
            load(tmp_path)


def test_arguments_that_do_not_go_together(tmp_path):
    write_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"a config or a preset \(paper.*found 'maxi'"):
        gb.tl.load("maxi", sequence_encoder=tmp_path)
    with pytest.raises(ValueError, match="`sequence_encoder` with a config"):
        gb.tl.load("mini", tfs=TFS)
    with pytest.raises(ValueError, match="found a config alone"):
        gb.tl.load(GeneBERTConfig.preset("tiny", n_tfs=4))
    with pytest.raises(FileNotFoundError, match=r"gb\.tl\.pretrain.*`sequence_encoder`"):
        gb.tl.load("base")
