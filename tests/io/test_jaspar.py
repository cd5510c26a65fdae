"""jaspar: through pyjaspar."""

from __future__ import annotations

import sys

import pytest

import genebert as gb

# Tests of the data themselves need pyjaspar, which is an extra.


def test_human_core():
    pytest.importorskip("pyjaspar")
    motifs = gb.io.jaspar()
    assert len(motifs) >= 600
    by_id = {motif.motif_id: motif for motif in motifs}
    assert by_id["MA0074.1"].tf == "RXRA::VDR"
    assert by_id["MA0074.1"].family == "RXR-related receptors (NR2); Thyroid hormone receptor-related factors (NR1)"
    assert list(by_id) == sorted(by_id)
    assert [motif.motif_id for motif in motifs] == [motif.motif_id for motif in gb.io.read_motifs()]


def test_other_species_and_none():
    pytest.importorskip("pyjaspar")
    assert gb.io.jaspar(species=["10090"], release="JASPAR2024")
    assert gb.io.jaspar(species=None, tax_group="nematodes")
    with pytest.raises(ValueError, match=r"species=.*99999.*found none\. Species are NCBI taxonomy"):
        gb.io.jaspar(species="99999")
    with pytest.raises(ValueError, match="`release` to be one of 'JASPAR2026'"):
        gb.io.jaspar(release="JASPAR1999")


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjaspar", None)
    with pytest.raises(ImportError, match=r'Run: pip install "genebert\[motifs\]"'):
        gb.io.jaspar()


def test_human_and_mouse_profiles_together():
    """As docs/preparing.md counts them: TFs whose only profile is filed under mouse are there."""
    pytest.importorskip("pyjaspar")
    motifs = gb.io.jaspar(species=["9606", "10090"], release="JASPAR2026")
    assert len(motifs) == 1013
    assert {"Spi1", "Gata3", "Runx1"} <= {motif.tf for motif in motifs}
