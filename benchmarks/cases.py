"""All cases by name, in the order of the table. Each gives one line of it, or several that are measured together."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import (
    ansible_case,
    celery_cases,
    masking_cases,
    memory_case,
    output_cases,
    python_cases,
    shell_cases,
    vault_case,
)
from benchmarks.rows import Row
from benchmarks.workspace import Bench

__all__ = ["CASES"]

CASES: dict[str, Callable[[Bench], list[Row]]] = {
    "python": python_cases.forked,
    "preload": python_cases.preloaded,
    "exec": python_cases.fresh,
    "shell": shell_cases.plain,
    "shell-secrets": shell_cases.with_secrets,
    "shell-paced": shell_cases.paced,
    "celery": celery_cases.end_to_end,
    "claims": celery_cases.claims,
    "output": output_cases.seconds,
    "output-memory": output_cases.memory,
    "masking": masking_cases.speed,
    "masking-kept": masking_cases.kept,
    "masking-set-up": masking_cases.set_up,
    "masking-short": masking_cases.short,
    "ansible": ansible_case.ansible,
    "launcher": memory_case.idle_launcher,
    "slots": shell_cases.slots,
    "ten-thousand": celery_cases.ten_thousand,
    "long-secret": shell_cases.long_secret,
    "vault": vault_case.vault_read,
}
