from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert import _chunks, _keys
from genebert._dna import N, decode, encode, reverse_complement
from genebert._motifs import Motif, default_motifs, tf_names

MOTIFS = default_motifs()[::40]
PALINDROME = Motif("PAL", "P1", np.eye(4)[encode("GGGACGTCCC")] * 100)
SITE = Motif("SITE", "S1", np.eye(4)[encode("TTGACCTAG")] * 100)


def counts_of(mdata, hits, n_motifs):
    counts = np.zeros((mdata.n_obs, n_motifs))
    np.add.at(counts, (mdata.obs_names.get_indexer(hits["region"]), hits["tf"].cat.codes), 1)
    return counts


def bare(*sequences):
    names = [f"s{place}" for place in range(len(sequences))]
    return gb.io.assemble(sequences=pd.Series(sequences, index=names))


def placed(sequences, *, start, end):
    regions = pd.DataFrame({"chrom": "chr1", "start": start, "end": end})
    return gb.io.assemble(regions=regions, sequences=sequences)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(gb.pp._motif_hits, "row_chunks", lambda n: _chunks.row_chunks(n, step=100))


@pytest.mark.parametrize("strands", ["both", "forward"])
@pytest.mark.parametrize("pvalue", [1e-2, 1e-4])
def test_as_many_as_counted(toy, strands, pvalue):
    motifs = MOTIFS[:12] if pvalue > 1e-3 else MOTIFS
    gb.pp.scan_motifs(toy, motifs, score="count", pvalue=pvalue, strands=strands)
    hits = gb.pp.motif_hits(toy, motifs, pvalue=pvalue, strands=strands)
    counts = _keys.TF_SCORE.get(toy).toarray()
    assert counts.sum() > 100
    np.testing.assert_array_equal(counts_of(toy, hits, len(motifs)), counts)
    assert set(hits["strand"]) == ({"+", "-"} if strands == "both" else {"+"})
    assert hits["pvalue"].max() <= pvalue * (1 + 1e-9)
    gb.pp.scan_motifs(toy, motifs, score="sum", pvalue=pvalue, strands=strands)
    sums = np.zeros(counts.shape)
    np.add.at(sums, (hits["region"].cat.codes, hits["tf"].cat.codes), hits["score"].astype(float))
    np.testing.assert_allclose(sums, _keys.TF_SCORE.get(toy).toarray(), rtol=1e-5, atol=1e-5)


def test_the_table(toy, changed):
    tables = []
    assert changed(toy, lambda mdata: tables.append(gb.pp.motif_hits(mdata, MOTIFS))) == set()
    hits = tables[0]
    assert tuple(hits.columns) == _keys.HIT_COLUMNS
    dtypes = dict.fromkeys(("region", "chrom", "strand", "tf", _keys.MOTIF_ID.key), "category")
    dtypes |= {"start": "int64", "end": "int64", "score": "float32", "pvalue": "float64"}
    assert hits.dtypes.astype(str).to_dict() == dtypes
    assert hits["tf"].cat.categories.tolist() == tf_names(MOTIFS)
    assert hits.index.tolist() == list(range(len(hits)))
    codes = (hits["region"].cat.codes, hits["start"], hits["tf"].cat.codes, hits["strand"].cat.codes)
    assert np.array_equal(np.lexsort(codes[::-1]), np.arange(len(hits)))
    lengths = {motif.motif_id: len(motif) for motif in MOTIFS}
    assert (hits["end"] - hits["start"] == hits[_keys.MOTIF_ID.key].map(lengths).astype(int)).all()


def test_bases_at_the_coordinates(toy):
    """A motif that allows one word only lies where that word does."""
    chosen = toy.obs_names[[3, 7]]
    assert len(gb.pp.motif_hits(toy, [SITE, PALINDROME], pvalue=1e-5, regions=chosen)) == 0
    codes = np.asarray(_keys.DNA_CODE.get(toy)).copy()
    codes[3, 40:49] = encode("TTGACCTAG")
    codes[7, 191:200] = reverse_complement(encode("TTGACCTAG"))
    _keys.DNA_CODE.set(toy, codes)
    hits = gb.pp.motif_hits(toy, [SITE, PALINDROME], pvalue=1e-5, regions=chosen)
    start = np.asarray(_keys.START.get(toy))
    found = hits[["region", "chrom", "start", "end", "strand", "tf", _keys.MOTIF_ID.key]].astype(object)
    assert found.to_numpy().tolist() == [
        [toy.obs_names[3], "chr1", start[3] + 40, start[3] + 49, "+", "SITE", "S1"],
        [toy.obs_names[7], "chr1", start[7] + 191, start[7] + 200, "-", "SITE", "S1"],
    ]


def test_palindromes_are_on_both_strands():
    hits = gb.pp.motif_hits(bare("TTTTT" + "GGGACGTCCC" + "TTTTT"), [PALINDROME], pvalue=1e-5)
    assert hits[["start", "end", "strand"]].to_numpy().tolist() == [[5, 15, "+"], [5, 15, "-"]]
    assert hits["score"].nunique() == hits["pvalue"].nunique() == 1
    np.testing.assert_allclose(hits["pvalue"], 0.25**10)
    forward = gb.pp.motif_hits(bare("TTTTT" + "GGGACGTCCC" + "TTTTT"), [PALINDROME], pvalue=1e-5, strands="forward")
    assert forward["strand"].tolist() == ["+"]


def test_positions_in_bare_sequences():
    mdata = bare("ACGTTGACCTAG", "TTGACCTAGAAAAAAAAAA", "ANNN")
    hits = gb.pp.motif_hits(mdata, [SITE], pvalue=1e-5)
    assert hits[["region", "start", "end"]].astype(object).to_numpy().tolist() == [["s0", 3, 12], ["s1", 0, 9]]
    assert hits["chrom"].isna().all()


def test_sequences_that_came_with_their_regions():
    """Shorter ones are padded on both sides; coordinates are those of the bases."""
    mdata = placed(["TTGACCTAG", "AAAATTGACCTAGAAAA", "CTTGACCTAG"], start=[100, 200, 300], end=[109, 217, 310])
    hits = gb.pp.motif_hits(mdata, [SITE], pvalue=1e-5)
    assert hits["start"].tolist() == [100, 204, 301]
    assert hits["chrom"].tolist() == ["chr1"] * 3


@pytest.mark.parametrize("edge", ["pad", "shift"])
@pytest.mark.parametrize("seq_length", [20, 31])
def test_windows_at_the_ends_of_a_chromosome(tmp_path, edge, seq_length):
    chromosome = np.random.default_rng(0).integers(0, 4, size=100, dtype=np.uint8)
    for start in (1, 50, 90):
        chromosome[start : start + 9] = encode("TTGACCTAG")
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{decode(chromosome)}\n")
    regions = tmp_path / "regions.bed"
    regions.write_text("chr1\t0\t10\nchr1\t47\t62\nchr1\t90\t100\n")
    mdata = gb.io.read_regions(regions)
    gb.pp.add_sequence(mdata, path, seq_length=seq_length, edge=edge)
    hits = gb.pp.motif_hits(mdata, [SITE], pvalue=1e-5)
    assert hits["start"].tolist() == [1, 50, 90]


def test_codes_in_a_store_are_read_in_chunks(toy, small_chunks):
    expected = gb.pp.motif_hits(toy, MOTIFS, background="regions")
    read = []

    def block(part):
        read.append(len(part))
        return part

    codes = np.asarray(_keys.DNA_CODE.get(toy))
    lazy = da.from_array(codes, chunks=(100, -1)).map_blocks(
        block, dtype=codes.dtype, meta=np.empty((0, 0), codes.dtype)
    )
    toy[_keys.SEQ].obsm[_keys.DNA_CODE.key] = lazy
    pd.testing.assert_frame_equal(gb.pp.motif_hits(toy, MOTIFS, background="regions"), expected)
    assert read == [100] * 12
    chosen = toy.obs_names[[250, 5, 599]]
    part = gb.pp.motif_hits(toy, MOTIFS, background=[0.3, 0.2, 0.2, 0.3], regions=chosen)
    whole = gb.pp.motif_hits(toy, MOTIFS, background=[0.3, 0.2, 0.2, 0.3])
    pd.testing.assert_frame_equal(part, whole[whole["region"].isin(chosen)].reset_index(drop=True))


@pytest.fixture(scope="module")
def small():
    return gb.datasets.toy(n_regions=60)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None)
def test_order_subset_and_strand(small, seed):
    """With a fixed background the hits of a region depend on its own sequence only, N included."""
    rng = np.random.default_rng(seed)
    mdata = small.copy()
    codes = np.asarray(_keys.DNA_CODE.get(mdata)).copy()
    codes[rng.random(codes.shape) < 0.01] = N
    _keys.DNA_CODE.set(mdata, codes)
    part = mdata[rng.permutation(60)[:20]].copy()
    columns = ["region", "start", "end", "strand", "tf", "score", "pvalue"]

    def rows(mdata):
        return gb.pp.motif_hits(mdata, MOTIFS, pvalue=1e-3)[columns].astype(object)

    whole = rows(mdata)
    assert sorted(rows(part).to_numpy().tolist()) == sorted(
        whole[whole["region"].isin(part.obs_names)].to_numpy().tolist()
    )
    _keys.DNA_CODE.set(part, reverse_complement(np.asarray(_keys.DNA_CODE.get(part))))
    turned = rows(part)
    middle = pd.Series(np.asarray(_keys.START.get(part)) + np.asarray(_keys.END.get(part)), index=part.obs_names)
    middle = turned["region"].map(middle)
    turned["start"], turned["end"] = middle - turned["end"], middle - turned["start"]
    turned["strand"] = turned["strand"].map({"+": "-", "-": "+"})
    assert sorted(turned.to_numpy().tolist()) == sorted(whole[whole["region"].isin(part.obs_names)].to_numpy().tolist())


def test_no_hit(toy):
    short = Motif("X", "X1", np.eye(4) * 100)
    hits = gb.pp.motif_hits(toy, [short], pvalue=1e-4)
    assert len(hits) == 0
    assert tuple(hits.columns) == _keys.HIT_COLUMNS
    assert len(gb.pp.motif_hits(toy, [short], pvalue=4.0**-4)) > 0
    assert len(gb.pp.motif_hits(toy, MOTIFS, regions=[])) == 0
    assert len(gb.pp.motif_hits(toy, MOTIFS, pvalue=1e-300)) == 0


def test_motifs_with_one_identifier():
    twin = Motif("OTHER", SITE.motif_id, SITE.counts)
    hits = gb.pp.motif_hits(bare("TTGACCTAG"), [SITE, twin], pvalue=1e-5)
    assert hits["tf"].tolist() == ["SITE", "OTHER"]
    assert hits[_keys.MOTIF_ID.key].tolist() == ["S1", "S1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pvalue": 2}, "`pvalue` to be a number"),
        ({"strands": "reverse"}, "`strands` to be one of"),
        ({"n_threads": 0}, "`n_threads` to be an integer"),
        ({"background": "genome"}, "`background` to be one of 'regions'"),
        ({"motifs": []}, "an empty list"),
        (
            {"regions": ["chr9:1-2"]},
            r"1 of 1 are not in `mdata.obs_names`: chr9:1-2. They look like 'chr1:10000-10200'",
        ),
        ({"regions": "chr9:1-2"}, "1 of 1 are not"),
    ],
)
def test_wrong_arguments(toy, expect_refusal, arguments, message):
    with expect_refusal(toy, ValueError, message):
        gb.pp.motif_hits(toy, **arguments)


def test_without_sequences(toy):
    del toy[_keys.SEQ].obsm[_keys.DNA_CODE.key]
    with pytest.raises(KeyError, match=r"gb\.pp\.add_sequence"):
        gb.pp.motif_hits(toy)
