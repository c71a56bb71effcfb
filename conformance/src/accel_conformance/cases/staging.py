"""HostStaging on this backend: any tensor, to the host and back, right in stream order."""

from __future__ import annotations

import ctypes
import gc
import random
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from accel import Backend, Capability, HostStaging
from accel_conformance.byte_compare import assert_same_bytes, host_copy, random_bytes
from accel_conformance.case import case, needs
from accel_conformance.fixtures import Effort, Gates, Guards, RandomTensor
from accel_conformance.guards import Memory
from accel_conformance.strided_views import DTYPES, VIEWS, make_view

BASE = [Capability.STREAMS, Capability.EVENTS, Capability.COPY]
GATED = [*BASE, Capability.STREAM_CALLBACK]
RING = needs(Capability.PINNED, Capability.STREAM_CALLBACK)

#: As it chooses by itself (on a CPU one hop, on a device through the ring), and the ring always.
WAYS = [pytest.param(True, id="chosen"), pytest.param(False, id="ring", marks=RING)]
CHUNK = 8192
KIB = 1 << 10
#: None, within a buffer, at its edges and those of the ring of two, and far beyond.
SIZES = [0, 1, 4095, 8191, 8192, 8193, 16384, 16385, 24577, 300 * KIB + 3]


@pytest.fixture(params=WAYS)
def staging(request: pytest.FixtureRequest, backend: Backend) -> Iterator[HostStaging]:
    """A small ring, so that everything wraps."""
    with HostStaging(backend, chunk_bytes=CHUNK, direct=request.param) as made:
        yield made


@case(level=1, needs=BASE)
@pytest.mark.parametrize("memory", ["host", pytest.param("pinned", marks=RING)])
def test_staging_sizes(
    backend: Backend,
    staging: HostStaging,
    guarded: Guards,
    random_tensor: RandomTensor,
    memory: Memory,
) -> None:
    """Every size to pageable and pinned memory and back, and nothing beside it is written."""
    for nbytes in SIZES:
        x, host, back = random_tensor(nbytes), guarded(nbytes, memory=memory), guarded(nbytes)
        assert staging.copy_to_host_async(x, host).result() is host
        assert_same_bytes(host, x, f"{nbytes} bytes to the host")
        staging.copy_to_device_async(host, back).wait()
        assert_same_bytes(back, x, f"{nbytes} bytes back")


@case(level=1, needs=BASE)
def test_staging_new_memory(staging: HostStaging, random_tensor: RandomTensor) -> None:
    """Without ``out`` the result is a new host tensor of the same shape and dtype."""
    for shape, dtype in (((), torch.float32), ((0, 3), torch.int8), ((70, 41), torch.bfloat16)):
        x = random_tensor(shape, dtype)
        copy = staging.copy_to_host_async(x)
        got = copy.result()
        assert (got.shape, got.dtype, got.device.type) == (x.shape, x.dtype, "cpu")
        assert copy.query()
        assert_same_bytes(got, x)


@case(level=1, needs=BASE)
@pytest.mark.parametrize("view", VIEWS)
def test_staging_strides(
    backend: Backend, staging: HostStaging, guarded: Guards, rng: torch.Generator, view: str
) -> None:
    """Views of every kind on either side, for all dtypes, through a ring of a few of their rows."""
    elements = VIEWS[view][0]
    with HostStaging(backend, chunk_bytes=4096, direct=staging.nbytes == 0) as other:
        for dtype in (*DTYPES, torch.bool, torch.complex64, torch.float64):
            # A hundred of them in a row are larger than the ring.
            whole = random_bytes((100, elements), dtype, rng)
            x = whole.to(backend.device)
            outs = guarded((100, elements), dtype, memory="host")
            backs = guarded((100, elements), dtype)
            source, target, back = (_many(t, view) for t in (x, outs, backs))
            other.copy_to_host_async(source, target).wait()
            assert_same_bytes(target, _many(whole, view), f"{dtype} to the host")
            other.copy_to_device_async(target, back).wait()
            assert_same_bytes(back, _many(whole, view), f"{dtype} back")


def _many(base: torch.Tensor, view: str) -> torch.Tensor:
    """``[100, 6, 5, 4]``: the view of each row."""
    one = make_view(base[0], view)
    offset = one.storage_offset()
    return base.as_strided((100, *one.shape), (base.stride(0), *one.stride()), offset)


@case(level=1, needs=GATED)
def test_staging_overwritten_source(
    backend: Backend,
    staging: HostStaging,
    gate: Gates,
    guarded: Guards,
    random_tensor: RandomTensor,
) -> None:
    """What comes before on the stream is copied; what overwrites it right after is not."""
    stream = backend.streams.create()
    values = [random_tensor(100 * KIB) for _ in range(4)]
    x = torch.zeros_like(values[0])
    backend.streams.default().synchronize()
    copies = []
    with gate(stream) as held:
        for value in values:
            backend.memcpy.copy_async(x, value, stream)
            copies.append(staging.copy_to_host_async(x, stream=stream))
        backend.memcpy.copy_async(x, torch.zeros_like(x), stream)
        if held.exact:
            assert not any(copy.query() for copy in copies)
            assert not held.is_open
    for copy, value in zip(copies, values, strict=True):
        assert_same_bytes(copy.result(), value)


@case(level=1, needs=GATED)
def test_staging_back_in_order(
    backend: Backend, staging: HostStaging, gate: Gates, random_tensor: RandomTensor
) -> None:
    """A copy to the device comes after what reads its target, and before what follows."""
    stream = backend.streams.create()
    first = random_tensor(100 * KIB)
    hosts = [random_tensor(100 * KIB, device="cpu") for _ in range(3)]
    x = first.clone()
    seen = [torch.zeros_like(x) for _ in range(4)]
    backend.streams.default().synchronize()
    with gate(stream):
        backend.memcpy.copy_async(seen[0], x, stream)
        copies = []
        for host, copy in zip(hosts, seen[1:], strict=True):
            copies.append(staging.copy_to_device_async(host, x, stream))
            backend.memcpy.copy_async(copy, x, stream)
    stream.synchronize()
    assert all(copy.query() for copy in copies), "the stream went on before the copy was done"
    for expected, copy in zip([first, *hosts], seen, strict=True):
        assert_same_bytes(copy, expected)


@case(level=1, needs=GATED)
def test_staging_beside(
    backend: Backend, staging: HostStaging, gate: Gates, random_tensor: RandomTensor
) -> None:
    """With fence=False the stream goes on beside the copy, until ``fence`` orders them."""
    stream = backend.streams.create()
    x, zeros = random_tensor(100 * KIB), torch.zeros(100 * KIB, dtype=torch.uint8)
    expected = host_copy(x)
    ran: list[bool] = []
    slow = backend.streams.create()
    with gate(slow):
        # The ring is held up by another stream's copy: with a fence this stream would be, too.
        held = staging.copy_to_host_async(zeros.to(backend.device), stream=slow)
        copy = staging.copy_to_host_async(x, stream=stream, fence=False)
        stream.add_callback(lambda: ran.append(True))
        deadline = time.monotonic() + 10
        while not ran and time.monotonic() < deadline:
            time.sleep(0.001)
        assert ran, "the stream waited for a copy that it was not fenced with"
        copy.fence(stream)
        backend.memcpy.copy_async(x, zeros.to(backend.device), stream)
    assert_same_bytes(copy.result(), expected)
    assert_same_bytes(held.result(), zeros)
    stream.synchronize()


@case(level=1, needs=GATED)
def test_staging_does_not_block(
    backend: Backend, staging: HostStaging, gate: Gates, random_tensor: RandomTensor
) -> None:
    """On a held stream all calls return at once, also with tensors far larger than the ring."""
    stream = backend.streams.create()
    # Sixteen rings: a driver whose queue is full (of about a thousand calls) makes callers wait.
    nbytes = 32 * CHUNK
    x = random_tensor(nbytes)
    host, back = torch.zeros(nbytes, dtype=torch.uint8), torch.zeros_like(x)
    with gate(stream) as held:
        out = staging.copy_to_host_async(x, host, stream)
        into = staging.copy_to_device_async(host, back, stream)
        assert not out.query()
        assert not into.query()
        assert not held.is_open
        # Read behind torch's back: to a sanitizer this look would rightly be a race.
        before = ctypes.string_at(host.data_ptr(), host.nbytes)
    assert before.count(0) == host.nbytes, "the host was written before the stream came to it"
    assert_same_bytes(out.result(), x)
    into.wait()
    stream.synchronize()


@case(level=1, needs=GATED)
def test_staging_wait_blocks(
    backend: Backend, staging: HostStaging, gate: Gates, random_tensor: RandomTensor
) -> None:
    """``wait`` returns when the bytes are there, and not before."""
    stream = backend.streams.create()
    x, back = random_tensor(50 * KIB), torch.zeros(50 * KIB, dtype=torch.uint8)
    with gate(stream) as held:
        copies = [
            staging.copy_to_host_async(x, stream=stream),
            staging.copy_to_device_async(back, torch.empty_like(x), stream),
        ]
        timer = threading.Timer(0.05, held.open)
        timer.start()
        for copy in copies:
            copy.wait()
            assert held.is_open, "wait() returned while the stream was held"
            assert copy.query()
        timer.join()
    assert_same_bytes(copies[0].result(), x)


@case(level=1, needs=[*GATED, Capability.PINNED])
def test_staging_memory(backend: Backend, random_tensor: RandomTensor) -> None:
    """Pinned memory in use is the ring's, however much is on its way, and is given back."""
    gc.collect()
    backend.streams.synchronize()
    before = backend.pinned.stats().in_use
    stream = backend.streams.create()
    with HostStaging(backend, chunk_bytes=CHUNK, buffers=3, direct=False) as staging:
        assert staging.nbytes == 3 * CHUNK
        x = random_tensor(2 << 20)
        copies = [staging.copy_to_host_async(x, stream=stream) for _ in range(4)]
        assert backend.pinned.stats().in_use - before <= 2 * staging.nbytes
        for copy in copies:
            assert_same_bytes(copy.result(), x)
        assert backend.pinned.stats().in_use - before <= 2 * staging.nbytes
    del staging, copy, copies
    backend.streams.synchronize()
    gc.collect()
    assert backend.pinned.stats().in_use == before, "pinned memory was not given back"


@case(level=1, needs=GATED)
def test_staging_dropped_operands(
    backend: Backend, staging: HostStaging, gate: Gates, random_tensor: RandomTensor
) -> None:
    """Sources and targets that the caller drops live until the copy is done."""
    stream = backend.streams.create()
    data = random_tensor(200 * KIB)
    out = torch.zeros(200 * KIB, dtype=torch.uint8)
    with gate(stream):
        x = data.clone()
        backend.streams.default().synchronize()
        staging.copy_to_host_async(x, out, stream)
        last = staging.copy_to_host_async(x, stream=stream)
        del x
        gc.collect()
        junk = [torch.full_like(data, 0x77) for _ in range(4)]
    assert_same_bytes(last.result(), data)
    assert_same_bytes(out, data)
    assert len(junk) == 4


@case(level=4, needs=GATED, seconds=300)
def test_staging_random(
    backend: Backend, staging: HostStaging, rng: torch.Generator, seed: int, effort: Effort
) -> None:
    """Random copies on three streams, overwriting as they go, with every byte checked."""
    draw = random.Random(seed)
    streams = [backend.streams.create() for _ in range(3)]
    values = [random_bytes((60_000,), torch.uint8, rng) for _ in range(6)]
    at = [0, 0, 0]
    tensors = [values[0].clone().to(backend.device) for _ in streams]
    pending = []
    for i in range(effort(400, 120)):
        k = draw.randrange(3)
        stream, x = streams[k], tensors[k]
        if draw.random() < 0.4:
            at[k] = draw.randrange(len(values))
            staging.copy_to_device_async(values[at[k]], x, stream)
        else:
            start = draw.randrange(60_000)
            end = draw.randrange(start, 60_001)
            copy = staging.copy_to_host_async(x[start:end], stream=stream)
            pending.append((copy, values[at[k]][start:end]))
        if i % 40 == 39:
            draw.shuffle(pending)
            for copy, expected in pending:
                assert_same_bytes(copy.result(), expected)
            pending.clear()
    for copy, expected in pending:
        assert_same_bytes(copy.result(), expected)
    for k, stream in enumerate(streams):
        stream.synchronize()
        assert_same_bytes(tensors[k], values[at[k]])
