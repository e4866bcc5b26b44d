"""The house: what stands where, who may import whom, and how long a function is."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import dephn_sk

ROOT = Path(dephn_sk.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
OPTIONAL = {
    *("pandas", "polars", "pyarrow", "matplotlib", "skops", "onnx", "onnxscript"),
    "IPython",
}
# subclasses of pandas' own types; whoever needs them imports the file late
EXTENSIONS = {"preprocessing/_bag_dtype.py"}

LEAVES = {"_compat", "_parameters", "_progress", "_suggest"}
NETWORK = {"nn", "training", "tasks", "preprocessing", "logs", *LEAVES}
# Every file of the root and every folder, and what of ours it may import. Whatever is
# added to the library goes into one of them, or into the table with a reason.
HOUSE: dict[str, set[str]] = {
    # leaves that everyone may import
    "_compat": set(),  # names that scikit-learn keeps private; versions
    "_suggest": set(),  # "did you mean"
    "_progress": set(),  # how far something is, for people
    "_parameters": {"_suggest"},  # parameters, declared once
    "logs": {"_suggest"},  # rows outside memory
    # the five nouns, from the bottom up
    "nn": set(),  # networks and their parts
    "tasks": {"logs", "_compat", "_suggest"},  # what y is
    "preprocessing": {"tasks", "logs", *LEAVES},  # what X is
    # how a network learns
    "training": {"tasks", "preprocessing", "logs", "nn", *LEAVES},
    # estimators
    "_estimator": NETWORK,
    "_dephn": {"_estimator", *NETWORK},
    "baselines": {"_dephn", "_estimator", *NETWORK},
    # what prepares and judges data
    "datasets": {"_compat", "_suggest"},
    "metrics": {"tasks", "logs", "_compat", "_suggest"},
    # thresholds are chosen by what the metrics read of labels
    "model_selection": {"metrics", "tasks", "logs", "_compat", "_suggest"},
    "calibration": {"tasks", "logs", "_compat", "_suggest"},
    # readers of fitted state, which nobody below them knows
    "inspection": {"metrics", *NETWORK},
    # translates each noun, and takes estimators and calibrators apart
    "export": {"_estimator", "calibration", "model_selection", *NETWORK},
    # all that is measured of a model, in one page; nobody below knows it
    "report": {"inspection", "metrics", "model_selection", *NETWORK},
    # files, which hold all that is above them
    "storage": {
        *("_dephn", "baselines", "calibration", "metrics", "model_selection"),
        *NETWORK,
    },
    "__init__": {"_dephn", "_estimator", "model_selection", "storage", "tasks"},
}
# within functions alone: what a notebook shows, a file, and the version of a file
LATE = {
    "_estimator": {"inspection", "storage"},
    "_compat": {"__version__", "storage"},
    "storage": {"__version__", "inspection"},
    "export": {"__version__"},
    "report": {"storage"},
}
MOST_FILES, MOST_LINES = 8, 50
SHORT = {"_estimator.py": 300}


@cache
def tree_of(file):
    return ast.parse(file.read_text())


def imports(file, *, top_level=False):
    """Each import of a file as (module, name or None), relative ones made absolute."""
    tree = tree_of(file)
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


def found_in(files, look):
    """What `look` finds in the source of each file, where it finds something."""
    found = {
        str(file.relative_to(ROOT)): list(look(file.read_text())) for file in files
    }
    return {name: what for name, what in found.items() if what}


def rooms_of(root):
    """Files of the root, by name, and folders that hold code."""
    files = [path.stem for path in root.glob("*.py")]
    return sorted([*files, *{path.relative_to(root).parts[0] for path in deeper(root)}])


def deeper(root):
    return [path for path in root.rglob("*.py") if path.parent != root]


def test_everything_stands_in_the_house():
    assert rooms_of(ROOT) == sorted(HOUSE)
    assert len(list(ROOT.glob("*.py"))) <= MOST_FILES
    # a folder holds files, and no further folder
    assert all(len(file.relative_to(ROOT).parts) == 2 for file in deeper(ROOT))


@pytest.mark.parametrize("born", ["_helpers.py", "utils/__init__.py", "common/x.py"])
def test_what_is_born_outside_the_house_is_seen(born, tmp_path):
    for room in HOUSE:
        (tmp_path / f"{room}.py").touch()
    assert rooms_of(tmp_path) == sorted(HOUSE)
    (tmp_path / born).parent.mkdir(exist_ok=True)
    (tmp_path / born).touch()
    assert rooms_of(tmp_path) != sorted(HOUSE)


def ours(packages):
    prefix = "dephn_sk."
    return {p.removeprefix(prefix) for p in packages if p.startswith(prefix)}


@pytest.mark.parametrize("room", HOUSE)
def test_imports_go_down_only(room):
    for file in in_folder(room):
        early, late = (
            ours(packages_of(file, top_level=alone)) - {room} for alone in (True, False)
        )
        name = file.relative_to(ROOT)
        assert early <= HOUSE[room], f"{name} imports {early - HOUSE[room]}"
        allowed = HOUSE[room] | LATE.get(room, set())
        assert late <= allowed, f"{name} imports {late - allowed}"


def test_the_house_has_no_cycle():
    below = {room: set(known) for room, known in HOUSE.items()}
    while below:
        ground = {room for room, known in below.items() if not known & set(below)}
        assert ground, f"{sorted(below)} import each other"
        below = {room: known for room, known in below.items() if room not in ground}


def long_functions(source, most=MOST_LINES):
    """Functions of more lines than that, docstring included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            n_lines = node.end_lineno - node.lineno + 1
            if n_lines > most:
                yield f"{node.name} ({n_lines} lines)"


TRUNK = [
    *sorted(ROOT.glob("*.py")),
    *(
        file
        for name in ("logs", "tasks", "training", "preprocessing")
        for file in in_folder(name)
    ),
]


def test_no_function_of_the_trunk_is_longer_than_fifty_lines():
    assert not found_in(TRUNK, long_functions)


def test_a_long_function_is_named():
    source = "class A:\n    def f(self):\n" + "        pass\n" * 49
    assert not list(long_functions(source))
    assert list(long_functions(source + "        pass\n")) == ["f (51 lines)"]


@pytest.mark.parametrize("name", SHORT)
def test_a_file_that_reads_as_a_story_stays_short(name):
    assert len((ROOT / name).read_text().splitlines()) <= SHORT[name]


def test_tasks_know_no_part_of_a_network():
    """Losses are functions of tensors."""
    for file in in_folder("tasks"):
        for module, name in imports(file):
            if module.split(".")[0] == "torch" and module != "torch.nn.functional":
                assert module == "torch", file
                assert name in (None, "Tensor"), f"{file} imports {name}"


Y = {"y", "y_val", "y_true"}
READERS = {"check_array", "check_X_y", "column_or_1d", "type_of_target", "list", "set"}
READERS |= {"unique_labels", "check_classification_targets", "LabelEncoder"}
# data sets make a y, and networks know none
READ_NO_Y = [
    file
    for room in HOUSE
    if room not in ("tasks", "datasets", "nn")
    for file in in_folder(room)
]


def looks_at_y(source):
    """Expressions that look into a y, instead of handing it on to `tasks`."""
    for node in ast.walk(ast.parse(source)):
        inside = isinstance(node, (ast.Attribute, ast.Subscript)) and node.value
        if isinstance(node, (ast.For, ast.comprehension)):
            inside = node.iter
        if isinstance(inside, ast.Name) and inside.id in Y:
            yield ast.unparse(node)
        if isinstance(node, ast.Call):
            *package, function = ast.unparse(node.func).split(".")
            foreign = package[:1] in (["np"], ["pd"], ["pa"], ["pl"], ["torch"])
            given = {a.id for a in node.args if isinstance(a, ast.Name)}
            if given & Y and (foreign or function in READERS):
                yield ast.unparse(node)


def test_only_tasks_look_at_a_y():
    assert not found_in(READ_NO_Y, looks_at_y)


@pytest.mark.parametrize(
    "source",
    [
        "y.to_numpy()",
        "y_true[:, 0]",
        "np.asarray(y)",
        "check_array(y)",
        "[a for a in y]",
    ],
)
def test_who_looks_at_a_y_is_found(source):
    assert list(looks_at_y(source))
    assert not list(looks_at_y("read_columns(y)"))


def test_nn_imports_torch_alone():
    for file in in_folder("nn"):
        standard = sys.stdlib_module_names
        assert packages_of(file) - standard <= {"torch", "dephn_sk.nn"}, file


NO_TORCH = [
    file
    for name in (
        "metrics",
        "datasets",
        "preprocessing",
        "model_selection",
        "calibration",
    )
    for file in in_folder(name)
]


def test_what_prepares_and_judges_data_knows_no_torch():
    for file in NO_TORCH:
        assert not packages_of(file) & {"torch", "skorch"}, file


def test_private_names_of_scikit_learn_come_through_compat_alone():
    for file in FILES:
        if file.name == "_compat.py":
            continue
        for module, name in imports(file):
            first, *rest = module.split(".")
            if first in ("sklearn", "skorch"):
                private = [p for p in (*rest, name or "") if p.startswith("_")]
                assert not private, f"{file}: from {module} import {name}"


def test_optional_packages_are_imported_late():
    for file in FILES:
        top = packages_of(file, top_level=True)
        if str(file.relative_to(ROOT)) not in EXTENSIONS:
            assert not top & OPTIONAL, file
        modules = {module for module, _ in imports(file, top_level=True)}
        assert not {module.rsplit(".", 1)[-1] for module in modules} & {
            Path(extension).stem for extension in EXTENSIONS
        }


def test_nothing_but_the_stated_dependencies_is_imported():
    for file in FILES:
        allowed = {"torch", "skorch", "sklearn", "numpy", "scipy", "joblib", *OPTIONAL}
        outside = {p for p in packages_of(file) if not p.startswith("dephn_sk")}
        assert outside - set(sys.stdlib_module_names) <= allowed, file


ASKING = {"getattr", "hasattr", "isinstance"}
NETWORKS = {"network", "networks", "network_", "module", "module_", "modules"}
NETWORKS |= {"own_network", "net_", "named_modules", "children"}
ABOVE_NN = [
    *in_folder("training"),
    *in_folder("inspection"),
    *in_folder("export"),
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


def test_a_network_is_asked_for_what_its_contract_lists_alone():
    assert not found_in(ABOVE_NN, questions_to_networks)


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
