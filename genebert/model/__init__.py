"""GeneBERT as an scvi-tools model, and the tasks that are fitted with it."""

from genebert.model._model import GeneBERT
from genebert.model._task import Task

__all__ = ["GeneBERT", "Task"]
