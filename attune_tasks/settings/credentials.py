"""Variables that look like credentials: whatever is started with them can read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attune_tasks.settings.masking import mask_setting, mask_url

__all__ = ["credential_variables"]

_SHORTEST: Final = 6
"""Characters; shorter values are numbers, switches and names."""
# Vault, AWS, GitHub, GitLab, Slack, Stripe, and private keys in PEM.
_TELLING: Final = re.compile(
    r"hv[sbr]\.[\w-]{20}|(AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_\w{30}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10}|[sr]k_live_\w{10}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def credential_variables(environ: Mapping[str, str]) -> list[str]:
    """Give the names, sorted, of the variables whose name or value looks like a credential's. A guess, both ways."""
    return sorted(name for name, value in environ.items() if _looks_so(name, value))


def _looks_so(name: str, value: str) -> bool:
    if mask_url(value) != value and "://" in value:
        return True
    if len(value) < _SHORTEST or value.startswith(("/", "~", "./")):  # a file's name: PWD, SSH_AUTH_SOCK
        return False
    return mask_setting(name, value) != value or _TELLING.match(value) is not None
