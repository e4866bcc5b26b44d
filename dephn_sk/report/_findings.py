"""The most important of the tables, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Table = list[dict[str, Any]]


def findings(tables: dict[str, Table]) -> list[str]:
    """What to know first."""
    return [
        *_of_scores(tables.get("scores", [])),
        *_of_calibration(tables),
        *_of_labels(tables.get("missing_labels", [])),
        *_of_funnel(tables.get("funnel", [])),
        *_of_importance(tables.get("importance", [])),
    ]


def _of_scores(scores: Table) -> Iterator[str]:
    for row in scores:
        if not row["rows"]:
            yield f"{row['task']} has no observed label in these rows."
            continue
        gain, auc = row["gain_over_base"], row["roc_auc"]
        if gain != gain or auc != auc:  # one class alone
            yield f"{row['task']} has rows of one class alone: nothing can be told."
        elif gain <= 0:
            yield (
                f"{row['task']} is predicted no better than by its rate alone (log "
                f"loss {row['log_loss']:.4f}, of the rate {row['base_log_loss']:.4f}; "
                f"ROC AUC {auc:.3f}). Do not use its probabilities."
            )
        else:
            yield (
                f"{row['task']}: ROC AUC {auc:.3f}; log loss {gain:.1%} below that of "
                "the rate alone."
            )


def _of_calibration(tables: dict[str, Table]) -> Iterator[str]:
    by_task: dict[str, Table] = {}
    for row in tables.get("calibration", []):
        by_task.setdefault(row["task"], []).append(row)
    for task, bins in by_task.items():
        outside = [b for b in bins if not b["low"] <= b["predicted"] <= b["high"]]
        if len(outside) > max(1, len(bins) // 5):
            low = sum(b["predicted"] < b["observed"] for b in outside)
            how = "too low" if 2 * low > len(outside) else "too high"
            yield (
                f"Probabilities of {task} are off in {len(outside)} of {len(bins)} "
                f"bins, mostly {how}. TaskCalibrator repairs that."
            )


def _of_labels(missing: Table) -> Iterator[str]:
    for row in missing:
        share = row["missing"] / max(row["rows"], 1)
        seen, lost = (row.get(f"mean_prediction_{k}") for k in ("observed", "missing"))
        if share > 0.01 and seen and lost and not 0.8 < lost / seen < 1.25:
            more = "more" if lost > seen else "less"
            yield (
                f"{share:.0%} of the labels of {row['task']} are missing, in rows that "
                f"are predicted {more} likely than the others: they are not missing at "
                "random, and scores are of the observed rows alone."
            )


def _of_funnel(funnel: Table) -> Iterator[str]:
    for row in funnel:
        if row["labels_against_it"]:
            yield (
                f"{row['labels_against_it']} rows say that {row['task']} happened "
                f"without {row['condition']}. Look where their labels come from."
            )
        if row["predictions_against_it"]:
            yield (
                f"{row['task']} is predicted more likely than {row['condition']}, "
                f"without which it never happens, in {row['share_of_predictions']:.1%} "
                f"of the rows. conditions={{{row['task']!r}: {row['condition']!r}}} "
                "rules that out."
            )


def _of_importance(importance: Table) -> Iterator[str]:
    by_task: dict[str, Table] = {}
    for row in importance:
        by_task.setdefault(row["task"], []).append(row)
    for task, found in by_task.items():
        sure = [row for row in found if row["low"] > 0]
        sure.sort(key=lambda row: -row["importance"])
        if sure:
            names = ", ".join(row["column"] for row in sure[:3])
            yield f"{task} depends most on {names}."
        elif found:
            yield f"{task} depends on no column by more than chance."
