"""The page of a report: one file, whole, and readable without seeing it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from _logs import SMALL

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.report import ModelReport
from dephn_sk.report import _pictures as pictures
from dephn_sk.report._page import SECTIONS, STYLE, _curves, page
from dephn_sk.report._pictures import ticks

VOID = {"meta", "link", "br", "img", "hr", "input"}
NASTY = '<script>alert("x")</script> & "é"'


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({NASTY: rng.choice(["<b>", "&amp;", "ok"], 400)})
    X["age"] = rng.normal(size=400)
    score = X["age"] + rng.logistic(size=400)
    y = pd.DataFrame({NASTY: (score > 0) * 1.0, "buy": (score > 1) * 1.0})
    y.loc[::5, "buy"] = np.nan
    model = DEPHNMultiTaskClassifier(**{**SMALL, "learning_rate": 0.05})
    model.fit(X[:200], y[:200])
    return ModelReport(model, X[200:], y[200:], X_train=X[:200], n_repeats=2)


@pytest.fixture(scope="module")
def text(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.save(path)
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


class Tree(HTMLParser):
    """Elements with what they are in, and their text; it fails where one is open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        one = {"tag": tag, "in": [o["tag"] for o in self.open], "text": ""}
        one["attributes"] = dict(attributes)
        self.found.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag, attributes):
        self.found.append({"tag": tag, "in": [], "text": "", "attributes": {}})

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for one in self.open:
            one["text"] += data

    def all(self, *tags):
        return [one for one in self.found if one["tag"] in tags]


def test_it_asks_for_nothing_and_runs_nothing(text):
    assert len(text.encode()) < 3e6
    assert not re.search(r"https?:|url\(|@import|<script|javascript:", text)
    assert not re.search(r"\s(src|on\w+)=", text)
    assert "default-src 'none'" in text
    links = re.findall(r'href="([^"]*)"', text)
    ids = set(re.findall(r'\bid="([^"]*)"', text))
    assert all(link == "data:," or link[1:] in ids for link in links)


def test_names_are_text_wherever_they_come_from(text):
    tree = Tree(text)
    assert not tree.all("script", "b")
    assert any(NASTY in one["text"] for one in tree.all("th"))


def test_headings_are_in_order_and_each_section_has_one(text):
    tree = Tree(text)
    levels = [int(one["tag"][1]) for one in tree.all("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert len(tree.all("h2")) == len(tree.all("section"))
    (html,) = tree.all("html")
    assert html["attributes"]["lang"] == "en"
    assert len(tree.all("main")) == len(tree.all("title")) - len(tree.all("svg")) == 1


def test_every_table_has_a_caption_and_scopes_and_can_be_scrolled_by_keys(text):
    tree = Tree(text)
    tables = tree.all("table")
    assert len(tables) == len(tree.all("caption")) > 10
    assert all(one["text"].strip() for one in tree.all("caption"))
    scopes = [one["attributes"].get("scope") for one in tree.all("th")]
    assert set(scopes) == {"col", "row"}
    boxes = [o for o in tree.all("div") if o["attributes"].get("role") == "region"]
    assert len(boxes) == len(tables)
    assert all(box["attributes"]["tabindex"] == "0" for box in boxes)
    assert all(box["attributes"]["aria-label"] for box in boxes)


def test_every_picture_has_a_title_and_a_description_of_its_own(text):
    tree = Tree(text)
    drawn = tree.all("svg")
    assert len(drawn) > 8
    assert all(one["attributes"]["role"] == "img" for one in drawn)
    ids = [o["attributes"]["id"] for o in tree.all("title", "desc") if o["attributes"]]
    assert len(ids) == len(set(ids)) == 2 * len(drawn)
    named = " ".join(one["attributes"]["aria-labelledby"] for one in drawn).split()
    assert sorted(named) == sorted(ids)
    assert all(len(one["text"]) > 10 for one in tree.all("desc"))
    assert "nan" not in " ".join(re.findall(r'\b[dxy]="([^"]*)"', text)).lower()


def luminance(color):
    if len(color) == 4:
        color = "#" + "".join(2 * digit for digit in color[1:])
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a, b):
    high, low = sorted([luminance(a), luminance(b)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", range(3))
def test_contrast_is_that_of_level_aa_in_light_dark_and_print(theme):
    block = re.findall(r":root\{(.*?)\}", STYLE, re.S)[theme]
    colors = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", block))
    for ground in ("bg", "panel"):
        for ink in ("fg", "soft", "one"):
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
    for line in ("one", "two", "bar"):  # what pictures are made of
        assert contrast(colors[line], colors["bg"]) >= 3, line


def test_a_notebook_shows_it_in_a_frame_of_its_own(report):
    shown = report._repr_html_()
    tree = Tree(shown)
    (frame,) = tree.found
    assert frame["tag"] == "iframe"
    assert frame["attributes"]["title"] == report.title
    Tree(frame["attributes"]["srcdoc"])


def test_a_file_that_is_there_stays_where_a_page_cannot_be_made(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = ModelReport.__new__(ModelReport)
    broken.title, broken.notes, broken.findings = "t", [], []
    broken._found = {"calibration": [{"task": "a"}]}
    with pytest.raises(KeyError):
        broken.save(path)
    assert path.read_text() == "old"
    report.save(path)
    assert path.read_text() != "old"


def test_a_comparison_is_a_page_too(report, tmp_path):
    rows = [{"task": "a", "metric": "auc", "one": 0.5, "other": np.nan}]
    text = page("t", [], [], {"scores": rows})
    assert "\N{EN DASH}" in text
    Tree(text)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.1, 0.13), (-3, 900), (2, 2)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-9 <= one <= high + 1e-9 for one in found)


def test_constant_and_single_values_are_drawn():
    ids = pictures.Numbering()
    row = {"predicted": 0.0, "observed": 0.0, "low": 0.0, "high": 0.0}
    flat = {"value": "a", "effect": 0.5, "observed": np.nan, "ordered": True}
    flat |= {"low": np.nan, "high": np.nan}
    for drawn in (
        pictures.calibration(ids, "a", [row]),
        pictures.effect(ids, "c", "a", [flat]),
        pictures.curves(ids, "a", [("training loss", "one", [0.5])]),
        pictures.bars(ids, "a", [{"x": 0.0}], lambda row: "x", "x"),
    ):
        assert "nan" not in drawn
        Tree(drawn)


def test_losses_look_as_the_text_beside_them_says():
    rows = [{"train_loss_a": 2 / n, "valid_loss_a": 3 / n} for n in (1, 2, 3)]
    drawn = "".join(_curves(pictures.Numbering(), rows))
    assert "training loss (dashed) goes from" in drawn
    assert "validation loss (solid line) goes from" in drawn
    assert "Dashed: while it was trained; solid: on rows" in SECTIONS["training"][1]
