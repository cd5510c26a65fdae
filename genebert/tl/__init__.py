"""Tools: pre-train, embed, and what builds on embeddings."""

from genebert.tl._classify import classify
from genebert.tl._embed import embed
from genebert.tl._embed_cells import embed_cells
from genebert.tl._finetune import finetune
from genebert.tl._load import load
from genebert.tl._predict import predict
from genebert.tl._pretrain import pretrain
from genebert.tl._promoter import promoter
from genebert.tl._regress import regress
from genebert.tl._splice_site import splice_site
from genebert.tl._tf_binding import tf_binding

__all__ = [
    "classify",
    "embed",
    "embed_cells",
    "finetune",
    "load",
    "predict",
    "pretrain",
    "promoter",
    "regress",
    "splice_site",
    "tf_binding",
]
