"""What a user of the example's site does, by HTTP, as a browser would."""

from __future__ import annotations

import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tests.docker.stack import Stack
from tests.waiting import wait_until

__all__ = ["Site"]


class Site:
    """A session of the user admin."""

    def __init__(self, stack: Stack) -> None:
        """Log in."""
        self._address = f"http://127.0.0.1:{stack.ports['web']}"
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        self.get("/admin/login/")
        form = {
            "username": "admin",
            "password": stack.secret("admin_password"),
            "csrfmiddlewaretoken": self._token(),
            "next": "/admin/",
        }
        page = self._send("/admin/login/", urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")
        assert "Log out" in page or "logout" in page, page[:2000]

    def get(self, path: str) -> str:
        """Get a page."""
        with self._opener.open(self._address + path, timeout=30) as answer:
            return str(answer.read().decode())

    def enqueue(self, action: str, **parameters: Any) -> int:
        """Send an execution, by the JSON view; give its id."""
        body = json.dumps({"action": action, "parameters": parameters}).encode()
        return int(json.loads(self._send("/actions/executions/", body, "application/json"))["execution_id"])

    def status(self, execution_id: int) -> dict[str, Any]:
        """Say how an execution stands."""
        found: dict[str, Any] = json.loads(self.get(f"/actions/executions/{execution_id}/"))
        return found

    def output(self, execution_id: int) -> str:
        """Give what it has printed so far."""
        events = json.loads(self.get(f"/actions/executions/{execution_id}/output/?after="))["events"]
        return "".join(event.get("text", "") for event in events)

    def end_of(self, execution_id: int, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for an execution's final state."""
        ends = {"succeeded", "failed", "timed_out", "cancelled", "error"}
        wait_until(lambda: self.status(execution_id)["status"] in ends, f"{execution_id} ends", seconds)
        return self.status(execution_id)

    def _token(self) -> str:
        return next(str(cookie.value) for cookie in self._cookies if cookie.name == "csrftoken")

    def _send(self, path: str, body: bytes, kind: str) -> str:
        request = urllib.request.Request(self._address + path, body, method="POST")  # noqa: S310 - our own site
        request.add_header("Content-Type", kind)
        request.add_header("X-CSRFToken", self._token())
        request.add_header("Referer", self._address + path)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            msg = f"{path}: {error.code}: {error.read()[:2000]!r}"
            raise AssertionError(msg) from None
