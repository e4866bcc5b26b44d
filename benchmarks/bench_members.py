"""What do several networks in one estimator gain, and what do they cost?

    python benchmarks/bench_members.py
    python benchmarks/bench_members.py --sets log census --data FOLDER --seeds 3

`n_networks=k`, members that share nothing but what they read, beside members that share
weights, and beside the mean of k fits that differ in their seed alone. "one table" are
members on one embedding; "one body" are members that share the experts, too, and have a
factor for each entry of their input, and gates and towers of their own, as
BatchEnsemble and the smaller of TabM's networks do (Gorishniy et al., ICLR 2025).

All are scored on rows that training and early stopping never saw: of a simulated log,
and of public sets the rows that their loaders keep for validation. Mean ROC AUC and log
loss over tasks, seconds of processor of the fits, and how far the peak of resident
memory rises above what was resident before (Linux; of fits apart, the highest of them).
All in one process, one thread, in turns.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from _peer import peak_memory
from _report import RESULTS, Results, environment
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.datasets import load_census_income, load_kuairand, make_behavior_log
from dephn_sk.nn._ensemble import NetworkEnsemble
from dephn_sk.tasks import Binary

LOADERS = {"census": load_census_income, "kuairand": load_kuairand}
HOW = ("together", "one table", "one body", "apart")


class Factor(nn.Module):
    """An embedding's fields, times trained factors that begin at 1 and -1."""

    def __init__(self, embedding, generator):
        super().__init__()
        self.n_fields, self.dim = embedding.n_fields, embedding.dim
        self.embedding = embedding
        signs = torch.randint(
            2, (self.n_fields, self.dim), generator=generator, dtype=torch.float32
        )
        self.factor = nn.Parameter(2 * signs - 1)

    def forward(self, *read):
        return self.embedding(*read) * self.factor


class SharingEnsemble(NetworkEnsemble):
    """Members some of whose weights are the same."""

    def parameter_groups(self):
        seen, groups = set(), super().parameter_groups()
        for group in groups:
            own = dict.fromkeys(p for p in group["params"] if p not in seen)
            group["params"] = list(own)
            seen.update(own)
        return groups


class SharingMembers(DEPHNMultiTaskClassifier):
    """So many networks on one table, or on one table and one body of experts."""

    n_members, body = 3, False

    def build_network(self, embedding, n_outputs, generator):
        def member():
            read = Factor(embedding, generator) if self.body else embedding
            return DEPHNMultiTaskClassifier.build_network(
                self, read, n_outputs, generator
            )

        members = [member() for _ in range(self.n_members)]
        for one in members[1:]:
            if self.body:
                one.interaction = members[0].interaction
        binary = Binary("task", np.array([0, 1]))  # as all tasks here are
        return SharingEnsemble(members, binary.pool)


def sharing(k: int, how: str) -> type[SharingMembers]:
    return type(
        "SharingMembers",
        (SharingMembers,),
        {"n_members": k, "body": how == "one body", "__doc__": SharingMembers.__doc__},
    )


def data_of(name: str, folder: str, n_rows: int) -> tuple:
    """Rows to fit on and their labels, and others to judge by."""
    if name == "log":
        X, y = make_behavior_log(3 * n_rows // 2, return_X_y=True, random_state=3)
        return X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:]
    given = {"data_home": folder, "return_X_y": True}
    X, y = LOADERS[name](subset="train", **given)
    return X[:n_rows], y[:n_rows], *LOADERS[name](subset="validation", **given)


def fitted(X, y, make=DEPHNMultiTaskClassifier, **options) -> tuple:
    """A fit, its seconds of processor, and its memory in MB."""
    model = make(n_threads=1, **options)
    resident, start = peak_memory(reset=True), time.process_time()
    model.fit(X, y)
    return model, time.process_time() - start, peak_memory() - resident


def scores(y, probability) -> tuple[float, float]:
    """Mean ROC AUC and log loss over tasks, of the labels that are known."""
    values, auc, loss = y.to_numpy(float), [], []
    for truth, p in zip(values.T, probability.T, strict=True):
        known = ~np.isnan(truth)
        auc.append(roc_auc_score(truth[known], p[known]))
        loss.append(log_loss(truth[known], p[known]))
    return float(np.mean(auc)), float(np.mean(loss))


def compare(name: str, options, seed: int):
    """Rows of results: k networks in one estimator, and k fits."""
    X, y, others, truth = data_of(name, options.data, options.rows)
    fitted(X[:2000], y[:2000], max_epochs=1, random_state=seed)  # warms up
    predictions, seconds, memory = [], 0.0, 0.0
    apart = {}
    for i in range(max(options.networks)):
        own = seed if not i else 1000 * (seed + 1) + i
        model, took, rise = fitted(X, y, random_state=own, n_networks=1)
        predictions.append(model.predict_proba(others))
        seconds, memory = seconds + took, max(memory, rise)
        apart[i + 1] = (*scores(truth, np.mean(predictions, axis=0)), seconds, memory)
    for k in options.networks:
        found = {"apart": apart[k]}
        for how in HOW[:3] if k > 1 else HOW[:1]:
            together = how == "together"
            make = DEPHNMultiTaskClassifier if together else sharing(k, how)
            own = {"random_state": seed, "n_networks": k if together else 1}
            model, *cost = fitted(X, y, make, **own)
            found[how] = (*scores(truth, model.predict_proba(others)), *cost)
        for how, values in found.items():
            names = ("auc", "log_loss", "cpu_s", "memory_mb")
            yield {"set": name, "seed": seed, "k": k, "how": how} | dict(
                zip(names, values, strict=True)
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["log"], choices=["log", *LOADERS])
    parser.add_argument("--data", help="the folder of the public sets")
    parser.add_argument("--rows", type=int, default=20_000, help="to fit on, at most")
    parser.add_argument("--networks", nargs="+", type=int, default=[1, 2, 3, 8])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", default=RESULTS / "members.jsonl")
    options = parser.parse_args()
    results = Results(options.output, ("set", "rows", "seed", "k", "how"))
    about = {"rows": options.rows, **environment()}
    for name in options.sets:
        found = []
        for seed in range(options.seeds):
            for row in compare(name, options, seed):
                results.add({**row, **about})
                found.append(row)
        print(f"\n{name}: {options.rows:,} rows at most, mean of {options.seeds} seeds")
        head = ("k", "", "AUC", "log loss", "CPU s", "times one", "MB")
        print("{:>3} {:10}{:>8}{:>10}{:>8}{:>11}{:>6}".format(*head))
        one = _mean(found, 1 if 1 in options.networks else options.networks[0], "apart")
        for k in options.networks:
            for how in HOW if k > 1 else HOW[::3]:
                auc, loss, cpu, memory = _mean(found, k, how)
                print(
                    f"{k:3} {how:10}{auc:8.4f}{loss:10.4f}{cpu:8.1f}"
                    f"{cpu / one[2]:11.2f}{memory:6.0f}"
                )


def _mean(rows: list[dict], k: int, how: str):
    own = [row for row in rows if row["k"] == k and row["how"] == how]
    names = ("auc", "log_loss", "cpu_s", "memory_mb")
    return [float(np.mean([row[name] for row in own])) for name in names]


if __name__ == "__main__":
    main()
