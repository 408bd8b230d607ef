"""Fails with its secrets in the exception, and in what it came from."""


def run(params):  # noqa: ARG001 - every action has them
    """Fail."""
    canary, short = get_secret("canary"), get_secret("canary_short")  # noqa: F821 - given to every Python action
    try:
        int(canary)
    except ValueError as error:
        msg = f"can't log in with {short!r}, nor with {canary!r}"
        raise RuntimeError(msg) from error
