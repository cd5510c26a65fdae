"""gb.tl.embed: what it writes, that results stay aligned, what it refuses."""

import mudata
import numpy as np
import pytest
import scanpy as sc

import genebert as gb
from genebert import _keys

KEY = _keys.EMBEDDING.key


@pytest.fixture(scope="module")
def _small():
    return gb.datasets.toy(n_regions=90)


@pytest.fixture
def small(_small):
    """Fewer regions than `toy`: each costs milliseconds here."""
    return _small.copy()


@pytest.fixture(scope="module")
def embedded(_small):
    mdata = _small.copy()
    gb.tl.embed(mdata)
    return mdata


def test_it_writes_the_slot_and_a_record_and_nothing_else(embedded, small):
    X = embedded.obsm[KEY]
    assert X.dtype == np.float32
    assert X.shape == (small.n_obs, gb.tl.load("mini").module.config.n_latent)
    assert np.isfinite(X).all()
    assert (X.std(axis=0) > 0).all()
    record = embedded.uns[_keys.UNS]["embed"][KEY]
    assert record["params"]["strands"] == "both"
    assert record["model"] == gb.tl.load("mini").digest
    assert set(embedded.obsm) - set(small.obsm) == {KEY}
    assert list(embedded.obs) == list(small.obs)


def test_copy_leaves_the_original_alone(small):
    result = gb.tl.embed(small, copy=True)
    assert KEY not in small.obsm
    assert "embed" not in small.uns[_keys.UNS]
    assert KEY in result.obsm


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_round_trip(embedded, tmp_path, suffix):
    gb.io.write(embedded, tmp_path / f"x.{suffix}")
    back = gb.io.read(tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(back.obsm[KEY], embedded.obsm[KEY])
    assert back.uns[_keys.UNS]["embed"][KEY]["model"] == embedded.uns[_keys.UNS]["embed"][KEY]["model"]


def test_subsets_and_permutations_stay_aligned(embedded):
    order = np.random.default_rng(0).permutation(embedded.n_obs)[:37]
    subset = embedded[order].copy()
    np.testing.assert_array_equal(subset.obsm[KEY], embedded.obsm[KEY][order])
    assert (subset.obs_names == subset[_keys.SEQ].obs_names).all()
    np.testing.assert_array_equal(_keys.DNA_CODE.get(subset), _keys.DNA_CODE.get(embedded)[order])
    fresh = subset.copy()
    gb.tl.embed(fresh, key_added="again")
    np.testing.assert_allclose(fresh.obsm["again"], subset.obsm[KEY], atol=1e-5)


def test_scanpy_takes_it_from_here(embedded):
    """UMAP, which takes seconds to compile, is in the test of `genebert demo`: its neighbours and its drawing."""
    mdata = embedded.copy()
    sc.pp.neighbors(mdata, use_rep=KEY, method="gauss")
    sc.tl.leiden(mdata, flavor="igraph", n_iterations=2)
    assert mdata.obs["leiden"].nunique() > 1
    assert isinstance(mdata, mudata.MuData)


def test_models_by_object_name_and_path(small, embedded, tmp_path):
    model = gb.tl.load("mini")
    gb.tl.embed(small, model, key_added="object")
    model.save(tmp_path / "mine")
    gb.tl.embed(small, tmp_path / "mine", key_added="path")
    gb.tl.embed(small, "mini", key_added="name")
    for key in ("object", "path", "name"):
        np.testing.assert_allclose(small.obsm[key], embedded.obsm[KEY], atol=1e-6)


@pytest.mark.parametrize("key", ["seq", "tf", "a/b", ""])
def test_keys_that_clash_are_refused_and_nothing_is_written(small, key):
    before = set(small.obsm)
    with pytest.raises(ValueError, match="`key_added`"):
        gb.tl.embed(small, key_added=key)
    assert set(small.obsm) == before


def test_mostly_other_tfs_are_refused_and_nothing_is_written(small):
    gb.pp.scan_motifs(small, gb.io.read_motifs()[:100])
    with pytest.raises(ValueError, match="at least half"):
        gb.tl.embed(small)
    assert KEY not in small.obsm


def test_unknown_cell_type(small):
    with pytest.raises(ValueError, match="found 'Neuron'"):
        gb.tl.embed(small, cell_type="Neuron")
    assert KEY not in small.obsm


def test_sequences_alone_are_enough(small, tmp_path):
    path = tmp_path / "some.fa"
    path.write_text(">a\nACGTTGCAGGGATCCATTTGACCA\n>b\nTTGACCATGCAAGG\n")
    mdata = gb.io.read_sequences(path)
    gb.tl.embed(mdata)
    assert np.isfinite(mdata.obsm[KEY]).all()


def test_load_lists_what_ships():
    with pytest.raises(FileNotFoundError, match=r"shipped weights \(.*mini.*\) or a folder; found 'maxi'"):
        gb.tl.load("maxi")


def test_shipped_weights_know_where_they_come_from():
    record = gb.tl.load("mini").training_record
    assert set(record["cell_types"]) <= {"K562", "HepG2"}  # every blood type stays unseen
    assert not {"chr1", "chr2", "chr8", "chr10"} & set(record["chromosomes"])
    assert gb.tl.load("mini").tfs
    assert set(gb.tl.load("mini").tfs) == set(gb.datasets.toy()[_keys.TF].var_names)


def test_pooling_layer_and_pieces(small):
    gb.tl.embed(small)
    gb.tl.embed(small, pooling="cls", layer=0, max_seq_length=120, key_added="other")
    params = small.uns[_keys.UNS]["embed"]["other"]["params"]
    assert (params["pooling"], params["layer"], params["max_seq_length"]) == ("cls", 0, 120)
    dim = gb.tl.load("mini").module.config.dim
    difference = np.abs(small.obsm["other"] - small.obsm[KEY])
    assert difference[:, :dim].max() > 1e-2
    assert (difference[:, dim:] == 0).all()
    with pytest.raises(ValueError, match=r"`layer` to be an integer in \[-2, 1\]; found 2"):
        gb.tl.embed(small, layer=2, key_added="none")
    assert "none" not in small.obsm
