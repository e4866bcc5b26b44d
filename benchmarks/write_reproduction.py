"""Fill the tables and figures of docs/reproduction.md from the results.

    python benchmarks/write_reproduction.py

A table stands in the page between ``<!-- NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from pathlib import Path

import compare_packages
import fitted_models
import numpy as np
import rq1_expert_settings
import rq2_virtual_gradient
import rq3_systems
from _paper import (
    BUDGETS,
    SYSTEM_RESULTS,
    in_budget,
    paired,
    score_tables,
    standard_error,
)
from _report import RESULTS, Results

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "reproduction.md"
BLOCK = re.compile(r"<!-- (?P<name>[\w ,.-]+) -->\n.*?<!-- end -->", re.DOTALL)
RQ1_SETS = ("census-2", "kuairand-3")
RQ3_SETS = ("census-2", "census-3", "kuairand-3", "kuairand-8", "oulad-3")
OURS, OTHERS = ("DEPHN", "DEPHN, paper"), ("MMoE", "PLE", "SNR")
JOINT = ("Shared-Bottom", "MMoE", "PLE", "MT-PHN", "DEPHN, paper", "DEPHN")


def rows_of(name: str) -> list[dict]:
    return Results(RESULTS / name, ()).rows


def tables() -> dict[str, str]:
    """Every table of the page by name."""
    systems = Results(SYSTEM_RESULTS, ()).rows
    found = {}
    for dataset in RQ1_SETS:
        rows = in_budget(systems, dataset, BUDGETS[dataset], rq1_expert_settings.ASKED)
        found[f"rq1 {dataset}"] = score_tables(rows, "MT-PHN")
    for dataset in RQ3_SETS:
        rows = in_budget(systems, dataset, BUDGETS[dataset], rq3_systems.ASKED)
        found[f"rq3 {dataset}"] = score_tables(rows, "MMoE")
    found["rq3 paired"] = paired_table(systems, OURS, OTHERS)
    found["rq3 joint"] = paired_table(systems, JOINT, ("DNN",))
    gained = rows_of("rq2.jsonl")
    for experiment in rq2_virtual_gradient.EXPERIMENTS:
        found[f"rq2 {experiment}"] = rq2_virtual_gradient.experiment_tables(
            gained, experiment
        )
    for name, table in fitted_models.tables(rows_of("fitted.jsonl")).items():
        found[f"fitted {name}"] = table
    found["packages"] = compare_packages.table(rows_of("packages.jsonl"))
    found["versions"] = versions([*systems, *gained])
    return found


def paired_table(
    rows: list[dict], systems: tuple[str, ...], references: tuple[str, ...]
) -> str:
    """Systems against others on each task of each data set; see `verdict`."""
    pairs = [(system, other) for system in systems for other in references]
    lines = [
        "| data set | task | seeds | "
        + " | ".join(f"{system} less {other}" for system, other in pairs)
        + " |",
        "|" + "---|" * (3 + len(pairs)),
    ]
    for dataset in RQ3_SETS:
        named = (*systems, *references)
        members = in_budget(rows, dataset, BUDGETS[dataset], named)
        if not members:
            continue
        for t, task in enumerate(members[0]["tasks"]):
            gains = [paired(members, *pair, t) for pair in pairs]
            cells = [dataset, task, str(min(map(len, gains))), *map(verdict, gains)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(gains: np.ndarray) -> str:
    """Mean difference ± standard error; bold where it is worse by more than that."""
    error = standard_error(gains) if len(gains) > 1 else np.nan
    text = f"{gains.mean():+.4f} ± {error:.4f}"
    return f"**{text}**" if gains.mean() + error < 0 else text


def versions(rows: list[dict]) -> str:
    """Versions and commits of the rows."""
    found: dict = {}
    for row in rows:
        for package, version in row["versions"].items():
            found.setdefault(package, set()).add(version)
    return ", ".join(f"{name} {' and '.join(sorted(v))}" for name, v in found.items())


def filled(page: str) -> str:
    """The page with its tables."""
    known = tables()

    def block(match: re.Match) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n\n{known[name]}\n\n<!-- end -->"

    return BLOCK.sub(block, page)


def figures() -> None:
    """The figures of the page, from the results alone."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from dephn_sk.inspection import (
        CoefficientGainDisplay,
        ContributionDisplay,
        SelectionDisplay,
    )

    rows = [r for r in rows_of("rq2.jsonl") if r["experiment"] == "coefficient"]
    records = [
        {"model": r["system"], "seed": r["seed"], "task": name, "roc_auc": auc}
        for r in rows
        for name, auc in zip(task_labels(r), r["test_auc"], strict=True)
    ]
    seeds = complete_seeds(records)
    figure, ax = plt.subplots(figsize=(7, 8), layout="constrained")
    CoefficientGainDisplay.from_records(
        [r for r in records if r["seed"] in seeds], score_name="roc_auc", ax=ax
    )
    ax.get_legend().remove()
    figure.legend(fontsize=8, ncols=2, loc="outside lower center")
    save(figure, "reproduction_gains.png")

    rows = [r for r in rows_of("rq2.jsonl") if r["experiment"] == "gates"]
    save(curves_figure(plt, rows), "reproduction_gates.png")

    row = next(r for r in rows_of("fitted.jsonl") if r["experiment"] == "network")
    values = np.array(row["selection_parameters"]).T
    display = SelectionDisplay(
        values,
        field_names=row["field_names"],
        structure_names=row["structure_names"],
        scale="parameter",
    ).plot()
    save(display.figure_, "reproduction_selection.png")
    display = ContributionDisplay(
        row["shares"], task_names=row["tasks"], expert_names=row["expert_names"]
    ).plot()
    save(display.figure_, "reproduction_shares.png")


def task_labels(row: dict) -> list[str]:
    relation = row["dataset"].split("-", 1)[1]
    return [f"{task}, {relation} tasks" for task in row["tasks"]]


def complete_seeds(records: list[dict]) -> set:
    """Seeds of which every model and task has a record."""
    have: dict = {}
    for record in records:
        have.setdefault(record["seed"], set()).add((record["model"], record["task"]))
    most = max(map(len, have.values()))
    return {seed for seed, found in have.items() if len(found) == most}


def curves_figure(plt, rows: list[dict]):
    """Validation loss of each epoch and task, mean over seeds."""
    systems = ("trainable", "mapped", "MMoE")
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure, axes = plt.subplots(
        len(datasets), 2, figsize=(7, 5), sharex=True, layout="constrained"
    )
    for line, dataset in zip(axes, datasets, strict=True):
        for system in systems:
            members = [
                row
                for row in rows
                if (row["system"], row["dataset"]) == (system, dataset)
            ]
            curves = np.mean([row["valid_curve"] for row in members], axis=0)
            for task, panel in enumerate(line):
                panel.plot(range(1, len(curves) + 1), curves[:, task], label=system)
                name = members[0]["tasks"][task]
                panel.set_title(f"{dataset}: {name}", loc="left", fontsize=9)
    axes[0, 0].legend(fontsize=8)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("validation loss", fontsize=9)
    return figure


def save(figure, name: str) -> None:
    figure.savefig(DOCS / "images" / name, dpi=80)


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text()))
    figures()


if __name__ == "__main__":
    main()
