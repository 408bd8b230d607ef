"""Names that were mistyped, and names of variables."""

from __future__ import annotations

import pytest

from attune_tasks.nearest import did_you_mean, nearest, nearest_names
from attune_tasks.wire_names import parameter_variable


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("pasword", ["Password", "path"]) == "Password"
    assert nearest("zzz", ["password"]) is None
    assert nearest_names("billing.clos", ["billing.close", "billing.open", "x"])[0] == "billing.close"
    assert did_you_mean("pth", ["path"]) == "; did you mean path?"
    assert did_you_mean("zzz", ["path"]) == ""


@pytest.mark.parametrize(
    ("name", "variable"),
    [("url", "ATTUNE_ACTION_URL"), ("max-size.x", "ATTUNE_ACTION_MAX_SIZE_X"), ("straße", "ATTUNE_ACTION_STRA_E")],
)
def test_a_parameter_has_a_variable(name: str, variable: str) -> None:
    assert parameter_variable(name) == variable
