"""A parameter is declared once: constructor, constraints and text come from that."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator, clone

from dephn_sk._parameters import ParameterTable, changed, parameter


class Smoother(ParameterTable, BaseEstimator):
    """Smooth numbers.

    Parameters
    ----------
    window : int
        Rows that are averaged.
    edges : str
        What is done with the first rows.
    {parameters}

    Attributes
    ----------
    {attributes}
    """

    _attributes = "n_rows_ : int"

    window: int = parameter(3, [int])
    edges: str = parameter("drop", [str])


class Exponential(Smoother):
    """Forget slowly.

    Parameters
    ----------
    decay : float
        Of the weights.
    edges : str
        Only what is kept.
    {parameters}
    """

    window: int = changed(5)
    decay: float = parameter(0.5, [float])


class Own(Smoother):
    """With a constructor of its own."""

    def __init__(self, *, window=7):
        self.window = window


class Below(Own):
    """Below a class with a constructor of its own."""

    width: int = parameter(1, [int])


def defaults(estimator):
    parameters = inspect.signature(estimator).parameters.values()
    return {p.name: p.default for p in parameters}


def test_the_signature_is_what_was_declared():
    assert defaults(Smoother) == {"window": 3, "edges": "drop"}
    kinds = {p.kind for p in inspect.signature(Smoother).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(TypeError):
        Smoother(3)


def test_own_parameters_come_before_those_of_the_class_above():
    assert list(defaults(Exponential)) == ["decay", "window", "edges"]


def test_changed_changes_default_or_text_and_nothing_else():
    window, edges = (Exponential._parameters[name] for name in ("window", "edges"))
    above = Smoother._parameters
    assert (window.default, window.text) == (5, above["window"].text)
    assert (edges.default, edges.text.strip()) == ("drop", "Only what is kept.")
    assert window.constraint == above["window"].constraint
    assert edges.kind == above["edges"].kind
    assert (
        above["window"].default == Smoother().window == 3
    )  # the class above keeps its


def test_a_default_may_become_none():
    class Unlimited(Smoother):
        window: int | None = changed(None)

    assert Unlimited().window is None
    assert defaults(Unlimited)["window"] is None


def test_what_is_changed_has_to_be_there():
    with pytest.raises(KeyError, match="windows"):

        class Misspelt(Smoother):
            windows: int = changed(5)


def test_the_docstring_holds_each_text_and_what_is_learned():
    assert Smoother.__doc__ == inspect.cleandoc(
        """Smooth numbers.

        Parameters
        ----------
        window : int, default=3
            Rows that are averaged.
        edges : str, default="drop"
            What is done with the first rows.

        Attributes
        ----------
        n_rows_ : int
        """
    )
    assert "window : int, default=5\n" in Exponential.__doc__
    assert "Only what is kept." in Exponential.__doc__


def test_constraints_are_those_of_the_parameters():
    assert Exponential._parameter_constraints == {
        "decay": [float],
        "window": [int],
        "edges": [str],
    }


def test_an_argument_is_stored_as_it_is_and_all_others_have_their_default():
    given = [1, 2]
    smoother = Smoother(window=given)
    assert vars(smoother) == {"window": given, "edges": "drop"}
    assert smoother.window is given


def test_a_parameter_is_no_attribute_of_the_class():
    assert not hasattr(Smoother, "window")


@pytest.mark.parametrize(
    ("given", "hint"), [("windows", "Did you mean 'window'?"), ("qqq", "'qqq'.")]
)
def test_an_unknown_argument_is_named_with_the_nearest_one(given, hint):
    with pytest.raises(TypeError) as error:
        Exponential(**{given: 1})
    assert "Exponential" in str(error.value)
    assert str(error.value).endswith(hint)


def test_a_constructor_of_ones_own_is_kept():
    assert Own().window == 7
    assert defaults(Own) == {"window": 7}


def test_a_class_without_a_constructor_gets_one_for_all_parameters():
    assert defaults(Below) == {"width": 1, "window": 3, "edges": "drop"}


@pytest.mark.parametrize("make", [Smoother, Exponential, Own])
def test_scikit_learn_sees_the_parameters(make):
    estimator = make(window=11)
    assert estimator.get_params() == {**defaults(make), "window": 11}
    assert clone(estimator).get_params() == estimator.get_params()
    assert make().set_params(window=11).get_params() == estimator.get_params()
    with pytest.raises(ValueError, match="windows"):
        estimator.set_params(windows=1)
    assert pickle.loads(pickle.dumps(estimator)).get_params() == estimator.get_params()


def test_a_class_without_a_docstring_is_a_class():
    class Bare(Smoother):
        pass

    assert Bare.__doc__ is None
    assert Bare(window=2).window == 2


TYPED = """
from dephn_sk._parameters import ParameterTable, parameter

class Smoother(ParameterTable):
    window: int = parameter(3, [int])

Smoother(window=5)
Smoother(window="five")
Smoother(windows=5)
"""


def test_type_checkers_know_the_keywords(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "smoother.py").write_text(TYPED)
    # a checkout is named to mypy, which finds what is installed by itself
    package = Path(sys.modules["dephn_sk"].__file__).parents[1]
    checkout = "" if package.name == "site-packages" else str(package)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "smoother.py"],
        cwd=tmp_path,
        env={"MYPYPATH": checkout, "MYPY_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(":")[1] for line in errors] == ["8", "9"], done.stdout
