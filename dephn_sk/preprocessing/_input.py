"""What comes into FieldEncoder, checked: tables, weights, parameters by column."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from dephn_sk._compat import (
    _check_feature_names_in,
    validate_data,
    validate_parameter_constraints,
)
from dephn_sk.logs import check_no_path
from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._frames import (
    column_names,
    library,
    names_only,
    read_columns,
    select,
)
from dephn_sk.tasks import check_sample_weight

from .._compat import warn


def read_table(encoder: BaseEstimator, X: Any, reset: bool) -> list[Column]:
    """The table's columns, checked against those of the first `fit`."""
    check_no_path("X", X)
    if library(X) == "numpy":
        if isinstance(X, list):  # keep numbers beside text as numbers
            X = np.array(X, dtype=object)
        X = validate_data(
            encoder,
            X,
            reset=reset,
            dtype=None,
            ensure_all_finite=False,
            accept_sparse="csc",
        )
    else:
        names = column_names(X)
        if not reset and names is not None:
            X, names = _aligned(encoder, X, names)
        if reset or names is None or names != _names_in(encoder):
            validate_data(encoder, names_only(X), reset=reset, skip_check_array=True)
        if 0 in X.shape:
            raise ValueError(
                f"X holds {X.shape[0]} sample(s) and {X.shape[1]} feature(s) "
                f"(shape={X.shape}); at least one of each is needed."
            )
    return read_columns(X, list(_check_feature_names_in(encoder)))


def _names_in(encoder: BaseEstimator) -> list[str] | None:
    names = getattr(encoder, "feature_names_in_", None)
    return None if names is None else names.tolist()


def _aligned(encoder: BaseEstimator, X: Any, names: list[str]) -> tuple[Any, list[str]]:
    """The frame with the columns of `fit`, as far as the parameters allow."""
    expected = _names_in(encoder)
    if expected is None or names == expected:
        return X, names
    extra = [name for name in names if name not in expected]
    if set(expected) - set(names) or (extra and encoder.extra_columns == "error"):
        return X, names  # scikit-learn's own check names them
    if extra and encoder.extra_columns == "warn":
        warn(
            f"X has columns that were not there in fit, they are ignored: {extra}.",
        )
    if encoder.column_order == "strict":
        expected = [name for name in names if name in expected]
    return select(X, expected), expected


def checked_weight(sample_weight: ArrayLike | None, n_rows: int) -> NDArray | None:
    """The rows' weights; None if all of them are 1."""
    weights = check_sample_weight(sample_weight, n_rows)
    if weights is None:
        return None
    if weights.shape[1] != 1:
        raise ValueError(
            f"sample_weight has the shape {weights.shape}; it must be ({n_rows},)."
        )
    return None if np.all(weights == 1) else weights[:, 0]


def check_by_column(encoder: BaseEstimator) -> None:
    """Check each value of the parameters that are given by column."""
    inner = {"delimiters": [str], "bag_weights": [str, Integral]}
    for parameter, constraints in encoder._parameter_constraints.items():
        setting = getattr(encoder, parameter)
        if isinstance(setting, dict) and isinstance(constraints, list):
            allowed = [one for one in constraints if one not in (dict, None)]
            named = {f"{parameter}[{key!r}]": one for key, one in setting.items()}
            validate_parameter_constraints(
                dict.fromkeys(named, inner.get(parameter, allowed)),
                named,
                type(encoder).__name__,
            )
