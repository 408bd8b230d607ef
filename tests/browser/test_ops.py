"""examples/flask_ops: by HTTP, and in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from attune_tasks.proc import started
from tests.browser.example import Example, killed_example, running_example
from tests.browser.pages import check_looks, image, press_enter, session, tab_to
from tests.browser.recording import Recording
from tests.processes import alive
from tests.vault import vault_binary
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(360)  # the first one has the example started

STATUS = '[data-part="status"]'
OUTPUT = '[data-part="output"]'
FAULT = '[data-part="fault"]'


@dataclass(frozen=True)
class Ops:
    """The running example, behind what records it."""

    example: Example
    recording: Recording
    chromium: Browser
    site: str

    def log_in(self, page: Page, user: str) -> None:
        """Log in, by keyboard."""
        page.goto(self.site)
        check_looks(page)
        page.keyboard.type(user)  # the first field has the focus
        tab_to(page, "Password")
        page.keyboard.type(self.example.passwords[user])
        press_enter(page)
        expect(page.get_by_role("heading", name="Deploy")).to_be_visible()


@pytest.fixture(scope="module")
def ops(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Ops]:
    folder = tmp_path_factory.mktemp("ops")
    (folder / "vault").symlink_to(vault_binary())
    path = f"{folder}:{os.environ['PATH']}"
    with running_example("flask", "--secrets vault", folder / "make.log", path) as example:
        assert example.secrets_in == "made up, in a Vault"
        recording = Recording(example.secrets())
        try:
            yield Ops(example, recording, chromium, f"http://127.0.0.1:{recording.before(example.port)}/")
        finally:
            recording.close()


def test_who_logs_in_by_http_runs_an_action(ops: Ops) -> None:
    with requests.Session() as client:
        assert client.post(f"{ops.site}attune/executions", json={}, timeout=20).status_code == 401
        wrong = client.post(f"{ops.site}login", {"name": "ada", "password": "a guess"}, timeout=20)
        assert wrong.status_code == 401
        given = {"name": "ada", "password": ops.example.passwords["ada"]}
        assert client.post(f"{ops.site}login", given, timeout=20).url == ops.site
        asked: Any = {"action": "ops.deploy", "parameters": {"service": "search", "version": "1.4.2", "hosts": 1}}
        sent = client.post(f"{ops.site}attune/executions", json=asked, timeout=20)
        assert sent.status_code == 202, sent.text

        def stands() -> dict[str, Any]:
            told: dict[str, Any] = client.get(ops.site + sent.headers["Location"].lstrip("/"), timeout=20).json()
            return told

        wait_until(lambda: stands()["status"] == "succeeded", "its end", 40)
        end = stands()
        assert end["result"] == {"service": "search", "version": "1.4.2", "hosts": 1}
        assert "deploying with ***" in end["stdout"]
        assert [(each["name"], each["reference"]) for each in end["receipts"]] == [("deploy_token", "ops/deploy#token")]


def test_one_deploys_with_the_keyboard_and_cancels(ops: Ops) -> None:
    with session(ops.chromium, ops.recording) as window:
        page, keys = window.page, window.page.keyboard
        ops.log_in(page, "ada")
        check_looks(page)
        tab_to(page, "Version")
        keys.type("next")
        keys.press("Enter")
        expect(page.locator(FAULT)).to_contain_text("version: must match")
        keys.press("ControlOrMeta+a")
        keys.type("1.4.3")
        tab_to(page, "Hosts")
        keys.type("50")
        tab_to(page, "Deploy")
        keys.press("Enter")
        expect(page.locator(OUTPUT)).to_contain_text("web-2: 1.4.3 is up")
        expect(page.locator(OUTPUT)).to_contain_text("deploying with ***")
        expect(page.locator(STATUS)).to_have_text("running")
        check_looks(page)
        image(page, "flask-running")
        tab_to(page, "Cancel")
        keys.press("Enter")
        expect(page.locator(STATUS)).to_have_text("cancelled")


def test_who_may_only_clean_up_is_refused_a_deployment(ops: Ops) -> None:
    others = "1"  # what somebody else has started
    with session(ops.chromium, ops.recording) as window:
        page = window.page
        ops.log_in(page, "bob")
        expect(page.get_by_role("button", name="Deploy")).to_be_disabled()
        asked = {"action": "ops.deploy", "parameters": {"service": "web", "version": "1.4.2"}}
        assert page.request.post(f"{ops.site}attune/executions", data=asked).status == 403
        assert page.request.post(f"{ops.site}cancel/{others}", data={"it": "now"}).status == 403
        page.get_by_role("button", name="Clean up").click()
        expect(page.locator(STATUS)).to_have_text("succeeded")
        expect(page.locator(OUTPUT)).to_contain_text("would remove releases/release-200-days-old")


def test_nothing_of_an_example_outlives_what_started_it_where_that_is_killed(tmp_path: Path) -> None:
    with killed_example("flask", tmp_path / "start.log") as tree:
        assert len(tree) > 5, tree

        def left() -> list[int]:
            return [pid for pid, since in tree.items() if alive(pid) and started(pid) == since]

        wait_until(lambda: not left(), "that all of it has ended", 30)
