"""Estimators of DEPHN: from parameters to the network of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from ._compat import Interval, StrOptions
from ._estimator import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor
from ._parameters import changed, like, parameter
from ._suggest import check_names
from .nn import DEPHN, FieldEmbedding
from .nn._dephn import EXPERTS, GATES
from .nn._mapping import MAPPINGS
from .nn._virtual_gradient import COEFFICIENTS, REDUCTIONS, SIMILARITIES
from .training._parameters import AT_LEAST_ONE, WIDTHS, TrainingParameters


class DEPHNParameters(TrainingParameters):
    """The network of DEPHN: its parameters, and what is read of it once fitted.

    Parameters
    ----------
    public_experts : tuple of {"dnn", "cross", "field"}
        Experts shared by all tasks.
    private_experts : tuple of {"dnn", "cross", "field"}
        Experts of each task, in the paper ``("cross", "field")``. Its table I compares
        that with ``public_experts=("dnn", "cross", "field"), private_experts=()`` and
        with ``public_experts=("cross", "field"), private_experts=("dnn",)``.
    expert_hidden : tuple of int
        Widths of a DNN expert's layers; the last is the common width of the public
        experts. It is repeated where `n_layers` asks for more layers.
    n_layers : int
        Layers of each structure; the paper has three. A DNN expert has as many as
        `expert_hidden`, at least.
    cross_rank : int or None
        Rank of the matrices of cross experts; None is full, as in the paper.
    residual : bool
        Whether the layers of DNN and cross experts have trainable residual links; field
        experts always have.
    selection : {"soft", "soft-private-attention", "attention"} or None
        What the experts read: a trainable mixture of raw and attended fields, with one
        attention, as in the paper, or one for each structure; the attended fields; or,
        with None, the raw ones.
    n_heads : int
        Heads of the attention, where `selection` has one; must divide `embedding_dim`.
    mappings : tuple of str or callable
        Fixed functions of the public experts' outputs: ``"raw"`` (identity), ``"sin"``,
        ``"cos"``, ``"square"``, ``"tanh"``, or an elementwise function of a tensor.
    gate : {"trainable", "mapped"}
        Gates on the public experts that are parameters, or a softmax of a linear map of
        the input, as in MMoE. Without public experts there are none, and all that is
        said of gates has no effect.
    virtual_gradient : str, callable or None
        The coefficient by which a gate's gradient is multiplied, as a function of label
        similarity and gate difference: ``"multiplicative-"`` or ``"additive-"``
        followed by ``"cos"``, ``"abs"``, ``"square"`` or ``"sqrt"``, or a callable
        ``(similarity, difference) -> coefficient`` on tensors. Mapped gates are
        compared by their means over a batch. None leaves the gradient alone, and so
        does a single task: `label_similarity` and `coefficient_reduction` have no
        effect then.
    label_similarity : {"pearson", "cosine"}
        Similarity of the labels of two binary tasks in a batch; pairs with a multi-
        class task are compared by Cramér's V, numbers by Pearson's correlation, or the
        correlation ratio with the classes of a multi-class task.
    coefficient_reduction : {"mean", "product"}
        Of the coefficients over the other tasks. The product is the paper's, for few
        tasks: it reaches up to 2 to the power of their number. Two tasks know no
        difference.
    gate_optimizer : {"sgd", "adam"}
        ``"sgd"`` moves the gates by `gate_learning_rate` times their gradient;
        ``"adam"`` treats them as all other parameters, which takes most of the effect
        from the virtual gradient, since Adam divides a gradient by its own scale.
    gate_learning_rate : float
        Of the gates under ``gate_optimizer="sgd"``; ``"adam"`` takes `learning_rate`.
    tower_hidden : tuple of int
        Widths of the towers' hidden layers; ``()`` is a linear tower.
    {parameters}
    """

    network_: Any
    net_: Any

    numeric_embedding: str = changed("auto")
    public_experts: Sequence[str] = parameter(("dnn", "cross", "field"), ["array-like"])
    private_experts: Sequence[str] = parameter((), ["array-like"])
    expert_hidden: Sequence[int] = parameter((64, 32), WIDTHS)
    n_layers: int = parameter(1, AT_LEAST_ONE)
    cross_rank: int | None = parameter(
        16, [Interval(Integral, 1, None, closed="left"), None]
    )
    residual: bool = parameter(True, ["boolean"])
    selection: str | None = parameter(
        None, [StrOptions({"soft", "soft-private-attention", "attention"}), None]
    )
    n_heads: int = parameter(1, AT_LEAST_ONE)
    mappings: Sequence[Any] = parameter(("raw", "sin"), ["array-like"])
    gate: str = parameter("trainable", [StrOptions(set(GATES))])
    virtual_gradient: Any = parameter(
        "additive-sqrt", [StrOptions(set(COEFFICIENTS)), callable, None]
    )
    label_similarity: str = parameter("pearson", [StrOptions(set(SIMILARITIES))])
    coefficient_reduction: str = parameter("mean", [StrOptions(set(REDUCTIONS))])
    gate_optimizer: str = parameter("sgd", [StrOptions({"sgd", "adam"})])
    gate_learning_rate: float = parameter(0.1, [Interval(Real, 0, None, closed="left")])
    tower_hidden: Sequence[int] = parameter((32,), WIDTHS)

    @classmethod
    def paper_configuration(cls, **changes: Any) -> Self:
        """The network of the paper with nothing left out.

        Embedding 16, three public DNN experts (128, 64), private cross and field
        experts, three layers everywhere, full-rank cross, soft selection with two
        heads, raw and sin, trainable gates, additive square root with Pearson and the
        product, linear towers, no dropout, no statistics; sizes are our reading.

        Parameters
        ----------
        **changes : dict
            Parameters that shall differ.

        Returns
        -------
        object

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
            "target_statistics": None,
        }
        return cls(**{**paper, **changes})

    def build_network(
        self,
        embedding: FieldEmbedding,
        n_outputs: list[int],
        generator: torch.Generator,
    ) -> DEPHN:
        """Make the network to train, on the given embedding.

        Parameters
        ----------
        embedding : FieldEmbedding
            Turns fields into vectors.
        n_outputs : list of int
            Logits of each task.
        generator : torch.Generator
            For the initial values.

        Returns
        -------
        DEPHN
        """
        parameters = self._parameters_for(DEPHN)
        return DEPHN(embedding, n_outputs, generator=generator, **parameters)

    def check_parameters(self) -> None:
        super().check_parameters()
        for name in ("public_experts", "private_experts"):
            check_names(name, getattr(self, name), EXPERTS)
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
        check_heads(self)

    @property
    def gate_values_(self) -> NDArray:
        """Values of trainable gates, (n_tasks, n_branches)."""
        gates = self.network_.gates
        if gates is None:
            raise AttributeError("gate_values_ exist for gate='trainable' alone.")
        return gates.detach().cpu().numpy().copy()

    @property
    def gate_history_(self) -> NDArray:
        """Trainable gates after each epoch, (n_epochs, n_tasks, n_branches)."""
        if self.network_.gates is None:
            raise AttributeError("gate_history_ exists for gate='trainable' alone.")
        return np.array(self.net_.history[:, "gates"])

    @property
    def selection_gates_(self) -> NDArray:
        """Gates of soft selection, (n_structures, n_fields, embedding_dim).

        The public experts' first, then those of each private structure, task by task.
        """
        logits = self.network_.selection_logits
        if logits is None:
            raise AttributeError("selection_gates_ exist for a soft selection alone.")
        return expit(logits.detach().cpu().numpy())

    @property
    def branch_names_(self) -> list[str]:
        """Names of the branches: each public expert under each mapping."""
        return list(self.network_.branch_names)


_GATES = """
gate_values_ : ndarray of shape (n_tasks, n_branches)
    Values of trainable gates.
gate_history_ : ndarray of shape (n_epochs, n_tasks, n_branches)
    Those values after each epoch.
selection_gates_ : ndarray of shape (n_structures, n_fields, embedding_dim)
    Gates of the soft selection.
branch_names_ : list of str
    Name of each branch, an expert under a mapping, such as ``"dnn0 sin"``."""


class DEPHNMultiTaskClassifier(DEPHNParameters, MultiTaskClassifier):
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
    {parameters}

    Attributes
    ----------
    {attributes}

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

    _attributes = MultiTaskClassifier._attributes + _GATES


class DEPHNMultiTaskRegressor(DEPHNParameters, MultiTaskRegressor):
    """Watch time, revenue, ratings: every amount from one network, DEPHN.

    What :class:`DEPHNMultiTaskClassifier` is for behaviors, for one or more tasks whose
    labels are numbers. Each has the loss that suits it, on a scale of its own, so that
    none drowns the others; predictions are in the units of the labels, and missing
    labels (NaN) of a 2-D y do not count. The paper [1]_ has binary tasks alone.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Kong, Su, Zhao, Hou, "DEPHN: Different Expression Parallel Heterogeneous
       Network using virtual gradient optimization for Multi-task Learning", IJCNN 2023.
    .. [2] Wang, Liu, Miao, "A Deep Probabilistic Model for Customer Lifetime Value
       Prediction", 2019, arXiv:1912.07753.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskRegressor
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(2000, amounts=True, random_state=0)
    >>> y = log.target[["watch_seconds", "revenue"]]
    >>> model = DEPHNMultiTaskRegressor(
    ...     loss={"watch_seconds": "squared", "revenue": "zero-inflated-lognormal"},
    ...     max_epochs=2,
    ...     random_state=0,
    ... )
    >>> model.fit(log.data, y).predict(log.data).shape
    (2000, 2)
    """

    _attributes = MultiTaskRegressor._attributes + _GATES

    loss: str | Mapping[str, str] = like(MultiTaskRegressor, "loss")


class DEPHNMultiTaskEstimator(DEPHNParameters, MultiTaskEstimator):
    """Amounts and behaviors beside each other, from one network, DEPHN.

    Each task has a kind: two classes or more, as for
    :class:`DEPHNMultiTaskClassifier`, or a number under a loss, as for
    :class:`DEPHNMultiTaskRegressor`. ``predict`` gives numbers and labels,
    ``predict_proba`` the probabilities of the tasks that have classes, by name, and
    ``task(name)`` a classifier or a regressor of one task.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Kong, Su, Zhao, Hou, "DEPHN: Different Expression Parallel Heterogeneous
       Network using virtual gradient optimization for Multi-task Learning", IJCNN 2023.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskEstimator
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(2000, amounts=True, random_state=0)
    >>> model = DEPHNMultiTaskEstimator(
    ...     tasks={"watch_seconds": "gamma", "revenue": "zero-inflated-lognormal"},
    ...     max_epochs=2,
    ...     random_state=0,
    ... )
    >>> model = model.fit(log.data, log.target)
    >>> model.predict(log.data).shape
    (2000, 5)
    >>> {name: p.shape for name, p in model.predict_proba(log.data).items()}
    {'click': (2000, 2), 'like': (2000, 2), 'purchase': (2000, 2)}
    """

    _attributes = MultiTaskEstimator._attributes + _GATES

    tasks: Mapping[str, str] | str | None = like(MultiTaskEstimator, "tasks")


def check_heads(estimator: Any) -> None:
    """Raise where an attention cannot divide the embedding among its heads."""
    dim, n_heads = estimator.embedding_dim, estimator.n_heads
    if estimator.selection is not None and dim % n_heads:
        raise ValueError(f"n_heads={n_heads} does not divide embedding_dim={dim}.")


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
