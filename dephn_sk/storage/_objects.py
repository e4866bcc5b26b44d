"""What a file may hold, class by class: nothing outside these tables is made."""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.stats
import skorch.callbacks
import torch
from numpy.typing import NDArray
from sklearn import model_selection, pipeline
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
from sklearn.utils.metadata_routing import MetadataRequest

from .. import baselines
from .. import model_selection as splitters
from .._dephn import (
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskEstimator,
    DEPHNMultiTaskRegressor,
)
from ..calibration import TaskCalibrator
from ..metrics._scorer import METRICS, TaskScorer
from ..model_selection import ThresholdedClassifier
from ..preprocessing import FieldEncoder
from ..tasks import RegressionTaskView, TaskView
from ..training import FittedModel
from ._archive import ModelFileError, check_values, holds
from ._plain import CannotStoreError, flatten, restore

# Estimators that files hold. One of your own, a subclass of MultiTaskClassifier, is
# appended before its first file is written, and before one is read.
CLASSES: list[Any] = [
    DEPHNMultiTaskClassifier,
    DEPHNMultiTaskEstimator,
    DEPHNMultiTaskRegressor,
    *(getattr(baselines, n) for n in baselines.__all__ if n.endswith("Classifier")),
    FieldEncoder,
    TaskCalibrator,
    ThresholdedClassifier,
    TaskView,
    RegressionTaskView,
]
# For skops: none of these classes takes anything but JSON and arrays from a file.
TRUSTED_TYPES = [f"{one.__module__}.{one.__qualname__}" for one in CLASSES]

_SEARCHES = [model_selection.GridSearchCV, model_selection.RandomizedSearchCV]
_SPLITTERS = [
    one
    for module, names in (
        (model_selection, [n for n in model_selection.__all__ if "Halving" not in n]),
        (splitters, splitters.__all__),
    )
    for one in (getattr(module, name) for name in names)
    if isinstance(one, type) and issubclass(one, (BaseCrossValidator, BaseShuffleSplit))
]
# what objects of these classes hold are their attributes, and nothing else
_PLAIN = [
    *(pipeline.Pipeline, pipeline.FeatureUnion, FrozenEstimator, TaskScorer),
    *_SEARCHES,
    *_SPLITTERS,
]
_CALLBACKS = [
    getattr(skorch.callbacks, name)
    for name in ("LRScheduler", "GradientNormClipping", "EarlyStopping")
]
_POLICIES = {
    name: getattr(torch.optim.lr_scheduler, name)
    for name in torch.optim.lr_scheduler.__all__
} | {"WarmRestartLR": skorch.callbacks.WarmRestartLR}


def _by_name(classes: list[Any]) -> dict[str, Any]:
    return {f"{one.__module__.split('.')[0]}.{one.__name__}": one for one in classes}


_PLAIN_NAMES, _CALLBACK_NAMES = _by_name(_PLAIN), _by_name(_CALLBACKS)
# functions and classes that are values of parameters
_KNOWN = {
    **{f"metric {name}": function for name, function in METRICS.items()},
    **{f"schedule {name}": policy for name, policy in _POLICIES.items()},
    **{f"callback {one.__name__}": one for one in _CALLBACKS},
}


class Objects:
    """The two ways between objects and states.

    Parameters
    ----------
    training : bool, default=True
        Whether states hold what further training goes on from.
    device : str, default=None
        Where networks shall be; None is the device of the fit, if it is there.
    mapped : bool, default=False
        Whether arrays are on the disk until they are used.
    """

    def __init__(
        self, training: bool = True, device: str | None = None, mapped: bool = False
    ) -> None:
        self.training = training
        self.device = device
        self.mapped = mapped

    # ------------------------------------------------------------------- to states

    def knows(self, estimator: Any) -> bool:
        """Whether files hold estimators of this class."""
        kind = type(estimator)
        return kind in (*CLASSES, *_PLAIN) or kind.__module__.startswith("sklearn.")

    def to_state(self, value: Any) -> tuple[str, Any] | None:
        """The name of an object's kind, and its state; None for one of no kind."""
        kind = type(value)
        if kind in CLASSES:
            return f"dephn_sk.{kind.__name__}", _own_state(value)
        if kind is FittedModel:
            return "FittedModel", value.kept_state(self.training)
        if kind in _PLAIN:
            attributes = dict(vars(value))
            attributes.pop("scorer_", None)  # a search makes it anew of `scoring`
            return f"{kind.__module__.split('.')[0]}.{kind.__name__}", attributes
        if kind in _CALLBACKS:
            return f"{kind.__module__.split('.')[0]}.{kind.__name__}", _given(value)
        if kind is MetadataRequest:
            return "MetadataRequest", _requests(value)
        if isinstance(value, BaseEstimator) and kind.__module__.startswith("sklearn."):
            return "skops", _skops_bytes(value)
        frozen = getattr(value, "dist", None)
        if isinstance(frozen, scipy.stats.rv_continuous | scipy.stats.rv_discrete):
            return "scipy.stats", [frozen.name, value.args, value.kwds]
        if isinstance(value, type) or inspect.isfunction(value):
            names = [name for name, known in _KNOWN.items() if known is value]
            return ("known", names[0]) if names else None
        return None

    # ------------------------------------------------------------------- from states

    def from_state(self, name: str, state: Any) -> Any:
        """The object of a kind and a state; a ValueError says what cannot be."""
        own = {f"dephn_sk.{one.__name__}": one for one in CLASSES}
        if name in own:
            return own[name]._from_state(state)
        if name in _PLAIN_NAMES:
            return _made(_PLAIN_NAMES[name], state)
        if name in _CALLBACK_NAMES:
            return _callback(_CALLBACK_NAMES[name], state)
        if name == "FittedModel":
            return FittedModel.from_state(state, self.device, mapped=self.mapped)
        if name == "MetadataRequest":
            return _request_of(state)
        if name == "skops":
            return _from_skops(state)
        if name == "scipy.stats":
            return _distribution(*state)
        if name == "known" and state in _KNOWN:
            return _KNOWN[state]
        raise ModelFileError(f"The manifest names {name!r}, which no file may hold.")


def _own_state(estimator: Any) -> dict[str, Any]:
    state: dict[str, Any] = estimator._state()
    for name, value in state["attributes"].items():
        if name not in (*estimator._kept, "_metadata_request"):
            raise CannotStoreError(value, ("attributes", name))
    return state


def _made(cls: Any, attributes: dict[str, Any]) -> Any:
    """An object with these attributes, as a pickle would make it."""
    made = cls.__new__(cls)
    vars(made).update(attributes)
    if cls in _SEARCHES and "best_index_" in attributes:
        made.scorer_ = _scorers(made.estimator, made.scoring)
    return made


def _scorers(estimator: Any, scoring: Any) -> Any:
    """What a search has made of its parameter."""
    if scoring is None or isinstance(scoring, str | TaskScorer):
        return check_scoring(estimator, scoring)
    named = scoring.items() if isinstance(scoring, dict) else ((s, s) for s in scoring)
    return {name: check_scoring(estimator, one) for name, one in named}


def _given(callback: Any) -> dict[str, Any]:
    """The parameters of a callback of skorch that are not its defaults."""
    defaults = inspect.signature(type(callback)).parameters
    given: dict[str, Any] = callback.get_params(deep=False)
    return {
        name: value
        for name, value in given.items()
        if name not in defaults or value is not defaults[name].default
    }


def _callback(cls: Any, given: dict[str, Any]) -> Any:
    policy = given.get("policy", "StepLR")
    if policy not in _POLICIES and policy not in _POLICIES.values():
        raise ModelFileError(f"The manifest names the schedule {policy!r}.")
    return cls(**given)


def _requests(routed: MetadataRequest) -> dict[str, Any]:
    """What was requested of each method, by `set_fit_request` and the like."""
    methods = {name: one for name, one in vars(routed).items() if name != "owner"}
    return {name: dict(one.requests) for name, one in methods.items() if one.requests}


def _request_of(state: dict[str, Any]) -> MetadataRequest:
    routed = MetadataRequest(owner="estimator")
    for method, requests in state.items():
        for name, alias in requests.items():
            getattr(routed, method).add_request(param=name, alias=alias)
    return routed


def _distribution(name: str, args: Any, kwds: Any) -> Any:
    """A distribution of SciPy, such as searches draw from."""
    found = getattr(scipy.stats, name, None)
    if not isinstance(found, scipy.stats.rv_continuous | scipy.stats.rv_discrete):
        raise ModelFileError(f"The manifest names the distribution {name!r}.")
    return found(*args, **kwds)


# ------------------------------------------------------------------- scikit-learn


def _skops() -> Any:
    try:
        import skops.io
    except ImportError:
        raise ImportError(
            "Estimators of scikit-learn are stored by skops. Install it, as by "
            "pip install dephn-sk[file]."
        ) from None
    return skops.io


def _skops_bytes(estimator: Any) -> NDArray[np.uint8]:
    """An estimator of scikit-learn, if skops trusts all that it holds."""
    io_of = _skops()
    content = io_of.dumps(estimator)
    unknown = {*io_of.get_untrusted_types(data=content)} - {*TRUSTED_TYPES}
    if unknown:
        reason = f"of which skops does not trust {sorted(unknown)}"
        raise CannotStoreError(estimator, (), reason)
    return np.frombuffer(content, dtype=np.uint8)


def _from_skops(content: Any) -> Any:
    if type(content) is not np.ndarray or content.dtype != np.uint8:
        raise ModelFileError("The manifest holds no file of skops.")
    data = content.tobytes()
    _check_members(data)
    return _skops().loads(data, trusted=TRUSTED_TYPES)


def _check_members(data: bytes) -> None:
    """Refuse members that would take more memory than the file has bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = file.infolist()
        if sum(member.file_size for member in members) > len(data):
            raise ModelFileError("A file of skops within is larger than it is.")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise ModelFileError("A file of skops within is compressed.")
            if member.filename.endswith(".npy"):
                _check_array(file.read(member))


def _check_array(content: bytes) -> None:
    stream = io.BytesIO(content)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = readers[np.lib.format.read_magic(stream)](stream)
    n_numbers = 1
    for length in shape:
        n_numbers *= int(length)
    if not holds(dtype) or n_numbers * dtype.itemsize != len(content) - stream.tell():
        raise ModelFileError(f"A file of skops within holds no {dtype} of {shape}.")


# ------------------------------------------------------------------- for skops


def to_plain(estimator: Any) -> dict[str, Any]:
    """An estimator of ours as the text of JSON, and arrays by name."""
    tree, arrays = flatten(_own_state(estimator), Objects().to_state)
    return {"tree": json.dumps(tree), "arrays": arrays}


def from_plain(state: Mapping[str, Any], cls: Any) -> Any:
    """The estimator of `to_plain`, or a ModelFileError."""
    if type(state) is not dict or state.keys() != {"tree", "arrays"}:
        raise ModelFileError(f"A {cls.__name__} is not made of such a state.")
    try:
        arrays = dict(state["arrays"])
        for name, array in arrays.items():
            if type(array) is not np.ndarray or not holds(array.dtype):
                raise ModelFileError(f"{name} is no array that a file may hold.")
            check_values(name, array)
        objects = Objects()
        own = restore(json.loads(state["tree"]), arrays, objects.from_state)
        return objects.from_state(f"dephn_sk.{cls.__name__}", own)
    except (ModelFileError, ImportError):
        raise
    except Exception as error:
        raise ModelFileError(f"{cls.__name__}: {error}") from error
