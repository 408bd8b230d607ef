"""leak-check looks at a real Flower: its pages, its API and its metrics."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from celery import Celery

from attune_tasks._celery.leaks.controls import CONTROLS
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks.leaks import Row
from tests.celery_worker import CeleryWorker
from tests.integration.flower_server import PASSWORD, USER, flower
from tests.integration.leaks_watch import Watch, control_sent, honest_sent, only, write_leak_packs
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.vault import free_port

NAME = "leaks@here"
PAGES = ("/task/", "/api/task/info/", "/api/task/result/", "/tasks/datatable", "/api/tasks")
"""Where an error shows. A name shows on /metrics and on what is told of the worker, too."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Place:
    made = make_place(tmp_path_factory.mktemp("leaks-flower"), redis_server)
    write_leak_packs(made)
    return made


@pytest.fixture(scope="module")
def leaks_worker(place: Place) -> Iterator[CeleryWorker]:
    with worker(place, "-c", "2", "-n", NAME) as running:
        yield running


@pytest.fixture(scope="module")
def app(place: Place) -> Iterator[Celery]:
    made = place.client()
    made.main = "attune_tasks"  # by whose name the shared state is told from others
    # The name in this event is the task's own, and may come after that of `task-received`, and take its place.
    made.conf.task_send_sent_event = False
    yield made
    made.close()


@pytest.fixture(scope="module")
def closed_flower(place: Place, leaks_worker: CeleryWorker) -> Iterator[str]:
    """Run one that asks who is there."""
    with flower(place, NAME, "flower.log", f"--basic_auth={USER}:{PASSWORD}") as address:
        yield address


def watching(app: Celery, url: str) -> Watch:
    return Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME, flower=url), "Flower"))


@pytest.fixture(scope="module")
def rows(place: Place, app: Celery, closed_flower: str) -> dict[tuple[str, str], Row]:
    watch = watching(app, f"http://{USER}:{PASSWORD}@{closed_flower}")
    watch.run(partial(honest_sent, place, app), "honest")
    watch.run(partial(honest_sent, place, app, fail=True), "honest failure")
    for control in CONTROLS:
        if control.surface == "Flower":
            watch.run(partial(control_sent, place, app, control=control), control.how)
    found = watch.end()
    assert PASSWORD not in repr(found)
    return found


@pytest.mark.parametrize("runtime", ["honest", "honest failure"])
def test_an_honest_execution_is_clean_on_all_pages(rows: dict[tuple[str, str], Row], runtime: str) -> None:
    row = rows["Flower", runtime]
    assert (row.verdict, row.why) == ("clean", "")


@pytest.mark.parametrize(
    ("how", "pages"),
    [
        ("secret", PAGES),
        (
            "name",
            ("/task/", "/api/task/info/", "/tasks/datatable", "/api/tasks", "/metrics", "/worker/", "/api/workers"),
        ),
    ],
)
def test_what_leaks_is_found_on_each_page_that_shows_it(
    rows: dict[tuple[str, str], Row], how: str, pages: tuple[str, ...]
) -> None:
    row = rows["Flower", how]
    assert row.verdict == "LEAK"
    variant = "reversed" if how == "secret" else "plain"
    for page in pages:
        assert [hit for hit in row.hits if page in hit.where and hit.variant == variant], (page, row.hits)


def test_one_that_refuses_is_not_looked_at(app: Celery, closed_flower: str) -> None:
    for url in (f"http://{closed_flower}", f"http://somebody:else@{closed_flower}"):
        row = watching(app, url).end_of_nothing()["Flower"]
        assert row.verdict == "not looked at"
        assert row.why == f"http://{closed_flower} refuses: give user:password by --flower-login FILE"


def test_executions_that_it_does_not_know_are_not_looked_at(app: Celery, closed_flower: str) -> None:
    row = watching(app, f"http://{USER}:{PASSWORD}@{closed_flower}").end_of_nothing()["Flower"]
    assert row.verdict == "not looked at"
    assert "knows none of these executions" in row.why


def test_one_whose_api_is_closed_is_looked_at_in_part(place: Place, app: Celery, leaks_worker: CeleryWorker) -> None:
    with flower(place, NAME, "open.log") as address:
        watch = watching(app, f"http://{address}")
        watch.run(partial(honest_sent, place, app), "honest")
        row = watch.end()["Flower", "honest"]
    assert row.verdict == "clean"
    assert row.why.startswith("refused: /api/task/info/…, /api/task/result/…, /api/tasks, /api/workers: ")
    assert "FLOWER_UNAUTHENTICATED_API=1" in row.why


class _Other(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Be something else; with a path of its own, send them elsewhere."""
        self.send_response(302 if self.path == "/moved/" else 200)
        self.send_header("Location", "http://example.invalid/login")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_what_is_no_flower_is_not_looked_at(app: Celery) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        expected = {
            url: f"what answers at {url} is no Flower: --flower URL",
            f"{url}/moved": f"{url}/moved wants somebody to sign in: start a Flower with --basic_auth for this",
        }
        found = {each: watching(app, each).end_of_nothing()["Flower"].why for each in expected}
        server.shutdown()
    assert found == expected


def test_where_there_is_none_it_says_how_to_name_one(app: Celery) -> None:
    port = free_port()
    row = watching(app, f"http://x:{PASSWORD}@127.0.0.1:{port}").end_of_nothing()["Flower"]
    assert (row.verdict, row.why) == ("not looked at", f"no Flower at http://127.0.0.1:{port}: --flower URL")


@pytest.mark.parametrize(
    "url", [f"ftp://{PASSWORD}@host", f"http://user:{PASSWORD}", f"http://user:{PASSWORD}@:80", PASSWORD]
)
def test_an_address_that_is_none_is_not_shown(app: Celery, url: str) -> None:
    row = watching(app, url).end_of_nothing()["Flower"]
    assert row.verdict == "not looked at"
    assert PASSWORD not in row.why
