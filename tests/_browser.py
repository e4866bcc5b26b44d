"""Chromium and axe-core, for the tests that open pages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")
AXE = Path(os.environ.get("DEPHN_SK_AXE", "node_modules/axe-core/axe.min.js"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
if CHROMIUM is None or not AXE.is_file():
    pytest.skip("needs Chromium and axe-core", allow_module_level=True)
WIDTHS = [360, 1440]
THEMES = ["light", "dark"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
VIOLATIONS = """
async ([part, rules]) => {
  // without `preload`: axe would fetch style sheets, which a page of a file may not;
  // nor ask `iframes`, whose answers the browser refuses: each frame is asked itself
  const options = {resultTypes: ["violations"], preload: false, iframes: false};
  const found = await axe.run(part || document, {runOnly: rules, ...options});
  return found.violations.map(
    one => one.id + ": " + one.nodes.map(node => node.html.slice(0, 200)).join("; "));
}
"""


def violations(frame, part=None):
    """What axe-core finds, of levels A and AA, in a frame or a part of it."""
    if not frame.evaluate("'axe' in window"):
        frame.evaluate(AXE.read_text())
    return frame.evaluate(VIOLATIONS, [part, RULES])


def listen(page):
    """What a page will say (kind, words), and the addresses it will ask for."""
    said, asked = [], []
    page.on("console", lambda message: said.append((message.type, message.text)))
    page.on("pageerror", lambda error: said.append(("error", str(error))))
    page.on("request", lambda request: asked.append(request.url))
    return said, asked
