"""Parameters of an estimator: one line of a class is name, default, constraint, text.

>>> class Smoother(ParameterTable):
...     '''Smooth numbers.
...
...     Parameters
...     ----------
...     {parameters}
...     '''
...
...     window: int = parameter(3, [int], "int", "Rows that are averaged.")
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
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, dataclass_transform

from ._suggest import did_you_mean


@dataclass(frozen=True)
class Parameter:
    """What is said of a parameter once.

    Attributes
    ----------
    default : object
    constraint : list or "no_validation"
        What scikit-learn's validation of parameters takes.
    kind : str
        The type, in numpydoc's words.
    text : str
        What it is for.
    """

    default: Any
    constraint: Any
    kind: str
    text: str

    def describe(self, name: str) -> str:
        """Its entry in a docstring.

        >>> print(Parameter(3, [int], "int", "Rows that are averaged.").describe("n"))
        n : int, default=3
            Rows that are averaged.
        """
        text = textwrap.indent(inspect.cleandoc(self.text), "    ")
        return f"{name} : {self.kind}, default={self._shown()}\n{text}"

    def _shown(self) -> str:
        return (
            f'"{self.default}"' if isinstance(self.default, str) else repr(self.default)
        )


def parameter(default: Any, constraint: Any, kind: str, text: str) -> Any:
    """Declare a parameter in the body of a :class:`ParameterTable`."""
    return Parameter(default, constraint, kind, text)


_SAME = object()


def changed(default: Any = _SAME, text: str = "") -> Any:
    """Declare another default or text of a parameter of the class above."""
    return Parameter(default, None, "", text)


def like(table: type[ParameterTable], name: str, default: Any = _SAME) -> Any:
    """Declare a parameter as another table has it, with another default or the same."""
    old = table._parameters[name]
    return old if default is _SAME else replace(old, default=default)


@dataclass_transform(kw_only_default=True, field_specifiers=(parameter, changed, like))
class ParameterTable:
    """Base of estimators that declare their parameters in the body of the class.

    From the declarations, its own and then those of the classes above, a subclass gets
    its `__init__`, with the signature that scikit-learn, `help` and the documentation
    read, its `_parameter_constraints`, and the text in the place of ``{parameters}``
    in its docstring; ``{attributes}`` stands for what all of them learn. A subclass
    with an `__init__` of its own keeps that.
    """

    _attributes: ClassVar[str] = ""

    _parameters: ClassVar[Mapping[str, Parameter]] = {}
    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        declared = {k: p for k, p in vars(cls).items() if isinstance(p, Parameter)}
        above: dict[str, Parameter] = {}
        for base in reversed(cls.__mro__[1:]):
            above |= getattr(base, "_parameters", {})
        for name, own in declared.items():
            delattr(cls, name)
            if own.constraint is None:  # `changed`
                old = above[name]
                default = old.default if own.default is _SAME else own.default
                above[name] = replace(old, default=default, text=own.text or old.text)
        new = {k: p for k, p in declared.items() if p.constraint is not None}
        cls._parameters = {**new, **{k: p for k, p in above.items() if k not in new}}
        cls._parameter_constraints = {
            name: one.constraint for name, one in cls._parameters.items()
        }
        if "__init__" not in vars(cls):
            cls.__init__ = _constructor(cls._parameters)  # type: ignore[method-assign]
        if cls.__doc__:
            texts = [one.describe(name) for name, one in cls._parameters.items()]
            document = inspect.cleandoc(cls.__doc__)
            document = document.replace("{parameters}", "\n".join(texts))
            cls.__doc__ = document.replace("{attributes}", cls._attributes)
        super().__init_subclass__(**kwargs)


def _constructor(parameters: Mapping[str, Parameter]) -> Callable[..., None]:
    """An `__init__` that keeps each argument as it is and under its own name."""

    def __init__(self: Any, **given: Any) -> None:
        for name in given:
            if name not in parameters:
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}."
                    + did_you_mean(name, parameters)
                )
        for name, one in parameters.items():
            setattr(self, name, given.get(name, one.default))

    keyword = inspect.Parameter.KEYWORD_ONLY
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            *(
                inspect.Parameter(name, keyword, default=one.default)
                for name, one in parameters.items()
            ),
        ]
    )
    return __init__
