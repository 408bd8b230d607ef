"""The secret manager: only what is declared, one read per place, all or nothing, in time, and never a value told."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import time
import traceback
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from attune_tasks.errors import (
    InvalidReferenceError,
    InvalidSecretError,
    PluginError,
    SecretsUnavailableError,
    SettingsError,
)
from attune_tasks.secret_values import Secrets
from attune_tasks.secrets import SecretManager, SecretProvider, SecretReference


@dataclass
class Declared:
    """One entry of an action's `secrets:`."""

    ref: str
    required: bool = True


@dataclass
class Action:
    """What the manager asks of an action."""

    secrets: dict[str, Declared]
    ref: str = "billing.close"


@dataclass
class Store:
    """A provider over a dictionary; a function or an exception in the place of fields is called or raised."""

    paths: dict[str, Any]
    name: str = "store"
    reads: list[str] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)

    def read(self, reference: SecretReference, *, deadline: float) -> Mapping[str, object]:
        """Give the fields at a path."""
        self.reads.append(reference.path)
        self.deadlines.append(deadline)
        found: Any = self.paths.get(reference.path)
        if found is None:
            msg = "nothing there"
            raise SecretsUnavailableError(msg)
        if isinstance(found, BaseException):
            raise found
        fields: Mapping[str, object] = found() if callable(found) else found
        return fields

    def describe(self) -> str:
        """Say what this is."""
        return "store"


def manager(store: Store, **options: Any) -> SecretManager:
    """Make a manager whose default provider is `store`."""
    return SecretManager({"store": store}, default_provider="store", **options)


def action(**references: str) -> Action:
    """Make an action which requires these references."""
    return Action({name: Declared(ref) for name, ref in references.items()})


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Give an event that lets hanging providers go on after the test."""
    event = threading.Event()
    yield event
    event.set()
    for thread in reading_threads():
        thread.join(30)


def reading_threads() -> list[threading.Thread]:
    """Find the threads in which providers are asked."""
    return [thread for thread in threading.enumerate() if thread.name == "attune-tasks-secrets"]


def hanging(release: threading.Event) -> Callable[[], Mapping[str, object]]:
    """Make fields that come when the test is over."""

    def wait() -> Mapping[str, object]:
        release.wait(60)
        return {"f": "late"}

    return wait


def test_only_what_the_action_declares_is_fetched() -> None:
    store = Store({"a": {"x": "1", "y": "2"}, "b": {"x": "3"}})
    fetched = manager(store).fetch_secrets_for_action(action(key="a#x"))
    assert dict(fetched) == {"key": "1"}
    assert fetched.missing == ()
    assert store.reads == ["a"]


def test_an_action_without_secrets_needs_no_provider() -> None:
    def refuse(name: str) -> SecretProvider:
        raise AssertionError(name)

    fetched = SecretManager(refuse, default_provider="store").fetch_secrets_for_action(action())
    assert dict(fetched) == {}


def test_one_read_serves_every_field_of_a_place() -> None:
    store = Store({"a": {"x": "1", "y": "2"}, "b": {"z": "3"}})
    fetched = manager(store).fetch_secrets_for_action(
        action(one="a#x", two="a#y", three="b#z", all="a#"), extra={"four": "a#x"}
    )
    assert store.reads == ["a", "b"]
    assert dict(fetched) == {"one": "1", "two": "2", "three": "3", "all": '{"x": "1", "y": "2"}', "four": "1"}


def test_each_provider_is_asked_for_its_own() -> None:
    one, other = Store({"a": {"f": "1"}}), Store({"m/a": {"f": "2"}})
    made = SecretManager({"store": one, "other": other}, default_provider="store")
    assert dict(made.fetch_secrets_for_action(action(x="a#f", y="other://m/a#f"))) == {"x": "1", "y": "2"}


def test_secret_parameters_are_required_and_must_not_repeat_a_declared_name() -> None:
    store = Store({"a": {"f": "1"}})
    with pytest.raises(SecretsUnavailableError, match=r"token \(gone#f\): nothing there"):
        manager(store).fetch_secrets_for_action(action(), extra={"token": "gone#f"})
    with pytest.raises(InvalidSecretError, match="of one name: key"):
        manager(store).fetch_secrets_for_action(action(key="a#f"), extra={"key": "a#f"})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("as is\n", "as is\n"),
        ("", ""),
        (True, "true"),
        (8080, "8080"),
        (1.5, "1.5"),
        ({"k": ["ü", 1, None]}, '{"k": ["ü", 1, null]}'),
        ([1, 2], "[1, 2]"),
        (UserDict({"k": 1}), '{"k": 1}'),
    ],
)
def test_values_that_are_no_text_become_json(given: object, text: str) -> None:
    assert manager(Store({"a": {"f": given}})).fetch_secrets_for_action(action(key="a#f"))["key"] == text


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("hunter2\0", "holds a NUL character"),
        ("hunter2\ud800", "holds a lone surrogate"),
        (b"hunter2", r"\(bytes\) holds what JSON can't"),
        (float("nan"), r"\(float\) holds what JSON can't"),
        ({"k": {1j}}, r"\(dict\) holds what JSON can't"),
        (None, "no field 'f' there"),
    ],
)
def test_a_value_that_can_not_be_carried_is_a_failure_which_names_the_secret(given: object, reason: str) -> None:
    with pytest.raises(SecretsUnavailableError, match=reason) as caught:
        manager(Store({"a": {"f": given}})).fetch_secrets_for_action(action(key="a#f"))
    assert caught.value.problems[0].startswith("key (a#f): ")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_a_name_that_the_wire_forbids_is_a_failure() -> None:
    with pytest.raises(SecretsUnavailableError, match="'not a name' is not of the form"):
        manager(Store({"a": {"f": "x"}})).fetch_secrets_for_action(action(**{"not a name": "a#f"}))


def test_every_failing_secret_is_told_at_once() -> None:
    store = Store({"a": {"api_key": "hunter2"}, "b": ValueError("hunter2"), "c": "hunter2", "e": SystemExit("hunter2")})
    with pytest.raises(SecretsUnavailableError, match=r"^billing\.close: secrets that it requires") as caught:
        manager(store).fetch_secrets_for_action(
            action(
                good="a#api_key", near="a#api_kye", broken="b#f", odd="c#f", exits="e#f", gone="d#f", other="x://d#f"
            )
        )
    assert caught.value.problems == (
        "near (a#api_kye): no field 'api_kye' there; did you mean 'api_key'?",
        "broken (b#f): the provider 'store' failed: ValueError",
        "odd (c#f): the provider 'store' gave str, not fields by name",
        "exits (e#f): the provider 'store' failed: SystemExit",
        "gone (d#f): nothing there",
        "other (x://d#f): no secret provider is named 'x'; there are: store",
    )
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_text_that_is_no_reference_is_refused_unquoted_before_anything_is_read() -> None:
    store = Store({"a": {"f": "x"}})
    optional = Action({"good": Declared("a#f"), "literal": Declared("hunter2", required=False)})
    for made in (manager(store), manager(store, on_fetch_error="warn")):
        with pytest.raises(InvalidReferenceError, match="literal: not a secret reference: it has no #") as caught:
            made.fetch_secrets_for_action(optional)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert store.reads == []


def test_a_secret_that_is_not_required_may_be_missing(caplog: pytest.LogCaptureFixture) -> None:
    declared = Action({"here": Declared("a#f"), "gone": Declared("b#f", required=False)})
    with caplog.at_level(logging.INFO):
        fetched = manager(Store({"a": {"f": "hunter2"}})).fetch_secrets_for_action(declared)
    assert dict(fetched) == {"here": "hunter2"}
    assert fetched.missing == ("gone",)
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("attune_tasks.secrets", "INFO", "billing.close runs without the secret gone (b#f)")
    ]


def test_where_the_operator_says_warn_the_rest_is_handed_over(caplog: pytest.LogCaptureFixture) -> None:
    store = Store({"a": {"f": "hunter2"}, "b": ValueError("hunter2")})
    fetched = manager(store, on_fetch_error="warn").fetch_secrets_for_action(action(here="a#f", gone="b#f"))
    assert dict(fetched) == {"here": "hunter2"}
    assert fetched.missing == ("gone",)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gone (b#f)" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_provider_that_hangs_is_left_at_the_deadline_and_told(release: threading.Event) -> None:
    store = Store({"a": {"f": "1"}, "slow": hanging(release), "after": {"f": "3"}})
    started = time.monotonic()
    with pytest.raises(SecretsUnavailableError) as caught:
        manager(store, fetch_timeout=0.3).fetch_secrets_for_action(action(x="a#f", y="slow#f", z="after#f"))
    assert 0.25 < time.monotonic() - started < 10
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["y (slow#f)", "z (after#f)"]
    assert "not read within 0.3 s; the provider 'store' did not answer in time" in str(caught.value)


def test_after_the_deadline_nothing_more_is_read(release: threading.Event) -> None:
    store = Store({"slow": hanging(release), "after": {"f": "3"}})
    with pytest.raises(SecretsUnavailableError):
        manager(store, fetch_timeout=0.1).fetch_secrets_for_action(action(y="slow#f", z="after#f"))
    [thread] = reading_threads()
    assert thread.daemon
    release.set()
    thread.join(30)
    assert not thread.is_alive()
    assert store.reads == ["slow"]


def test_a_provider_whose_making_hangs_is_left_too(release: threading.Event) -> None:
    def make(name: str) -> SecretProvider:
        release.wait(60)
        return Store({}, name)

    with pytest.raises(SecretsUnavailableError, match=r"not read within 0\.1 s"):
        SecretManager(make, default_provider="store", fetch_timeout=0.1).fetch_secrets_for_action(action(x="a#f"))


def test_all_reads_of_one_fetch_share_one_deadline() -> None:
    store = Store({"a": {"f": "1"}, "b": {"f": "2"}})
    before = time.monotonic()
    manager(store, fetch_timeout=5).fetch_secrets_for_action(action(x="a#f", y="b#f"))
    assert len(set(store.deadlines)) == 1
    assert before + 5 <= store.deadlines[0] <= time.monotonic() + 5


def test_a_provider_is_made_when_first_needed_and_once() -> None:
    made = []

    def make(name: str) -> SecretProvider:
        made.append(name)
        return Store({"a": {"f": "1"}}, name)

    secrets = SecretManager(make, default_provider="store")
    assert made == []
    ready = threading.Barrier(4)

    def fetch() -> None:
        ready.wait(30)
        secrets.fetch_secrets_for_action(action(x="a#f"))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made == ["store"]


def test_a_provider_is_made_anew_after_a_fork(monkeypatch: pytest.MonkeyPatch, release: threading.Event) -> None:
    made = []

    def make(name: str) -> SecretProvider:
        made.append(os.getpid())
        if len(made) == 2:
            release.wait(60)  # the lock is held by another thread in the moment of the fork
        return Store({"a": {"f": "1"}}, name)

    secrets = SecretManager(make, default_provider="store", fetch_timeout=0.2)
    secrets.fetch_secrets_for_action(action(x="a#f"))
    with pytest.raises(SecretsUnavailableError):
        secrets.fetch_secrets_for_action(action(y="second://m#f"))
    # A stand-in for a fork: forking a process of several threads is itself what this guards against.
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    secrets.fetch_secrets_for_action(action(x="a#f"))
    assert made[-1] == child


def test_a_provider_that_could_not_be_made_is_tried_again() -> None:
    results: list[Any] = [SettingsError("secrets.file.path is not set"), Store({"a": {"f": "1"}})]

    def make(name: str) -> SecretProvider:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        provider: SecretProvider = result
        return provider

    secrets = SecretManager(make, default_provider="store")
    with pytest.raises(SecretsUnavailableError, match=r"x \(a#f\): secrets\.file\.path is not set"):
        secrets.fetch_secrets_for_action(action(x="a#f"))
    assert secrets.fetch_secrets_for_action(action(x="a#f"))["x"] == "1"


def test_what_was_fetched_shows_names_only_and_is_not_pickled() -> None:
    fetched = manager(Store({"a": {"f": "hunter2"}})).fetch_secrets_for_action(action(key="a#f"))
    assert repr(fetched) == "FetchedSecrets(key)"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(fetched)


def test_an_error_leaves_no_value_in_the_variables_of_its_frames() -> None:
    store = Store({"a": {"f": "hunter2", "g": "hunter2\0"}})
    with pytest.raises(SecretsUnavailableError) as caught:
        manager(store).fetch_secrets_for_action(action(good="a#f", bad="a#g"))
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack[1:]
    assert frames
    shown = [f"{name}={value}" for frame in frames for name, value in (frame.locals or {}).items()]
    assert [line for line in shown if line.startswith("values=")] == ["values=Secrets(good)"]
    assert not [line for line in shown if "hunter2" in line]


def test_check_tells_each_reference_and_never_a_value() -> None:
    store = Store({"a": {"f": "hunter2"}, "b": ValueError("hunter2")})
    declared = Action(
        {
            "good": Declared("a#f"),
            "absent": Declared("a#g", required=False),
            "broken": Declared("b#f"),
            "literal": Declared("hunter2"),
        }
    )
    found = manager(store).check(declared)
    assert [(check.name, check.reference, check.ok) for check in found] == [
        ("good", "a#f", True),
        ("absent", "a#g", False),
        ("broken", "b#f", False),
        ("literal", "(not a reference)", False),
    ]
    assert found[0].reason == ""
    assert "no field 'g' there" in found[1].reason
    assert "ValueError" in found[2].reason
    assert "it has no #" in found[3].reason
    assert "hunter2" not in repr(found)


def test_an_unknown_provider_in_a_mapping_is_a_plugin_error_for_the_pool() -> None:
    with pytest.raises(PluginError, match="there are: none"):
        SecretManager({}, default_provider="store")._providers.get("store")


def test_prepare_secret_env_is_deprecated_and_gives_variables() -> None:
    secrets = manager(Store({}))
    with pytest.warns(DeprecationWarning, match=r"since 0\.2\.0 and will be removed in 0\.3\.0") as warned:
        env = secrets.prepare_secret_env(Secrets({"api_key": "1", "db.pass-word": "2", "X9": "3"}))
    assert env == {"SECRET_API_KEY": "1", "SECRET_DB_PASS_WORD": "2", "SECRET_X9": "3"}
    assert warned[0].filename == __file__


def test_prepare_secret_env_refuses_two_names_for_one_variable() -> None:
    with (
        pytest.warns(DeprecationWarning, match="prepare_secret_env"),
        pytest.raises(InvalidSecretError, match=r"'api\.key' and 'api-key' map to one variable") as caught,
    ):
        SecretManager.prepare_secret_env({"api.key": "hunter2", "api-key": "hunter3"})
    assert "hunter" not in str(caught.value)
