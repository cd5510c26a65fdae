"""``python -m genebert`` is the command line."""

from __future__ import annotations

from genebert.cli import app

app()
