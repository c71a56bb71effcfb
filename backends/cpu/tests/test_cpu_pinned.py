"""The pinned pool of the CPU backend: classes, limits, streams, sharing, registration."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading

import pytest
import torch

from accel import (
    ArgumentError,
    Capability,
    DeviceError,
    DTypeError,
    FreedError,
    MemRef,
    OutOfMemoryError,
    OverlapError,
    ShapeError,
    SizeError,
    StateError,
)
from accel_cpu.memcpy import CpuMemcpy
from accel_cpu.pinned import CpuPinnedMemory
from accel_cpu.streams import CpuStreams

pinned = CpuPinnedMemory()
streams = CpuStreams()
memcpy = CpuMemcpy()
CPU = torch.device("cpu")
MIB = 1 << 20


class Child:
    """Another Python process: runs ``code``, which talks with ``tell(object)`` and ``hear()``."""

    PRELUDE = """
import json, sys
def tell(value): print(json.dumps(value), flush=True)
def hear(): return sys.stdin.readline()
"""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.PRELUDE + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self):
        line = self.process.stdout.readline()
        assert line, f"the other process ended with {self.process.wait(30)}"
        return json.loads(line)

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def empty_pool():
    gc.collect()
    streams.synchronize()
    pinned.set_limit(0)
    pinned.trim()
    yield
    pinned.set_limit(0)


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


def smaps_of(pointer: int) -> dict[str, int]:
    """Kilobytes by field, of the mapping that holds this address."""
    found: dict[str, int] = {}
    inside = False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            first = line.split()[0]
            if "-" in first and not first.endswith(":"):
                begin, end = (int(x, 16) for x in first.split("-"))
                inside = begin <= pointer < end
            elif inside and line.rstrip().endswith("kB"):
                found[first[:-1]] = int(line.split()[1])
    return found


@pytest.mark.parametrize(
    ("nbytes", "capacity"),
    [
        (0, 4096),
        (1, 4096),
        (4097, 8192),
        (MIB + 1, 2 * MIB),
        (2 * MIB + 1, 2 * MIB + MIB // 4),
        (3 * MIB, 3 * MIB),
        (33 * MIB, 36 * MIB),
    ],
)
def test_size_classes(nbytes, capacity):
    before = pinned.stats().in_use
    buffer = pinned.allocate(nbytes)
    assert buffer.nbytes == nbytes
    assert buffer.pointer % 4096 == 0
    assert pinned.stats().in_use - before == capacity
    assert buffer.handle == ""
    assert buffer.numa_node is None
    assert not buffer.huge_pages


def test_pages_are_locked_or_the_buffer_says_why():
    buffer = pinned.allocate(MIB)
    locked = smaps_of(buffer.pointer).get("Locked", 0)
    assert buffer.pinned == (locked > 0)
    assert buffer.pinned or "mlock" in buffer.notes
    assert pinned.is_pinned(buffer) == buffer.pinned


def test_refused_locks_are_said_once_and_stay_usable():
    code = """
import resource, warnings, os
import torch, accel
from accel_cpu.pinned import CpuPinnedMemory
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.geteuid() == 0:  # root is not bound by the limit; all is imported, which another user may not
    os.setgid(65534); os.setuid(65534)
p = CpuPinnedMemory()
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    buffers = [p.allocate(1 << 20) for _ in range(3)]
assert not buffers[0].pinned and "mlock" in buffers[0].notes, buffers[0].notes
assert len(said) == 1 and issubclass(said[0].category, accel.AccelWarning), said
assert not p.is_pinned(buffers[0])
assert p.stats().locked == 0 and p.stats().in_use == 3 << 20
assert buffers[0].tensor().fill_(7).sum() == 7 << 20
try:
    p.register(torch.zeros(1 << 20))
except accel.OutOfMemoryError as error:
    assert "RLIMIT_MEMLOCK" in str(error), error
else:
    raise AssertionError("registered")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_tensors():
    buffer = pinned.allocate(1000)
    assert buffer.tensor().shape == (1000,)
    assert buffer.tensor().dtype == torch.uint8
    x = buffer.tensor(torch.float32, (10, 25))
    assert x.shape == (10, 25)
    assert x.data_ptr() == buffer.pointer
    assert buffer.tensor(torch.bfloat16, 3).shape == (3,)
    assert buffer.tensor(torch.int64).shape == (125,)
    assert buffer.tensor(torch.int8, ()).shape == ()
    assert pinned.allocate(0).tensor().shape == (0,)
    assert buffer.tensor(torch.int64, (0, 5)).shape == (0, 5)
    for shape in ((10, 26), 251, (2**40, 2**40)):
        with pytest.raises(SizeError, match="shape"):
            buffer.tensor(torch.float32, shape)
    for shape in ((-1, 5), "ab", (1.5,)):
        with pytest.raises(ShapeError, match="shape"):
            buffer.tensor(torch.float32, shape)
    with pytest.raises(DTypeError, match="dtype"):
        buffer.tensor("float32")


def test_empty():
    x = pinned.empty((3, 5), torch.bfloat16)
    assert x.shape == (3, 5)
    assert x.dtype == torch.bfloat16
    assert pinned.empty(7).dtype == torch.get_default_dtype()
    assert pinned.empty(7).shape == (7,)
    assert pinned.is_pinned(x) == pinned.is_pinned(x[1:])
    with pytest.raises(ShapeError):
        pinned.empty((3, -1))
    with pytest.raises(SizeError):
        pinned.empty((2**40, 2**40))
    with pytest.raises(DTypeError):
        pinned.empty(3, "float32")


def test_a_tensor_keeps_its_block_and_the_last_one_frees_it():
    x = pinned.allocate(4096).tensor()
    pointer = x.data_ptr()
    y = x[100:].view(torch.uint8)
    del x
    assert pinned.stats().in_use == 4096
    y.fill_(1)
    del y
    stats = pinned.stats()
    assert (stats.in_use, stats.cached) == (0, 4096)
    assert pinned.allocate(1).pointer == pointer


def test_free():
    buffer = pinned.allocate(4096)
    x = buffer.tensor()
    with pytest.raises(StateError, match="tensors"):
        buffer.free()
    view = memoryview(buffer)
    del x
    with pytest.raises(StateError):
        buffer.free()
    view.release()
    buffer.free()
    for use in (
        buffer.free,
        buffer.tensor,
        lambda: buffer.pointer,
        lambda: memoryview(buffer),
        lambda: pinned.is_pinned(buffer),
        lambda: pinned.record_stream(buffer, streams.create()),
    ):
        with pytest.raises(FreedError):
            use()
    assert "freed" in repr(buffer)


def test_cache_and_statistics():
    start = pinned.stats()
    first = pinned.allocate(5000)
    pointer = first.pointer
    first.free()
    second = pinned.allocate(8000)  # the same class
    assert second.pointer == pointer
    stats = pinned.stats()
    assert stats.allocations - start.allocations == 2
    assert stats.cache_hits - start.cache_hits == 1
    assert (stats.in_use, stats.cached) == (8192, 0)
    assert stats.peak_in_use >= 8192
    second.free()
    assert pinned.trim() == 8192
    assert pinned.stats().cached == 0
    assert pinned.trim() == 0


def test_limit():
    pinned.set_limit(10 * 4096)
    held = [pinned.allocate(4096) for _ in range(8)]
    cached = pinned.allocate(8192)
    cached.free()
    held += [pinned.allocate(4096) for _ in range(2)]  # the cached block went
    assert pinned.stats().cached == 0
    with pytest.raises(OutOfMemoryError, match=r"40960.*40960.*4096"):
        pinned.allocate(1)
    held.clear()
    pinned.allocate(1)
    pinned.set_limit(4096)
    assert pinned.stats().cached <= 4096
    with pytest.raises(SizeError):
        pinned.set_limit(-1)


def test_what_the_system_refuses_names_the_size():
    with pytest.raises(OutOfMemoryError, match=str(1 << 50)):
        pinned.allocate(1 << 50)
    with pytest.raises(OutOfMemoryError):
        pinned.allocate((1 << 63) - 1)
    assert pinned.stats().in_use == 0
    for bad in (-1, 1 << 63):
        with pytest.raises(SizeError, match="nbytes"):
            pinned.allocate(bad)
    with pytest.raises(DTypeError, match="nbytes"):
        pinned.allocate("4")


def test_recorded_blocks_are_not_reused_before_the_stream_is_done(gate):
    stream = streams.create()
    buffer = pinned.allocate(4096)
    pointer = buffer.pointer
    stream.add_callback(gate.wait)
    pinned.record_stream(buffer, stream)
    waits = pinned.stats().waits
    buffer.free()
    assert pinned.stats().waits == waits + 1
    other = pinned.allocate(4096)
    assert other.pointer != pointer
    gate.set()
    stream.synchronize()
    assert pinned.allocate(4096).pointer == pointer


def test_copies_record_their_streams(gate):
    stream = streams.create()
    buffer = pinned.allocate(4096)
    pointer = buffer.pointer
    out = torch.zeros(4096, dtype=torch.uint8)
    buffer.tensor().fill_(9)
    stream.add_callback(gate.wait)
    memcpy.copy_async(out, buffer.tensor(), stream)
    buffer.free()  # the copy is still to come, and no tensor is left
    other = pinned.allocate(4096)
    assert other.pointer != pointer
    other.tensor().fill_(1)
    gate.set()
    stream.synchronize()
    assert (out == 9).all()


def test_record_stream_wants_memory_of_the_pool():
    with pytest.raises(ArgumentError, match="memory"):
        pinned.record_stream(torch.zeros(4), streams.create())
    with pytest.raises(DTypeError, match="stream"):
        pinned.record_stream(pinned.allocate(4), 3)


def test_is_pinned_wants_the_whole_range():
    buffer = pinned.allocate(8192)
    if not buffer.pinned:
        pytest.skip(f"page locking is refused here: {buffer.notes}")
    assert pinned.is_pinned(MemRef(buffer.pointer, 8192, CPU))
    assert not pinned.is_pinned(MemRef(buffer.pointer + 4096, 64 * MIB, CPU))
    assert not pinned.is_pinned(torch.zeros(10))
    with pytest.raises(DeviceError):
        pinned.is_pinned(torch.zeros(3, device="meta"))
    with pytest.raises(DTypeError):
        pinned.is_pinned(3)


def test_registration():
    x = torch.zeros(3 * 4096, dtype=torch.uint8)
    a, b = x[:5000], x[5000:]  # they share a page
    pinned.register(a)
    assert pinned.is_pinned(a)
    assert not pinned.is_pinned(x)
    pinned.register(b)
    assert pinned.is_pinned(x)
    assert pinned.stats().registered == x.nbytes
    with pytest.raises(OverlapError, match="registered"):
        pinned.register(x[4999:5001])
    pinned.unregister(a)
    assert pinned.is_pinned(b)
    assert smaps_of(b.data_ptr()).get("Locked", 0) > 0
    assert not pinned.is_pinned(a)
    with pytest.raises(ArgumentError, match="registered"):
        pinned.unregister(a)
    with pytest.raises(ArgumentError, match="registered with"):
        pinned.unregister(b[:10])
    pinned.unregister(b)
    assert pinned.stats().registered == 0
    with pytest.raises(OverlapError, match="pool"):
        pinned.register(pinned.allocate(4096).tensor())
    with pytest.raises(DeviceError):
        pinned.register(torch.zeros(4, device="meta"))
    with pytest.raises(SizeError):
        pinned.register(torch.zeros(0))
    with pytest.raises(ArgumentError, match="not mapped"):
        pinned.register(MemRef(1 << 46, 4096, CPU))


def test_numa():
    if Capability.PINNED_NUMA not in pinned.capabilities:
        pytest.skip(f"pinned.numa is not there: {pinned.notes}")
    buffer = pinned.allocate(MIB, numa_node=0)
    assert buffer.numa_node == 0
    buffer.tensor().fill_(1)
    with open("/proc/self/numa_maps") as lines:
        mapped = [line for line in lines if line.startswith(f"{buffer.pointer:08x} ")]
    assert mapped, "the mapping has no policy of its own"
    assert "bind:0" in mapped[0]
    for bad in (-1, 4000, 1 << 40, "x"):
        with pytest.raises(ArgumentError, match="numa_node"):
            pinned.allocate(4096, numa_node=bad)


def test_huge_pages():
    buffer = pinned.allocate(3 * MIB, huge_pages=True)
    assert buffer.notes
    if Capability.PINNED_HUGE_PAGES not in pinned.capabilities:
        assert not buffer.huge_pages or "MAP_HUGETLB" in buffer.notes
        return
    assert buffer.huge_pages
    assert buffer.pointer % (2 * MIB) == 0
    assert pinned.stats().huge == 4 * MIB
    pointer = buffer.pointer
    buffer.free()
    assert pinned.allocate(4 * MIB).pointer != pointer  # kinds of pages are cached apart
    assert pinned.allocate(4 * MIB, huge_pages=True).pointer == pointer


OPENER = """
from accel_cpu.pinned import CpuPinnedMemory
pool = CpuPinnedMemory()
buffer = pool.open_shared({handle!r})
x = buffer.tensor()
tell([buffer.nbytes, int(x.sum()), pool.stats().shared])
hear()
x.fill_(5)
tell("written")
hear()
tell(int(x.sum()))
"""


def test_shared_segments_between_processes():
    buffer = pinned.create_shared(5000)
    x = buffer.tensor()
    assert x.sum() == 0
    assert pinned.stats().shared == 8192
    x.fill_(3)
    handle = buffer.handle
    with Child(OPENER.format(handle=handle)) as child:
        assert child.hear() == [5000, 15000, 8192]
        child.go_on()
        assert child.hear() == "written"
        assert (x == 5).all()
        del x
        buffer.free()
        assert not os.path.exists("/dev/shm" + handle)
        child.go_on()
        assert child.hear() == 25000  # its mapping stays
    with pytest.raises(ArgumentError, match="handle"):
        pinned.open_shared(handle)


def test_shared_segments_in_one_process():
    made = pinned.create_shared(4096)
    opened = pinned.open_shared(made.handle)
    made.tensor().fill_(4)
    assert (opened.tensor() == 4).all()
    assert opened.pointer != made.pointer
    made.free()
    assert (opened.tensor() == 4).all()
    opened.free()
    assert pinned.stats().shared == 0
    for bad in ("", "x", "/accel-pinned-1-0", "/accel-event-1-0", "/accel-pinned-../x"):
        with pytest.raises(ArgumentError, match="handle"):
            pinned.open_shared(bad)
    with pytest.raises(DTypeError):
        pinned.open_shared(b"x")
    with pytest.raises(OutOfMemoryError):
        pinned.create_shared(1 << 50)


MAKER = """
from accel_cpu.pinned import CpuPinnedMemory
buffer = CpuPinnedMemory().create_shared(4096)
tell(buffer.handle)
hear()
"""


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_the_name_goes_with_its_maker(how):
    with Child(MAKER) as child:
        handle = child.hear()
        held = pinned.open_shared(handle)
        if how == "exit":
            child.go_on()
        else:
            child.process.kill()
        child.process.wait(30)
    with pytest.raises(ArgumentError, match="handle"):
        pinned.open_shared(handle)
    assert held.tensor().sum() == 0
    if how == "exit":
        assert not os.path.exists("/dev/shm" + handle)
    else:
        os.unlink("/dev/shm" + handle)


def test_shared_segments_wait_for_their_copies_too(gate):
    stream = streams.create()
    buffer = pinned.create_shared(4096)
    buffer.tensor().fill_(6)
    out = torch.zeros(4096, dtype=torch.uint8)
    stream.add_callback(gate.wait)
    memcpy.copy_async(out, buffer.tensor(), stream)
    buffer.free()
    gate.set()
    stream.synchronize()
    assert (out == 6).all()


def test_allocation_from_many_threads():
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for i in range(200):
                buffer = pinned.allocate(4096 << (i * seed % 4))
                x = buffer.tensor()
                x.fill_(seed)
                assert (x == seed).all()
                del x
                buffer.free()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert pinned.stats().in_use == 0
