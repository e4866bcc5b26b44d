"""Where to look for better hyper-parameters than the defaults."""

from __future__ import annotations

from typing import Any

from scipy.stats import loguniform, uniform

# name: values to choose from, or a distribution
_SPACE = {
    "learning_rate": loguniform(5e-4, 5e-3),
    "batch_size": ["auto", 256, 1024],
    "embedding_dim": [4, 8, 16],
    "embedding_dropout": uniform(0.0, 0.5),
    "dropout": uniform(0.0, 0.4),
    "unseen_rate": [0.0, 0.02, 0.05],
    "weight_decay": loguniform(1e-6, 1e-2),
    "numeric_embedding": ["auto", "linear", "bins+piecewise-linear"],
    "public_experts": [("dnn",), ("dnn",) * 3, ("dnn",) * 6],
    "private_experts": [(), ("cross",), ("cross", "field")],
    "expert_hidden": [(32,), (64, 32), (128, 64)],
    "tower_hidden": [(), (32,)],
}


def search_space(prefix: str = "") -> dict[str, Any]:
    """Distributions of DEPHN's hyper-parameters that are worth a search.

    They hold the defaults. Ten to fifty draws are a sensible search; what is not in
    here made no difference on the logs that the defaults were chosen on.

    Parameters
    ----------
    prefix : str, default=""
        Put before each name, such as ``"model__"`` for a step of a Pipeline.

    Returns
    -------
    dict from str to list or scipy.stats distribution
        As ``param_distributions`` of RandomizedSearchCV and its relatives.

    See Also
    --------
    suggest_parameters : The same space for Optuna.

    Examples
    --------
    >>> from sklearn.model_selection import ParameterSampler
    >>> from dephn_sk import DEPHNMultiTaskClassifier, search_space
    >>> (drawn,) = ParameterSampler(search_space(), n_iter=1, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(**drawn)
    """
    return {f"{prefix}{name}": values for name, values in _SPACE.items()}


def suggest_parameters(trial: Any, prefix: str = "") -> dict[str, Any]:
    """Draw the parameters of :func:`search_space` from a trial of Optuna.

    Parameters
    ----------
    trial : optuna.trial.Trial
        Or whatever has its ``suggest_float`` and ``suggest_categorical``.
    prefix : str, default=""
        Put before each name in the result.

    Returns
    -------
    dict
        Parameters of :class:`DEPHNMultiTaskClassifier`.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier, suggest_parameters
    >>> def objective(trial, X, y, X_val, y_val):
    ...     model = DEPHNMultiTaskClassifier(**suggest_parameters(trial))
    ...     return model.fit(X, y, X_val=X_val, y_val=y_val).score(X_val, y_val)
    """
    chosen = {}
    for name, values in _SPACE.items():
        if isinstance(values, list):
            # Optuna keeps numbers and strings alone
            by_label = {str(value): value for value in values}
            label = trial.suggest_categorical(name, list(by_label))
            chosen[f"{prefix}{name}"] = by_label[label]
        else:
            low, high = values.support()
            log = values.dist.name == "loguniform"
            chosen[f"{prefix}{name}"] = trial.suggest_float(name, low, high, log=log)
    return chosen
