"""Callbacks of an estimator: nested parameters, and copies for each net."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from skorch.callbacks import Checkpoint
from skorch.callbacks.scoring import ScoringBase
from torch import Tensor

from ._parameters import unchanged

# modules of skorch whose callbacks show or write
WRITE = frozenset({"skorch.callbacks.logging", "skorch.hf"})


class CallbackParameters(BaseEstimator):
    """Mixin: ``callbacks__name__parameter`` in `get_params` and `set_params`.

    Callbacks that are given as ``(name, callback)`` take part in a search.
    """

    callbacks: Sequence[Any] | None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator, and of its named callbacks.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include ``callbacks__name`` and
            ``callbacks__name__parameter``.

        Returns
        -------
        dict
        """
        params = super().get_params(deep=deep)
        if deep:
            for name, callback in self._named_callbacks():
                params[f"callbacks__{name}"] = callback
                if hasattr(callback, "get_params") and not isinstance(callback, type):
                    for key, value in callback.get_params(deep=True).items():
                        params[f"callbacks__{name}__{key}"] = value
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters of this estimator, and of its named callbacks.

        Parameters
        ----------
        **params : dict
            For instance ``callbacks__schedule__gamma=0.9``.

        Returns
        -------
        self : object
        """
        own = {k: v for k, v in params.items() if not k.startswith("callbacks__")}
        super().set_params(**own)
        names = [name for name, _ in self._named_callbacks()]
        for key in sorted(params.keys() - own.keys(), key=lambda k: k.count("__")):
            name, _, rest = key.removeprefix("callbacks__").partition("__")
            if name not in names:
                raise ValueError(
                    f"{key!r} names the callback {name!r}; the named callbacks are "
                    f"{names}. Name one by giving it as a tuple (name, callback)."
                )
            if rest:
                dict(self._named_callbacks())[name].set_params(**{rest: params[key]})
            else:
                self.callbacks = [
                    (name, params[key]) if _name_of(item) == name else item
                    for item in self.callbacks or ()
                ]
        return self

    def _named_callbacks(self) -> list[tuple[str, Any]]:
        given = self.callbacks if isinstance(self.callbacks, (list, tuple)) else ()
        return [item for item in given if _name_of(item) is not None]


def _name_of(item: Any) -> str | None:
    return item[0] if isinstance(item, tuple) else None


def made(given: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Those kept, and fresh copies of others: a net changes those that it is given."""
    items = _named(given)
    names = [name for name, _ in items]
    if len(set(names)) < len(names):
        raise ValueError(f"callbacks has several entries of one name: {names}.")
    return {k: kept[k] if k in kept else _fresh(k, one) for k, one in items}


def kept_of(net: Any, given: Any, before: Any) -> dict[str, Any]:
    """Callbacks that go on as a net trains on: skorch's, and those given as before."""
    old = dict(_named(before))
    same = {k for k, one in _named(given) if k in old and unchanged(one, old[k])}
    going_on = {*same, "epoch_timer", "print_log"}
    return {name: _copy(one) for name, one in net.callbacks_ if name in going_on}


def is_plain(value: Any) -> bool:
    """Whether JSON gives it back as it is, but for tuples, which become lists.

    >>> is_plain({"best": [1, None, "a"]}), is_plain({1: "a"}), is_plain(is_plain)
    (True, False, False)
    """
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and is_plain(one) for k, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def held(callback: Any) -> Iterator[tuple[str, Any]]:
    """What a callback holds that can be stored: plain values, tensors, dicts of them.

    A schedule's state is asked for elsewhere.
    """
    for name, value in vars(callback).items():
        if name == "lr_scheduler_":
            continue
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, Tensor):
            yield name, value.detach()
        elif is_plain(value):
            yield name, copy.deepcopy(value)
        elif isinstance(value, Mapping) and all(map(_is_named_tensor, value.items())):
            yield from ((f"{name}.{key}", one.detach()) for key, one in value.items())


def hold(callback: Any, values: Mapping[str, Any]) -> None:
    """Let a callback hold copies of what another one :func:`held`."""
    dicts: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        name, _, inner = key.partition(".")
        place = dicts.setdefault(name, {}) if inner else vars(callback)
        own = value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        place[inner or name] = own
    vars(callback).update(dicts)


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def of_rank_0(callback: Any) -> bool:
    """Whether it shows or writes, which rank 0 alone does of several processes.

    So do skorch's that log or keep files, and those that say so by an attribute.

    >>> from skorch.callbacks import Checkpoint, LRScheduler
    >>> of_rank_0(Checkpoint()), of_rank_0(LRScheduler())
    (True, False)
    """
    modules = {kind.__module__ for kind in type(callback).__mro__}
    writes = isinstance(callback, Checkpoint) or bool(modules & WRITE)
    return bool(getattr(callback, "of_rank_0", writes))


@contextlib.contextmanager
def heard_on(rank: int, net: Any) -> Iterator[None]:
    """Within it, other ranks than 0 tell callbacks alone that change the net."""
    if not rank:
        yield
        return
    callbacks, verbose = net.callbacks_, net.verbose
    net.callbacks_ = [item for item in callbacks if not of_rank_0(item[1])]
    net.verbose = 0
    try:
        yield
    finally:
        net.callbacks_, net.verbose = callbacks, verbose


def copies(given: Any) -> Any:
    """What is given, with copies of the callbacks that the user may change later."""
    if isinstance(given, (list, tuple)):
        return type(given)(map(copies, given))
    return clone(given, safe=False) if _is_callback(given) else given


def _is_callback(item: Any) -> bool:
    """Whether it is a callback, and not a class or a function that makes one."""
    return hasattr(item, "on_train_begin") and not isinstance(item, type)


def _named(given: Sequence[Any] | None) -> list[tuple[str, Any]]:
    """Callbacks with the name that is given, or one of their place."""
    return [
        item if _name_of(item) is not None else (f"callback{i}", item)
        for i, item in enumerate(given or ())
    ]


def _copy(callback: Any) -> Any:
    """A copy with what the callback holds; what cannot be copied is shared."""
    copied = copy.copy(callback)
    for key, value in vars(callback).items():
        if key == "lr_scheduler_":
            continue  # it holds the other optimizer, and is made anew
        with contextlib.suppress(Exception):
            setattr(copied, key, copy.deepcopy(value))
    return copied


def _fresh(name: str, callback: Any) -> Any:
    """A callback that nothing has changed."""
    if not _is_callback(callback):
        if not callable(callback):
            raise ValueError(
                "callbacks must hold skorch callbacks, or classes or functions that "
                f"make them; got {callback!r}."
            )
        return callback()
    if isinstance(callback, ScoringBase):
        raise ValueError(
            f"The callback {name!r}, {type(callback).__name__}, scores data sets of "
            "skorch. Losses and scores of the tasks are in history_; `monitor` says "
            "what early stopping watches."
        )
    return clone(callback, safe=False)
