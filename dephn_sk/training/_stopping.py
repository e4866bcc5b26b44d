"""Early stopping: the best epoch so far, and how long ago it was."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

# epochs, or as many as have so many steps
LEAST_PATIENCE, PATIENCE_STEPS = 3, 300


@dataclass
class BestEpoch:
    """The best value of what is watched, and the weights that it was measured with.

    Parameters
    ----------
    patience : int
        Epochs without improvement after which training is over.
    lower_is_better : bool
    value, epoch, misses
        The best value, its epoch (counted from 1; 0 is none), and the epochs since.
    weights : dict of str to Tensor
        Of that epoch; never written to, so that copies may share them.
    """

    patience: int
    lower_is_better: bool
    value: float | None = None
    epoch: int = 0
    misses: int = 0
    weights: dict[str, Tensor] | None = None

    def see(self, value: float, epoch: int, network: nn.Module) -> None:
        """Take in the value of an epoch, and the network that it was measured with."""
        if self.improves(value):
            self.value, self.epoch, self.misses = value, epoch, 0
            self.weights = {k: v.clone() for k, v in network.state_dict().items()}
        else:
            self.misses += 1

    def improves(self, value: float) -> bool:
        """Whether a value is better than all before."""
        if self.value is None:
            return not math.isnan(value)
        return value < self.value if self.lower_is_better else value > self.value

    @property
    def is_over(self) -> bool:
        """Whether patience has come to its end."""
        return self.misses >= self.patience

    def state(self) -> dict[str, Any]:
        """What is to be restored, without the weights."""
        return {"value": self.value, "epoch": self.epoch, "misses": self.misses}
