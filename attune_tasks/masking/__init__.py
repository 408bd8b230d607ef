"""Masking: the net under everything that leaves an execution. The control is that actions do not print secrets."""

from attune_tasks.masking.masker import Masker
from attune_tasks.masking.stream import StreamMasker

__all__ = ["Masker", "StreamMasker"]
