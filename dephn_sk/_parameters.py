"""Parameters of an estimator: declared once, in the body and the text of a class.

>>> class Smoother(ParameterTable):
...     '''Smooth numbers.
...
...     Parameters
...     ----------
...     window : int
...         Rows that are averaged.
...     {parameters}
...     '''
...
...     window: int = parameter(3, [int])
>>> Smoother(window=5).window
5
>>> print(Smoother.__doc__)
Smooth numbers.
<BLANKLINE>
Parameters
----------
window : int, default=3
    Rows that are averaged.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, dataclass_transform

from ._suggest import did_you_mean

_SAME: Any = object()
_SECTION = "Parameters\n----------\n"
_ENTRY = re.compile(r"^(\w+) : (.*)\n((?:    .*\n?|\n(?=    ))*)", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """A default, what scikit-learn's validation takes, and what the docstring says."""

    default: Any
    constraint: Any
    kind: str = ""
    text: str = ""

    def describe(self, name: str) -> str:
        """Its entry in a docstring.

        >>> print(Parameter(3, [int], "int", "    So many.").describe("n"))
        n : int, default=3
            So many.
        """
        value = self.default
        shown = f'"{value}"' if isinstance(value, str) else repr(value)
        return f"{name} : {self.kind}, default={shown}\n{self.text}"


def parameter(default: Any, constraint: Any) -> Any:
    """Declare a parameter in the body of a :class:`ParameterTable`."""
    return Parameter(default, constraint)


def changed(default: Any) -> Any:
    """Declare another default of a parameter of the class above."""
    return Parameter(default, _SAME)


def like(table: type[ParameterTable], name: str, default: Any = _SAME) -> Any:
    """Declare a parameter as another table has it, with another default or the same."""
    old = table._parameters[name]
    return old if default is _SAME else replace(old, default=default)


@dataclass_transform(kw_only_default=True)
class ParameterTable:
    """Base of estimators that declare their parameters in the body of the class.

    From the declarations, its own and then those of the classes above, and from the
    entries of its docstring, which leave out the defaults, a subclass gets

    - its `__init__`, with the signature that scikit-learn, `help` and the documentation
      read; a subclass with an `__init__` of its own keeps that;
    - its `_parameter_constraints`;
    - a section of all parameters, where its docstring has ``{parameters}`` at the end
      of that section; ``{attributes}`` stands for what all of them learn.

    A plain value in the place of a parameter fixes it: it is none of the subclass.
    """

    _attributes: ClassVar[str] = ""
    _parameters: ClassVar[Mapping[str, Parameter]] = {}
    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    # of this class alone: names that are new, all that it says of parameters, and names
    # of those that have one value here
    _new: ClassVar[tuple[str, ...]] = ()
    _said: ClassVar[Mapping[str, Parameter]] = {}
    _fixed: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        declared = {k: p for k, p in vars(cls).items() if isinstance(p, Parameter)}
        above = _of_classes(cls.__mro__[1:])
        said = {}
        for name, own in declared.items():
            delattr(cls, name)
            same = own.constraint is _SAME
            said[name] = replace(above[name], default=own.default) if same else own
        cls._fixed = frozenset(above.keys() & vars(cls).keys())
        cls._new = tuple(k for k, p in declared.items() if p.constraint is not _SAME)
        document = inspect.cleandoc(cls.__doc__ or "")
        start = document.find(_SECTION) + len(_SECTION)
        for name, kind, text in _ENTRY.findall(document, start):
            if name in said or name in above:
                one = said.get(name) or above[name]
                said[name] = replace(one, kind=kind, text=text.rstrip())
        cls._said = said
        parameters = _of_classes(cls.__mro__)
        cls._parameters = parameters
        cls._parameter_constraints = {k: p.constraint for k, p in parameters.items()}
        if "__init__" not in vars(cls):
            cls.__init__ = _constructor(cls)  # type: ignore[method-assign]
        end = document.find("{parameters}")
        if end >= 0:
            entries = "\n".join(p.describe(k) for k, p in parameters.items())
            document = (
                document[:start] + entries + document[end + len("{parameters}") :]
            )
        cls.__doc__ = document.replace("{attributes}", cls._attributes) or None
        super().__init_subclass__(**kwargs)

    def _parameters_for(self, function: Callable[..., Any]) -> dict[str, Any]:
        """The values of those parameters that a function takes under the same name.

        >>> class Walk(ParameterTable):
        ...     steps: int = parameter(3, [int])
        ...     verbose: int = parameter(0, [int])
        >>> Walk(steps=5)._parameters_for(lambda start, steps: start + steps)
        {'steps': 5}
        """
        taken = inspect.signature(function).parameters
        return {name: getattr(self, name) for name in self._parameters if name in taken}


def _of_classes(classes: Sequence[type]) -> dict[str, Parameter]:
    """The parameters of classes, what the first of them says standing first."""
    each = [vars(one) for one in classes if "_said" in vars(one)]
    names = dict.fromkeys(name for one in each for name in one["_new"])
    fixed = frozenset().union(*(one["_fixed"] for one in each))
    return {
        name: next(one["_said"][name] for one in each if name in one["_said"])
        for name in names
        if name not in fixed
    }


def _constructor(cls: type[ParameterTable]) -> Callable[..., None]:
    """An `__init__` that keeps each argument as it is and under its own name."""
    parameters = cls._parameters

    def __init__(self: Any, **given: Any) -> None:
        for name in given:
            if name not in parameters:
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}."
                    + did_you_mean(name, parameters)
                )
        for name, one in parameters.items():
            setattr(self, name, given.get(name, one.default))

    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    keyword = inspect.Parameter.KEYWORD_ONLY
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    own = (
        inspect.Parameter(k, keyword, default=p.default) for k, p in parameters.items()
    )
    __init__.__signature__ = inspect.Signature([itself, *own])  # type: ignore[attr-defined]
    return __init__
