"""The actions of a soak: each notes in its first line that it was started, in a file of its execution."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["KINDS", "LIMIT", "LIMITED_FILE", "Kind", "write_soak_pack"]

LIMIT: Final = 2
"""How many executions of ``limited`` run at once, on all workers."""
LIMITED_FILE: Final = "limited"
"""Where those note when they begin and end: see :func:`tests.soak.overlap.most_at_once`."""
_NOTE: Final = 'echo "$$" >>"$ATTUNE_ACTION_FOLDER/$ATTUNE_EXEC_ID"\n'
_LIMITED_NOTE: Final = f'echo "{{}} $ATTUNE_EXEC_ID $$" >>"$ATTUNE_ACTION_FOLDER/{LIMITED_FILE}"\n'
_PYTHON: Final = """\
import os


def run(params):
    with open(f"{params['folder']}/{os.environ['ATTUNE_EXEC_ID']}", "a") as file:
        file.write("started\\n")
    return {"pid": os.getpid()}
"""


class Kind(NamedTuple):
    """One kind of execution."""

    share: int
    """Of a hundred."""
    text: str
    metadata: str = ""
    ends: frozenset[str] = frozenset({"succeeded"})
    """The statuses that are right where no worker is lost."""
    may_be_lost: bool = True
    """Whether worker_lost is right where one is; else another attempt follows."""
    runner: str = "shell"


KINDS: Final[dict[str, Kind]] = {
    "ok": Kind(22, _NOTE),
    "python": Kind(8, _PYTHON, runner="python"),
    "failing": Kind(12, _NOTE + "exit 3\n", ends=frozenset({"failed"})),
    "slow": Kind(8, _NOTE + "sleep 1.5\n"),
    "forking": Kind(10, _NOTE + "for n in 1 2 3; do (setsid sleep 60 >/dev/null 2>&1 &) ; done\nsleep 0.1\n"),
    "loud": Kind(8, _NOTE + 'head -c 300000 /dev/zero | tr "\\0" x\n'),
    "retried": Kind(
        8,
        _NOTE + '(( $(wc -l <"$ATTUNE_ACTION_FOLDER/$ATTUNE_EXEC_ID") > 1 ))\n',
        "retry: {max_attempts: 6, backoff: 0.2}\n",
    ),
    "idempotent": Kind(
        16, _NOTE + "sleep 0.3\n", "idempotent: true\nretry: {max_attempts: 9, backoff: 0.1}\n", may_be_lost=False
    ),
    "limited": Kind(
        8,
        _NOTE + _LIMITED_NOTE.format("+") + "sleep 0.05\n" + _LIMITED_NOTE.format("-"),
        f"concurrency: {{limit: {LIMIT}}}\n",
    ),
}


def write_soak_pack(packs: Path) -> None:
    """Write the pack `soak`."""
    actions = packs / "soak" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: soak\nlabel: Soak\n", encoding="utf-8")
    for name, kind in KINDS.items():
        file = f"{name}.py" if kind.runner == "python" else f"{name}.sh"
        head = f"ref: soak.{name}\nrunner_type: {kind.runner}\nentry_point: {file}\n"
        parameters = "parameters:\n  folder: {type: string, required: true}\n"
        (actions / f"{name}.yaml").write_text(head + parameters + kind.metadata, encoding="utf-8")
        (actions / file).write_text(kind.text, encoding="utf-8")
