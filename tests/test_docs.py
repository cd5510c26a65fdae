"""The example on each page of a task runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "tasks").glob("*.md"))


def test_each_task_has_a_page():
    assert {page.stem for page in PAGES} == {"disease_risk", "promoter", "regression", "splice_site", "tf_binding"}
    contents = (PAGES[0].parents[1] / "index.md").read_text()
    assert all(f"\ntasks/{page.stem}\n" in contents for page in PAGES)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_example_runs(page):
    *before, last = re.search(r"## Try it\n.*?```python\n(.*?)```", page.read_text(), re.DOTALL)[1].strip().split("\n")
    names: dict = {}
    exec("\n".join(before), names)
    shown = eval(last, names)
    for table in shown if isinstance(shown, tuple) else (shown,):
        assert isinstance(table, pd.DataFrame)
        assert len(table) > 0
        assert table["value"].notna().any()
