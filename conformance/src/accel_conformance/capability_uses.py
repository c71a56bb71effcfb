"""The most trivial use of every capability, checked for its effect.

Each function returns when the capability worked, raises AssertionError when the call returned
without doing anything, and lets CapabilityError through.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import torch

from accel import Backend, Capability, KVCache, MemRef
from accel.kv import QuantSpec, Rope

__all__ = ["USES"]

_SIZE = 64


def _bytes(backend: Backend, value: int | None = None) -> torch.Tensor:
    base = torch.arange(_SIZE, dtype=torch.uint8)
    if value is not None:
        base.fill_(value)
    return base.to(backend.device)


def _finish(backend: Backend) -> None:
    if Capability.STREAMS in backend.capabilities:
        backend.streams.synchronize()


def _is(value: object, what: str) -> Any:
    assert value is not None, f"{what} returned None"
    return value


def _streams(backend: Backend) -> None:
    stream = _is(backend.streams.create(), "streams.create()")
    stream.synchronize()
    assert stream.query() is True


def _priority(backend: Backend) -> None:
    least, greatest = _is(backend.streams.priority_range(), "streams.priority_range()")
    if (least, greatest) == (0, 0):
        # What the contract has a backend without priorities say.
        raise backend.streams.unsupported(Capability.STREAM_PRIORITY)
    assert backend.streams.create(priority=greatest).priority == greatest


def _callback(backend: Backend) -> None:
    ran: list[int] = []
    stream = backend.streams.create()
    stream.add_callback(lambda: ran.append(1))
    stream.synchronize()
    assert ran == [1], "add_callback returned, but the callback never ran"


def _stream_handle(backend: Backend) -> None:
    stream = backend.streams.create()
    adopted = _is(backend.streams.from_handle(stream.handle), "streams.from_handle()")
    assert adopted.handle == stream.handle


def _stream_torch(backend: Backend) -> None:
    stream = backend.streams.create()
    theirs = _is(stream.as_torch(), "stream.as_torch()")
    assert _is(backend.streams.from_torch(theirs), "from_torch()").handle == stream.handle


def _stream_graphs(backend: Backend) -> None:
    stream, ran = backend.streams.create(), list[int]()
    with backend.streams.capture(stream) as graph:
        if Capability.STREAM_CALLBACK in backend.capabilities:
            stream.add_callback(lambda: ran.append(1))
        else:
            ran.append(1)
    _is(graph, "streams.capture()").replay(stream)
    stream.synchronize()
    assert ran == [1], "the graph was replayed, but what it captured did not run once"


def _events(backend: Backend) -> None:
    event = _is(backend.events.create(), "events.create()")
    event.record()
    event.synchronize()
    assert event.query() is True


def _timing(backend: Backend) -> None:
    start, end = (_is(backend.events.create(timing=True), "create(timing=True)") for _ in range(2))
    for event in (start, end):
        event.record()
    end.synchronize()
    assert _is(start.elapsed_time(end), "elapsed_time()") >= 0.0


def _ipc(backend: Backend) -> None:
    event = _is(backend.events.create(interprocess=True), "create(interprocess=True)")
    assert _is(event.ipc_handle(), "ipc_handle()"), "ipc_handle() returned no bytes"


def _pinned(backend: Backend) -> None:
    buffer = _is(backend.pinned.allocate(_SIZE), "pinned.allocate()")
    assert buffer.tensor().fill_(7).eq(7).all()
    _is(backend.pinned.stats(), "pinned.stats()")


def _register(backend: Backend) -> None:
    memory = torch.zeros(8192, dtype=torch.uint8)
    backend.pinned.register(memory)
    assert backend.pinned.is_pinned(memory), "register returned, but the memory is not pinned"
    backend.pinned.unregister(memory)


def _numa(backend: Backend) -> None:
    buffer = _is(backend.pinned.allocate(_SIZE, numa_node=0), "allocate(numa_node=0)")
    assert buffer.numa_node == 0, "allocate(numa_node=0) bound the memory to no node"


def _huge_pages(backend: Backend) -> None:
    buffer = _is(backend.pinned.allocate(2 << 20, huge_pages=True), "allocate(huge_pages=True)")
    if not buffer.huge_pages and Capability.PINNED_HUGE_PAGES not in backend.capabilities:
        # "without a grant, normal pages": a pool without huge pages may do the same.
        raise backend.pinned.unsupported(Capability.PINNED_HUGE_PAGES)


def _shared(backend: Backend) -> None:
    buffer = _is(backend.pinned.create_shared(_SIZE), "pinned.create_shared()")
    assert buffer.handle, "a shared segment without a handle"
    buffer.free()


def _copy(backend: Backend) -> None:
    target = _bytes(backend, 0)
    backend.memcpy.copy(target, _bytes(backend))
    assert torch.equal(target, _bytes(backend)), "copy returned, but copied nothing"


def _raw(backend: Backend) -> None:
    source, target = _bytes(backend), _bytes(backend, 0)
    dst, src = (MemRef(t.data_ptr(), _SIZE, t.device, owner=t) for t in (target, source))
    backend.memcpy.copy(dst, src)
    assert torch.equal(target, source), "copy of raw references returned, but copied nothing"


def _batch(backend: Backend) -> None:
    source, target = _bytes(backend), _bytes(backend, 0)
    backend.memcpy.copy_batch([target[:32], target[32:]], [source[:32], source[32:]])
    _finish(backend)
    assert torch.equal(target, source), "copy_batch returned, but copied nothing"


def _rows(backend: Backend) -> None:
    source, target = _bytes(backend), _bytes(backend, 0)
    backend.memcpy.copy_2d(target, source, width=8, height=8, dst_pitch=8, src_pitch=8)
    _finish(backend)
    assert torch.equal(target, source), "copy_2d returned, but copied nothing"


def _peer(backend: Backend) -> None:
    index = (backend.device.index or 0) + 1
    if backend.probe.device_count < 2:
        raise backend.memcpy.unsupported(Capability.COPY_PEER)
    other = torch.device(backend.device.type, index % backend.probe.device_count)
    target = torch.zeros(_SIZE, dtype=torch.uint8, device=other)
    target.cpu()  # the zeros are the other device's work, which the copy does not wait for
    backend.memcpy.copy(target, _bytes(backend))
    assert torch.equal(target.cpu(), _bytes(backend).cpu()), "the peer got nothing"


def _fill(backend: Backend) -> None:
    target = _bytes(backend)
    backend.memcpy.fill(target, 9)
    _finish(backend)
    assert target.eq(9).all(), "fill returned, but filled nothing"


def _memory_info(backend: Backend) -> None:
    info = _is(backend.memcpy.memory_info(), "memcpy.memory_info()")
    assert 0 <= info.free <= info.total, f"{info.free} bytes free of {info.total}"
    assert info.total > 0, "a device without memory"


def _channels(backend: Backend) -> None:
    assert _is(backend.collectives.channels(), "channels()"), "no channel"


def _communicator(capability: Capability) -> Callable[[Backend], None]:
    """What needs a communicator is used by L3; here, only that the claim stands on one."""

    def use(backend: Backend) -> None:
        if Capability.COLLECTIVES in backend.capabilities:
            _channels(backend)
            if capability not in backend.capabilities:
                raise backend.collectives.unsupported(capability)
            return
        # Without a world a backend that has collectives raises StateError.
        world = {k: os.environ.pop(k) for k in ("RANK", "WORLD_SIZE") if k in os.environ}
        try:
            _is(backend.collectives.communicator(), "communicator()")
        finally:
            os.environ.update(world)

    return use


def _caches(backend: Backend) -> tuple[KVCache, KVCache]:
    caches = [
        KVCache.allocate(
            "vllm_nhd", layers=1, blocks=4, block_size=4, heads=2, head_dim=8,
            dtype=torch.float16, device=backend.device,
        )
        for _ in range(2)
    ]  # fmt: skip
    for value, cache in enumerate(caches, 1):
        for tensor in cache.tensors:
            tensor.fill_(value)
    return caches[0], caches[1]


def _kv(call: Callable[[Backend, KVCache, KVCache], object], target: int) -> Callable[..., None]:
    def use(backend: Backend) -> None:
        caches = _caches(backend)
        before = [t.clone() for t in caches[target].tensors]
        call(backend, *caches)
        _finish(backend)
        same = [torch.equal(a, b) for a, b in zip(before, caches[target].tensors, strict=True)]
        assert not all(same), "the call returned, but wrote nothing"

    return use


def _index(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def _write(backend: Backend, cache: KVCache, other: KVCache) -> None:
    rows = torch.full((1, 2, 8), 5.0, dtype=torch.float16, device=backend.device)
    backend.kv.write(cache, 0, rows, rows.clone(), _index(3))


def _copy_blocks(backend: Backend, cache: KVCache, other: KVCache) -> None:
    for tensor in cache.tensors:
        tensor.copy_(torch.arange(tensor.numel(), dtype=torch.float32).reshape(tensor.shape))
    backend.kv.copy_blocks(cache, torch.tensor([[0, 2]]))


def _values(backend: Backend, *shape: int) -> torch.Tensor:
    return torch.linspace(-1.0, 1.0, math.prod(shape), device=backend.device).reshape(shape)


def _write_quantized(backend: Backend) -> None:
    tensors = torch.zeros(2, 2, 4, 2, 8, dtype=torch.float8_e4m3fn, device=backend.device)
    cache = KVCache([tensors], "vllm_nhd")
    rows = torch.full((1, 2, 8), 3.0, device=backend.device)
    backend.kv.write(cache, 0, rows, rows.clone(), _index(3), key_scale=2.0, value_scale=1.0)
    _finish(backend)
    assert float(tensors[0, 0, 3, 0, 0].cpu()) == 1.5, "the call returned, but wrote no codes"


def _convert(backend: Backend) -> None:
    halves = torch.full((2, 2, 4, 2, 8), 3.0, dtype=torch.float16, device=backend.device)
    codes = torch.zeros_like(halves, dtype=torch.int8)
    pair = (KVCache([halves], "vllm_nhd"), KVCache([codes], "vllm_nhd"))
    backend.kv.convert(*pair, dst_scale=0.5)
    _finish(backend)
    assert (codes.cpu() == 6).all(), "the call returned, but converted nothing"


def _quantize(backend: Backend) -> None:
    x, spec = _values(backend, 4, 8), QuantSpec("int8", "token")
    quantized = spec.allocate(x.shape, backend.device)
    out = torch.zeros_like(x)
    backend.kv.quantize(x, *quantized, spec=spec)
    backend.kv.dequantize(*quantized, out, spec=spec)
    _finish(backend)
    assert torch.allclose(out.cpu(), x.cpu(), atol=0.01), "not the values that were quantised"


def _rope(backend: Backend) -> None:
    keys = _values(backend, 4, 2, 8)
    before = keys.clone()
    backend.kv.rope_reposition(keys, _index(0, 1, 2, 3), _index(5, 6, 7, 8), Rope())
    _finish(backend)
    assert not torch.equal(keys, before), "the call returned, but rotated nothing"


def _upload(backend: Backend) -> None:
    dst = torch.zeros(8, dtype=torch.int32, device=backend.device)
    backend.kv.upload_small(dst, torch.arange(8, dtype=torch.int32))
    _finish(backend)
    assert dst.cpu().tolist() == list(range(8)), "the call returned, but uploaded nothing"


def _entropy(backend: Backend) -> None:
    symbols = torch.arange(_SIZE, dtype=torch.uint8).remainder(5).reshape(1, 16, 4)
    there = symbols.to(backend.device)
    model = _is(backend.kv.entropy_model(there, 5), "kv.entropy_model()")
    data = _is(backend.kv.encode(there, model), "kv.encode()")
    out = torch.full_like(there, 9)
    backend.kv.decode(data, model, out)
    _finish(backend)
    assert torch.equal(out.cpu(), symbols), "decode returned, but decoded nothing"


#: Capability to its trivial use. Every capability has one.
USES: dict[Capability, Callable[[Backend], None]] = {
    Capability.STREAMS: _streams,
    Capability.STREAM_PRIORITY: _priority,
    Capability.STREAM_CALLBACK: _callback,
    Capability.STREAM_HANDLE: _stream_handle,
    Capability.STREAM_TORCH: _stream_torch,
    Capability.STREAM_GRAPHS: _stream_graphs,
    Capability.EVENTS: _events,
    Capability.EVENT_TIMING: _timing,
    Capability.EVENT_IPC: _ipc,
    Capability.PINNED: _pinned,
    Capability.PINNED_REGISTER: _register,
    Capability.PINNED_NUMA: _numa,
    Capability.PINNED_HUGE_PAGES: _huge_pages,
    Capability.PINNED_SHARED: _shared,
    Capability.COPY: _copy,
    Capability.COPY_RAW: _raw,
    Capability.COPY_BATCH: _batch,
    Capability.COPY_2D: _rows,
    Capability.COPY_PEER: _peer,
    Capability.FILL: _fill,
    Capability.MEMORY_INFO: _memory_info,
    Capability.COLLECTIVES: _channels,
    Capability.COLLECTIVE_TIMEOUT: _communicator(Capability.COLLECTIVE_TIMEOUT),
    Capability.P2P: _communicator(Capability.P2P),
    Capability.KV_TRANSFER: _kv(
        lambda b, src, dst: b.kv.transfer(src, dst, _index(1), _index(2)), 1
    ),
    Capability.KV_TRANSFER_BLOCKS: _kv(
        lambda b, src, dst: b.kv.transfer(src, dst, _index(1), _index(2), grain="block"), 1
    ),
    Capability.KV_WRITE: _kv(_write, 0),
    Capability.KV_COPY_BLOCKS: _kv(_copy_blocks, 0),
    Capability.KV_SWAP_BLOCKS: _kv(
        lambda b, src, dst: b.kv.swap_blocks(src, dst, torch.tensor([[0, 1]])), 1
    ),
    Capability.KV_GATHER: _kv(
        lambda b, src, dst: b.kv.gather(src, dst, torch.tensor([[2]]), _index(4)), 1
    ),
    Capability.KV_WRITE_QUANTIZED: _write_quantized,
    Capability.KV_CONVERT: _convert,
    Capability.KV_QUANTIZE: _quantize,
    Capability.KV_ROPE: _rope,
    Capability.KV_UPLOAD: _upload,
    Capability.KV_ENTROPY: _entropy,
}
