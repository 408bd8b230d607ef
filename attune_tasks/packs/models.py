"""The shape of ``pack.yaml`` and of ``actions/*.yaml``: keys, types and what each may hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from attune_tasks.attempts import OnConflict, RetryReason
from attune_tasks.confinement import Isolation
from attune_tasks.context import OutputFormat, ParameterDelivery, ParameterFormat
from attune_tasks.expectations import expectation
from attune_tasks.nearest import did_you_mean
from attune_tasks.packs.env_names import check_allowed_name, check_set_name
from attune_tasks.packs.yaml_source import YamlDocument
from attune_tasks.wire_names import is_variable_text

__all__ = ["ActionFile", "ConcurrencyEntry", "PackFile", "RetryEntry", "SecretEntry", "parse"]

MODULE: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
PACK_REF: Final = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"
ACTION_REF: Final = r"^[A-Za-z0-9_][A-Za-z0-9_-]*\.[A-Za-z0-9_][A-Za-z0-9_-]*$"


def _check_text(text: str) -> str:
    if not is_variable_text(text):
        msg = "holds a NUL or a lone surrogate, which neither a variable nor a path can"
        raise ValueError(msg)
    return text


def _spell_out(value: Any) -> Any:
    return {"ref": value} if isinstance(value, str) else value


_Text = Annotated[str, Field(min_length=1)]
_Line = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
_SetName = Annotated[str, AfterValidator(check_set_name)]
_SetValue = Annotated[str, AfterValidator(_check_text)]
_Bound = Annotated[int, Field(ge=1, lt=1 << 63)]
_AllowedName = Annotated[str, AfterValidator(check_allowed_name)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


_ShapeT = TypeVar("_ShapeT", bound=_Shape)


class SharedEnv(_Shape):
    """``env:`` of a pack."""

    set: dict[_SetName, _SetValue] = {}


class ActionEnv(SharedEnv):
    """``env:`` of an action."""

    allow: list[_AllowedName] = []


class SecretEntry(_Shape):
    """One of ``secrets:``, in full; a reference alone stands for ``{ref: …}``."""

    ref: _Text
    required: bool = True


class LimitsEntry(_Shape):
    """``limits:`` of an action; see :class:`attune_tasks.confinement.Limits`."""

    memory: _Bound | None = None
    cpu_seconds: _Bound | None = None
    file_size: _Bound | None = None
    processes: _Bound | None = None
    open_files: _Bound | None = None


class RetryEntry(_Shape):
    """``retry:`` of an action; see :class:`attune_tasks.attempts.RetryPolicy`."""

    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    backoff: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 1.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1
    on: list[RetryReason] | None = None


class ConcurrencyEntry(_Shape):
    """``concurrency:`` of an action; see :class:`attune_tasks.attempts.Concurrency`."""

    limit: Annotated[int, Field(ge=1, le=10_000)] = 1
    by: list[_Text] = []
    on_conflict: OnConflict = "queue"


class PackFile(_Shape):
    """``pack.yaml``."""

    ref: Annotated[str, Field(pattern=PACK_REF)]
    label: _Line = ""
    description: _Line = ""
    version: _Line = ""
    env: SharedEnv = SharedEnv()
    preload: list[Annotated[str, Field(pattern=MODULE)]] = []
    isolation: Isolation = "fork"


class ActionFile(_Shape):
    """``actions/*.yaml``."""

    ref: Annotated[str, Field(pattern=ACTION_REF)]
    label: _Line = ""
    description: _Line = ""
    enabled: bool = True
    runner_type: _Text
    entry_point: _Text
    parameters: dict[str, Any] | None = None
    parameter_delivery: ParameterDelivery = "env"
    parameter_format: ParameterFormat = "json"
    output_format: OutputFormat = "text"
    working_dir: Annotated[_Text, AfterValidator(_check_text)] | None = None
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    tags: list[_Text] = []
    secrets: dict[str, Annotated[SecretEntry, BeforeValidator(_spell_out)]] = {}
    env: ActionEnv = ActionEnv()
    queue: _Text | None = None
    isolation: Isolation = "fork"
    limits: LimitsEntry = LimitsEntry()
    run_as: _Text | None = None
    dumpable: bool = False
    idempotent: bool = False
    retry: RetryEntry | None = None
    concurrency: ConcurrencyEntry | None = None
    legacy_env: bool = False


# Keys of Attune's and StackStorm's packs that say nothing to a worker: read and left alone.
_IGNORED: Final[Mapping[type[_Shape], frozenset[str]]] = {
    PackFile: frozenset(
        {"author", "authors", "conf_schema", "config", "contributors", "dependencies", "email", "homepage"}
        | {"is_standard", "keywords", "license", "meta", "name", "python_versions", "repository", "runtime_deps"}
        | {"stackstorm_version", "system", "tags", "url"}
    ),
    ActionFile: frozenset(
        {"meta", "metadata", "name", "notify", "output", "output_schema", "pack", "required_worker_runtimes"}
    ),
}


def parse(shape: type[_ShapeT], document: YamlDocument) -> _ShapeT | None:
    """Read a document as `shape`; None where it has faults, which are then in the document's `problems`."""
    if not isinstance(document.data, dict):
        return None
    ignored = _IGNORED[shape]
    data = {key: value for key, value in document.data.items() if key not in ignored and not key.startswith("x-")}
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    for fault in errors:
        location = [part for part in fault["loc"] if part != "[key]"]
        text = expectation(fault)
        if fault["type"] == "extra_forbidden":
            text = f"unknown key{did_you_mean(str(location[-1]), _keys_at(shape, location[:-1]))}"
        document.say(location, text)
    return None


def _keys_at(shape: type[BaseModel], location: Sequence[str | int]) -> Iterable[str]:
    if location[:1] == ["env"]:
        shape = ActionEnv if shape is ActionFile else SharedEnv
    elif location[:1] == ["secrets"]:
        shape = SecretEntry
    elif location[:1] == ["limits"]:
        shape = LimitsEntry
    elif location[:1] == ["retry"]:
        shape = RetryEntry
    elif location[:1] == ["concurrency"]:
        shape = ConcurrencyEntry
    return shape.model_fields
