import time


def run(params):
    """Print it, and return it."""
    value = get_secret("canary_short")[::-1]  # noqa: F821 - given to every Python action
    print(value, flush=True)
    time.sleep(params["seconds"])
    return {"reversed": value}
