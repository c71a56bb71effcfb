"""Copies on the fake driver: where memory is, and which way it takes."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim.device_memory import contents, pinned, random_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel import (
    MemRef,
)
from accel_cuda.errors import DriverError

HOST = torch.device("cpu")
MIB = 1 << 20
SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


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
