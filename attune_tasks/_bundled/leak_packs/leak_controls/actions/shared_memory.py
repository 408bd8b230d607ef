import mmap
import os
import tempfile
import time


def run(params):
    """Keep the value in a file of /dev/shm for a while; it is written by a mapping alone."""
    value = get_secret("canary").encode()  # noqa: F821 - given to every Python action
    number, path = tempfile.mkstemp(dir="/dev/shm", prefix="leak-control-")
    try:
        os.ftruncate(number, mmap.PAGESIZE)
        with mmap.mmap(number, mmap.PAGESIZE) as memory:
            time.sleep(params["seconds"] / 2)
            memory[: len(value)] = value
            time.sleep(params["seconds"] / 2)
    finally:
        os.close(number)
        os.unlink(path)  # noqa: PTH108 - as it was made
