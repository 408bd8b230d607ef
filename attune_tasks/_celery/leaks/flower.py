"""The surface "Flower": its pages, its API and /metrics, where it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from attune_tasks._celery.leaks.base import RoundsSurface
from attune_tasks._celery.leaks.flower_pages import FlowerPages
from attune_tasks.leaks import Row, Seeker, Watched

__all__ = ["DEFAULT_FLOWER", "FlowerSurface"]

DEFAULT_FLOWER: Final = "http://127.0.0.1:5555"
_REST_SECONDS: Final = 5.0
_ROUND_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_TASKS: Final = 200
"""The newest, of all that it knows: on its page of tasks and by its API."""
_GENERAL: Final = ("/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers")
_TABLE: Final = "/tasks/datatable?" + urlencode(
    {"draw": 1, "start": 0, "length": _TASKS, "order[0][column]": 0, "order[0][dir]": "desc"}
    | {"columns[0][data]": "received"}
)
"""What its page of tasks shows comes from here."""
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_ENDED: Final = (b"SUCCESS", b"FAILURE", b"REVOKED")


class FlowerSurface(RoundsSurface):
    """Looks at what a Flower shows to whoever may open it."""

    def __init__(self, seeker: Seeker, worker_name: str, url: str | None = None) -> None:
        """Look at the Flower at `url`, else at its usual address on this machine."""
        super().__init__("Flower", seeker)
        self._worker_name = worker_name
        self._url = url or DEFAULT_FLOWER
        self._pages: FlowerPages | None = None
        self._statuses: dict[str, int] = {}
        """The last one of each path, without ids."""
        self._known: set[str] = set()
        self._ended: set[str] = set()

    def begin(self) -> None:
        """See whether there is one."""
        try:
            pages = FlowerPages(self._url)
        except ValueError as error:
            self._not_looked_at(str(error))
            return
        first = pages.get("/")
        if not first.status:
            self._not_looked_at(f"no Flower at {pages.shown}: --flower URL")
        elif first.status in _REFUSED:
            self._not_looked_at(f"{pages.shown} refuses: give user:password by --flower-login FILE")
        elif HTTPStatus.MULTIPLE_CHOICES <= first.status < HTTPStatus.BAD_REQUEST:
            self._not_looked_at(f"{pages.shown} wants somebody to sign in: start a Flower with --basic_auth for this")
        elif b"flower" not in first.data.lower():
            self._not_looked_at(f"what answers at {pages.shown} is no Flower: --flower URL")
        else:
            self._pages = pages
            self._start_rounds()

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Wait until it shows the ends of the executions, and look once more."""
        if self._end_rounds() and self._pages is not None:
            deadline = time.monotonic() + _REST_SECONDS
            while self._misses_ends(self._pages, executions) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            self._last_round(executions)
            self._say_what_was_not_seen(self._pages, executions)
        return super().end(executions)

    def _misses_ends(self, pages: FlowerPages, executions: Sequence[Watched]) -> bool:
        for each in executions:
            if each.is_over and each.task_id not in self._ended:
                data = pages.get(f"/task/{pages.quoted(each.task_id)}").data
                if not any(state in data for state in _ENDED):
                    return True
                self._ended.add(each.task_id)
        return False

    def _say_what_was_not_seen(self, pages: FlowerPages, executions: Sequence[Watched]) -> None:
        for runtime in dict.fromkeys(each.runtime for each in executions):
            tasks = {pages.quoted(each.task_id) for each in executions if each.runtime == runtime}
            if not tasks & self._known:
                why = f"the Flower at {pages.shown} knows none of these executions: is it of this broker?"
                self._not_looked_at(why, runtime)
        refused = sorted(path for path, status in self._statuses.items() if status in _REFUSED)
        if refused:
            advice = "give it basic authentication, or start it with FLOWER_UNAUTHENTICATED_API=1"
            self._partly(f"refused: {', '.join(refused)}: {advice}")
        other = sorted(path for path, status in self._statuses.items() if status not in {HTTPStatus.OK, *_REFUSED})
        if other:
            self._partly(f"no answer, or none that says anything: {', '.join(other)}")

    def _round(self, executions: Sequence[Watched]) -> None:
        pages = self._pages
        if pages is None:
            return
        deadline = time.monotonic() + _ROUND_SECONDS
        for path, shown in self._paths(pages, executions):
            if time.monotonic() > deadline:
                self._partly(f"{pages.shown} is slow: not all of its pages were looked at")
                return
            page = pages.get(path)
            self._statuses[shown] = page.status
            self._search(page.data, f"Flower, {path.partition('?')[0]}")
            if not page.is_whole:
                self._partly(f"{shown}: what comes after 4 MiB")
            if shown == "/task/…" and page.status == HTTPStatus.OK:
                self._known.add(path.rpartition("/")[2])

    def _paths(self, pages: FlowerPages, executions: Sequence[Watched]) -> Iterator[tuple[str, str]]:
        """Give the paths, and how each is named in general."""
        for each in executions:
            task_id = pages.quoted(each.task_id)
            for path in ("/task/", "/api/task/info/", "/api/task/result/"):
                yield path + task_id, f"{path}…"
        for path in _GENERAL:
            yield path, path
        yield f"/worker/{pages.quoted(self._worker_name)}", "/worker/…"
        yield _TABLE, "/tasks/datatable"
        yield f"/api/tasks?limit={_TASKS}", "/api/tasks"
