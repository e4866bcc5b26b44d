"""What depends on versions: names that scikit-learn keeps private, and pickles."""

import warnings
from functools import partial
from typing import Any

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
    validate_data,
)

# what is passed on to other functions of ours has been checked already
validate_params = partial(_validate_params, prefer_skip_nested_validation=True)


class BaseEstimator(base.BaseEstimator):
    """scikit-learn's; its pickle says by which version of this library it was made."""

    def __getstate__(self) -> dict[str, Any]:
        from . import __version__

        return {**super().__getstate__(), "_dephn_sk_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from . import __version__

        written_by = state.pop("_dephn_sk_version", "before 0.1.0")
        if written_by != __version__:
            warnings.warn(
                f"This {type(self).__name__} was pickled by dephn_sk {written_by} and "
                f"is read by {__version__}: it may fail, or predict otherwise. Fit it "
                "anew, or read it with the version that wrote it.",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
