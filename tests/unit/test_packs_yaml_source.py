"""YAML read with lines, and its traps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from attune_tasks.packs.yaml_source import YamlDocument, read_yaml


def read(tmp_path: Path, text: str | bytes) -> YamlDocument:
    path = tmp_path / "a.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(path)


def problems_of(tmp_path: Path, text: str | bytes) -> list[str]:
    return [problem.removeprefix(f"{tmp_path / 'a.yaml'}:") for problem in read(tmp_path, text).problems]


def test_plain_types_are_read(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\nb: [x, 2.5, true, null]\nc: {d: 2024-01-01}\n")
    assert document.problems == []
    assert document.data == {"a": 1, "b": ["x", 2.5, True, None], "c": {"d": "2024-01-01"}}


def test_a_fault_stands_at_the_line_of_its_key_or_of_the_nearest_around_it(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\nb:\n  c:\n    - 1\n    - 2\n")
    document.say(("b", "c", 1), "one")
    document.say(("b", "x"), "two")
    document.say((), "three")
    path = document.path
    assert document.problems == [f"{path}:5: b.c.1: one", f"{path}:2: b.x: two", f"{path}:1: three"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "4: b.c: stands here twice, first in line 3"),
        ("a: 1\non: 2\n", '2: on: YAML 1.1 reads this key as bool: write it in quotes, "on"'),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", "3: b.<<: merge keys are not read: write the keys out"),
        ("? [a]\n: 1\n", "1: ?: expected a key that is text"),
        ("a: !!python/object/apply:os.system [x]\n", "1: a: only plain YAML is read"),
        ("a: !!set {x}\n", "1: a: only plain YAML is read"),
        ("a: .inf\n", "1: a: expected a finite number"),
        ("a: !!int x\n", "1: a: expected a finite number"),
        ("- 1\n", "1: expected a mapping"),
        ("a: [1\nb: 2\n", "2: is not YAML:"),
        ("a: *x\n", "1: is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "2: is not YAML:"),
        (b"a: \xff\n", "1: is not UTF-8 text"),
        ("a: \x01\n", "1: is not UTF-8 text"),
        ("a: &a [*a]\n", "1: is not YAML: nested too deeply"),
    ],
)
def test_what_is_no_plain_yaml_is_a_fault(tmp_path: Path, text: str | bytes, problem: str) -> None:
    found = problems_of(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_an_empty_file_is_an_empty_mapping_and_a_missing_one_a_fault(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n").data == {}
    assert read_yaml(tmp_path / "no.yaml").problems == [
        f"{tmp_path / 'no.yaml'}:1: can't be read: No such file or directory"
    ]


def test_aliases_that_multiply_are_refused_early(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    (problem,) = problems_of(tmp_path, "\n".join(lines))
    assert problem.endswith(": is not YAML: nested too deeply, or too long")


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert read_yaml(tmp_path / "a.yaml").problems == [f"{tmp_path / 'a.yaml'}:1: is not a regular file"]


def test_a_value_that_yaml_takes_for_an_alias_or_a_tag_is_not_quoted(tmp_path: Path) -> None:
    for text in ("key: *hunter2canary", "key: !hunter2canary x", "key: &a 'hunter2canary\nb: [", "a: *x'hunter2canary"):
        (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
        problems = read_yaml(tmp_path / "a.yaml").problems
        assert problems
        assert "hunter2canary" not in str(problems)
