"""Plain torch: the network (config, encoders, masking, losses), and the motif scan by convolution."""

from genebert.nn._config import PRESETS, GeneBERTConfig
from genebert.nn._losses import masked_genome_loss, masked_region_loss, matching_loss, next_segment_loss
from genebert.nn._masking import hidden_kmers, hide_spans, hide_tfs, neighbour_pairs
from genebert.nn._motif_scan import MotifConvolution
from genebert.nn._network import GeneBERTNetwork, NetworkOutput
from genebert.nn._objectives import OBJECTIVES, Batch, Scored, objectives
from genebert.nn._pooling import Pooling, pool, read_sequences
from genebert.nn._region import RegionEncoder
from genebert.nn._sequence import MASK, SequenceEncoder, SequenceOutput, count_tokens, tokenize
from genebert.nn._task import PlainCNN, TaskConfig, TaskNetwork

__all__ = [
    "MASK",
    "OBJECTIVES",
    "PRESETS",
    "Batch",
    "GeneBERTConfig",
    "GeneBERTNetwork",
    "MotifConvolution",
    "NetworkOutput",
    "PlainCNN",
    "Pooling",
    "RegionEncoder",
    "Scored",
    "SequenceEncoder",
    "SequenceOutput",
    "TaskConfig",
    "TaskNetwork",
    "count_tokens",
    "hidden_kmers",
    "hide_spans",
    "hide_tfs",
    "masked_genome_loss",
    "masked_region_loss",
    "matching_loss",
    "neighbour_pairs",
    "next_segment_loss",
    "objectives",
    "pool",
    "read_sequences",
    "tokenize",
]
