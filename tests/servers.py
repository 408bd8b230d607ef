"""Which real servers this run of the tests talked to: said at its end, so that a green run shows what it stands on."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["UsedServer", "used_server", "used_servers"]


class UsedServer(NamedTuple):
    """A server that a test really talked to."""

    name: str
    version: str
    detail: str


_used: Final[set[UsedServer]] = set()


def used_server(name: str, version: str, detail: str = "") -> None:
    """Note that a test used a real server, as ``used_server("redis", "7.0.15", "broker of the prefork worker")``."""
    _used.add(UsedServer(name, version, detail))


def used_servers() -> list[UsedServer]:
    """Give the servers noted in this process, sorted, each once."""
    return sorted(_used)
