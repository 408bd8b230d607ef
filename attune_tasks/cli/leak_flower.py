"""Where leak-check finds Flower, with the login from a file: a command line can be seen by every user of a machine."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

import click

__all__ = ["with_login"]


def with_login(url: str | None, login: str) -> str:
    """Give Flower's address with ``user:password`` in it, as the worker's side takes it. Ends in wrong usage."""
    user, separator, password = login.strip().partition(":")
    if not (user and separator and password):
        msg = "--flower-login FILE: it has to hold USER:PASSWORD, as Flower's basic_auth does, and nothing else"
        raise click.UsageError(msg)
    from attune_tasks._celery.leaks.flower import DEFAULT_FLOWER

    parts = urlsplit(url or DEFAULT_FLOWER)
    if "@" in parts.netloc:
        msg = "--flower has a user in it already: leave that out, or --flower-login"
        raise click.UsageError(msg)
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"))
