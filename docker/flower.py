"""Flower's settings: the user and the password come from a secret's file, as ``user:password``."""

from pathlib import Path

address = "0.0.0.0"  # noqa: S104 - within its container
port = 5555
basic_auth = [Path("/run/secrets/flower_login").read_text(encoding="utf-8").strip()]
