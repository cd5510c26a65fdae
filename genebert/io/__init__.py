"""Read and write: peaks, sequences, motifs and results."""

from genebert.io._assemble import assemble
from genebert.io._consensus_regions import consensus_regions
from genebert.io._from_anndata import from_anndata
from genebert.io._jaspar import jaspar
from genebert.io._matched_negatives import matched_negatives
from genebert.io._open import open
from genebert.io._read import read
from genebert.io._read_motifs import read_motifs
from genebert.io._read_regions import read_regions
from genebert.io._read_sequences import read_sequences
from genebert.io._read_variants import read_variants
from genebert.io._tile_genome import tile_genome
from genebert.io._to_anndata import to_anndata
from genebert.io._to_memory import to_memory
from genebert.io._write import write

__all__ = [
    "assemble",
    "consensus_regions",
    "from_anndata",
    "jaspar",
    "matched_negatives",
    "open",
    "read",
    "read_motifs",
    "read_regions",
    "read_sequences",
    "read_variants",
    "tile_genome",
    "to_anndata",
    "to_memory",
    "write",
]
