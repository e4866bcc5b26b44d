import os

import pytest


@pytest.fixture(scope="session")
def browser():
    from _browser import CHROMIUM, playwright

    with playwright.sync_playwright() as started:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()
