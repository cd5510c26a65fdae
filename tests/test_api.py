"""Every public name is documented, and looks the way that CONTRIBUTING.md promises."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import genebert as gb

NAMESPACES = ("datasets", "get", "io", "model", "pl", "pp", "tl")
DOCS = Path(__file__).parents[1] / "docs" / "api"
READ_WELL = {"model", "motifs"}  # by position too: gb.tl.embed(mdata, model)
FIRST = {"mdata", "adata", "data", "effects", "region", "variants"}


def _public():
    for namespace in NAMESPACES:
        module = getattr(gb, namespace)
        for name in module.__all__:
            yield pytest.param(getattr(module, name), id=f"{namespace}.{name}")


PUBLIC = list(_public())
FUNCTIONS = [parameter for parameter in PUBLIC if inspect.isfunction(parameter.values[0])]


def _section(doc, title):
    """Names of the entries of a section of a numpy-style docstring."""
    match = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    heads = [line for line in match[1].splitlines() if line and not line.startswith(" ")] if match else []
    return [name.strip().lstrip("*") for head in heads for name in head.split(":")[0].split(",")]


def _parameters(function):
    return [p for name, p in inspect.signature(function).parameters.items() if name != "self"]


def test_root_exports():
    assert set(gb.__all__) == {"Genome", "__version__", *NAMESPACES}
    assert set(dir(gb)) >= set(NAMESPACES)
    with pytest.raises(AttributeError, match="no_such_namespace"):
        _ = gb.no_such_namespace


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_api_page_lists_all(namespace):
    listed = re.findall(rf"^    {namespace}\.(\w+)$", (DOCS / f"{namespace}.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(getattr(gb, namespace).__all__)


@pytest.mark.parametrize("thing", [*PUBLIC, pytest.param(gb.Genome, id="Genome")])
def test_docstring(thing):
    doc = inspect.getdoc(thing)
    assert doc, "no docstring"
    lines = doc.splitlines()
    assert lines[0].endswith("."), f"the summary is one line that ends with a full stop: {lines[0]!r}"
    assert len(lines) == 1 or lines[1] == "", "an empty line follows the summary"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_parameters_are_documented(function):
    documented = _section(inspect.getdoc(function), "Parameters")
    assert documented == [parameter.name for parameter in _parameters(function)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_options_are_keyword_only(function):
    for parameter in _parameters(function)[1:]:
        is_option = parameter.default is not parameter.empty and parameter.name not in READ_WELL
        assert not (is_option and parameter.kind is parameter.POSITIONAL_OR_KEYWORD), parameter.name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_annotations(function):
    parameters = _parameters(function)
    assert [p.name for p in parameters if p.annotation is p.empty] == []
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_verb_one_file(function):
    namespace = function.__module__.rsplit(".", 1)[0]
    assert function.__module__ == f"{namespace}._{function.__name__}"
    module = importlib.import_module(function.__module__)
    others = [other.values[0] for other in FUNCTIONS if other.values[0] is not function]
    assert [other.__name__ for other in others if other.__module__ == module.__name__] == []


@pytest.mark.parametrize("name", ["pp", "tl", "pl", "get"])
def test_first_parameter_is_the_data(name):
    namespace = getattr(gb, name)
    functions = [getattr(namespace, verb) for verb in namespace.__all__ if verb != "load"]
    assert [f.__name__ for f in functions if inspect.isfunction(f) and _parameters(f)[0].name not in FIRST] == []
