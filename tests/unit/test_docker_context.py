"""What of a checkout goes to the engine that builds the images: what they are made of, and nothing private."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.docs_blocks import ROOT

# By its name: mypy would take the checkout's folder docker/ for it.
exclude_paths: Any = import_module("docker.utils.build").exclude_paths

PRIVATE = (
    ".env",
    ".git/config",
    "attune-tasks.toml",
    "docker/.env",
    "docker/attune-tasks.toml",
    "docker/secrets/admin_password",
    "docker/secrets/redis.conf",
    "examples/django_shop/attune-tasks.toml",
    "examples/django_shop/data/secret-key",
    "examples/django_shop/data/shop.sqlite3",
    "examples/flask_ops/data/users.json",
    "secrets.toml",
)
PATTERNS = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def sent(root: Path) -> set[str]:
    """Give the paths that a client sends of a checkout."""
    patterns = [line for line in PATTERNS if line and not line.startswith("#")]
    return set(exclude_paths(str(root), patterns, dockerfile="docker/Dockerfile"))


def test_nothing_private_goes_to_the_engine(tmp_path: Path) -> None:
    for name in (*PRIVATE, "examples/django_shop/manage.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("planted", encoding="utf-8")
    found = sent(tmp_path)
    assert "examples/django_shop/manage.py" in found
    assert found & set(PRIVATE) == set()


def test_all_that_the_images_are_made_of_goes_there() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert len(sources) > 8
    assert sources - sent(ROOT) == set()
