"""Draw a report for the documentation: python docs/picture_report.py REPORT.html FOLDER

The pictures of docs/images are `report` of the report of `make demo`, and the others of
that in the gallery (`make docs`). Needs what `make test-browser` brings, and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

# name: width, height, theme, and the heading that it begins with
PICTURES = {
    "report": (1200, 1420, "light", None),
    "report_phone": (360, 720, "light", None),
    "report_phone_dark": (360, 720, "dark", "calibration"),
    "report_thresholds": (760, 420, "light", "thresholds"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    given = parser.parse_args()
    found = filter(None, map(shutil.which, ("chromium", "google-chrome")))
    with sync_playwright() as started:
        # the page is our own, and a container may forbid the sandbox
        browser = started.chromium.launch(
            executable_path=next(found, None), args=["--no-sandbox"]
        )
        for name in given.only:
            path = given.folder / f"{name}.png"
            draw(browser, given.report, path, *PICTURES[name])
            print(f"Picture: {path}, {path.stat().st_size:,} bytes")
        browser.close()


def draw(browser, report, path, width, height, theme, heading) -> None:
    """One picture of what a screen shows, in few colors: a small file."""
    size = {"width": width, "height": height}
    page = browser.new_page(viewport=size, color_scheme=theme)
    page.goto(report.resolve().as_uri() + (f"#{heading}" if heading else ""))
    drawn = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    drawn.quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)
    page.close()


if __name__ == "__main__":
    main()
