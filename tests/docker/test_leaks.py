"""What is planted where the engine shows or keeps it is found: else a clean look would say nothing."""

from __future__ import annotations

from pathlib import Path

from tests.docker.engine import Engine
from tests.docker.image_set import BASE
from tests.docker.leaks import Leaks

CANARY = "planted-canary-3f9c1d7e5b2a"
DOCKERFILE = f"""
FROM {BASE}
ARG PASSWORD
RUN echo "$PASSWORD" >/tmp/used && rm /tmp/used
RUN echo {CANARY} >/etc/left
RUN rm /etc/left
ENV KEPT={CANARY}
"""


def test_a_password_that_was_planted_is_found_in_every_place(engine: Engine, tmp_path: Path) -> None:
    image = "attune-tasks-test/planted:latest"
    (tmp_path / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    engine.docker(
        *("build", "--network", "host", "--build-arg", f"PASSWORD={CANARY}", "-t", image, str(tmp_path)), seconds=120
    )
    leaks = Leaks(engine, {"canary": CANARY.encode()})
    command = ["sh", "-c", f"echo {CANARY}; exec sleep 60 {CANARY}0"]
    container = engine.docker("run", "-d", "--network", "none", BASE, *command[:2], "echo $0; sleep 60 & wait", CANARY)
    name = container.stdout.strip()
    try:
        found = leaks.in_container(name, "planted")
        assert {f"canary in docker {place} planted" for place in ("inspect", "logs", "top")} <= set(found)
        found = leaks.in_images([image])
        assert f"canary in history of {image}" in found
        assert f"canary in inspect of {image}" in found
        assert any("layer" in place or "blobs" in place for place in found), "a file that a later layer removed"
    finally:
        engine.docker("rm", "--force", name)
        engine.docker("rmi", "--force", image)
