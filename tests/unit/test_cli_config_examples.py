"""The commented examples say what is so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attune_tasks.cli.shipped import bundled_packs, config_folder
from attune_tasks.packs import PackRegistry
from attune_tasks.runtimes import runtime_names
from attune_tasks.secrets import parse_reference
from attune_tasks.settings import Settings, load_settings

# Examples where the default is none, or needs one to say anything.
EXAMPLES = (
    {"packs", "broker_url", "result_backend", "routes", "secrets.file.path", "secrets.options", "runtimes"}
    | {"run_as", "run_as_allow", "health_file", "broker_url_file", "result_backend_file", "state_url_file"}
    | {f"limits.{name}" for name in ("memory", "cpu_seconds", "file_size", "processes", "open_files")}
    | {"state_url", "state_name", "message_key_file", "celery", "live.keep_seconds", "metrics.port"}
    | {
        f"secrets.vault.{name}"
        for name in (
            *(
                "url",
                "namespace",
                "kv_version",
                "token",
                "token_file",
                "ca_file",
                "client_cert",
                "client_key",
                "mounts",
            ),
            *("approle.role_id", "approle.secret_id_file"),
        )
    }
)


def with_all_examples() -> str:
    text = (config_folder() / "attune-tasks.toml").read_text(encoding="utf-8")
    return re.sub(r'^# (\[[\w.]+\]|"?[\w.*]+"? = .*)$', r"\1", text, flags=re.MULTILINE)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value and f"{prefix}{name}" not in EXAMPLES:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_every_setting_stands_in_the_example_with_its_default() -> None:
    written = dict(leaves(tomllib.loads(with_all_examples())))
    defaults = dict(leaves(Settings().model_dump()))
    assert set(written) == set(defaults)
    assert {name: value for name, value in written.items() if name not in EXAMPLES} == {
        name: value for name, value in defaults.items() if name not in EXAMPLES
    }


def test_the_example_can_be_used_with_every_line_of_it(tmp_path: Path) -> None:
    # A URL stands there, or in a file: in one place only one of the two.
    text = re.sub(r"^(broker_url|result_backend|state_url)_file = .*$", "", with_all_examples(), flags=re.MULTILINE)
    (tmp_path / "attune-tasks.toml").write_text(text, encoding="utf-8")
    settings = load_settings(environ={}, directory=tmp_path).settings
    assert settings.packs == (tmp_path / "packs",)
    assert settings.routes == {"billing.*": "billing"}


def test_the_readme_names_every_example() -> None:
    readme = (config_folder() / "README.md").read_text(encoding="utf-8")
    for path in config_folder().iterdir():
        assert path.name == "README.md" or path.name in readme


def test_the_bundled_packs_load_and_name_no_provider() -> None:
    actions = PackRegistry.load([bundled_packs()], runtimes=runtime_names()).actions
    assert {action.runtime_name for action in actions} == {"executable", "python", "shell"}
    for action in actions:
        assert len(action.secrets) == 1
        for secret in action.secrets.values():
            assert not parse_reference(secret.ref, default_provider="file").scheme_given
