"""The public names exist once, and their documentation says what the code does."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import pydoc
import re
from pathlib import Path

import pytest
import torch

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier


def public_modules():
    """Every module of the library whose dotted name has no private part."""
    found = ["dephn_sk"]
    for info in pkgutil.walk_packages(dephn_sk.__path__, "dephn_sk."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(info.name)
    return found


MODULES = public_modules()
NAMES = [
    (module, name)
    for module in MODULES
    for name in getattr(importlib.import_module(module), "__all__", ())
]
DOCUMENTED = [
    (module, name)
    for module, name in NAMES
    if callable(getattr(importlib.import_module(module), name, None))
]
CLASSES = [
    (module, name)
    for module, name in DOCUMENTED
    if inspect.isclass(getattr(importlib.import_module(module), name))
]
ESTIMATORS = [
    (module, name)
    for module, name in CLASSES
    if hasattr(getattr(importlib.import_module(module), name), "get_params")
]


def lookup(module, name):
    return getattr(importlib.import_module(module), name)


def section(doc, title):
    """The lines of one numpydoc section, or None."""
    pattern = rf"(?:^|\n){title}\n-{{{len(title)}}}\n(.*?)(?=\n\S[^\n]*\n---|\Z)"
    match = re.search(pattern, doc, re.DOTALL)
    return match and match[1]


def documented_parameters(doc):
    """Name -> the text after the colon, from the section Parameters.

    Several names on one line may have a default each: ``a, b : int, default=1, 2``.
    """
    found = {}
    text = re.sub(r"\\\n\s*", "", section(doc, "Parameters") or "")
    for line in text.splitlines():
        match = re.match(r"(\w+(?:, \w+)*)(?: : (.*))?$", line)
        if not match:
            continue
        names, (kind, *default) = (
            match[1].split(", "),
            (match[2] or "").split("default="),
        )
        defaults = default[0].split(", ") if default and len(names) > 1 else default
        for i, name in enumerate(names):
            own = [f"default={defaults[i % len(defaults)]}"] if defaults else []
            found[name] = "".join([kind, *own])
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_public_module_says_what_it_holds(module):
    imported = importlib.import_module(module)
    assert imported.__doc__
    assert imported.__all__
    assert len(set(imported.__all__)) == len(imported.__all__)


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_name_of_all_exists(module, name):
    assert hasattr(importlib.import_module(module), name)


def test_every_name_has_one_public_address():
    homes = {}
    for module, name in DOCUMENTED:
        homes.setdefault(id(lookup(module, name)), []).append(f"{module}.{name}")
    assert [home for home in homes.values() if len(home) > 1] == []


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_every_public_name_has_a_docstring_with_a_summary(module, name):
    doc = inspect.getdoc(lookup(module, name))
    assert doc
    summary = doc.split("\n\n")[0]
    assert summary.strip().endswith((".", ":")), summary


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_documented_parameters_are_those_of_the_signature(module, name):
    found = lookup(module, name)
    doc = inspect.getdoc(found)
    if section(doc, "Parameters") is None:
        # a network's part may say with its Shape all there is to say
        assert inspect.isclass(found) or not _parameters(found), f"{module}.{name}"
        return
    documented = documented_parameters(doc)
    signature = _parameters(found)
    assert list(documented) == [p for p in signature if p in documented]
    assert set(documented) == set(signature)


def _parameters(found):
    """Names in the signature, but for self, *args and **kwargs."""
    return [
        name
        for name, parameter in inspect.signature(found).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in ("self", "cls")
    ]


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_documented_defaults_are_those_of_the_signature(module, name):
    found = lookup(module, name)
    documented = documented_parameters(inspect.getdoc(found))
    for parameter, value in inspect.signature(found).parameters.items():
        text = documented.get(parameter, "")
        if value.default is inspect.Parameter.empty or not text:
            assert "default=" not in text, f"{parameter} : {text}"
            continue
        match = re.search(r"default=(.*)$", text)
        assert match, f"{parameter} : {text}"
        default = eval(match[1], {"torch": torch})  # a literal of our own docstrings
        assert default == value.default, f"{parameter}: {default} != {value.default}"
        assert type(default) is type(value.default), parameter


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_functions_say_what_they_return(module, name):
    found = lookup(module, name)
    if inspect.isfunction(found):
        returns = inspect.signature(found).return_annotation
        doc = inspect.getdoc(found)
        assert returns in (None, "None") or section(doc, "Returns") is not None


@pytest.mark.parametrize(("module", "name"), ESTIMATORS)
def test_every_public_method_of_an_estimator_is_documented(module, name):
    for method, function in inspect.getmembers(lookup(module, name)):
        ours = (getattr(function, "__module__", None) or "").startswith("dephn_sk")
        if method.startswith("_") or not ours or not callable(function):
            continue
        doc = inspect.getdoc(function)
        assert doc, method
        parameters = _parameters(function)
        documented = documented_parameters(doc)
        wanted = set(parameters) if section(doc, "Parameters") else set()
        assert wanted <= set(documented), (method, wanted - set(documented))
        if parameters:
            assert section(doc, "Parameters"), method
            assert section(doc, "Returns") or section(doc, "Yields"), method


@pytest.mark.parametrize(("module", "name"), ESTIMATORS)
def test_every_documented_attribute_of_an_estimator_ends_in_an_underscore(module, name):
    attributes = section(inspect.getdoc(lookup(module, name)), "Attributes")
    assert attributes, f"{module}.{name}"
    for line in attributes.splitlines():
        if match := re.match(r"(\w+(?:, \w+)*) : ", line):
            assert all(a.endswith("_") for a in match[1].split(", ")), line


@pytest.mark.parametrize(("module", "name"), ESTIMATORS)
def test_every_estimator_shows_an_example(module, name):
    examples = section(inspect.getdoc(lookup(module, name)), "Examples")
    assert examples
    assert ">>>" in examples


@pytest.mark.parametrize(("module", "name"), ESTIMATORS)
def test_every_parameter_of_an_estimator_has_constraints_and_stores_alone(module, name):
    estimator = lookup(module, name)
    parameters = _parameters(estimator)
    assert set(parameters) == set(estimator._parameter_constraints)
    defaults = inspect.signature(estimator).parameters
    optional = all(
        defaults[p].default is not inspect.Parameter.empty for p in parameters
    )
    if optional and not inspect.isabstract(estimator):
        instance = estimator()
        assert vars(instance) == {p: defaults[p].default for p in parameters}


@pytest.mark.parametrize(("module", "name"), ESTIMATORS)
def test_help_shows_each_parameter_with_its_default_and_says_what_it_is_for(
    module, name
):
    estimator = lookup(module, name)
    shown = pydoc.plain(pydoc.render_doc(estimator))
    texts = section(inspect.getdoc(estimator), "Parameters")
    for parameter in inspect.signature(estimator).parameters.values():
        assert str(parameter) in shown
        entry = rf"^(?:\w+, )*{parameter.name}\b.* : .+\n +\S"
        assert re.search(entry, texts, re.MULTILINE), parameter


def test_every_string_option_of_the_classifier_is_documented():
    documented = inspect.getdoc(DEPHNMultiTaskClassifier)
    for name, constraints in DEPHNMultiTaskClassifier._parameter_constraints.items():
        start = documented.index(f"\n{name} : ")
        text = documented[start : start + 900]
        for constraint in constraints:
            for option in getattr(constraint, "options", ()):
                parts = option.split("-") if name == "virtual_gradient" else [option]
                for part in parts:
                    assert re.search(rf'"{part}-?"', text), f"{name}={option!r}"


def test_every_documented_attribute_of_the_classifier_exists_after_fit():
    attributes = section(inspect.getdoc(DEPHNMultiTaskClassifier), "Attributes")
    documented = re.findall(r"^(\w+) : ", attributes, re.MULTILINE)
    import pandas as pd

    X = pd.DataFrame({"c": list("abab"), "x": [0.0, 1, 2, 3]})
    options = {"max_epochs": 1, "selection": "soft", "random_state": 0}
    model = DEPHNMultiTaskClassifier(**options).fit(X, [[0, 1], [1, 1], [0, 0], [1, 0]])
    for name in documented:
        assert hasattr(model, name), name
    learned = {name for name in vars(model) if name.endswith("_")}
    public = {name for name in learned if not name.startswith("_")}
    assert public - {"tasks_"} <= set(documented)


def test_the_version_is_that_of_the_project():
    pyproject = Path(dephn_sk.__file__).parents[1] / "pyproject.toml"
    if not pyproject.is_file():
        pytest.skip("not in a source tree")
    match = re.search(r'^version = "(.*)"$', pyproject.read_text(), re.MULTILINE)
    assert match is None or match[1] == dephn_sk.__version__
