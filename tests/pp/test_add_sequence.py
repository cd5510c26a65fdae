from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert import _keys
from genebert._dna import N, decode, gc_content

LENGTHS = {"1": 1000, "2": 700, "X": 300}
WRITTEN = {
    f"seq.obsm.{_keys.DNA_CODE.key}", f"seq.obs.{_keys.GC.key}", f"seq.obs.{_keys.WIDTH.key}",
    f"seq.obs.{_keys.SEQ_START.key}", f"uns.add_sequence.{_keys.DNA_CODE.key}",
}  # fmt: skip


def bases(name):
    rng = np.random.default_rng(len(name) + LENGTHS[name])
    text = decode(rng.integers(0, 4, LENGTHS[name], dtype=np.uint8))
    return text[:50] + "N" * 20 + text[70:100].lower() + text[100:]


SEQUENCES = {name: bases(name) for name in LENGTHS}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in SEQUENCES.items()))
    return path


@pytest.fixture(scope="module")
def genome(fasta):
    return gb.Genome(fasta)


def regions(*rows):
    return gb.io.assemble(regions=pd.DataFrame(rows, columns=["chrom", "start", "end"]))


def codes_as_text(mdata):
    return [decode(row) for row in _keys.DNA_CODE.get(mdata)]


def params(mdata):
    return _keys.load_record(mdata, "add_sequence", _keys.DNA_CODE.key, filled_by="")["params"]


@given(
    chrom=st.sampled_from([*LENGTHS, *(f"chr{name}" for name in LENGTHS)]),
    start=st.integers(0, 1200), width=st.integers(1, 80), seq_length=st.integers(1, 120),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:1 of 2 sequences are all N")
def test_window_is_the_text_of_the_genome(genome, chrom, start, width, seq_length):
    """Any place, chromosome ends and N included; what is outside reads N."""
    text = SEQUENCES[chrom.removeprefix("chr")]
    mdata = regions((chrom, start, start + width), ("1", 500, 510))
    gb.pp.add_sequence(mdata, genome, seq_length=seq_length)
    left = start + width // 2 - seq_length // 2
    expected = "".join(text[i].upper() if 0 <= i < len(text) else "N" for i in range(left, left + seq_length))
    assert codes_as_text(mdata)[0] == expected
    if expected.strip("N"):
        known = expected.replace("N", "")
        np.testing.assert_allclose(_keys.GC.get(mdata).iloc[0], sum(known.count(base) for base in "GC") / len(known))


def test_writes_what_it_promises(genome, changed, round_trip):
    mdata = regions(("chr1", 100, 200), ("chr2", 100, 200))
    assert changed(mdata, lambda mdata: gb.pp.add_sequence(mdata, genome)) == WRITTEN
    codes = _keys.DNA_CODE.get(mdata)
    assert (codes.dtype, codes.shape) == (np.uint8, (2, 100))
    np.testing.assert_array_equal(_keys.GC.get(mdata), gc_content(codes))
    assert _keys.WIDTH.get(mdata).tolist() == [100, 100]
    assert _keys.WIDTH.get(mdata).dtype == np.int32
    np.testing.assert_array_equal(_keys.DNA_CODE.get(round_trip(mdata)), codes)
    np.testing.assert_array_equal(_keys.DNA_CODE.get(mdata[[1, 0]].copy()), codes[[1, 0]])


def test_path_or_genome(fasta, genome):
    one, other = (regions(("chr1", 100, 200)) for _ in range(2))
    gb.pp.add_sequence(one, fasta)
    gb.pp.add_sequence(other, genome)
    assert codes_as_text(one) == codes_as_text(other)
    assert params(one) == params(other)


def test_copy_leaves_the_input_alone(genome, changed):
    results = []
    mdata = regions(("1", 300, 400), ("1", 0, 20), ("1", 950, 1150))

    def call(mdata):
        results.append(gb.pp.add_sequence(mdata, genome, edge="drop", copy=True))

    assert changed(mdata, call) == set()
    assert results[0].n_obs == 1


def test_unequal_widths_are_read_at_200(genome, log):
    mdata = regions(("1", 400, 500), ("1", 400, 410))
    gb.pp.add_sequence(mdata, genome)
    assert _keys.DNA_CODE.get(mdata).shape == (2, 200)
    assert _keys.WIDTH.get(mdata).tolist() == [100, 10]
    assert "10 to 100 bp wide: windows of 200 bp" in log.text


def test_styles_are_mapped_and_reported(genome, log):
    mdata = regions(("chr1", 400, 500), ("chrX", 100, 200))
    gb.pp.add_sequence(mdata, genome)
    assert codes_as_text(mdata)[0] == SEQUENCES["1"][400:500]
    assert "2 chromosomes mapped" in log.text


EDGES = [("1", 400, 500), ("1", 960, 1060), ("X", 0, 50), ("X", 250, 400)]  # the last three, at 100 bp, are at an edge


def test_pad(genome, log):
    mdata = regions(*EDGES)
    gb.pp.add_sequence(mdata, genome, seq_length=100)
    text = codes_as_text(mdata)
    assert text[1] == SEQUENCES["1"][960:] + "N" * 60
    assert text[2] == "N" * 25 + SEQUENCES["X"][:75].upper()
    assert params(mdata)["n_past_edge"] == 3
    assert "3 past an edge padded with N" in log.text


def test_shift(genome):
    mdata = regions(*EDGES)
    gb.pp.add_sequence(mdata, genome, seq_length=100, edge="shift")
    assert codes_as_text(mdata) == [
        SEQUENCES["1"][400:500], SEQUENCES["1"][-100:], SEQUENCES["X"][:100].upper(), SEQUENCES["X"][-100:],
    ]  # fmt: skip


def test_shift_of_a_window_longer_than_the_chromosome(genome):
    mdata = regions(("X", 100, 200))
    gb.pp.add_sequence(mdata, genome, seq_length=310, edge="shift")
    assert codes_as_text(mdata) == [SEQUENCES["X"].upper() + "N" * 10]


def test_drop_removes_regions_in_place_from_all_of_it(genome):
    names = [f"{chrom}:{start}-{end}" for chrom, start, end in EDGES]
    table = pd.DataFrame({"B": [1, 0, 1, 0]}, index=names)
    mdata = gb.io.assemble(regions=pd.DataFrame(EDGES, columns=["chrom", "start", "end"]), accessibility=table)
    mdata.obsm["other"] = np.arange(4.0)[:, None]
    mdata.uns["note"] = "kept"
    gb.pp.add_sequence(mdata, genome, seq_length=100, edge="drop")
    assert mdata.obs_names.tolist() == names[:1]
    assert {name: modality.n_obs for name, modality in mdata.mod.items()} == {"seq": 1, "atac": 1}
    assert mdata.obsm["other"].tolist() == [[0.0]]
    assert mdata.uns["note"] == "kept"
    assert params(mdata)["n_dropped"] == 3
    assert codes_as_text(mdata) == [SEQUENCES["1"][400:500]]


def test_edge_error_lists_the_regions(genome, expect_refusal):
    mdata = regions(*EDGES)
    with expect_refusal(mdata, ValueError, r"3 of 4 reach past an end: 1:960-1060, X:0-50"):
        gb.pp.add_sequence(mdata, genome, seq_length=100, edge="error")


def test_drop_of_all_is_refused(genome, expect_refusal):
    mdata = regions(("X", 0, 10))
    with expect_refusal(mdata, ValueError, "all 1 reach past an end"):
        gb.pp.add_sequence(mdata, genome, seq_length=100, edge="drop")


def test_absent_chromosomes_are_listed_with_counts(genome, expect_refusal):
    mdata = regions(("1", 400, 500), ("chrUn_1", 1, 2), ("chrUn_1", 5, 6), ("22", 1, 2))
    with expect_refusal(mdata, ValueError, r"none of chrUn_1 \(2 regions\), 22 \(1 regions\)"):
        gb.pp.add_sequence(mdata, genome)


def test_absent_chromosomes_may_be_dropped(genome, log):
    mdata = regions(("1", 400, 500), ("22", 1, 101))
    gb.pp.add_sequence(mdata, genome, missing="drop")
    assert mdata.obs_names.tolist() == ["1:400-500"]
    assert params(mdata)["n_missing"] == 1
    assert "22 (1 regions)" in log.text


def test_never_an_empty_result(genome, expect_refusal):
    mdata = regions(("22", 1, 101))
    with expect_refusal(mdata, ValueError, r"22 \(1 regions\)"):
        gb.pp.add_sequence(mdata, genome, missing="drop")


def test_all_unknown_is_refused(genome, expect_refusal):
    mdata = regions(("1", 50, 70))
    with expect_refusal(mdata, ValueError, "all 1 are N"):
        gb.pp.add_sequence(mdata, genome)


def test_some_unknown_are_counted(genome):
    mdata = regions(("1", 50, 70), ("1", 200, 220), ("1", 5000, 5020))
    with pytest.warns(UserWarning, match="2 of 3 sequences are all N"):
        gb.pp.add_sequence(mdata, genome)
    assert (_keys.DNA_CODE.get(mdata)[0] == N).all()
    assert params(mdata)["n_unknown"] == 2


def test_bare_sequences_are_refused(genome, expect_refusal):
    mdata = gb.io.assemble(sequences=["ACGT", "GGCC"])
    with expect_refusal(mdata, ValueError, r"coordinates; found 2 of 2 without\. Read bare sequences with gb\.io"):
        gb.pp.add_sequence(mdata, genome)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edge": "trim"}, "`edge` to be one of"),
        ({"missing": "keep"}, "`missing`"),
        ({"seq_length": 0}, "`seq_length`"),
    ],
)
def test_wrong_arguments(genome, expect_refusal, arguments, message):
    mdata = regions(("1", 400, 500))
    with expect_refusal(mdata, ValueError, message):
        gb.pp.add_sequence(mdata, genome, **arguments)


def test_motif_scores_of_earlier_sequences_are_told(genome, log):
    told = 'mdata["tf"].X is still that of the earlier sequences. Run gb.pp.scan_motifs again.'
    mdata = regions(("1", 200, 240), ("2", 690, 710), ("X", 150, 180))
    gb.pp.add_sequence(mdata, genome, seq_length=40)
    gb.pp.scan_motifs(mdata, gb.io.read_motifs()[:3])
    gb.pp.add_sequence(mdata, genome, seq_length=40)
    gb.pp.add_sequence(mdata, genome, seq_length=40, edge="drop")  # fewer regions, the same sequences
    assert mdata.n_obs == 2
    assert told not in log.messages
    gb.pp.add_sequence(mdata, genome, seq_length=30)
    assert told in log.messages


def test_windows_wholly_outside_are_shifted_to_the_nearest_place(genome, log):
    mdata = regions(("1", 400, 500), ("X", 5000, 5100), ("1", 950, 1050))
    gb.pp.add_sequence(mdata, genome, seq_length=100, edge="shift")
    assert codes_as_text(mdata)[1:] == [SEQUENCES["X"][-100:].upper(), SEQUENCES["1"][-100:]]
    assert _keys.SEQ_START.get(mdata).tolist() == [400, 200, 900]
    assert "2 past an edge moved inside (1 of them wholly outside)" in log.text
    assert (params(mdata)["n_past_edge"], params(mdata)["n_outside"]) == (2, 1)


def test_shift_between_slices(tmp_path):
    path = tmp_path / "slices.fa"
    path.write_text(f">1:101-200\n{SEQUENCES['1'][100:200]}\n>1:601-700\n{SEQUENCES['1'][600:700]}\n")
    mdata = regions(("1", 300, 320), ("1", 500, 520), ("1", 195, 215))
    gb.pp.add_sequence(mdata, path, edge="shift")
    assert _keys.SEQ_START.get(mdata).tolist() == [180, 600, 180]


@pytest.mark.parametrize("genome", [None, 3])
def test_no_genome(genome, expect_refusal):
    mdata = regions(("1", 400, 500))
    with expect_refusal(mdata, TypeError, "Expected `genome` to be a gb.Genome or the path"):
        gb.pp.add_sequence(mdata, genome)
