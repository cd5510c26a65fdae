"""Every single-base change, once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import genebert as gb
from genebert._dna import encode

SEQUENCE = "ACGATAACGTCCGATTGCACCGTACGTAACGT"


class Counter:
    """Counts the As in the second half, minus the Cs in the first."""

    outputs, seq_length, digest = ("y",), 32, "counter"

    def logits_codes(self, codes, *, cell_type=None, tf_scores=None, batch_size=256):
        return ((codes[:, 16:] == 0).sum(1) - (codes[:, :16] == 1).sum(1))[:, None].astype(np.float32)


class Two(Counter):
    outputs = ("y", "z")

    def logits_codes(self, codes, **options):
        return np.repeat(super().logits_codes(codes), 2, axis=1) * [1, 3]


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "g.fa").write_text(f">chr1\n{SEQUENCE * 4}\n")
    return gb.Genome(tmp_path / "g.fa")


def test_numbers():
    found = gb.tl.saturation_mutagenesis(SEQUENCE, Counter(), batch_size=7)
    assert found.shape == (32, 4)
    assert found.columns.tolist() == list("ACGT")
    assert found.index.get_level_values("position").tolist() == list(range(1, 33))
    assert "".join(found.index.get_level_values("base")) == SEQUENCE
    for place, base in enumerate(SEQUENCE):
        for other in "ACGT":
            changed = SEQUENCE[:place] + other + SEQUENCE[place + 1 :]
            before, after = (Counter().logits_codes(encode(text)[None])[0, 0] for text in (SEQUENCE, changed))
            assert found[other].iloc[place] == after - before, (place, base, other)


def test_a_region_equals_variants_at_its_middle(genome):
    found = gb.tl.saturation_mutagenesis("chr1:47-48", Counter(), genome=genome)
    position, base = found.index[0]
    assert position == 48
    others = [other for other in "ACGT" if other != base]
    table = pd.DataFrame({"chrom": "chr1", "pos": 48, "ref": base, "alt": others})
    effects = gb.tl.variant_effect(table, Counter(), genome=genome)
    assert effects["effect_y"].tolist() == found.iloc[0][others].tolist()


def test_unknown_bases_and_short_sequences():
    found = gb.tl.saturation_mutagenesis("ACGNT", Counter())
    assert found.isna().all(axis=1).tolist() == [False, False, False, True, False]


def test_shipped_weights():
    found = gb.tl.saturation_mutagenesis(SEQUENCE * 2)
    is_base = np.array([[base == column for column in "ACGT"] for base in SEQUENCE * 2])
    assert (found.to_numpy()[is_base] == 0).all()
    assert (found.to_numpy()[~is_base] > 0).all()
    assert found.to_numpy().dtype == np.float32


def test_effect_is_chosen():
    with pytest.raises(ValueError, match="Expected `effect`, one of 'effect_y', 'effect_z'"):
        gb.tl.saturation_mutagenesis(SEQUENCE, Two())
    found = gb.tl.saturation_mutagenesis(SEQUENCE, Two(), effect="effect_z")
    assert np.allclose(found, 3 * gb.tl.saturation_mutagenesis(SEQUENCE, Counter()))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("chr1:5-10", "Expected `genome` with coordinates"),
        ("not DNA", "Expected `region` to be chrom:start-end or a sequence"),
        (5, "Expected `region` to be chrom:start-end or a sequence"),
        ("", "Expected `region` to be chrom:start-end or a sequence"),
        ("NNn", "Expected `region` with A, C, G or T; found nothing but N in 'NNn'"),
        ("A" * 33, "Expected a region of at most 32 bp"),
    ],
)
def test_wrong_regions(region, message):
    with pytest.raises(ValueError, match=message):
        gb.tl.saturation_mutagenesis(region, Counter())


def test_wrong_coordinates(genome):
    with pytest.raises(ValueError, match="end behind its start"):
        gb.tl.saturation_mutagenesis("chr1:10-10", Counter(), genome=genome)
    with pytest.raises(KeyError, match="chr9"):
        gb.tl.saturation_mutagenesis("chr9:10-12", Counter(), genome=genome)


@pytest.mark.parametrize("region", ["gap:10-20", "gap:100-120"])
def test_a_region_of_which_the_genome_holds_no_base(tmp_path, region):
    (tmp_path / "g.fa").write_text(f">gap\n{SEQUENCE[:10]}{'N' * 22}\n")
    genome = gb.Genome(tmp_path / "g.fa")
    with pytest.raises(ValueError, match=f"found nothing but N in '{region}'"):
        gb.tl.saturation_mutagenesis(region, Counter(), genome=genome)
    assert gb.tl.saturation_mutagenesis("gap:9-20", Counter(), genome=genome).notna().any(axis=1).sum() == 1
