"""ACL's calls and torch_npu's operators in one order, whatever the delays. Simulated.

torch_npu gives operators to ACL from a thread of its own. A call into ACL that takes a stream's
handle without waiting for that thread overtakes them: the first test shows that it does, on the
same program that must give the right bytes.
"""

from __future__ import annotations

from typing import Any

import pytest

SETUP = """
import torch, accel
backend = accel.get_backend("ascend")
assert backend.probe.simulated
streams, memcpy, pinned = backend.streams, backend.memcpy, backend.pinned
"""

#: Operators are queued faster than the queue's thread takes them; the copy behind them must find
#: what the last one wrote. With "{handle}" the handle is taken without waiting for the queue.
QUEUE = """
import torch_npu
from accel.torch_device.streams import TorchStreams
if "{handle}" == "bare":
    bare = torch_npu._C._npu_getCurrentRawStreamNoWait
    TorchStreams.submit_handle = lambda self, stream: bare(self.index)


@torch.jit.script
def add_often(x, times: int):
    for _ in range(times):
        x.add_(1)


stream = streams.create()
x = torch.zeros(64, dtype=torch.int32, device="npu")
out = [pinned.empty(64, torch.int32) for _ in range(8)]
with streams.use(stream):
    add_often(x, 3)  # compiled
    x.zero_()
    torch.npu.synchronize()
    for i, host in enumerate(out):
        add_often(x, 400)
        memcpy.copy_async(host, x)
stream.synchronize()
print(sum(not bool((host == 400 * (i + 1)).all()) for i, host in enumerate(out)))
"""


@pytest.mark.parametrize("queue", ["1", "2", "0"])
def test_copies_come_after_queued_operators(simulation: Any, queue: str) -> None:
    """With torch_npu's queue in both of its ways, and without it."""
    run = simulation("cann", strict=True, variables={"TASK_QUEUE_ENABLE": queue})
    assert run.python(SETUP + QUEUE.replace("{handle}", "waits")).check().last == "0"


def test_the_trap_is_there(simulation: Any) -> None:
    """The same program with handles that wait for nothing: copies read too early."""
    run = simulation("cann", strict=True, variables={"TASK_QUEUE_ENABLE": "2"})
    late = int(run.python(SETUP + QUEUE.replace("{handle}", "bare")).check().last)
    assert late > 0, "torch_npu no longer queues operators: the wait for its queue may go"


def test_operators_come_after_copies(simulation: Any) -> None:
    """What torch_npu is given after a copy runs after it, and memory it freed is not reused."""
    run = simulation("cann", delay_us=300, strict=True)
    source = """
stream = streams.create()
sums = []
with streams.use(stream):
    for i in range(20):
        host = pinned.empty(1 << 16, torch.int32)
        host.fill_(i)
        x = torch.empty(1 << 16, dtype=torch.int32, device="npu")
        memcpy.copy_async(x, host)
        del host  # kept until the copy has run
        sums.append(x.sum())
        del x  # its memory goes to the next round, in this stream's order
stream.synchronize()
assert [int(s) for s in sums] == [i << 16 for i in range(20)], sums
# Another stream reads what the first one's owner lets go of at once.
side = streams.create()
outs = []
for i in range(20):
    x = torch.full((1 << 16,), i, dtype=torch.int32, device="npu")
    side.wait_stream(streams.current())
    out = pinned.empty(1 << 16, torch.int32)
    memcpy.copy_async(out, x, side)
    del x  # memcpy told torch's allocator of `side`
    torch.full((1 << 16,), -1, dtype=torch.int32, device="npu")
    outs.append(out)
side.synchronize()
assert all(bool((o == i).all()) for i, o in enumerate(outs))
print("right")
"""
    assert run.python(SETUP + source).check().last == "right"


def test_two_devices(simulation: Any) -> None:
    """Each device has a queue: an event of one is waited for by a stream of the other."""
    run = simulation("cann", delay_us=300, strict=True, devices=2)
    source = """
other = accel.get_backend("ascend", device="npu:1")
here, there = streams.create(), other.streams.create()
for i in range(15):
    with streams.use(here):
        x = torch.zeros(1 << 15, dtype=torch.int32, device="npu:0")
        for _ in range(10):
            x.add_(i)
    event = here.record_event()
    there.wait_event(event)
    y = torch.empty(1 << 15, dtype=torch.int32, device="npu:1")
    other.memcpy.copy_async(y, x, there)
    there.synchronize()
    assert bool((y.cpu() == 10 * i).all()), i
assert torch.npu.current_device() == 0
print("right")
"""
    assert run.python(SETUP + source).check().last == "right"
