"""The provider `file`: private files only, nothing of their content in an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from attune_tasks.errors import SecretsUnavailableError, SettingsError
from attune_tasks.secrets import FileSecretProvider, parse_reference

Write = Callable[..., FileSecretProvider]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a private file and makes a provider of it."""

    def make(name: str, content: str | bytes, mode: int = 0o600) -> FileSecretProvider:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return FileSecretProvider.from_settings({"path": path})

    return make


def read(provider: FileSecretProvider, text: str) -> Mapping[str, object]:
    """Read one reference; a file needs no deadline."""
    return provider.read(parse_reference(text, default_provider="file"), deadline=0.0)


TOML = """
["billing/stripe"]
api_key = "sk_1"
port = 8080
[mail.nested]
user = "u"
"""
YAML = """
billing/stripe:
  api_key: sk_1
  port: 8080
mail:
  nested: {user: u}
"""


@pytest.mark.parametrize(("name", "content"), [("s.toml", TOML), ("s.yaml", YAML), ("s.yml", YAML)])
def test_a_top_level_key_is_a_path_with_its_fields(write: Write, name: str, content: str) -> None:
    provider = write(name, content)
    assert read(provider, "billing/stripe#api_key") == {"api_key": "sk_1", "port": 8080}
    assert read(provider, "file://billing/stripe#api_key") == {"api_key": "sk_1", "port": 8080}
    assert read(provider, "mail#nested") == {"nested": {"user": "u"}}
    assert provider.describe().endswith(f"{name} with 2 paths")


@pytest.mark.parametrize(
    "text", ["0123", "1_000", "1.10", "1e3", "yes", "No", "on", "0x1F", "1:30", "2026-01-01", "True", ".5", "-0", "="]
)
def test_a_yaml_password_is_taken_as_it_is_written(write: Write, text: str) -> None:
    assert read(write("s.yaml", f"p:\n  f: {text}\n"), "p#f") == {"f": text}


def test_yaml_values_that_lose_nothing_keep_their_type(write: Write) -> None:
    content = "p: {a: true, b: -12, c: null, d: ~, e: [1, x], f: '12', g: }"
    expected = {"a": True, "b": -12, "c": None, "d": None, "e": [1, "x"], "f": "12", "g": None}
    assert read(write("s.yaml", content), "p#a") == expected


def test_the_file_is_read_anew_each_time(write: Write, tmp_path: Path) -> None:
    provider = write("s.yaml", "p: {f: old}")
    assert read(provider, "p#f") == {"f": "old"}
    (tmp_path / "s.yaml").write_text("p: {f: new}")
    assert read(provider, "p#f") == {"f": "new"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o601, 0o666, 0o660])
def test_a_file_open_to_others_is_refused_with_the_command_to_type(write: Write, tmp_path: Path, mode: int) -> None:
    provider = write("s.yaml", "p: {f: hunter2}", mode)
    for ask in (provider.describe, lambda: read(provider, "p#f")):
        with pytest.raises(SecretsUnavailableError, match=f"mode {mode:04o}.*: run `chmod 600 {tmp_path}/s.yaml`"):
            ask()


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(write: Write, mode: int) -> None:
    assert read(write("s.yaml", "p: {f: x}", mode), "p#f") == {"f": "x"}


def test_a_file_of_another_user_is_refused_with_the_command_to_type(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = write("s.yaml", "p: {f: x}")
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(SecretsUnavailableError, match=f"another user: run `chown {other} {tmp_path}/s.yaml`"):
        read(provider, "p#f")


def test_a_symlink_is_followed_and_its_target_is_what_counts(write: Write, tmp_path: Path) -> None:
    write("target.yaml", "p: {f: x}")
    link = tmp_path / "link.yaml"
    link.symlink_to("target.yaml")
    assert read(FileSecretProvider(link), "p#f") == {"f": "x"}
    (tmp_path / "target.yaml").chmod(0o644)
    with pytest.raises(SecretsUnavailableError, match="chmod 600"):
        read(FileSecretProvider(link), "p#f")


def test_what_is_no_regular_file_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml", 0o600)
    (tmp_path / "folder.yaml").mkdir(0o700)
    for name in ("fifo.yaml", "folder.yaml"):
        with pytest.raises(SecretsUnavailableError, match=rf"{name} (is not a regular file|can't be opened)"):
            FileSecretProvider(tmp_path / name).describe()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretsUnavailableError, match=r"absent\.toml can't be opened: No such file"):
        FileSecretProvider(tmp_path / "absent.toml").describe()


def test_an_unknown_path_gets_the_nearest(write: Write) -> None:
    with pytest.raises(
        SecretsUnavailableError, match=r"no top-level key 'billing/strip'; did you mean 'billing/stripe'"
    ):
        read(write("s.toml", TOML), "billing/strip#api_key")
    with pytest.raises(SecretsUnavailableError, match=r"no top-level key 'billing'$"):
        read(write("empty.yaml", ""), "billing#api_key")


def test_options_are_refused(write: Write) -> None:
    with pytest.raises(SecretsUnavailableError, match="knows no options: leave out version"):
        read(write("s.toml", TOML), "billing/stripe?version=1#api_key")


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("s.toml", b'["p"]\nf = "hunter2\n', "not valid TOML at line 2"),
        ("s.toml", b'["p"]\nf = hunter2\n', "not valid TOML at line 2"),
        ("s.toml", b'["p"]\nhunter2', "not valid TOML"),
        ("s.toml", b'["hunter2"]\n["hunter2"]\n', "not valid TOML at line 2"),
        ("s.toml", b"f = " + b"[" * 100_000, "not valid TOML"),
        ("s.toml", b'["p"]\nf = "hunter2\xff"', "not UTF-8"),
        ("s.yaml", b'p:\n  f: "hunter2\n', "not valid YAML at line 3"),
        ("s.yaml", b"p:\n  f: !!python/name:hunter2 x\n", "not valid YAML at line 2"),
        ("s.yaml", b"p:\n  f: {hunter2", "not valid YAML at line 2"),
        ("s.yaml", b"p: {f: hunter2, f: hunter2}", "not valid YAML at line 1"),
        ("s.yaml", b"p: {f: hunter2}\n---\np: {}\n", "not valid YAML at line 2"),
        ("s.yaml", b"p: {f: hunter2\x00}", "not valid YAML"),
        ("s.yaml", b"p: " + b"[" * 100_000, "not valid YAML"),
        ("s.yaml", b"- hunter2", "expected paths as text at the top level"),
        ("s.yaml", b"hunter2", "expected paths as text at the top level"),
        ("s.yaml", b"12: {f: hunter2}", "expected paths as text at the top level"),
        ("s.yaml", b"p: hunter2", "top-level key number 1 is no path with named fields"),
        ("s.toml", b'p = "hunter2"', "top-level key number 1 is no path with named fields"),
        ("s.yaml", b"p: {1: hunter2}", "top-level key number 1 is no path with named fields"),
    ],
)
def test_a_broken_file_is_told_by_its_line_and_never_quoted(
    write: Write, name: str, content: bytes, where: str
) -> None:
    with pytest.raises(SecretsUnavailableError, match=where) as caught:
        write(name, content).describe()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_path_that_is_not_set_or_of_another_kind_is_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"secrets\.file\.path is not set"):
        FileSecretProvider.from_settings({"path": None})
    with pytest.raises(SettingsError, match=r"none of \.toml, \.yaml, \.yml"):
        FileSecretProvider.from_settings({"path": "/etc/secrets.json"})
