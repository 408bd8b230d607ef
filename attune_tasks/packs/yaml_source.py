"""YAML files read safely, with the line of every key, so that a fault can be shown where it stands.

Only plain types are read. Timestamps stay text. Duplicate keys, keys that are not text (YAML 1.1 reads ``yes`` as true)
and merge keys are faults; ``on`` of ``retry:`` is the text that it looks like.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["YamlDocument", "read_yaml"]

_MAX_DEPTH: Final = 40
_MAX_NODES: Final = 20_000
_TAG: Final = "tag:yaml.org,2002:"
_AS_TEXT: Final = frozenset({_TAG + "str", _TAG + "timestamp"})
_ALWAYS_TEXT: Final = frozenset({("retry", "on")})
"""Keys that mean one thing only, whatever YAML 1.1 reads in them."""
_PLAIN: Final = frozenset({_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"})

_Key = tuple[str | int, ...]


class YamlDocument:
    """One file: its data in plain types, the lines of its keys, and the faults found while reading."""

    def __init__(self, path: Path) -> None:
        """Start with nothing read from `path`."""
        self.path = path
        self.data: Any = None
        self.problems: list[str] = []
        self._lines: dict[_Key, int] = {(): 1}

    def say(self, key: Iterable[str | int], text: str) -> None:
        """Keep a fault: ``file:line: key: text``, the line being that of `key` or of the nearest key around it."""
        key = tuple(key)
        known = key
        while known not in self._lines:
            known = known[:-1]
        name = ".".join(str(part) for part in key)
        self.say_at(self._lines[known], f"{name}: {text}" if name else text)

    def say_at(self, line: int, text: str) -> None:
        """Keep a fault of one line, counted from 1."""
        self.problems.append(f"{self.path}:{line}: {text}")

    def build(self, loader: yaml.SafeLoader, node: yaml.Node, key: _Key) -> Any:
        """Turn a node into plain types and note its line."""
        self._lines.setdefault(key, node.start_mark.line + 1)
        if len(key) > _MAX_DEPTH or len(self._lines) > _MAX_NODES:  # aliases can hold themselves, or multiply
            msg = "nested too deeply, or too long"
            raise yaml.MarkedYAMLError(problem=msg, problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._build_mapping(loader, node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.build(loader, item, (*key, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _AS_TEXT:
            return node.value
        if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN:
            try:
                value = loader.construct_object(node)
            except ValueError:  # as !!int before text
                value = math.nan
            if not isinstance(value, float) or math.isfinite(value):
                return value
            self.say(key, "expected a finite number")
            return None
        self.say(key, "only plain YAML is read: mappings, lists, text, numbers, true, false, null")
        return None

    def _build_mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, key: _Key) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            where = "".join(f"{part}." for part in key)
            if name_node.tag == _TAG + "merge":
                self.say_at(line, f"{where}<<: merge keys are not read: write the keys out")
            elif not isinstance(name_node, yaml.ScalarNode):
                self.say_at(line, f"{where}?: expected a key that is text")
            elif name_node.tag not in _AS_TEXT and (*key, name_node.value) not in _ALWAYS_TEXT:
                kind = name_node.tag.removeprefix(_TAG)
                text = f'YAML 1.1 reads this key as {kind}: write it in quotes, "{name_node.value}"'
                self.say_at(line, f"{where}{name_node.value}: {text}")
            elif name_node.value in mapping:
                first = self._lines[*key, name_node.value]
                self.say_at(line, f"{where}{name_node.value}: stands here twice, first in line {first}")
            else:
                self._lines[*key, name_node.value] = line
                mapping[name_node.value] = self.build(loader, value_node, (*key, name_node.value))
        return mapping


def read_yaml(path: Path) -> YamlDocument:
    """Read the first and only document of a file; what is wrong with it is in the result's `problems`."""
    document = YamlDocument(path)
    if path.exists() and not path.is_file():  # a FIFO would wait for its writer
        document.say((), "is not a regular file")
        return document
    try:
        text = path.read_bytes().decode()
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        document.data = {} if node is None else document.build(loader, node, ())
    except OSError as error:
        document.say((), f"can't be read: {error.strerror}")
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        document.say((), "is not UTF-8 text without control characters")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What stands in quotes is from the file: `key: *secret` is an alias to YAML.
        problem = re.sub(r"(['\"]).*\1", "...", str(error.problem or error.context))
        document.say_at(mark.line + 1 if mark else 1, f"is not YAML: {problem}")
    if not document.problems and not isinstance(document.data, dict):
        document.say((), "expected a mapping")
    return document
