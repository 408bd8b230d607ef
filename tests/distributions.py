"""Small distributions for tests of plugins: built and installed by the ordinary tools, into a folder of the test's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["install_distribution"]

_INSTALL = Path(__file__).parents[1] / "tools" / "pip-install"


def install_distribution(
    site: Path, name: str, module: str, source: str, entry_points: Mapping[str, Mapping[str, str]]
) -> None:
    """Install a distribution of one module into `site`; `entry_points` is by group, then by name."""
    project = site.parent / f"project-{name}"
    project.mkdir()
    (project / f"{module}.py").write_text(source, encoding="utf-8")
    lines = ["[build-system]", 'requires = ["hatchling"]', 'build-backend = "hatchling.build"']
    lines += ["[project]", f'name = "{name}"', 'version = "1.0"']
    for group, entries in entry_points.items():
        lines += [f'[project.entry-points."{group}"]', *(f'{key} = "{value}"' for key, value in entries.items())]
    lines += ["[tool.hatch.build.targets.wheel]", f'include = ["{module}.py"]']
    (project / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [str(_INSTALL), sys.prefix, "--no-deps", "--no-build-isolation", "--target", str(site), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
