"""The rules of CONTRIBUTING.md about layers, fences and sizes, read off the source; each rule is seen to fail once."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import genebert
from genebert import _keys

PACKAGE = Path(genebert.__file__).parent
TESTS = Path(__file__).parent

LOWER = {
    "base": {"base"},
    "nn": {"nn", "base"},
    "_data": {"_data", "nn", "base"},
    "io": {"io", "base"},
    "pp": {"pp", "base"},
    "get": {"get", "base"},
    "model": {"model", "_data", "nn", "pp", "base"},  # a task scans the sequences that it is given for motifs
    "datasets": {"datasets", "io", "pp", "base"},
    "tl": {"tl", "model", "get", "_data", "nn", "io", "pp", "base"},
    "pl": {"pl", "get", "base"},
    "root": {"base"},
    "cli": {"cli", "root", "tl", "pl", "model", "datasets", "_data", "io", "pp", "get", "nn", "base"},
}
"""What the modules of each layer may import."""

LAZY_EXCEPTIONS = {("genebert.pp._scan_motifs", "nn")}  # `pp.scan_motifs(device="cuda")`, inside the call

FENCES = {
    "scvi": {"model"},
    "lightning": {"model"},
    "pytorch_lightning": {"model"},
    "matplotlib": {"pl"},
    "seaborn": {"pl"},
    "scanpy": {"pl", "cli"},
    "muon": set(),
    "torch": {"nn", "_data", "model", "tl"},
    "pyjaspar": {"io"},
    "anndata": set(LOWER) - {"nn"},
    "mudata": set(LOWER) - {"nn"},
}
"""Where a package may be imported."""

MAX_FILE, MAX_BODY, MAX_POSITIONAL = 300, 50, 3
HEAVY = {"torch", "scvi", "lightning", "muon", "scanpy"}
NAMESPACES = ("datasets", "get", "io", "model", "pl", "pp", "tl")
COMMON_WORDS = {"cell_type"}  # keys that are also the names of ordinary columns and arguments
SLOT_KEYS = {slot.key for slot in _keys.SLOTS if slot.key and "_" in slot.key} - COMMON_WORDS


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def layer(self) -> str:
        part = self.name.split(".")[1] if "." in self.name else "root"
        if part in {"cli", "_cli_cross", "_cli_files", "_cli_tasks", "_cli_variants", "__main__"}:
            return "cli"
        if part in LOWER:
            return part
        return "base" if part.startswith("_") else part


@dataclass(frozen=True)
class Import:
    target: str
    line: int
    is_lazy: bool


def read_modules(package: Path) -> dict[str, Module]:
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = Module(name, path, ast.parse(path.read_text()))
    return modules


def imports(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    """All imports of a module, those inside functions and under TYPE_CHECKING too."""
    functions = [node for node in ast.walk(module.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    lazy = {id(inner) for function in functions for inner in ast.walk(function)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in lazy)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield Import(full if full in modules else node.module, node.lineno, id(node) in lazy)


def layer_errors(modules: dict[str, Module]) -> list[str]:
    errors = []
    for module in modules.values():
        if module.layer == "root":  # namespaces are loaded on first use; `test_import_is_light` watches that
            continue
        for found in imports(module, modules):
            if found.target.split(".")[0] != "genebert":
                continue
            layer = Module(found.target, module.path, module.tree).layer
            if layer in LOWER[module.layer] or (found.is_lazy and (module.name, layer) in LAZY_EXCEPTIONS):
                continue
            errors.append(f"{module.path}:{found.line}: {module.layer} may not import {found.target} ({layer})")
    return errors


def cycles(modules: dict[str, Module]) -> list[list[str]]:
    """Groups of modules that import each other, lazily or not."""
    edges = {
        name: {found.target for found in imports(module, modules) if found.target in modules}
        for name, module in modules.items()
        if module.layer != "root"
    }

    def reach(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            for target in edges.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    reachable = {name: reach(name) for name in edges}
    return sorted({tuple(sorted(b for b in edges if b in reachable[a] and a in reachable[b])) for a in edges} - {()})


def fence_errors(modules: dict[str, Module]) -> list[str]:
    return [
        f"{module.path}:{found.line}: {found.target} stays in {sorted(FENCES[top]) or 'nothing'}, not in {module.layer}"
        for module in modules.values()
        for found in imports(module, modules)
        if (top := found.target.split(".")[0]) in FENCES and module.layer not in FENCES[top]
    ]


def size_errors(path: Path, tree: ast.Module) -> list[str]:
    errors = []
    n_lines = len(path.read_text().splitlines())
    if n_lines > MAX_FILE:
        errors.append(f"{path}: {n_lines} lines, at most {MAX_FILE}")
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if length > MAX_BODY:
                errors.append(f"{path}:{node.lineno}: body of {node.name} has {length} lines, at most {MAX_BODY}")
    return errors


def exported(tree: ast.Module) -> set[str]:
    """What an `__init__.py` lists in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def positional_errors(path: Path, tree: ast.Module, *, public: set[str]) -> list[str]:
    """Public functions, and the methods of public classes, that take too much by position."""
    functions = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in public:
            functions += node.body if isinstance(node, ast.ClassDef) else [node]
    errors = []
    for function in functions:
        if not isinstance(function, ast.FunctionDef) or (function.name.startswith("_") and function.name != "__init__"):
            continue
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        names = [name for name in names if name not in {"self", "cls"}]
        if len(names) > MAX_POSITIONAL:
            errors.append(
                f"{path}:{function.lineno}: {function.name} takes {names} by position, at most {MAX_POSITIONAL}"
            )
    return errors


def init_errors(path: Path, tree: ast.Module) -> list[str]:
    """An `__init__.py` holds a docstring, imports and `__all__`, and no public name outside of it."""
    errors, names, exported = [], set(), None
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names if node.module != "__future__"}
        elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            exported = set(ast.literal_eval(node.value))
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            errors.append(f"{path}:{node.lineno}: {ast.unparse(node).splitlines()[0]!r} is logic")
    if exported is None:
        return [*errors, f"{path}: __all__ is missing"]
    if exported != names:
        errors.append(f"{path}: __all__ and imports differ in {sorted(exported ^ names)}")
    return errors


def slot_errors(path: Path, tree: ast.Module) -> list[str]:
    """Slots are named in `_keys.py`. Verbs, in `__all__` and in records, and patterns of messages may look the same."""
    verbs = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            verbs |= {id(constant) for constant in ast.walk(node)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"record", "load_record"}:
            verbs |= {id(argument) for argument in node.args}
        elif isinstance(node, ast.keyword) and node.arg == "match":
            verbs.add(id(node.value))
    return [
        f"{path}:{node.lineno}: {node.value!r} is the name of a slot; use genebert._keys"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in SLOT_KEYS and id(node) not in verbs
    ]


MODULES = read_modules(PACKAGE)
SOURCES = [module for module in MODULES.values() if module.path.name != "__init__.py"]
INITS = [module for name, module in MODULES.items() if module.path.name == "__init__.py" and name != "genebert"]
PUBLIC = {layer: exported(MODULES[f"genebert.{layer}"].tree) for layer in NAMESPACES if f"genebert.{layer}" in MODULES}
PUBLIC["base"] = {"Genome"}
TEST_FILES = sorted(path for path in TESTS.rglob("*.py") if "benchmarks" not in path.parts)  # those are users' scripts


def test_layers():
    assert layer_errors(MODULES) == []


def test_no_cycles():
    assert cycles(MODULES) == []


def test_fences():
    assert fence_errors(MODULES) == []


def test_every_layer_is_known():
    assert {module.layer for module in MODULES.values()} <= set(LOWER)


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: module.name)
def test_budgets(module):
    public = PUBLIC.get(module.layer, set())
    assert size_errors(module.path, module.tree) + positional_errors(module.path, module.tree, public=public) == []


@pytest.mark.parametrize("module", INITS, ids=lambda module: module.name)
def test_init_only_exports(module):
    assert init_errors(module.path, module.tree) == []


def test_slots_are_named_once():
    files = [module.path for name, module in MODULES.items() if name != "genebert._keys"]
    assert [error for path in [*files, *TEST_FILES] for error in slot_errors(path, ast.parse(path.read_text()))] == []


def test_import_is_light():
    code = f"import genebert, sys; print(*({HEAVY!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == []


# Each rule, on a package that breaks it.


@pytest.fixture
def package(tmp_path):
    """Write files below a package of the same name, and read it."""

    def make(**sources: str) -> dict[str, Module]:
        for name, source in {"": "", **sources}.items():
            path = tmp_path / "genebert" / (f"{name.replace('__', '/')}.py" if name else "__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return read_modules(tmp_path / "genebert")

    return make


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("pp__toy", "from genebert.io import read"),  # sideways
        ("nn__toy", "def f():\n    from genebert.tl._embed import embed"),  # upwards, lazily
        ("pl__toy", "import genebert.tl"),
        ("tl__toy", "from genebert import pl"),
        ("get__toy", "import genebert as gb"),
    ],
)
def test_bad_layer_is_seen(package, name, source):
    modules = package(**{name: source, "pl____init__": ""})
    assert len(layer_errors(modules)) == 1


def test_good_layer_passes(package):
    assert (
        layer_errors(
            package(_keys="", tl__embed="from genebert.model import GeneBERT", pp__toy="from genebert import _keys")
        )
        == []
    )


def test_lazy_exception_is_only_lazy(package):
    source = "from genebert.nn import scan"
    assert layer_errors(package(pp___scan_motifs=f"def f():\n    {source}")) == []
    assert len(layer_errors(package(pp___scan_motifs=source))) == 1


def test_cycle_is_seen(package):
    lazy = "def f():\n    from genebert.pp._b import g"
    assert cycles(package(pp___a=lazy, pp___b="from genebert.pp import _a")) == [("genebert.pp._a", "genebert.pp._b")]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("tl__toy", "import lightning.pytorch"),
        ("pp__toy", "def f():\n    import torch"),
        ("nn__toy", "from anndata import AnnData"),
        ("tl__toy", "from matplotlib import pyplot"),
    ],
)
def test_bad_fence_is_seen(package, name, source):
    assert len(fence_errors(package(**{name: source}))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "\n" * (MAX_FILE + 1),
        "def _f():\n    'Text.'\n" + "    x = 1\n" * (MAX_BODY + 1),
        "def f(a, b, c, d): ...",
        "class C:\n    def f(self, a, b, c, d): ...",
    ],
)
def test_bad_size_is_seen(package, source):
    module = package(toy=source)["genebert.toy"]
    errors = size_errors(module.path, module.tree) + positional_errors(module.path, module.tree, public={"f", "C"})
    assert len(errors) == 1


@pytest.mark.parametrize(
    "source",
    ["from a import b", "from a import b\n__all__ = []", "__all__ = []\nx = 1", "__all__ = []\nif x:\n    y()"],
)
def test_bad_init_is_seen(tmp_path, source):
    assert len(init_errors(tmp_path, ast.parse(source))) == 1


def test_bad_slot_name_is_seen(tmp_path):
    key = _keys.TF_ACTIVITY.key
    assert len(slot_errors(tmp_path, ast.parse(f"x = mdata.varm[{key!r}]"))) == 1
    assert (
        slot_errors(
            tmp_path, ast.parse(f"__all__ = [{key!r}]\nrecord(mdata, {key!r}, 'x', params={{}})\nraises(match={key!r})")
        )
        == []
    )
