"""What goes wrong on a queue is an exception where the program waits; the device goes on."""

from __future__ import annotations

from typing import Any

import pytest

PROGRAM = """
import torch
x = torch.ones(1000, device="mlu")
torch.mlu.synchronize()
try:
    y = x * 3
    print("queued", flush=True)
    torch.mlu.synchronize()
except RuntimeError as error:
    print("raised", repr(str(error)))
print((x + 1).sum().item())
"""


def test_a_launch_fails(mlu: Any) -> None:
    lines = mlu(faults=["call=aten_mul,nth=1,code=632015"]).python(PROGRAM).lines
    assert len(lines) == 2
    assert "632015" in lines[0] and "aten_mul" in lines[0]
    assert lines[1] == "2000.0"


def test_work_fails_on_the_queue(mlu: Any) -> None:
    """The call succeeds; who waits for the queue is told."""
    lines = mlu(faults=["call=aten_mul,nth=1,code=632015,where=stream"]).python(PROGRAM).lines
    assert lines[0] == "queued"
    assert "632015" in lines[1] and "aten_mul" in lines[1]
    assert lines[2] == "2000.0"


@pytest.mark.parametrize("wait", ["torch.mlu.synchronize()", "y.cpu()", "event.synchronize()"])
def test_an_operator_that_fails_when_it_runs(mlu: Any, wait: str) -> None:
    """An index out of range is found by the operator's body, on the queue."""
    code = f"""
    import torch
    x = torch.arange(10.0, device="mlu")
    at = torch.tensor([3, 40], device="mlu")
    y = x.index_select(0, at)
    event = torch.mlu.Event()
    event.record()
    print("queued", flush=True)
    try:
        {wait}
    except RuntimeError as error:
        print("index out of range" in str(error))
    try:
        torch.mlu.synchronize()  # what other ways of waiting have left
    except RuntimeError:
        pass
    print(x.sum().item())
    """
    assert mlu(delay_us=50).python(code).lines == ["queued", "True", "45.0"]


def test_calls_into_cnrt_fail(mlu: Any) -> None:
    code = """
    import torch
    for make in (torch.mlu.Event().record, torch.mlu.Stream(priority=-2).synchronize):
        try:
            make()
        except RuntimeError as error:
            print(str(error).split(":")[0])
    print(torch.ones(3, device="mlu").sum().item())
    """
    faults = ["call=cnrtPlaceNotifier,nth=1", "call=cnrtQueueCreateWithPriority,nth=1"]
    lines = mlu(faults=faults).python(code).lines
    assert "cnrtPlaceNotifier" in lines[0]
    assert "cnrtQueueCreateWithPriority" in lines[1]
    assert lines[2] == "3.0"


def test_a_forked_child_that_uses_the_device_is_told(mlu: Any) -> None:
    code = """
    import os, torch
    torch.ones(4, device="mlu").sum().item()
    child = os.fork()
    if child == 0:
        try:
            torch.ones(4, device="mlu")
        except RuntimeError as error:
            print("child:", "fork" in str(error), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("parent:", torch.ones(4, device="mlu").sum().item())
    """
    assert mlu().python(code).lines == ["child: True", "parent: 4.0"]
