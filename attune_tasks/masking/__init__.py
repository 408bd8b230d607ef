"""Masking: the net under everything that leaves an execution. The control is that actions do not print secrets."""

from attune_tasks.masking.encodings import encodings_by_family
from attune_tasks.masking.escapes import escapes_by_family
from attune_tasks.masking.maskable import is_maskable
from attune_tasks.masking.masker import Masker, MaskStyle
from attune_tasks.masking.sought import RUN_TIME
from attune_tasks.masking.stream import StreamMasker
from attune_tasks.masking.variants import variants_of

__all__ = [
    "RUN_TIME",
    "MaskStyle",
    "Masker",
    "StreamMasker",
    "encodings_by_family",
    "escapes_by_family",
    "is_maskable",
    "variants_of",
]
