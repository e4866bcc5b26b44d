"""The skorch net: what callbacks and users see of training."""

from collections.abc import Iterator
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from torch import Tensor

from ._table_optimizer import TableAdamW

# how a group of parameters may learn, by the `rule` of TaskNetwork.parameter_groups
RULES: dict[str, Any] = {"adam": TableAdamW, "sgd": torch.optim.SGD}
EACH_BATCH = ("on_batch_begin", "on_batch_end")
_LISTS = (
    "train_task_loss",
    "valid_task_loss",
    "valid_task_score",
    "valid_monitor",
    "gates",
)


class MultiTaskNet(NeuralNet):
    """A skorch net that is trained by a Trainer.

    From the beginning of an epoch until its last step, `module_` is the network that
    learns; then, and after training, the one that is validated and that predicts. Per
    epoch, the history records ``train_loss``, ``train_task_loss`` (a list with one loss
    for each task), the same for ``valid``, ``valid_task_score``, ``valid_monitor``, and
    ``gates``, the trainable gates where the network has them.

    Attributes
    ----------
    rules_ : dict of str to Optimizer
        The optimizer of each rule; ``optimizer_`` is that of ``"adam"``.
    """

    rules_: dict[str, torch.optim.Optimizer]

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        # PassthroughScoring needs the loss of each batch, which nobody waits for here
        return [
            ("epoch_timer", EpochTimer()),
            ("print_log", PrintLog(keys_ignored=list(_LISTS))),
        ]

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Any:
        """An optimizer for each rule by which some of the parameters learn."""
        groups: dict[str, list[dict[str, Any]]] = {"adam": []}
        for group in self.module_.parameter_groups():
            rule = group.pop("rule", "adam")
            groups.setdefault(rule, []).append(group)
        own = list(self.criterion_.parameters())
        groups["adam"] += [{"params": own}] if own else []
        given = {"lr": self.lr, **self.get_params_for("optimizer")}
        self.rules_ = {
            rule: RULES[rule](own, **(given if rule == "adam" else {}))
            for rule, own in groups.items()
            if any(p.numel() for group in own for p in group["params"])
        }
        self.optimizer_ = self.rules_.get("adam") or next(iter(self.rules_.values()))
        return self

    def hears(self, *hooks: str) -> bool:
        """Whether some callback wants to be told of one of these."""
        return any(
            getattr(type(callback), hook) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in hooks
        )

    def parameters_with_gradients(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters by name; of a large table, only the rows that the step touches.

        Callbacks that clip or watch gradients take no sparse ones. What they change in
        place here is changed in the sparse gradient, too.
        """
        for name, parameter in self.get_all_learnable_params():
            gradient = parameter.grad
            if gradient is None or not gradient.is_sparse:
                yield name, parameter
                continue
            parameter.grad = gradient = gradient.coalesce()
            rows = parameter.detach().index_select(0, gradient.indices()[0])
            rows.grad = gradient.values()
            yield name, rows

    def __getstate__(self) -> dict[str, Any]:
        # skorch's holds pickled bytes; FittedModel says how a net is kept
        return vars(self).copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
