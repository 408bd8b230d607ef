"""Masking: the net under everything that leaves an execution. The control is that actions do not print secrets."""

from attune_tasks.masking.maskable import is_maskable
from attune_tasks.masking.masker import Masker, MaskStyle
from attune_tasks.masking.sought import RUN_TIME
from attune_tasks.masking.stream import StreamMasker
from attune_tasks.masking.variants import variants_of

__all__ = ["RUN_TIME", "MaskStyle", "Masker", "StreamMasker", "is_maskable", "variants_of"]
