"""What depends on versions: names that scikit-learn keeps private, and pickles."""

import sys
import warnings
from functools import partial
from types import FrameType
from typing import Any, ClassVar, Self

from sklearn import base
from sklearn.base import _fit_context
from sklearn.model_selection._split import (
    _BaseKFold,
    _UnsupportedGroupCVMixin,
    _validate_shuffle_split,
)
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._param_validation import validate_params as _validate_params
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_method_params,
    _num_samples,
    check_is_fitted,
    validate_data,
)

# what is passed on to other functions of ours has been checked already
validate_params = partial(_validate_params, prefer_skip_nested_validation=True)


# whose frames lie between a finding of this library and the line that called it
_BETWEEN = {"dephn_sk", "sklearn", "torch", "skorch", "joblib"}
_BETWEEN |= {"contextlib", "copy", "pickle"}


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the caller's line, as ``skip_file_prefixes`` does from Python 3.12 on."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _package(frame) in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


class BaseEstimator(base.BaseEstimator):
    """scikit-learn's, with a file of its own, and a version in its pickle."""

    # what it holds, beyond parameters, that a file holds too
    _kept: ClassVar[tuple[str, ...]] = ()

    def save(self, path: Any, *, training: bool = False, metrics: Any = None) -> None:
        """Write a file that can be loaded without running code.

        See :func:`dephn_sk.save`; :func:`dephn_sk.load` reads it.

        Parameters
        ----------
        path : str or PathLike
            A file that is there is replaced, once all of the new one is on the disk.
        training : bool, default=False
            Whether to keep what further training of a network goes on from, optimizer
            and averages, beside what predictions need.
        metrics : dict of str to float, sequence or dict, default=None
            For the model card, as those of :meth:`card`.

        Returns
        -------
        None

        Raises
        ------
        ValueError
            For what no file holds, such as functions; the message names the parameter.
        NotFittedError
        """
        from .storage import save

        save(self, path, training=training, metrics=metrics)

    def card(self, metrics: Any = None) -> str:
        """A model card in Markdown, which files hold as ``README.md``.

        The fields, the tasks with their rates and validation scores, the parameters
        that are not their defaults, and versions; what only people know is left to be
        filled in.

        Parameters
        ----------
        metrics : dict of str to float, sequence or dict, default=None
            By name: a number, or one for each task.

        Returns
        -------
        str
        """
        from .storage import card_of

        check_is_fitted(self)
        return card_of(self, metrics)

    def _state(self) -> dict[str, Any]:
        """What :meth:`_from_state` makes an equal estimator of."""
        parameters = self.get_params(deep=False)
        rest = {k: v for k, v in vars(self).items() if k not in parameters}
        return {"params": parameters, "attributes": rest}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        """The estimator of a state; a ValueError says what cannot be one."""
        new, attributes = cls(**state["params"]), state["attributes"]
        if not attributes.keys() <= {*cls._kept, "_metadata_request"}:
            raise ValueError(f"{cls.__name__} has no {sorted(attributes)}.")
        new.__dict__.update(attributes)
        new._check_state()
        return new

    def _check_state(self) -> None:
        """Raise a ValueError where what was learned does not fit together."""

    def __reduce__(self) -> Any:
        """For pickle and copy: all that it holds, and the version."""
        return _unpickled, (type(self), _versioned(super().__getstate__()))

    def __getstate__(self) -> dict[str, Any]:
        """For skops: JSON and arrays."""
        from .storage import to_plain

        return _versioned(to_plain(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of skops; nothing but JSON and arrays is taken."""
        from .storage import from_plain

        if type(state) is dict:
            _check_version(type(self).__name__, state)
        self.__dict__.update(vars(from_plain(state, type(self))))


def _versioned(state: dict[str, Any]) -> dict[str, Any]:
    from . import __version__

    return {**state, "_dephn_sk_version": __version__}


def _check_version(name: str, state: dict[str, Any]) -> None:
    """Take the version out of a state, and warn where it is another."""
    from . import __version__

    written_by = state.pop("_dephn_sk_version", "before 0.1.0")
    if written_by != __version__:
        warn(
            f"This {name} was pickled by dephn_sk {written_by} and is read by "
            f"{__version__}: it may fail, or predict otherwise. Fit it anew, or read "
            "it with the version that wrote it."
        )


def _unpickled(cls: Any, state: dict[str, Any]) -> Any:
    """An estimator of a pickle, or a copy."""
    state = dict(state)
    _check_version(cls.__name__, state)
    estimator = cls.__new__(cls)
    vars(estimator).update(state)
    return estimator
