"""The executor: what is checked before a child is started, what it gets, and that all that comes back is masked."""

from __future__ import annotations

import logging
import secrets as random
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from attune_tasks._celery.bounding import bounded
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import PackError, StartError
from attune_tasks.executor import ActionExecutor, build_executor
from attune_tasks.process import Program, supervisor
from attune_tasks.result import ExecutionResult
from attune_tasks.settings import load_settings
from attune_tasks.settings.model import ResultSettings
from tests.unit.test_process_live import Sink

KEY = f"sk_live_{random.token_hex(8)}"
PEM = f"-----BEGIN KEY-----\n{random.token_hex(16)}\n{random.token_hex(16)}\n-----END KEY-----\n"


class Project:
    """A pack in a temporary folder, and the executor for it."""

    def __init__(self, folder: Path) -> None:
        """Write the pack and its secrets."""
        self.folder = folder
        self.actions = folder / "packs" / "shop" / "actions"
        self.actions.mkdir(parents=True)
        (self.actions.parent / "pack.yaml").write_text("ref: shop\nenv:\n  set: {FROM_PACK: pack}\n")
        self.secrets_file = folder / "secrets.toml"
        self.secrets_file.touch(mode=0o600)
        lines = f"[api]\nkey = '{KEY}'\nother = 'other-value'\n[tls]\npem = '''{PEM}'''\n"
        self.secrets_file.write_text(lines)

    def action(self, name: str, script: str, metadata: str = "", runner: str = "python") -> None:
        """Add an action."""
        (self.actions / f"{name}.script").write_text(script)
        head = f"ref: shop.{name}\nrunner_type: {runner}\nentry_point: {name}.script\n"
        (self.actions / f"{name}.yaml").write_text(head + metadata)

    def executor(self, **settings: Any) -> ActionExecutor:
        """Build the executor as the worker does."""
        secrets = {"file": {"path": str(self.secrets_file)}, **settings.pop("secrets", {})}
        overrides = {"packs": [str(self.folder / "packs")], "secrets": secrets, **settings}
        return build_executor(load_settings(overrides=overrides, environ={}, directory=self.folder))

    def run(self, name: str, parameters: Mapping[str, Any] | None = None, **more: Any) -> ExecutionResult:
        """Run an action with default settings."""
        request = {key: more.pop(key) for key in ("env", "timeout") if key in more}
        return self.executor(**more).execute(ExecutionRequest(7, f"shop.{name}", parameters or {}, **request))


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return Project(tmp_path)


DECLARED = "secrets:\n  key: api#key\n"
GIVE = "import os\ndef run(params): return [params, sorted(_attune_secrets), dict(os.environ), os.getcwd()]\n"


def kind_of(result: ExecutionResult) -> str:
    assert result.error is not None
    assert result.started_at is None or result.status != "error"
    return result.error["type"]


def test_an_action_gets_what_it_declares_and_nothing_else(shop: Project) -> None:
    shop.action("give", GIVE, DECLARED + "parameters:\n  month: {type: string, default: '2026-01'}\n")
    result = shop.run("give")
    parameters, names, environ, _ = result.result
    assert (result.status, result.execution_id, result.action_ref) == ("succeeded", 7, "shop.give")
    assert parameters == {"month": "2026-01"}
    assert names == ["key"]
    assert environ["FROM_PACK"] == "pack"
    assert environ["ATTUNE_ACTION"] == "shop.give"
    assert environ["ATTUNE_EXEC_ID"] == "7"
    assert not any(KEY in value or "other-value" in value for value in environ.values())


@pytest.mark.parametrize("runner", ["python", "shell"])
def test_everything_that_comes_back_is_masked(shop: Project, runner: str) -> None:
    scripts = {
        "python": "import sys\ndef run(params):\n    key, pem = get_secret('key'), get_secret('pem')\n"
        "    print('out', key, pem.splitlines()[1])\n    print('err', key, file=sys.stderr)\n"
        "    if params['fail']:\n        raise ValueError('because of ' + key)\n"
        "    return {key: [key, 'x' + key + 'y']}\n",
        "shell": 'echo "out $(get_secret key) $(get_secret pem | sed -n 2p)"; echo "err $(get_secret key)" >&2\n'
        'if [[ $ATTUNE_ACTION_FAIL == true ]]; then exit 3; fi\nset_result "{\\"$(get_secret key)\\":'
        '[\\"$(get_secret key)\\",\\"x$(get_secret key)y\\"]}"\n',
    }
    metadata = "secrets:\n  key: api#key\n  pem: tls#pem\nparameters:\n  fail: {type: boolean}\n"
    shop.action("loud", scripts[runner], metadata, runner)
    fine, failed = shop.run("loud", {"fail": False}), shop.run("loud", {"fail": True})
    assert fine.stdout == "out *** ***\n"
    assert fine.stderr == "err ***\n"
    assert fine.result == {"***": ["***", "x***y"]}
    assert failed.status == "failed"
    assert "err ***" in failed.stderr
    for result in (fine, failed):
        assert KEY not in result.to_json()
        assert PEM.splitlines()[1] not in result.to_json()
    if runner == "python":
        assert failed.error == {"type": "ValueError", "message": "because of ***"}


def test_the_result_says_what_was_masked_and_what_could_not_be(shop: Project) -> None:
    with shop.secrets_file.open("a") as file:
        file.write("[odd]\nshort = 'abc'\nflag = 'true'\npin = '1234'\n")
    metadata = DECLARED + "  pem: tls#pem\n  short: odd#short\n  flag: odd#flag\n  pin: odd#pin\n"
    script = (
        "import base64, sys\ndef run(params):\n    key = get_secret('key')\n    mask(key[::-1])\n"
        "    print(key, base64.b64encode(key.encode()).decode(), key[::-1], 'abc true 1234')\n"
        "    print(key, file=sys.stderr)\n    return {'key': key, key: 1}\n"
    )
    shop.action("loud", script, metadata)
    result = shop.run("loud")
    assert result.stdout == "*** *** *** abc true 1234\n"
    assert result.masked == {"key": {"stdout": 2, "stderr": 1, "result": 2}, "(mask)": {"stdout": 1}}
    assert result.not_masked == ("short", "flag", "pin")
    named = shop.run("loud", masking={"style": "named"})
    assert named.stdout == "***key*** ***key*** ***(mask)*** abc true 1234\n"
    assert named.result == {"key": "***key***", "***key***": 1}
    refused = shop.run("loud", masking={"strict": True})
    assert (refused.status, kind_of(refused)) == ("error", "secret_not_maskable")
    assert "short, flag, pin" in refused.to_json()
    assert not any(value in refused.to_json() for value in ("'abc'", "1234", "true,", KEY))
    shop.action("quiet", "print(len(get_secret('key')))", DECLARED)
    quiet = shop.run("quiet", masking={"strict": True})
    assert (quiet.status, quiet.masked, quiet.not_masked) == ("succeeded", {}, ())


def test_a_long_error_that_ends_in_the_midst_of_a_secret_shows_nothing_of_it(shop: Project) -> None:
    script = "def run(params): raise ValueError('.' * (65_536 - params['shown']) + get_secret('key'))"
    shop.action("fail", script, DECLARED + "parameters:\n  shown: {type: integer}\n")
    for shown in (1, 5, len(KEY) - 1, len(KEY)):
        error = shop.run("fail", {"shown": shown}).error
        assert error is not None
        assert set(error["message"]) <= {".", "*"}


@pytest.mark.parametrize("runner", ["python", "shell"])
def test_a_secret_written_byte_by_byte_with_pauses_is_not_shown_live_nor_kept(shop: Project, runner: str) -> None:
    scripts = {
        "python": "import os, time\nfor byte in b'<' + get_secret('key').encode() + b'>':\n"
        "    os.write(1, bytes([byte]))\n    time.sleep(0.004)\n",
        "shell": 'get_secret -v key key\nkey="<$key>"\n'
        'for ((at = 0; at < ${#key}; at++)); do printf %s "${key:at:1}"; sleep 0.004; done\n',
    }
    shop.action("drip", scripts[runner], DECLARED, runner)
    sink = Sink(interval=0.001)
    result = shop.executor().execute(ExecutionRequest(7, "shop.drip"), live=sink)
    assert result.stdout == sink.text() == "<***>"
    assert len(sink.batches) >= 1
    # The same look sees it where nothing is masked, and in more than one batch.
    shop.action(
        "drip",
        scripts[runner].replace("get_secret('key')", f"'{KEY}'").replace("get_secret -v key key", f"key={KEY}"),
        "",
        runner,
    )
    sink = Sink(interval=0.001)
    shop.executor().execute(ExecutionRequest(8, "shop.drip"), live=sink)
    assert sink.text() == f"<{KEY}>"
    assert len(sink.batches) > 1


def test_a_secret_across_the_edge_of_what_is_kept_does_not_show_its_half(shop: Project) -> None:
    shop.action("loud", "print(('.' * 7 + get_secret('key')) * 200, end='')", DECLARED)
    for keep in range(60, 60 + len(KEY)):
        result = shop.run("loud", output={"keep_bytes": keep})
        assert set(result.stdout) <= {".", "*"}
        assert result.stdout_truncated


def test_unknown_and_disabled_actions(shop: Project) -> None:
    shop.action("off", "", "enabled: false\n")
    assert kind_of(shop.run("nope")) == "unknown_action"
    assert kind_of(shop.run("off")) == "action_disabled"


def test_wrong_parameters_start_no_child_and_are_not_quoted(shop: Project) -> None:
    shop.action("give", GIVE, "parameters:\n  month: {type: string, pattern: '^[0-9-]+$', required: true}\n")
    for wrong in ({}, {"month": 5}, {"month": "swordfish"}, {"month": "1", "extra": "swordfish"}):
        result = shop.run("give", wrong)
        assert kind_of(result) == "invalid_parameters"
        assert "swordfish" not in result.to_json()


def test_a_secret_parameter_takes_an_allowed_reference_and_joins_the_secrets(shop: Project) -> None:
    metadata = "parameters:\n  token: {type: string, secret: true, allow: ['api#other', 'api#key']}\n"
    shop.action("give", GIVE, metadata + DECLARED)
    result = shop.run("give", {"token": "api#other"})
    parameters, names, environ, _ = result.result
    assert (parameters, names) == ({}, ["key", "token"])
    assert not any("TOKEN" in name for name in environ)
    for refused in ("tls#pem", "swordfish-literal"):
        result = shop.run("give", {"token": refused})
        assert kind_of(result) == "invalid_parameters"
        assert refused not in result.to_json()


def test_the_caller_sets_only_variables_that_the_action_allows(shop: Project) -> None:
    shop.action("give", GIVE, "env:\n  allow: [REGION]\n  set: {OWN: action}\n")
    environ = shop.run("give", env={"REGION": "eu"}).result[2]
    assert (environ["REGION"], environ["OWN"]) == ("eu", "action")
    result = shop.run("give", env={"LD_PRELOAD": "x", "REGION": "eu"})
    assert kind_of(result) == "env_not_allowed"
    assert result.error is not None
    assert "LD_PRELOAD" in result.error["message"]
    assert "REGION" in result.error["message"]
    assert kind_of(shop.run("give", env={"REGION": "a\0b"})) == "env_not_allowed"


def test_a_caller_may_shorten_the_timeout_and_not_lengthen_it(shop: Project) -> None:
    shop.action("slow", "import time\ntime.sleep(60)", "timeout: 1\n")
    assert shop.run("slow", timeout=0.3).duration_ms < 1000
    result = shop.run("slow", timeout=50)
    assert (result.status, 1000 <= result.duration_ms < 20_000) == ("timed_out", True)
    for wrong in (0, -1, float("nan"), True, "5"):
        assert kind_of(shop.run("slow", timeout=wrong)) == "invalid_parameters"


def test_the_settings_timeout_serves_an_action_that_names_none(shop: Project) -> None:
    shop.action("slow", "import time\ntime.sleep(60)")
    executor = shop.executor(timeout=0.4)
    assert executor.execute(ExecutionRequest(1, "shop.slow")).status == "timed_out"


def test_a_required_secret_that_is_missing_starts_no_child(shop: Project, tmp_path: Path) -> None:
    metadata = f"working_dir: {tmp_path}\nsecrets:\n  key: api#nothing\n  two: nowhere#x\n  three: api#key\n"
    shop.action("mark", "open('started', 'w')", metadata)
    result = shop.run("mark")
    assert kind_of(result) == "secrets_unavailable"
    assert result.error is not None
    assert "key" in result.error["message"]
    assert "two" in result.error["message"]
    assert KEY not in result.to_json()
    assert not (tmp_path / "started").exists()


def test_a_secret_that_is_not_required_may_be_missing(shop: Project) -> None:
    shop.action("give", GIVE, "secrets:\n  key: api#key\n  maybe: {ref: 'api#nothing', required: false}\n")
    result = shop.run("give")
    assert (result.status, result.secrets_missing, result.result[1]) == ("succeeded", ("maybe",), ["key"])


def test_the_operator_may_let_executions_go_on_without(shop: Project) -> None:
    shop.action("give", GIVE, "secrets:\n  key: api#nothing\n  other: api#other\n")
    result = shop.run("give", secrets={"on_fetch_error": "warn"})
    assert (result.status, result.secrets_missing, result.result[1]) == ("succeeded", ("key",), ["other"])


def test_a_secrets_file_that_others_can_read_starts_nothing(shop: Project) -> None:
    shop.action("give", GIVE, DECLARED)
    shop.secrets_file.chmod(0o640)
    result = shop.run("give")
    assert kind_of(result) == "secrets_unavailable"
    assert result.error is not None
    assert "chmod 600" in result.error["message"]


LEGACY = "import os\ndef run(params): return os.environ.get('SECRET_KEY') is not None\n"


def test_legacy_env_needs_the_operator_and_the_metadata_and_warns_each_time(
    shop: Project, caplog: pytest.LogCaptureFixture
) -> None:
    shop.action("old", LEGACY, DECLARED + "legacy_env: true\n")
    shop.action("new", LEGACY, DECLARED)
    allowed = {"secrets": {"allow_legacy_env": True}}
    with caplog.at_level(logging.WARNING):
        assert shop.run("new", **allowed).result is False
        assert not caplog.records
        for count in (1, 2):
            assert shop.run("old", **allowed).result is True
            assert sum("gone in 0.3.0" in record.getMessage() for record in caplog.records) == count
        assert shop.run("old").result is False
    assert "allow_legacy_env" in caplog.text
    assert KEY not in caplog.text


def test_an_unexpected_error_is_told_without_its_text(
    shop: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.action("give", GIVE, DECLARED)
    executor = shop.executor()

    def broken(*_: object) -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr(executor, "_runtime", broken)
    result = executor.execute(ExecutionRequest(1, "shop.give"))
    assert kind_of(result) == "internal_error"
    assert "RuntimeError at test_executor.py" in (result.error or {})["message"]
    assert KEY not in result.to_json() + caplog.text


def test_a_runtime_of_another_that_masks_nothing_is_masked_all_the_same(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Naked:
        name = "naked"

        def execute(self, context: Any, _: Any) -> ExecutionResult:
            error = {"type": "x", "message": KEY}
            return ExecutionResult(
                1, context.action_ref, "failed", None, None, error, stdout=KEY, stderr=KEY, result=[KEY]
            )

    shop.action("give", GIVE, DECLARED)
    executor = shop.executor()
    monkeypatch.setattr(executor, "_runtime", lambda _: Naked())
    assert KEY not in executor.execute(ExecutionRequest(1, "shop.give")).to_json()


@pytest.mark.parametrize("place", ["message", "error_type"])
@pytest.mark.parametrize("limit", [100, 4096, (1 << 16) - len(KEY), 1 << 16])
@pytest.mark.parametrize("after", [0, 80_000])
def test_no_cut_through_an_errors_text_leaves_a_part_of_a_secret(
    shop: Project, place: str, limit: int, after: int
) -> None:
    script = """#!/usr/bin/env python3
import json, os, sys
key = json.loads(sys.stdin.readline())["key"]
error = {"type": "error", "error_type": "E", "message": "m"}
error[sys.argv[0] and os.environ["ATTUNE_ACTION_PLACE"]] = (
    "x" * int(os.environ["ATTUNE_ACTION_BEFORE"]) + key + "y" * int(os.environ["ATTUNE_ACTION_AFTER"])
)
os.write(3, json.dumps(error).encode() + b"\\n")
sys.exit(1)
"""
    shop.action("fail", script, DECLARED + "parameters:\n  place: {}\n  before: {}\n  after: {}\n", "executable")
    (shop.actions / "fail.script").chmod(0o755)
    executor = shop.executor()
    for missing in (1, len(KEY) // 2, len(KEY) - 1, len(KEY), len(KEY) + 1):
        parameters = {"place": place, "before": limit - missing, "after": after}
        result = executor.execute(ExecutionRequest(1, "shop.fail", parameters)).to_dict()
        for data in (result, bounded(result, ResultSettings())):
            text = data["error"]["message" if place == "message" else "type"]
            assert text.startswith("xxx")
            assert set(text) <= set("xy*."), missing
    assert len(data["error"]["type"]) < 5000


def test_a_python_errors_text_is_masked_before_it_is_cut(shop: Project) -> None:
    metadata = DECLARED + "parameters:\n  n: {}\n"
    shop.action("fail", "def run(p): raise ValueError('x' * p['n'] + get_secret('key') + 'y' * 80000)", metadata)
    for missing in (1, len(KEY) // 2, len(KEY) - 1, len(KEY), 2 * len(KEY) - 1):
        error = shop.run("fail", {"n": (1 << 16) - missing}).error
        assert error is not None
        assert set(error["message"]) <= set("xy*")


def test_a_context_and_a_program_show_no_secret_of_legacy_env(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.action("old", LEGACY, DECLARED + "legacy_env: true\n")
    executor = shop.executor(secrets={"allow_legacy_env": True})
    context = executor.prepare_execution_context(ExecutionRequest(1, "shop.old"))
    assert context.env["SECRET_KEY"] == KEY
    assert KEY not in repr(context)
    shown: list[str] = []

    def look(program: Program) -> NoReturn:
        shown.append(repr(program))
        raise StartError

    monkeypatch.setattr(supervisor, "Pipes", look)
    executor.execute(ExecutionRequest(1, "shop.old"))
    assert "argv" in shown[0]
    assert KEY not in shown[0]


def test_the_seeds_two_calls_fit_together(shop: Project) -> None:
    shop.action("old", LEGACY, DECLARED)
    executor = shop.executor()
    fetched = executor.secret_manager.fetch_secrets_for_action(executor.registry.get("shop.old"))
    with pytest.warns(DeprecationWarning, match=r"0\.3\.0"):
        assert executor.secret_manager.prepare_secret_env(fetched) == {"SECRET_KEY": KEY}


def test_a_timeout_of_months_is_no_error(shop: Project) -> None:
    shop.action("quick", "print('done')", "timeout: 30000000\n")
    assert shop.run("quick").status == "succeeded"


@pytest.mark.parametrize("broken", ["x\ud800", "x\udc80"])  # noqa: PT014 - two different ones
def test_a_lone_surrogate_is_refused_wherever_it_comes_in(shop: Project, broken: str) -> None:
    shop.action("give", GIVE, "parameters:\n  p: {}\nenv:\n  allow: [REGION]\n")
    assert kind_of(shop.run("give", {"p": [broken]})) == "invalid_parameters"
    assert kind_of(shop.run("give", env={"REGION": broken})) == "env_not_allowed"


def test_a_variable_too_large_for_an_environment_is_told_by_name(shop: Project) -> None:
    shop.action("give", GIVE, "env:\n  allow: [REGION]\n")
    result = shop.run("give", env={"REGION": "x" * 200_000})
    assert kind_of(result) == "parameters_too_large"
    assert result.error is not None
    assert "'REGION'" in result.error["message"]


def test_a_runtime_that_gives_what_is_no_json_is_told(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def execute(self, context: Any, _: Any) -> ExecutionResult:
            return ExecutionResult(1, context.action_ref, "succeeded", result={1, 2})

    shop.action("give", GIVE, DECLARED)
    executor = shop.executor()
    monkeypatch.setattr(executor, "_runtime", lambda _: Odd())
    assert kind_of(executor.execute(ExecutionRequest(1, "shop.give"))) == "internal_error"


def test_the_callers_own_time_limit_ends_the_child_and_is_a_timeout(shop: Project, tmp_path: Path) -> None:
    class Limit(Exception):  # noqa: N818 - as Celery's SoftTimeLimitExceeded
        pass

    def strike(*_: object) -> None:
        raise Limit

    shop.action("slow", f"echo $$ > {tmp_path}/pid; trap '' TERM; sleep 600", runner="shell")
    overrides = {"packs": [str(shop.folder / "packs")]}
    executor = build_executor(load_settings(overrides=overrides, environ={}), time_limits=(Limit,))
    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        result = executor.execute(ExecutionRequest(1, "shop.slow"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (result.status, kind_of(result)) == ("timed_out", "timed_out")
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_output_json_has_the_limits_of_every_result(shop: Project) -> None:
    shop.action("deep", "echo '" + "[" * 100 + "]" * 100 + "'", "output_format: json\n", "shell")
    shop.action("nan", "echo '[NaN]'", "output_format: json\n", "shell")
    assert kind_of(shop.run("deep")) == "result_too_deep"
    assert kind_of(shop.run("nan")) == "result_not_json"


def test_working_dir_is_below_the_pack_or_absolute(shop: Project, tmp_path: Path) -> None:
    shop.action("here", GIVE, "working_dir: actions\n")
    shop.action("there", GIVE, f"working_dir: {tmp_path}\n")
    shop.action("gone", GIVE, "working_dir: no/such\n")
    assert shop.run("here").result[3] == str(shop.actions)
    assert shop.run("there").result[3] == str(tmp_path)
    assert kind_of(shop.run("gone")) == "start_failed"


def test_a_reference_that_is_none_is_refused_when_the_packs_are_loaded(shop: Project) -> None:
    shop.action("one", GIVE, "secrets:\n  key: no-field\n")
    shop.action("two", GIVE, "parameters:\n  p: {secret: true, allow: ['x://']}\n")
    with pytest.raises(PackError) as caught:
        shop.executor()
    assert len(caught.value.problems) == 2
    assert "one.yaml: secrets.key" in caught.value.problems[0]
    assert "two.yaml: parameters.p.allow" in caught.value.problems[1]


def test_runtime_options_come_from_the_settings(shop: Project) -> None:
    shop.action("give", GIVE)
    result = shop.run("give", runtimes={"python": {"interpreter": "/nowhere/python"}})
    assert kind_of(result) == "start_failed"
    result = shop.run("give", runtimes={"python": {"interpretor": "x"}})
    assert kind_of(result) == "plugin_invalid"


WHO = "def run(params):\n    return 'attune_launcher' in open('/proc/self/cmdline').read()\n"


@pytest.mark.parametrize(
    ("action", "pack", "setting", "forked"),
    [
        ("", "", {}, True),
        ("isolation: exec\n", "", {}, False),
        ("", "isolation: exec\n", {}, False),
        ("", "", {"isolation": "exec"}, False),
        ("isolation: fork\n", "", {"isolation": "exec"}, False),
    ],
)
def test_a_fresh_interpreter_is_what_action_pack_or_setting_asks_for(
    shop: Project, action: str, pack: str, setting: dict[str, Any], *, forked: bool
) -> None:
    with (shop.actions.parent / "pack.yaml").open("a") as file:
        file.write(pack)
    shop.action("who", WHO, action)
    assert shop.run("who", **setting).result is forked


@pytest.mark.parametrize(("own", "setting"), [(300, 200), (200, 300)])
def test_of_two_bounds_the_lower_one_holds(shop: Project, own: int, setting: int) -> None:
    code = "import resource\ndef run(params):\n    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
    shop.action("bounded", code, f"limits: {{open_files: {own}}}\n")
    assert shop.run("bounded", limits={"open_files": setting}).result == 200
