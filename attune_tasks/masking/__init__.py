"""Masking: the net under everything that leaves an execution. The control is that actions do not print secrets."""

from attune_tasks.masking.masker import Masker

__all__ = ["Masker"]
