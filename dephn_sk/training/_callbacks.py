"""Callbacks of an estimator: nested parameters, copies, and early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from sklearn.base import BaseEstimator, clone
from skorch.callbacks import EarlyStopping
from skorch.callbacks.scoring import ScoringBase


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

    def _copied_callbacks(self) -> list[tuple[str, Any]]:
        """Fresh callbacks: a net changes those that it is given."""
        copies = []
        for i, item in enumerate(self.callbacks or ()):
            name, callback = (
                item if _name_of(item) is not None else (f"callback{i}", item)
            )
            if isinstance(callback, type) or not hasattr(callback, "on_train_begin"):
                if not callable(callback):
                    raise ValueError(
                        "callbacks must hold skorch callbacks, or classes or functions "
                        f"that make them; got {callback!r}."
                    )
                copies.append((name, callback()))
            elif isinstance(callback, ScoringBase):
                raise ValueError(
                    f"The callback {name!r}, {type(callback).__name__}, scores data "
                    "sets of skorch. Losses and scores of the tasks are in history_; "
                    "`monitor` says what early stopping watches."
                )
            else:
                copies.append((name, clone(callback, safe=False)))
        return copies


def _name_of(item: Any) -> str | None:
    return item[0] if isinstance(item, tuple) else None


class BestEpoch(EarlyStopping):
    """Stop when the monitored value no longer improves, and keep the best weights.

    The copy of the best weights lives only while training, so that it is in no pickle.
    """

    def __init__(self, *, patience: int = 5, lower_is_better: bool = True) -> None:
        super().__init__(
            monitor="valid_monitor",
            patience=patience,
            threshold=0,
            lower_is_better=lower_is_better,
            sink=_silent,
            load_best=True,
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"patience": self.patience, "lower_is_better": self.lower_is_better}

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        earlier = getattr(self, "best_value_", None)
        super().on_train_begin(net, **kwargs)
        self.watched_ = False
        if earlier is not None:  # training goes on from the best weights so far
            self.dynamic_threshold_ = earlier
            self.best_model_weights_ = deepcopy(net.module_.state_dict())

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if "valid_monitor" in net.history[-1]:  # nothing to watch without such rows
            self.watched_ = True
            super().on_epoch_end(net, **kwargs)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.watched_:
            super().on_train_end(net, **kwargs)
        # epochs that were not watched leave weights whose value is not known
        self.best_value_ = self.dynamic_threshold_ if self.watched_ else None
        self.best_model_weights_ = None


def _silent(*args: Any) -> None:
    """Where messages go that nobody asked for."""
