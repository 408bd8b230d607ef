"""What manage.py check says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.django_site import Site, set_up_django
from tests.vault import free_port

set_up_django()

from django.core.checks import run_checks  # noqa: E402 - needs settings
from django.test import override_settings  # noqa: E402


def _ids(*, deploy: bool = False) -> dict[str, Any]:
    found = run_checks(tags=["attune_tasks"], include_deployment_checks=deploy)
    assert all(each.hint for each in found)
    return {each.id.removeprefix("attune_tasks."): each for each in found}


def test_all_in_order_says_nothing_also_of_servers_and_permissions(django_site: Site) -> None:
    django_site.user("ada", "run:work")
    assert _ids(deploy=True) == {}


def test_settings_that_are_wrong_are_an_error(django_site: Site) -> None:
    with override_settings(ATTUNE_TASKS={"tiemout": 3}):
        assert "did you mean timeout" in _ids()["E001"].msg
    with override_settings(ATTUNE_TASKS={"django": {"keep": 3}}):
        assert "expected an age" in _ids()["E001"].msg


def test_packs_that_do_not_load_are_an_error_and_none_at_all_a_warning(django_site: Site) -> None:
    (django_site.packs / "shop" / "actions" / "pay.yaml").write_text("ref: shop.pay\n", encoding="utf-8")
    assert "pay.yaml" in _ids()["E002"].msg
    empty = django_site.folder / "empty"
    empty.mkdir()
    with override_settings(ATTUNE_TASKS={**django_site.settings, "packs": [str(empty)]}):
        assert set(_ids()) == {"W003"}


def test_a_provider_that_is_not_set_up_is_a_warning(django_site: Site) -> None:
    with override_settings(ATTUNE_TASKS={**django_site.settings, "secrets": {}}):
        assert "secrets.file.path is not set" in _ids()["W004"].msg
    missing = {"file": {"path": str(django_site.folder / "none.yaml")}}
    with override_settings(ATTUNE_TASKS={**django_site.settings, "secrets": missing}):
        assert "none.yaml does not exist" in _ids()["W004"].msg


def test_a_secrets_file_that_others_can_read_is_an_error(django_site: Site) -> None:
    django_site.secrets.chmod(0o644)
    found = _ids()["E006"]
    assert "mode 0644" in found.msg
    assert found.hint == f"Run `chmod 600 {django_site.secrets}`."


def test_a_function_that_is_not_there_is_an_error(django_site: Site) -> None:
    with override_settings(ATTUNE_TASKS={**django_site.settings, "django": {"authenticate": "shop.nobody"}}):
        assert "there is no shop.nobody" in _ids()["E007"].msg


def test_servers_that_do_not_answer_are_told_without_their_passwords(django_site: Site) -> None:
    url = f"redis://:Zq7-check-Xw2@127.0.0.1:{free_port()}/0"
    django_site.app.conf.update(broker_url=url, broker_transport="redis", broker_transport_options={})
    django_site.app.conf.update(result_backend=url, redis_retry_on_timeout=False)
    assert _ids() == {}  # no server is asked without --deploy
    found = _ids(deploy=True)
    assert set(found) == {"W010", "W011"}
    assert "Zq7-check-Xw2" not in str(found)


@pytest.mark.parametrize("everybody", [True, False])
def test_a_group_of_all_users_which_may_run_anything_is_told(django_site: Site, *, everybody: bool) -> None:
    from django.contrib.auth.models import Group, Permission

    users = [django_site.user("ada"), django_site.user("bob")]
    group = Group.objects.create(name="all")
    group.permissions.add(Permission.objects.get(codename="run:*"))
    group.user_set.set(users if everybody else users[:1])
    assert ("W013" in _ids(deploy=True)) == everybody
