"""Draw how a report begins: python docs/picture_report.py REPORT.html PICTURE.png

docs/images/report.png is that of `make demo`, once `make test-browser` has brought
Playwright. It takes the Chromium that is installed.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1200, "height": 1420}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    found = filter(None, map(shutil.which, ("chromium", "google-chrome")))
    with sync_playwright() as started:
        # the page is our own, and a container may forbid the sandbox
        browser = started.chromium.launch(
            executable_path=next(found, None), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(given.report.resolve().as_uri())
        page.screenshot(path=given.picture)
        browser.close()
    print(f"Picture: {given.picture}, {given.picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
