"""A page for operators: deploy a service, clean up after it.

The site: ``flask --app ops run``. A worker: ``celery -A ops.celery worker``. ``OPS_DATA`` names the folder of users and
of the key that signs sessions. Broker, result backend and secret provider come from the settings of attune_tasks.
"""

import json
import os
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from flask import Flask, Response, abort, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response as AnyResponse

import attune_tasks
from attune_tasks.contrib.flask import AttuneTasks
from attune_tasks.ids import ids_of

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("OPS_DATA") or HERE / "data")
USERS = DATA / "users.json"
KEY = DATA / "session-key"
KEPT = 50  # ids in a session, which is a cookie
MAY = {"ada": {"ops.deploy", "ops.clean_up"}, "bob": {"ops.clean_up"}}


def logged_in() -> str | None:
    """Say whose request this is; None: nobody has logged in."""
    return session.get("user")


def allowed(user: str, what: str, subject: str) -> bool:
    """Say whether a user may enqueue an action; who has logged in may view every execution."""
    return what == "view" or subject in MAY.get(user, ())


def private(path: Path, make: Any) -> str:
    """Give what a private file holds; where there is none, write what `make()` gives."""
    DATA.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8")
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor: private from the start
        file.write(make())
    return path.read_text(encoding="utf-8")


app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY=private(KEY, lambda: secrets.token_urlsafe(48)),
    SESSION_COOKIE_SAMESITE="Lax",
    ATTUNE_TASKS={"packs": [str(HERE / "packs")]},
)
attune = AttuneTasks(app, login=logged_in, allow=allowed)
celery = app.extensions["celery"]
celery.conf.beat_schedule = {
    "clean-up": attune_tasks.schedule("ops.clean_up", 3600.0, days=30, dry_run=True, expires=600, app=celery),
}


@app.get("/")
def index() -> str | AnyResponse:
    """Show the forms."""
    if logged_in() is None:
        return redirect(url_for("login"))
    return render_template("index.html", user=logged_in(), may=MAY.get(logged_in() or "", set()))


@app.route("/login", methods=["GET", "POST"])
def login() -> str | AnyResponse | tuple[str, int]:
    """Ask who it is."""
    if request.method == "GET":
        return render_template("login.html", fault="")
    users = json.loads(USERS.read_text(encoding="utf-8")) if USERS.exists() else {}
    name = request.form.get("name", "")
    known = users.get(name) or next(iter(users.values()), None)  # who is not known takes as long to be refused
    if known is None or not check_password_hash(known, request.form.get("password", "")) or name not in users:
        return render_template("login.html", fault="Name or password is wrong."), 401
    session.clear()
    session["user"] = name
    return redirect(url_for("index"))


@app.post("/logout")
def logout() -> AnyResponse:
    """Forget who it is."""
    session.clear()
    return redirect(url_for("login"))


@app.after_request
def remember(response: Response) -> Response:
    """Keep the ids of what a user has started: that, and no more, is his to cancel."""
    if request.endpoint == "attune_tasks.enqueue" and response.status_code == HTTPStatus.ACCEPTED:
        session["started"] = [*session.get("started", ()), response.json["execution_id"]][-KEPT:]
    return response


@app.post("/cancel/<execution_id>")
def cancel(execution_id: str) -> dict[str, str]:
    """End an execution. JSON alone is taken: no form of another site can send that."""
    if logged_in() is None:
        abort(401)
    if not request.is_json:
        abort(415)
    if execution_id not in session.get("started", ()):
        abort(403)
    _, task_id = ids_of(execution_id)
    return {"outcome": attune_tasks.Handle.from_task_id(task_id, app=celery).cancel().outcome}


@app.cli.command("demo-users")
def demo_users() -> None:
    """Make two users; print their passwords as JSON."""
    passwords = {name: secrets.token_urlsafe(12) for name in MAY}
    hashes = {name: generate_password_hash(password) for name, password in passwords.items()}
    USERS.unlink(missing_ok=True)
    private(USERS, lambda: json.dumps(hashes))
    click.echo(json.dumps(passwords))
