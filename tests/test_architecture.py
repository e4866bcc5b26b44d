"""Imports go down only, in every file of the library."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dephn_sk

ROOT = Path(dephn_sk.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
OPTIONAL = {"pandas", "polars", "pyarrow", "matplotlib"}
# subclasses of pandas' own types; whoever needs them imports the file late
EXTENSIONS = {"preprocessing/_bag_dtype.py"}


def imports(file, *, top_level=False):
    """Each import of a file as (module, name or None), relative ones made absolute."""
    tree = ast.parse(file.read_text())
    nodes = _top_level(tree) if top_level else ast.walk(tree)
    package = ("dephn_sk", *file.relative_to(ROOT).parts[:-1])
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*start, *filter(None, [node.module])))
            for alias in node.names:
                yield module, alias.name


def _top_level(tree):
    """Statements that run when the module is imported."""
    for node in tree.body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(
                node.test
            )
            if not typing_only:
                yield from _top_level(node)
                handlers = getattr(node, "handlers", [])
                for part in (*handlers, *getattr(node, "orelse", [])):
                    yield from ast.walk(part)


def packages_of(file, **options):
    """Packages that a file imports: outside ours the top name, in ours the second."""
    found = set()
    for module, name in imports(file, **options):
        first, *rest = module.split(".")
        if first == "dephn_sk":
            inner = rest[0] if rest else name
            found.add(f"dephn_sk.{inner}")
        else:
            found.add(first)
    return found


def in_folder(name):
    """Files of a package of ours, or the module of that name."""
    folder, module = ROOT / name, ROOT / f"{name}.py"
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [module]


def names(files):
    return [str(file.relative_to(ROOT)) for file in files]


@pytest.mark.parametrize("file", in_folder("nn"), ids=names(in_folder("nn")))
def test_nn_imports_torch_alone(file):
    standard = sys.stdlib_module_names
    assert packages_of(file) - standard <= {"torch", "dephn_sk.nn"}


NO_TORCH = [
    file
    for name in ("metrics", "datasets", "preprocessing", "model_selection")
    for file in in_folder(name)
]


@pytest.mark.parametrize("file", NO_TORCH, ids=names(NO_TORCH))
def test_what_prepares_and_judges_data_knows_no_network(file):
    upward = {"_estimator", "_dephn", "training", "nn", "baselines"}
    forbidden = {"torch", "skorch", *(f"dephn_sk.{name}" for name in upward)}
    assert not packages_of(file) & forbidden


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_private_names_of_scikit_learn_come_through_compat_alone(file):
    if file.name == "_compat.py":
        return
    for module, name in imports(file):
        first, *rest = module.split(".")
        if first in ("sklearn", "skorch"):
            private = [p for p in (*rest, name or "") if p.startswith("_")]
            assert not private, f"from {module} import {name}"


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_optional_packages_are_imported_late(file):
    top = packages_of(file, top_level=True)
    if str(file.relative_to(ROOT)) not in EXTENSIONS:
        assert not top & OPTIONAL
    modules = {module for module, _ in imports(file, top_level=True)}
    assert not {module.rsplit(".", 1)[-1] for module in modules} & {
        Path(extension).stem for extension in EXTENSIONS
    }


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_nothing_but_the_stated_dependencies_is_imported(file):
    allowed = {"torch", "skorch", "sklearn", "numpy", "scipy", "joblib", *OPTIONAL}
    outside = {p for p in packages_of(file) if not p.startswith("dephn_sk")}
    assert outside - set(sys.stdlib_module_names) <= allowed


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_files_are_named_after_what_they_hold(file):
    assert file.stem.strip("_") not in {"utils", "util", "common", "layers", "helpers"}


ASKING = {"getattr", "hasattr", "isinstance"}
NETWORKS = {"network", "networks", "network_", "module", "module_", "modules"}
NETWORKS |= {"network_of", "own_network", "net_", "named_modules", "children"}
ABOVE_NN = [
    *in_folder("training"),
    *in_folder("inspection"),
    *in_folder("baselines"),
    *sorted(ROOT.glob("*.py")),
]


def questions_to_networks(source):
    """Calls that find out by a name or a type what a network can do."""
    tree = ast.parse(source)
    of_nn = {"Module"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and "nn" in (node.module or "").split("."):
            of_nn |= {alias.asname or alias.name for alias in node.names}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ASKING:
            thing, *rest = (_words(argument) for argument in call.args)
            if thing & NETWORKS or set().union(*rest) & of_nn:
                yield ast.unparse(call)


def _words(node):
    """Every name and attribute within an expression."""
    found = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return found | {p.attr for p in ast.walk(node) if isinstance(p, ast.Attribute)}


@pytest.mark.parametrize("file", ABOVE_NN, ids=names(ABOVE_NN))
def test_a_network_is_asked_for_what_its_contract_lists_alone(file):
    assert not list(questions_to_networks(file.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "getattr(self.module_, 'penalty', None)",
        "any(hasattr(part, 'grow') and isinstance(part, Module) for part in parts)",
        "from ..nn import DEPHN\nisinstance(x, (int, DEPHN))",
        "getattr(getattr(final.net_, 'module_'), 'gates', ())",
    ],
)
def test_questions_to_networks_are_found(source):
    assert list(questions_to_networks(source))


def test_a_baseline_never_imports_another():
    baselines = pytest.importorskip("dephn_sk.baselines")
    homes = {getattr(baselines, name).__module__ for name in baselines.__all__}
    for home in homes:
        file = ROOT.joinpath(*home.split(".")[1:]).with_suffix(".py")
        assert not {module for module, _ in imports(file)} & (homes - {home})


WITHOUT_EXTRAS = """
import sys
sys.path[:0] = {path!r}
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name in {optional!r} else find(name, path, target)
PathFinder.find_spec = find_spec
import numpy as np
from dephn_sk import DEPHNMultiTaskClassifier
X = np.array([["a", 0.5], ["b", 1.5], ["a", 2.5], ["c", np.nan]], dtype=object)
y = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0).fit(X, y)
print(model.predict_proba(X).shape, model.score(X, y) > 0)
"""


def test_the_library_works_without_any_optional_package():
    code = WITHOUT_EXTRAS.format(path=sys.path, optional=sorted(OPTIONAL))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(4, 2) True"
