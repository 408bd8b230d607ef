"""What one execution is given: a request by its caller, a context for its runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from attune_tasks.confinement import Confinement
from attune_tasks.result import Receipt
from attune_tasks.secret_values import Secrets

__all__ = [
    "DEFAULT_PATH",
    "ExecutionContext",
    "ExecutionRequest",
    "OutputFormat",
    "ParameterDelivery",
    "ParameterFormat",
]

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of children, where nobody says otherwise."""

ParameterDelivery = Literal["env", "stdin"]
ParameterFormat = Literal["json", "dotenv", "yaml"]
OutputFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """What a caller asks for: an action by its ref, with parameters. All of it is public; none of it is secret."""

    execution_id: int
    action_ref: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    """Seconds; may shorten the action's own timeout, never lengthen it."""
    task_id: str | None = None
    """Celery's; None: it came by no message."""
    caller: str | None = None
    """Who asked for it."""
    caller_verified: bool = False
    """Whether that is known, and not what a message merely claims."""
    carried: Mapping[str, Any] = field(default_factory=dict)
    """What else stood in the message that brought it, by what it is called there. It is looked at for secrets only."""


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """All that a runtime needs to run one execution.

    Only `execution_id` and `action_ref` are required. Either `code` (inline text) or `code_path` (the script) says
    what to run; with neither, `entry_point` is taken as a path, relative to `working_dir`. `repr()` shows the names of
    the secrets, never a value.
    """

    execution_id: int
    action_ref: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables beside the minimal ones. `repr()` leaves them out: under ``legacy_env`` there are secrets in it."""
    secrets: Mapping[str, str] = field(default_factory=Secrets)
    secrets_missing: tuple[str, ...] = field(default=(), kw_only=True)
    """Names of declared secrets that the action runs without."""
    receipts: tuple[Receipt, ...] = field(default=(), kw_only=True)
    """Where each of the secrets came from."""
    timeout: float | None = None
    """Seconds from the start of the child; None: no deadline."""
    working_dir: Path | str | None = None
    """None: a private temporary folder, removed afterwards."""
    entry_point: str | None = None
    code: str | None = None
    code_path: Path | str | None = None
    runtime_name: str | None = None
    pack_path: Path | str | None = None
    """The pack's folder, whose ``lib/`` a Python action can import from."""
    parameter_delivery: ParameterDelivery = "env"
    parameter_format: ParameterFormat = "json"
    output_format: OutputFormat = "text"
    confinement: Confinement = field(default_factory=Confinement)
    pack_content: str = ""
    """A hash of what of the pack a launcher may have loaded: another content, another launcher."""
    legacy_variables: frozenset[str] = field(default=frozenset(), kw_only=True)
    """The names in `env` which hold secrets on purpose, for the operator allows ``legacy_env``."""

    def __post_init__(self) -> None:
        """Wrap plain dictionaries of secrets, so that nothing which shows this object shows a value."""
        if not isinstance(self.secrets, Secrets):
            object.__setattr__(self, "secrets", Secrets(self.secrets))
        if self.legacy_variables and not isinstance(self.env, Secrets):
            object.__setattr__(self, "env", Secrets(self.env))

    def script_path(self) -> Path | None:
        """Give the file to run, absolute; None where `code` is run instead."""
        if isinstance(self.code_path, Path) and self.code_path.is_absolute():
            return self.code_path  # as the executor gives it: nothing to build anew
        if self.code_path is not None:
            return Path(self.code_path).absolute()
        if self.code is not None or self.entry_point is None:
            return None
        return Path(self.working_dir or ".").absolute() / self.entry_point
