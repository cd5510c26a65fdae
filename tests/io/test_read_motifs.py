"""read_motifs; the formats themselves are tested in tests/test_motifs.py."""

from __future__ import annotations

from pathlib import Path

import pytest

import genebert as gb


def test_shipped_set_by_default():
    motifs = gb.io.read_motifs()
    assert isinstance(motifs, list)
    motifs.clear()
    assert len(gb.io.read_motifs()) > 600  # the list is the caller's own


def test_file(tmp_path):
    path = tmp_path / "motifs"
    path.write_text(">MA1.1 GATA1\nA 1\nC 0\nG 0\nT 0\n")
    (motif,) = gb.io.read_motifs(str(path))
    assert (motif.tf, motif.motif_id, motif.family) == ("GATA1", "MA1.1", "")
    with pytest.raises(FileNotFoundError, match="Expected a file; found none"):
        gb.io.read_motifs(tmp_path / "none")


def test_a_tf_that_the_shipped_set_lacks_is_added_from_a_file(tmp_path, make_small_toy):
    """As docs/preparing.md shows it."""
    page = (Path(__file__).parents[2] / "docs" / "preparing.md").read_text()
    assert all(name in page for name in ("SPI1, GATA3 and RUNX1", "857 human profiles of JASPAR 2026 CORE"))
    shipped = gb.io.read_motifs()
    assert len(shipped) == 857
    assert not {"SPI1", "GATA3", "RUNX1"} & {motif.tf.upper() for motif in shipped}
    path = tmp_path / "more.jaspar"
    path.write_text(">MA1.1 SPI1\nA [9 9 9 0 0 9 9]\nC [0 0 0 0 0 0 0]\nG [0 0 0 9 9 0 0]\nT [0 0 0 0 0 0 0]\n")
    assert '[*gb.io.read_motifs(), *gb.io.read_motifs("more.jaspar")]' in page
    mdata = make_small_toy(60)
    gb.pp.scan_motifs(mdata, motifs=[*gb.io.read_motifs(), *gb.io.read_motifs(path)])
    assert mdata["tf"].n_obs == 60
    assert mdata["tf"].var_names[-1] == "SPI1"
    assert mdata["tf"].n_vars == 858
