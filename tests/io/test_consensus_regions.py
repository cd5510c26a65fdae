"""consensus_regions: union, fixed width, blacklist, chromosome ends, styles."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert._keys import ACCESSIBILITY, ATAC, CHROM, END, OPEN, START, load_record
from genebert.io import _bed, _intervals

NARROWPEAK = "{0}\t{1}\t{2}\tp\t1000\t.\t{signal}\t{pvalue}\t-1\t{summit}\n"


def peaks(*rows, **columns) -> pd.DataFrame:
    """Rows of chrom, start, end and, where given, score and offset of the summit."""
    names = [CHROM.key, START.key, END.key, "score", "peak"][: len(rows[0])]
    return pd.DataFrame(rows, columns=names).assign(**columns)


def members(mdata) -> pd.DataFrame:
    return mdata[ATAC].to_df().astype(int)


@pytest.fixture
def genome(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\n" + "ACGT" * 500 + "\n>chr2\n" + "ACGT" * 50 + "\n")
    return gb.Genome(path)


def test_union(log):
    b = peaks(("chr2", 50, 90), ("chr1", 100, 300), ("chr1", 900, 950))
    t = peaks(("chr1", 250, 400), ("chr1", 400, 420), ("chr1", 421, 500))
    mdata = gb.io.consensus_regions({"B cell": b, "T cell": t})
    assert list(mdata.obs_names) == ["chr1:100-420", "chr1:421-500", "chr1:900-950", "chr2:50-90"]
    assert members(mdata).to_numpy().tolist() == [[1, 1], [0, 1], [1, 0], [1, 0]]
    assert list(mdata[ATAC].var_names) == ["B cell", "T cell"]
    assert ACCESSIBILITY.get(mdata).dtype == np.float32
    assert np.array_equal(OPEN.get(mdata).toarray(), ACCESSIBILITY.get(mdata))
    assert (START.get(mdata).dtype, END.get(mdata).dtype) == (np.int64, np.int64)
    assert "6 peaks of 2 sources -> 4 regions" in log.text
    entry = load_record(mdata, "consensus_regions", ATAC, filled_by="gb.io.consensus_regions")
    assert entry["params"] == {
        "width": None,
        "score_per_million": True,
        "merge_gap": 0,
        "min_sources": 1,
        "sources": ["B cell", "T cell"],
    }


def test_merge_gap():
    source = peaks(("chr1", 0, 10), ("chr1", 13, 20), ("chr1", 24, 30), ("chr2", 0, 10))
    names = list(gb.io.consensus_regions([source], merge_gap=3).obs_names)
    assert names == ["chr1:0-20", "chr1:24-30", "chr2:0-10"]


def test_a_peak_inside_another_does_not_end_it():
    source = peaks(("chr1", 0, 100), ("chr1", 10, 20), ("chr1", 90, 120))
    assert list(gb.io.consensus_regions([source]).obs_names) == ["chr1:0-120"]


def test_windows_keep_the_best_and_then_what_is_free():
    """The middle window overlaps both others and has the highest score; the outer two would fit beside each other."""
    row = peaks(("chr1", 100, 140, 5, 20), ("chr1", 160, 200, 9, 20), ("chr1", 220, 260, 5, 20))
    assert list(gb.io.consensus_regions([row], width=100).obs_names) == ["chr1:130-230"]
    weak = row.assign(score=[5, 4, 3])
    assert list(gb.io.consensus_regions([weak], width=100).obs_names) == ["chr1:70-170", "chr1:190-290"]


def test_members_of_a_window_have_a_peak_there():
    a = peaks(("chr1", 1000, 1400, 100, 10), ("chr1", 5000, 5600, 300, 5))
    b = peaks(("chr1", 1200, 1500, 50, 50), ("chr1", 9000, 9300, 100, 7))
    mdata = gb.io.consensus_regions({"a": a, "b": b}, width=500)
    table = members(mdata)
    assert table.to_dict("list") == {"a": [1, 1, 0], "b": [1, 0, 1]}
    assert (END.get(mdata) - START.get(mdata) == 500).all()


def test_scores_are_compared_within_their_source():
    """The deep sample has ten times the scores, but its peak at 100 is the weaker half of its own set."""
    deep = peaks(("chr1", 80, 120, 100), ("chr2", 80, 120, 900))
    shallow = peaks(("chr1", 100, 140, 60), ("chr2", 500, 540, 40))
    mdata = gb.io.consensus_regions([deep, shallow], width=60)
    assert "chr1:90-150" in mdata.obs_names
    assert "chr1:70-130" not in mdata.obs_names
    as_they_are = gb.io.consensus_regions([deep, shallow], width=60, score_per_million=False)
    assert "chr1:70-130" in as_they_are.obs_names


def test_without_scores_all_rank_alike(log):
    mdata = gb.io.consensus_regions({"x": peaks(("chr1", 100, 200), ("chr1", 140, 240))}, width=100)
    assert list(mdata.obs_names) == ["chr1:100-200"]
    assert "no scores in x" in log.text


def test_files(tmp_path):
    line = NARROWPEAK.format("chr1", 100, 300, signal=1, pvalue=5, summit=10)
    (tmp_path / "B_peaks.narrowPeak").write_text(line)
    line = NARROWPEAK.format("chr1", 120, 300, signal=2, pvalue=-1, summit=5)
    (tmp_path / "T.narrowPeak.gz").write_bytes(gzip.compress(line.encode()))
    mdata = gb.io.consensus_regions([tmp_path / "B_peaks.narrowPeak", str(tmp_path / "T.narrowPeak.gz")], width=20)
    assert list(mdata.obs_names) == ["chr1:100-120"]
    assert list(mdata[ATAC].var_names) == ["B", "T"]


@pytest.mark.parametrize(
    ("name", "line", "score"),
    [
        ("x.narrowPeak", NARROWPEAK.format("c", 1, 9, signal=2, pvalue=3, summit=4), 3),
        ("x.narrowPeak", NARROWPEAK.format("c", 1, 9, signal=2, pvalue=-1, summit=4), 2),
        ("x.broadPeak", "c\t1\t9\tp\t1000\t.\t2\t3\t-1\n", 3),
        ("x.bed", "c\t1\t9\tp\t1000\t.\t2\t3\t255,0,0\n", 1000),  # columns 7 and 8 of BED9 are where to draw
        ("x.bed", "c\t1\t9\tp\t7\n", 7),
        ("x.bed", "c\t1\t9\tp\t.\n", np.nan),
        ("x.bed", "c\t1\t9\n", np.nan),
        ("x.bed", "c\t1\t9\tp\t7\t+\t1\t9\t0\t1\t8\t0\n", 7),  # BED12: column 10 is a number of blocks, no summit
    ],
)
@pytest.mark.parametrize("is_by_line", [False, True])
def test_scores_and_summits_of_files(tmp_path, monkeypatch, name, line, score, is_by_line):
    if is_by_line:
        monkeypatch.setattr(_bed, "_by_pandas", lambda path: None)
    path = tmp_path / name
    path.write_text("track x\n" + line * 2)
    table = _bed.read_bed(path)
    np.testing.assert_array_equal(table[_bed.SCORE], [score] * 2)
    assert (table[_bed.SUMMIT] == (4 if "narrow" in name else -1)).all()
    assert table[END.key].tolist() == [9, 9]


@pytest.mark.parametrize("more", ["chr1\t5\t6\tx\ty\n", "# note\n", "\n", "track x\n", "chr1 5 6\n"])
def test_lines_that_are_not_alike(tmp_path, more):
    path = tmp_path / "x.bed"
    path.write_text("\nchr1\t1\t2\n" + more + "chr2\t3\t4\n")
    table = _bed.read_bed(path)
    assert table[START.key].tolist() == ([1, 5, 3] if "5" in more else [1, 3])


def test_blacklist(tmp_path, log):
    path = tmp_path / "blacklist.bed"
    path.write_text("1\t150\t160\tHigh Signal\nchrUn\t0\t9\n")
    source = peaks(("chr1", 100, 200, 9), ("chr1", 190, 300, 5), ("chr1", 400, 500, 1))
    assert list(gb.io.consensus_regions([source], blacklist=path).obs_names) == ["chr1:190-300", "chr1:400-500"]
    assert "blacklist: 1 of 3 peaks left out" in log.text
    assert "blacklist: 1 chromosomes taken for those of the regions: 1 = chr1" in log.text
    mdata = gb.io.consensus_regions([source], blacklist=path, width=100)
    assert list(mdata.obs_names) == ["chr1:195-295", "chr1:400-500"]  # what the best one hid is there without it


def test_a_closed_gap_may_not_hold_a_blacklisted_place():
    source = peaks(("chr1", 0, 10), ("chr1", 20, 30), ("chr1", 100, 110))
    blacklist = [peaks(("chr1", 14, 15)), gb.io.assemble(regions=peaks(("chr1", 500, 510)))]
    assert list(gb.io.consensus_regions([source], merge_gap=10, blacklist=blacklist).obs_names) == ["chr1:100-110"]


def test_a_blacklist_of_another_genome_is_told():
    with pytest.warns(UserWarning, match=r"None of the chromosomes of `blacklist` \(scaffold9\)"):
        gb.io.consensus_regions([peaks(("chr1", 0, 10))], blacklist=peaks(("scaffold9", 0, 10)))


def test_min_sources(log):
    a, b = peaks(("chr1", 0, 10), ("chr1", 50, 60)), peaks(("chr1", 5, 20))
    assert list(gb.io.consensus_regions([a, b], min_sources=2).obs_names) == ["chr1:0-20"]
    assert "1 regions left out, with peaks of fewer than 2 sources" in log.text


def test_chromosomes(log):
    source = peaks(("chr1", 0, 10), ("chr2", 0, 10), ("chrUn_KI270742v1", 0, 10))
    assert list(gb.io.consensus_regions([source], chromosomes=["1", "2", "Y"]).obs_names) == ["chr1:0-10", "chr2:0-10"]
    assert "1 peaks left out, on 1 other chromosomes" in log.text
    with pytest.raises(ValueError, match=r"`chromosomes` with peaks, such as chr1.*found chrZ"):
        gb.io.consensus_regions([source], chromosomes=["chrZ"])
    assert "no peaks on Y of `chromosomes`" in log.text
    with pytest.raises(ValueError, match=r"to be a list; found 'chr12'. Write \['chr12'\]"):
        gb.io.consensus_regions([source], chromosomes="chr12")


def test_a_chromosome_alone_has_the_regions_that_it_has_among_others():
    deep = peaks(("chr1", 80, 120, 100), ("chr2", 80, 120, 900))
    shallow = peaks(("chr1", 100, 140, 60), ("chr2", 500, 540, 40))
    mdata = gb.io.consensus_regions([deep, shallow], width=60, chromosomes=["chr1"])
    assert list(mdata.obs_names) == ["chr1:90-150"]


def test_ends_of_chromosomes(genome, log):
    source = peaks(("1", 1900, 2100), ("2", 10, 20), ("2", 200, 300), ("GL1", 0, 5))
    mdata = gb.io.consensus_regions([source], genome=genome)
    assert list(mdata.obs_names) == ["1:1900-2000", "2:10-20"]
    assert "1 peaks left out, on chromosomes not in the genome: GL1" in log.text
    assert "ends of chromosomes: 1 peaks cut, 1 left out" in log.text
    log.clear()
    mdata = gb.io.consensus_regions([source], genome=genome, width=300)
    assert list(mdata.obs_names) == ["1:1700-2000"]  # chr2 has 200 bp
    assert "ends of chromosomes: 1 peaks shifted, 2 left out" in log.text
    assert "2 windows shifted to the start" in log.text


@pytest.mark.parametrize(
    ("common", "other", "renamed"),
    [
        (["chr1", "chrX", "chrM"], ["1", "X", "MT"], ["chr1", "chrX", "chrM"]),
        (["1", "X", "MT"], ["chr1", "chrX", "chrM"], ["1", "X", "MT"]),
        (["chr1", "chr2"], ["NC_000001.11", "NC_000002.12"], ["chr1", "chr2"]),
        (["chr1", "chr2", "chr5"], ["7", "X", "MT"], ["chr7", "chrX", "chrM"]),  # no counterpart, but certain
    ],
)
def test_styles(common, other, renamed, log):
    a = peaks(*[(chrom, 10 * n, 10 * n + 5) for chrom in common for n in range(3)])
    b = peaks(*[(chrom, 10, 15) for chrom in other])
    mdata = gb.io.consensus_regions({"a": a, "b": b})
    assert set(CHROM.get(mdata)) == {*common, *renamed}
    assert members(mdata)["b"].sum() == len(other)
    assert f"b: chromosome style {gb._chromosomes.style_of(other[0])}" in log.text
    assert f"{len(other)} renamed ({other[0]} -> {renamed[0]}" in log.text


def test_names_without_a_counterpart_stay_and_are_told():
    a, b = peaks(("chr1", 0, 10), ("chr1", 20, 30), ("chr1", 40, 50)), peaks(("scaffold_12", 0, 10), ("1", 0, 10))
    with pytest.warns(UserWarning, match="b: 1 chromosomes have no counterpart.*: scaffold_12. Rename"):
        mdata = gb.io.consensus_regions({"a": a, "b": b})
    assert set(CHROM.get(mdata)) == {"chr1", "scaffold_12"}


def test_odd_names_within_one_source_stay():
    a = peaks(("chr1", 0, 10), ("chr2", 20, 30), ("EBV", 40, 50))
    assert set(CHROM.get(gb.io.consensus_regions([a]))) == {"chr1", "chr2", "EBV"}


def test_two_assemblies_are_refused():
    with pytest.raises(ValueError, match=r"one assembly.*NC_000001.10 and NC_000001.11. Lift one set over first"):
        gb.io.consensus_regions([peaks(("NC_000001.10", 0, 10)), peaks(("NC_000001.11", 0, 10))])


COORDINATES = st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 300), st.integers(1, 80), st.integers(0, 5))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(COORDINATES, min_size=1, max_size=12), min_size=1, max_size=4),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_fixed_width_agrees_with_the_definition(sources, seed, has_width):
    """Against a quadratic reference, in any order of sources and peaks."""
    width = 40 if has_width else None
    tables = [peaks(*[(c, s, s + w, score) for c, s, w, score in rows]) for rows in sources]
    expected = _by_definition(tables, width)
    rng = np.random.default_rng(seed)
    for shuffled in (
        tables,
        [tables[i].sample(frac=1, random_state=seed % 1000) for i in rng.permutation(len(tables))],
    ):
        mdata = gb.io.consensus_regions(shuffled, width=width)
        assert set(mdata.obs_names) == expected
        assert list(mdata.obs_names) == list(mdata.obs_names[gb._regions.genomic_order(*_columns(mdata))])
        for row, (chrom, start, end) in enumerate(zip(*_columns(mdata), strict=True)):
            has_peak = [((t.chrom == chrom) & (t.start < end) & (t.end > start)).any() for t in shuffled]
            assert members(mdata).iloc[row].tolist() == has_peak


def _columns(mdata):
    return CHROM.get(mdata).astype(str), START.get(mdata), END.get(mdata)


def _by_definition(tables, width) -> set[str]:
    table = pd.concat(
        [t.assign(score=t.score / t.score.sum() if t.score.sum() else 1 / len(t)) for t in tables], ignore_index=True
    )
    if width is None:
        bases = {(c, base) for c, s, e in zip(table.chrom, table.start, table.end, strict=True) for base in range(s, e)}
        starts = sorted((c, base) for c, base in bases if (c, base - 1) not in bases)
        ends = sorted((c, base + 1) for c, base in bases if (c, base + 1) not in bases)
        return {f"{c}:{s}-{e}" for (c, s), (_, e) in zip(starts, ends, strict=True)}
    first = np.maximum((table.start + table.end) // 2 - width // 2, 0)
    kept: list[tuple[str, int]] = []
    for _, chrom, start in sorted(zip(-table.score, table.chrom, first, strict=True)):
        if all(chrom != other or abs(start - place) >= width for other, place in kept):
            kept.append((chrom, start))
    return {f"{c}:{s}-{s + width}" for c, s in kept}


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_round_trip(tmp_path, suffix):
    mdata = gb.io.consensus_regions([peaks(("chr1", 0, 10)), peaks(("chr1", 5, 30), ("chr2", 0, 9))])
    gb.io.write(mdata, tmp_path / f"x.{suffix}")
    again = gb.io.read(tmp_path / f"x.{suffix}")
    assert members(again).equals(members(mdata))
    assert members(again[["chr2:0-9"]].copy()).to_numpy().tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ([], {}, "at least one source; found none"),
        ([peaks(("chr1", 5, 5))], {}, "0 <= start < end"),
        ([peaks(("chr1", 0, 5))], {"width": 0}, "`width` to be an integer"),
        ([peaks(("chr1", 0, 5))], {"width": 5, "merge_gap": 2}, "`merge_gap` 0 with `width`.*found 2"),
        ([peaks(("chr1", 0, 5))], {"merge_gap": -1}, "`merge_gap` to be an integer"),
        ([peaks(("chr1", 0, 5))], {"min_sources": 2}, r"`min_sources` to be an integer in \[1, 1\]"),
        ([peaks(("chr1", 0, 5))], {"blacklist": peaks(("chr1", 4, 5))}, "at least one region; found none"),
        (["a/x.bed", "b/x_peaks.bed"], {}, r"each source \(by its name\) once; repeated: x"),
    ],
)
def test_bad_input(sources, options, message):
    with pytest.raises(ValueError, match=message):
        gb.io.consensus_regions(sources, **options)


def test_no_source():
    with pytest.raises(TypeError, match=r"a dict or a list; found one str\. Write \[source\]"):
        gb.io.consensus_regions("peaks.bed")
    with pytest.raises(TypeError, match=r"Expected `sources\['a'\]` to be a path, a DataFrame or a MuData; found int"):
        gb.io.consensus_regions({"a": 3})


def test_kernel_without_compiler():
    """The same intervals are kept, also of unequal width; and what is kept does not overlap."""
    rng = np.random.default_rng(0)
    start = np.sort(rng.integers(0, 400, 60))
    end = start + rng.integers(1, 40, 60)
    order = rng.permutation(60)
    kept = _intervals._thin(start, end, order, 40)
    assert np.array_equal(kept, getattr(_intervals._thin, "py_func", _intervals._thin)(start, end, order, 40))
    assert (end[kept][:-1] <= start[kept][1:]).all()
    for place in np.flatnonzero(~kept):
        better = kept & (np.argsort(order) < np.argsort(order)[place])
        assert ((start[better] < end[place]) & (end[better] > start[place])).any()


def test_a_path_is_no_genome():
    table = pd.DataFrame({"chrom": "chr1", "start": [1], "end": [5]})
    with pytest.raises(TypeError, match=r"`genome` to be a gb.Genome; found str. Write gb.Genome\(path\)"):
        gb.io.consensus_regions([table], genome="hg38.fa")


@pytest.mark.parametrize("content", ["", "chrom\tstart\tend\n"])
def test_empty_files_are_told(tmp_path, content):
    path, table = tmp_path / "empty.bed", pd.DataFrame({"chrom": "chr1", "start": [1], "end": [5]})
    path.write_text(content)
    with pytest.warns(UserWarning, match="^empty of `sources` holds no peaks") as told:
        mdata = gb.io.consensus_regions([table, path], blacklist=None)
    assert told[0].filename == __file__
    assert list(mdata.obs_names) == ["chr1:1-5"]
    with pytest.warns(UserWarning, match="holds no peaks") as told:
        gb.io.consensus_regions([table], blacklist=path)
    assert [str(warning.message) for warning in told] == [
        "`blacklist` holds no peaks, so it leaves nothing out. Check the file."
    ]
    assert told[0].filename == __file__
