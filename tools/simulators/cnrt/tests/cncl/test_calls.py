"""What goes wrong between ranks is a clear error on every one, and never a hang."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from accel_sim import read_traces

SUCCESS, RUNTIME, IN_PROGRESS, ARGUMENTS, UNSUPPORTED = 0x00, 0x03, 0x06, 0x07, 0x11
ASYNC_ERROR, NULL_POINTER, NOT_INIT = 0x16, 0x21, 0x61
QUEUE_FAILED = 632015

MISMATCHES = {
    "count": "count is 4 on rank 0 and 8 on rank",
    "type": "data_type is int32 on rank 0 and float32 on rank",
    "op": "reduce_op is sum on rank 0 and max on rank",
    "root": "root is 0 on rank 0 and 1 on rank",
    "operation": "the operation is cnclAllReduce on rank 0 and cnclAllGather on rank",
}


@pytest.mark.parametrize("what", MISMATCHES)
def test_calls_that_do_not_match(ranks: Any, what: str) -> None:
    for result in ranks("calls.mismatched", 3 if what == "count" else 2, {"what": what}):
        waited, state, text, later = result.value
        assert waited == QUEUE_FAILED and state == ASYNC_ERROR
        assert MISMATCHES[what] in text
        assert later != SUCCESS, "a failed communicator takes no further calls"


@pytest.mark.parametrize("count", [2, 4])
def test_a_rank_that_dies_in_a_collective(ranks: Any, count: int) -> None:
    """Rank 1 is killed at its third collective; the others are told at once."""
    results = ranks(
        "calls.rank_dies", count, {"calls": 6}, check=False, faults=["rank_dies,nth=3,rank=1"]
    )
    assert results[1].returncode == -signal.SIGKILL
    for result in (result for rank, result in enumerate(results) if rank != 1):
        assert result.returncode == 0, result.stderr
        done, state, text = result.value
        assert (done, state) == (2, ASYNC_ERROR)
        assert "rank 1 died" in text


def test_a_death_that_no_call_waits_for(ranks: Any) -> None:
    results = ranks("calls.dies_unnoticed", 3, check=False)
    assert [results[0].value, results[2].value] == [ASYNC_ERROR, ASYNC_ERROR]


def test_an_abort_ends_a_call_that_nobody_meets(ranks: Any) -> None:
    first, second = (result.value for result in ranks("calls.aborted", 2))
    assert first == [True, IN_PROGRESS, QUEUE_FAILED, NOT_INIT, [1] * 4]
    state, text, works = second
    assert state == ASYNC_ERROR and "was aborted" in text and works == [1] * 4


def test_arguments_that_cncl_refuses(ranks: Any) -> None:
    for result in ranks("calls.refused", 2, strict=True):
        found = result.value
        assert found["double"][0] == found["average"][0] == UNSUPPORTED
        assert "there is no float64" in found["double"][1]
        assert "there is no average" in found["average"][1]
        for what in (
            "root",
            "negative root",
            "peer",
            "itself",
            "group end",
            "host",
            "unaligned",
            "same",
        ):
            assert found[what][0] == ARGUMENTS, what
        assert "is host memory" in found["host"][1]
        assert found["null"][0] == NULL_POINTER
        assert found["no communicator"][0] == NOT_INIT
        assert found["still works"] == [2] * 4
        assert found["freed"] == [NOT_INIT, NOT_INIT]


INITS = {
    "twice": (ARGUMENTS, "two processes joined as rank 0"),
    "rank": (ARGUMENTS, "it must be below nrank, which is 2"),
    "device": (ARGUMENTS, ""),
    "garbage": (ARGUMENTS, "clique_id was not made by cnclGetCliqueId"),
    "alone": (ARGUMENTS, "all 2 ranks must be in this process, not 1"),
    "number": (ARGUMENTS, "ranks, rank"),
}


@pytest.mark.parametrize("what", INITS)
def test_ranks_that_cannot_join(ranks: Any, what: str) -> None:
    code, text = INITS[what]
    for result in ranks("calls.init", 2, {"what": what}):
        assert result.value[0] == code, result.value
        assert text in result.value[1]


def test_a_rank_that_does_not_come(ranks: Any) -> None:
    variables = {"CNCL_SIM_CONNECT_TIMEOUT": "1"}
    first, _ = ranks("calls.init", 2, {"what": "missing"}, variables=variables)
    assert first.value[0] == ASYNC_ERROR
    assert "of 2 ranks these did not join in time: 1" in first.value[1]


def test_a_planned_failure_of_a_call(ranks: Any) -> None:
    for result in ranks("calls.planned", 2, faults=["call=cnclAllReduce,nth=2,code=17"]):
        assert result.value == [[SUCCESS, UNSUPPORTED], 0]


def test_a_planned_failure_on_the_queue(ranks: Any) -> None:
    fault = "call=cnclAllReduce,nth=2,code=632006,where=stream"
    for result in ranks("calls.planned", 2, faults=[fault]):
        assert result.value == [[SUCCESS, SUCCESS], 632006]


def test_calls_return_and_queues_wait(ranks: Any) -> None:
    first, second = (result.value for result in ranks("calls.waits", 2))
    assert first == [True, "0x6", True, "0x6", 3]
    assert second == [3]


def test_a_group_makes_them_one_call(ranks: Any) -> None:
    first, second = (result.value for result in ranks("calls.grouped", 2))
    assert first == [[6, 6], [5, 5], [2, 2], [1]]
    assert second == [[5, 5], [6, 6], [2, 2], [1]]


def test_ranks_that_are_threads(ranks: Any) -> None:
    (result,) = ranks("calls.threads", 1, delay_us=300, seed=5)
    assert result.value == [12, 12]


def test_calls_are_in_the_trace(ranks: Any, tmp_path: Path) -> None:
    prefix = str(tmp_path / "trace")
    ranks("calls.planned", 2, trace=prefix)
    traces = read_traces(prefix)
    assert len(traces) == 2
    for trace in traces:
        spans = list(trace.named("cnclAllReduce"))
        assert [span.bytes for span in spans] == [16, 16]


def test_version_and_types(ranks: Any) -> None:
    (result,) = ranks("calls.version", 1)
    numbers, text, types = result.value
    assert numbers == [1, 25, 0] and text == "success" and "float64" not in types
