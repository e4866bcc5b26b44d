"""A source of batches from outside the package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from _logs import SMALL, make_log

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.training import Batch, FitPlan, Source, Trainer


class FileSource(Source):
    """Rows in a file of numpy's, as a source in memory has shuffled them."""

    def __init__(self, path, order):
        self.path, self.order = path, order
        self.n_rows = len(order[0])
        self.device = torch.device("cpu")

    def read(self, order):
        rows = np.arange(self.n_rows)
        if order.seed is not None:
            rows = self.order[order.epoch]
        for begin in range(
            order.start * order.batch_size, self.n_rows, order.batch_size
        ):
            at = rows[begin : begin + order.batch_size]
            with np.load(self.path) as file:
                parts = {name: torch.from_numpy(file[name][at]) for name in file}
            labels, weights = parts.pop("labels"), parts.pop("weights", None)
            yield Batch(parts, labels, weights)


def test_a_source_from_outside_trains_to_the_same_bytes(tmp_path):
    X, y = make_log(80)
    model = DEPHNMultiTaskClassifier(**{**SMALL, "max_epochs": 3})
    plan = FitPlan.of(model, X, y, epochs=3)
    whole = next(plan.train.batches(80))
    arrays = {**whole.inputs, "labels": whole.labels}
    if whole.weights is not None:
        arrays["weights"] = whole.weights
    np.savez(tmp_path / "rows.npz", **{k: v.numpy() for k, v in arrays.items()})
    every = whole.inputs["numbers"].numpy()
    order = [
        [
            int((every == row.numpy()).all(1).argmax())
            for row in next(plan.train.batches(80, seed=plan.seed, epoch=e)).inputs[
                "numbers"
            ]
        ]
        for e in range(3)
    ]
    own = replace(plan, train=FileSource(tmp_path / "rows.npz", np.array(order)))
    trained = [Trainer(p.begin(), p) for p in (plan, own)]
    for trainer in trained:
        assert len(list(trainer.run())) == 3
    here, there = (trainer.fitted().network.state_dict() for trainer in trained)
    assert all(torch.equal(here[name], there[name]) for name in here)
