"""What the tests do on pages: by mouse, by keyboard, and the looks that every page must bear."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    HttpCredentials,
    Page,
    StorageState,
    ViewportSize,
    expect,
)

from tests.browser.recording import Recording
from tests.docs_blocks import ROOT

__all__ = ["IMAGES", "PHONE", "Session", "check_looks", "image", "press_enter", "session", "tab_to"]

IMAGES: Final = ROOT / "docs" / "images"
WRITE: Final = "ATTUNE_TASKS_WRITE_IMAGES"
"""Set: the images of the documentation are made anew."""
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_DESK: Final[ViewportSize] = {"width": 1280, "height": 760}
_MILLISECONDS: Final = 45_000

expect.set_options(timeout=_MILLISECONDS)

_UNNAMED: Final = """() => [...document.querySelectorAll("input, select, textarea, progress")]
    .filter((each) => !["hidden", "submit", "button"].includes(each.type))
    .filter((each) => each.getClientRects().length)
    .filter((each) => !(each.labels && [...each.labels].some((label) =>
        label.textContent.trim() || label.querySelector("img[alt]:not([alt=''])"))))
    .filter((each) => !each.getAttribute("aria-label") && !each.getAttribute("aria-labelledby"))
    .map((each) => each.outerHTML.slice(0, 200))"""
_TOO_WIDE: Final = "() => document.documentElement.scrollWidth - window.innerWidth"
_FOCUSED: Final = """() => {
    const at = document.activeElement;
    const name = at.labels && at.labels.length ? at.labels[0].textContent : at.getAttribute("aria-label");
    return (name || at.value || at.textContent || "").trim();
}"""


class Session:
    """A browser's window, of one user."""

    def __init__(self, context: BrowserContext, page: Page, recording: Recording) -> None:
        """Take a page; what goes wrong in its scripts is noted."""
        self.context = context
        self.page = page
        self.recording = recording
        self.answers: list[tuple[int, str]] = []
        """Status and address of each answer."""
        self.faults: list[str] = []
        page.on("response", lambda answer: self.answers.append((answer.status, answer.url)))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.faults.append(message.text)

    def log_in(self, address: str, user: str, password: str) -> None:
        """Log in to Django's admin."""
        self.page.goto(address)
        self.page.get_by_label("Username").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("link", name="Executions")).to_be_visible()

    def text(self) -> str:
        """Give the page with all that its scripts put there."""
        return self.page.content() + self.page.inner_text("body")


@contextmanager
def session(
    chromium: Browser,
    recording: Recording,
    credentials: HttpCredentials | None = None,
    *,
    state: StorageState | None = None,
    may_leak: bool = False,
) -> Iterator[Session]:
    """Open a window; afterwards no secret was in anything that a server told it, unless one was planted.

    `state`: the cookies of another window, which has logged in.
    """
    recording.open()
    context = chromium.new_context(
        viewport=_DESK, reduced_motion="reduce", http_credentials=credentials, storage_state=state
    )
    context.set_default_timeout(_MILLISECONDS)
    try:
        made = Session(context, context.new_page(), recording)
        yield made
        assert may_leak or recording.leaks_in(made.text()) == []
        assert made.faults == []
    finally:
        context.close()
        recording.shut()
    if not may_leak:
        assert len(recording.heard()) > 1000  # something was said at all
        assert recording.leaks() == []


def check_looks(page: Page) -> None:
    """See that every input has a label, and that a phone's width is enough."""
    assert page.evaluate(_UNNAMED) == [], page.url
    before = page.viewport_size
    page.set_viewport_size(PHONE)
    assert page.evaluate(_TOO_WIDE) <= 0, page.url
    if before:
        page.set_viewport_size(before)


def press_enter(page: Page) -> None:
    """Press Enter where it leads to another page."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until what is called `name` has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(_FOCUSED).rstrip(":") == name:
            return
    msg = f"{most} times Tab do not lead to {name!r} on {page.url}"
    raise AssertionError(msg)


def image(page: Page, name: str) -> None:
    """Make an image of the documentation, where that is asked for; see that it is there."""
    path = IMAGES / f"{name}.png"
    if os.environ.get(WRITE):
        path.parent.mkdir(exist_ok=True)
        page.screenshot(path=path)
    assert path.exists(), f"{WRITE}=1 makes {path.name}"
