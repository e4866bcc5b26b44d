"""DEPHNMultiTaskClassifier: from parameters to the network of the paper."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from ._base import MultiTaskClassifier
from ._compat import Interval, StrOptions
from ._suggest import check_names
from .nn import DEPHN, FieldEmbedding
from .nn._dephn import EXPERTS, GATES
from .nn._mapping import MAPPINGS
from .nn._virtual_gradient import COEFFICIENTS, REDUCTIONS, SIMILARITIES


class DEPHNMultiTaskClassifier(MultiTaskClassifier):
    """Click, like, comment, buy: every behavior from one network, DEPHN.

    The Different Expression Parallel Heterogeneous Network of Kong et al. [1]_ for one
    or more classification tasks on tables of categorical and numeric columns. Public
    experts are shared by the tasks and private ones are each task's own; trainable
    gates weigh the public experts for each task, and the virtual gradient adapts how
    fast the gates learn to the similarity of the tasks' labels.

    The defaults are those parts of the network that paid on validation data of several
    logs; :meth:`paper_configuration` is the network with nothing left out.

    Parameters
    ----------
    embedding_dim : int, default=8
        Width of a field's vector.
    numeric_embedding : str, default="auto"
        How a number becomes a vector: ``"linear"``, ``"bins"`` (a row for each quantile
        bin), ``"piecewise-linear"``, ``"periodic"``, or some of them, joined by ``"+"``
        as one vector, their sum, or by ``"|"`` as a vector each. See
        :class:`~dephn_sk.nn.NumericEmbedding`. ``"auto"`` is the sum of
        the first three with `n_bins` bins for discrete columns, nine in ten of whose
        rows hold frequent values; other columns have one bin, which is linear, too.
    n_bins : int, default=256
        Quantile bins of a numeric column.
    embedding_dropout : float in [0, 1), default=0.3
        Dropout of the fields' entries.
    unseen_rate : float in [0, 1), default=0.02
        Probability with which a categorical value is taken for an unseen one while
        training, so that the vector of unseen values is trained.
    public_experts : tuple of {"dnn", "cross", "field"}, default=("dnn", "dnn", "dnn")
        Experts shared by all tasks.
    private_experts : tuple of {"dnn", "cross", "field"}, default=()
        Experts of each task, in the paper ``("cross", "field")``. Its table I compares
        that with ``public_experts=("dnn", "cross", "field"), private_experts=()`` and
        with ``public_experts=("cross", "field"), private_experts=("dnn",)``.
    expert_hidden : tuple of int, default=(64, 32)
        Widths of a DNN expert's layers; the last is the common width of the public
        experts. It is repeated where `n_layers` asks for more layers.
    n_layers : int, default=1
        Layers of each structure; the paper has three.
    cross_rank : int or None, default=16
        Rank of the cross experts' matrices; None is full, as in the paper.
    residual : bool, default=True
        Whether DNN and cross layers have trainable residual links.
    selection : {"soft", "soft-private-attention", "attention"} or None, default=None
        What the experts read: a trainable mixture of raw and attended fields, with one
        attention, as in the paper, or one for each structure; the attended fields; or,
        with None, the raw ones.
    n_heads : int, default=1
        Heads of the attention; must divide `embedding_dim`.
    mappings : tuple of str or callable, default=("raw", "sin")
        Fixed functions of the public experts' outputs: ``"raw"`` (identity), ``"sin"``,
        ``"cos"``, ``"square"``, ``"tanh"``, or an elementwise function of a tensor.
    gate : {"trainable", "mapped"}, default="trainable"
        Gates that are parameters, or a softmax of a linear map of the input, as in
        MMoE.
    virtual_gradient : str, callable or None, default="additive-sqrt"
        The coefficient by which a gate's gradient is multiplied, as a function of label
        similarity and gate difference: ``"multiplicative-"`` or ``"additive-"``
        followed by ``"cos"``, ``"abs"``, ``"square"`` or ``"sqrt"``, or a callable
        ``(similarity, difference) -> coefficient`` on tensors. None leaves the gradient
        alone.
    label_similarity : {"pearson", "cosine"}, default="pearson"
        Similarity of the labels of two binary tasks in a batch; pairs with a
        multi-class task are compared by Cramér's V.
    coefficient_reduction : {"product", "mean"}, default="product"
        Over the other tasks.
    gate_optimizer : {"sgd", "adam"}, default="sgd"
        ``"sgd"`` moves the gates by `gate_learning_rate` times their gradient;
        ``"adam"`` treats them as all other parameters, which takes most of the effect
        from the virtual gradient, since Adam divides a gradient by its own scale.
    gate_learning_rate : float, default=0.1
        Of the gates under ``gate_optimizer="sgd"``.
    tower_hidden : tuple of int, default=(32,)
        Widths of the towers' hidden layers; ``()`` is a linear tower, as in the paper.
    dropout : float in [0, 1), default=0.2
        Dropout in DNN experts and towers.
    task_weights : "uncertainty", dict, array-like of shape (n_tasks,) or None, \
default=None
        Weights of the tasks' losses, by name or in order; ``"uncertainty"`` learns them
        [3]_. None weighs all tasks alike.
    class_weight : dict, "balanced", list or None, default=None
        For a 1-D y as in scikit-learn. For several tasks, ``"balanced"``, a dict from
        task name, or a list, of such entries.
    max_epochs : int, default=20
        Passes over the training data, at most.
    batch_size : int or "auto", default="auto"
        Rows in an optimization step. ``"auto"`` is 1024; where training stops
        early, the power of two below a 64th of the rows, from 256 to 1024.
    learning_rate : float, default=2e-3
        Of AdamW.
    weight_decay : float, default=1e-5
        Decoupled weight decay of AdamW.
    weight_averaging : float in [0, 1), default=0.999
        Decay of the moving average of the weights over the steps, which validates and
        is what remains; 0 keeps the last weights.
    early_stopping : bool or "auto", default="auto"
        Whether to stop when the loss on rows set aside no longer falls, and to keep the
        weights of the best epoch. ``"auto"``: with more than 2,000 rows.
    monitor : {"loss", "score"} or (one of them, task name), default="loss"
        What early stopping watches: the loss that is trained on or the mean over tasks
        of ROC AUC (accuracy of a multi-class task), or that of one task.
    validation_fraction : float in (0, 1), default=0.1
        Share of rows set aside for early stopping.
    n_epochs_no_change : int, default=3
        Epochs without improvement after which training stops.
    warm_start : bool, default=False
        Whether `fit` goes on from an earlier fit, with its vocabularies, tasks and
        state of the optimizer, for `max_epochs` more.
    callbacks : list of skorch callbacks or of (name, callback), default=None
        They are copied. A callback that cannot be copied is given as a class or a
        function that makes it. Those with a name have their parameters searched as
        ``callbacks__name__parameter``.
    device : str, default="auto"
        ``"auto"`` is CUDA where there is a device, otherwise the CPU; or a torch
        device.
    dtype : {"float32", "float64"}, default="float32"
        Of parameters and arithmetic.
    precision : {"full", "tf32", "bf16"}, default="full"
        Of matrix products under ``dtype="float32"``, while fitting and predicting.
        ``"tf32"`` rounds what is multiplied to TensorFloat-32, on CUDA devices that
        have it; elsewhere it does nothing. ``"bf16"`` runs the network under torch's
        autocast to bfloat16, on any device; parameters, optimizer and loss remain
        float32.
    n_threads : int or None, default=None
        Threads of torch while fitting and predicting; None leaves torch's setting,
        which joblib's loky workers set to one. Give 1 where several processes or
        threads fit at once: more threads than cores are far slower than one.
    random_state : int, RandomState instance or None, default=None
        Seed of initial values, shuffling, dropout and the validation split. The same
        seed gives the same bytes; global generators are neither read nor moved.
    verbose : int, default=0
        Print a line for each epoch.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns are categorical. ``"from_dtype"``: strings, objects, categories
        and booleans of a data frame, and columns of an object array that are no
        numbers; or a boolean mask, indices or column names; None: none.
    encoder : FieldEncoder or None, default=None
        How columns become fields: an unfitted encoder with settings of its own, such as
        frequency limits or target statistics, which is copied and fitted within `fit`,
        cross-fitting included. None: a FieldEncoder with its defaults.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or (n_tasks, 2), or list of ndarray
        Classes of a 1-D y; of several binary tasks; of several tasks some of which are
        multi-class.
    task_names_ : tuple of str
        Names of the columns of y, or ``"task0"``, ``"task1"``, ...
    task_rates_ : tuple of float or None
        Rate of each binary task's second class among its observed labels, weighted as
        in training; None for a multi-class task.
    encoder_ : FieldEncoder
        Encoder fitted on X.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the :class:`~dephn_sk.nn.DEPHN` network and
        ``net_.history`` the record of its training.
    gate_values_ : ndarray of shape (n_tasks, n_branches)
        Values of trainable gates.
    gate_history_ : ndarray of shape (n_epochs, n_tasks, n_branches)
        Those values after each epoch.
    selection_gates_ : ndarray of shape (n_structures, n_fields, embedding_dim)
        Gates of the soft selection.
    branch_names_ : list of str
        Name of each branch, an expert under a mapping, such as ``"dnn0 sin"``.
    history_ : DataFrame or dict
        Losses and scores of each epoch.
    n_iter_ : int
        Number of epochs that were run.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, where it has names.

    References
    ----------
    .. [1] Kong, Su, Zhao, Hou, "DEPHN: Different Expression Parallel Heterogeneous
       Network using virtual gradient optimization for Multi-task Learning", IJCNN 2023.
    .. [2] Su et al., "PHN: Parallel heterogeneous network with soft gating for CTR
       prediction", CICAI 2022.
    .. [3] Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses
       for Scene Geometry and Semantics", CVPR 2018.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(2000, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=2, random_state=0)
    >>> model.fit(log.data, log.target).predict_proba(log.data).shape
    (2000, 3)
    >>> model.task_names_
    ('click', 'like', 'purchase')
    """

    _parameter_constraints: dict = {
        **MultiTaskClassifier._parameter_constraints,
        "public_experts": ["array-like"],
        "private_experts": ["array-like"],
        "expert_hidden": ["array-like"],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "cross_rank": [Interval(Integral, 1, None, closed="left"), None],
        "residual": ["boolean"],
        "selection": [
            StrOptions({"soft", "soft-private-attention", "attention"}),
            None,
        ],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "mappings": ["array-like"],
        "gate": [StrOptions(set(GATES))],
        "virtual_gradient": [StrOptions(set(COEFFICIENTS)), callable, None],
        "label_similarity": [StrOptions(set(SIMILARITIES))],
        "coefficient_reduction": [StrOptions(set(REDUCTIONS))],
        "gate_optimizer": [StrOptions({"sgd", "adam"})],
        "gate_learning_rate": [Interval(Real, 0, None, closed="left")],
        "tower_hidden": ["array-like"],
    }

    def __init__(
        self,
        *,
        embedding_dim=8,
        numeric_embedding="auto",
        n_bins=256,
        embedding_dropout=0.3,
        unseen_rate=0.02,
        public_experts=("dnn",) * 3,
        private_experts=(),
        expert_hidden=(64, 32),
        n_layers=1,
        cross_rank=16,
        residual=True,
        selection=None,
        n_heads=1,
        mappings=("raw", "sin"),
        gate="trainable",
        virtual_gradient="additive-sqrt",
        label_similarity="pearson",
        coefficient_reduction="product",
        gate_optimizer="sgd",
        gate_learning_rate=0.1,
        tower_hidden=(32,),
        dropout=0.2,
        task_weights=None,
        class_weight=None,
        max_epochs=20,
        batch_size="auto",
        learning_rate=2e-3,
        weight_decay=1e-5,
        weight_averaging=0.999,
        early_stopping="auto",
        monitor="loss",
        validation_fraction=0.1,
        n_epochs_no_change=3,
        warm_start=False,
        callbacks=None,
        device="auto",
        dtype="float32",
        precision="full",
        n_threads=None,
        random_state=None,
        verbose=0,
        categorical_features="from_dtype",
        encoder=None,
    ):
        self.embedding_dim = embedding_dim
        self.numeric_embedding = numeric_embedding
        self.n_bins = n_bins
        self.embedding_dropout = embedding_dropout
        self.unseen_rate = unseen_rate
        self.public_experts = public_experts
        self.private_experts = private_experts
        self.expert_hidden = expert_hidden
        self.n_layers = n_layers
        self.cross_rank = cross_rank
        self.residual = residual
        self.selection = selection
        self.n_heads = n_heads
        self.mappings = mappings
        self.gate = gate
        self.virtual_gradient = virtual_gradient
        self.label_similarity = label_similarity
        self.coefficient_reduction = coefficient_reduction
        self.gate_optimizer = gate_optimizer
        self.gate_learning_rate = gate_learning_rate
        self.tower_hidden = tower_hidden
        self.dropout = dropout
        self.task_weights = task_weights
        self.class_weight = class_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.weight_averaging = weight_averaging
        self.early_stopping = early_stopping
        self.monitor = monitor
        self.validation_fraction = validation_fraction
        self.n_epochs_no_change = n_epochs_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.dtype = dtype
        self.precision = precision
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose
        self.categorical_features = categorical_features
        self.encoder = encoder

    @classmethod
    def paper_configuration(cls, **changes: Any) -> DEPHNMultiTaskClassifier:
        """The network of the paper with nothing left out.

        Embedding 16, three public DNN experts (128, 64), private cross and field
        experts, three layers everywhere, full-rank cross, soft selection with two
        heads, raw and sin, trainable gates, additive square root with Pearson and the
        product, linear towers, no dropout. The paper gives no sizes: these are our
        reading.

        Parameters
        ----------
        **changes : dict
            Parameters that shall differ.

        Returns
        -------
        DEPHNMultiTaskClassifier

        Examples
        --------
        >>> DEPHNMultiTaskClassifier.paper_configuration().tower_hidden
        ()
        """
        paper = {
            "embedding_dim": 16,
            "numeric_embedding": "bins+piecewise-linear",
            "n_bins": 64,
            "unseen_rate": 0.0,
            "public_experts": ("dnn",) * 3,
            "private_experts": ("cross", "field"),
            "expert_hidden": (128, 64),
            "n_layers": 3,
            "cross_rank": None,
            "residual": True,
            "selection": "soft",
            "n_heads": 2,
            "mappings": ("raw", "sin"),
            "gate": "trainable",
            "virtual_gradient": "additive-sqrt",
            "label_similarity": "pearson",
            "coefficient_reduction": "product",
            "gate_optimizer": "sgd",
            "tower_hidden": (),
            "embedding_dropout": 0.0,
            "dropout": 0.0,
            "batch_size": 1024,
            "learning_rate": 1e-3,
            "weight_averaging": 0.0,
        }
        return cls(**{**paper, **changes})

    def _build_network(
        self,
        embedding: FieldEmbedding,
        n_outputs: list[int],
        generator: torch.Generator,
    ) -> DEPHN:
        return DEPHN(
            embedding,
            n_outputs,
            public_experts=self.public_experts,
            private_experts=self.private_experts,
            expert_hidden=self.expert_hidden,
            n_layers=self.n_layers,
            cross_rank=self.cross_rank,
            residual=self.residual,
            selection=self.selection,
            n_heads=self.n_heads,
            mappings=self.mappings,
            gate=self.gate,
            virtual_gradient=self.virtual_gradient,
            coefficient_reduction=self.coefficient_reduction,
            tower_hidden=self.tower_hidden,
            dropout=self.dropout,
            generator=generator,
        )

    def _check_choices(self) -> None:
        super()._check_choices()
        for parameter in ("public_experts", "private_experts"):
            check_names(parameter, getattr(self, parameter), EXPERTS)
        if not len(self.public_experts) + len(self.private_experts):
            raise ValueError(
                "public_experts and private_experts are both empty; name at least one "
                f"expert out of {EXPERTS}."
            )
        for mapping in filter(callable, self.mappings):
            _check_callable("mappings", mapping, torch.full((2, 3), 0.5))
        if callable(self.virtual_gradient):
            values = torch.full((2, 2, 3), 0.5)
            _check_callable("virtual_gradient", self.virtual_gradient, values, values)
        named = [m for m in self.mappings if not callable(m)]
        check_names("mappings", named, MAPPINGS)
        if not len(self.mappings):
            raise ValueError("mappings is empty; ('raw',) maps nothing.")
        if not len(self.expert_hidden):
            raise ValueError("expert_hidden is empty; give at least one width.")
        for parameter in ("expert_hidden", "tower_hidden"):
            for width in getattr(self, parameter):
                if not isinstance(width, Integral) or width < 1:
                    raise ValueError(
                        f"{parameter} must hold integers >= 1, got {width!r}."
                    )
        if self.selection is not None and self.embedding_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} does not divide "
                f"embedding_dim={self.embedding_dim}."
            )

    def _net_options(self) -> dict[str, Any]:
        return {
            "similarity": (
                None if self.virtual_gradient is None else self.label_similarity
            ),
            "gate_optimizer": self.gate_optimizer,
            "gate_learning_rate": self.gate_learning_rate,
        }

    @property
    def gate_values_(self) -> NDArray:
        """Values of trainable gates, (n_tasks, n_branches)."""
        check_is_fitted(self)
        if self.gate != "trainable":
            raise AttributeError("gate_values_ exist for gate='trainable' alone.")
        return self.net_.module_.gates.values.detach().cpu().numpy().copy()

    @property
    def gate_history_(self) -> NDArray:
        """Trainable gates after each epoch, (n_epochs, n_tasks, n_branches)."""
        check_is_fitted(self)
        if self.gate != "trainable":
            raise AttributeError("gate_history_ exists for gate='trainable' alone.")
        return np.array(self.net_.history[:, "gates"])

    @property
    def selection_gates_(self) -> NDArray:
        """Gates of soft selection, (n_structures, n_fields, embedding_dim).

        The public experts' first, then those of each private structure, task by task.
        """
        check_is_fitted(self)
        gates = self.net_.module_.selection.gates
        if not len(gates):
            raise AttributeError(f"selection={self.selection!r} has no gates.")
        logits = [gate.logit.detach().cpu().numpy() for gate in gates]
        return expit(np.concatenate([z.reshape(-1, *z.shape[-2:]) for z in logits]))

    @property
    def branch_names_(self) -> list[str]:
        """Names of the branches: each public expert under each mapping."""
        check_is_fitted(self)
        network = self.net_.module_
        experts = [
            f"{kind}{i}"
            for kind, n in network.interaction.public_kinds.items()
            for i in range(n)
        ]
        return [f"{e} {m}" for e in experts for m in network.mapping.names]


def _check_callable(parameter: str, function: Any, *values: torch.Tensor) -> None:
    """Raise where a function of tensors does not give a tensor of their shape."""
    try:
        result = function(*values)
    except Exception as error:
        raise ValueError(
            f"{parameter} holds {function!r}, which fails on torch tensors: {error}"
        ) from error
    if not isinstance(result, torch.Tensor) or result.shape != values[0].shape:
        raise ValueError(
            f"{parameter} holds {function!r}, which must give a tensor of the shape "
            f"{tuple(values[0].shape)} of its input, but gave "
            f"{getattr(result, 'shape', result)!r}."
        )
