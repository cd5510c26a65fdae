"""Motifs from JASPAR."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from genebert._motifs import Motif
from genebert._validate import check_literal

__all__ = ["jaspar"]


def jaspar(
    *,
    release: str = "JASPAR2026",
    collection: str = "CORE",
    species: str | Sequence[str] | None = "9606",
    tax_group: str | None = None,
) -> list[Motif]:
    """Take motifs from a release of JASPAR; pyjaspar carries its data.

    Parameters
    ----------
    release
        Name of the release.
    collection
        Collection within it.
    species
        NCBI taxonomy identifiers: ``"9606"`` is human, ``"10090"`` mouse; None = all.
    tax_group
        Group of species, such as ``"vertebrates"`` or ``"plants"``; None = all.

    Returns
    -------
    The latest version of each motif, with its TF, its JASPAR identifier, its counts and its family.

    Raises
    ------
    ImportError
        When pyjaspar is not installed.
    ValueError
        When there is no such release, or no motif fits.

    Examples
    --------
    >>> import genebert as gb
    >>> motifs = gb.io.jaspar(species="9606")
    >>> motifs[0].counts.shape[1]
    4
    """
    try:
        from pyjaspar import jaspardb
    except ImportError as error:
        msg = 'Expected pyjaspar, which is not installed. Run: pip install "genebert[motifs]"'
        raise ImportError(msg) from error
    check_literal(release, jaspardb().get_releases(), name="release")
    species = [species] if isinstance(species, str) else species
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Zero motifs returned")
        found = jaspardb(release=release).fetch_motifs(collection=collection, species=species, tax_group=tax_group)
    if not found:
        msg = (
            f"Expected motifs in {release} for collection={collection!r}, species={species!r}, tax_group={tax_group!r}; "
            "found none. Species are NCBI taxonomy identifiers, such as '9606' (human); None takes all."
        )
        raise ValueError(msg)
    return sorted(map(_motif, found), key=lambda motif: motif.motif_id)


def _motif(profile) -> Motif:
    counts = np.array([profile.counts[base] for base in "ACGT"], dtype=np.float64).T
    return Motif(profile.name, profile.matrix_id, counts, "; ".join(profile.tf_family or ()))
