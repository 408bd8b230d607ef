"""What is known of a pack and of an action once they are loaded. All of it is public: secrets are references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from attune_tasks.attempts import Concurrency, RetryPolicy
from attune_tasks.confinement import Isolation, Limits
from attune_tasks.context import OutputFormat, ParameterDelivery, ParameterFormat
from attune_tasks.packs.parameters import ParameterSchema

__all__ = ["Action", "Pack", "SecretDeclaration"]


@dataclass(frozen=True, slots=True)
class SecretDeclaration:
    """One secret that an action asks for."""

    name: str
    ref: str
    """Where it lives, as ``vault://<mount>/<path>#<field>``."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Pack:
    """A folder of actions."""

    ref: str
    path: Path
    """Absolute."""
    label: str = ""
    description: str = ""
    version: str = ""
    env_set: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    preload: tuple[str, ...] = ()
    """Modules which the launcher of its Python actions imports once."""
    isolation: Isolation = "fork"


@dataclass(frozen=True, slots=True)
class Action:
    """One runnable unit of a pack."""

    ref: str
    """``pack.action``."""
    pack: Pack
    label: str
    description: str
    enabled: bool
    runtime_name: str
    entry_point: str
    """The script, relative to the folder of the action's metadata."""
    entry_path: Path
    """The same, absolute."""
    schema: ParameterSchema
    secrets: Mapping[str, SecretDeclaration]
    env_allow: frozenset[str]
    """The variables that a caller may set."""
    env_set: Mapping[str, str]
    """The pack's variables and the action's own, which win."""
    working_dir: Path | None
    """Absolute; a relative one in the metadata is below the pack's folder. None: a private temporary folder."""
    timeout: float | None
    """Seconds; None: the setting `timeout`."""
    parameter_delivery: ParameterDelivery
    parameter_format: ParameterFormat
    output_format: OutputFormat
    tags: tuple[str, ...]
    queue: str | None
    legacy_env: bool
    isolation: Isolation
    """``exec`` where the action or its pack says so."""
    limits: Limits
    run_as: str | None
    dumpable: bool
    retry: RetryPolicy
    concurrency: Concurrency | None
    source: Path
    """The file with the metadata."""
