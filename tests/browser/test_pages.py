"""Pages in a real browser: whole, quiet, and for everybody (axe-core).

`make test-browser` brings Playwright and axe-core, and runs this with the Chromium that
is installed; elsewhere it is skipped.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from _browser import THEMES, WIDTHS, listen, violations
from _logs import SMALL

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.report import ModelReport


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report and a comparison, with names of all lengths."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a" * 60: rng.choice(["<b>", "x" * 60, "ok"], 400)})
    X["age"] = rng.normal(size=400)
    score = X["age"] + rng.logistic(size=400)
    y = pd.DataFrame({"click" * 9: (score > 0) * 1.0, "buy": (score > 1) * 1.0})
    y.loc[::5, "buy"] = np.nan
    model = DEPHNMultiTaskClassifier(**SMALL).fit(X[:200], y[:200])
    given, folder = (X[200:], y[200:]), tmp_path_factory.mktemp("pages")
    report = ModelReport(model, *given, X_train=X[:200], n_repeats=2)
    report.save(folder / "report.html")
    found = ModelReport.compare({"a": model, "b": model}, *given, n_bootstrap=5)
    found.save(folder / "comparison.html")
    (folder / "notebook.html").write_text(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>n</title>'
        '<meta name="viewport" content="width=device-width"></head><body><main>'
        f"<h1>n</h1>{report._repr_html_()}</main></body></html>"
    )
    return folder


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "comparison", "notebook"])
def test_a_page_is_quiet_fits_and_is_for_everybody(browser, pages, name, width, theme):
    size = {"width": width, "height": 900}
    # the page forbids all scripts, and axe is one
    context = browser.new_context(viewport=size, color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    said, asked = listen(page)
    address = (pages / f"{name}.html").as_uri()
    page.goto(address)
    assert [one for one in asked if one not in (address, "about:srcdoc")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []  # axe itself will say something about frames
    for frame in page.frames:
        assert violations(frame) == []
    context.close()


def test_all_tables_are_reached_and_scrolled_by_keys(browser, pages):
    page = browser.new_page(viewport={"width": 360, "height": 900})
    page.goto((pages / "report.html").as_uri())
    boxes = page.locator("[role=region]")
    for i in range(boxes.count()):
        box = boxes.nth(i)
        box.focus()
        if box.evaluate("box => box.scrollWidth > box.clientWidth + 40"):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(300)
            assert box.evaluate("box => box.scrollLeft") > 0
    page.close()


def test_paper_shows_whole_tables_in_black_on_white(browser, pages):
    page = browser.new_page(color_scheme="dark")
    page.goto((pages / "report.html").as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    color = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(color) == "rgb(255, 255, 255)"
    heights = "b => b.every(box => box.scrollHeight <= box.clientHeight + 2)"
    assert page.locator("[role=region]").evaluate_all(heights)
    page.close()
