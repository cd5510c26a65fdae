"""Effects of variants: signs, windows, batches, and runs that are stopped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import genebert as gb
from genebert import _keys
from genebert._dna import encode, reverse_complement
from genebert._motifs import Motif
from genebert.model._task_inputs import Contexts
from genebert.nn import GeneBERTConfig
from genebert.tl import _variant_effect

LENGTH = 64
BASES = np.array(list("ACGT"))


class FakeTask:
    """Reads positions and bases, row by row, so that batches change nothing."""

    outputs, seq_length, digest = ("open", "bound"), LENGTH, "fake"

    def __init__(self):
        self.weights = np.random.default_rng(0).normal(size=(2, LENGTH, 5)).astype(np.float32)
        self.n_calls = 0

    def logits_codes(self, codes, *, cell_type=None, tf_scores=None, batch_size=256):
        self.n_calls += 1
        assert codes.shape[1] == LENGTH
        assert codes.dtype == np.uint8
        found = np.stack([weights[np.arange(LENGTH), codes].sum(axis=1) for weights in self.weights], axis=1)
        return np.tanh(found) * (2 if cell_type == "T cell" else 1)


@pytest.fixture(scope="module")
def text():
    return "".join(np.random.default_rng(3).choice(BASES, 2000))


@pytest.fixture(scope="module")
def genome(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr1\n{text}\n")
    return gb.Genome(path)


@pytest.fixture(scope="module")
def variants(text):
    """SNVs, MNVs, insertions and deletions, some at the ends of the chromosome."""
    rng = np.random.default_rng(4)
    rows = []
    for pos in [1, 3, 40, 1990, 2000, *rng.integers(100, 1900, 30).tolist()]:
        n_ref = int(rng.integers(1, 6)) if pos < 1900 else 1
        ref = text[pos - 1 : pos - 1 + n_ref]
        alt = ref
        while alt == ref:
            alt = "".join(rng.choice(BASES, int(rng.integers(1, 6))))
        rows.append(("chr1", pos, ref, alt))
    return pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"]).drop_duplicates(ignore_index=True)


def _by_hand(text, pos, ref, allele):
    """The rule in words: the allele in the middle, the genome around it, N past its ends."""
    padded = "N" * LENGTH + text + "N" * LENGTH
    start = LENGTH + pos - 1
    left = (LENGTH - len(allele)) // 2
    return (padded[start - left : start] + allele + padded[start + len(ref) :])[:LENGTH]


def test_of_several_classes_each_is_set_against_the_others(genome, variants):
    """What is added to all logits alike is no change."""

    class Shifted(FakeTask):
        kind = "multiclass"

        def logits_codes(self, codes, **options):
            return super().logits_codes(codes, **options) + codes.sum(axis=1, keepdims=True)

    found = gb.tl.variant_effect(variants, Shifted(), genome=genome)
    plain = gb.tl.variant_effect(variants, FakeTask(), genome=genome)
    wanted = plain["effect_open"] - plain["effect_bound"]  # two classes: what one gains the other loses
    np.testing.assert_allclose(found["effect_open"], wanted, atol=1e-4)
    np.testing.assert_allclose(found["effect_bound"], -wanted, atol=1e-4)


def test_every_kind_equals_two_sequences_written_by_hand(text, genome, variants):
    from_genome = gb.tl.variant_effect(variants, FakeTask(), genome=genome)
    hand = variants.assign(
        ref_sequence=[_by_hand(text, row.pos, row.ref, row.ref) for row in variants.itertuples()],
        alt_sequence=[_by_hand(text, row.pos, row.ref, row.alt) for row in variants.itertuples()],
    )
    assert (hand["ref_sequence"].str.len() == LENGTH).all()
    from_hand = gb.tl.variant_effect(hand, FakeTask())
    for column in ("effect_open", "effect_bound"):
        assert from_genome[column].dtype == np.float32
        assert np.array_equal(from_genome[column], from_hand[column])
    assert set(from_genome["status"]) == {"ok"}
    logits = [FakeTask().logits_codes(np.stack([encode(x) for x in hand[c]])) for c in ("alt_sequence", "ref_sequence")]
    assert np.allclose(from_genome[["effect_open", "effect_bound"]], logits[0] - logits[1], atol=1e-6)


def test_exchanged_alleles_flip_the_sign_exactly(genome, text):
    pos = np.arange(100, 1100, 7)
    ref = [text[p - 1] for p in pos]
    table = pd.DataFrame({"chrom": "chr1", "pos": pos, "ref": ref, "alt": ["ACGT"["ACGT".index(r) - 1] for r in ref]})
    back = table.rename(columns={"ref": "alt", "alt": "ref"})
    there, again = (gb.tl.variant_effect(rows, FakeTask(), genome=genome) for rows in (table, back))
    assert set(again["status"]) == {"alleles swapped"}
    assert np.array_equal(there["effect_open"], -again["effect_open"])
    assert there["effect_open"].abs().max() > 0


def test_exchanged_alleles_flip_the_sign_exactly_with_the_shipped_weights():
    var = gb.datasets.toy_cohort(n_individuals=4, n_variants=60).var
    names = {"ref_sequence": "alt_sequence", "alt_sequence": "ref_sequence", "ref": "alt", "alt": "ref"}
    there, back = (gb.tl.variant_effect(rows, batch_size=16) for rows in (var, var.rename(columns=names)))
    assert np.array_equal(there["effect_motif"], -back["effect_motif"])
    assert np.array_equal(there["distance"], back["distance"])
    assert there["motif"].tolist() == back["motif"].tolist()
    assert (there["distance"] > 0).all()
    assert {"ref_sequence", "alt_sequence"}.isdisjoint(there.columns)
    assert there["risk"].tolist() == var["risk"].tolist()


def test_genome_and_columns_of_sequences_agree(tmp_path):
    cohort = gb.datasets.toy_cohort(n_individuals=4, n_variants=24, folder=tmp_path)
    options = {"genome": tmp_path / "genome.fa", "seq_length": 200}
    from_file = gb.tl.variant_effect(tmp_path / "variants.vcf", **options)
    from_columns = gb.tl.variant_effect(cohort.var)
    assert np.array_equal(from_file["distance"], from_columns["distance"])
    assert from_file["id"].tolist() == cohort.var["id"].tolist()


def test_the_head_of_a_model_gives_signed_effects():
    model = gb.tl.load("mini")
    torch.manual_seed(0)
    model.head, model.head_labels = torch.nn.Linear(model.module.config.n_latent, 2), ["a", "b"]
    found = gb.tl.variant_effect(gb.datasets.toy_cohort(n_individuals=4, n_variants=12).var, model)
    assert np.isfinite(found[["effect_a", "effect_b", "effect_motif", "distance"]]).all(axis=None)
    assert (found["effect_a"] < 0).any()


def test_strands_and_cell_types(genome, variants):
    task = FakeTask()
    one = gb.tl.variant_effect(variants, task, genome=genome)
    several = gb.tl.variant_effect(variants, task, genome=genome, cell_type=["B cell", "T cell"])
    assert [name for name in several if name.startswith("effect")] == [
        "effect_open@B cell", "effect_bound@B cell", "effect_open@T cell", "effect_bound@T cell"
    ]  # fmt: skip
    assert np.array_equal(several["effect_open@B cell"], one["effect_open"])
    assert np.allclose(several["effect_open@T cell"], 2 * one["effect_open"])
    both = gb.tl.variant_effect(variants, task, genome=genome, strands="both")
    pair = _variant_effect.alleles_in_genome(variants, ["ok"] * len(variants), genome, seq_length=LENGTH)
    turned = [task.logits_codes(reverse_complement(codes)) for codes in (pair.alt, pair.ref)]
    assert np.allclose(2 * both["effect_open"] - one["effect_open"], (turned[0] - turned[1])[:, 0], atol=1e-5)


def test_outputs_that_name_a_cell_type_are_told_from_the_one_that_is_assumed(genome, variants):
    class Bound(FakeTask):
        outputs = ("CTCF|B cell", "CTCF|T cell")

    found = gb.tl.variant_effect(variants.head(2), Bound(), genome=genome, cell_type=["B cell", "T cell"])
    assert [name for name in found if name.startswith("effect")] == [
        "effect_CTCF|B cell@B cell", "effect_CTCF|T cell@B cell", "effect_CTCF|B cell@T cell", "effect_CTCF|T cell@T cell"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="name each column once; found effect_open@B cell, effect_bound@B cell twice"):
        gb.tl.variant_effect(variants, FakeTask(), genome=genome, cell_type=["B cell", "B cell"])


def test_given_sequences_lie_in_the_window_as_in_fitting(tmp_path):
    """Shorter ones are padded with N on the right, as `io.read_sequences` does."""
    rng = np.random.default_rng(0)
    ref = "".join(rng.choice(BASES, 40))
    alt = ref[:20] + "ACGT"["ACGT".index(ref[20]) - 1] + ref[21:]
    longer = "".join(rng.choice(BASES, LENGTH))
    (tmp_path / "x.fa").write_text(f">ref\n{ref}\n>alt\n{alt}\n>longer\n{longer}\n")
    logits = FakeTask().logits_codes(_keys.DNA_CODE.get(gb.io.read_sequences(tmp_path / "x.fa")))
    found = gb.tl.variant_effect(pd.DataFrame({"ref_sequence": [ref], "alt_sequence": [alt]}), FakeTask())
    assert found["effect_open"].iloc[0] == np.float32(logits[1, 0] - logits[0, 0])
    saturated = gb.tl.saturation_mutagenesis(ref, FakeTask(), effect="effect_open")
    assert saturated[alt[20]].iloc[20] == found["effect_open"].iloc[0]


def test_a_change_in_what_is_cut_off_has_a_status():
    rng = np.random.default_rng(1)
    ref = "".join(rng.choice(BASES, LENGTH + 20))  # ten bases go on either side

    def change(place, text=None):
        return ref[:place] + (text or "ACGT"["ACGT".index(ref[place]) - 1]) + ref[place + 1 :]

    alts = [change(9), change(10), change(LENGTH + 9), change(LENGTH + 10), ref, change(30, "ACGTACGTACGT"), ref + "A"]
    table = pd.DataFrame({"ref_sequence": ref, "alt_sequence": alts})
    wanted = ["change cut off", "ok", "ok", "change cut off", "ok", "ok", "change cut off"]
    for names in ({}, {"ref_sequence": "alt_sequence", "alt_sequence": "ref_sequence"}):
        found = gb.tl.variant_effect(table.rename(columns=names), FakeTask())
        assert found["status"].tolist() == wanted
        assert np.isnan(found["effect_open"]).tolist() == [name != "ok" for name in wanted]
    assert found["effect_open"].iloc[4] == 0
    assert found["effect_open"].iloc[1] != 0


def test_what_is_passed_in_again_is_judged_anew(genome, text, tmp_path):
    """By this genome and this window, not those of an earlier call."""
    other = "".join(np.random.default_rng(9).choice(BASES, 2000))
    (tmp_path / "other.fa").write_text(f">chr1\n{other}\n")
    pos = np.arange(100, 900, 40)
    ref = [text[place - 1 : place + 1] for place in pos]
    table = pd.DataFrame({"chrom": "chr1", "pos": pos, "ref": ref, "alt": [word[0] + "A" * 30 for word in ref]})
    there = gb.tl.variant_effect(table, FakeTask(), genome=tmp_path / "other.fa", mismatch="mark")
    assert (there["status"] == "REF mismatch").sum() > 10
    again = gb.tl.variant_effect(there, FakeTask(), genome=genome)
    assert set(again["status"]) == {"ok"}
    pd.testing.assert_series_equal(
        again["effect_open"], gb.tl.variant_effect(table, FakeTask(), genome=genome)["effect_open"]
    )
    short = gb.tl.variant_effect(table, genome=genome, seq_length=20)
    assert set(short["status"]) == {"allele too long"}
    assert set(gb.tl.variant_effect(short, FakeTask(), genome=genome)["status"]) == {"ok"}
    with pytest.raises(ValueError, match="another assembly"):
        gb.tl.variant_effect(again, FakeTask(), genome=tmp_path / "other.fa")


def test_what_a_genome_cannot_tell_is_kept(genome, text, tmp_path):
    """Of several alleles of a row, and of duplicates, as long as the first is there."""
    alts = ",".join(base for base in "ACGT" if base != text[99])
    (tmp_path / "x.vcf").write_text(f"chr1\t100\t.\t{text[99]}\t{alts}\n" * 2)
    table = gb.io.read_variants(tmp_path / "x.vcf", genome=genome)
    found = gb.tl.variant_effect(gb.tl.variant_effect(table, FakeTask(), genome=genome), FakeTask(), genome=genome)
    assert found["status"].tolist() == ["multi-allelic"] * 3 + ["duplicate"] * 3
    assert gb.tl.variant_effect(table.tail(3), FakeTask(), genome=genome)["status"].tolist() == ["ok"] * 3
    given = found.assign(ref_sequence=text[:LENGTH], alt_sequence=[text[1 : LENGTH + 1]] * 5 + [None])
    given["status"] = ["REF mismatch", "multi-allelic", "allele too long", "duplicate", "mine", "REF mismatch"]
    wanted = ["ok", "multi-allelic", "ok", "duplicate", "ok", "REF mismatch"]
    assert gb.tl.variant_effect(given, FakeTask())["status"].tolist() == wanted


def test_what_cannot_be_scored_is_kept(genome, text):
    rows = [
        ("chr1", 100, text[99], "<DEL>"), ("chr7", 5, "A", "C"), ("chr1", 5000, "A", "C"), ("chr1", 50, text[49], "A" * 65),
        ("chr1", None, "A", "C"), ("chr1", 60, text[59], None), ("chr1", 70, text[69], "A" if text[69] != "A" else "C"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"], index=list("abcdefg"))
    found = gb.tl.variant_effect(table, FakeTask(), genome=genome)
    assert found["status"].tolist() == [
        "symbolic allele", "unknown chromosome", "beyond the end", "allele too long", "malformed", "malformed", "ok"
    ]  # fmt: skip
    assert np.isfinite(found["effect_open"]).tolist() == [False] * 6 + [True]
    assert table.index.tolist() == list("abcdefg")  # the table of the caller stays as it is


def test_a_thousand_broken_rows_yield_a_thousand_statuses(genome, text, tmp_path):
    ref = text[99]
    alt, other = "ACGT".replace(ref, "")[:2]
    kinds = {
        f"chr1\t100\t.\t{other}\t{alt}": "REF mismatch", f"chr1\tx1\t.\t{ref}\t{alt}": "malformed",
        f"chr1\t-5\t.\t{ref}\t{alt}": "malformed", f"chr1\t2009\t.\t{ref}\t{alt}": "beyond the end",
        f"chr77\t100\t.\t{ref}\t{alt}": "unknown chromosome", f"chr1\t100\t.\t{ref}\t<DEL>": "symbolic allele",
        f"chr1\t100\t.\t{ref}\t*": "symbolic allele", f"chr1\t100\t.\t{ref}\t.": "no change",
        f"chr1\t100\t.\t{ref}\t{ref}": "no change", f"chr1\t100\t.\tN\t{alt}": "not ACGT",
        f"chr1\t100\t.\t{ref}\t{alt}]chr2:7]": "symbolic allele", "chr1": "malformed", "chr1\t100\t.": "malformed",
        "\t\t\t\t": "malformed", f"chr1\t1.5\t.\t{ref}\t{alt}": "malformed", f"chr1\t100\t.\t\t{alt}": "malformed",
        f"chr1\t100\t.\t{text[99:200]}\t{ref}": "allele too long", f"chr1\t100\t.\t{ref}\t\u2603": "not ACGT",
    }  # fmt: skip
    lines = [line for line in kinds for _ in range(56)][:1000]
    (tmp_path / "x.vcf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = gb.tl.variant_effect(tmp_path / "x.vcf", FakeTask(), genome=genome, mismatch="mark")
    assert len(found) == 1000
    wanted = np.array([kinds[line] for line in lines], dtype=object)
    is_again = found.duplicated(["chrom", "pos", "ref", "alt"]).to_numpy() & (wanted == "allele too long")
    assert found["status"].tolist() == np.where(is_again, "duplicate", wanted).tolist()
    assert found[["effect_open", "effect_bound"]].isna().all(axis=None)


def test_indels_equal_two_sequences_written_by_hand_with_the_shipped_weights(genome, text):
    rows = [
        ("chr1", 500, text[499:507], text[499]),
        ("chr1", 800, text[799], text[799] + "ACGTT"),
        ("chr1", 900, text[899:901], "GATT"),
    ]
    table = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"])
    hand = [[_by_hand(text, pos, ref, allele) for allele in (ref, alt)] for _, pos, ref, alt in rows]
    found = gb.tl.variant_effect(table, genome=genome, seq_length=LENGTH)
    wanted = gb.tl.variant_effect(pd.DataFrame(hand, columns=["ref_sequence", "alt_sequence"]))
    for column in ("distance", "effect_motif", "motif"):
        assert found[column].tolist() == wanted[column].tolist()
    assert (found["distance"] > 0).all()


def test_marked_rows_of_another_assembly_stay_marked(tmp_path, genome):
    rng = np.random.default_rng(0)
    rows = [
        f"chr1\t{pos}\t.\t{ref}\t{ref}A\n" for pos, ref in zip(range(100, 400), rng.choice(BASES, 300), strict=True)
    ]
    (tmp_path / "x.vcf").write_text("".join(rows))
    table = gb.io.read_variants(tmp_path / "x.vcf", genome=genome, mismatch="mark")
    found = gb.tl.variant_effect(table, FakeTask(), genome=genome)
    assert found["status"].tolist() == table["status"].tolist()
    with pytest.raises(ValueError, match="another assembly"):
        gb.tl.variant_effect(table.drop(columns="status"), FakeTask(), genome=genome)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_few_rows(genome, variants, n_rows):
    assert len(gb.tl.variant_effect(variants.head(n_rows), FakeTask(), genome=genome)) == n_rows


class Stopped(Exception):
    pass


def test_a_stopped_run_goes_on(genome, variants, tmp_path, monkeypatch):
    whole = gb.tl.variant_effect(variants, FakeTask(), genome=genome, batch_size=8)
    path = tmp_path / "out" / "effects.tsv"
    options = {"genome": genome, "batch_size": 8, "output": path}
    score, n_batches = _variant_effect._score, []

    def stop(*arguments):
        n_batches.append(1)
        if len(n_batches) > 2:
            raise Stopped
        return score(*arguments)

    monkeypatch.setattr(_variant_effect, "_score", stop)
    with pytest.raises(Stopped):
        gb.tl.variant_effect(variants, FakeTask(), **options)
    monkeypatch.setattr(_variant_effect, "_score", score)
    partial = path.with_name("effects.tsv.partial")
    assert len(partial.read_text().splitlines()) == 2 + 16
    partial.write_bytes(partial.read_bytes()[:-9])  # killed while it wrote
    with pytest.raises(FileExistsError, match="resume=True"):
        gb.tl.variant_effect(variants, FakeTask(), **options)
    with pytest.raises(ValueError, match=r"begun with the same variants.*strands differ"):
        gb.tl.variant_effect(variants, FakeTask(), **options, resume=True, strands="both")
    task = FakeTask()
    found = gb.tl.variant_effect(variants, task, **options, resume=True)
    assert task.n_calls == -(-len(variants) // 8) - 1
    pd.testing.assert_frame_equal(found, whole)
    assert not partial.exists()
    assert json.loads(path.with_name("effects.tsv.json").read_text())["seq_length"] == LENGTH
    written = pd.read_csv(path, sep="\t", keep_default_na=False)
    assert written["alt"].tolist() == variants["alt"].tolist()
    assert np.allclose(written["effect_open"], whole["effect_open"])
    task = FakeTask()
    pd.testing.assert_frame_equal(gb.tl.variant_effect(variants, task, **options, resume=True), whole)
    assert task.n_calls == 0


def test_a_run_goes_on_with_the_same_motifs_only(genome, variants, tmp_path):
    def motifs(*places):
        return [Motif(f"M{place}", f"m{place}", 20 * np.eye(4)[[place, 1, 2, 3, place, 0]]) for place in places]

    model = gb.model.GeneBERT(tfs=["M0", "M1"], config=GeneBERTConfig.preset("tiny", n_tfs=2))
    options = {"genome": genome, "output": tmp_path / "x.tsv", "seq_length": 32}
    first = gb.tl.variant_effect(variants.head(3), model, motifs=motifs(0, 1), **options)
    for other in (motifs(1, 0), motifs(0, 3), [motifs(0)[0], replace(motifs(1)[0], counts=np.full((6, 4), 5.0))]):
        with pytest.raises(ValueError, match=r"begun with the same variants.*motifs differ"):
            gb.tl.variant_effect(variants.head(3), model, motifs=other, **options, resume=True)
    again = gb.tl.variant_effect(variants.head(3), model, motifs=motifs(0, 1), **options, resume=True)
    pd.testing.assert_frame_equal(first, again)


def test_parquet(genome, variants, tmp_path):
    pytest.importorskip("pyarrow")
    whole = gb.tl.variant_effect(variants, FakeTask(), genome=genome, output=tmp_path / "x.parquet")
    assert np.array_equal(pd.read_parquet(tmp_path / "x.parquet")["effect_open"], whole["effect_open"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"genome": None}, ValueError, "Expected `genome`, or variants with columns"),
        ({"genome": 5}, TypeError, "Expected `genome` to be"),
        ({"model": 5}, TypeError, "Expected `model` to be a task"),
        ({"seq_length": 65}, ValueError, "Expected `seq_length` to be the task's, 64"),
        ({"strands": "forward"}, ValueError, "Expected `strands`"),
        ({"strands": "none"}, ValueError, "Expected `strands` to be one of"),
        ({"batch_size": 0}, ValueError, "Expected `batch_size`"),
        ({"output": "x.h5ad"}, ValueError, "to end in .tsv or .parquet"),
        ({"resume": True}, ValueError, "Expected `output` with `resume`"),
        ({"model": None, "cell_type": "B cell"}, ValueError, "Expected a task with `cell_type`"),
        ({"cell_type": []}, ValueError, "at least one `cell_type`"),
        ({"motifs": "x.meme"}, ValueError, "Expected `motifs` only with a GeneBERT"),
    ],
)
def test_wrong_arguments(genome, variants, tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        gb.tl.variant_effect(variants, **{"model": FakeTask(), "genome": genome, **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cell_type", ["T cel", ["B cell", "T cel"]])
@pytest.mark.parametrize(
    ("reads", "message"), [(["B cell", "T cell"], "found 'T cel'"), ([], "Expected no `cell_type`")]
)
def test_a_cell_type_is_checked_before_a_file_is_begun(genome, variants, tmp_path, cell_type, reads, message):
    task = FakeTask()
    task.contexts = Contexts(reads, "open", np.ones(len(reads), dtype=np.float32), ()) if reads else None
    with pytest.raises(ValueError, match=message):
        gb.tl.variant_effect(variants, task, genome=genome, cell_type=cell_type, output=tmp_path / "zz.tsv")
    assert list(tmp_path.iterdir()) == []
    if reads:
        gb.tl.variant_effect(variants, task, genome=genome, cell_type="T cell", output=tmp_path / "zz.tsv")


def test_a_missing_column_is_named(genome, variants):
    with pytest.raises(ValueError, match="ref missing"):
        gb.tl.variant_effect(variants.drop(columns="ref"), FakeTask(), genome=genome)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(gb.model, "Task"), reason="tasks are not here yet")
def test_a_fitted_task_and_its_folder(tmp_path):
    task = gb.tl.classify(gb.datasets.toy(n_regions=240), labels="promoter", method="probe", baselines=["kmer"])
    task.save(tmp_path / "task")
    var = gb.datasets.toy_cohort(n_individuals=4, n_variants=24).var
    names = {"ref_sequence": "alt_sequence", "alt_sequence": "ref_sequence", "ref": "alt", "alt": "ref"}
    there = gb.tl.variant_effect(var, task)
    column = f"effect_{task.outputs[0]}"
    assert np.isfinite(there[column]).all()
    assert np.array_equal(there[column], -gb.tl.variant_effect(var.rename(columns=names), task)[column])
    for folder in (tmp_path / "task", tmp_path):  # the second as `genebert classify` leaves it
        assert np.allclose(there[column], gb.tl.variant_effect(var, folder)[column], atol=1e-5)
