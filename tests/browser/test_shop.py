"""examples/django_shop in a real browser: all that a user does in the admin, under ASGI and WSGI, and in Flower."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, HttpCredentials, Page, StorageState, expect

from tests.browser.example import Example, running_example
from tests.browser.pages import PHONE, Session, check_looks, image, press_enter, session, tab_to
from tests.browser.recording import Recording
from tests.browser.shop_wsgi import wsgi_server
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(360)  # the first one has the example started

LIST = "attune_tasks/execution/"
REPORT = f"{LIST}run/shop.report/"
STATUS = '[data-attune="status"]'
OUTPUT = '[data-attune="output"]'
PROGRESS = '[data-attune="progress"]'
LONG = {"month": "2026-05", "orders": "1000", "pause": "0.5"}
"""Parameters of a report that is not over by itself."""

VALUE = "A-1009"
"""Of a parameter: Flower is not to show it."""


@dataclass(frozen=True)
class Shop:
    """The running example, behind what records it."""

    example: Example
    recording: Recording
    chromium: Browser
    asgi: str
    """Address of the admin, as `make example-django` serves it."""
    wsgi: str
    flower: str

    states: dict[str, StorageState] = field(default_factory=dict)
    """Who has logged in already, and their cookies."""

    def window(
        self, credentials: HttpCredentials | None = None, *, user: str = "", may_leak: bool = False
    ) -> AbstractContextManager[Session]:
        """Open a window; `user` has logged in there."""
        state = self._logged_in(user) if user else None
        return session(self.chromium, self.recording, credentials, state=state, may_leak=may_leak)

    def _logged_in(self, user: str) -> StorageState:
        if user not in self.states:
            with self.window() as window:
                window.log_in(self.asgi, user, self.example.passwords[user])
                self.states[user] = window.context.storage_state()
        return self.states[user]

    def run(self, page: Page, ref: str, **parameters: str) -> None:
        """Run an action by its form; wait until its page is there."""
        page.goto(f"{self.asgi}{LIST}run/{ref}/")
        for name, value in parameters.items():
            given = page.locator(f'[name="p_{name}"]')
            if given.evaluate("each => each.tagName") == "SELECT":
                given.select_option(label=value)
            else:
                given.fill(value)
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(STATUS)).to_be_visible()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with running_example("django", "--secrets file", folder / "make.log") as example, wsgi_server(example) as port:
        recording = Recording(example.secrets())
        try:
            admin = [f"http://127.0.0.1:{recording.before(each)}/admin/" for each in (example.port, port)]
            flower = f"http://127.0.0.1:{recording.before(example.flower_port)}/"
            yield Shop(example, recording, chromium, admin[0], admin[1], flower)
        finally:
            recording.close()


def test_who_logs_in_by_http_runs_an_action(shop: Shop) -> None:
    with requests.Session() as client:
        shown = client.get(f"{shop.asgi}login/", timeout=20)
        assert shown.ok
        given = {"username": "ada", "password": shop.example.passwords["ada"], "next": "/admin/"}
        given["csrfmiddlewaretoken"] = str(client.cookies["csrftoken"])
        assert client.post(f"{shop.asgi}login/", given, timeout=20).url == shop.asgi
        base = shop.asgi.removesuffix("/admin/")
        asked: Any = {"action": "shop.report", "parameters": {"month": "2026-07", "orders": 2, "pause": 0}}
        head = {"X-CSRFToken": str(client.cookies["csrftoken"])}
        sent = client.post(f"{base}/actions/executions/", json=asked, headers=head, timeout=20)
        assert sent.status_code == 202, sent.text

        def stands() -> dict[str, Any]:
            told: dict[str, Any] = client.get(base + sent.json()["status"], timeout=20).json()
            return told

        wait_until(lambda: stands()["status"] == "succeeded", "its end", 40)
        assert stands()["result"] == {"month": "2026-07", "orders": 2, "total": "23.91 EUR"}


@pytest.mark.parametrize("server", ["asgi", "wsgi"])
def test_wrong_input_is_marked_and_right_input_runs_before_ones_eyes(shop: Shop, server: str) -> None:
    address = shop.asgi if server == "asgi" else shop.wsgi
    with shop.window() as window:
        page = window.page
        window.log_in(address, "ada", shop.example.passwords["ada"])
        page.get_by_role("link", name="Executions").first.click()
        page.get_by_role("link", name="Run an action").click()
        page.get_by_role("link", name="shop.report").click()
        page.get_by_label("month").fill("April")
        page.get_by_label("pause").fill("0.3")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".errornote")).to_be_visible()
        expect(page.locator(".form-row.errors")).to_have_count(1)
        expect(page.locator(".form-row.errors")).to_contain_text("must match")
        if server == "asgi":
            image(page, "django-form")
        page.get_by_label("month").fill("2026-04")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(OUTPUT)).to_contain_text("order A-1003: 14.01 EUR")
        expect(page.locator(STATUS)).to_have_text("running")
        percent = float(page.locator(PROGRESS).evaluate("each => each.value"))
        assert 0 < percent < 100
        if server == "asgi":
            image(page, "django-running")
            check_looks(page)
        expect(page.locator(STATUS)).to_have_text("succeeded")
        expect(page.locator(OUTPUT)).to_contain_text("order A-1020: 37.30 EUR")  # the page has loaded itself anew
        expect(page.get_by_text('"total": "485.70 EUR"')).to_be_visible()
        expect(page.get_by_role("button", name="Cancel it")).to_have_count(0)
        heard = shop.recording.heard()
        assert (b"text/event-stream" in heard) == (server == "asgi")
        assert b"content-security-policy: default-src 'self'" in heard.lower()  # under which all of this went on
        assert bool([url for _, url in window.answers if "/live/" in url]) == (server == "wsgi")


def test_one_is_cancelled_and_run_again(shop: Shop) -> None:
    with shop.window(user="ada") as window:
        page = window.page
        shop.run(page, "shop.report", **LONG)
        expect(page.locator(OUTPUT)).to_contain_text("order A-1001")
        first = page.url
        page.get_by_role("button", name="Cancel it").click()
        expect(page.locator(STATUS)).to_have_text("cancelled")
        page.get_by_role("button", name="Run it again").click()
        expect(page.locator(OUTPUT)).to_contain_text("order A-1001")
        assert page.url != first
        expect(page.get_by_text('"month": "2026-05"')).to_be_visible()
        page.get_by_role("button", name="Cancel it").click()
        expect(page.locator(STATUS)).to_have_text("cancelled")


def test_a_secret_is_fetched_anew_and_masked_wherever_it_is_shown(shop: Shop) -> None:
    with shop.window(user="ada") as window:
        page = window.page
        shop.run(page, "shop.refund", order="A-1004", amount_cents="1538", reason="damaged")
        for is_again in (False, True):
            if is_again:
                first = page.url
                page.get_by_role("button", name="Run it again").click()
                expect(page).not_to_have_url(first)
            expect(page.locator(STATUS)).to_have_text("succeeded")
            expect(page.locator(OUTPUT)).to_contain_text("authorization: ***")
            expect(page.get_by_text('"reference": "shop/payment#api_key"')).to_be_visible()
        shop.run(page, "shop.send_list", warehouse="north", note="<b>early</b>", account="shop/warehouse_test#password")
        expect(page.locator(STATUS)).to_have_text("succeeded")
        expect(page.locator(OUTPUT)).to_contain_text("with the note: <b>early</b>")  # as text, and no markup
        assert page.locator(f"{OUTPUT} b").count() == 0


def test_orders_are_refunded_from_their_own_list(shop: Shop) -> None:
    with shop.window(user="ada") as window:
        page = window.page
        page.goto(f"{shop.asgi}shop/order/")
        page.get_by_role("row", name="A-1007").get_by_role("checkbox").check()
        page.get_by_label("Action:").select_option(label="Refund the selected orders")
        page.get_by_role("button", name="Run", exact=True).or_(page.get_by_role("button", name="Go")).click()
        expect(page.get_by_text("1 refunds are on their way.")).to_be_visible()
        page.get_by_role("row", name="A-1007").get_by_role("link").last.click()
        expect(page.locator(STATUS)).to_have_text("succeeded")


def test_one_is_scheduled_and_happens(shop: Shop) -> None:
    with shop.window(user="ada") as window:
        page = window.page
        page.goto(f"{shop.asgi}django_celery_beat/intervalschedule/add/")
        page.get_by_label("Number of Periods").fill("1")
        page.get_by_label("Interval Period").select_option("seconds")
        page.get_by_role("button", name="Save", exact=True).click()
        page.goto(f"{shop.asgi}django_celery_beat/periodictask/add/")
        page.get_by_label("Name:").fill("Report of August")
        page.get_by_label("Action:").select_option("shop.report")
        page.get_by_label("Its parameters:").fill('{"month": "August", "pause": 0}')
        page.get_by_label("Interval Schedule:").select_option(label="every second")
        page.get_by_label("One-off Task").check()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator(".errorlist").first).to_contain_text("must match")
        image(page, "django-schedule")
        page.get_by_label("Its parameters:").fill('{"month": "2026-08", "pause": 0}')
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("was added successfully")).to_be_visible()
        ids = page.get_by_role("link", name=re.compile(r"^\d{15,}$"))

        def has_happened() -> bool:
            page.goto(f"{shop.asgi}{LIST}?action=shop.report&user__isnull=True&status=succeeded")
            return ids.count() > 0

        wait_until(has_happened, "that beat has had it run", 60)
        expect(ids).to_have_count(1)
        ids.click()
        expect(page.get_by_text('"month": "2026-08"').first).to_be_visible()


def test_flower_shows_it_by_its_name_and_with_no_value(shop: Shop) -> None:
    with shop.window(user="ada") as window:
        page = window.page
        shop.run(page, "shop.refund", order=VALUE, amount_cents="100")
        expect(page.locator(STATUS)).to_have_text("succeeded")
        task = page.locator(".field-task_id .readonly").inner_text()
    assert requests.get(shop.flower, timeout=10).status_code == 401
    with shop.window({"username": "ada", "password": shop.example.passwords["ada"]}) as window:
        page = window.page
        page.goto(f"{shop.flower}tasks")
        expect(page.get_by_role("cell", name="shop.refund").first).to_be_visible()
        assert VALUE not in window.text()
        image(page, "flower")
        page.goto(f"{shop.flower}task/{task}")
        expect(page.get_by_text("SUCCESS").first).to_be_visible()
        expect(page.get_by_text("shop.refund").first).to_be_visible()
        expect(page.get_by_text("amount_cents").first).to_be_visible()  # by its name
        assert VALUE not in window.text()
        for name in ("workers", "broker"):
            page.goto(f"{shop.flower}{name}")


def test_who_has_no_permission_is_refused(shop: Shop) -> None:
    with shop.window(user="ada") as window:
        page = window.page
        shop.run(page, "shop.report", **LONG)
        expect(page.locator(OUTPUT)).to_contain_text("order A-1001")
        address = page.url
        with shop.window(user="bob") as other:
            theirs = other.page
            theirs.goto(f"{shop.asgi}{LIST}")
            expect(theirs.get_by_role("link", name="Packs")).to_be_visible()
            expect(theirs.get_by_role("link", name="Run an action")).to_have_count(0)
            theirs.goto(address)
            expect(theirs.locator(OUTPUT)).to_contain_text("order A-1001")
            expect(theirs.get_by_role("button", name=re.compile("Cancel|again"))).to_have_count(0)
            for path in (f"{LIST}run/", REPORT, f"{LIST}run/shop.refund/"):
                answer = theirs.goto(f"{shop.asgi}{path}")
                assert answer
                assert answer.status == 403, path
            token = next(each["value"] for each in other.context.cookies() if each["name"] == "csrftoken")
            for path in (REPORT, f"{address.removeprefix(shop.asgi).removesuffix('change/')}cancel/"):
                sent = other.context.request.post(
                    f"{shop.asgi}{path}", form={"p_month": "2026-04", "csrfmiddlewaretoken": token}
                )
                assert sent.status == 403, path
        page.get_by_role("button", name="Cancel it").click()
        expect(page.locator(STATUS)).to_have_text("cancelled")


def test_the_keyboard_alone_is_enough(shop: Shop) -> None:
    with shop.window() as window:
        page, keys = window.page, window.page.keyboard
        page.goto(shop.asgi)
        keys.type("ada")
        tab_to(page, "Password")
        keys.type(shop.example.passwords["ada"])
        press_enter(page)
        for name in ("Executions", "Run an action", "shop.report"):
            tab_to(page, name)
            press_enter(page)
        tab_to(page, "month")
        keys.type("2026-06")
        tab_to(page, "pause")
        keys.type("1.5")  # what stands in a field that Tab leads to is selected
        tab_to(page, "Run")
        press_enter(page)
        expect(page.locator(OUTPUT)).to_contain_text("order A-1001")
        expect(page.get_by_text('"pause": 1.5')).to_be_visible()
        tab_to(page, "Output of the action")
        tab_to(page, "Cancel it")
        keys.press("Enter")
        expect(page.locator(STATUS)).to_have_text("cancelled")


def test_every_page_has_labels_and_fits_a_phone(shop: Shop) -> None:
    with shop.window() as window:
        page = window.page
        page.goto(shop.asgi)
        check_looks(page)
        window.log_in(shop.asgi, "ada", shop.example.passwords["ada"])
        check_looks(page)
        for path, file in (
            (f"{LIST}run/", ""),
            (REPORT, ""),
            (f"{LIST}run/shop.refund/", ""),
            (f"{LIST}run/shop.send_list/", ""),
            (f"{LIST}packs/", "django-packs"),
            (LIST, "django-executions"),
            ("django_celery_beat/periodictask/add/", ""),
        ):
            answer = page.goto(f"{shop.asgi}{path}")
            assert answer
            assert answer.ok, path
            check_looks(page)
            if file:
                image(page, file)
        page.goto(f"{shop.asgi}{LIST}packs/")
        page.get_by_role("button", name="Look whether").click()
        expect(page.get_by_text("found", exact=True).first).to_be_visible()
        page.set_viewport_size(PHONE)
        page.goto(f"{shop.asgi}{REPORT}")
        image(page, "django-phone")


def test_a_secret_that_is_planted_is_found(shop: Shop) -> None:
    """Without this, what the other tests don't find would say nothing."""
    secret = shop.example.secrets()["shop/payment#api_key"]
    with shop.window(user="ada", may_leak=True) as window:
        page = window.page
        page.goto(f"{shop.asgi}shop/order/")
        assert shop.recording.leaks() == []
        page.goto(f"{shop.asgi}shop/order/?q={secret[::-1]}")  # from back to front: no masking knows that
        assert shop.recording.leaks_in(window.text()) == ["shop/payment#api_key (reversed)"]
        assert shop.recording.leaks() == ["shop/payment#api_key (reversed)"]
        shop.recording.forget()
        answer = page.request.get(f"{shop.asgi}shop/order?q={secret}", max_redirects=0)
        assert answer.status == 301
        assert shop.recording.leaks() == ["shop/payment#api_key (plain)"]  # in the head, as Location
