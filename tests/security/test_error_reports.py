"""What error reporters write down of us: the variables of frames, and what our objects show of themselves."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import logging
import pickle
import secrets as random
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import pytest

import attune_tasks.process.supervisor as supervisor_module
from attune_tasks.context import ExecutionContext, ExecutionRequest
from attune_tasks.errors import ActionFailed, AttuneTasksError, InvalidParametersError, InvalidSecretError, StartError
from attune_tasks.executor import ActionExecutor
from attune_tasks.guard import Guard
from attune_tasks.known_packs import load_packs
from attune_tasks.masking import Masker
from attune_tasks.packs import ParameterSchema
from attune_tasks.process import Program, Supervision
from attune_tasks.runtimes import get_runtime
from attune_tasks.secret_values import Sealed, SecretBytes, Secrets
from attune_tasks.secrets import FileSecretProvider, SecretFields, SecretManager, SecretReference, create_provider
from attune_tasks.settings import load_settings
from attune_tasks.tasks import NAME
from attune_tasks.wire import encode_secrets
from tests.integration.packs import SECRETS
from tests.integration.surfaces import holds
from tests.security.frames import shown_by, shown_in_frames
from tests.unit.test_celery_sending import make_app

CANARY = f"canary-{random.token_hex(8)}"


def leaks(error: BaseException | None) -> list[str]:
    """Give the places at which a report of `error` shows the canary."""
    return [place for place, text in shown_in_frames(error).items() if CANARY in text]


def raised(call: Callable[[], Any]) -> BaseException:
    """Call something that raises; give what it raises."""
    caught: list[BaseException] = []
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - interrupts, too
        caught.append(error)
    assert caught, "nothing was raised"
    return caught[0]


def test_a_planted_variable_attribute_or_cause_is_found() -> None:
    namespace: dict[str, Any] = {"__name__": "attune_tasks.planted"}
    planted = """
class Box:
    def __init__(self, value): self.value = value
def by_variable(value): raise ValueError
def by_attribute(value):
    box = Box(value)
    del value
    raise ValueError
def by_item(value):
    box = {"a": [value]}
    del value
    raise ValueError
def by_cause(value):
    try:
        raise KeyError(value)
    except KeyError as error:
        del value
        raise ValueError from error
"""
    exec(planted, namespace)  # noqa: S102 - functions in a module of this name
    for name in ("by_variable", "by_attribute", "by_item", "by_cause"):
        assert leaks(raised(lambda name=name: namespace[name](CANARY))), name  # type: ignore[misc]


class Interrupt(BaseException):
    """What goes through everything."""


class Broken:
    """A provider which has read the secret and then fails."""

    name = "store"

    def __init__(self, failure: BaseException | None = None, fields: Any = None) -> None:
        """Raise `failure`, or give `fields`."""
        self._failure = failure
        self._fields = Sealed({"key": CANARY, "nul": f"{CANARY}\0"} if fields is None else fields)

    def read(self, reference: SecretReference, *, deadline: float) -> Mapping[str, object]:
        """Read."""
        assert (reference.path, deadline > 0) == ("x", True)
        if self._failure is not None:
            raise self._failure
        return SecretFields(self._fields.open())

    def describe(self) -> str:
        """Say what this is."""
        return "store"


class Project:
    """An action in a temporary folder, and an executor whose provider is in this file."""

    def __init__(self, folder: Path) -> None:
        """Write the pack."""
        actions = folder / "packs" / "shop" / "actions"
        actions.mkdir(parents=True)
        (actions.parent / "pack.yaml").write_text("ref: shop\n")
        (actions / "give.sh").write_text('echo "$(get_secret key)"; get_secret key >&2\n')
        for name, ref in (("give", "x#key"), ("unusable", "x#nul")):
            head = f"ref: shop.{name}\nrunner_type: shell\nentry_point: give.sh\nsecrets:\n  key: {ref}\n"
            (actions / f"{name}.yaml").write_text(head)
        self.loaded = load_settings(overrides={"packs": [str(folder / "packs")]}, environ={}, directory=folder)

    def executor(self, provider: Any = None) -> ActionExecutor:
        """Make one."""
        manager = SecretManager({"store": provider or Broken()}, default_provider="store")
        return ActionExecutor(load_packs(self.loaded), manager, self.loaded.settings)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def fetching(project: Project, action: str, provider: Broken) -> BaseException:
    """Give what fetching an action's secrets raises."""
    executor = project.executor(provider)
    return raised(lambda: executor.secret_manager.fetch_secrets_for_action(executor.registry.get(f"shop.{action}")))


def test_an_error_of_a_provider_shows_nothing(project: Project) -> None:
    for failure in (ValueError(CANARY), KeyError(CANARY), SystemExit(CANARY)):
        assert leaks(fetching(project, "give", Broken(failure))) == []
    assert leaks(fetching(project, "unusable", Broken())) == []


def test_the_file_provider_shows_nothing_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    path.touch(mode=0o600)
    path.write_text(f"[api]\nkey = '{CANARY}'\n")
    provider = FileSecretProvider(path)
    provider.read(SecretReference("file", "api", "key"), deadline=0)
    assert not any(CANARY in text for _, text in shown_by(provider))
    assert leaks(raised(lambda: provider.read(SecretReference("file", "apo", "key"), deadline=0))) == []
    path.write_text(f"[api]\nkey = '{CANARY}'\nbroken\n")
    assert leaks(raised(lambda: provider.read(SecretReference("file", "api", "key"), deadline=0))) == []


def test_a_provider_that_can_not_be_made_shows_none_of_its_options() -> None:
    secrets = {"vault": {"token": CANARY, "url": "no-url"}, "options": {"missing": {"password": CANARY}}}
    settings = load_settings(overrides={"secrets": secrets}, environ={}).settings
    for name in ("vault", "missing"):
        found = leaks(raised(partial(create_provider, name, settings.secrets)))
        # The settings themselves are shown without passwords; whoever goes through their attributes finds them.
        assert [place for place in found if "create_provider settings ." not in place] == []
    assert CANARY not in repr(settings)


@pytest.mark.parametrize("fault", ["\0", "\ud800"])
def test_an_error_of_the_wire_shows_nothing(fault: str) -> None:
    secrets = Secrets({"first": CANARY, "second": f"{CANARY}{fault}", "third": CANARY})
    error = raised(lambda: encode_secrets(secrets))
    assert isinstance(error, InvalidSecretError)
    assert leaks(error) == []


@pytest.mark.parametrize("name", ["python", "shell", "executable"])
def test_an_error_of_a_runtime_shows_nothing(name: str, tmp_path: Path) -> None:
    runtime = get_runtime(name, None)
    missing = ExecutionContext(1, "shop.give", secrets={"key": CANARY}, code_path=tmp_path / "missing")
    assert isinstance(error := raised(lambda: runtime.execute(missing)), StartError)
    assert leaks(error) == []
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    given: dict[str, Any] = {"secrets": {"key": CANARY}, "code_path": script}
    nowhere = ExecutionContext(1, "shop.give", **given, working_dir=tmp_path / "nowhere")
    assert isinstance(error := raised(lambda: runtime.execute(nowhere)), StartError)
    assert leaks(error) == []
    if name != "python":
        large = ExecutionContext(1, "shop.give", **given, parameters={"x": "y" * 200_000})
        assert isinstance(error := raised(lambda: runtime.execute(large)), AttuneTasksError)
        assert leaks(error) == []


STAGES = {
    "packs": "attune_tasks.packs.parameters.ParameterSchema.validate",
    "provider": "attune_tasks.secrets.manager.read_all",
    "guard": "attune_tasks.guard.Guard.check",
    "wire": "attune_tasks.runtimes.shell.encode_secrets",
    "runtime": "attune_tasks.runtimes.base.child_environment",
    "supervisor": "attune_tasks.process.supervisor._Run._watch",
    "reading": "attune_tasks.process.supervisor._Run._receive",
    "output": "attune_tasks.process.output.TailBuffer.finish",
    "masking": "attune_tasks.masking.masker.Masker.mask_bytes",
    "masking json": "attune_tasks.masking.masker.Masker.mask_json",
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", [Interrupt, ValueError])
def test_nothing_that_goes_wrong_within_an_execution_shows_anything(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stage: str,
    kind: type[BaseException],
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        text = CANARY
        raise kind(text)

    monkeypatch.setattr(STAGES[stage], fail)
    executor = project.executor()
    escaped: list[BaseException] = []
    result = None
    with caplog.at_level(logging.DEBUG):
        try:
            result = executor.execute(ExecutionRequest(7, "shop.give"))
        except Interrupt as error:
            escaped.append(error)
        finally:
            executor.close()
    assert not any(record.exc_info or CANARY in record.getMessage() for record in caplog.records)
    assert (result is None) == (kind is Interrupt)
    if result is not None:
        assert CANARY not in result.to_json()
    for each in escaped:
        functions = [frame.f_code.co_name for frame, _ in traceback.walk_tb(each.__traceback__)]
        assert functions[1:] == ["execute"], "the frames in which it came are gone"
        each.args = ()
        assert leaks(each) == []


def test_the_look_at_frames_would_find_what_a_traceback_that_is_kept_shows(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[BaseException] = []

    def fail(program: Program) -> NoReturn:
        line = bytes(program.stdin)
        seen.append(StartError(f"{len(line)} bytes"))
        raise seen[0]

    monkeypatch.setattr(supervisor_module, "Pipes", fail)
    executor = project.executor()
    executor.execute(ExecutionRequest(7, "shop.give"))
    executor.close()
    assert [place for place, text in shown_in_frames(seen[0], module="tests").items() if CANARY in text] != []
    assert leaks(seen[0]) == [], "and our own frames show nothing even then"


def objects() -> list[Any]:
    """Give one of each of our objects that has something to do with secrets."""
    secrets = Secrets({"key": CANARY})
    context = ExecutionContext(
        1,
        "shop.give",
        secrets={"key": CANARY},
        env={"SECRET_KEY": CANARY},
        legacy_variables=frozenset({"SECRET_KEY"}),
    )
    masker = Masker(secrets)
    guard = Guard(secrets, masker)
    line = encode_secrets(secrets)
    fields = SecretFields({"key": CANARY}, version=1)
    program = Program(["/bin/true"], {}, line)
    return [secrets, context, guard, line, fields, Sealed(CANARY), program, Supervision(guard=guard)]


@pytest.mark.parametrize("thing", objects(), ids=lambda thing: type(thing).__name__)
def test_our_objects_show_nothing_in_any_way(thing: Any) -> None:
    assert [way for way, text in shown_by(thing) if CANARY in text] == []
    with contextlib.suppress(TypeError):  # what is not copied shows nothing, either
        assert CANARY not in repr(copy.deepcopy(thing))
    with pytest.raises(TypeError):
        json.dumps(thing)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type | Supervision):
        assert CANARY not in repr(dataclasses.asdict(thing))


def test_the_same_look_finds_a_plain_one() -> None:
    @dataclasses.dataclass
    class Plain:
        secrets: dict[str, str]

    assert [way for way, text in shown_by(Plain({"key": CANARY})) if CANARY in text] == [
        "repr",
        "str",
        "pprint",
        ".secrets",
        ".secrets items",
    ]
    assert CANARY in repr(dataclasses.asdict(Plain({"key": CANARY})))
    assert CANARY in repr(bytes(SecretBytes(CANARY.encode())))


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nested": ({"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}, {"a": {"b": CANARY}}),
    "pattern": ({"a": {"type": "string", "pattern": "^[0-9]+$"}}, {"a": CANARY}),
    "enum": ({"a": {"enum": ["x", "y"]}}, {"a": CANARY}),
    "const": ({"a": {"const": "x"}}, {"a": CANARY}),
    "oneOf": ({"a": {"oneOf": [{"type": "integer"}, {"type": "array"}]}}, {"a": CANARY}),
    "anyOf nested": ({"a": {"anyOf": [{"type": "array", "items": {"type": "integer"}}]}}, {"a": [CANARY]}),
    "format and length": ({"a": {"type": "string", "maxLength": 3}}, {"a": CANARY}),
    "not": ({"a": {"not": {"type": "string"}}}, {"a": CANARY}),
    "uniqueItems": ({"a": {"type": "array", "uniqueItems": True}}, {"a": [CANARY, CANARY]}),
    "items": ({"a": {"type": "array", "items": {"enum": [1]}}}, {"a": [CANARY]}),
    "secret": ({"a": {"secret": True, "allow": ["x#y"]}}, {"a": CANARY}),
    "secret nested": ({"a": {"secret": True, "allow": ["x#y"]}}, {"a": {"b": [CANARY]}}),
}


@pytest.mark.parametrize("case", WRONG)
def test_no_message_about_parameters_quotes_a_value_or_has_a_cause_that_does(case: str) -> None:
    spec, values = WRONG[case]
    schema = ParameterSchema.parse(spec, lambda key, text: pytest.fail(f"{key}: {text}"))
    assert schema is not None
    error = raised(lambda: schema.validate(values))
    assert isinstance(error, InvalidParametersError)
    assert CANARY not in "".join(traceback.format_exception(error)) + repr(error.args) + repr(vars(error))
    assert (error.__cause__, error.__context__) == (None, None)


def test_jsonschemas_own_messages_would_quote_it() -> None:
    with pytest.raises(jsonschema.ValidationError, match=CANARY):
        jsonschema.validate({"a": CANARY}, {"properties": {"a": {"enum": ["x"]}}})


def test_what_a_task_raises_is_masked_has_no_cause_and_shows_nothing_in_its_frames(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(tmp_path)
    with caplog.at_level(logging.DEBUG):
        error = raised(lambda: app.tasks[NAME]("work.tell", {"fail": True}))
    assert isinstance(error, ActionFailed)
    assert "***" in str(error)
    assert (error.__cause__, error.__context__) == (None, None)
    shown = shown_in_frames(error)
    assert any(" run call " in place for place in shown), "the task's frames are looked at"
    for secret in SECRETS.values():
        assert [place for place, text in shown.items() if holds(text.encode(), secret)] == []
        assert secret not in pickle.dumps(error).decode("latin-1")
        assert not holds(caplog.text.encode(), secret)
