"""The mapping that holds secrets between their provider and the child."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn

__all__ = ["SecretBytes", "Secrets"]


class SecretBytes(bytes):
    """Bytes with secrets in them. Shows their number only, wherever variables of a frame are reported."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"{type(self).__name__}({len(self)} bytes)"

    def __str__(self) -> str:
        """Show the same."""
        return repr(self)

    def __add__(self, other: bytes) -> SecretBytes:  # type: ignore[override]  # a narrower type
        """Join two; the whole is as secret."""
        return SecretBytes(bytes(self) + other)


class Secrets(Mapping[str, str]):
    """Names and values of secrets. Shows its names only, and refuses to be pickled."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        """Copy `values`, name to value."""
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        """Give the value of one secret."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the secrets."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show the names only."""
        return f"{type(self).__name__}({', '.join(self._values)})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would hold the values."""
        msg = "secrets are not pickled: hand over their references instead"
        raise TypeError(msg)

    def __or__(self, other: Mapping[str, str]) -> Secrets:
        """Join two sets of secrets; the right one wins."""
        return Secrets({**self._values, **other})
