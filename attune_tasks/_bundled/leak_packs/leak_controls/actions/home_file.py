import os
import tempfile
import time


def run(params):
    """Keep the value in a file in HOME for a while."""
    with tempfile.NamedTemporaryFile("w", dir=os.environ["HOME"], prefix=".leak-control-", encoding="utf-8") as file:
        file.write(get_secret("canary"))  # noqa: F821 - given to every Python action
        file.flush()
        time.sleep(params["seconds"])
