"""Execution ids and task ids: each gives the other, and foreign ones are told apart."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of

IDS = st.integers(1, 2**63 - 1)


@given(IDS)
def test_an_id_and_its_task_id_give_each_other(execution_id: int) -> None:
    task_id = task_id_of(execution_id)
    parsed = uuid.UUID(task_id)
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert execution_id_of(task_id) == execution_id


@given(st.uuids().map(str) | st.text(min_size=1, max_size=60))
def test_a_foreign_task_id_has_one_execution_id_that_is_not_its_own_task_id(task_id: str) -> None:
    execution_id = execution_id_of(task_id)
    assert execution_id == execution_id_of(task_id)
    assert 0 < execution_id < 2**63
    assert task_id_of(execution_id) != task_id


@given(IDS, st.integers(0, 58))
def test_one_changed_bit_makes_a_task_id_foreign(execution_id: int, bit: int) -> None:
    changed = str(uuid.UUID(int=uuid.UUID(task_id_of(execution_id)).int ^ 1 << bit))
    assert execution_id_of(changed) != execution_id


def test_new_ids_are_of_now_and_different() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_execution_id() for _ in range(200)]
    after = time.time_ns() // 1_000_000
    assert all(before <= execution_id >> 21 <= after for execution_id in ids)
    assert len(set(ids)) > 190  # 21 random bits each millisecond
    assert all(0 < execution_id < 2**63 for execution_id in ids)


def test_ids_and_task_ids_sort_alike() -> None:
    ids = sorted(new_execution_id() for _ in range(50))
    assert sorted(map(task_id_of, ids)) == [task_id_of(execution_id) for execution_id in ids]


@pytest.mark.parametrize("wrong", [0, -1, 2**63, True, "1", 1.0])
def test_what_is_no_execution_id_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="2\\*\\*63"):
        task_id_of(wrong)  # type: ignore[arg-type]
