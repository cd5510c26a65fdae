"""read_motifs; the formats themselves are tested in tests/test_motifs.py."""

from __future__ import annotations

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
