"""What of a result goes into the result backend: brokers, Flower and pub/sub clients choke on megabytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from attune_tasks.settings.model import ResultSettings

__all__ = ["bounded"]

_MESSAGE_CHARACTERS: Final = 4096


def bounded(result: dict[str, Any], limits: ResultSettings) -> dict[str, Any]:
    """Cut ``ExecutionResult.to_dict()`` to the settings ``result.*``.

    Of stdout and stderr the last ``stream_bytes`` bytes in UTF-8 are kept, and ``stdout_truncated`` says so. A
    ``result`` of more than ``value_bytes`` as JSON is left out: ``{"_truncated": true, "bytes": <its size>}`` stands
    in its place.
    """
    kept = dict(result)
    for name in ("stdout", "stderr"):
        kept[name] = _end(result[name], limits.stream_bytes)
        kept[f"{name}_truncated"] = result[f"{name}_truncated"] or kept[name] != result[name]
    size = len(json.dumps(result["result"], ensure_ascii=False).encode(errors="replace"))
    if size > limits.value_bytes and result["result"] is not None:
        kept["result"] = {"_truncated": True, "bytes": size}
    if result["error"] is not None:
        kept["error"] = {key: _beginning(text) for key, text in result["error"].items()}
    return kept


def _beginning(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARACTERS else text[:_MESSAGE_CHARACTERS] + "..."


def _end(text: str, size: int) -> str:
    data = text.encode(errors="replace")
    if len(data) <= size:
        return text
    # What is left of a character that was cut through is dropped, not shown as a replacement character.
    return data[len(data) - size :].decode(errors="ignore")
