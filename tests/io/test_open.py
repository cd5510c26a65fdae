"""A MuData in a store: lazy, the same results as in memory, and nothing lost when a run dies."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap

import dask.array as da
import numpy as np
import pytest
import zarr
from mudata import MuData
from scipy import sparse

import genebert as gb
from genebert import _keys, _store, _transaction
from genebert._dna import decode
from genebert._transaction import MOVES, Transaction

GENOME_LENGTH = 60_000
N_REGIONS = 120
SPLIT = {"val": ["chr6"], "test": ["chr1"]}  # not the one that toy comes with


@pytest.fixture(scope="module")
def _small():
    return gb.datasets.toy(n_regions=N_REGIONS)


@pytest.fixture
def toy(_small):
    return _small.copy()


@pytest.fixture(scope="module")
def _genome():
    rng = np.random.default_rng(0)
    records = (decode(rng.integers(0, 4, GENOME_LENGTH, dtype=np.uint8)) for _ in range(6))
    return "".join(f">chr{number}\n{bases}\n" for number, bases in enumerate(records, start=1))


@pytest.fixture
def genome(_genome, tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(_genome)
    return path


@pytest.fixture(scope="module")
def _store_of_toy(_small, tmp_path_factory):
    """Written once; each test works on a copy of the folder."""
    path = tmp_path_factory.mktemp("store") / "toy.zarr"
    gb.io.write(_small, path)
    return path


@pytest.fixture
def path(_store_of_toy, tmp_path):
    return shutil.copytree(_store_of_toy, tmp_path / "toy.zarr")


def numbers(value):
    value = value.compute() if hasattr(value, "compute") else value
    return value.toarray() if sparse.issparse(value) else np.asarray(value)


def assert_same(found: MuData, expected: MuData):
    """Every slot, every record."""
    assert list(found.mod) == list(expected.mod)
    assert found.obs_names.equals(expected.obs_names)
    for slot in _keys.SLOTS:
        assert slot.has(found) == slot.has(expected), slot.path
        if slot.has(expected):
            a, b = numbers(slot.get(found)), numbers(slot.get(expected))
            if a.dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=slot.path)
            else:
                assert np.array_equal(a.astype(str), b.astype(str)), slot.path
    assert list(found.var_names) == list(expected.var_names)
    verbs = {verb: set(entry) for verb, entry in expected.uns[_keys.UNS].items() if isinstance(entry, dict)}
    assert {verb: set(found.uns[_keys.UNS][verb]) for verb in verbs} == verbs


def test_matrices_are_lazy_and_tables_are_not(path, toy):
    mdata = gb.io.open(path)
    for slot in (_keys.DNA_CODE, _keys.TF_SCORE, _keys.ACCESSIBILITY, _keys.COUNTS, _keys.LABELS):
        assert isinstance(slot.get(mdata), da.Array), slot.path
    assert_same(mdata, toy)
    assert mdata["seq"].obs_names is mdata["tf"].obs_names


VERBS = {
    "add_sequence": lambda mdata, genome: gb.pp.add_sequence(mdata, genome, seq_length=120),
    "scan_motifs": lambda mdata, genome: gb.pp.scan_motifs(mdata),
    "scan_motifs, sparse": lambda mdata, genome: gb.pp.scan_motifs(mdata, score="count", pvalue=1e-3),
    "normalize_accessibility": lambda mdata, genome: gb.pp.normalize_accessibility(mdata, target_sum=1e4),
    "binarize": lambda mdata, genome: gb.pp.binarize(mdata),
    "split_regions": lambda mdata, genome: gb.pp.split_regions(mdata, **SPLIT),
    "split_cell_types": lambda mdata, genome: gb.pp.split_cell_types(mdata, holdout=[mdata["atac"].var_names[0]]),
    "embed": lambda mdata, genome: gb.tl.embed(mdata, tiny(mdata)),
    "embed, cell type": lambda mdata, genome: gb.tl.embed(mdata, tiny(mdata), cell_type=mdata["atac"].var_names[0]),
}


def is_split(mdata):
    """Whether `split_regions` was called with `SPLIT`."""
    return set(_keys.CHROM.get(mdata)[_keys.REGION_SPLIT.get(mdata) == "test"]) == {"chr1"}


def tiny(mdata):
    return gb.model.GeneBERT(preset="tiny", tfs=list(mdata["tf"].var_names))


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_write_into_the_store_what_they_write_in_memory(verb, path, toy, genome, tmp_path, monkeypatch):
    for module in ("pp._add_sequence", "pp._normalize_accessibility", "pp._binarize"):
        monkeypatch.setattr(f"genebert.{module}.row_chunks", lambda n: _store_chunks(n))
    VERBS[verb](toy, genome)
    mdata = gb.io.open(path)
    VERBS[verb](mdata, genome)
    assert_same(mdata, toy)
    assert_same(gb.io.open(path), toy)
    assert_same(gb.io.read(path), toy)
    assert {entry.name for entry in tmp_path.iterdir()} == {"toy.zarr", "genome.fa"}


def _store_chunks(n):
    return (slice(start, min(start + 50, n)) for start in range(0, n, 50))


def test_embedding_in_rows_that_are_not_in_order(toy, tmp_path):
    shuffled = toy[np.random.default_rng(0).permutation(toy.n_obs)].copy()
    path = tmp_path / "shuffled.zarr"
    gb.io.write(shuffled, path)
    mdata, model = gb.io.open(path), tiny(toy)
    for data in (mdata, shuffled):
        gb.tl.embed(data, model, cell_type=data["atac"].var_names[0])
    np.testing.assert_allclose(numbers(_keys.EMBEDDING.get(mdata)), _keys.EMBEDDING.get(shuffled), atol=1e-5)


def test_a_failed_verb_changes_nothing(path, genome):
    mdata = gb.io.open(path)
    before = numbers(_keys.DNA_CODE.get(mdata))
    with pytest.raises(ValueError, match="seq_length"):
        gb.pp.add_sequence(mdata, genome, seq_length=0)
    genome.write_text("".join(f">chr{number}\n{'N' * GENOME_LENGTH}\n" for number in range(1, 7)))
    with pytest.raises(ValueError, match=f"all {N_REGIONS} are N"):
        gb.pp.add_sequence(mdata, genome, seq_length=50)
    np.testing.assert_array_equal(numbers(_keys.DNA_CODE.get(gb.io.open(path))), before)
    gb.pp.split_regions(mdata, **SPLIT)  # nothing of the failed verb comes along
    np.testing.assert_array_equal(numbers(_keys.DNA_CODE.get(gb.io.open(path))), before)
    assert len(list(path.parent.iterdir())) == 2


def test_regions_cannot_be_dropped_from_a_store(path, genome):
    genome.write_text(f">chr1\n{'ACGT' * (GENOME_LENGTH // 4)}\n")
    mdata = gb.io.open(path)
    with pytest.raises(ValueError, match=r"100 would be.*gb\.io\.write"):
        gb.pp.add_sequence(mdata, genome, missing="drop")
    assert_same(gb.io.open(path), gb.io.read(path))


def test_copies_and_subsets_stay_in_memory(path):
    before = set(path.parent.iterdir())
    mdata = gb.io.open(path)
    copied = gb.pp.split_regions(mdata, **SPLIT, copy=True)
    part = mdata[:50].copy()
    gb.pp.split_regions(part, val=0, test=["chr1"])
    assert _store.store_of(copied) is None
    assert _store.store_of(part) is None
    assert is_split(copied)
    assert is_split(part)
    assert not is_split(mdata)
    assert not is_split(gb.io.open(path))
    assert set(path.parent.iterdir()) == before


COPIES = {
    "add_sequence": lambda mdata, genome: gb.pp.add_sequence(mdata, genome, seq_length=120, copy=True),
    "normalize_accessibility": lambda mdata, genome: gb.pp.normalize_accessibility(mdata, target_sum=1e4, copy=True),
    "binarize": lambda mdata, genome: gb.pp.binarize(mdata, threshold=5, copy=True),
    "embed": lambda mdata, genome: gb.tl.embed(mdata, tiny(mdata), copy=True),
}


@pytest.mark.parametrize("verb", COPIES)
def test_a_copy_holds_new_matrices_in_memory(verb, path, toy, genome):
    before = set(path.parent.iterdir())
    mdata = gb.io.open(path)
    copied = COPIES[verb](mdata, genome)
    assert_same(copied, COPIES[verb](toy, genome))
    assert _store.store_of(copied) is None
    assert_same(mdata, toy)
    assert_same(gb.io.open(path), toy)
    assert set(path.parent.iterdir()) == before


def test_write_of_an_opened_store_over_itself_and_elsewhere(path, toy, tmp_path):
    mdata = gb.io.open(path)
    gb.io.write(mdata, tmp_path / "other.h5mu")
    assert_same(gb.io.read(tmp_path / "other.h5mu"), toy)
    gb.io.write(mdata, path)
    assert_same(gb.io.open(path), toy)
    assert_same(mdata, toy)
    gb.pp.normalize_accessibility(mdata, target_sum=10.0)
    assert_same(gb.io.open(path), mdata)


def test_zarr_format_3(path, toy, tmp_path):
    import anndata

    with anndata.settings.override(zarr_write_format=3):
        gb.io.write(toy, tmp_path / "three.zarr")
    mdata = gb.io.open(tmp_path / "three.zarr")
    gb.pp.split_regions(mdata, **SPLIT)
    gb.pp.scan_motifs(mdata, score="count")
    assert is_split(gb.io.read(tmp_path / "three.zarr"))
    assert_same(gb.io.open(tmp_path / "three.zarr"), mdata)


def test_chunks_hold_whole_rows(path):
    array = zarr.open_group(path)["mod/tf/X"]
    assert array.chunks[1] == array.shape[1]


@pytest.mark.parametrize(("content", "message"), [("seq", "found nothing"), ("tf", "modality 'seq'")])
def test_what_is_no_store_is_refused(content, message, tmp_path, toy):
    path = tmp_path / "other.zarr"
    if content == "tf":
        from genebert import _mudata

        gb.io.write(_mudata.build({"tf": toy["tf"]}), path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        gb.io.open(path)
    with pytest.raises(ValueError, match="suffix"):
        gb.io.open(tmp_path / "file.h5mu")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_does_not_hide_results(path, toy, zarr_format):
    import anndata

    with anndata.settings.override(zarr_write_format=zarr_format):
        gb.io.write(toy, path)
    zarr.consolidate_metadata(str(path))
    mdata = gb.io.open(path)
    gb.pp.split_regions(mdata, **SPLIT)
    gb.pp.scan_motifs(mdata, score="count")
    assert_same(gb.io.read(path), mdata)


KILLED = """
    import os, signal, sys
    import genebert as gb
    from genebert import _transaction

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def change(path, moment):
        replace, count = os.replace, 0
        def killing(source, target):
            nonlocal count
            if "old" not in str(target) and str(target).startswith(path):
                count += 1
                if count == moment:
                    kill()
            replace(source, target)
        mdata = gb.io.open(path)
        _transaction.os.replace = killing
        if moment == 0:
            _transaction.Transaction._decide = lambda self: kill()
        gb.pp.split_regions(mdata, val=["chr6"], test=["chr1"])
        gb.pp.binarize(mdata, threshold=2.0)

    gb.io, gb.pp
    for moment, path in enumerate(sys.argv[1:]):  # each in a process of its own, which inherits what was imported
        if (child := os.fork()) == 0:
            change(path, moment)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
"""


@pytest.fixture(scope="module")
def _killed(_store_of_toy, tmp_path_factory):
    """Folders with a store in which a process was killed before a change was decided, and before the moves 1 to 3 of it."""
    folders = [tmp_path_factory.mktemp(f"killed{moment}") for moment in range(4)]
    paths = [shutil.copytree(_store_of_toy, folder / "toy.zarr") for folder in folders]
    subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), *map(str, paths)], check=True)
    return folders


@pytest.fixture
def killed(_killed, tmp_path):
    return lambda moment: shutil.copytree(_killed[moment], tmp_path / "killed") / "toy.zarr"


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_kill_between_two_moves_is_finished_by_the_next_opening(moment, killed, toy):
    path = killed(moment)
    mdata = gb.io.open(path)
    assert is_split(mdata)
    assert mdata.uns[_keys.UNS]["split_regions"][_keys.REGION_SPLIT.key]["params"]["test"] == ["chr1"]
    assert_same(mdata, gb.pp.split_regions(toy, **SPLIT, copy=True))
    assert [entry.name for entry in path.parent.iterdir()] == ["toy.zarr"]


def test_what_was_not_decided_is_discarded(killed, toy):
    path = killed(0)
    assert len(list(path.parent.iterdir())) == 2
    assert_same(gb.io.open(path), toy)
    assert len(list(path.parent.iterdir())) == 1


def test_another_process_that_is_alive_is_left_alone(path):
    change = Transaction(path)
    change.write("uns/other", {"a": 1})
    assert len(list(path.parent.iterdir())) == 2
    gb.io.open(path)
    with change:
        pass
    assert gb.io.read(path).uns["other"] == {"a": 1}
    assert not list(path.parent.glob(f".*/{MOVES}"))


def test_a_move_that_fails_can_be_repeated(path, monkeypatch):
    mdata = gb.io.open(path)
    original, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if str(target).startswith(str(path)):
            raise OSError("disk full")
        original(source, target)

    monkeypatch.setattr("genebert._transaction.os.replace", failing)
    with pytest.raises(OSError, match="disk full"):
        gb.pp.split_regions(mdata)
    (folder,) = [entry for entry in path.parent.iterdir() if entry != path]
    assert json.loads((folder / MOVES).read_text())
    monkeypatch.undo()
    before = gb.io.open(path)  # repeats them, in the process that failed, too
    assert [entry.name for entry in path.parent.iterdir()] == ["toy.zarr"]
    assert "split_regions" in before.uns[_keys.UNS]


def test_what_failed_is_not_put_over_a_later_verb(path, monkeypatch):
    mdata = gb.io.open(path)
    with monkeypatch.context() as patch:
        patch.setattr("genebert._transaction._make_moves", lambda *folders: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            gb.pp.split_regions(mdata, val=["chr6"], test=["chr2"])
    gb.pp.split_regions(mdata, **SPLIT)
    assert is_split(gb.io.open(path))
    assert [entry.name for entry in path.parent.iterdir()] == ["toy.zarr"]


def decided(path, *, host=None, pid=None) -> None:
    """Leave what a process leaves that is killed before its first move."""
    folder = path.parent / f".{path.name}.{host or socket.gethostname()}-{pid or os.getpid()}-abcdefgh"
    folder.mkdir()
    zarr.open_group(folder / "new", mode="w", zarr_format=2).create_array("0", shape=(2,), dtype="int8")
    (folder / MOVES).write_text(json.dumps({"uns/late": "new/0"}))


@pytest.mark.parametrize(("host", "pid"), [("another-host", 17), (None, 1), (None, None)])
def test_moves_of_another_machine_or_with_a_number_that_is_in_use_are_finished(path, host, pid, monkeypatch):
    monkeypatch.setattr(_transaction, "PATIENCE", 0.1)
    decided(path, host=host, pid=pid)
    assert "late" in gb.io.open(path).uns
    assert [entry.name for entry in path.parent.iterdir()] == ["toy.zarr"]


def test_names_with_brackets(toy, tmp_path):
    path = tmp_path / "toy[1].zarr"
    gb.io.write(toy, path)
    decided(path)
    assert "late" in gb.io.open(path).uns


def test_moves_of_an_earlier_store_are_not_made_in_a_new_one(path, toy):
    shutil.rmtree(path)
    decided(path)
    gb.io.write(toy, path)
    assert "late" not in gb.io.open(path).uns


@pytest.mark.parametrize("verb", ["add_sequence", "normalize_accessibility", "binarize", "embed"])
def test_verbs_that_compute_first_return_a_copy_in_memory(verb, path, genome):
    mdata = gb.io.open(path)
    options = {"add_sequence": (genome,), "embed": (tiny(mdata),)}.get(verb, ())
    copied = getattr(gb.tl if verb == "embed" else gb.pp, verb)(mdata, *options, copy=True)
    assert _store.store_of(copied) is None
    assert verb in copied.uns[_keys.UNS]
    assert_same(gb.io.open(path), mdata)
    assert [entry.name for entry in path.parent.iterdir() if "genome" not in entry.name] == ["toy.zarr"]


def test_what_is_known_beside_the_modalities_stays(path, toy):
    toy.obsp["connectivities"] = sparse.identity(toy.n_obs, format="csr")
    toy.var["note"] = np.arange(toy.n_vars)
    toy.varm["pca"] = np.ones((toy.n_vars, 2))
    gb.io.write(toy, path)
    mdata = gb.io.open(path)
    assert sparse.issparse(gb.io.to_memory(mdata).obsp["connectivities"])
    gb.pp.scan_motifs(mdata)
    for found in (mdata, gb.io.open(path), gb.io.read(path)):
        assert found.var["note"].dropna().tolist() == toy.var["note"].tolist()
        assert found.varm["pca"].shape == (toy.n_vars, 2)
    gb.io.write(gb.io.open(path), path)
    assert gb.io.read(path).obsp["connectivities"].nnz == toy.n_obs


def test_a_store_that_moved_does_not_read_as_zeros(path):
    mdata = gb.io.open(path)
    path.rename(path.with_name("moved.zarr"))
    for slot in (_keys.DNA_CODE, _keys.ACCESSIBILITY):
        with pytest.raises(FileNotFoundError, match=r"moved, removed or written anew\. Open the store again"):
            slot.get(mdata).compute()
    with pytest.raises(FileNotFoundError, match="Open it where it is now"):
        gb.pp.split_regions(mdata)


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1), slice(100)])
def test_a_store_that_was_written_anew_is_left_alone(path, rows):
    mdata = gb.io.open(path)
    gb.io.write(mdata[rows], path)
    with pytest.raises(ValueError, match=r"written anew since, .* Open it again"):
        gb.pp.split_regions(mdata, **SPLIT)
    with pytest.raises(FileNotFoundError, match="written anew"):
        gb.pp.motif_hits(mdata)
    assert_same(gb.io.open(path), gb.io.read(path))


def test_two_handles_do_not_write_over_each_other(path):
    one, other = gb.io.open(path), gb.io.open(path)
    gb.pp.split_regions(one, **SPLIT)
    gb.pp.scan_motifs(one, score="count")  # what one wrote itself does not stop it
    with pytest.raises(ValueError, match=r"changed through another MuData\. Open it again"):
        gb.pp.split_regions(other, **SPLIT)
    for read in (gb.pp.tf_activity, gb.io.to_memory):
        with pytest.raises(FileNotFoundError, match="written anew"):
            read(other)
    assert_same(gb.io.open(path), one)


def test_a_copy_does_not_read_what_replaced_its_matrix(path):
    mdata = gb.io.open(path)
    copied, part = mdata.copy(), mdata[:50].copy()
    gb.pp.scan_motifs(mdata, score="count")
    for stale in (copied, part):
        _keys.DNA_CODE.get(stale).compute()
        with pytest.raises(FileNotFoundError, match="written anew"):
            _keys.TF_SCORE.get(stale).compute()


def test_a_modality_that_is_in_memory_only(path, toy):
    from genebert import _mudata

    gb.io.write(_mudata.build({"seq": toy["seq"].copy()}), path)
    mdata = gb.io.open(path)
    mdata.mod["atac"] = toy["atac"].copy()
    for verb in (gb.pp.scan_motifs, gb.pp.normalize_accessibility):
        with pytest.raises(ValueError, match=r"found \['atac'\] in memory only. Write all of it first"):
            verb(mdata)
    assert list(gb.io.open(path).mod) == ["seq"]


def test_a_read_only_store_is_refused_before_work(path, monkeypatch):
    mdata = gb.io.open(path)
    monkeypatch.setattr("genebert._store.os.access", lambda folder, mode: False)
    with pytest.raises(PermissionError, match=r"read-only\. Pass copy=True"):
        gb.pp.scan_motifs(mdata)
    assert list(path.parent.iterdir()) == [path]
