"""A model card says what was learned, and stands in the file."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from _logs import SMALL, make_log
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import dephn_sk
from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.calibration import TaskCalibrator
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.storage import card_of

X, Y = make_log()


@pytest.fixture(scope="module")
def fitted():
    return DEPHNMultiTaskClassifier(**SMALL).fit(X, Y)


def rows(card, title):
    """The cells of the table under a heading."""
    text = card.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]
    ]


def test_it_tells_data_tasks_parameters_and_versions(fitted):
    card = fitted.card()
    assert card.startswith("# DEPHNMultiTaskClassifier\n")
    assert card.count("to be filled in") == 2
    assert [row[0] for row in rows(card, "Data")] == ["shop", "size", "age"]
    tasks = rows(card, "Tasks")
    rates = [f"{rate:.1%}" for rate in fitted.task_rates_]
    assert [(row[0], row[1], row[2]) for row in tasks] == [
        ("click", "0, 1", rates[0]),
        ("buy", "0, 1", rates[1]),
    ]
    changed = {row[0]: row[1] for row in rows(card, "Parameters")}
    assert changed["embedding_dim"] == "`2`"
    assert "dropout" not in changed  # the default
    assert dict(rows(card, "Versions"))["dephn_sk"] == dephn_sk.__version__
    assert "## Metrics" not in card


def test_metrics_are_numbers_or_one_for_each_task(fitted):
    metrics = {"log loss": 0.25, "AUC": np.array([0.8, np.nan]), "ECE": {"buy": 0.01}}
    found = rows(fitted.card(metrics), "Metrics")
    assert found == [
        ["log loss", "", "0.25"],
        ["AUC", "click", "0.8"],
        ["AUC", "buy", ""],
        ["ECE", "buy", "0.01"],
    ]
    with pytest.raises(ValueError, match="zip"):
        fitted.card({"AUC": [0.5]})


def test_it_stands_beside_the_manifest(fitted, tmp_path):
    fitted.save(tmp_path / "model.zip", metrics={"AUC": 0.75})
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        assert file.read("README.md").decode() == fitted.card({"AUC": 0.75})
    dephn_sk.load(tmp_path / "model.zip")


def test_names_cannot_break_the_table():
    y = Y.rename(columns={"buy": "buy | <b>now</b>\n#"})
    model = DEPHNMultiTaskClassifier(**SMALL).fit(X, y)
    (_, buy) = [line for line in model.card().splitlines() if "0, 1" in line]
    assert buy.startswith("| buy \\| &lt;b>now&lt;/b> # | 0, 1 |")


def test_around_a_model_it_tells_of_the_model(fitted):
    for model in (
        make_pipeline(fitted),
        TaskCalibrator(fitted).fit(X, Y),
        fitted.task("buy"),
    ):
        card = card_of(model)
        assert "It ends in a DEPHNMultiTaskClassifier." in card
        assert [row[0] for row in rows(card, "Tasks")] == ["click", "buy"]
    card = FieldEncoder().fit(X).card()
    assert "## Tasks" not in card
    assert [row[0] for row in rows(card, "Data")] == ["shop", "size", "age"]
    with pytest.raises(NotFittedError):
        DEPHNMultiTaskClassifier().card()
