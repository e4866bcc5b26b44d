"""What each field adds to each logit of each row."""

from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from torch import Tensor, nn

from .._compat import Interval, validate_params, warn
from ..nn import TaskNetwork
from ._fitted import field_names, output_names, own_network, source_of

Vectors = list[Tensor]  # of each embedding, (rows, fields, dim)
BLOCK = 1024
FEWEST_POINTS, MOST_POINTS = 16, 512
NOISE = 1e-3  # in logits; no share can be asked of a difference of nearly 0


@validate_params({"tolerance": [Interval(Real, 0, 1, closed="neither")]})
def field_attributions(
    estimator: Any, X: Any, *, background: Any = None, tolerance: float = 0.01
) -> Bunch:
    r"""Signed contribution of each field to each logit, for every row.

    Integrated gradients [1]_ over the field vectors :math:`E`: the network's gradient,
    integrated along the straight line from a baseline :math:`E'` to the row's vectors,

    .. math::
        a_f = (E_f - E'_f) \cdot
        \int_0^1 \frac{\partial\, \mathrm{logit}(E' + \alpha (E - E'))}{\partial E_f}
        \, d\alpha .

    They are complete: a row's attributions add up to its logit minus the baseline's.
    The integral is computed with more and more points until that holds within
    `tolerance`.

    Under `conditions`, a logit is that of its task given its condition: of
    ``predict_proba_given``, not of ``predict_proba``.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted; a Pipeline or search ends with the classifier.
    X : DataFrame or array-like of shape (n_samples, n_features)
    background : DataFrame or array-like of shape (n_rows, n_features), default=None
        The baseline is the mean of these rows' field vectors. None is zero vectors: a
        row of which nothing is known.
    tolerance : float in (0, 1), default=0.01
        Largest difference between a row's sum of attributions and the difference of
        logits that they explain, as a share of the latter, or 0.001 where that is
        more.

    Returns
    -------
    Bunch
        attributions : ndarray of shape (n_samples, n_outputs, n_fields)
            In logits.
        baseline : ndarray of shape (n_outputs,)
            Logits of the baseline.
        output_names : tuple of str
            The tasks; for a multi-class task, ``"task=class"`` for each class.
        field_names : tuple of str
            The fields.

    Warns
    -----
    ConvergenceWarning
        Where the tolerance was not reached with 512 points.

    References
    ----------
    .. [1] Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML
       2017.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import field_attributions
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> result = field_attributions(model.fit(log.data, log.target), log.data[:5])
    >>> result.attributions.shape
    (5, 3, 12)
    """
    source = source_of(estimator, X)
    path = _Path(own_network(estimator), next(source.batches(1)).inputs)
    start = [torch.zeros_like(v) for v in path.vectors(path.probe)]
    if background is not None:
        start = path.mean_vectors(source_of(estimator, background))
    baseline = path.logits(start)
    blocks = []
    for batch in source.batches(BLOCK):
        end = path.vectors(batch.inputs)
        blocks.append(path.integrate(start, end, tolerance).cpu().numpy())
    return Bunch(
        attributions=np.concatenate(blocks),
        baseline=baseline[0].cpu().numpy().astype(float),
        output_names=output_names(estimator),
        field_names=field_names(estimator),
    )


class _Path:
    """A network as a function of its field vectors, one array for each embedding.

    Some networks have several embeddings: of first order, or of each task. `probe` are
    inputs of one row, for the parts that the vectors replace.
    """

    def __init__(self, network: TaskNetwork, probe: dict) -> None:
        self.network, self.probe = network, probe
        self.embeddings = list(network.tables())
        self.given: dict[nn.Module, Tensor] = {}
        self.seen: dict[nn.Module, Tensor] = {}
        for embedding in self.embeddings:
            embedding.register_forward_hook(self._replace)

    def _replace(self, embedding: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        self.seen[embedding] = output
        return self.given.get(embedding, output)

    def vectors(self, inputs: dict) -> Vectors:
        """Of each embedding, (rows, n_vectors, dim), or (rows, width)."""
        self.given = {}
        self.network(**inputs)
        return [self.seen[embedding] for embedding in self.embeddings]

    def mean_vectors(self, source: Any) -> Vectors:
        """Their means over the rows of a table, of one row."""
        total: list = [0.0] * len(self.embeddings)
        for batch in source.batches(BLOCK):
            vectors = self.vectors(batch.inputs)
            total = [t + v.sum(0) for t, v in zip(total, vectors, strict=True)]
        return [t[None] / source.n_rows for t in total]

    def logits(self, vectors: Vectors) -> Tensor:
        """Of field vectors, (rows, n_outputs)."""
        self.given = dict(zip(self.embeddings, vectors, strict=True))
        return self.network(**self.probe)

    def integrate(self, start: Vectors, end: Vectors, tolerance: float) -> Tensor:
        """Attributions on the line from start to end, (rows, n_outputs, n_fields)."""
        explained = self.logits(end) - self.logits(start)
        n_fields = self.embeddings[0].sum_by_field(end[0]).shape[1]
        attributions = explained.new_zeros(*explained.shape, n_fields)
        pending = torch.arange(len(explained), device=explained.device)
        n_points = FEWEST_POINTS
        while len(pending) and n_points <= MOST_POINTS:
            found = self._quadrature(start, [v[pending] for v in end], n_points)
            attributions[pending] = found
            error = (found.sum(-1) - explained[pending]).abs()
            allowed = (tolerance * explained[pending].abs()).clamp(min=NOISE)
            pending = pending[(error > allowed).any(1)]
            n_points *= 2
        if len(pending):
            warn(
                f"The attributions of {len(pending)} of {len(explained)} rows are "
                f"complete to {float(error.max()):.2g} in logits only; give a "
                "background that is closer to the rows.",
                ConvergenceWarning,
            )
        return attributions

    def _quadrature(self, start: Vectors, end: Vectors, n_points: int) -> Tensor:
        steps = [b - a for a, b in zip(start, end, strict=True)]
        n_rows = len(steps[0])
        rule = torch.from_numpy(np.array(np.polynomial.legendre.leggauss(n_points)))
        total: Any = 0.0
        # the points and weights of the rule, from [-1, 1] to [0, 1]
        for point, weight in (rule / 2).to(steps[0]).split(max(1, BLOCK // n_rows), 1):
            alpha = point + 0.5
            vectors = [
                (a + alpha.view(-1, *[1] * s.dim()) * s).flatten(0, 1).requires_grad_()
                for a, s in zip(start, steps, strict=True)
            ]
            by_output = []
            for logit in self.logits(vectors).sum(0):
                gradients = torch.autograd.grad(
                    logit, vectors, retain_graph=True, materialize_grads=True
                )
                parts = []
                for table, s, g in zip(self.embeddings, steps, gradients, strict=True):
                    # the sum over the points, each with its weight
                    mean = torch.tensordot(weight, g.unflatten(0, (-1, n_rows)), 1)
                    parts.append(table.sum_by_field(s * mean))
                by_output.append(torch.stack(parts).sum(0))
            total = total + torch.stack(by_output, dim=1)
        return total
