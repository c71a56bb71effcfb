"""Copies on the fake driver: where memory is, which way it takes, what is refused, what is kept.

The kernels run on the host shim, behind the fake driver's launches.
"""

from __future__ import annotations

import gc
import importlib.util
import itertools
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel import (
    ArgumentError,
    DeviceError,
    FreedError,
    MemRef,
    OverlapError,
    SizeError,
    StateError,
)
from accel_cuda import _native
from accel_cuda.errors import DriverError

HOST = torch.device("cpu")
MIB = 1 << 20
SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _beside(name: str, path: Path) -> Any:
    """A module by path: the tests are no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


HERE = Path(__file__).parent
device_memory = _beside("accel_cuda_device_memory", HERE / "device_memory.py")
harness = _beside("accel_cuda_shim_harness", HERE / "kernels" / "shim" / "harness.py")
contents, random_bytes = device_memory.contents, device_memory.random_bytes


@pytest.fixture(scope="module")
def kernels(_opened: Any, tmp_path_factory: Any) -> Any:
    if harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    folder = tmp_path_factory.getbasetemp() / "kernel_shim"
    return device_memory.ShimKernels(_opened.path, harness.ShimBuilder(folder).library)


@pytest.fixture
def memory(driver: Any) -> Iterator[Any]:
    held = device_memory.FakeMemory(driver.path)
    yield held
    held.close()


@pytest.fixture
def pool(backend: Any) -> Any:
    from accel_cuda.pinned import CudaPinnedMemory

    return CudaPinnedMemory(0)


@pytest.fixture
def memcpy(backend: Any, kernels: Any, memory: Any) -> Iterator[Any]:
    from accel_cuda.memcpy import CudaMemcpy

    made = CudaMemcpy(0, kernels.find)
    _native.use_scratch(lambda n, device, stream: memory.raw(n, device), lambda address: None)
    yield made
    backend.streams.synchronize()
    assert not kernels.failures, kernels.failures


def pinned(pool: Any, data: np.ndarray[Any, Any]) -> Any:
    tensor = pool.empty(data.nbytes, torch.uint8)
    tensor.copy_(torch.from_numpy(data.view(np.uint8).reshape(-1).copy()))
    return tensor


# --- ways ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["copy", "copy_async"])
@pytest.mark.parametrize("nbytes", [0, 1, 17, 4097, 300_000])
@pytest.mark.parametrize(
    ("to", "from_"), list(itertools.product(["device", "pinned", "host"], repeat=2))
)
def test_every_direction(
    backend: Any, memcpy: Any, pool: Any, memory: Any, to: str, from_: str, nbytes: int, how: str
) -> None:
    """Every byte arrives and none beyond, whatever the two memories are."""
    data = random_bytes(nbytes)

    def make(kind: str, values: Any) -> Any:
        if kind == "device":
            return memory.put(values)
        return pinned(pool, values) if kind == "pinned" else torch.from_numpy(values.copy())

    def seen(what: Any) -> Any:
        return contents(what) if isinstance(what, MemRef) else what.numpy()

    def part(what: Any) -> Any:
        if isinstance(what, MemRef):
            return MemRef(what.pointer + 13, nbytes, what.device, owner=what)
        return what[13 : 13 + nbytes]

    target = make(to, random_bytes(nbytes + 32))
    expected = seen(target).copy()
    expected[13 : 13 + nbytes] = data
    stream = backend.streams.create()
    getattr(memcpy, how)(part(target), make(from_, data), stream)
    if how == "copy_async":
        stream.synchronize()
    assert np.array_equal(seen(target), expected)


def test_pinned_copies_do_not_wait(backend: Any, memcpy: Any, pool: Any, memory: Any) -> None:
    """Copies of pinned and device memory, strided ones and fills among them, only queue."""
    stream = backend.streams.create()
    gate = threading.Event()
    stream.add_callback(lambda: gate.wait(20))
    a, b = pool.empty((64, 64), torch.uint8), pool.empty((64, 64), torch.uint8)
    device = memory.empty(4096)
    b.random_()
    memcpy.copy_async(MemRef(a.data_ptr(), 4096, HOST, owner=a), device, stream)
    memcpy.copy_async(device, b.view(-1), stream)
    memcpy.copy_async(a, b, stream)
    memcpy.copy_async(a.t(), b, stream)
    memcpy.copy_batch([a[0], a[1]], [b[2], b[3]], stream)
    memcpy.fill(a[::2], 7, stream)
    assert not stream.query()
    gate.set()
    stream.synchronize()
    expected = b.t().contiguous()
    expected[:2] = b[2:4]
    expected[::2] = 7
    assert torch.equal(a, expected)
    assert np.array_equal(contents(device), b.view(-1).numpy())


@pytest.mark.parametrize("nbytes", [8 * MIB, 9 * MIB + 12345, 21 * MIB])
def test_large_pageable(backend: Any, memcpy: Any, memory: Any, driver: Any, nbytes: int) -> None:
    """In parts, by several threads, in the stream's order on the device's side."""
    host = torch.from_numpy(random_bytes(nbytes))
    back = torch.zeros_like(host)
    device = memory.empty(nbytes)
    stream = backend.streams.create()
    stream.add_callback(lambda: host[:1000].zero_())  # before the copy reads it
    memcpy.copy_async(device, host, stream)
    host[:] = 0  # all of it was read
    memcpy.fill(MemRef(device.pointer, 7, device.device, owner=device), 9, stream)
    memcpy.copy_async(back, device, stream)
    assert np.array_equal(back.numpy(), contents(device))
    assert (back[:7] == 9).all()
    assert (back[7:1000] == 0).all()
    assert back[1000:].any()


@pytest.mark.parametrize("entry", ["cuMemcpyHtoDAsync_v2", "cuEventRecord"])
def test_large_pageable_failure(
    backend: Any, memcpy: Any, memory: Any, driver: Any, entry: str
) -> None:
    """A thread that fails stops the others; its error is raised, and the next copy works."""
    host, device = torch.from_numpy(random_bytes(30 * MIB)), memory.empty(30 * MIB)
    driver.fail(entry, 1, skip=2)
    with pytest.raises(DriverError, match=entry):
        memcpy.copy(device, host)
    driver.mend()
    memcpy.copy(device, host)
    assert np.array_equal(contents(device), host.numpy())


def test_peer(backend: Any, memcpy: Any, memory: Any, driver: Any) -> None:
    data = random_bytes(50_000)
    here, there, back = memory.put(data), memory.empty(50_000, device=1), memory.empty(50_000)
    before = driver.calls("cuMemcpyPeerAsync")
    memcpy.copy(there, here)
    memcpy.copy(back, there)
    assert driver.calls("cuMemcpyPeerAsync") == before + 2
    assert np.array_equal(contents(back), data)


@pytest.mark.parametrize(
    ("dst_pitch", "src_pitch"), [(100, 128), (128, 100), (130, 120), (100, 100)]
)
@pytest.mark.parametrize("devices", [(1, 0), (0, 1), (1, 1)], ids=str)
def test_peer_rows(
    backend: Any, memcpy: Any, memory: Any, kernels: Any, devices: Any, dst_pitch: int,
    src_pitch: int,
) -> None:  # fmt: skip
    """Strided memory of two devices is packed on either side; no kernel sees both devices."""
    width, height = 100, 40
    src = memory.empty(src_pitch * height, device=devices[1])
    dst = memory.empty(dst_pitch * height, device=devices[0])
    expected = contents(dst).copy()
    expected.reshape(height, dst_pitch)[:, :width] = contents(src).reshape(height, src_pitch)[
        :, :width
    ]
    memcpy.copy_2d(dst, src, width=width, height=height, dst_pitch=dst_pitch, src_pitch=src_pitch)
    backend.streams.current().synchronize()
    assert np.array_equal(contents(dst), expected)


@pytest.mark.parametrize("width", [1, 33, 4096, 5000])
@pytest.mark.parametrize(
    ("to", "from_"), list(itertools.product(["device", "pinned", "host"], repeat=2))
)
def test_rows(
    backend: Any, memcpy: Any, pool: Any, memory: Any, to: str, from_: str, width: int
) -> None:
    """Pitched rows between all kinds of memory; what lies between rows stays."""
    height, dst_pitch, src_pitch = 7, width + 5, width + 11

    def make(kind: str, nbytes: int) -> Any:
        if kind == "device":
            return memory.empty(nbytes)
        values = random_bytes(nbytes)
        return pinned(pool, values) if kind == "pinned" else torch.from_numpy(values)

    def rows(what: Any, pitch: int) -> Any:
        flat = contents(what) if isinstance(what, MemRef) else what.numpy()
        return flat.reshape(height, pitch)

    src, dst = make(from_, src_pitch * height), make(to, dst_pitch * height)
    expected = rows(dst, dst_pitch).copy()
    expected[:, :width] = rows(src, src_pitch)[:, :width]
    stream = backend.streams.create()
    memcpy.copy_2d(
        dst, src, width=width, height=height, dst_pitch=dst_pitch, src_pitch=src_pitch,
        stream=stream,
    )  # fmt: skip
    stream.synchronize()
    assert np.array_equal(rows(dst, dst_pitch), expected)


VIEWS = [
    lambda t: t,
    lambda t: t.transpose(0, 1),
    lambda t: t[::2],
    lambda t: t[:, 1:-1],
    lambda t: t.permute(2, 0, 1),
    lambda t: t[:, :, ::3],
]


@SETTINGS
@given(
    st.tuples(st.integers(2, 6), st.integers(3, 40), st.integers(3, 40)),
    st.sampled_from([torch.uint8, torch.bfloat16, torch.float32, torch.int64, torch.complex128]),
    st.sampled_from(range(len(VIEWS))),
    st.sampled_from(range(len(VIEWS))),
    st.tuples(st.booleans(), st.booleans()),
)
def test_strided_host(
    backend: Any, memcpy: Any, pool: Any, shape: Any, dtype: Any, to: int, from_: int, locked: Any
) -> None:
    """Strided tensors, pinned (a kernel) or pageable (the processor), against torch."""
    shown = VIEWS[from_](torch.empty(shape)).shape
    itemsize = dtype.itemsize

    def base_of(view: int, pin: bool) -> Any:
        # A base whose view has the shape `shown`.
        choices = [[n, n + 2, 2 * n, 3 * n] for n in _unviewed(view, shown)]
        for extents in itertools.product(*choices):
            if VIEWS[view](torch.empty(extents)).shape == shown:
                break
        else:
            raise AssertionError((view, shown))
        values = torch.from_numpy(random_bytes(int(np.prod(extents)) * itemsize))
        base = pool.empty(values.numel(), torch.uint8) if pin else torch.empty_like(values)
        base.copy_(values)
        return base.view(dtype).view(extents)

    dst_base, src_base = base_of(to, locked[0]), base_of(from_, locked[1])
    dst, src = VIEWS[to](dst_base), VIEWS[from_](src_base)
    expected = dst_base.clone()
    VIEWS[to](expected).copy_(src)
    stream = backend.streams.create()
    memcpy.copy_async(dst, src, stream)
    stream.synchronize()
    assert torch.equal(
        dst_base.contiguous().view(torch.uint8), expected.contiguous().view(torch.uint8)
    )


def _unviewed(view: int, shown: Any) -> tuple[int, ...]:
    a, b, c = shown
    return {1: (b, a, c), 4: (b, c, a)}.get(view, (a, b, c))


@pytest.mark.parametrize("kind", ["device", "pinned", "host"])
@pytest.mark.parametrize("nbytes", [1, 4099, 100_000])
def test_fill(backend: Any, memcpy: Any, pool: Any, memory: Any, kind: str, nbytes: int) -> None:
    target = memory.empty(nbytes + 20) if kind == "device" else None
    if target is None:
        values = random_bytes(nbytes + 20)
        whole = pinned(pool, values) if kind == "pinned" else torch.from_numpy(values.copy())
        part, seen = whole[7 : 7 + nbytes], whole.numpy()
    else:
        part = MemRef(target.pointer + 7, nbytes, target.device, owner=target)
        seen = contents(target)
    expected = seen.copy()
    expected[7 : 7 + nbytes] = 0xC4
    stream = backend.streams.create()
    memcpy.fill(part, 0xC4, stream)
    stream.synchronize()
    assert np.array_equal(seen, expected)


def test_fill_on_another_device(backend: Any, memcpy: Any, memory: Any) -> None:
    there = memory.empty(10_000, device=1)
    memcpy.fill(there, 9)
    backend.streams.current().synchronize()
    assert (contents(there) == 9).all()


# --- batches ------------------------------------------------------------------------------------


@SETTINGS
@given(st.data(), st.booleans())
def test_batch(backend: Any, memcpy: Any, pool: Any, memory: Any, data: Any, default: bool) -> None:
    """Batches of all sizes and memories: each byte where it belongs, guards untouched."""
    sizes = data.draw(
        st.lists(st.integers(0, 300) | st.sampled_from([70_000, 1_100_000]), max_size=12)
    )
    total = sum(sizes) + 10 * len(sizes) + 10
    sources = {
        "device": memory.empty(total), "pinned": pinned(pool, random_bytes(total)),
        "host": torch.from_numpy(random_bytes(total)),
    }  # fmt: skip
    targets = {
        "device": memory.empty(total), "pinned": pinned(pool, random_bytes(total)),
        "host": torch.from_numpy(random_bytes(total)), "peer": memory.empty(total, device=1),
    }  # fmt: skip

    def seen(what: Any) -> Any:
        return contents(what) if isinstance(what, MemRef) else what.numpy()

    def part(what: Any, at: int, n: int) -> Any:
        if isinstance(what, MemRef):
            return MemRef(what.pointer + at, n, what.device, owner=what)
        return what[at : at + n]

    expected = {name: seen(target).copy() for name, target in targets.items()}
    dsts, srcs, at = [], [], 0
    for n in sizes:
        at += data.draw(st.integers(0, 9))
        to = data.draw(st.sampled_from(sorted(targets)))
        from_ = data.draw(st.sampled_from(sorted(sources)))
        dsts.append(part(targets[to], at, n))
        srcs.append(part(sources[from_], at, n))
        expected[to][at : at + n] = seen(sources[from_])[at : at + n]
        at += n
    stream = backend.streams.default() if default else backend.streams.create()
    memcpy.copy_batch(dsts, srcs, stream)
    stream.synchronize()
    for name, target in targets.items():
        assert np.array_equal(seen(target), expected[name]), name


@pytest.mark.parametrize("count", [160, 161, 1000])
def test_small_copies_are_one_launch(
    backend: Any, memcpy: Any, memory: Any, driver: Any, count: int
) -> None:
    src, dst = memory.empty(count * 64), memory.empty(count * 64)
    refs = [
        [MemRef(m.pointer + 64 * i, 64, m.device, owner=m) for i in range(count)]
        for m in (dst, src)
    ]
    stream = backend.streams.create()
    launches, copies = driver.calls("cuLaunchKernel"), driver.calls("cuMemcpyAsync")
    memcpy.copy_batch(*refs, stream)
    assert driver.calls("cuLaunchKernel") == launches + 1
    assert driver.calls("cuMemcpyAsync") == copies
    stream.synchronize()
    assert np.array_equal(contents(dst), contents(src))


def test_large_copies_are_one_driver_call(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """But on the default stream, which the driver refuses, and in a capture, one call each."""
    host = pinned(pool, random_bytes(4 * MIB))
    device = memory.empty(4 * MIB)
    parts = [MemRef(device.pointer + MIB * i, MIB, device.device, owner=device) for i in range(4)]
    stream = backend.streams.create()
    batches, copies = driver.calls("cuMemcpyBatchAsync"), driver.calls("cuMemcpyAsync")
    memcpy.copy_batch(parts, list(host.view(4, MIB)), stream)
    assert driver.calls("cuMemcpyBatchAsync") == batches + 1
    assert driver.calls("cuMemcpyAsync") == copies
    memcpy.copy_batch(parts, list(host.view(4, MIB)), backend.streams.default())
    with backend.streams.capture(stream) as graph:
        memcpy.copy_batch(parts, list(host.view(4, MIB)), stream)
    assert driver.calls("cuMemcpyBatchAsync") == batches + 1
    assert driver.calls("cuMemcpyAsync") == copies + 8
    backend.streams.synchronize()
    contents(device)[:] = 0
    graph.replay(stream)
    stream.synchronize()
    assert np.array_equal(contents(device), host.numpy())


# --- refusals -----------------------------------------------------------------------------------


def test_memory_that_is_not_where_it_says(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """A false MemRef is refused before the driver hears of it, naming the argument."""
    device, other = memory.empty(4096), memory.empty(4096, device=1)
    host, locked = torch.zeros(4096, dtype=torch.uint8), pool.empty(4096, torch.uint8)
    cuda0 = device.device
    false = {
        "host memory": MemRef(host.data_ptr(), 4096, cuda0, owner=host),
        "pinned memory": MemRef(locked.data_ptr(), 4096, cuda0, owner=locked),
        "another device": MemRef(other.pointer, 4096, cuda0),
        "no memory": MemRef(0x7000_0000_0000, 4096, cuda0),
        "too much": MemRef(device.pointer, 4097, cuda0),
        "device memory as host": MemRef(device.pointer, 4096, HOST),
    }
    good = memory.empty(4096)
    watched = ("cuMemcpyAsync", "cuMemcpyPeerAsync", "cuLaunchKernel", "cuMemsetD8Async")
    before = [driver.calls(entry) for entry in watched]
    for name, ref in false.items():
        pair = MemRef(good.pointer, good.nbytes, cuda0) if ref.nbytes == 4096 else None
        big = pair if pair is not None else memory.empty(4097)
        for copy in (memcpy.copy, memcpy.copy_async):
            with pytest.raises(DeviceError) as caught:
                copy(big, ref)
            assert caught.value.argument == "src", name
            with pytest.raises(DeviceError) as caught:
                copy(ref, big)
            assert caught.value.argument == "dst", name
        with pytest.raises(DeviceError):
            memcpy.fill(ref, 1)
        with pytest.raises(DeviceError) as caught:
            memcpy.copy_batch([big], [ref])
        assert caught.value.argument == "srcs[0]"
    assert [driver.calls(entry) for entry in watched] == before


def test_refuses_other_devices(memcpy: Any, memory: Any) -> None:
    nowhere = torch.empty(16, dtype=torch.uint8, device="meta")
    with pytest.raises(DeviceError) as caught:
        memcpy.copy(memory.empty(16), nowhere)
    assert caught.value.argument == "src"
    with pytest.raises(DeviceError):
        memcpy.fill(nowhere, 0)


def test_refuses_overlap_and_sizes(memcpy: Any, memory: Any) -> None:
    device = memory.empty(1000)
    first = MemRef(device.pointer, 600, device.device)
    second = MemRef(device.pointer + 599, 401, device.device)
    with pytest.raises(SizeError):
        memcpy.copy(first, second)
    with pytest.raises(OverlapError) as caught:
        memcpy.copy(first, MemRef(device.pointer + 599, 600, device.device))
    assert caught.value.argument in ("dst", "src")
    with pytest.raises(OverlapError):
        memcpy.copy_batch([first, second], [memory.empty(600), memory.empty(401)])


def test_refuses_freed_buffers(memcpy: Any, pool: Any, memory: Any) -> None:
    buffer = pool.allocate(100)
    ref = MemRef(buffer.pointer, 100, HOST, owner=buffer)
    buffer.free()
    with pytest.raises(FreedError) as caught:
        memcpy.copy(memory.empty(100), ref)
    assert caught.value.argument == "src"


@pytest.mark.parametrize("stream", ["a stream", 0, object()], ids=lambda s: type(s).__name__)
def test_refuses_what_is_no_stream(memcpy: Any, memory: Any, stream: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        memcpy.copy_async(memory.empty(10), memory.empty(10), stream)
    assert caught.value.argument == "stream"


def test_partly_locked_memory_is_copied(backend: Any, memcpy: Any, pool: Any, memory: Any) -> None:
    """Host memory of which a part is registered goes through staging, to the last byte."""
    host = torch.from_numpy(random_bytes(40_000))
    for start, stop in [(0, 10_000), (30_000, 40_000)]:
        pool.register(host[start:stop])
        device = memory.empty(40_000)
        memcpy.copy(device, host)
        assert np.array_equal(contents(device), host.numpy())
        contents(device)[:] = random_bytes(40_000)
        memcpy.copy(host, device)
        assert np.array_equal(contents(device), host.numpy())
        pool.unregister(host[start:stop])


# --- captures -----------------------------------------------------------------------------------


def test_captured_copies_replay(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """A graph holds what its copies use, and moves the bytes that are there at each replay."""
    stream = backend.streams.create()
    source, target = pinned(pool, random_bytes(1000)), pinned(pool, random_bytes(1000))
    device = memory.empty(1000)
    watched = target
    in_use = pool.stats().in_use
    with backend.streams.capture(stream) as graph:
        memcpy.copy_async(device, source, stream)
        memcpy.fill(MemRef(device.pointer + 900, 100, device.device, owner=device), 3, stream)
        memcpy.copy_async(target, device, stream)
        memcpy.copy_async(source[:10:2], target[500:505], stream)
    data = random_bytes(1000)
    source.copy_(torch.from_numpy(data))
    del source, target
    gc.collect()
    assert pool.stats().in_use == in_use, "the graph does not hold its pinned operands"
    graph.replay(stream)
    stream.synchronize()
    data[900:] = 3
    assert np.array_equal(watched.numpy(), data)
    del graph, watched
    gc.collect()
    stream.synchronize()
    gc.collect()
    pool.stats()


@pytest.mark.parametrize("strided", [False, True])
def test_captures_refuse_pageable_memory(
    backend: Any, memcpy: Any, memory: Any, pool: Any, strided: bool
) -> None:
    """Refused by name, and the capture goes on."""
    stream = backend.streams.create()
    host = torch.zeros((10, 10), dtype=torch.uint8)
    locked = pool.empty((10, 10), torch.uint8)
    step = 2 if strided else 1
    with backend.streams.capture(stream) as graph:
        for dst, src in [(host, locked), (locked, host)]:
            with pytest.raises(StateError, match="pageable"):
                memcpy.copy_async(dst[:, ::step], src[:, ::step], stream)
        with pytest.raises(StateError, match="pageable"):
            memcpy.fill(host[:, ::step], 1, stream)
        with pytest.raises(StateError, match="copy"):
            memcpy.copy(locked, locked.clone(), stream)
        memcpy.fill(locked, 5, stream)
    graph.replay(stream)
    stream.synchronize()
    assert (locked == 5).all()


# --- what is kept, and failures -----------------------------------------------------------------


class Owner:
    pass


def test_owners_are_kept_and_released(backend: Any, memcpy: Any, memory: Any) -> None:
    stream = backend.streams.create()
    gate = threading.Event()
    stream.add_callback(lambda: gate.wait(20))
    owner = Owner()
    ghost = weakref.ref(owner)
    src, dst = memory.empty(100, owner=owner), memory.empty(100)
    memcpy.copy_async(dst, src, stream)
    del owner, src
    gc.collect()
    assert ghost() is not None
    gate.set()
    stream.synchronize()
    gc.collect()
    assert ghost() is None


def test_pinned_blocks_are_not_reused_under_a_copy(
    backend: Any, memcpy: Any, pool: Any, memory: Any
) -> None:
    """The block of a dropped tensor waits for the copy; the tensor itself is not held."""
    stream = backend.streams.create()
    gate = threading.Event()
    stream.add_callback(lambda: gate.wait(20))
    data = random_bytes(MIB)
    tensor, device = pinned(pool, data), memory.empty(MIB)
    pointer = tensor.data_ptr()
    memcpy.copy_async(device, tensor, stream)
    del tensor
    gc.collect()
    others = [pool.empty(MIB, torch.uint8).fill_(0) for _ in range(3)]
    assert pointer not in [other.data_ptr() for other in others]
    gate.set()
    stream.synchronize()
    assert np.array_equal(contents(device), data)
    assert pointer in [pool.empty(MIB, torch.uint8).data_ptr() for _ in range(1)]


def test_blocks_freed_in_a_capture(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """No event can be recorded then: the block waits until the capture has ended, which it does
    not disturb."""
    stream = backend.streams.create()
    tensor, device = pinned(pool, random_bytes(MIB)), memory.empty(MIB)
    pointer = tensor.data_ptr()
    memcpy.copy_async(device, tensor, stream)
    with backend.streams.capture(stream) as graph:
        memcpy.fill(device, 3, stream)
        del tensor
        gc.collect()
        others = [pool.empty(MIB, torch.uint8) for _ in range(3)]
        assert pointer not in [other.data_ptr() for other in others]
    graph.replay(stream)
    stream.synchronize()
    assert (contents(device) == 3).all()
    assert pool.empty(MIB, torch.uint8).data_ptr() not in (0, *[o.data_ptr() for o in others])
    pool.trim()
    assert pointer not in [other.data_ptr() for other in others]


def test_events_are_shared(backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any) -> None:
    """Copies of pinned memory record no event; those with owners one for many of them."""
    stream = backend.streams.create()
    tensor, device = pinned(pool, random_bytes(100)), memory.empty(100)
    bare = MemRef(device.pointer, 100, device.device)
    before = driver.calls("cuEventRecord")
    for _ in range(64):
        memcpy.copy_async(bare, tensor, stream)
    assert driver.calls("cuEventRecord") == before
    owners = [Owner() for _ in range(64)]
    ghosts = [weakref.ref(owner) for owner in owners]
    for owner in owners:
        memcpy.copy_async(MemRef(device.pointer, 100, device.device, owner=owner), tensor, stream)
    assert driver.calls("cuEventRecord") <= before + 4
    del owner, owners
    stream.synchronize()
    gc.collect()
    assert not any(ghost() is not None for ghost in ghosts)


def test_a_failing_driver_is_said(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """The error names the driver's function; the next call works."""
    data = random_bytes(500)
    src, dst, locked = memory.put(data), memory.empty(500), pinned(pool, data)
    stream = backend.streams.create()
    for entry, call in [
        ("cuMemcpyAsync", lambda: memcpy.copy_async(dst, locked, stream)),
        ("cuMemsetD8Async", lambda: memcpy.fill(dst, 1, stream)),
        ("cuLaunchKernel", lambda: memcpy.copy_batch([dst], [src], stream)),
    ]:
        driver.fail(entry, 1)
        with pytest.raises(DriverError, match=entry):
            call()
        driver.mend()
        call()
    stream.synchronize()
    assert np.array_equal(contents(dst), data)


def test_memory_info(memcpy: Any) -> None:
    info = memcpy.memory_info()
    assert (info.free, info.total) == (3 << 30, 4 << 30)


def test_notes_and_capabilities(memcpy: Any) -> None:
    from accel import Capability

    for name in ("COPY", "COPY_RAW", "COPY_BATCH", "COPY_2D", "COPY_PEER", "FILL", "MEMORY_INFO"):
        assert getattr(Capability, name) in memcpy.capabilities
    assert any("pageable" in note for note in memcpy.notes)
