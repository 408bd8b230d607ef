"""What a masker looks for: the values that it was given and those that were added, made into a search when needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attune_tasks.masking.maskable import is_maskable
from attune_tasks.masking.search import Search
from attune_tasks.masking.sieve import Sieve
from attune_tasks.masking.spans import Run
from attune_tasks.masking.variants import Variants, all_variants

__all__ = ["RUN_TIME", "Sought"]

RUN_TIME: Final = "(mask)"
"""The name of all values that an action names while it runs. No secret can have it."""

_VALUES: Final = 100
_CHARACTERS: Final = 1 << 18
_SIEVED: Final = 1 << 14
"""Bytes of a text that is looked at by the sieve first. Of a longer one it would find something by chance."""


class Sought:
    """The values of secrets, and of what an action names while it runs."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Look for the values of `secrets`, name to value."""
        self._secrets = secrets
        self._added: list[str] = []
        self._variants: dict[str, Variants] = {}
        self._search: Search | None = None
        self._sieve: Sieve | None = None

    def __len__(self) -> int:
        """Count the values."""
        return len(self._secrets) + len(self._added)

    @property
    def search(self) -> Search:
        """What is looked for by now."""
        if self._search is None:
            for name, value in self._secrets.items():
                if name not in self._variants:
                    self._variants[name] = all_variants(value)
            if self._added:
                found = [all_variants(value) for value in self._added]
                self._variants[RUN_TIME] = Variants(
                    frozenset().union(*(each.exact for each in found)),
                    frozenset().union(*(each.broken for each in found)),
                )
            self._search = Search(self._variants)
        return self._search

    def add(self, value: str) -> bool:
        """Look for `value`, too, from now on; give whether it is. At most 100 values of 256 KiB in all are taken."""
        if value in self._added:
            return True
        size = sum(map(len, self._added)) + len(value)
        if not is_maskable(value) or len(self._added) == _VALUES or size > _CHARACTERS:
            return False
        self._added.append(value)
        self._search = self._sieve = None
        return True

    def runs(self, data: bytes, covered: int = 0) -> Iterable[Run]:
        """Give the runs in `data`, as :meth:`Search.runs` does."""
        if not (covered or self._may_hold(data)):
            return ()
        return self.search.runs(data, covered)

    def names_in(self, data: bytes) -> frozenset[str]:
        """Give the names of those whose variants are in `data`."""
        return self.search.names_in(data) if self._may_hold(data) else frozenset()

    def _may_hold(self, data: bytes) -> bool:
        if self._search is not None or len(data) > _SIEVED:
            return bool(data)
        if self._sieve is None:
            self._sieve = Sieve((*self._secrets.values(), *self._added))
        return self._sieve.may_hold(data)
