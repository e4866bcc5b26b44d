"""The most important of the tables, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._columns import LEAKS
from ._writing import decimals, listed, number, percent

Table = list[dict[str, Any]]
FEW = 100  # positive rows, below which that is said


def findings(tables: dict[str, Table]) -> list[str]:
    """What to know first."""
    return [
        *_of_scores(tables.get("scores", [])),
        *_of_numbers(tables.get("scores_of_numbers", [])),
        *_of_leaks(tables.get("columns_alone", [])),
        *_of_columns(tables.get("odd_columns", [])),
        *_of_calibration(tables),
        *_of_labels(tables.get("missing_labels", []), tables.get("funnel", [])),
        *_of_funnel(tables.get("funnel", [])),
        *_of_importance(tables.get("importance", [])),
    ]


def _of_scores(scores: Table) -> Iterator[str]:
    for row in scores:
        if not row["rows"]:
            yield f"{row['task']} has no observed label in these rows."
            continue
        gain, auc = row["gain_over_base"], row["roc_auc"]
        few = min(row.get("positives", FEW), row["rows"] - row.get("positives", 0))
        unsure = ""
        if few < FEW:
            n = row["positives"]
            unsure = f" Of {row['rows']:,} rows {n:,} are positive: that is uncertain."
        if gain != gain or auc != auc:  # one class alone
            yield f"{row['task']} has rows of one class alone: nothing can be told."
        elif gain <= 0:
            yield (
                f"{row['task']} is predicted no better than by its rate alone (log "
                f"loss {number(row['log_loss'])}, of the rate "
                f"{number(row['base_log_loss'])}; ROC AUC {decimals(auc)}). Do not use "
                f"its probabilities.{unsure}"
            )
        else:
            yield (
                f"{row['task']}: ROC AUC {decimals(auc)}; log loss {percent(gain)} "
                f"below that of the rate alone.{unsure}"
            )


def _of_numbers(scores: Table) -> Iterator[str]:
    for row in scores:
        if not row["rows"]:
            yield f"{row['task']} has no observed label in these rows."
        elif row["r2"] == row["r2"]:
            worse = " That is no better than its mean." if row["r2"] <= 0 else ""
            yield (
                f"{row['task']}: R² {decimals(row['r2'])}; mean "
                f"{number(row['mean'])}, predicted {number(row['mean_prediction'])}."
                f"{worse}"
            )


def _of_leaks(alone: Table) -> Iterator[str]:
    for row in alone:
        if row["alone"] >= LEAKS:
            what = f"{row['task']}={row['class']}" if "class" in row else row["task"]
            name = {"roc_auc": "ROC AUC", "r2": "R²"}[row["metric"]]
            yield (
                f"Column {row['column']!r} alone tells {what} ({name} "
                f"{decimals(row['alone'])}). Was it written after it happened? Then no "
                "model will have it in time: leave it out."
            )


def _of_columns(odd: Table) -> Iterator[str]:
    by_kind: dict[str, Table] = {}
    for row in odd:
        by_kind.setdefault(row["holds"], []).append(row)
    said = {
        "dates as text": "Parse them before the fit (pandas.to_datetime); as text, "
        "each is a category of its own.",
        "numbers as text": "Make numbers of them before the fit; as text, each is a "
        "category of its own.",
        "a value of its own in nearly each row": "That says nothing of other rows.",
    }
    for row in by_kind.pop("a class that looks like a missing label", []):
        yield (
            f"Task {row['column']!r} has the class {row['such_as']}. If that means "
            "not observed, make it None (NaN) before the fit."
        )
    for what, rows in by_kind.items():
        if what in said:
            many = "Columns" if len(rows) > 1 else "Column"
            yield (
                f"{many} {listed([row['column'] for row in rows], 8)} "
                f"{'hold' if len(rows) > 1 else 'holds'} {what}, such as "
                f"{rows[0]['such_as']!r}. {said[what]}"
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


def _of_labels(missing: Table, funnel: Table) -> Iterator[str]:
    known = {row["task"] for row in funnel if row["known_to_model"]}
    for row in missing:
        share = row["missing"] / max(row["rows"], 1)
        task, where = row["task"], row.get("observed_only_where")
        seen, lost = (row.get(f"mean_prediction_{k}") for k in ("observed", "missing"))
        if where and task not in known:
            yield (
                f"{task} has labels only where {where} happened: scores and "
                f"probabilities of it are those of such rows. conditions="
                f"{{{task!r}: {where!r}}} learns its probability in all rows."
            )
        elif share > 0.01 and seen and lost and not 0.8 < lost / seen < 1.25:
            more = "more likely" if lost > seen else "less likely"
            yield (
                f"{percent(share, 0)} of the labels of {task} are missing, in rows "
                f"that are predicted {more} than the others: they are not missing at "
                "random, and scores are of the observed rows alone."
            )


def _of_funnel(funnel: Table) -> Iterator[str]:
    for row in funnel:
        if row["labels_against_it"]:
            yield (
                f"{row['labels_against_it']:,} rows say that {row['task']} happened "
                f"without {row['condition']}. Look where their labels come from."
            )
        if row["predictions_against_it"]:
            yield (
                f"{row['task']} is predicted more likely than {row['condition']}, "
                "without which it never happens, in "
                f"{percent(row['share_of_predictions'])} of the rows. "
                f"conditions={{{row['task']!r}: {row['condition']!r}}} rules that out."
            )


def _of_importance(importance: Table) -> Iterator[str]:
    by_task: dict[str, Table] = {}
    for row in importance:
        by_task.setdefault(row["task"], []).append(row)
    for task, found in by_task.items():
        sure = [row for row in found if row["low"] > 0]
        sure.sort(key=lambda row: -row["importance"])
        if sure:
            yield f"{task} depends most on {listed(r['column'] for r in sure[:3])}."
        elif any(row["low"] == row["low"] for row in found):
            yield f"{task} depends on no column by more than chance."
