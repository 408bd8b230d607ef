"""All that is looked for of one value: its parts, as they are, escaped and encoded."""

from __future__ import annotations

from typing import Final, NamedTuple

from attune_tasks.masking.encodings import encodings_of
from attune_tasks.masking.escapes import escapes_of
from attune_tasks.masking.parts import parts_of

__all__ = ["Variants", "all_variants", "variants_of"]

_PARTS_WRITTEN: Final = 64
"""Parts of a value that are also escaped and encoded. The whole is the first; of longer values further lines are looked
for as they are."""
_CHARACTERS_ESCAPED: Final = 1 << 14
"""Of a part that is also escaped. A longer one is looked for as it is, encoded, and by its lines."""


class Variants(NamedTuple):
    """Byte strings by which a value is recognised."""

    exact: frozenset[bytes]
    """Found as they are."""
    broken: frozenset[bytes]
    """Encoded forms: found with line breaks in them, too."""


def variants_of(value: str) -> frozenset[bytes]:
    """Give every variant of `value`; none where it is too short or too common to be masked."""
    variants = all_variants(value)
    return variants.exact | variants.broken


def all_variants(value: str) -> Variants:
    """Give every variant of `value` by kind."""
    exact: set[bytes] = set()
    broken: set[bytes] = set()
    for number, part in enumerate(dict.fromkeys(parts_of(value))):
        data = _encode(part)
        exact.add(data)
        if number >= _PARTS_WRITTEN:
            continue
        broken.update(encodings_of(data))
        if len(part) <= _CHARACTERS_ESCAPED:
            exact.update(map(_encode, escapes_of(part)))
    return Variants(frozenset(exact), frozenset(broken))


def _encode(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")  # what the action's own bytes have become, become again
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
