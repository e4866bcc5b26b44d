"""AdamW whose step over a large table takes time for the rows it touches alone."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

_BLOCK = 4096  # rows whose numbers stay in the processor's cache


class TableAdamW(AdamW):
    r"""AdamW, and a lazy row-wise form of it for parameters with sparse gradients.

    For each row :math:`w` that a step touches, with its gradient :math:`g` of
    :math:`d` entries and its own count of steps :math:`n`:

    .. math::
        n &\leftarrow n + 1, \quad
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) \lVert g \rVert^2 / d \\
        w &\leftarrow (1 - \eta \lambda) w - \eta \,
        \frac{m / (1 - \beta_1^n)}{\sqrt{v / (1 - \beta_2^n)} + \epsilon}

    All other rows, their moments and their counts stay as they are: a row is decayed
    as often as it is met. One :math:`v` for a row instead of one for an entry halves
    the memory of the moments.

    Parameters
    ----------
    params, **kwargs
        As those of :class:`torch.optim.AdamW`, without amsgrad and maximize.

    References
    ----------
    Gupta et al., "Training Recommender Systems at Scale: Communication-Efficient Model
    and Data Parallelism", KDD 2021, for second moments by row.

    Examples
    --------
    >>> table = torch.nn.Parameter(torch.zeros(4, 2))
    >>> optimizer = TableAdamW([table], lr=0.1)
    >>> rows = torch.nn.functional.embedding(torch.tensor([2]), table, sparse=True)
    >>> rows.sum().backward()
    >>> optimizer.step()
    >>> table[2].tolist() == table[0].tolist()
    False
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse = []
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    self._step_rows(table, table.grad.coalesce(), group)
                    sparse.append((table, table.grad))
                    table.grad = None  # AdamW has nothing to do with it
        super().step()
        for table, gradient in sparse:
            table.grad = gradient
        return loss

    def _step_rows(self, table: Tensor, gradient: Tensor, group: dict) -> None:
        moments = self._moments(table)
        beta1, beta2 = group["betas"]
        kept = 1 - group["lr"] * group["weight_decay"]
        blocks = (a.split(_BLOCK) for a in (gradient.indices()[0], gradient.values()))
        for rows, g in zip(*blocks, strict=True):
            touched = moments.index_select(0, rows)
            m, v, n = touched.tensor_split((table.shape[1], table.shape[1] + 1), dim=1)
            m.lerp_(g, 1 - beta1)
            v.lerp_(g.square().mean(1, keepdim=True), 1 - beta2)
            n.add_(1)
            moments.index_copy_(0, rows, touched)
            scale = (v / (1 - beta2**n)).sqrt_().add_(group["eps"])
            scale.mul_(1 - beta1**n).reciprocal_().mul_(-group["lr"])
            w = table.index_select(0, rows).mul_(kept).addcmul_(m, scale)
            table.index_copy_(0, rows, w)

    def _moments(self, table: Tensor) -> Tensor:
        """m, v and n of each row side by side; moments of AdamW are taken over."""
        state = self.state[table]
        if "moments" not in state:
            moments = table.new_zeros(len(table), table.shape[1] + 2)
            if "exp_avg" in state:
                moments[:, :-2] = state.pop("exp_avg")
                moments[:, -2] = state.pop("exp_avg_sq").mean(1)
                moments[:, -1] = state["step"]
            state["moments"] = moments
            state.setdefault("step", torch.zeros(()))  # Adam unpickles none without
        return state["moments"]
