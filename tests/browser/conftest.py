"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.servers import used_server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Give a browser which all tests of a module share."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("the tests need chromium: run tools/ensure-test-tools", pytrace=False)
    # Chromium's own sandbox refuses root. What it shows here comes from processes of these tests alone.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        used_server("chromium", browser.version, "by Playwright")
        yield browser
        browser.close()
