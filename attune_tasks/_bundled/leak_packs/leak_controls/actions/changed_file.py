import time
from pathlib import Path


def run(params):
    """Append the value to a file, which stays."""
    with Path(params["folder"], "leak-control.log").open("a", encoding="utf-8") as file:
        file.write(f"logged in with {get_secret('canary')}\n")  # noqa: F821 - given to every Python action
        file.flush()
        time.sleep(params["seconds"])
