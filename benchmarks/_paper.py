"""What the scripts of the paper's questions share: data, one fit, runs and tables."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from _datasets import DATASETS as OPEN_DATASETS
from _datasets import of
from _report import RESULTS, Results, environment, mean_and_deviation

from dephn_sk import DEPHNMultiTaskClassifier, baselines
from dephn_sk.datasets import load_ali_ccp, load_criteo, load_wechat2021
from dephn_sk.metrics import task_log_loss, task_roc_auc
from dephn_sk.preprocessing import FieldEncoder

PARTS = ("train", "validation", "test")
SYSTEM_RESULTS = RESULTS / "rq_systems.jsonl"
KEY = ("system", "dataset", "seed", "rows", "epochs")
DATASETS = {
    **OPEN_DATASETS,
    "criteo": of(load_criteo),
    "ali-ccp": of(load_ali_ccp),
    "wechat2021": of(load_wechat2021),
}
# training rows and epochs: what an hour or so on one core allows for 5 seeds
BUDGETS = {
    "simulated": (2_000, 2),
    "census-2": (50_000, 3),
    "census-3": (50_000, 3),
    "kuairand-3": (50_000, 2),
    "kuairand-8": (25_000, 2),
    "oulad-3": (None, 6),
    "criteo": (None, 2),
    "ali-ccp": (None, 2),
    "wechat2021": (None, 2),
}
PROTOCOL = {
    "embedding_dim": 8,
    "numeric_embedding": "bins+piecewise-linear",
    "n_bins": 64,
    "embedding_dropout": 0.3,
    "unseen_rate": 0.0,
    "target_statistics": None,
    "n_layers": 1,
    "dropout": 0.2,
    "batch_size": 256,
    "learning_rate": 2e-3,
    "weight_decay": 1e-5,
    "weight_averaging": 0.0,
    "early_stopping": True,
    "n_threads": 1,
}
# which task needs which; labels that contradict it count as not observed
_CLICKED = {"long_view": "is_click", "is_like": "is_click"}
FUNNELS = {
    "kuairand-3": _CLICKED,
    "kuairand-8": _CLICKED,
    "oulad-3": {"passed": "completed", "distinction": "passed"},
    "ali-ccp": {"conversion": "click"},
    "simulated": {"like": "click", "purchase": "click"},
}
ON_A_FUNNEL = ("ESMM", "DEPHN on a funnel")  # systems that are told of it
_EXPERTS = {"expert_hidden": (64, 32)}
_MAPS = {"n_maps": 16}  # the compressed interactions cost as much as all other systems
SYSTEMS: dict[str, tuple[Callable[..., Any], dict]] = {
    "DNN": (baselines.DNNClassifier, {}),
    "Wide & Deep": (baselines.WideDeepClassifier, {}),
    "DCN": (baselines.DCNClassifier, {}),
    "FINT": (baselines.FINTClassifier, {}),
    "NFM": (baselines.NFMClassifier, {}),
    "xDeepFM": (baselines.XDeepFMClassifier, _MAPS),
    "Shared-Bottom": (baselines.SharedBottomClassifier, {}),
    "MMoE": (baselines.MMoEClassifier, {}),
    "PLE": (baselines.PLEClassifier, {}),
    "SNR": (baselines.SNRClassifier, {}),
    "ESMM": (baselines.ESMMClassifier, {}),
    "AITM": (baselines.AITMClassifier, {}),
    "MT-PHN, all public": (baselines.MTPHNClassifier, {"sharing": "all-public"}),
    "MT-PHN, private DNN": (baselines.MTPHNClassifier, {"sharing": "private-dnn"}),
    "MT-PHN": (baselines.MTPHNClassifier, {"sharing": "public-dnn"}),
    "DEPHN, paper": (DEPHNMultiTaskClassifier.paper_configuration, _EXPERTS),
    "DEPHN": (DEPHNMultiTaskClassifier, {}),
    "DEPHN on a funnel": (DEPHNMultiTaskClassifier, {}),
}


class ScoredRows(NamedTuple):
    """Rows of one part: encoded columns, and labels."""

    X: Any
    y: Any


def load(dataset: str, rows: int | None, *, data: str | None) -> dict[str, ScoredRows]:
    """The three parts, encoded once; `rows` training rows, drawn at random.

    The same rows for every system and seed.
    """
    X, y = DATASETS[dataset]("train", data)
    if rows and rows < len(X):
        kept = np.sort(np.random.default_rng(0).permutation(len(X))[:rows])
        X, y = X.iloc[kept], y.iloc[kept]
    encoder = FieldEncoder().fit(X, y)
    parts = {"train": ScoredRows(encoder.transform(X), y)}
    for part in PARTS[1:]:
        X, y = DATASETS[dataset](part, data)
        parts[part] = ScoredRows(encoder.transform(X), y)
    return parts


def fit_and_score(model: Any, parts: dict[str, ScoredRows]) -> dict:
    """Fit on one part, watch the second, score the third."""
    start = time.process_time()
    X, y = parts["train"]
    X_val, y_val = parts["validation"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Row .* not observed")
        model.fit(X, _labels(y), X_val=X_val, y_val=_labels(y_val))
    seconds = time.process_time() - start
    history = model.net_.history
    best = int(np.argmin(history[:, "valid_monitor"]))
    kept = best if model.early_stopping else len(history) - 1
    X_test, y_test = parts["test"]
    p = probabilities_of_labels(model, X_test, y_test)
    return {
        "tasks": list(y),
        "fit_cpu_seconds": round(seconds, 1),
        "kept_epoch": kept + 1,
        "validation_auc": np.round(history[kept, "valid_task_score"], 5).tolist(),
        "validation_log_loss": np.round(history[kept, "valid_task_loss"], 5).tolist(),
        "test_auc": task_roc_auc(y_test, p).round(5).tolist(),
        "test_log_loss": task_log_loss(y_test, p).round(5).tolist(),
    }


def probabilities_of_labels(model: Any, X: Any, y: Any) -> np.ndarray:
    """Given the condition, where a task's labels are known then alone."""
    p = model.predict_proba(X)[:, -len(y.columns) :]
    for task, condition in model.tasks_.condition_names.items():
        if y[task][y[condition] == 0].isna().all():
            t = list(y).index(task)
            p[:, t] = model.predict_proba_given(X)[:, t]
    return p


def _labels(y: Any) -> Any:
    """A frame of one task as a column, as scikit-learn wants it."""
    return y if len(y.columns) > 1 else y.iloc[:, 0]


def system_model(key: dict) -> Any:
    """A system by the protocol, with the key's epochs and seed."""
    make, own = SYSTEMS[key["system"]]
    epochs = key["epochs"]
    budget = {"max_epochs": epochs, "n_epochs_no_change": epochs}
    if key["system"] in ON_A_FUNNEL:
        funnel = FUNNELS.get(key["dataset"], {})
        own = {**own, "conditions": funnel, "on_violation": "warn"}
    return make(**{**PROTOCOL, **own, **budget}, random_state=key["seed"])


def show_progress(key: tuple) -> None:
    print(*key, file=sys.stderr, flush=True)


def run(
    results: Results,
    keys: Iterable[tuple],
    load_parts: Callable[[str, int | None], Any],
    fit: Callable[[dict, Any], dict],
) -> None:
    """Fit what `results` does not hold yet; data that were loaded are kept."""
    loaded: dict = {}
    for key in keys:
        if key in results:
            continue
        named = dict(zip(results.key, key, strict=True))
        data = (named["dataset"], named["rows"])
        if data not in loaded:
            loaded[data] = load_parts(*data)
        results.add(named | fit(named, loaded[data]) | environment())
        show_progress(key)


def compare(
    doc: str, *, systems: list[str], datasets: list[str], reference: str
) -> None:
    """The script of a question that compares systems: run, then print a table each."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", help="folder that holds the data sets' own folders")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=datasets)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=systems)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="training rows, instead of the budget")
    parser.add_argument("--epochs", type=int, help="instead of the budget")
    parser.add_argument("--results", default=SYSTEM_RESULTS)
    options = parser.parse_args()
    results = Results(options.results, KEY)
    budgets = {
        name: (options.rows or rows, options.epochs or epochs)
        for name, (rows, epochs) in BUDGETS.items()
    }
    keys = [
        (system, dataset, seed, *budgets[dataset])
        for seed in range(options.seeds)
        for dataset in options.datasets
        for system in options.systems
        # without a funnel it is DEPHN
        if system != "DEPHN on a funnel" or FUNNELS.get(dataset)
    ]
    run(
        results,
        keys,
        lambda *args: load(*args, data=options.data),
        lambda key, parts: fit_and_score(system_model(key), parts),
    )
    for dataset in options.datasets:
        rows = in_budget(results.rows, dataset, budgets[dataset], options.systems)
        print(f"### {dataset}\n\n{score_tables(rows, reference)}\n")


def in_budget(
    rows: list[dict], dataset: str, budget: tuple, systems: Iterable[str]
) -> list[dict]:
    """Rows of one data set and budget, in the order of the systems."""
    return [
        row
        for system in systems
        for row in rows
        if row["system"] == system
        and row["dataset"] == dataset
        and (row["rows"], row["epochs"]) == budget
    ]


def difference(values: Iterable[float], digits: int = 4) -> str:
    """Mean difference over seeds and its standard error, such as ``+.0012 ± .0003``."""
    values = np.asarray(list(values))
    text = f"{values.mean():+.{digits}f}"
    if len(values) > 1:
        text += f" ± {standard_error(values):.{digits}f}"
    return text


def standard_error(values: Any) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def paired(
    rows: list[dict], system: str, reference: str, task: int, metric: str = "test_auc"
) -> np.ndarray:
    """Differences of a task's score within a seed, over the seeds that both have."""
    by_system: dict = {system: {}, reference: {}}
    for row in rows:
        if row["system"] in by_system:
            by_system[row["system"]][row["seed"]] = row[metric][task]
    seeds = sorted(by_system[system].keys() & by_system[reference].keys())
    return np.array(
        [by_system[system][seed] - by_system[reference][seed] for seed in seeds]
    )


def task_table(rows: list[dict], cell: Callable[[list[dict], str, int], str]) -> str:
    """A line for each system, a column for each task."""
    tasks = rows[0]["tasks"]
    lines = [
        "| " + " | ".join(["system", "seeds", *tasks]) + " |",
        "|" + "---|" * (len(tasks) + 2),
    ]
    for system in dict.fromkeys(row["system"] for row in rows):
        seeds = sum(row["system"] == system for row in rows)
        cells = [cell(rows, system, t) for t in range(len(tasks))]
        lines.append("| " + " | ".join([system, str(seeds), *cells]) + " |")
    return "\n".join(lines)


def score_tables(rows: list[dict], reference: str) -> str:
    """Test AUC, test log loss, and the AUC's differences from the reference."""
    if not rows:
        return "no results yet"

    def mean(metric: str) -> Callable:
        return lambda rows, system, task: mean_and_deviation(
            [row[metric][task] for row in rows if row["system"] == system]
        )

    def gain(rows: list[dict], system: str, task: int) -> str:
        gains = paired(rows, system, reference, task)
        return difference(gains) if len(gains) and system != reference else ""

    return "\n\n".join(
        [
            "Test AUC, mean ± standard deviation over seeds:",
            task_table(rows, mean("test_auc")),
            "Test log loss:",
            task_table(rows, mean("test_log_loss")),
            f"Test AUC less that of {reference} within a seed, mean ± standard error:",
            task_table(rows, gain),
        ]
    )


def gain_table(rows: list[dict], references: tuple[str, ...]) -> str:
    """Test AUC of each task, and its differences from the references within a seed."""
    tasks = rows[0]["tasks"]
    heads = ["variant", "seeds"]
    for task in tasks:
        heads += [f"{task} AUC", *(f"less {reference}" for reference in references)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for system in dict.fromkeys(row["system"] for row in rows):
        members = [row for row in rows if row["system"] == system]
        cells = [system, str(len(members))]
        for t in range(len(tasks)):
            cells.append(mean_and_deviation([row["test_auc"][t] for row in members]))
            for reference in references:
                gains = paired(rows, system, reference, t)
                known = len(gains) and system != reference
                cells.append(difference(gains) if known else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
