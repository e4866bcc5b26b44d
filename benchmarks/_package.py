"""Trains a network of a public package, or predicts with it, in the package's Python.

    PYTHON benchmarks/_package.py fit FOLDER
    PYTHON benchmarks/_package.py predict FOLDER

FOLDER holds ``settings.json`` and arrays: for ``fit``, those of ``train.npz`` and
``validation.npz`` (codes, numbers, and labels that are NaN where unknown), and
``model.pt`` is written; for ``predict``, those of ``rows.npz``, and
``probabilities.npy`` is written. The loop is the same for all packages: Adam, the sum
of the tasks' mean cross-entropies over known labels, and the epoch that is best on the
validation rows.
"""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy

MOST_EPOCHS = 20
PATIENCE = 3
EXPERT, TOWER = (64, 32), (32,)


def deepctr_ple(cardinalities, n_numeric, n_tasks, settings):
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models.multitask import PLE

    columns = [
        SparseFeat(f"c{j}", vocabulary_size=k, embedding_dim=settings["embedding_dim"])
        for j, k in enumerate(cardinalities)
    ]
    columns += [DenseFeat(f"x{j}", 1) for j in range(n_numeric)]
    return PLE(
        columns,
        shared_expert_num=1,
        specific_expert_num=1,
        num_levels=2,
        expert_dnn_hidden_units=EXPERT,
        gate_dnn_hidden_units=(),
        tower_dnn_hidden_units=TOWER,
        l2_reg_embedding=0.0,
        l2_reg_linear=0.0,
        dnn_dropout=settings["dropout"],
        task_types=["binary"] * n_tasks,
        task_names=[f"y{t}" for t in range(n_tasks)],
        seed=settings["seed"],
    )


class Named(torch.nn.Module):
    """torch-rechub reads a dictionary of columns."""

    def __init__(self, network, n_fields):
        super().__init__()
        self.network, self.n_fields = network, n_fields

    def forward(self, rows):
        names = [f"c{j}" for j in range(self.n_fields)]
        named = {n: rows[:, j].long() for j, n in enumerate(names)}
        rest = rows[:, self.n_fields :]
        named |= {f"x{j}": column for j, column in enumerate(rest.T)}
        return self.network(named)


def rechub_ple(cardinalities, n_numeric, n_tasks, settings):
    from torch_rechub.basic.features import DenseFeature, SparseFeature
    from torch_rechub.models.multi_task import PLE

    columns = [
        SparseFeature(f"c{j}", vocab_size=k, embed_dim=settings["embedding_dim"])
        for j, k in enumerate(cardinalities)
    ]
    columns += [DenseFeature(f"x{j}") for j in range(n_numeric)]
    parts = {"dropout": settings["dropout"]}
    network = PLE(
        columns,
        ["classification"] * n_tasks,
        2,
        1,
        1,
        {"dims": list(EXPERT), **parts},
        [{"dims": list(TOWER), **parts}] * n_tasks,
    )
    return Named(network, len(cardinalities))


BUILD = {"DeepCTR-Torch PLE": deepctr_ple, "torch-rechub PLE": rechub_ple}


def read(path):
    """The rows, numbers behind codes, and the labels."""
    arrays = np.load(path)
    rows = np.concatenate([arrays["codes"], arrays["numbers"]], axis=1)
    return torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(arrays["labels"])


@torch.inference_mode()
def predict(network, rows):
    network.eval()
    return torch.cat([network(some) for some in rows.split(4096)])


def task_losses(p, y):
    known = ~y.isnan()
    each = binary_cross_entropy(p, y.nan_to_num(), reduction="none") * known
    return each.sum(0) / known.sum(0).clamp(min=1)


def fit(settings, rows, y, rows_val, y_val):
    generator = torch.Generator().manual_seed(settings["seed"])
    torch.manual_seed(settings["seed"])
    n_numeric = rows.shape[1] - len(settings["cardinalities"])
    network = BUILD[settings["package"]](
        settings["cardinalities"], n_numeric, y.shape[1], settings
    )
    optimizer = torch.optim.Adam(
        network.parameters(),
        lr=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
    )
    best, kept, since = np.inf, None, 0
    for _ in range(MOST_EPOCHS):
        network.train()
        order = torch.randperm(len(rows), generator=generator)
        for batch in order.split(1024):
            if len(batch) == 1:  # batch normalization needs two
                continue
            optimizer.zero_grad()
            task_losses(network(rows[batch]), y[batch]).sum().backward()
            optimizer.step()
        loss = task_losses(predict(network, rows_val), y_val).sum().item()
        since += 1
        if loss < best:
            best, kept, since = loss, copy.deepcopy(network.state_dict()), 0
        if since == PATIENCE:
            break
    network.load_state_dict(kept)
    return network


if __name__ == "__main__":
    torch.set_num_threads(1)
    action, folder = sys.argv[1], Path(sys.argv[2])
    if action == "fit":
        settings = json.loads((folder / "settings.json").read_text())
        parts = (*read(folder / "train.npz"), *read(folder / "validation.npz"))
        torch.save(fit(settings, *parts), folder / "model.pt")
    else:
        network = torch.load(folder / "model.pt", weights_only=False)
        p = predict(network, read(folder / "rows.npz")[0])
        np.save(folder / "probabilities.npy", p.numpy())
