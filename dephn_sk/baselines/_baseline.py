"""What the estimators of this package share: parameters, their documentation."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any

from .._base import MultiTaskClassifier

# What the names in braces stand for in the estimators' docstrings.
DOCUMENTATION = {
    "{embedding}": """\
embedding_dim : int, default=8
    Width of a field's vector.
numeric_embedding : str, default="linear"
    How a number becomes a vector: ``"linear"``, ``"bins"`` (a row for each quantile
    bin), ``"piecewise-linear"``, ``"periodic"``, or some of them, joined by ``"+"`` as
    one vector, their sum, or by ``"|"`` as a vector each. See
    :class:`~dephn_sk.nn.NumericEmbedding`. ``"auto"`` is the sum of the first three
    with `n_bins` bins for discrete columns, nine in ten of whose rows hold frequent
    values; other columns have one bin, which is linear, too. ``"scalar"`` leaves it a
    number, for networks that read a flat row: DNN, DCN, Shared-Bottom, MMoE, PLE and
    SNR.
n_bins : int, default=256
    Quantile bins of a numeric column.
embedding_dropout : float in [0, 1), default=0.3
    Dropout of the fields' entries.
unseen_rate : float in [0, 1), default=0.02
    Probability with which a categorical value is taken for an unseen one while
    training, so that the vector of unseen values is trained.""",
    "{hidden}": """\
hidden : tuple of int, default=(64, 32)
    Widths of the feed-forward layers. The last one is repeated where `n_layers` asks
    for more layers.""",
    "{expert_hidden}": """\
expert_hidden : tuple of int, default=(64, 32)
    Widths of an expert's layers. The last one is repeated where `n_layers` asks for
    more layers.""",
    "{tower_hidden}": """\
tower_hidden : tuple of int, default=(32,)
    Widths of the towers' hidden layers; ``()`` is a linear tower.""",
    "{training}": """\
dropout : float in [0, 1), default=0.2
    Dropout after each hidden activation.
task_weights : "uncertainty", dict, array-like of shape (n_tasks,) or None, \
default=None
    Weights of the tasks' losses, by name or in order; ``"uncertainty"`` learns them.
    None weighs all tasks alike.
class_weight : dict, "balanced", list or None, default=None
    For a 1-D y as in scikit-learn. For several tasks, ``"balanced"``, a dict from
    task name, or a list, of such entries.
max_epochs : int, default=20
    Passes over the training data, at most.
batch_size : int or "auto", default="auto"
    Rows in an optimization step. ``"auto"`` is 1024; where training stops early,
    the power of two below a 64th of the rows, from 256 to 1024.
learning_rate : float, default=2e-3
    Of AdamW.
weight_decay : float, default=1e-5
    Decoupled weight decay of AdamW.
weight_averaging : float in [0, 1), default=0.999
    Decay of the moving average of the weights over the steps, which validates and is
    what remains; 0 keeps the last weights.
early_stopping : bool or "auto", default="auto"
    Whether to stop when the loss on rows set aside no longer falls, and to keep the
    weights of the best epoch, of all tasks alike. ``"auto"``: with more than 2,000
    rows.
monitor : {"loss", "score"} or (one of them, task name), default="loss"
    What early stopping watches: the loss that is trained on or the mean over tasks of
    ROC AUC (accuracy of a multi-class task), or that of one task.
validation_fraction : float in (0, 1), default=0.1
    Share of rows set aside for early stopping.
n_epochs_no_change : int, default=3
    Epochs without improvement after which training stops.
warm_start : bool, default=False
    Whether `fit` goes on from an earlier fit, with its vocabularies, tasks and state of
    the optimizer, for `max_epochs` more.
callbacks : list of skorch callbacks or of (name, callback), default=None
    They are copied. A callback that cannot be copied is given as a class or a function
    that makes it. Those with a name have their parameters searched as
    ``callbacks__name__parameter``.
device : str, default="auto"
    ``"auto"`` is CUDA where there is a device, otherwise the CPU; or a torch device.
dtype : {"float32", "float64"}, default="float32"
    Of parameters and arithmetic.
precision : {"full", "tf32", "bf16"}, default="full"
    Of matrix products under ``dtype="float32"``, while fitting and predicting.
    ``"tf32"`` rounds what is multiplied to TensorFloat-32, on CUDA devices that have
    it; elsewhere it does nothing. ``"bf16"`` runs the network under torch's autocast
    to bfloat16, on any device; parameters, optimizer and loss remain float32.
n_threads : int or None, default=None
    Threads of torch while fitting and predicting; None leaves torch's setting, which
    joblib's loky workers set to one. Give 1 where several processes or threads fit at
    once: more threads than cores are far slower than one.
random_state : int, RandomState instance or None, default=None
    Seed of initial values, shuffling, dropout and the validation split. The same seed
    gives the same bytes; global generators are neither read nor moved.
verbose : int, default=0
    Print a line for each epoch.
categorical_features : "from_dtype", array-like or None, default="from_dtype"
    Which columns are categorical. ``"from_dtype"``: strings, objects, categories and
    booleans of a data frame, and columns of an object array that are no numbers; or a
    boolean mask, indices or column names; None: none.
encoder : FieldEncoder or None, default=None
    How columns become fields: an unfitted encoder with settings of its own, such as
    frequency limits or target statistics, which is copied and fitted within `fit`,
    cross-fitting included. None: a FieldEncoder with its defaults.""",
    "{attributes}": """\
classes_ : ndarray of shape (n_classes,) or (n_tasks, 2), or list of ndarray
    Classes of a 1-D y; of several binary tasks; of several tasks some of which are
    multi-class.
task_names_ : tuple of str
    Names of the columns of y, or ``"task0"``, ``"task1"``, ...
task_rates_ : tuple of float or None
    Rate of each binary task's second class among its observed labels, weighted as in
    training; None for a multi-class task.
encoder_ : FieldEncoder
    Encoder fitted on X.
net_ : skorch.NeuralNet
    The trained net; ``net_.module_`` is the network and ``net_.history`` the record of
    its training.
history_ : DataFrame or dict
    Losses and scores of each epoch.
n_iter_ : int
    Number of epochs that were run.
n_features_in_ : int
    Number of columns of X.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the columns of X, where it has names.""",
}


class BaselineClassifier(MultiTaskClassifier):
    """Base of the systems that DEPHN is compared with.

    A subclass's docstring may name parts of the common documentation in braces, such
    as ``{training}``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__doc__:
            text = inspect.cleandoc(cls.__doc__)
            for name, part in DOCUMENTATION.items():
                text = text.replace(name, part)
            cls.__doc__ = text

    def _net_options(self) -> dict[str, Any]:
        return {"gate_optimizer": "adam"}  # one optimizer for all that is trained

    def _store(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of `__init__`, each as it is and under its own name."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    def _check_choices(self) -> None:
        super()._check_choices()
        for parameter in ("hidden", "expert_hidden", "tower_hidden"):
            widths = getattr(self, parameter, None)
            if widths is None:
                continue
            if not len(widths) and parameter != "tower_hidden":
                raise ValueError(f"{parameter} is empty; give at least one width.")
            for width in widths:
                if not isinstance(width, Integral) or width < 1:
                    raise ValueError(
                        f"{parameter} must hold integers >= 1, got {width!r}."
                    )
