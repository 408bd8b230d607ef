"""Shows its secrets in every way that is masked, hands one on as it should be, and has processes crash."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse


def run(params):
    """Give them back as the result, too."""
    canary, short = get_secret("canary"), get_secret("canary_short")  # noqa: F821 - given to every Python action
    for text in (canary, short):
        data = text.encode()
        print(text, json.dumps(text), urllib.parse.quote(text), flush=True)
        print(repr(text), base64.b64encode(data).decode(), data.hex(), file=sys.stderr, flush=True)
    set_progress(50, f"half of {short} and {json.dumps(canary)}")  # noqa: F821 - the same
    subprocess.run(["cat"], input=canary.encode(), stdout=subprocess.DEVNULL, check=True)  # noqa: S607 - found on PATH
    dumps = sum(crash(number) for number in (signal.SIGSEGV, signal.SIGABRT))
    time.sleep(params["seconds"])
    return {"canary": canary, short: [f"within {short} a text", canary.splitlines()], "core_dumps": dumps}


def crash(number):
    """Have a copy of this process die; give whether the kernel says that it wrote a core dump."""
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), number)
        time.sleep(10)
        os._exit(0)
    return os.WCOREDUMP(os.waitpid(pid, 0)[1])
