"""The only place that imports names scikit-learn keeps private."""

from functools import partial

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
    _check_sample_weight,
    _num_samples,
    validate_data,
)

# what is passed on to other functions of ours has been checked already
validate_params = partial(_validate_params, prefer_skip_nested_validation=True)

__all__ = [
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "_BaseKFold",
    "_UnsupportedGroupCVMixin",
    "_check_feature_names_in",
    "_check_sample_weight",
    "_fit_context",
    "_get_output_config",
    "_num_samples",
    "_safe_indexing",
    "_validate_shuffle_split",
    "validate_data",
    "validate_parameter_constraints",
    "validate_params",
]
