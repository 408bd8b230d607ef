"""Canaries: random values in place of secrets. They work nowhere, and stand nowhere but where they were handed to."""

from __future__ import annotations

from secrets import token_hex

__all__ = ["make_canary", "make_short_canary"]


def make_canary() -> str:
    """Make a value of two lines that each way to write a text writes differently, so that a hit says which it was."""
    return f"c{token_hex(12)} /+&\"'$<ü~\\{token_hex(4)}\nc{token_hex(12)}"


def make_short_canary() -> str:
    """Make a value of 13 letters and digits: it fits into a process's name, and into that of a file."""
    return f"c{token_hex(6)}"
