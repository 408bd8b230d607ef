"""enqueue() of contrib.django: with the transaction, and in Django's own test cases."""

from __future__ import annotations

import asyncio

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction

from attune_tasks.errors import InvalidParametersError, ResultTimeoutError, UnknownActionError
from attune_tasks.ids import task_id_of
from attune_tasks.testing import captured, fake_result
from tests.django_site import Site, set_up_django
from tests.redis_server import RedisServer

set_up_django()

from django.test import TestCase, override_settings  # noqa: E402 - needs settings

from attune_tasks.contrib.django import enqueue  # noqa: E402
from attune_tasks.contrib.django.models import Execution  # noqa: E402


def _messages(site: Site) -> int:
    return len(list((site.folder / "embedded" / "broker").rglob("*-*")))


def test_a_message_goes_out_when_the_transaction_is_through(django_site: Site) -> None:
    with transaction.atomic():
        handle = enqueue("work.add", {"a": 1})
        assert _messages(django_site) == 0
        assert task_id_of(handle.execution_id) == handle.task_id
        assert (handle.status(), handle.is_sent) == ("pending", False)
        assert list(handle.follow()) == []
        with pytest.raises(ResultTimeoutError, match="transaction"):
            handle.result()
    assert _messages(django_site) == 1
    assert handle.is_sent
    execution = Execution.objects.get()
    assert (execution.execution_id, execution.task_id) == (handle.execution_id, handle.task_id)
    assert (execution.status, execution.action, execution.parameters) == ("pending", "work.add", {"a": 1})


def test_nothing_is_sent_and_nothing_recorded_where_it_is_rolled_back(django_site: Site) -> None:
    with transaction.atomic():
        handle = enqueue("work.add", {"a": 1})
        transaction.set_rollback(True)
    assert (_messages(django_site), handle.is_sent, Execution.objects.count()) == (0, False, 0)


def test_without_a_transaction_or_where_it_is_said_so_it_is_sent_at_once(django_site: Site) -> None:
    assert enqueue("work.add", {"a": 1}).is_sent
    with transaction.atomic():
        assert enqueue("work.add", {"a": 1}, on_commit=False).is_sent
        assert _messages(django_site) == 2


def test_what_the_action_does_not_take_is_refused_at_once(django_site: Site) -> None:
    with transaction.atomic():
        with pytest.raises(InvalidParametersError):
            enqueue("work.add", {"a": "many"})
        with pytest.raises(UnknownActionError):
            enqueue("work.ad")
        with pytest.raises(InvalidParametersError):
            enqueue("work.routed", [])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="has no argument que"):
            enqueue("work.routed", que="q")
        with pytest.raises(ValueError, match="idempotency_key"):
            enqueue("work.routed", idempotency_key="")
    assert (_messages(django_site), Execution.objects.count()) == (0, 0)


def test_one_that_is_cancelled_before_the_commit_is_not_sent(django_site: Site) -> None:
    with transaction.atomic():
        answer = enqueue("work.add", {"a": 1}).cancel()
    assert (answer.outcome, _messages(django_site)) == ("cancelled", 0)


def test_the_user_is_recorded_and_is_the_caller(django_site: Site) -> None:
    user = django_site.user()
    with captured() as calls:
        enqueue("work.add", {"a": 1}, user=user)
    enqueue("work.add", {"a": 2}, user=user)
    assert [call.caller for call in calls] == ["ada"]
    assert [(each.user, each.caller) for each in Execution.objects.all()] == [(user, "ada")] * 2


def test_with_an_idempotency_key_it_is_the_first_execution_once_it_was_sent(
    django_site: Site, redis_server: RedisServer
) -> None:
    url = redis_server.url(redis_server.new_database())
    with override_settings(ATTUNE_TASKS={**django_site.settings, "state_url": url}):
        first = enqueue("work.routed", idempotency_key="k")
        with transaction.atomic():
            second = enqueue("work.routed", idempotency_key="k")
            assert second.execution_id != first.execution_id
        assert second.execution_id == first.execution_id
        third = enqueue("work.routed", idempotency_key="other")
    assert _messages(django_site) == 2
    assert third.execution_id != first.execution_id


def test_where_tasks_are_run_at_once_it_is_recorded_too(django_site: Site) -> None:
    django_site.app.conf.task_always_eager = True
    user = django_site.user()
    handle = enqueue("work.add", {"a": 1}, user=user)
    execution = Execution.objects.get()
    assert (execution.status, execution.result, execution.user) == ("succeeded", 3, user)
    assert handle.result().result == 3


def test_what_is_sent_by_other_means_is_recorded_too(django_site: Site) -> None:
    sent = django_site.app.tasks["attune_tasks.run_action"].delay("work.add", {"a": 1})
    assert Execution.objects.get().task_id == sent.id


def test_a_database_that_takes_no_record_does_not_keep_it_from_being_sent(
    django_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Execution._meta, "db_table", "gone")
    with transaction.atomic():  # which lives on
        assert enqueue("work.add", {"a": 1}, on_commit=False).is_sent
        django_site.user("eve")
    assert "not recorded: enqueued" in caplog.text


def test_a_database_that_is_away_keeps_nothing_from_being_sent(
    django_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = transaction.get_connection()
    connection.close()
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "NAME", str(django_site.folder / "nowhere" / "site.sqlite3"))
        assert enqueue("work.add", {"a": 1}).is_sent
    assert _messages(django_site) == 1
    assert "not recorded: enqueued" in caplog.text


def test_where_a_project_commits_by_itself_it_waits_for_that_as_django_does(django_site: Site) -> None:
    transaction.set_autocommit(False)
    try:
        with pytest.raises(transaction.TransactionManagementError):  # Django's own, for it can't know when
            enqueue("work.add", {"a": 1})
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert _messages(django_site) == 0


@pytest.mark.parametrize("on_commit", [True, False])
def test_in_a_coroutine_it_is_refused_before_anything_is_sent(django_site: Site, *, on_commit: bool) -> None:
    """Its record could not be written there, and whose it is would be lost."""

    async def view() -> None:
        enqueue("work.add", {"a": 1}, on_commit=on_commit)

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(view())
    assert _messages(django_site) == 0


@pytest.mark.usefixtures("django_site")
class InTestCases(TestCase):
    """As a project's own tests are written."""

    def test_captured_records_what_a_commit_sends(self) -> None:
        """CaptureOnCommitCallbacks runs what a commit would."""
        with captured() as calls:
            with self.captureOnCommitCallbacks(execute=True):
                handle = enqueue("work.add", {"a": 1})
            assert [call.execution_id for call in calls] == [handle.execution_id]
        assert handle.status() == "pending"

    def test_without_a_commit_nothing_is_sent(self) -> None:
        """TestCase never commits."""
        with captured() as calls:
            handle = enqueue("work.add", {"a": 1})
        assert (calls, handle.is_sent, handle.status()) == ([], False, "pending")

    def test_a_fake_result_is_the_handles(self) -> None:
        """And stands in the record, where a view finds it."""
        with fake_result("work.add", 3, stdout="added\n"), self.captureOnCommitCallbacks(execute=True):
            handle = enqueue("work.add", {"a": 1})
        assert handle.result().result == 3
        execution = Execution.objects.get(execution_id=handle.execution_id)
        assert (execution.status, execution.result, execution.stdout) == ("succeeded", 3, "added\n")
