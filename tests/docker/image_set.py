"""The images of these tests: the project's own, and what stands in for those that can't be pulled everywhere.

Nothing is pulled. The base is Debian as debootstrap makes it, with the machine's certificates and pip's settings, for
builds reach PyPI as the machine does.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Final

from tests.docker.engine import Engine, client_command
from tests.docs_blocks import ROOT
from tests.vault_binary import ensure_binary

__all__ = ["BASE", "REDIS", "SHOP", "SHOP_TARGET", "VAULT", "WORKER", "ensure_images"]

BASE: Final = "attune-tasks-test/base:bookworm"
REDIS: Final = "attune-tasks-test/redis:7"
VAULT: Final = "attune-tasks-test/vault:1"
WORKER: Final = "attune-tasks-test/worker:latest"
SHOP: Final = "attune-tasks-test/shop:latest"

SHOP_TARGET: Final = "shop"

_HERE: Final = Path(__file__).parent / "images"
_CERTIFICATES: Final = "etc/ssl/machine.pem"
_BUILD_SECONDS: Final = 700.0


def ensure_images(engine: Engine, folder: Path) -> None:
    """Build what is not there. The project's own images are always built; `folder` is for what goes into the others."""
    if not engine.has_image(BASE):
        _make_base(engine, folder / "root")
    for name, target in ((WORKER, "worker"), (SHOP, SHOP_TARGET)):
        _build(engine, name, ROOT / "docker" / "Dockerfile", ROOT, "--target", target)
    if not engine.has_image(REDIS):
        context = folder / "redis"
        context.mkdir()
        _build(engine, REDIS, _HERE / "redis.Dockerfile", context)
    if not engine.has_image(VAULT):
        context = folder / "vault"
        context.mkdir()
        shutil.copy2(ensure_binary(), context / "vault")
        _build(engine, VAULT, _HERE / "vault.Dockerfile", context)


def _build(engine: Engine, name: str, dockerfile: Path, context: Path, *options: str) -> None:
    options = ("--network", "host", "--build-arg", f"BASE_IMAGE={BASE}", *options)
    engine.docker("build", "-t", name, "-f", str(dockerfile), *options, str(context), seconds=_BUILD_SECONDS)


def _make_base(engine: Engine, root: Path) -> None:
    command = ["nice", "-n", "19", "debootstrap", "--variant=minbase", "bookworm", str(root)]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_BUILD_SECONDS, check=False
    )
    assert done.returncode == 0, f"debootstrap: {done.stdout[-3000:]}{done.stderr[-1000:]}"
    certificates = (
        os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    )
    settings = ["[global]"]
    if certificates and Path(certificates).is_file():
        target = root / _CERTIFICATES
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(certificates, target)
        settings.append(f"cert = /{_CERTIFICATES}")
    settings += _pip_settings()
    (root / "etc" / "pip.conf").write_text("\n".join(settings) + "\n", encoding="utf-8")
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packing:
        done_import = subprocess.run(
            [client_command(), "import", "-", BASE],
            env=engine.environ,
            stdin=packing.stdout,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
    assert done_import.returncode == 0, done_import.stderr
    shutil.rmtree(root, ignore_errors=True)


def _pip_settings() -> list[str]:
    """Give the registry that pip takes here, where it is told another one than its own."""
    said = {name: os.environ.get(f"PIP_{name.upper()}") for name in ("index_url", "extra_index_url", "trusted_host")}
    found = [f"{name.replace('_', '-')} = {value}" for name, value in said.items() if value]
    for line in subprocess.run(
        ["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, check=False
    ).stdout.splitlines():
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        if name.startswith("global.") and setting in {"index-url", "extra-index-url", "trusted-host"}:
            found.append(f"{setting} = {value.strip(chr(39))}")
    return found
