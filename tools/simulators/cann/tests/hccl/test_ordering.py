"""Operations run in their stream's order, beside the host, and messages are meetings."""

from __future__ import annotations

from typing import Any

import pytest

TIMEOUT = 9
STREAM_TIMEOUT = 507048


def test_calls_return_at_once(ranks: Any) -> None:
    first, second = ranks("ordering.calls_return_at_once", 2)
    assert first.value == [1, 6]  # (1 + 2), then 3 + 3: the second call after the first
    assert second.value == [6]


def test_a_send_waits_for_its_receive(ranks: Any) -> None:
    assert [result.value for result in ranks("ordering.send_waits_for_receive", 2)] == [True, True]


def test_two_sends_that_face_each_other_time_out(ranks: Any) -> None:
    """Buffered sends would hide this deadlock."""
    results = ranks("ordering.both_send", 2, variables={"HCCL_EXEC_TIMEOUT": "2"})
    assert STREAM_TIMEOUT in [result.value[0] for result in results]
    for result in results:
        assert result.value[0] != 0
        assert "that rank waits in a send to this one" in result.value[1]
        assert result.value[2] != 0
    assert TIMEOUT in [result.value[2] for result in results]


def test_a_group_makes_them_one_call(ranks: Any) -> None:
    first, second = ranks("ordering.grouped", 2)
    assert first.value == [6, 6, 6, 6, 2]
    assert second.value == [5, 5, 5, 5, 2]


def test_a_batch_meets_single_messages(ranks: Any) -> None:
    assert [result.value for result in ranks("ordering.batch_meets_single", 2)] == [True, True]


@pytest.mark.parametrize("seed", [1, 2])
def test_two_streams_of_one_communicator(ranks: Any, seed: int) -> None:
    ranks("ordering.two_streams", 3, delay_us=2000, seed=seed)


def test_ranks_that_are_devices_of_one_process(ranks: Any) -> None:
    (result,) = ranks("ordering.one_process", 1, {"devices": 4}, devices=4)
    assert result.value == [[10]] * 4
