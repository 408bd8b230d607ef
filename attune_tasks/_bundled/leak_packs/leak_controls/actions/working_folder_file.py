import os
import tempfile
import time
from pathlib import Path


def run(params):
    """Keep the value in a file of a working folder for a while."""
    with tempfile.TemporaryDirectory(dir=params["folder"], prefix="leak-control-") as folder:
        os.chdir(folder)
        Path("settings.ini").write_text(get_secret("canary"), encoding="utf-8")  # noqa: F821 - given to every Python action
        time.sleep(params["seconds"])
        os.chdir("/")
