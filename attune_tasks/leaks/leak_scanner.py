"""Runs an action with canaries in this process, and looks where they show: what the fixture `leak_scanner` gives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attune_tasks.context import ExecutionRequest
from attune_tasks.executor import ActionExecutor
from attune_tasks.ids import new_execution_id
from attune_tasks.known_packs import load_packs
from attune_tasks.leaks.canary_secrets import CanarySecrets
from attune_tasks.leaks.file_surfaces import FileRoots, file_surfaces
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.log_records import LogRecords
from attune_tasks.leaks.processes import process_surfaces
from attune_tasks.leaks.report import LeakReport
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.seeker import ValueSeeker
from attune_tasks.leaks.surface import Found, Surface, Watched
from attune_tasks.leaks.watching import watching
from attune_tasks.packs import Action
from attune_tasks.result import ExecutionResult
from attune_tasks.settings import LoadedSettings, Settings, load_settings

__all__ = ["LeakScanner"]


class LeakScanner:
    """Runs actions with canaries in place of their secrets, and tells where these have shown."""

    def __init__(self) -> None:
        """Know no canary yet."""
        self._seeker = ValueSeeker()

    def run(  # noqa: PLR0913 - a test names what it needs
        self,
        ref: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        packs: str | Path | Iterable[str | Path] | None = None,
        secrets: Mapping[str, str] | None = None,
        timeout: float | None = None,
        whole_machine: bool = False,
    ) -> LeakReport:
        """Run an action in this process: no broker, no provider. What goes wrong is in ``report.result``.

        Each secret that the action declares, and each secret parameter, is a canary of 13 letters and digits; `secrets`
        are values by name to take instead, of 8 characters or more. `packs` are folders, and then the settings are the
        defaults; None: those of the project. Of files, those in temporary folders, the home, the working folder and
        the packs are looked at; with `whole_machine`, all local ones that changed. Raises PackError for broken packs,
        SettingsError for broken settings.
        """
        __tracebackhide__ = True
        loaded = _loaded(packs)
        registry = load_packs(loaded)
        action = next((each for each in registry.actions if each.ref == ref), None)
        watched = Watched(new_execution_id(), "", action.runtime_name if action else "unknown", pool_pid=os.getpid())
        log = LogRecords(self._seeker)
        surfaces: list[Surface] = [*_surfaces(self._seeker, loaded.settings, whole_machine=whole_machine), log]
        executor = ActionExecutor(registry, CanarySecrets(self._seeker, watched.execution_id, secrets), loaded.settings)
        given = {**_references(action), **(parameters or {})}
        request = ExecutionRequest(watched.execution_id, ref, given, timeout=timeout)
        try:
            with watching(surfaces, watched):
                result = executor.execute(request)
            rows = [row for surface in surfaces for row in surface.end([watched])]
        finally:
            log.stop()
            executor.close()
        return LeakReport(ref, self._masked(result), (*self._rows_of(result, watched), *rows))

    def find(self, data: bytes | str) -> list[Found]:
        """Give which secrets of the runs so far stand in `data`, in any form; each with its name, and no value."""
        return self._seeker.find(data.encode(errors="surrogateescape") if isinstance(data, str) else data)

    def _rows_of(self, result: ExecutionResult, watched: Watched) -> Iterable[Row]:
        parts = {
            "result": {"the result": json.dumps(result.result, ensure_ascii=False)},
            "output": {"stdout": result.stdout, "stderr": result.stderr},
            "error": {"the error": "\n".join((result.error or {}).values())},
        }
        for name, texts in parts.items():
            findings = Findings(name, self._seeker)
            for where, text in texts.items():
                findings.search(text.encode(errors="surrogateescape"), where)
            yield from findings.rows([watched])

    def _masked(self, result: ExecutionResult) -> ExecutionResult:
        return ExecutionResult.from_dict(self._masked_value(result.to_dict()))

    def _masked_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._seeker.mask(value)
        if isinstance(value, dict):
            return {self._seeker.mask(str(name)): self._masked_value(each) for name, each in value.items()}
        return [self._masked_value(each) for each in value] if isinstance(value, list) else value


def _loaded(packs: str | Path | Iterable[str | Path] | None) -> LoadedSettings:
    if packs is None:
        return load_settings()
    folders = [packs] if isinstance(packs, str | Path) else packs
    return LoadedSettings(Settings(packs=tuple(Path(each).absolute() for each in folders)), {"packs": "argument"})


def _references(action: Action | None) -> dict[str, str]:
    """Give a reference for each secret parameter: what it leads to is a canary in any case."""
    return {name: each.allow[0] for name, each in action.schema.secret_parameters.items()} if action else {}


def _surfaces(seeker: ValueSeeker, settings: Settings, *, whole_machine: bool) -> Sequence[Surface]:
    # Whole homes and machines take longer than a test should.
    here = FileRoots(
        temporary_seconds=2.0, home_seconds=1.0, changed=(Path.cwd(), *settings.packs), changed_seconds=5.0
    )
    secrets_file = settings.secrets.file.path
    surfaces = file_surfaces(
        seeker, sources=[secrets_file] if secrets_file else [], roots=FileRoots() if whole_machine else here
    )
    return [*surfaces, *process_surfaces(seeker)]
