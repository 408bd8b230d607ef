"""By which name another process can import the Celery app of a command."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import click
import pytest
from celery import Celery

from attune_tasks.cli.loading import DEFAULT_APP, name_of_app


def context_of(named: Any) -> click.Context:
    return click.Context(click.Command("leak-check"), obj=named)


@pytest.mark.parametrize(("named", "name"), [(None, DEFAULT_APP), ("shop.celery:app", "shop.celery:app")])
def test_a_name_that_was_typed_is_the_name(named: str | None, name: str) -> None:
    assert name_of_app(context_of(named)) == name


@pytest.mark.parametrize("attribute", ["app", "celery", "celery_app"])
def test_an_app_of_a_web_framework_is_found_in_its_module(monkeypatch: pytest.MonkeyPatch, attribute: str) -> None:
    module = ModuleType("shop_of_a_test.celery")
    app = Celery("shop", set_as_current=False)
    monkeypatch.setitem(sys.modules, "shop_of_a_test.celery", module)
    monkeypatch.setattr(module, attribute, app, raising=False)
    assert name_of_app(context_of(app)) == f"shop_of_a_test.celery:{attribute}"


def test_an_app_that_a_function_makes_has_to_be_named() -> None:
    app = Celery("shop", set_as_current=False)
    with pytest.raises(click.UsageError, match="attune-tasks -A MODULE:ATTR leak-check --self-test"):
        name_of_app(context_of(app))
