"""Packs loaded from folders, and everything that is refused there."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from attune_tasks.errors import PackError, UnknownActionError
from attune_tasks.packs import PackRegistry, SecretDeclaration

CANARY = "hunter2-canary"
RUNTIMES = ("python", "shell", "executable")


def write_pack(folder: Path, text: str = "ref: billing\n", **actions: str) -> Path:
    """Write a pack whose actions, by file name, all have a script run.sh."""
    (folder / "actions").mkdir(parents=True, exist_ok=True)
    (folder / "pack.yaml").write_text(dedent(text))
    (folder / "actions" / "run.sh").write_text("true\n")
    for name, metadata in actions.items():
        (folder / "actions" / f"{name}.yaml").write_text(dedent(metadata))
    return folder


def action(more: str = "", *, ref: str = "billing.close", entry_point: str = "run.sh") -> str:
    return f"ref: {ref}\nrunner_type: shell\nentry_point: {entry_point}\n{dedent(more)}"


def load(*folders: Path) -> PackRegistry:
    return PackRegistry.load(folders, runtimes=RUNTIMES)


def problems_of(*folders: Path) -> list[str]:
    with pytest.raises(PackError) as caught:
        load(*folders)
    assert CANARY not in str(caught.value)
    return list(caught.value.problems)


def test_an_action_is_read_with_everything_it_says(tmp_path: Path) -> None:
    metadata = action(
        """
        label: Close
        description: Closes the month
        enabled: false
        parameters:
          month: {type: string, required: true}
          key: {secret: true, allow: ["stripe#key"]}
        parameter_delivery: stdin
        parameter_format: dotenv
        output_format: json
        timeout: 30
        tags: [a, b]
        secrets:
          db: vault://secret/billing#password
          extra: {ref: "x#y", required: false}
        env: {allow: [LOCALE], set: {MODE: action, LEVEL: "1"}}
        queue: slow
        isolation: exec
        legacy_env: true
        """
    )
    pack_text = """
        ref: billing
        label: Billing
        description: All of it
        version: "1.0"
        env: {set: {MODE: pack, REGION: eu}}
        """
    folder = write_pack(tmp_path / "b", pack_text, close=metadata)
    registry = load(tmp_path)
    found = registry.get("billing.close")
    assert found.pack is registry.packs[0]
    assert (found.pack.ref, found.pack.path, found.pack.version, found.pack.label) == (
        "billing",
        folder,
        "1.0",
        "Billing",
    )
    assert (found.label, found.description, found.enabled) == ("Close", "Closes the month", False)
    assert (found.runtime_name, found.entry_point) == ("shell", "run.sh")
    assert found.entry_path == folder / "actions" / "run.sh"
    assert found.source == folder / "actions" / "close.yaml"
    assert (found.parameter_delivery, found.parameter_format, found.output_format) == ("stdin", "dotenv", "json")
    assert (found.timeout, found.tags, found.queue, found.legacy_env) == (30, ("a", "b"), "slow", True)
    assert found.secrets == {
        "db": SecretDeclaration("db", "vault://secret/billing#password", required=True),
        "extra": SecretDeclaration("extra", "x#y", required=False),
    }
    assert found.env_allow == {"LOCALE"}
    assert found.env_set == {"MODE": "action", "REGION": "eu", "LEVEL": "1"}
    assert found.schema.validate({"month": "may"}).public == {"month": "may"}
    assert list(found.schema.secret_parameters) == ["key"]


def test_an_action_needs_ref_runner_and_entry_point_only(tmp_path: Path) -> None:
    found = load(write_pack(tmp_path, close=action())).get("billing.close")
    assert (found.enabled, found.timeout, found.queue, found.legacy_env) == (True, None, None, False)
    assert (found.parameter_delivery, found.parameter_format, found.output_format) == ("env", "json", "text")
    assert found.schema.validate({}).public == {}


def test_a_folder_is_a_pack_or_holds_packs(tmp_path: Path) -> None:
    one = write_pack(tmp_path / "all" / "one", "ref: one\n", b=action(ref="one.b"), a=action(ref="one.a"))
    write_pack(tmp_path / "all" / "two", "ref: two\n", a=action(ref="two.a"))
    (tmp_path / "all" / "no_pack").mkdir()
    registry = load(tmp_path / "all")
    assert [each.ref for each in registry.actions] == ["one.a", "one.b", "two.a"]
    assert [each.ref for each in registry.packs] == ["one", "two"]
    assert len(registry) == 3
    assert "one.a" in registry
    assert "one" not in registry
    assert len(load(one, tmp_path / "all", one)) == 3  # named twice, read once
    assert repr(registry) == "PackRegistry(2 packs, 3 actions)"


def test_keys_of_attune_and_stackstorm_that_mean_nothing_here_are_passed_over(tmp_path: Path) -> None:
    pack_text = "ref: billing\nname: Billing\nauthor: x\nkeywords: [a]\nconf_schema: {}\nx-own: 1\n"
    load(write_pack(tmp_path, pack_text, close=action("output_schema: {}\nx-own: 1\npack: billing\n")))


def test_a_folder_that_does_not_exist_is_a_fault_unless_it_may_be_missing(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "no")[0].startswith(f"{tmp_path / 'no'}: there is no such folder")
    (tmp_path / "file").touch()
    assert problems_of(tmp_path / "file") == [f"{tmp_path / 'file'}: is not a folder"]
    assert problems_of(tmp_path / ("x" * 300))[0].endswith(": can't be read: File name too long")
    assert len(PackRegistry.load([tmp_path / "no"], runtimes=RUNTIMES, missing_ok=True)) == 0


def test_an_unknown_action_names_the_nearest_and_how_to_list_them(tmp_path: Path) -> None:
    registry = load(write_pack(tmp_path, close=action()))
    for wrong in ("billing.clos", "close"):
        with pytest.raises(UnknownActionError, match=r"billing\.close\? `attune-tasks packs list`"):
            registry.get(wrong)
    with pytest.raises(UnknownActionError) as caught:
        PackRegistry().get("x" * 1000)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("timeot: 5", "4: timeot: unknown key; did you mean timeout?"),
        ("timeout: 0", "4: timeout: must be greater than 0"),
        ("timeout: true", "4: timeout: expected a number"),
        (f"timeout: {CANARY}", "4: timeout: expected a number"),
        ('enabled: "false"', "4: enabled: expected true or false"),
        ("output_format: yaml", "4: output_format: expected 'text' or 'json'"),
        ("parameter_delivery: argv", "4: parameter_delivery: expected 'env' or 'stdin'"),
        ("isolation: vm", "4: isolation: expected 'fork' or 'exec'"),
        ("limits: {memory: 1 GB}", "4: limits.memory: expected a whole number"),
        ("limits: {memry: 1}", "4: limits.memry: unknown key; did you mean memory?"),
        ("tags: a", "4: tags: expected a list"),
        ("label: 1.0", "4: label: expected text, found a number: write it in quotes"),
        ("on: x", '4: on: YAML 1.1 reads this key as bool: write it in quotes, "on"'),
        ("queue: ''", "4: queue: must not be empty"),
        ("parameters: [a]", "4: parameters: expected a mapping"),
        ("parameters:\n  a:\n    type: strin", "6: parameters.a.type: expected one of array"),
        (
            "parameters:\n  a:\n    type: string\n    type: x",
            "7: parameters.a.type: stands here twice, first in line 6",
        ),
        ("parameters: {a-b: {}, a_b: {}}", "4: parameters.a_b: gives the variable ATTUNE_ACTION_A_B"),
        ("secrets:\n  1x: a#b", "5: secrets.1x: the secret name '1x' is not of the form"),
        (f"secrets:\n  x: [{CANARY}]", "5: secrets.x: expected a mapping"),
        (f"secrets:\n  x: {{rf: {CANARY}, ref: a#b}}", "5: secrets.x.rf: unknown key; did you mean ref?"),
        ("secrets: {x: ''}", "4: secrets.x.ref: must not be empty"),
        ("secrets: {x: a#b}\nparameters: {x: {secret: true, allow: [a#b]}}", "4: secrets.x: a secret parameter has"),
        (f"parameters:\n  k: {{secret: true, allow: [a#b], default: {CANARY}}}", "5: parameters.k.default: expected"),
        ("env: {sett: {}}", "4: env.sett: unknown key; did you mean set?"),
        ("env: {set: {A-B: x}}", "4: env.set.A-B: expected a variable's name"),
        ("env: {set: {A: 1}}", "4: env.set.A: expected text, found a number: write it in quotes"),
        (f'env: {{set: {{A: "{CANARY}\\0"}}}}', "4: env.set.A: holds a NUL or a lone surrogate"),
        (f'env: {{set: {{A: "{CANARY}\\ud800"}}}}', "4: env.set.A: holds a NUL or a lone surrogate"),
        ('working_dir: "a\\0b"', "4: working_dir: holds a NUL or a lone surrogate"),
        ("env: {set: {ATTUNE_X: x}}", "4: env.set.ATTUNE_X: names that begin with ATTUNE_ belong"),
        ("env: {allow: [ATTUNE_WIRE]}", "4: env.allow.0: names that begin with ATTUNE_ belong"),
        ("env:\n  allow:\n    - OK\n    - LD_PRELOAD", "7: env.allow.1: a caller could run code of its own"),
    ],
)
def test_a_fault_is_told_with_file_line_and_what_was_expected(tmp_path: Path, more: str, problem: str) -> None:
    write_pack(tmp_path, close=action(more))
    (found,) = problems_of(tmp_path)
    assert found.startswith(f"{tmp_path / 'actions' / 'close.yaml'}:{problem}")


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "ENV",
        "BASH_ENV",
        "IFS",
        "PS4",
        "SHELLOPTS",
        "BASHOPTS",
        "LD_PRELOAD",
        "LD_X",
        "DYLD_X",
        "PYTHONPATH",
        "PYTHON_X",
        "NODE_OPTIONS",
    ],
)
def test_variables_that_load_code_may_be_set_by_the_pack_only(tmp_path: Path, name: str) -> None:
    write_pack(tmp_path, close=action(f"env: {{set: {{{name}: x}}}}"))
    assert load(tmp_path).get("billing.close").env_set == {name: "x"}
    write_pack(tmp_path, close=action(f"env: {{allow: [{name}]}}"))
    assert "put it under env.set" in problems_of(tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("label: x\n", "1: ref: is required"),
        ("ref: 1.0\n", "1: ref: expected text, found a number: write it in quotes"),
        ("ref: a.b\n", "1: ref: must match"),
        ('ref: "a\\n"\n', "1: ref: must match"),
        ("ref: a\nversion: 1.0\n", "2: version: expected text, found a number: write it in quotes"),
        ("ref: a\nversio: 1\n", "2: versio: unknown key; did you mean version?"),
        ("ref: a\nenabled: false\n", "2: enabled: unknown key"),
        ("ref: a\nenv: {allow: [X]}\n", "2: env.allow: unknown key"),
        ("ref: a\nenv: {set: {ATTUNE_X: x}}\n", "2: env.set.ATTUNE_X: names that begin"),
        ("- a\n", "1: expected a mapping"),
        ("ref: [\n", "2: is not YAML"),
    ],
)
def test_a_faulty_pack_file_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    write_pack(tmp_path, text)
    (found,) = problems_of(tmp_path)
    assert found.startswith(f"{tmp_path / 'pack.yaml'}:{problem}")


@pytest.mark.parametrize("ref", ["close", "other.close", "billing.a.b", "billing.", "billing2.close", "billing.a b"])
def test_an_actions_ref_begins_with_the_packs(tmp_path: Path, ref: str) -> None:
    write_pack(tmp_path, close=action(ref=ref))
    (found,) = problems_of(tmp_path)
    assert ":1: ref: must " in found


@pytest.mark.parametrize(
    ("entry_point", "problem"),
    [
        ("no.sh", "there is no file"),
        ("../run.sh", "must be a path below"),
        ("x/../run.sh", "must be a path below"),
        ("../../outside.sh", "must be a path below"),
        ("/bin/true", "must be a path below"),
        ("link_out.sh", "leads out of the pack"),
        ("folder_out/outside.sh", "leads out of the pack"),
        ("sub", "is not a file"),
        ('"a\\0b"', "there is no file"),
        ("x" * 300, "can't be read"),
    ],
)
def test_an_entry_point_is_a_file_of_its_pack(tmp_path: Path, entry_point: str, problem: str) -> None:
    folder = write_pack(tmp_path / "pack", close=action(entry_point=entry_point))
    (tmp_path / "outside.sh").touch()
    (folder / "run.sh").touch()
    (folder / "actions" / "sub").mkdir()
    (folder / "actions" / "x").mkdir()
    (folder / "actions" / "link_out.sh").symlink_to(tmp_path / "outside.sh")
    (folder / "actions" / "folder_out").symlink_to(tmp_path)
    (found,) = problems_of(folder)
    assert ":3: entry_point: " in found
    assert problem in found


def test_links_within_a_pack_and_to_a_pack_are_fine(tmp_path: Path) -> None:
    folder = write_pack(
        tmp_path / "real" / "pack",
        close=action(entry_point="in.sh"),
        deep=action(ref="billing.deep", entry_point="sub/run.sh"),
    )
    (folder / "lib").mkdir()
    (folder / "lib" / "real.sh").touch()
    (folder / "actions" / "in.sh").symlink_to("../lib/real.sh")
    (folder / "actions" / "sub").mkdir()
    (folder / "actions" / "sub" / "run.sh").touch()
    (tmp_path / "current").symlink_to(tmp_path / "real")
    registry = load(tmp_path / "current")
    assert registry.get("billing.close").entry_path == tmp_path / "current" / "pack" / "actions" / "in.sh"
    assert registry.get("billing.deep").entry_path.name == "run.sh"


def test_an_unknown_runtime_is_told_with_the_known_ones(tmp_path: Path) -> None:
    write_pack(tmp_path, close="ref: billing.close\nrunner_type: pyton\nentry_point: run.sh\n")
    (found,) = problems_of(tmp_path)
    assert found.endswith(
        ":2: runner_type: there is no runtime pyton; known are executable, python, shell; did you mean python?"
    )


def test_duplicate_refs_name_both_files(tmp_path: Path) -> None:
    one = write_pack(tmp_path / "one", close=action(), again=action())
    assert problems_of(one) == [
        f"{one / 'actions' / 'close.yaml'}: ref: {one / 'actions' / 'again.yaml'} has the ref billing.close, too"
    ]
    (one / "actions" / "again.yaml").unlink()
    two = write_pack(tmp_path / "two", close=action())
    assert problems_of(tmp_path) == [f"{two / 'pack.yaml'}: ref: {one / 'pack.yaml'} has the ref billing, too"]


def test_all_faults_of_all_packs_are_told_at_once(tmp_path: Path) -> None:
    write_pack(
        tmp_path / "one",
        "ref: 1\n",
        a=action("timeout: x\nqueue: 1", ref="one.a"),
        b="ref: one.b\nrunner_type: x\nentry_point: /x\nsecrets: {'1': a#b}\nparameters: {a: {type: x}}\n",
    )
    write_pack(tmp_path / "two", "ref: two\n", a=action(ref="one.a"))
    found = problems_of(tmp_path, tmp_path / "no")
    keys = [problem.removeprefix(f"{tmp_path}/").split(": ")[0:2] for problem in found]
    assert keys[1:] == [
        ["one/pack.yaml:1", "ref"],
        ["one/actions/a.yaml:4", "timeout"],
        ["one/actions/a.yaml:5", "queue"],
        ["one/actions/b.yaml:2", "runner_type"],
        ["one/actions/b.yaml:3", "entry_point"],
        ["one/actions/b.yaml:5", "parameters.a.type"],
        ["one/actions/b.yaml:4", "secrets.1"],
        ["two/actions/a.yaml:1", "ref"],
    ]


def test_a_pack_without_actions_is_a_pack(tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text("ref: empty\n")
    assert [pack.ref for pack in load(tmp_path).packs] == ["empty"]
