import time


def run(params):
    """Fail with it."""
    time.sleep(params["seconds"])
    raise RuntimeError(get_secret("canary_short")[::-1])  # noqa: F821 - given to every Python action
