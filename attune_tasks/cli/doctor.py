"""``attune-tasks doctor``: whether all is there that a worker needs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from attune_tasks.cli.doctor_exposure import exposure_warnings
from attune_tasks.cli.doctor_workers import WorkersLook
from attune_tasks.cli.exits import ERROR
from attune_tasks.cli.group import complain, reason_of
from attune_tasks.cli.loading import load, load_app, show_warnings
from attune_tasks.errors import AttuneTasksError

if TYPE_CHECKING:
    from attune_tasks.settings import LoadedSettings

__all__ = ["doctor"]

_SECONDS: Final = 4.0
"""For all checks together: an unreachable server is told within five seconds."""
_SEE_SECRETS: Final = "see [secrets] in attune-tasks.toml"
_EMBEDDED: Final = "attune_tasks._celery."


@click.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Check broker, result backend, secret provider, runtimes, packs and settings: one line each, and what to do.

    Ends with 4 where something is wrong; a `warn` names one of your Celery settings that hurts, and changes nothing.
    """
    from attune_tasks._celery import server_checks
    from attune_tasks._celery.settings_advice import advice
    from attune_tasks.runtimes import runtime_names

    loaded = load(context)
    app = load_app(context)
    hurting = advice(app)
    names = runtime_names()
    workers = WorkersLook(app)
    checks = [
        _Check("broker", lambda: _broker(app), "start it, or set broker_url to where it is"),
        _Check("backend", lambda: _backend(app), "start it, or set result_backend to where it is"),
        *(_Check(label, partial(_provider, loaded, name), _SEE_SECRETS) for label, name in _providers(loaded).items()),
        *(_Check(f"runtime {name}", partial(_runtime, loaded, name), "uninstall it") for name in names),
        _Check("packs", lambda: _packs(loaded), "see `attune-tasks packs validate`"),
        _Check("visibility", lambda: _visibility(app, loaded), "see the broker"),
        _Check("results", lambda: server_checks.check_results(app), "see the backend"),
        _Check("shared state", lambda: server_checks.describe_shared_state(app), "see state_url and the backend"),
        _Check("signing", lambda: server_checks.describe_signing(app), "see message_key_file"),
        _Check("launchers", workers.line, "see the line on the broker"),
    ]
    for check in checks:
        check.start()
    deadline = time.monotonic() + _SECONDS
    for check in checks:
        click.echo(check.line(deadline))
    for setting, text in hurting:
        click.echo(_line("warn", setting, text))
    show_warnings(loaded)
    for warning in (*exposure_warnings(loaded, os.environ), *workers.warnings()):
        complain(f"warning: {warning}")
    if not all(check.ok for check in checks):
        context.exit(ERROR)


class _Check:
    """One check, in a thread of its own: what hangs must not keep the others, nor the end of the command."""

    def __init__(self, name: str, look: Callable[[], str], advice: str) -> None:
        self.ok = False
        self._name = name
        self._look = look
        self._advice = advice
        self._said = f"no answer within {_SECONDS:g} s; {advice}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def line(self, deadline: float) -> str:
        """Wait for the check until `deadline`, by time.monotonic(), and give its line."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return _line("ok" if self.ok else "FAIL", self._name, self._said)

    def _run(self) -> None:
        try:
            self._said, self.ok = self._look(), True
        except AttuneTasksError as error:
            self._said = " ".join(str(error).split())  # one line, whatever problems it lists
        except Exception as error:  # noqa: BLE001 - its text may hold a URL with its password
            self._said = f"{reason_of(error)}; {self._advice}"


def _line(verdict: str, name: str, said: str) -> str:
    return f"{verdict:<4}  {name:<18}  {said}"


def _broker(app: Any) -> str:
    if (app.conf.broker_transport or "").startswith(_EMBEDDED):
        with app.connection_for_write() as connection:
            connection.default_channel  # noqa: B018 - opens its folder
        return f"embedded in {app.conf.broker_transport_options['folder']}, for this machine only; needs no server"
    from attune_tasks._celery.server_checks import check_broker

    with app.connection_for_write() as connection:
        # One try: with more, a client goes on longer than anybody waits here.
        connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=_SECONDS)
        check_broker(connection)
        return str(connection.as_uri())


def _backend(app: Any) -> str:
    from attune_tasks._celery.server_checks import check_memory_policy

    app.backend.get_state("00000000-0000-8000-8000-000000000000")  # a read; there is no such task
    if hasattr(app.backend, "client") and "redis" in type(app.backend).__module__:
        check_memory_policy(app.backend.client)
    where = str(app.backend.as_uri())
    embedded = (app.conf.result_backend or "").startswith(_EMBEDDED)
    return f"embedded in {where.removeprefix('file://')}; needs no server" if embedded else where


def _visibility(app: Any, loaded: LoadedSettings) -> str:
    from attune_tasks._celery.claims.store import claim_store
    from attune_tasks._celery.server_checks import check_visibility
    from attune_tasks.known_packs import load_packs

    if (app.conf.broker_transport or "").startswith(_EMBEDDED):
        return "the embedded broker delivers a message once"
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=_SECONDS)
        claimed = claim_store(app) is not None
        return check_visibility(connection, load_packs(loaded), loaded.settings, claimed=claimed)


def _providers(loaded: LoadedSettings) -> dict[str, str]:
    """Give the providers to look at, by their label: the default one, and Vault where references may name it."""
    secrets = loaded.settings.secrets
    others = {"provider vault": "vault"} if secrets.vault.url or secrets.vault.mounts else {}
    return {"provider": secrets.provider} | (others if secrets.provider != "vault" else {})


def _provider(loaded: LoadedSettings, name: str) -> str:
    from attune_tasks.secrets import create_provider

    return create_provider(name, loaded.settings.secrets).describe()


def _runtime(loaded: LoadedSettings, name: str) -> str:
    from attune_tasks.runtimes import get_runtime

    return get_runtime(name, loaded.settings.runtimes.get(name)).describe()


def _packs(loaded: LoadedSettings) -> str:
    from attune_tasks.known_packs import load_packs

    registry = load_packs(loaded)
    return f"{len(registry.packs)} with {len(registry)} actions in {', '.join(map(str, loaded.settings.packs))}"
