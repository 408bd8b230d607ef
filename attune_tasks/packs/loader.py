"""Reading one pack: its metadata, its actions', and whether what they name is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from attune_tasks.confinement import Limits
from attune_tasks.errors import InvalidSecretError
from attune_tasks.nearest import did_you_mean
from attune_tasks.packs.actions import Action, Pack, SecretDeclaration
from attune_tasks.packs.models import ActionFile, PackFile, SecretEntry, parse
from attune_tasks.packs.parameters import ParameterSchema
from attune_tasks.packs.repetition import concurrency, retry_policy
from attune_tasks.packs.yaml_source import YamlDocument, read_yaml
from attune_tasks.wire import check_secret_name

__all__ = ["PACK_FILE", "LoadedPack", "load_pack"]

PACK_FILE = "pack.yaml"


@dataclass(slots=True)
class LoadedPack:
    """What was read of one pack, and what is wrong with it."""

    source: Path
    """Its ``pack.yaml``."""
    pack: Pack | None = None
    actions: list[Action] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def load_pack(folder: Path, runtimes: Collection[str]) -> LoadedPack:
    """Read the pack in `folder`; an action with a faulty file is left out and its faults are kept."""
    folder = folder.absolute()
    document = read_yaml(folder / PACK_FILE)
    shape = parse(PackFile, document)
    loaded = LoadedPack(document.path, problems=document.problems)
    # With a faulty pack.yaml its actions are read all the same, to tell all faults at once.
    ref = shape.ref if shape else ""
    pack = Pack(ref, folder)
    if shape:
        env_set = MappingProxyType(dict(shape.env.set))
        pack = Pack(
            ref,
            folder,
            shape.label,
            shape.description,
            shape.version,
            env_set,
            preload=tuple(shape.preload),
            isolation=shape.isolation,
        )
        loaded.pack = pack
    try:
        paths = _metadata_files(folder / "actions")
    except OSError as error:
        paths = []
        loaded.problems.append(f"{folder / 'actions'}: can't be read: {error.strerror}")
    for path in paths:
        document = read_yaml(path)
        action = _action(pack, document, runtimes)
        loaded.problems += document.problems
        loaded.actions += [action] if action and not document.problems else []
    return loaded


def _metadata_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})


def _action(pack: Pack, document: YamlDocument, runtimes: Collection[str]) -> Action | None:
    shape = parse(ActionFile, document)
    if shape is None:
        return None
    if pack.ref and not shape.ref.startswith(f"{pack.ref}."):
        document.say(("ref",), f"must begin with the pack's ref, {pack.ref}.")
    if shape.runner_type not in runtimes:
        known = f"known are {', '.join(sorted(runtimes))}"
        document.say(
            ("runner_type",),
            f"there is no runtime {shape.runner_type}; {known}{did_you_mean(shape.runner_type, runtimes)}",
        )
    entry_path = _entry_path(pack, shape.entry_point, document)
    schema = ParameterSchema.parse(shape.parameters or {}, lambda key, text: document.say(("parameters", *key), text))
    secrets = _secrets(shape.secrets, schema, document)
    if schema is None or entry_path is None:
        return None
    return Action(
        ref=shape.ref,
        pack=pack,
        label=shape.label,
        description=shape.description,
        enabled=shape.enabled,
        runtime_name=shape.runner_type,
        entry_point=shape.entry_point,
        entry_path=entry_path,
        schema=schema,
        secrets=secrets,
        env_allow=frozenset(shape.env.allow),
        env_set=MappingProxyType({**pack.env_set, **shape.env.set}),
        working_dir=pack.path / shape.working_dir if shape.working_dir else None,
        timeout=shape.timeout,
        parameter_delivery=shape.parameter_delivery,
        parameter_format=shape.parameter_format,
        output_format=shape.output_format,
        tags=tuple(shape.tags),
        queue=shape.queue,
        legacy_env=shape.legacy_env,
        isolation="exec" if "exec" in (shape.isolation, pack.isolation) else "fork",
        limits=Limits(**shape.limits.model_dump()),
        run_as=shape.run_as,
        dumpable=shape.dumpable,
        retry=retry_policy(shape.retry, document, idempotent=shape.idempotent),
        concurrency=concurrency(shape.concurrency, schema, document),
        source=document.path,
    )


def _entry_path(pack: Pack, entry_point: str, document: YamlDocument) -> Path | None:
    """Find the script; None, with the fault said, where it is not a file of this pack."""
    path = document.path.parent / entry_point
    try:
        fault = _entry_fault(pack, path, PurePosixPath(entry_point))
    except (OSError, ValueError):  # not to be looked at, a name too long, a NUL in it
        fault = "can't be read"
    if fault is None:
        return path
    document.say(("entry_point",), fault)
    return None


def _entry_fault(pack: Pack, path: Path, entry_point: PurePosixPath) -> str | None:
    if entry_point.is_absolute() or ".." in entry_point.parts:
        return "must be a path below the folder of this file, without .."
    if not path.exists():
        return f"there is no file {path}"
    if not path.resolve(strict=True).is_relative_to(pack.path.resolve()):
        return "leads out of the pack, by a symbolic link"
    return None if path.is_file() else f"{path} is not a file"


def _secrets(
    entries: Mapping[str, SecretEntry], schema: ParameterSchema | None, document: YamlDocument
) -> Mapping[str, SecretDeclaration]:
    for name in entries:
        try:
            check_secret_name(name)
        except InvalidSecretError as error:
            document.say(("secrets", name), str(error))
        if schema and name in schema.secret_parameters:
            document.say(("secrets", name), "a secret parameter has this name, too: rename one")
    return MappingProxyType(
        {name: SecretDeclaration(name, entry.ref, entry.required) for name, entry in entries.items()}
    )
