"""manage.py attune, by call_command; as a process of its own it is in tests/integration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.django_site import Site, set_up_django

set_up_django()

from django.core.management import call_command  # noqa: E402 - needs settings
from django.test import override_settings  # noqa: E402 - the same
from django.utils import timezone  # noqa: E402 - the same

from attune_tasks.contrib.django.models import Execution  # noqa: E402


def _typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str, str]:
    code: Any = 0
    try:
        call_command("attune", *words)
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    return code, said.out, said.err


def test_an_action_is_run_under_djangos_settings(django_site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert _typed(capsys, "run", "work.add", "-p", "a=1", "--json")[:1] == (0,)
    assert _typed(capsys, "run", "work.routed")[:2] == (0, "routed\n")
    code, _, said = _typed(capsys, "run", "work.ad")
    assert code == 2
    assert "work.add" in said


def test_one_is_enqueued_by_the_projects_app(django_site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = _typed(capsys, "enqueue", "work.add", "-p", "a=1", "--json")
    assert code == 0
    assert Execution.objects.get().task_id in said


def test_packs_are_listed_and_broken_ones_named(django_site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert "shop.pay" in _typed(capsys, "packs", "list")[1]
    (django_site.packs / "shop" / "actions" / "pay.yaml").write_text("ref: shop.pay\n", encoding="utf-8")
    code, _, said = _typed(capsys, "packs", "validate")
    assert code == 4
    assert "pay.yaml" in said


def test_the_commands_are_those_of_attune_tasks_and_the_databases(
    django_site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _typed(capsys, "--", "--help")[1]
    for name in ("run", "enqueue", "packs", "leak-check", "doctor", "prune", "refresh", "permissions"):
        assert f"\n  {name} " in said


def test_old_records_are_deleted_by_an_age_or_by_the_setting(
    django_site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(number: int, days: int) -> None:
        then = timezone.now() - timedelta(days=days)
        Execution.objects.create(execution_id=number, task_id="", action="a.b", status="failed", enqueued_at=then)

    make(1, 31)
    make(2, 11)
    make(3, 1)
    assert _typed(capsys, "prune")[0] == 2  # nobody has said how old
    assert _typed(capsys, "prune", "--older-than", "soon")[0] == 2
    with override_settings(ATTUNE_TASKS={"django": {"keep": "10d"}}):  # what is typed wins, also where it is little
        make(4, 0)
        assert _typed(capsys, "prune", "--older-than", "0s")[1] == "4 executions deleted\n"
    for number, days in ((1, 31), (2, 11), (3, 1)):
        make(number, days)
    assert _typed(capsys, "prune", "--older-than", "30d")[1] == "1 executions deleted\n"
    with override_settings(ATTUNE_TASKS={"django": {"keep": "10d"}}):
        assert _typed(capsys, "prune")[1] == "1 executions deleted\n"
    assert Execution.objects.count() == 1


def test_permissions_are_made_for_packs_and_actions(django_site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    from django.contrib.auth.models import Permission

    Permission.objects.filter(codename__startswith="run:shop").delete()
    said = _typed(capsys, "permissions")[1].splitlines()
    assert {"run:shop", "run:shop.pay"} <= set(said)
    assert _typed(capsys, "permissions")[1] == ""
    assert django_site.user("ada", "run:shop").has_perm("attune_tasks.run:shop")
