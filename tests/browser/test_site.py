"""The documentation in a real browser, from its files: quiet, whole, and for everybody.

`make test-browser` builds the site without running its gallery, and says where it lies.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _browser import THEMES, WIDTHS, listen, violations

SITE = Path(os.environ.get("DEPHN_SK_SITE", "no site")).absolute()
if not SITE.is_dir():
    pytest.skip("needs the documentation, see DEPHN_SK_SITE", allow_module_level=True)
# pages of single names have one form, so some of them stand for all
API = [
    *("DEPHNMultiTaskClassifier", "logs.Log", "metrics.gauc", "nn.DEPHN"),
    *("preprocessing.FieldEncoder", "report.ModelReport", "tasks.KINDS"),
]
PAGES = [f"generated/dephn_sk.{name}.html" for name in API] + sorted(
    page.relative_to(SITE).as_posix()
    for page in SITE.rglob("*.html")
    if page.relative_to(SITE).parts[0] not in ("_static", "generated")
)
# menus, head and foot are the same on all pages
WHOLE = ["index.html", "auto_examples/index.html", "generated/dephn_sk.nn.DEPHN.html"]


@pytest.fixture
def opened(browser):
    """Opens a page of the site, and says what it must not have said or asked for."""
    pages, heard = [], []

    def open_page(address, width, theme):
        size = {"width": width, "height": 900}
        options = {"viewport": size, "color_scheme": theme, "reduced_motion": "reduce"}
        # the report in the gallery forbids all scripts, and axe is one
        pages.append(browser.new_page(**options, bypass_csp=True))
        heard.append(listen(pages[-1]))
        pages[-1].goto(f"{SITE.as_uri()}/{address}")
        return pages[-1]

    yield open_page
    for page, (said, asked) in zip(pages, heard, strict=True):
        page.close()
        inside = (f"{SITE.as_uri()}/", "data:", "about:srcdoc")
        assert [one for one in asked if not one.startswith(inside)] == []
        assert [words for kind, words in said if kind in ("error", "warning")] == []


def faults(page, part=None):
    """What is wrong with a page as it stands."""
    too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    found = [f"{too_wide} pixels too wide"] if too_wide > 0 else []
    found += violations(page.main_frame, part)
    for frame in page.frames[1:]:
        found += violations(frame)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_fits_and_is_for_everybody(opened, name):
    page = opened(name, WIDTHS[0], THEMES[0])
    # each width and each theme; all four of both for the pages of the test below
    for width, theme in zip(WIDTHS, THEMES, strict=True):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        assert faults(page, "main") == [], (width, theme)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", WHOLE)
def test_menus_head_and_foot_are_for_everybody(opened, name, width, theme):
    assert faults(opened(name, width, theme)) == []


def test_a_search_finds_pages_without_a_server(opened):
    page = opened("search.html?q=thresholds", 1440, "light")
    page.locator("#search-results li a").first.wait_for()
