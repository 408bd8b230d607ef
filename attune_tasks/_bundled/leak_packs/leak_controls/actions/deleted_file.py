import tempfile
import time


def run(params):
    """Keep the value in a file with no name for a while."""
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:
        file.write(get_secret("canary"))  # noqa: F821 - given to every Python action
        file.flush()
        time.sleep(params["seconds"])
