"""The settings: their names, types, defaults and what each is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from attune_tasks.confinement import Isolation
from attune_tasks.context import DEFAULT_PATH
from attune_tasks.settings.masking import mask_setting

__all__ = [
    "ClaimsSettings",
    "EnvironmentSettings",
    "FileProviderSettings",
    "LaunchersSettings",
    "LeakCheckSettings",
    "LimitsSettings",
    "LiveSettings",
    "MaskingSettings",
    "MetricsSettings",
    "OutputSettings",
    "ResultSettings",
    "SecretsSettings",
    "Settings",
    "VaultAppRoleSettings",
    "VaultServerSettings",
    "VaultSettings",
]

_KIB: Final = 1024


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        msg = "expected a number"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError
    return value


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_refuse_bool)]
Grace = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_refuse_bool)]
Size = Annotated[int, Field(ge=0), BeforeValidator(_refuse_bool)]
Bound = Annotated[int, Field(ge=1, lt=1 << 63), BeforeValidator(_refuse_bool)]
"""For setrlimit(2)."""
Name = Annotated[str, Field(min_length=1)]
StateName = Annotated[str, Field(min_length=1, pattern=r"^[^{}]+$")]
"""No braces: they would end the hash tag."""


class _Group(BaseModel):
    """A frozen group of settings whose `repr` shows no password."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, value if isinstance(value, BaseModel) else mask_setting(name or "", value)


class FileProviderSettings(_Group):
    """The secret provider ``file``."""

    path: Path | None = Field(None, description="TOML or YAML file with the secrets; mode 0600, the worker's own.")


class VaultAppRoleSettings(_Group):
    """Logging in to Vault by AppRole."""

    role_id: Name | None = Field(None, description="The role's id.")
    secret_id_file: Path | None = Field(None, description="File with the secret id; none where the role asks for none.")
    mount: Name = Field("approle", description="Where the auth method is mounted.")


class VaultServerSettings(_Group):
    """One way to a Vault server: where it is, and who we are there."""

    url: Name | None = Field(None, description="Address, as https://vault.example.net:8200.")
    namespace: Name | None = Field(None, description="Namespace (Vault Enterprise, OpenBao).")
    kv_version: Annotated[int, Field(ge=1, le=2), BeforeValidator(_refuse_bool)] | None = Field(
        None, description="Version of the KV engine, 1 or 2; none: asked of Vault, once for each mount."
    )
    token: Name | None = Field(None, description="A token; for development.")
    token_file: Path | None = Field(None, description="File with a token, such as an agent's sink; read as it changes.")
    approle: VaultAppRoleSettings = Field(VaultAppRoleSettings(), description="Logging in by AppRole.")
    ca_file: Path | None = Field(None, description="CA certificates (PEM) to trust instead of the system's.")
    client_cert: Path | None = Field(None, description="Client certificate (PEM).")
    client_key: Path | None = Field(None, description="Its private key, where the certificate's file has none.")
    timeout: Seconds = Field(5.0, description="Seconds for one request; secrets.fetch_timeout bounds them all.")
    cache_ttl: Grace = Field(0.0, description="Seconds for which a process keeps what it read, in memory; 0: never.")


class VaultSettings(VaultServerSettings):
    """The secret provider ``vault``."""

    mount: Name = Field("secret", description="Mount of references without a scheme.")
    mounts: dict[Name, VaultServerSettings] = Field(
        {}, description="Other mounts, by name; one that has a url of its own takes nothing of these settings."
    )

    def as_options(self) -> dict[str, Any]:
        """Give what the provider is made from; of each other mount, only what was set for it."""
        mounts = {name: mount.model_dump(exclude_unset=True) for name, mount in self.mounts.items()}
        return self.model_dump() | {"mounts": mounts}


class SecretsSettings(_Group):
    """Where secrets come from."""

    provider: Name = Field("file", description="Provider of references that name none.")
    on_fetch_error: Literal["fail", "warn"] = Field(
        "fail", description="What happens where a required secret can't be had; warn: go on without it."
    )
    on_outage: Literal["fail", "retry"] = Field(
        "fail",
        description="What follows where secrets can't be had; retry: up to ten attempts, also without `retry:`.",
    )
    fetch_timeout: Seconds = Field(10.0, description="Seconds for fetching all secrets of one execution.")
    allow_legacy_env: bool = Field(
        default=False,
        description="Whether actions marked legacy_env get SECRET_<NAME> variables, too (gone in 0.3.0).",
    )
    file: FileProviderSettings = Field(FileProviderSettings(), description="The provider `file`.")
    vault: VaultSettings = Field(VaultSettings(), description="The provider `vault`.")
    options: dict[str, dict[str, Any]] = Field({}, description="Settings of other providers, by provider.")


class OutputSettings(_Group):
    """What is kept of a child's output."""

    keep_bytes: Size = Field(1024 * _KIB, description="Bytes kept of each stream's end.")


class ResultSettings(_Group):
    """What goes into the Celery result."""

    stream_bytes: Size = Field(64 * _KIB, description="Bytes of each stream's end.")
    value_bytes: Size = Field(256 * _KIB, description="Bytes of the action's result as JSON.")


class MaskingSettings(_Group):
    """How secrets are taken out of what an action says."""

    style: Literal["plain", "named"] = Field(
        "plain", description="plain: *** stands in place of a secret; named: ***name***, with the secret's name."
    )
    strict: bool = Field(
        default=False,
        description="Whether an action is refused that gets a secret too short or too common to be masked.",
    )


class LiveSettings(_Group):
    """What can be followed while an execution runs, by shared state."""

    enabled: bool = Field(default=True, description="Whether output and progress are written there as they come.")
    keep_bytes: Annotated[int, Field(ge=1), BeforeValidator(_refuse_bool)] = Field(
        1024 * _KIB, description="Bytes kept of each execution's end."
    )
    keep_entries: Annotated[int, Field(ge=1), BeforeValidator(_refuse_bool)] = Field(
        10_000, description="Batches kept of each; an execution has at most 10 a second."
    )
    keep_seconds: Seconds | None = Field(
        None, description="Seconds for which they are kept after the last; none: as long as a result, or a week."
    )


class EnvironmentSettings(_Group):
    """What every child's environment holds."""

    path: str = Field(DEFAULT_PATH, description="PATH of the children.")


class LaunchersSettings(_Group):
    """The launchers, which start the children."""

    per_slot: Annotated[int, Field(ge=1), BeforeValidator(_refuse_bool)] = Field(
        4, description="Launchers kept ready for each slot; the least recently used of more is ended."
    )
    renew_after: Annotated[int, Field(ge=1), BeforeValidator(_refuse_bool)] = Field(
        500, description="Executions, after which a launcher is replaced."
    )
    undumpable: bool = Field(
        default=True,
        description="Whether worker, launchers and forked actions are closed to other processes of the same user.",
    )
    cgroup: bool = Field(
        default=True, description="Whether each launcher gets a cgroup, where the worker can make one below its own."
    )
    standby: bool = Field(
        default=True, description="Whether, in a burst, the bash of the next shell action is started ahead of it."
    )


class ClaimsSettings(_Group):
    """Claims on executions, in the shared state."""

    enabled: bool = Field(
        default=True,
        description="Whether executions are claimed where there is shared state; else no retry and no concurrency.",
    )
    expiry: Annotated[float, Field(ge=1, allow_inf_nan=False), BeforeValidator(_refuse_bool)] = Field(
        30.0, description="Seconds after which a claim that was not renewed counts as its worker's loss."
    )
    outage: Seconds = Field(
        600.0, description="Seconds for which a worker with a result waits for a shared state that can't be reached."
    )


class LeakCheckSettings(_Group):
    """What ``attune-tasks leak-check`` may do on a worker."""

    enabled: bool = Field(
        default=False, description="Whether this worker takes part: it runs canary actions and is looked at."
    )
    controls: bool = Field(
        default=False, description="Whether it also has actions that leak on purpose; for the self-test's own worker."
    )


class MetricsSettings(_Group):
    """What a worker counts, for Prometheus."""

    port: Annotated[int, Field(ge=0, le=65535), BeforeValidator(_refuse_bool)] | None = Field(
        None, description="TCP port of a worker's /metrics; 0: a free one, which its log names. None: not served."
    )
    address: Name = Field("127.0.0.1", description="Address that it listens at.")


class LimitsSettings(_Group):
    """Bounds for each child, by setrlimit; an action's metadata may set lower ones."""

    memory: Bound | None = Field(None, description="Bytes of address space.")
    cpu_seconds: Bound | None = Field(None, description="Seconds of processor time.")
    file_size: Bound | None = Field(None, description="Bytes of a file that is written.")
    processes: Bound | None = Field(None, description="Processes of the user, in all.")
    open_files: Bound | None = Field(None, description="Open files of a process.")


class Settings(_Group):
    """Everything that can be set, frozen. See :func:`attune_tasks.settings.load_settings` for where it comes from."""

    packs: tuple[Path, ...] = Field((Path("packs"),), description="Folders of packs: each a pack, or holding packs.")
    routes: dict[Name, Name] = Field(
        {}, description="Queue by pattern of action ref (`billing.*`); the first that fits is taken."
    )
    broker_url: str | None = Field(None, description="Broker of the ready-made app; none: the embedded one.")
    result_backend: str | None = Field(None, description="Result backend of the ready-made app; none: the embedded.")
    broker_url_file: Path | None = Field(None, description="File with the broker's URL, in place of broker_url.")
    result_backend_file: Path | None = Field(None, description="File with its URL, in place of result_backend.")
    celery: dict[Name, Any] = Field({}, description="Celery settings of the ready-made app, by Celery's names.")
    state_url: str | None = Field(
        None, description="Redis for what executions share; none: the result backend's, where that is Redis."
    )
    state_url_file: Path | None = Field(None, description="File with its URL, in place of state_url.")
    state_name: StateName | None = Field(
        None, description="Name in the keys there, `attune:{name}:…`; none: the Celery app's."
    )
    message_key_file: Path | None = Field(
        None, description="File with the keys that sign messages, one a line; mode 0600. None: not signed."
    )
    health_file: Path | None = Field(
        None, description="File in which a worker notes what it takes, for `attune-tasks health`; None: not noted."
    )
    message_lifetime: Seconds = Field(604800.0, description="Seconds for which a signed message may wait.")
    timeout: Seconds | None = Field(3600.0, description="Seconds for an action that names no timeout.")
    grace: Grace = Field(10.0, description="Seconds between SIGTERM and SIGKILL.")
    secrets: SecretsSettings = Field(SecretsSettings(), description="Where secrets come from.")
    output: OutputSettings = Field(OutputSettings(), description="What is kept of a child's output.")
    result: ResultSettings = Field(ResultSettings(), description="What goes into the Celery result.")
    masking: MaskingSettings = Field(MaskingSettings(), description="How secrets are taken out of what an action says.")
    live: LiveSettings = Field(LiveSettings(), description="What can be followed while an execution runs.")
    isolation: Isolation = Field(
        "fork", description="fork: Python actions are forks of their pack's launcher; exec: a fresh interpreter each."
    )
    run_as: Name | None = Field(None, description="User that actions run as; none: the worker's own.")
    run_as_allow: tuple[Name, ...] = Field(
        (), description="Users that metadata may name besides, where run_as is set; where it is not, any."
    )
    limits: LimitsSettings = Field(LimitsSettings(), description="Bounds for each child.")
    claims: ClaimsSettings = Field(ClaimsSettings(), description="Claims on executions, in the shared state.")
    launchers: LaunchersSettings = Field(LaunchersSettings(), description="The launchers, which start the children.")
    metrics: MetricsSettings = Field(MetricsSettings(), description="What a worker counts, for Prometheus.")
    leak_check: LeakCheckSettings = Field(LeakCheckSettings(), description="What leak-check may do on a worker.")
    runtimes: dict[str, dict[str, Any]] = Field({}, description="Options of runtimes, by runtime.")
    environment: EnvironmentSettings = Field(EnvironmentSettings(), description="The children's environment.")
