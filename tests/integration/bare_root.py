"""Run a command as containers do: for a user who is in no passwd file, on a file system that is read-only.

Done with a mount namespace: a new root in which the system, the interpreter and the checkout are mounted read-only at
their own paths, whoever may enter the folders above them here. /tmp is empty and writable, and /dev/shm is, as Docker's
``--read-only`` and systemd's ``ProtectSystem=strict`` leave it, for prefork's locks are there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.integration.workers import ROOT

__all__ = ["GIVEN", "ORDINARY_USER", "in_bare_root"]

ORDINARY_USER: Final = 64_999
GIVEN: Final = Path("/srv/given")
"""Where the folder that was given is in there, read-only."""

# Usage: NEW-ROOT GIVEN-FOLDER SHARED-PATHS(one a line) COMMAND...
_SCRIPT: Final = f"""\
set -eu
new=$1 given=$2 shared=$3
shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$new"
share() {{
    mkdir -p "$new$2"
    mount --rbind "$1" "$new$2"
    mount -o remount,bind,ro "$new$2"
}}
for path in /usr /bin /sbin /lib /lib64 /etc /dev; do
    if [ -L "$path" ]; then
        cp -P "$path" "$new$path"
    elif [ -e "$path" ]; then
        share "$path" "$path"
    fi
done
IFS='
'
for path in $shared; do
    share "$path" "$path"
done
share "$given" {GIVEN}
mkdir -p "$new/proc" "$new/tmp" "$new/old"
mount --rbind /proc "$new/proc"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
cd "$new"
pivot_root . old
cd /
umount -l /old
mount -o remount,bind,ro /
umask 077
exec "$@"
"""
_USER: Final = str(ORDINARY_USER)


def in_bare_root(folder: Path, command: Sequence[str]) -> list[str]:
    """Give the command that runs `command` so, as the same process; `folder` holds its root and what it is given.

    The environment is handed on as it is, and needs PATH to have the system's folders, /usr/sbin among them.
    """
    new, given = folder / "root", folder / "given"
    new.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        for path in (given, *given.rglob("*")):
            os.chown(path, ORDINARY_USER, ORDINARY_USER)
        outside = ["unshare", "--mount"]
        inside = ["setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups", "--no-new-privs"]
    else:  # the one who runs the tests has that number in there, by user namespaces, where they are allowed
        outside = ["unshare", "--user", "--map-root-user", "--mount"]
        inside = ["unshare", "--user", f"--map-user={_USER}", f"--map-group={_USER}"]
    paths = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
    shared = "\n".join(str(path) for path in sorted(paths) if not path.is_relative_to("/usr"))
    return [*outside, "sh", "-c", _SCRIPT, "sh", str(new), str(given), shared, *inside, *command]
