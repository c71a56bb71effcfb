"""Planned faults and what is refused come out as exceptions that name the call."""

from __future__ import annotations

from typing import Any

import pytest

#: What torch_npu copies to pinned memory with, by what the libraries offer.
COPIES = ("aclrtMemcpyAsync", "aclrtMemcpyAsyncWithCondition")
COPY = """
import torch
x = torch.ones(1000, device="npu")
torch.npu.synchronize()
host = torch.zeros(1000).pin_memory()
try:
    host.copy_(x, non_blocking=True)
    print("queued", flush=True)
    torch.npu.synchronize()
except RuntimeError as error:
    print("raised", repr(str(error)))
else:
    print(host.sum().item())
"""


def test_a_call_fails(npu: Any) -> None:
    done = npu(faults=[f"call={name},nth=1,code=507899" for name in COPIES]).python(COPY)
    assert done.last.startswith("raised")
    assert any(f"{name}: a planned fault" in done.last for name in COPIES), done.last


def test_work_fails_on_the_stream(npu: Any) -> None:
    """The call succeeds; who waits for the stream is told."""
    faults = [f"call={name},nth=1,code=507899,where=stream" for name in COPIES]
    done = npu(faults=faults).python(COPY)
    assert done.lines[-2] == "queued"
    assert done.last.startswith("raised")
    assert "507899" in done.last
    assert any(name in done.stderr for name in COPIES)


def test_later_calls_are_later(npu: Any) -> None:
    done = npu(faults=[f"call={name},nth=1000,code=507899" for name in COPIES]).python(COPY)
    assert done.last == "1000.0"


def test_no_memory_left(npu: Any) -> None:
    """torch_npu gives its cached blocks back and tries again, more than once."""
    code = """
    import torch
    kept = torch.ones(10, device="npu")
    try:
        torch.empty(64 << 20, device="npu")
        print("no error")
    except torch.OutOfMemoryError:
        print("out of memory")
    torch.empty(64 << 20, device="npu")
    print(kept.sum().item())
    """
    lines = npu(faults=["oom,nth=2", "oom,nth=3", "oom,nth=4"]).python(code).lines
    assert lines[-2:] == ["out of memory", "10.0"]


def test_an_operator_that_fails_when_it_runs(npu: Any) -> None:
    """An index out of range is found by the operator's body, on the stream."""
    code = """
    import torch
    x = torch.arange(10.0, device="npu")
    at = torch.tensor([3, 40], device="npu")
    try:
        print(x.index_select(0, at).cpu())
    except RuntimeError as error:
        print("raised", "507015" in str(error))
    """
    done = npu().python(code)
    assert done.last == "raised True"
    assert "aclnnIndexSelect: index out of range" in done.stderr


def test_a_mode_that_makes_no_sense_ends_the_program(npu: Any) -> None:
    """A run without the mode that was asked for would look like a success."""
    done = npu().python(
        "import torch; torch.npu.synchronize()",
        check=False,
        variables={"ACCEL_SIM_DELAY_US": "soon"},
    )
    assert done.returncode != 0
    assert "ACCEL_SIM_DELAY_US" in done.stderr


def test_a_copy_stalls(npu: Any) -> None:
    code = """
    import torch
    x = torch.ones(1000, device="npu")
    torch.npu.synchronize()
    host = torch.empty(1000, pin_memory=True)
    host.copy_(x, non_blocking=True)
    torch.npu.synchronize()
    print(host.sum().item())
    """
    simulation = npu(faults=["copy_stalls,nth=1,ms=700"], trace=True)
    assert simulation.python(code).last == "1000.0"
    (trace,) = simulation.traces()
    assert max(span.duration for span in trace.spans) >= 700e3


@pytest.mark.parametrize("strict", [False, True])
def test_pageable_memory_is_never_asynchronous_to_torch(npu: Any, strict: bool) -> None:
    """torch_npu synchronises after such a copy itself, so that strict has nothing to refuse."""
    code = """
    import torch
    host = torch.arange(1000.0)
    print(torch.equal(host.to("npu", non_blocking=True).cpu(), host))
    """
    assert npu(strict=strict, delay_us=100).python(code).last == "True"
