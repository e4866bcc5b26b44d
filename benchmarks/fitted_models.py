"""What do fitted networks look like (figures 3 and 7), and are made tasks as published?

    python benchmarks/fitted_models.py --data FOLDER
    python benchmarks/fitted_models.py --rows 500 --seeds 1 --datasets simulated

- ``network``: "DEPHN, paper" by the protocol of RQ3. For each structure its soft
  selection parameter, averaged within a field (figure 3a), and each expert's share of
  the absolute contributions to each task's logit (figure 3b).
- ``confidence``: the same and MMoE on two unrelated tasks over the features. How far
  apart confident positives and negatives are: their mean predicted probabilities,
  among the quarter of the test rows whose true confidence is largest in size
  (figure 7).
- ``tasks``: the correlation of the confidences of ``make_related_tasks`` for each
  relation, and the held-out AUC of boosting on the first label.

Results are appended to results/fitted.jsonl, and what is in there is not run again.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from _paper import DATASETS, ScoredRows, fit_and_score, load, run, system_model
from _report import RESULTS, Results
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from dephn_sk.datasets import make_related_tasks
from dephn_sk.inspection import expert_contributions, selection_gates
from dephn_sk.preprocessing import FieldEncoder

KEY = ("experiment", "system", "dataset", "seed", "rows", "epochs")
EXPERIMENTS = {
    "network": ["DEPHN, paper"],
    "confidence": ["MMoE", "DEPHN, paper", "DEPHN"],
    "tasks": ["related", "unrelated"],
}
EPOCHS = {"network": 3, "confidence": 4, "tasks": None}
N_EXPLAINED = 5_000


def network(key: dict, data: str | None) -> dict:
    parts = load(key["dataset"], key["rows"], data=data)
    model = system_model(key)
    row = fit_and_score(model, parts)
    selection = selection_gates(model)
    result = expert_contributions(model, parts["test"].X[:N_EXPLAINED])
    size = np.abs(result.contributions).mean(axis=0)
    return row | {
        "structure_names": list(selection.structure_names),
        "field_names": list(selection.field_names),
        "selection_parameters": selection.parameters.mean(axis=2).round(4).tolist(),
        "expert_names": list(result.expert_names),
        "shares": (size / size.sum(axis=1, keepdims=True)).round(4).tolist(),
    }


def confidence(key: dict, data: str | None) -> dict:
    X, _ = DATASETS[key["dataset"]]("train", data)
    X = X.iloc[: 2 * key["rows"]]
    made = make_related_tasks(X, "unrelated", random_state=0)
    order = np.random.default_rng(1).permutation(len(X))
    train, validation, test = np.split(order, [key["rows"], len(X) * 5 // 8])
    encoder = FieldEncoder().fit(X.iloc[train], made.target.iloc[train])
    encoded = {
        name: ScoredRows(encoder.transform(X.iloc[i]), made.target.iloc[i])
        for name, i in (("train", train), ("validation", validation), ("test", test))
    }
    model = system_model(key)
    row = fit_and_score(model, encoded)
    p = model.predict_proba(encoded["test"].X)
    means = []
    for t, true in enumerate(made.confidences[test].T):
        sure = np.abs(true) >= np.quantile(np.abs(true), 0.75)
        positive = true[sure] > 0
        means.append([p[sure, t][positive].mean(), p[sure, t][~positive].mean()])
    return row | {"confident_means": np.round(means, 4).tolist()}


def tasks(key: dict, data: str | None) -> dict:
    X, _ = DATASETS[key["dataset"]]("train", data)
    X = X.iloc[: key["rows"]]
    made = make_related_tasks(X, key["system"], random_state=key["seed"])
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    categorical = make_column_selector(dtype_exclude="number")
    boosting = make_pipeline(
        make_column_transformer((codes, categorical), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=300, random_state=key["seed"]),
    )
    order = np.random.default_rng(key["seed"]).permutation(len(X))
    train, test = np.split(order, [len(X) * 3 // 4])
    y = made.target["first"]
    boosting.fit(X.iloc[train], y.iloc[train])
    auc = roc_auc_score(y.iloc[test], boosting.predict_proba(X.iloc[test])[:, 1])
    correlation = np.corrcoef(made.confidences.T)[0, 1]
    return {"correlation": round(correlation, 4), "boosting_auc": round(auc, 4)}


def tables(rows: list[dict]) -> dict[str, str]:
    """A table for each experiment."""
    found: dict[str, Any] = {name: [] for name in EXPERIMENTS}
    for row in rows:
        found[row["experiment"]].append(row)
    return {
        "selection": selection_table(found["network"]),
        "shares": shares_table(found["network"]),
        "confidence": confidence_table(found["confidence"]),
        "tasks": tasks_table(found["tasks"]),
    }


def by(rows: list[dict], *names: str) -> dict[tuple, list[dict]]:
    """Rows of equal values, in order of appearance."""
    groups: dict = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def structure_kind(name: str) -> str:
    return "public" if name == "public" else name.split()[-1].rstrip("0123456789")


def selection_table(rows: list[dict]) -> str:
    """How far the kinds of structures lie apart, and whether seeds agree on it."""
    lines = [
        "| data set | seeds | smallest | largest | mean size | apart, between kinds "
        "| correlation of that difference between seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for (dataset,), members in by(rows, "dataset").items():
        differences = []  # of each seed: pairs of kinds, by field
        for row in members:
            values = np.array(row["selection_parameters"])
            kinds = np.array([structure_kind(n) for n in row["structure_names"]])
            means = [values[kinds == kind].mean(0) for kind in dict.fromkeys(kinds)]
            pairs = [one - other for i, one in enumerate(means) for other in means[:i]]
            differences.append(np.concatenate(pairs))
        values = np.array([row["selection_parameters"] for row in members])
        cells = [dataset, str(len(members)), f"{values.min():.2f}"]
        cells += [f"{values.max():.2f}", f"{np.abs(values).mean():.3f}"]
        cells.append(f"{np.abs(differences).mean():.3f}")
        between = np.corrcoef(differences)
        upper = np.triu_indices(len(members), 1)
        cells.append(f"{between[upper].mean():.2f}" if len(members) > 1 else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shares_table(rows: list[dict]) -> str:
    """Public and private shares of each task, mean over seeds."""
    lines = [
        "| data set | task | seeds | public | private cross | private field |",
        "|---|---|---|---|---|---|",
    ]
    for (dataset,), members in by(rows, "dataset").items():
        shares = np.mean([row["shares"] for row in members], axis=0)
        names = np.array(members[0]["expert_names"])
        groups = np.array(
            [n.split()[1][:-1] if n.startswith("private") else "public" for n in names]
        )
        for task, share in zip(members[0]["tasks"], shares, strict=True):
            cells = [dataset, task, str(len(members))]
            for group in ("public", "cross", "field"):
                cells.append(f"{share[groups == group].sum():.0%}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def confidence_table(rows: list[dict]) -> str:
    """Mean predictions of confident rows, and the AUC over all rows."""
    lines = [
        "| system | task | seeds | confident positives | confident negatives | apart "
        "| AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for (system,), members in by(rows, "system").items():
        means = np.mean([row["confident_means"] for row in members], axis=0)
        auc = np.mean([row["test_auc"] for row in members], axis=0)
        for t, task in enumerate(members[0]["tasks"]):
            high, low = means[t]
            cells = [system, task, str(len(members)), f"{high:.3f}", f"{low:.3f}"]
            cells += [f"{high - low:.3f}", f"{auc[t]:.4f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tasks_table(rows: list[dict]) -> str:
    lines = [
        "| features | relation | seeds | correlation of the confidences "
        "| AUC of boosting, first task |",
        "|---|---|---|---|---|",
    ]
    for (dataset, relation), members in by(rows, "dataset", "system").items():
        cells = [dataset, relation, str(len(members))]
        for name in ("correlation", "boosting_auc"):
            values = [row[name] for row in members]
            cells.append(f"{min(values):.4f} to {max(values):.4f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


RUNS = {"network": network, "confidence": confidence, "tasks": tasks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds the data sets' own folders")
    parser.add_argument(
        "--datasets", nargs="+", choices=DATASETS, default=["census-2", "kuairand-3"]
    )
    parser.add_argument(
        "--experiments", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS)
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40_000, help="training rows")
    parser.add_argument("--results", default=RESULTS / "fitted.jsonl")
    options = parser.parse_args()
    keys = [
        (experiment, system, dataset, seed, options.rows, EPOCHS[experiment])
        for seed in range(options.seeds)
        for experiment in options.experiments
        for dataset in options.datasets
        for system in EXPERIMENTS[experiment]
        # figure 7 is of one feature table
        if experiment != "confidence" or dataset == options.datasets[0]
    ]
    results = Results(options.results, KEY)
    run(
        results,
        keys,
        lambda dataset, rows: options.data,
        lambda key, data: RUNS[key["experiment"]](key, data),
    )
    for name, table in tables(results.rows).items():
        print(f"### {name}\n\n{table}\n")


if __name__ == "__main__":
    main()
