import time


def run(params):
    """Say it as progress."""
    set_progress(50, get_secret("canary_short")[::-1])  # noqa: F821 - given to every Python action
    time.sleep(params["seconds"])
