"""A pack whose actions leave a line for each of their starts, in a file that the test names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.integration.workers import Place

__all__ = ["starts", "write_claims_pack"]

_HOLD: Final = """\
echo "start $$" >>"$ATTUNE_ACTION_FILE"
while [[ ! -e $ATTUNE_ACTION_FILE.go ]]; do sleep 0.02; done
echo held
"""
_FLAKY: Final = """\
echo "start $$" >>"$ATTUNE_ACTION_FILE"
(( $(wc -l <"$ATTUNE_ACTION_FILE") >= ATTUNE_ACTION_GOOD ))
"""
# Beside its start, each leaves when it began and ended, in a file of all of them.
_COUNTED: Final = """\
echo "start $$" >>"$ATTUNE_ACTION_FILE"
echo + >>"${ATTUNE_ACTION_FILE%/*}/counted"
while [[ ! -e $ATTUNE_ACTION_FILE.go ]]; do sleep 0.02; done
sleep 0.05
echo - >>"${ATTUNE_ACTION_FILE%/*}/counted"
"""
# Its parameter is as long as the caller likes.
_BIG: Final = """\
echo "start $$" >>"$(grep -o '"file": *"[^"]*"' | cut -d '"' -f 4)"
"""
_PARAMETERS: Final = "parameters:\n  file: {type: string, required: true}\n"
_ACTIONS: Final = {
    "hold": (_HOLD, _PARAMETERS),
    "again": (_HOLD, _PARAMETERS + "idempotent: true\n"),
    "flaky": (
        _FLAKY,
        _PARAMETERS + "  good: {type: integer, default: 3}\nretry: {max_attempts: 3, backoff: 0.1, jitter: 0}\n",
    ),
    "slow_retry": (_FLAKY, _PARAMETERS + "  good: {type: integer, default: 9}\nretry: {backoff: 600}\n"),
    "retrying": (
        _FLAKY,
        _PARAMETERS
        + "  good: {type: integer, default: 2}\n"
        + "retry: {max_attempts: 3, backoff: 6, jitter: 0, on: [failed]}\n",
    ),
    "three": (_COUNTED, _PARAMETERS + "concurrency: {limit: 3}\n"),
    "big": (_BIG, _PARAMETERS + "  text: {type: string}\nparameter_delivery: stdin\n"),
    "single": (_HOLD, _PARAMETERS + "concurrency: {limit: 1}\n"),
    "single_again": (_HOLD, _PARAMETERS + "idempotent: true\nconcurrency: {limit: 1}\n"),
    "one_each": (_HOLD, _PARAMETERS + "  key: {type: string}\nconcurrency: {limit: 1, by: [key], on_conflict: fail}\n"),
    "quick": ('echo "start $$" >>"$ATTUNE_ACTION_FILE"\n', _PARAMETERS),
    "broken": ("exit 3\n", ""),
    "failing": ('echo "start $$" >>"$ATTUNE_ACTION_FILE"\nexit 3\n', _PARAMETERS),
    "secret": ('echo "start $$" >>"$ATTUNE_ACTION_FILE"\n', _PARAMETERS + "secrets: {key: work/api#api_key}\n"),
}


def write_claims_pack(place: Place, secrets: str = "") -> None:
    """Write the pack `claims`; each of its actions needs `secrets`, if any are given."""
    actions = place.packs / "claims" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: claims\nlabel: Claims\n", encoding="utf-8")
    for name, (text, metadata) in _ACTIONS.items():
        head = f"ref: claims.{name}\nrunner_type: shell\nentry_point: {name}.sh\n"
        if secrets and "secrets:" not in metadata:
            head += f"secrets: {{{secrets}}}\n"
        (actions / f"{name}.yaml").write_text(head + metadata, encoding="utf-8")
        (actions / f"{name}.sh").write_text(text, encoding="utf-8")


def starts(file: Path) -> int:
    """Give how often the action has started."""
    return len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0
