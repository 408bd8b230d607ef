"""Of two actions: launcher_memory and main_memory. Both need root."""

import os
import time
from pathlib import Path


def run(params):
    value = get_secret("canary_short").encode()  # noqa: F821 - given to every action
    of_launcher = os.environ["ATTUNE_ACTION"].endswith("launcher_memory")
    pid = os.getppid() if of_launcher else params["pid"] or main_process()
    address = free_place(pid)
    write(pid, address, value)
    stay(params["seconds"], params["folder"])
    write(pid, address, bytes(len(value)))


def stay(seconds, folder):
    """Stay for so long; where there is a folder, say there since when it leaks, and go when it was looked at."""
    until = time.monotonic() + seconds
    if folder:
        Path(folder, "begun").write_text(str(time.monotonic()))
        Path(folder, "begun").rename(Path(folder, "leaks"))
    while time.monotonic() < until and not (folder and Path(folder, "seen").exists()):
        time.sleep(0.02)


def free_place(pid):
    """Find zeros near the end of a process's heap, where the allocator keeps what it has not given out."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    (heap,) = [line.split()[0] for line in lines if line.endswith("[heap]")]
    begin, end = (int(number, 16) for number in heap.split("-"))
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for page in range(end - 4096, max(begin, end - (1 << 20)) - 1, -4096):
            memory.seek(page)
            at = memory.read(4096).rfind(bytes(64))
            if at >= 0:
                return page + at + 16
    raise RuntimeError(f"process {pid} has no free place in its heap")  # noqa: EM102, TRY003 - a script


def write(pid, address, data):
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(data)


def main_process():
    """Give the pool process's parent, if it runs the same program with the same arguments: then it has forked it."""
    pool = parent_of(os.getppid())
    main = parent_of(pool)
    programs = {
        (Path(f"/proc/{pid}/exe").readlink(), Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in (pool, main)
    }
    if len(programs) > 1:
        raise RuntimeError(f"process {main} is no main process of a worker: give its pid")  # noqa: EM102, TRY003 - a script
    return main


def parent_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("PPid:"))
