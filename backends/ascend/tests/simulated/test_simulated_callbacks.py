"""Host callbacks in a stream's order: of CANN 8.5, and of older ones through serving threads."""

from __future__ import annotations

from typing import Any

import pytest

RELEASES = pytest.mark.parametrize("cann", ["8.0", "8.3", "8.5"])

ORDER = """
import threading, torch, accel
backend = accel.get_backend("ascend")
assert "streams.callback" in [str(c) for c in backend.capabilities]
streams = [backend.streams.create() for _ in range(3)]
source = backend.pinned.empty(1000, torch.int32)
source.copy_(torch.arange(1000, dtype=torch.int32))
there = torch.zeros(1000, dtype=torch.int32, device=backend.device)
back = backend.pinned.empty(1000, torch.int32)
torch.npu.synchronize()
seen, gate = [], threading.Event()
# Two streams are held by their callbacks at once, and a third one runs past them.
streams[0].add_callback(lambda: gate.wait(60))
streams[1].add_callback(lambda: gate.wait(60))
backend.memcpy.copy_async(there, source, streams[2])
backend.memcpy.copy_async(back, there, streams[2])
streams[2].add_callback(lambda: seen.append(int(back.sum())))
streams[2].add_callback(lambda: seen.append("later"))
streams[2].synchronize()
assert seen == [499500, "later"], seen
# What a callback writes is there for the copy behind it.
backend.memcpy.copy_async(there, source, streams[0])
streams[0].add_callback(lambda: source.fill_(3))
backend.memcpy.copy_async(there, source, streams[0])
assert not streams[0].query() and not streams[1].query()
gate.set()
for stream in streams:
    stream.synchronize()
assert bool((there == 3).all())
# What a callback raises comes with the next synchronisation.
streams[1].add_callback(lambda: 1 / 0)
try:
    streams[1].synchronize()
except accel.AsyncError as error:
    print(type(error.__cause__).__name__)
streams[2].add_callback(lambda: print("at the end"))
"""


@RELEASES
def test_order(simulation: Any, cann: str) -> None:
    """Callbacks wait for nobody but their own stream; the last one runs before the program ends."""
    run = simulation("cann", cann=cann, strict=True, delay_us=300)
    said = run.python(ORDER).check().stdout.splitlines()
    assert said[-2:] == ["ZeroDivisionError", "at the end"]


TAKEN = """
import ctypes, threading, torch, accel
backend = accel.get_backend("ascend")
stream = backend.streams.create()
acl = ctypes.CDLL("libascendcl.so")
other = ctypes.c_uint64(threading.get_ident())
handle = ctypes.c_void_p(stream.handle)
assert acl.aclrtSubscribeReport(other, handle) == 0
try:
    stream.add_callback(lambda: None)
    print("taken")
except accel.AccelError as error:
    print("aclrtSubscribeReport" in str(error))
assert acl.aclrtUnSubscribeReport(other, handle) == 0
seen = []
stream.add_callback(lambda: seen.append(1))
stream.synchronize()
print(seen)
"""


def test_a_stream_that_somebody_serves(simulation: Any) -> None:
    """An error that names the call; once the stream is free again, callbacks work."""
    said = simulation("cann", cann="8.3").python(TAKEN).check().stdout.splitlines()
    assert said[-2:] == ["True", "[1]"]
