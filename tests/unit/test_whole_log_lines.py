"""A process that is forked while another thread writes a line of the log can log itself."""

from __future__ import annotations

import subprocess
import sys

_FORK = """
import io, logging, os, sys, threading, time
from attune_tasks._celery.whole_log_lines import fork_between_log_lines

class Slow(io.RawIOBase):
    begun, go = threading.Event(), threading.Event()

    def writable(self):
        return True

    def write(self, data):
        self.begun.set()
        self.go.wait(30)
        return len(data)

def log():
    logging.getLogger("some.where").warning("a line")

slow = Slow()
# As sys.stderr is made: the lock in the midst is C's own, and no fork gets it back.
stream = io.TextIOWrapper(io.BufferedWriter(slow), line_buffering=True)
logging.getLogger("some").addHandler(logging.StreamHandler(stream))
if "held" in sys.argv:
    fork_between_log_lines()
if "stuck" not in sys.argv:
    threading.Timer(0.2, slow.go.set).start()
writer = threading.Thread(target=log, daemon=True)
writer.start()
slow.begun.wait()
began = time.monotonic()
pid = os.fork()
if not pid:
    slow.go.set()
    "stuck" in sys.argv or log()
    os._exit(0)
took = time.monotonic() - began
deadline = time.monotonic() + (20 if "held" in sys.argv else 1)
while not (ended := os.waitpid(pid, os.WNOHANG)[0]) and time.monotonic() < deadline:
    time.sleep(0.01)
if not ended:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
slow.go.set()
writer.join()
log()
print("ended" if ended else "stands still", "soon" if took < 10 else "late")
"""


def _fork(*arguments: str) -> str:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_a_fork_waits_for_the_end_of_a_line_so_that_the_forked_process_can_log() -> None:
    assert _fork("held") == "ended soon"


def test_without_that_it_stands_still_at_its_first_line() -> None:
    assert _fork() == "stands still soon"


def test_a_fork_does_not_wait_for_ever_for_a_line_that_is_stuck() -> None:
    assert _fork("held", "stuck") == "ended soon"
