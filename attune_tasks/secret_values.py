"""The mappings that hold secrets between their provider and the child, and what else holds them meanwhile.

Error reporters write down the variables of a traceback's frames: by `repr()`, item by item where something is a
`collections.abc.Mapping`, and often each object's attributes, too. Nothing here shows a value in any of these ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, NoReturn, Self, TypeVar

__all__ = ["HiddenMapping", "Sealed", "SecretBytes", "Secrets"]

_T = TypeVar("_T")
_V = TypeVar("_V")

if TYPE_CHECKING:

    class _Face(Mapping[str, _V]):
        pass

else:

    class _Face(Generic[_V]):
        """The methods of a mapping, and not its class: reporters write down the items of what is one."""

        __slots__ = ()
        __contains__ = Mapping.__contains__
        get, keys, items, values = Mapping.get, Mapping.keys, Mapping.items, Mapping.values


class Sealed(Generic[_T]):
    """Holds something that is not to be shown: no attribute is what it holds, or shows it."""

    __slots__ = ("open",)

    open: Callable[[], _T]
    """Gives what it holds."""

    def __init__(self, content: _T) -> None:
        """Hold `content`."""
        self.open = lambda: content

    def __repr__(self) -> str:
        """Show nothing of what it holds."""
        return f"{type(self).__name__}()"

    def __deepcopy__(self, _: object) -> Self:
        """Give this one: what it holds is not to be in a second place."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would hold the same."""
        msg = "what is sealed is not pickled: it may hold secrets"
        raise TypeError(msg)


class SecretBytes(bytes):
    """Bytes with secrets in them. Shows their number only, wherever variables of a frame are reported."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"{type(self).__name__}({len(self)} bytes)"

    def __str__(self) -> str:
        """Show the same."""
        return repr(self)

    def __deepcopy__(self, _: object) -> Self:
        """Give this one; `dataclasses.asdict` asks for a copy."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would hold them."""
        msg = "secrets are not pickled: hand over their references instead"
        raise TypeError(msg)

    def __add__(self, other: bytes) -> SecretBytes:  # type: ignore[override]  # a narrower type
        """Join two; the whole is as secret."""
        return SecretBytes(bytes(self) + other)


class HiddenMapping(_Face[_V]):
    """A mapping by names which shows how many there are. It is not pickled, and no `collections.abc.Mapping`."""

    __slots__ = ("_sealed",)

    def __init__(self, values: Mapping[str, _V] | None = None) -> None:
        """Copy `values`."""
        self._sealed = Sealed(dict(values or {}))

    def __getitem__(self, name: str) -> _V:
        """Give the value of one name."""
        return self._sealed.open()[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._sealed.open())

    def __len__(self) -> int:
        """Count the names."""
        return len(self._sealed.open())

    def __eq__(self, other: object) -> bool:
        """Compare names and values with those of any mapping."""
        if isinstance(other, HiddenMapping | Mapping):
            return bool(self._sealed.open() == dict(other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of any mapping

    def __repr__(self) -> str:
        """Show how many there are: a name may be a value which was stored the wrong way round."""
        return f"{type(self).__name__}({len(self)} names)"

    def __deepcopy__(self, _: object) -> Self:
        """Give this one; `dataclasses.asdict` asks for a copy."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would hold the values."""
        msg = "secrets are not pickled: hand over their references instead"
        raise TypeError(msg)


class Secrets(HiddenMapping[str]):
    """Names and values of secrets. Shows its names only, and refuses to be pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show the names only."""
        return f"{type(self).__name__}({', '.join(self)})"

    def __or__(self, other: Mapping[str, str]) -> Secrets:
        """Join two sets of secrets; the right one wins."""
        return Secrets({**self, **other})
