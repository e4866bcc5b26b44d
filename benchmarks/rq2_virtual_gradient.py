"""RQ2 (figures 5, 6): what do mapping, gates and the virtual gradient bring?

    python benchmarks/rq2_virtual_gradient.py --data FOLDER
    python benchmarks/rq2_virtual_gradient.py --data FOLDER --features criteo
    python benchmarks/rq2_virtual_gradient.py --rows 500 --seeds 1 --features simulated

Two tasks of known relation over the features of a table (``make_related_tasks``):
``related``, ``unrelated``, and ``independent``, the first tasks of two relations made
with other seeds; and tasks in conflict: ``opposed``, of which the second is mostly what
the first is not, ``crossed``, of which the second is the first in one half of the rows
and its opposite in the other, as a third function of the features decides, and
``eight``, four such pairs.

The network is MMoE's size: three public DNN experts (64, 32) on embeddings of width 8,
one layer, towers (32,), no private experts and no selection, so that gates are all that
tells the tasks apart. One experiment is one list of variants:

- ``mapping``: which functions the experts pass through.
- ``coefficient``: eight functions under two similarities, and none; with gates that
  learn at 1.0, since they hardly move at 0.1.
- ``gates``: trainable against mapped gates, with the losses of each epoch.
- ``study``: the virtual gradient on and off, under other optimizers, as a decoupled
  factor on Adam's update, with other starting values, with the similarity of all rows
  instead of one batch's, on few rows, and in the whole network. "frozen" does not
  train the gates at all; "twice the rate" doubles their learning rate.
- ``conflict``: on and off, by the product over tasks and by their mean, where it should
  matter most: tasks in conflict, eight tasks, and a network that learns by plain
  gradient descent throughout, so that no optimizer undoes the coefficient.

Results are appended to results/rq2.jsonl, and what is in there is not run again. The
loop over seeds is the outer one.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
import torch
from _paper import (
    DATASETS,
    PROTOCOL,
    ScoredRows,
    difference,
    fit_and_score,
    gain_table,
    paired,
    run,
    task_table,
)
from _report import RESULTS, Results
from skorch.callbacks import Callback

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.baselines import MMoEClassifier
from dephn_sk.datasets import make_related_tasks
from dephn_sk.nn import coefficient, label_similarity
from dephn_sk.nn._virtual_gradient import COEFFICIENTS
from dephn_sk.preprocessing import FieldEncoder

KEY = ("experiment", "system", "dataset", "seed", "rows", "epochs")
RELATIONS = ("related", "unrelated", "independent")
CONFLICTS = ("opposed", "crossed", "eight")
FEATURES = {"census": "census-2", "criteo": "criteo", "simulated": "simulated"}
ROWS, FEW_ROWS, EPOCHS, GATE_EPOCHS = 40_000, 5_000, 4, 8
PLAIN_RATE = 0.1  # of plain descent
SMALL = {
    **PROTOCOL,
    "batch_size": 512,
    "embedding_dropout": 0.0,
    "dropout": 0.0,
    "tower_hidden": (32,),
}
PLAIN = {
    **SMALL,
    "private_experts": (),
    "selection": None,
    "coefficient_reduction": "product",
}
CHOSEN = "additive-sqrt"


class DecoupledGradient(Callback):
    """Adam's step of the gates, times the coefficient: scaled after its preconditioner.

    For a model with ``virtual_gradient=None``, ``gate_optimizer="adam"`` and
    ``weight_averaging=0``, since averages would hold the steps before they are scaled.
    """

    def on_batch_begin(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.before_ = net.module_.gating.values.detach().clone()

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if training:
            similarity = label_similarity(batch.labels, weights=batch.weights)
            gamma = coefficient(self.before_, similarity, CHOSEN)
            values = net.module_.gating.values.data
            values.copy_(self.before_ + gamma * (values - self.before_))


class StartingGates(Callback):
    """Gates that start alike, at ½, or apart, at 0 and 1."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_train_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        values = net.module_.gating.values.data
        start = torch.full_like(values, 0.5)
        if self.kind == "apart":
            task = torch.arange(values.shape[0]).unsqueeze(1)
            start = ((task + torch.arange(values.shape[1])) % 2).to(values)
        values.copy_(start)


class SimilarityOfAllRows:
    """The chosen function, of the labels' similarity over all training rows.

    The value that a running mean over batches tends to.
    """

    def __init__(self, y: Any) -> None:
        self.similarity = label_similarity(
            torch.tensor(y.to_numpy(), dtype=torch.float)
        )

    def __call__(self, similarity: torch.Tensor, difference: torch.Tensor) -> Any:
        if len(difference) == len(self.similarity):  # else tried out by the estimator
            similarity = self.similarity.to(difference).unsqueeze(-1)
        return COEFFICIENTS[CHOSEN](similarity.expand_as(difference), difference)


class PlainDescent(DEPHNMultiTaskClassifier):
    """DEPHN with every parameter, not the gates alone, under plain gradient descent."""

    def build_network(self, *args: Any, **kwargs: Any) -> Any:
        network = super().build_network(*args, **kwargs)
        network.parameter_groups = lambda: [
            {"params": list(network.parameters()), "rule": "sgd", "lr": PLAIN_RATE}
        ]
        return network


MAPPINGS = {
    "raw": ("raw",),
    "sin": ("sin",),
    "cos": ("cos",),
    "square": ("square",),
    "tanh": ("tanh",),
    "raw, sin": ("raw", "sin"),
    "raw, cos": ("raw", "cos"),
    "raw, square": ("raw", "square"),
    "raw, tanh": ("raw", "tanh"),
}
SIX = {"mappings": ("raw",), "public_experts": ("dnn",) * 6}
OFF = {"virtual_gradient": None}
FAST = {"gate_learning_rate": 1.0}
ADAM = {"gate_optimizer": "adam"}
MEAN = {"coefficient_reduction": "mean"}
DESCENT = {"class": PlainDescent}
EXPERIMENTS: dict[str, dict[str, dict | None]] = {  # None is MMoE
    "mapping": {
        "MMoE": None,
        **{name: {"mappings": value, **OFF} for name, value in MAPPINGS.items()},
        "raw, 6 experts": SIX | OFF,
    },
    "coefficient": {
        "MMoE": None,
        "off": FAST | OFF,
        **{
            f"{function}, {similarity}": FAST
            | {
                "virtual_gradient": function,
                "label_similarity": similarity,
            }
            for similarity in ("pearson", "cosine")
            for function in COEFFICIENTS
        },
    },
    "gates": {
        "MMoE": None,
        "trainable": {},
        "trainable, off": OFF,
        "trainable by Adam": ADAM,
        "mapped": {"gate": "mapped", **ADAM},
        "mapped, off": {"gate": "mapped", **ADAM, **OFF},
    },
    "study": {
        "SGD 0.1": {},
        "SGD 0.1, off": OFF,
        "SGD 0.1, frozen": {"gate_learning_rate": 0.0, **OFF},
        "SGD 0.1, twice the rate": {"gate_learning_rate": 0.2, **OFF},
        "SGD 1.0": FAST,
        "SGD 1.0, off": FAST | OFF,
        "Adam": ADAM,
        "Adam, update": {"callbacks": [DecoupledGradient()], **ADAM, **OFF},
        "Adam, off": {**ADAM, **OFF},
        "start alike": {"callbacks": [StartingGates("alike")]},
        "start alike, off": {"callbacks": [StartingGates("alike")], **OFF},
        "start apart": {"callbacks": [StartingGates("apart")]},
        "start apart, off": {"callbacks": [StartingGates("apart")], **OFF},
        "similarity of all rows": {"virtual_gradient": SimilarityOfAllRows},
        "whole network": {"private_experts": ("cross", "field"), "selection": "soft"},
        "whole network, off": {
            "private_experts": ("cross", "field"),
            "selection": "soft",
            **OFF,
        },
    },
    "conflict": {
        "product": {},
        "mean": MEAN,
        "off": OFF,
        "gates at 1.0, product": FAST,
        "gates at 1.0, mean": FAST | MEAN,
        "gates at 1.0, off": FAST | OFF,
        "plain descent, product": DESCENT,
        "plain descent, mean": DESCENT | MEAN,
        "plain descent, off": DESCENT | OFF,
    },
}
REFERENCES = {
    "mapping": ("MMoE", "raw"),
    "coefficient": ("MMoE", "off"),
    "gates": ("MMoE", "mapped"),
}
STUDY_PAIRS = {
    "SGD 0.1": "SGD 0.1, off",
    "SGD 0.1, frozen": "SGD 0.1, off",
    "SGD 0.1, twice the rate": "SGD 0.1, off",
    "SGD 1.0": "SGD 1.0, off",
    "Adam": "Adam, off",
    "Adam, update": "Adam, off",
    "start alike": "start alike, off",
    "start apart": "start apart, off",
    "similarity of all rows": "SGD 0.1, off",
    "whole network": "whole network, off",
    **{
        f"{how}{reduction}": f"{how}off"
        for how in ("", "gates at 1.0, ", "plain descent, ")
        for reduction in ("product", "mean")
    },
}


def load(dataset: str, rows: int, *, data: str | None) -> dict[str, ScoredRows]:
    """Rows of a table with two made tasks, the second and third part of 1 : 3.

    `dataset` is such as ``"census-related"``; a data set of ``_paper`` is as it is.
    """
    table, _, relation = dataset.partition("-")
    source = dataset if table == "kuairand" else FEATURES[table]
    X, y = DATASETS[source]("train", data)
    order = np.random.default_rng(0).permutation(len(X))
    if table == "kuairand":
        parts = {"train": (X.iloc[order[:rows]], y.iloc[order[:rows]])}
        for name in ("validation", "test"):
            parts[name] = DATASETS[source](name, data)
    else:
        others = ROWS if rows >= FEW_ROWS else rows
        X = X.iloc[np.sort(order[: rows + others])]
        y = target(X, relation)
        order = np.random.default_rng(1).permutation(len(X))
        n_val = (len(X) - rows) // 4
        cut = {
            "train": order[:rows],
            "validation": order[rows : rows + n_val],
            "test": order[rows + n_val :],
        }
        parts = {name: (X.iloc[i], y.iloc[i]) for name, i in cut.items()}
    encoder = FieldEncoder().fit(*parts["train"])
    return {name: ScoredRows(encoder.transform(X), y) for name, (X, y) in parts.items()}


def target(X: Any, relation: str) -> Any:
    """The labels of two tasks, or of eight."""
    if relation in RELATIONS[:2]:
        return make_related_tasks(X, relation, return_X_y=True, random_state=0)[1]
    if relation == "eight":
        pairs = [made(X, name, seed) for seed in (0, 2) for name in CONFLICTS[:2]]
        names = [f"{name} {seed}" for seed in (0, 2) for name in CONFLICTS[:2]]
        return pd.concat(
            [
                pair.add_suffix(f", {name}")
                for name, pair in zip(names, pairs, strict=True)
            ],
            axis=1,
        )
    return made(X, relation, 0)


def made(X: Any, relation: str, seed: int) -> Any:
    """The first task of a seed, and one that stands in this relation to it."""
    y, others = (
        make_related_tasks(X, return_X_y=True, random_state=seed + i)[1] for i in (0, 1)
    )
    second = {
        "independent": others["first"],
        "opposed": 1 - y["related"],
        "crossed": y["related"] ^ others["first"],
    }
    return y[["first"]].assign(**{relation: second[relation]})


def fit(key: dict, parts: dict[str, ScoredRows]) -> dict:
    """One variant: scores, losses of each epoch, and how the gates moved."""
    options = EXPERIMENTS[key["experiment"]][key["system"]]
    epochs = key["epochs"]
    budget = {
        "max_epochs": epochs,
        "n_epochs_no_change": epochs,
        "random_state": key["seed"],
    }
    if options is None:
        model = MMoEClassifier(**SMALL, **budget)
    else:
        options = {**PLAIN, **options}
        if options.get("virtual_gradient") is SimilarityOfAllRows:
            options["virtual_gradient"] = SimilarityOfAllRows(parts["train"].y)
        make = options.pop("class", DEPHNMultiTaskClassifier)
        model = make(**options, **budget)
    row = fit_and_score(model, parts)
    history = model.net_.history
    for part in ("train", "valid"):
        row[f"{part}_curve"] = np.round(history[:, f"{part}_task_loss"], 5).tolist()
    if "gates" in history[0]:
        values = np.array(history[:, "gates"])
        row["gate_movement"] = float(np.abs(values[-1] - values[0]).mean().round(4))
    return row


def asked_keys(options: argparse.Namespace) -> list[tuple]:
    """What to run, seed by seed, experiment by experiment."""
    keys = []
    for seed in range(options.seeds):
        for experiment in options.experiments:
            for dataset, rows, epochs in settings(experiment, options):
                keys += [
                    (experiment, system, dataset, seed, rows, epochs)
                    for system in EXPERIMENTS[experiment]
                    if applies(system, dataset, rows)
                ]
    return keys


def settings(experiment: str, options: argparse.Namespace) -> list[tuple]:
    """Data sets with their training rows and epochs."""
    rows = options.rows or ROWS
    epochs = options.epochs or (GATE_EPOCHS if experiment == "gates" else EPOCHS)
    relations = CONFLICTS if experiment == "conflict" else RELATIONS
    chosen = [(f"{options.features}-{name}", rows, epochs) for name in relations]
    if experiment not in ("study", "conflict"):
        return chosen[:2]
    few = min(FEW_ROWS, rows)
    if experiment == "study" and few < rows:
        chosen.append((chosen[1][0], few, 4 * epochs))
    if options.features == "census":
        chosen.append(("kuairand-8", min(20_000, rows), 2))
    return chosen


def applies(system: str, dataset: str, rows: int) -> bool:
    """The whole network is left out where its fits would cost most."""
    return not (system.startswith("whole") and dataset == "kuairand-8")


def experiment_tables(rows: list[dict], experiment: str) -> str:
    """The tables of one experiment, a section for each data set."""
    sections = []
    asked = [row for row in rows if row["experiment"] == experiment]
    settings = dict.fromkeys((r["dataset"], r["rows"], r["epochs"]) for r in asked)
    for dataset, n_rows, epochs in settings:
        members = [
            row
            for row in asked
            if (row["dataset"], row["rows"], row["epochs"]) == (dataset, n_rows, epochs)
        ]
        heading = f"#### {dataset}, {n_rows:,} rows, {epochs} epochs"
        if experiment in ("study", "conflict"):
            text = study_table(members)
        else:
            text = gain_table(members, REFERENCES[experiment])
        sections.append(f"{heading}\n\n{text}")
    return "\n\n".join(sections)


def study_table(rows: list[dict]) -> str:
    """What each variant gains within a seed, beside how far the gates move."""
    pairs = {
        system: reference
        for system, reference in STUDY_PAIRS.items()
        if system in {row["system"] for row in rows}
    }

    def cell(rows: list[dict], system: str, task: int) -> str:
        return difference(paired(rows, system, pairs[system], task), 5)

    def moved(system: str) -> float:
        return np.mean([r["gate_movement"] for r in rows if r["system"] == system])

    kept = [row for row in rows if row["system"] in pairs]
    lines = task_table(rows, lambda rows, s, t: cell(rows, s, t) if s in pairs else "")
    table = []
    for line in lines.splitlines():
        system = line.split("|")[1].strip()
        if system == "system":
            table.append(line + " against | gates moved by |")
        elif system.startswith("---"):
            table.append(line + "---|---|")
        elif system in pairs and kept:
            table.append(f"{line} {pairs[system]} | {moved(system):.3f} |")
    return "\n".join(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds the data sets' own folders")
    parser.add_argument("--features", choices=FEATURES, default="census")
    parser.add_argument(
        "--experiments", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS)
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="training rows, instead of 40,000")
    parser.add_argument("--epochs", type=int, help="instead of 4 (8 for the gates)")
    parser.add_argument("--results", default=RESULTS / "rq2.jsonl")
    options = parser.parse_args()
    results = Results(options.results, KEY)
    keys = asked_keys(options)

    def load_parts(dataset: str, rows: int) -> dict:
        return load(dataset, rows, data=options.data)

    run(results, keys, load_parts, fit)
    asked = set(keys)
    rows = [r for r in results.rows if tuple(r[k] for k in KEY) in asked]
    for experiment in options.experiments:
        print(f"### {experiment}\n\n{experiment_tables(rows, experiment)}\n")


if __name__ == "__main__":
    main()
