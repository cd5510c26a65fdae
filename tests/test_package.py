"""What is installed: files that ship, and dependencies that are declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
THROUGH = {
    "lightning": "scvi-tools"
}  # scvi-tools chooses the version, and genebert uses the one that scvi-tools runs on
SHIPPED = ["MODEL_CARD.md", "config.json", "model.safetensors", "motifs.meme", "families.tsv"]


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_ship_with_all_that_belongs_to_them(name):
    file = files("genebert") / "weights" / "mini" / name
    assert file.is_file()
    assert len(file.read_bytes()) > 100


def test_the_type_marker_ships():
    assert (files("genebert") / "py.typed").is_file()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def test_what_is_imported_is_declared():
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    declared = {_normal(requirement) for requirement in [*PROJECT["dependencies"], *extras]}
    distributions = packages_distributions()
    for path in (ROOT / "genebert").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {module.split(".")[0] for module in modules} - {
                "genebert",
                *THROUGH,
                *sys.stdlib_module_names,
            }:
                names = {_normal(name) for name in distributions.get(module, [module])}
                assert names & declared, f"{path} imports {module}, which pyproject.toml does not declare"


def test_extras_that_errors_name_are_described():
    """An error names the extra, `pyproject.toml` its library, and the page of installation what it is for."""
    page = (ROOT / "docs" / "installation.md").read_text()
    texts = [path.read_text() for path in (ROOT / "genebert").rglob("*.py")]
    found = {pair for text in texts for pair in re.findall(r"Expected (\w+), .*genebert\[(\w+)\]", text)}
    assert {extra for _, extra in found} == {"io", "motifs"}
    for library, extra in found:
        assert {_normal(name) for name in PROJECT["optional-dependencies"][extra]} == {_normal(library)}
        assert f"| `{extra}` | {library} |" in page


def test_licence_of_the_motifs_is_told():
    licence = (ROOT / "README.md").read_text().partition("## License")[2]
    assert "JASPAR" in licence
    assert "CC BY 4.0" in licence
