"""A pack for tests that go through Celery, and the secrets that its actions declare."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SECRETS", "write_packs", "write_secrets"]

SECRETS: Final = {"api_key": "Zq7-integration-api-key-Xw2", "password": 'p"4ss\\wörd-Vb9 $(id)'}

_ADD: Final = "def run(params):\n    return params['a'] + params['b']\n"
_TELL: Final = """\
import sys
def run(params):
    key, password = get_secret("api_key"), get_secret("password")
    print("out", key, password)
    print("err", key, password, file=sys.stderr)
    if params["fail"]:
        raise RuntimeError(f"refused: {key} {password}")
    return {"key": key, "list": [password], "length": len(key)}
"""
_TELL_SHELL: Final = """\
get_secret -v KEY api_key
echo "out $KEY $(get_secret password)"
echo "err $KEY" >&2
test "$ATTUNE_ACTION_FAIL" = false
"""
_TELL_SLOWLY: Final = """\
import time
def run(params):
    print("out", get_secret("api_key"), get_secret("password"), flush=True)
    time.sleep(60)
"""
_TELL_SLOWLY_SHELL: Final = """\
echo "out $(get_secret api_key) $(get_secret password)"
exec sleep 60
"""
_TELL_EXECUTABLE: Final = """\
#!/bin/sh
read -r line
echo "out ${line%%,*}"
echo "length ${#line}"
test "$ATTUNE_ACTION_FAIL" = false
"""
_LARGE: Final = """\
import sys
def run(params):
    sys.stdout.write(params["letter"] * 1_000_000 + "the end of stdout")
    sys.stderr.write(params["letter"] * 1_000_000 + "the end of stderr")
    if params["fail"]:
        raise RuntimeError(params["letter"] * 100_000)
    return params["letter"] * params["size"]
"""
_LARGE_METADATA: Final = """\
parameters:
  letter: {type: string, default: x}
  size: {type: integer, default: 1000000}
  fail: {type: boolean, default: false}
  ballast: {type: string, default: ""}
"""
_WAIT: Final = """\
import pathlib, time
def run(params):
    print("started", flush=True)
    while not pathlib.Path(params["until"]).exists():
        time.sleep(0.02)
"""

_SECRET_METADATA: Final = """\
parameters:
  fail: {type: boolean, default: false}
secrets:
  api_key: {ref: "work/api#api_key"}
  password: {ref: "work/api#password"}
"""
_ACTIONS: Final = {
    "add": (
        "python",
        "add.py",
        _ADD,
        "parameters:\n  a: {type: integer, required: true}\n  b: {type: integer, default: 2}\n",
    ),
    "tell": ("python", "tell.py", _TELL, _SECRET_METADATA),
    "tell_shell": ("shell", "tell.sh", _TELL_SHELL, _SECRET_METADATA),
    "tell_slowly": ("python", "tell_slowly.py", _TELL_SLOWLY, _SECRET_METADATA),
    "tell_slowly_shell": ("shell", "tell_slowly.sh", _TELL_SLOWLY_SHELL, _SECRET_METADATA),
    "tell_executable": ("executable", "tell_executable", _TELL_EXECUTABLE, _SECRET_METADATA),
    "large": (
        "python",
        "large.py",
        _LARGE,
        _LARGE_METADATA,
    ),
    "wait": ("python", "wait.py", _WAIT, "parameters:\n  until: {type: string, required: true}\n"),
    "late": ("shell", "late.sh", "echo before; exec sleep 60\n", "timeout: 2\n"),
    "interrupt": ("shell", "interrupt.sh", "kill -INT $$; echo survived\n", ""),
    "routed": ("shell", "routed.sh", "echo routed\n", "queue: from_metadata\n"),
}


def write_packs(folder: Path, ref: str = "work") -> Path:
    """Write the pack `ref` with all actions below `folder`/packs, and give that."""
    pack = folder / "packs" / ref
    actions = pack / "actions"
    actions.mkdir(parents=True)
    (pack / "pack.yaml").write_text(f"ref: {ref}\nlabel: Work\nversion: 1.0.0\n", encoding="utf-8")
    for name, (runtime, script, text, metadata) in _ACTIONS.items():
        head = f"ref: {ref}.{name}\nrunner_type: {runtime}\nentry_point: {script}\n"
        (actions / f"{name}.yaml").write_text(head + metadata, encoding="utf-8")
        (actions / script).write_text(text, encoding="utf-8")
        (actions / script).chmod(0o755)
    return folder / "packs"


def write_secrets(folder: Path) -> Path:
    """Write the file of the provider `file`, readable by its owner alone, and give it."""
    path = folder / "secrets.yaml"
    path.touch(mode=0o600)
    lines = [f"  {name}: {value!r}".replace("\\\\", "\\") for name, value in SECRETS.items()]
    path.write_text("\n".join(["work/api:", *lines, ""]), encoding="utf-8")
    return path
