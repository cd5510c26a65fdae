"""Tools: pre-train, embed, and what builds on embeddings."""

from genebert.tl._embed import embed
from genebert.tl._embed_cells import embed_cells
from genebert.tl._finetune import finetune
from genebert.tl._load import load
from genebert.tl._pretrain import pretrain

__all__ = ["embed", "embed_cells", "finetune", "load", "pretrain"]
