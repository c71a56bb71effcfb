"""What goes wrong is a clear error on every rank, and never a hang."""

from __future__ import annotations

import signal
from typing import Any

import pytest

PARA, PTR, NOT_SUPPORT, TIMEOUT, TCP_CONNECT, RUNTIME, REMOTE = 1, 2, 5, 9, 11, 15, 21
STREAM_FAILED = 507018

MISMATCHES = {
    "count": ["count is 4 on rank 0 and 8 on rank"],
    "type": ["dataType is int32 on rank 0 and float32 on rank"],
    "op": ["op is sum on rank 0 and max on rank"],
    "root": ["root is 0 on rank 0 and 1 on rank"],
    "operation": ["the operation is HcclAllReduce on rank 0 and HcclAllGather on rank"],
    "split": ["sends 12 bytes to rank 0, which expects 8"],
    "message": ["sends 4 elements of int32 to rank", "which receives 5 elements of int32"],
}


@pytest.mark.parametrize("what", MISMATCHES)
def test_calls_that_do_not_match(ranks: Any, what: str) -> None:
    count = 3 if what in ("count", "message") else 2
    for result in ranks("failures.mismatched", count, {"what": what}):
        waited, text, error, later = result.value
        assert waited == STREAM_FAILED
        assert "the ranks' calls do not match" in text
        assert all(part in text for part in MISMATCHES[what]), text
        assert error == PARA
        assert later == PARA, "a failed communicator takes no further calls"


@pytest.mark.parametrize("count", [2, 4])
def test_a_rank_that_dies_in_a_collective(ranks: Any, count: int) -> None:
    """Rank 1 is killed at its third collective; the others are told at once."""
    results = ranks(
        "failures.rank_dies", count, {"calls": 6}, check=False, faults=["rank_dies,nth=3,rank=1"]
    )
    assert results[1].returncode == -signal.SIGKILL
    for rank, result in enumerate(results):
        if rank == 1:
            continue
        assert result.returncode == 0, result.stderr
        done, code, text, error = result.value
        assert done == 2 and code != 0, result.value
        assert "rank 1 died" in text
        assert error == REMOTE


def test_a_death_that_no_call_waits_for(ranks: Any) -> None:
    results = ranks("failures.dies_unnoticed", 3, check=False)
    assert [results[0].value, results[2].value] == [REMOTE, REMOTE]


@pytest.mark.parametrize("how", ["destroy", "exit"])
def test_a_rank_that_leaves(ranks: Any, how: str) -> None:
    """Leaving is no failure until somebody calls for the one who left."""
    result = ranks("failures.leaves_early", 2, {"how": how})[0]
    idle, waited, text, error = result.value
    assert idle == 0
    assert waited != 0
    assert "rank 1 has destroyed its communicator" in text
    assert error == REMOTE


def test_one_ranks_bad_address_fails_all(ranks: Any) -> None:
    first, second = (result.value for result in ranks("failures.bad_address", 2))
    assert second[0] != 0 and first[0] == STREAM_FAILED
    assert "rank 1 failed" in first[1]
    assert first[2] == REMOTE


def test_destroying_ends_a_call_that_nobody_meets(ranks: Any) -> None:
    variables = {"HCCL_SIM_DESTROY_MS": "200"}
    result = ranks("failures.destroyed_while_waiting", 2, variables=variables)[0]
    waited, text, gone, later = result.value
    assert waited == STREAM_FAILED
    assert "the communicator was destroyed while this call was on its stream" in text
    assert gone == PARA and "was destroyed" in later


INITS = {
    "twice": (PARA, "two processes joined as rank 0"),
    "number": (PARA, "ranks, rank"),
    "name": (PARA, "hcclCommName is 'name-"),
    "garbage": (PARA, "rootInfo was not made by HcclGetRootInfo"),
    "rank": (PARA, "is not below the number of ranks, 2"),
    "config": (PARA, "was not filled by HcclCommConfigInit"),
    "algorithm": (PARA, "hcclAlgo is longer than the 1599 characters"),
    "buffer": (PARA, "hcclBufferSize is 0"),
}


@pytest.mark.parametrize("what", INITS)
def test_ranks_that_cannot_join(ranks: Any, what: str) -> None:
    code, text = INITS[what]
    for result in ranks("failures.init", 2, {"what": what}):
        assert result.value[0] == code, result.value
        assert text in result.value[1]


def test_a_rank_that_does_not_come(ranks: Any) -> None:
    result = ranks(
        "failures.init", 2, {"what": "missing"}, variables={"HCCL_CONNECT_TIMEOUT": "1"}
    )[0]
    assert result.value[0] == TIMEOUT
    assert "of 2 ranks these did not join in time: 1" in result.value[1]


def test_handles_and_pointers_that_are_none(ranks: Any) -> None:
    expected = [PTR, PARA, PARA, PTR, PARA, PARA, PARA, PARA, PARA, PTR, PTR, PARA]
    for result in ranks("failures.handles", 2):
        assert result.value == expected


#: What HCCL takes on each chip: hicann/hccl, docs/zh/api_ref/comm_op_interface.
SUMS_910B = {"int8", "int16", "int32", "int64", "float16", "float32", "bfloat16"}
SUMS_310P = {"int8", "int16", "int32", "float16", "float32"}
ALL = SUMS_910B | {"uint8", "uint16", "uint32", "uint64", "float64"}
LIMITS = {
    "910B": {
        "sum": SUMS_910B,
        "prod": SUMS_910B - {"int16", "bfloat16"},
        "scatter v": SUMS_910B - {"int64"},
        "gather": ALL,
        "broadcast": ALL,
    },
    "310P": {
        "sum": SUMS_310P,
        "prod": SUMS_310P - {"int16"},
        "scatter v": {"int16", "float16", "float32"},
        "gather": ALL - {"bfloat16"},
        "broadcast": set(),
    },
}


@pytest.mark.parametrize("chip", LIMITS)
def test_strict_refuses_what_hccl_refuses(ranks: Any, chip: str) -> None:
    for result in ranks("failures.strict", 2, strict=True, soc=chip):
        found = result.value
        for operation, allowed in LIMITS[chip].items():
            for kind in ALL:
                code, text = found[f"{operation} {kind}"]
                assert (code == 0) == (kind in allowed), (operation, kind, text)
                if code:
                    assert code == NOT_SUPPORT and "strict mode" in text
        assert (
            found["unaligned"][0] == PARA
            and "is not aligned to the 4 bytes" in found["unaligned"][1]
        )
        assert found["host"][0] == PARA and "is host memory" in found["host"][1]
        assert found["stream"][0] == PARA
        assert found["same"][0] == PARA
        assert found["two messages"][0] == (PARA if chip == "910B" else NOT_SUPPORT)


def test_lenient_takes_it_all(ranks: Any) -> None:
    ranks("collectives.reductions", 2, {"types": ["uint32"], "sizes": [3]}, strict=False)


def test_a_planned_failure_of_a_call(ranks: Any) -> None:
    """The call of one rank fails; the other's waits and is told when the first one leaves."""
    for result in ranks("failures.planned", 2, faults=["call=HcclAllReduce,nth=2,code=4"]):
        assert result.value == [[0, 4], 0, result.value[2]]


def test_a_planned_failure_on_the_stream(ranks: Any) -> None:
    fault = "call=HcclAllReduce,nth=2,code=507899,where=stream"
    for result in ranks("failures.planned", 2, faults=[fault]):
        codes, waited, text = result.value
        assert codes == [0, 0]
        assert waited == 507899 and "HcclAllReduce" in text


def test_a_forked_child(ranks: Any) -> None:
    results = ranks("failures.after_fork", 2, check=False)
    assert results[1].returncode == -signal.SIGKILL
    text, error, ended = results[0].value
    assert text.startswith(f"{RUNTIME} ") and "forked" in text
    assert error == REMOTE
    assert ended == 0, "the child ends as any process does"


def test_every_code_has_a_name(ranks: Any) -> None:
    (result,) = ranks("failures.messages_of", 1)
    assert result.value[0] == "no error"
    assert result.value[9] == "timeout"
    assert result.value[21] == "remote rank failed"
