"""All surfaces that a scanner looks at, in the order of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from attune_tasks._celery.leaks.added import added_surfaces
from attune_tasks._celery.leaks.scanner_task import ScannerTask
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks._celery.per_app import state_of
from attune_tasks.leaks import Surface, ValueSeeker
from attune_tasks.leaks.file_surfaces import FileRoots, file_surfaces
from attune_tasks.leaks.processes import process_surfaces
from attune_tasks.leaks.vault_audit_log import VaultAuditLog

__all__ = ["all_surfaces"]

_NOT_ASKED: Final = (
    'Vault was not asked for anything: `vault kv put secret/leak-check canary="$(openssl rand -hex 24)"`,'
    " and then --canary-ref vault://secret/leak-check#canary"
)
_NOT_REAL: Final = "Vault was not asked for anything: --real has the action get its real secrets"


def all_surfaces(task: ScannerTask, seeker: ValueSeeker) -> list[Surface]:
    """Give them; nothing is looked at yet."""
    # First: a result backend that is a web framework's, as django-db, can be loaded only once that is set up.
    added = added_surfaces(task.added, task.app, seeker)
    return [
        *process_surfaces(seeker),
        *file_surfaces(seeker, sources=_sources(task), roots=_roots(task.file_seconds)),
        *celery_surfaces(
            task.app,
            seeker,
            task.worker,
            own_redis=task.own_redis,
            flower=task.flower,
            main_pid=task.main_pid,
        ),
        *added,
        _vault_audit_log(task, seeker),
    ]


def _vault_audit_log(task: ScannerTask, seeker: ValueSeeker) -> VaultAuditLog:
    if not task.asks_vault:
        return VaultAuditLog(seeker, None, why_not=_NOT_REAL if task.runs_ref else _NOT_ASKED)
    return VaultAuditLog(seeker, Path(task.vault_audit_log) if task.vault_audit_log else None)


def _roots(seconds: float) -> FileRoots:
    """Give the folders, and a third of the time that all files may take for homes and temporary folders each."""
    return FileRoots(temporary_seconds=seconds / 3, home_seconds=seconds / 3, changed_seconds=seconds)


def _sources(task: ScannerTask) -> list[Path]:
    """Give the files that secrets come from: what stands there is no leak."""
    path = state_of(task.app).loaded.settings.secrets.file.path
    return [path] if path else []
