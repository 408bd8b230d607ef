"""The guard: a secret that stands where others can read it stops the execution, and is not quoted."""

from __future__ import annotations

import base64
import json
import secrets as random
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from attune_tasks.context import ExecutionContext, ExecutionRequest
from attune_tasks.errors import SecretExposedError
from attune_tasks.executor import ActionExecutor, build_executor
from attune_tasks.guard import Guard, Texts
from attune_tasks.masking import Masker
from attune_tasks.process import Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes.base import run
from attune_tasks.settings import load_settings

KEY = f"sk_live_{random.token_hex(8)}"
PEM = f"-----BEGIN KEY-----\n{random.token_hex(16)}\n{random.token_hex(16)}\n-----END KEY-----\n"
SECRETS = {"api_key": KEY, "pem": PEM}


def found(add: Callable[[Texts], None], secrets: Mapping[str, str] | None = None) -> str | None:
    """Give what the guard says of the texts that `add` adds; None: nothing."""
    texts = Texts()
    add(texts)
    guard = guard_of(SECRETS if secrets is None else secrets)
    errors = []
    try:
        guard.check(texts)
    except SecretExposedError as error:
        errors.append(error)
    for each in errors:
        assert KEY not in str(each)
        assert not any(line in str(each) for line in PEM.splitlines() if len(line) > 8)
        assert (each.__cause__, each.__context__) == (None, None)
    return str(errors[0]) if errors else None


def guard_of(secrets: Mapping[str, str]) -> Guard:
    """Make a guard."""
    return Guard(secrets, Masker(secrets))


def in_parameters(parameters: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> str | None:
    """Give what the guard says of parameters."""
    return found(lambda texts: texts.add_parameters(parameters), secrets)


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        f"before {KEY} after",
        ["x", KEY],
        {"a": {"b": [KEY]}},
        {"a": {KEY: 1}},
        PEM,
        PEM.splitlines()[2],
        f"'{PEM.splitlines()[1]}'",
    ],
    ids=["alone", "within", "in a list", "deep", "a key", "lines", "a line", "a line within"],
)
def test_a_secret_in_a_parameter_is_found_however_deep(value: object) -> None:
    said = in_parameters({"month": "2026-01", "note": value})
    assert said is not None
    name = "api_key" if KEY in json.dumps(value) else "pem"
    assert said.startswith(f"the secret {name} stands in the parameter note, where others can read it")


SPECIAL = "p4ss w\u00f6rd/+&'\"x-" + "7Zq" * 4


@pytest.mark.parametrize(
    "written",
    [
        base64.b64encode(SPECIAL.encode()).decode(),
        "Basic " + base64.b64encode(b"carol:" + SPECIAL.encode()).decode(),
        SPECIAL.encode().hex().upper(),
        quote(SPECIAL),
        json.dumps(SPECIAL),
        shlex.quote(SPECIAL),
    ],
)
def test_every_form_that_is_masked_is_found(written: str) -> None:
    for parameters in ({"note": written}, {"note": {"a": [written]}}, {written: 1}):
        said = in_parameters(parameters, {"password": SPECIAL})
        assert said is not None
        assert written not in said
    assert in_parameters({"note": f"{SPECIAL[:-4]}-and-something-else"}, {"password": SPECIAL}) is None


def test_a_number_is_looked_at_as_it_is_written() -> None:
    assert in_parameters({"pin": 20260417}, {"pin": "20260417"}) is not None
    assert in_parameters({"pin": True, "x": None, "y": 1.5}, {"pin": "20260417"}) is None


def test_a_whole_secret_that_is_json_is_found_in_an_object() -> None:
    whole = json.dumps({"user": "carol", "port": 5432})
    assert in_parameters({"db": {"user": "carol", "port": 5432}}, {"db": whole}) is not None


def test_a_name_that_is_a_secret_is_found_and_not_quoted() -> None:
    assert "in the name of a parameter" in str(in_parameters({KEY: 1}))
    assert "in the name of a variable" in str(found(lambda texts: texts.add_variables({KEY: "1"})))
    assert "the message: a header" in str(found(lambda texts: texts.add_message({"a header": {KEY: "1"}}, None)))


def test_variables_and_the_message_are_looked_at() -> None:
    assert "in the variable TOKEN" in str(found(lambda texts: texts.add_variables({"TOKEN": KEY})))
    assert "in the message: a link" in str(found(lambda texts: texts.add_message({"a link": [{"args": [KEY]}]}, None)))
    assert "the caller's name in the message" in str(found(lambda texts: texts.add_message({}, f"me {KEY}")))


@pytest.mark.parametrize("common", ["abc", "true", "None", "12345", "   ", ""])
def test_what_is_too_short_or_common_to_be_masked_is_not_looked_for(common: str) -> None:
    assert in_parameters({"x": f"a {common} b abc true None 12345"}, {"x": common}) is None


def test_in_what_the_worker_sets_itself_short_values_are_not_looked_for() -> None:
    # A database's user is often `root`, and so is the worker's.
    def add(texts: Texts) -> None:
        texts.add_message({}, "root@host")
        texts.add_variables({"PATH": "/root/bin"})

    assert found(add, {"user": "root"}) is None
    assert in_parameters({"user": "root@host"}, {"user": "root"}) is not None
    assert found(lambda texts: texts.add_variables({"PATH": f"/{KEY}/bin"})) is not None


def test_nothing_is_found_across_two_texts() -> None:
    half = len(KEY) // 2
    assert in_parameters({"a": KEY[:half], "b": KEY[half:]}) is None


def test_a_guard_shows_no_value_and_a_plain_one_would() -> None:
    guard = guard_of(SECRETS)
    shown = repr(guard) + "".join(repr(getattr(guard, name)) for name in Guard.__slots__)
    assert KEY not in shown
    assert KEY in repr(SECRETS)


class Project:
    """A pack in a temporary folder, and the executor for it."""

    def __init__(self, folder: Path) -> None:
        """Write the pack and its secrets."""
        self.folder = folder
        self.actions = folder / "packs" / "shop" / "actions"
        self.actions.mkdir(parents=True)
        (self.actions.parent / "pack.yaml").write_text("ref: shop\n")
        (folder / "secrets.toml").touch(mode=0o600)
        (folder / "secrets.toml").write_text(f"[api]\nkey = '{KEY}'\nuser = 'root'\n")
        self.mark = folder / "started"

    def action(self, name: str, metadata: str, runner: str = "shell") -> None:
        """Add an action, which leaves a mark."""
        script = f"touch {self.mark}\n" if runner == "shell" else f"open({str(self.mark)!r}, 'w').close()\n"
        (self.actions / f"{name}.script").write_text(script)
        head = f"ref: shop.{name}\nrunner_type: {runner}\nentry_point: {name}.script\nsecrets:\n  api_key: api#key\n"
        (self.actions / f"{name}.yaml").write_text(head + metadata)

    def executor(self, **settings: Any) -> ActionExecutor:
        """Build the executor as the worker does."""
        secrets = {"file": {"path": str(self.folder / "secrets.toml")}, **settings.pop("secrets", {})}
        overrides = {"packs": [str(self.folder / "packs")], "secrets": secrets, **settings}
        return build_executor(load_settings(overrides=overrides, environ={}, directory=self.folder))

    def run(self, name: str, request: Mapping[str, Any] | None = None, **settings: Any) -> ExecutionResult:
        """Run an action; see that a child was started only where it succeeded."""
        self.mark.unlink(missing_ok=True)
        executor = self.executor(**settings)
        try:
            result = executor.execute(ExecutionRequest(7, f"shop.{name}", **(request or {})))
        finally:
            executor.close()
        assert self.mark.exists() == result.succeeded, result.error
        assert KEY not in result.to_json()
        return result


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return Project(tmp_path)


def refused(result: ExecutionResult, place: str) -> None:
    """See that the guard refused it, naming secret and place."""
    assert result.error is not None
    assert (result.status, result.error["type"]) == ("error", "secret_exposed")
    assert result.error["message"].startswith(f"the secret api_key stands in {place}, where")
    assert result.started_at is None


@pytest.mark.parametrize("runner", ["shell", "python"])
def test_nothing_is_started_where_a_secret_is_a_parameter(shop: Project, runner: str) -> None:
    shop.action("give", "parameters:\n  note: {type: string}\n", runner)
    assert shop.run("give", {"parameters": {"note": "harmless"}}).succeeded
    refused(shop.run("give", {"parameters": {"note": f"Bearer {KEY}"}}), "the parameter note")


def test_nor_where_it_is_a_default_of_the_metadata(shop: Project) -> None:
    shop.action("give", f"parameters:\n  note: {{type: string, default: 'x {KEY}'}}\n")
    refused(shop.run("give"), "the parameter note")


def test_nor_where_it_is_a_variable_of_the_pack_or_the_caller(shop: Project) -> None:
    shop.action("set", f"env:\n  set: {{TOKEN: '{KEY}'}}\n")
    refused(shop.run("set"), "the variable TOKEN")
    shop.action("allow", "env:\n  allow: [REGION]\n")
    refused(shop.run("allow", {"env": {"REGION": KEY}}), "the variable REGION")


def test_nor_where_the_message_holds_it_elsewhere(shop: Project) -> None:
    shop.action("give", "")
    refused(shop.run("give", {"carried": {"a link": [{"args": [KEY]}]}}), "the message: a link")
    refused(shop.run("give", {"caller": KEY}), "the caller's name in the message")
    assert shop.run("give", {"caller": "root@host", "carried": {"a link": [1]}}).succeeded


@pytest.mark.parametrize("runner", ["shell", "python"])
def test_nor_where_the_workers_own_variables_hold_it(
    shop: Project, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    shop.action("give", "", runner)
    monkeypatch.setenv("HOME", f"/home/{KEY}")
    refused(shop.run("give"), "the variable HOME")
    monkeypatch.setenv("HOME", f"/home/{KEY[:-1]}")
    assert shop.run("give").succeeded


def test_the_variables_of_legacy_env_are_exempt_and_others_are_not(shop: Project) -> None:
    shop.action("old", "legacy_env: true\n")
    allowed = {"secrets": {"allow_legacy_env": True}}
    assert shop.run("old", **allowed).succeeded
    shop.action("old2", f"legacy_env: true\nenv:\n  set: {{TOKEN: '{KEY}'}}\n")
    refused(shop.run("old2", **allowed), "the variable TOKEN")


def test_a_command_line_of_another_runtime_is_looked_at() -> None:
    context = ExecutionContext(1, "shop.give", secrets={"api_key": KEY})
    supervision = Supervision(guard=guard_of(context.secrets))
    with pytest.raises(SecretExposedError, match="api_key stands in argument 2, where"):
        run(context, ["/bin/echo", "a", f"-H{KEY}"], supervision)
    assert run(context, ["/bin/echo", "a"], supervision).succeeded
    assert run(context, ["/bin/echo", KEY]).stdout == f"{KEY}\n", "without a guard it would show"
