"""The backend on the simulated torch_mlu: loading, order, forms of copies. Simulated."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("accel_sim_cnrt", reason="needs accel-sim-cnrt")

START = """
import warnings
import accel, torch
backend = accel.get_backend("mlu")
streams, memcpy, pinned = backend.streams, backend.memcpy, backend.pinned
assert backend.probe.simulated
"""


@pytest.mark.parametrize("autoload", ["0", "1"])
def test_loaded_by_whoever_comes_first(simulation: Any, autoload: str) -> None:
    run = simulation("cnrt", variables={"TORCH_DEVICE_BACKEND_AUTOLOAD": autoload}, devices=2)
    for first in ("", "import torch", "import torch_mlu"):
        program = (
            first
            + """
import accel, torch
backend = accel.get_backend(device="mlu:1")
moved = torch.empty(9, device=backend.device)
backend.memcpy.copy(moved, torch.arange(9.0))
print(backend.name, moved.sum().item(), "simulated" in str(accel.explain()))
"""
        )
        assert run.python(program).check().last == "mlu 36.0 True"


ORDER = (
    START
    + """
side = streams.create()
x = torch.zeros(1 << 16, dtype=torch.int32, device="mlu")
shown = [pinned.empty(1 << 16, torch.int32) for _ in range(12)]
streams.synchronize()
wrong = 0
with streams.use(side):
    for turn, host in enumerate(shown):
        x += 1                        # torch's, on the stream
        memcpy.copy_async(host, x)    # CNRT's, behind it
        memcpy.fill(x, 0)             # and before what comes next
        x += turn + 1
side.synchronize()
for turn, host in enumerate(shown):
    wrong += int((host != turn + 1).any())
print(wrong)
"""
)


@pytest.mark.parametrize("not_ready", ["busy", "notready"])
def test_torchs_work_and_ours_in_one_order(simulation: Any, not_ready: str) -> None:
    """Whichever code says that work is not done."""
    run = simulation("cnrt", strict=True, delay_us=300, not_ready=not_ready)
    assert run.python(ORDER).check().last == "0"


ROWS = (
    START
    + """
src = torch.randint(0, 255, (40, 64), dtype=torch.uint8)
host = pinned.empty((40, 64), torch.uint8)
host.copy_(src)
device = torch.zeros(40, 64, dtype=torch.uint8, device="mlu")
extents = dict(width=20, height=40, dst_pitch=64, src_pitch=64)
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    for _ in range(3):
        memcpy.copy_2d(device, host, **extents)
streams.synchronize()
assert torch.equal(device.cpu()[:, :20], src[:, :20])
assert not device.cpu()[:, 20:].any()
memcpy.copy(device[:, 7:30], host[:, 7:30])
assert torch.equal(device.cpu()[:, 7:30], src[:, 7:30])
print(sum("cnrtMemcpy2DAsync" in str(w.message) for w in heard))
"""
)


@pytest.mark.parametrize(("cnrt", "warnings"), [("6.0", "1"), ("6.14", "0")])
def test_rows_with_and_without_pitched_copies(simulation: Any, cnrt: str, warnings: str) -> None:
    run = simulation("cnrt", strict=True, cnrt=cnrt, trace=True)
    assert run.python(ROWS).check().last == warnings
    (trace,) = run.traces()
    assert (trace.calls["cnrtMemcpy2DAsync"] > 0) == (cnrt == "6.14")


RAW_QUEUE = (
    START
    + """
import ctypes
cnrt = ctypes.CDLL("libcnrt.so")
queue = ctypes.c_void_p()
assert cnrt.cnrtQueueCreate(ctypes.byref(queue)) == 0
adopted = streams.from_handle(queue.value)
assert adopted.handle == queue.value and adopted.as_torch() is not None
x = torch.zeros(5000, device="mlu")
ones = pinned.empty(5000)
ones.fill_(1)
streams.synchronize()
memcpy.copy_async(x, ones, adopted)
event = adopted.record_event()
other = streams.create()
other.wait_event(event)
back = pinned.empty(5000)
memcpy.copy_async(back, x, other)
heard = []
other.add_callback(lambda: heard.append(bool(back.eq(1).all())))
other.synchronize()
print(heard, streams.from_handle(queue.value) is adopted)
"""
)


def test_queues_that_others_made(simulation: Any) -> None:
    run = simulation("cnrt", strict=True, delay_us=300)
    assert run.python(RAW_QUEUE).check().last == "[True] True"


MORE_STREAMS = (
    START
    + """
many = [streams.create(priority=-2) for _ in range(45)]
assert len({s.handle for s in many}) == 45
assert {s.priority for s in many} == {-2}
x = torch.zeros(45, 100, device="mlu")
host = pinned.empty((45, 100))
host.copy_(torch.arange(45.0).view(45, 1).expand(45, 100))
for i, stream in enumerate(many):
    memcpy.copy_async(x[i], host[i], stream)
streams.synchronize()
assert torch.equal(x.cpu(), host)
before = {s.handle for s in many}
del many, stream
again = [streams.create(priority=-2) for _ in range(45)]
print({s.handle for s in again} == before)
"""
)


def test_more_streams_than_torch_has(simulation: Any) -> None:
    """Each is a queue of its own of the priority asked for; they are used again."""
    assert simulation("cnrt", strict=True).python(MORE_STREAMS).check().last == "True"


REFUSED = (
    START
    + """
from accel import CapabilityError, DeviceError, MemRef, OutOfMemoryError
memory = torch.zeros(4096, dtype=torch.uint8)
for call in (lambda: pinned.register(memory), lambda: pinned.create_shared(4096)):
    try:
        call()
    except CapabilityError as error:
        assert "CNRT has no call that registers it" in str(error), error
    else:
        raise AssertionError("not refused")
x = torch.zeros(64, dtype=torch.uint8, device="mlu")
past = MemRef(x.data_ptr(), 1 << 40, x.device, owner=x)
try:
    memcpy.copy(past, MemRef(memory.data_ptr(), 1 << 40, memory.device, owner=memory))
except DeviceError as error:
    assert "dst" in str(error) and "mlu:0" in str(error), error
else:
    raise AssertionError("not refused")
memcpy.fill(x, 7)
streams.synchronize()
print(x.cpu().eq(7).all().item())
"""
)


def test_what_is_refused_leaves_the_device_usable(simulation: Any) -> None:
    assert simulation("cnrt", strict=True).python(REFUSED).check().last == "True"


TIERS = (
    START
    + """
from accel.kv import KVCache
size = dict(layers=3, blocks=6, block_size=16, heads=2, head_dim=64, dtype=torch.float16)
wanted = KVCache.allocate("| L B K S H D", **size)
held = pinned.empty(tuple(wanted.tensors[0].shape), torch.float16)
held.copy_(wanted.tensors[0].normal_())
host = KVCache(held, wanted.layout)
there = KVCache.allocate("| B L K S H D", **size)
device = KVCache(there.tensors[0].to("mlu"), there.layout)
pairs = torch.tensor([[0, 5], [4, 1], [2, 2]])
backend.kv.swap_blocks(host, device, pairs)
streams.synchronize()
accel.get_backend("cpu-reference").kv.swap_blocks(wanted, there, pairs)
same = device.tensors[0].cpu()[[5, 1, 2]].equal(there.tensors[0][[5, 1, 2]])
print(same, backend.kv.host_ways)
"""
)


@pytest.mark.parametrize(
    ("cnrt", "tiers", "ways"),
    [
        ("6.14", "", "{'2d': 1, 'batch': 0, 'operators': 0, 'calls': 3}"),
        ("6.0", "", "{'2d': 0, 'batch': 0, 'operators': 1, 'calls': 0}"),
        ("6.14", "operators", "{'2d': 0, 'batch': 0, 'operators': 1, 'calls': 0}"),
    ],
)
def test_pages_with_the_host(simulation: Any, cnrt: str, tiers: str, ways: str) -> None:
    """One pitched copy a page where CNRT has them, else operators."""
    run = simulation("cnrt", cnrt=cnrt, variables={"ACCEL_MLU_KV_TIERS": tiers}, delay_us=100)
    assert run.python(TIERS).check().last == f"True {ways}"
