"""KVPool on this backend: sizes, copy-on-write, and blocks that come back when events say so."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import torch

from accel import Backend, Capability, KVPool, OutOfBlocksError
from accel.kv import PRESETS
from accel_conformance.byte_compare import assert_same_bytes, random_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Effort, Gates

COPIES = [Capability.KV_COPY_BLOCKS, Capability.STREAMS, Capability.EVENTS]
EVENTS = [Capability.STREAMS, Capability.STREAM_CALLBACK, Capability.EVENTS]

LAYERS, HEADS, DIM, BLOCK = 3, 2, 16, 4


def _pool(
    backend: Backend, blocks: int, layout: str = "vllm_nhd", dtype: torch.dtype = torch.float16
) -> KVPool:
    planes = 2 if "K" in PRESETS[layout] else 1
    nbytes = blocks * LAYERS * planes * HEADS * DIM * BLOCK * dtype.itemsize
    return KVPool(
        backend, nbytes, layers=LAYERS, heads=HEADS, head_dim=DIM, dtype=dtype, block_size=BLOCK,
        layout=layout,
    )  # fmt: skip


def _fill(backend: Backend, pool: KVPool, rng: torch.Generator) -> list[torch.Tensor]:
    """Random contents; what :func:`_contents` finds in them."""
    for tensor in pool.cache.tensors:
        tensor.copy_(random_bytes(tensor.shape, tensor.dtype, rng))
    backend.streams.default().synchronize()
    return _contents(pool, range(pool.blocks))


def _contents(pool: KVPool, blocks: Sequence[int]) -> list[torch.Tensor]:
    """The bytes of each of these blocks, over all layers and planes, on the host."""
    cache = pool.cache
    planes = [
        cache.view(la, p).cpu().contiguous().view(torch.uint8).flatten(1)
        for la in range(cache.layers)
        for p in range(cache.planes)
    ]
    return [torch.cat([plane[b] for plane in planes]) for b in blocks]


def _wait_free(pool: KVPool, blocks: int, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while pool.free != blocks and time.monotonic() < deadline:
        time.sleep(0.002)
    assert pool.free == blocks, f"{pool.free} blocks are free {seconds} s after the last work"


@case(level=2)
@pytest.mark.parametrize("layout", PRESETS)
def test_pool_sizes(backend: Backend, layout: str) -> None:
    """Bytes per token, block count and tensors follow from the budget, in every named layout."""
    planes = 2 if "K" in PRESETS[layout] else 1
    token = LAYERS * planes * HEADS * DIM * 2
    pool = KVPool(
        backend, 5 * BLOCK * token + BLOCK * token - 1, layers=LAYERS, heads=HEADS, head_dim=DIM,
        dtype=torch.bfloat16, block_size=BLOCK, layout=layout,
    )  # fmt: skip
    assert pool.bytes_per_token == token
    assert pool.blocks == pool.cache.blocks == 5
    assert pool.cache.block_size == BLOCK
    tensors = pool.cache.tensors
    assert all(t.device == backend.device for t in tensors)
    assert sum(t.numel() * t.element_size() for t in tensors) == 5 * BLOCK * token


@case(level=2, needs=[Capability.MEMORY_INFO])
def test_pool_share(backend: Backend) -> None:
    """A share of what is free gives about that many bytes."""
    free = backend.memcpy.memory_info().free
    pool = KVPool(
        backend, 0.005, layers=LAYERS, heads=HEADS, head_dim=DIM, dtype=torch.bfloat16,
        block_size=BLOCK,
    )  # fmt: skip
    assert 0.5 * free < pool.nbytes / 0.005 < 1.5 * free


@case(level=2, needs=COPIES)
@pytest.mark.parametrize("layout", ["vllm_nhd", "flashinfer_hnd", "sglang_page_first", "mla"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.int8], ids=["float16", "int8"])
def test_pool_copy_on_write(
    backend: Backend, rng: torch.Generator, layout: str, dtype: torch.dtype
) -> None:
    """Shared blocks are copied whole, others stay, and no other block changes."""
    stream = backend.streams.create()
    pool = _pool(backend, 40, layout, dtype)
    before = _fill(backend, pool, rng)
    blocks = pool.allocate(24)
    mixed = [blocks[i] for i in torch.randperm(24, generator=rng)]
    shared = mixed[:15]
    pool.retain(shared)
    result = pool.make_writable(mixed, stream=stream)
    stream.synchronize()
    after = _contents(pool, range(40))
    assert len(set(result) | set(blocks)) == 24 + 15, "a copy went to a block that was in use"
    assert result[15:] == mixed[15:]
    expected = list(before)
    for old, new in zip(mixed, result, strict=True):
        expected[new] = before[old]
    for block in range(40):
        assert_same_bytes(after[block], expected[block], f"block {block}")
    _wait_free(pool, 1)
    pool.release(result)
    pool.release(shared)
    assert (pool.free, pool.used, pool.pending) == (40, 0, 0)


@case(level=2, needs=COPIES)
def test_pool_without_room(backend: Backend, rng: torch.Generator) -> None:
    """Copies that do not all fit are refused with the figures, and nothing has changed."""
    pool = _pool(backend, 10)
    before = _fill(backend, pool, rng)
    blocks = pool.allocate(7)
    pool.retain(blocks)
    with pytest.raises(OutOfBlocksError) as caught:
        pool.make_writable(blocks)
    assert (caught.value.wanted, caught.value.free, caught.value.total) == (7, 3, 10)
    assert caught.value.cure
    assert [pool.references(b) for b in range(10)] == [2] * 7 + [0] * 3
    backend.streams.synchronize()
    for block, found in enumerate(_contents(pool, range(10))):
        assert_same_bytes(found, before[block], f"block {block} after the refused call")


@case(level=2, needs=EVENTS)
@pytest.mark.parametrize("how", ["stream", "event"])
def test_pool_release_after(backend: Backend, gate: Gates, how: str) -> None:
    """Blocks released after queued work come back when it is done, and the call does not wait."""
    stream = backend.streams.create()
    pool = _pool(backend, 12)
    blocks = pool.allocate(12)
    with gate(stream) as held:
        pool.release(blocks[:5])
        pool.release(blocks[5:], after=stream if how == "stream" else stream.record_event())
        assert (pool.free, pool.used, pool.pending) == (5, 0, 7)
        with pytest.raises(OutOfBlocksError) as caught:
            pool.allocate(6)
        assert caught.value.pending == 7
        assert not held.is_open
    stream.synchronize()
    assert sorted(pool.allocate(12)) == list(range(12))


@case(level=2, needs=[*EVENTS, Capability.KV_COPY_BLOCKS, Capability.COPY])
def test_pool_copy_under_way(backend: Backend, gate: Gates, rng: torch.Generator) -> None:
    """A queued copy reads its source in stream order, and until then nobody else gets it."""
    stream, other = backend.streams.create(), backend.streams.create()
    pool = _pool(backend, 6)
    _fill(backend, pool, rng)
    blocks = pool.allocate(2)
    pool.retain(blocks)
    with gate(stream):
        before = _write(backend, pool, blocks, rng, stream)
        mine = pool.make_writable(blocks, stream=stream)
        pool.release(blocks)  # the other owner goes, without ever having written
        assert set(pool.allocate(2)).isdisjoint([*blocks, *mine])
        assert (pool.free, pool.used, pool.pending) == (0, 4, 2)
    stream.synchronize()
    # Whoever gets the sources now may write them at once.
    taken = pool.allocate(2)
    assert sorted(taken) == sorted(blocks)
    for layer in range(LAYERS):
        for plane in range(2):
            for block in taken:
                view = pool.cache.view(layer, plane)[block]
                backend.memcpy.copy_async(view, torch.zeros_like(view), other)
    backend.streams.synchronize()
    for old, new, found in zip(before, mine, _contents(pool, mine), strict=True):
        assert_same_bytes(found, old, f"block {new}, a copy")


@case(level=2, needs=COPIES)
def test_pool_random_use(backend: Backend, rng: torch.Generator, seed: int, effort: Effort) -> None:
    """Hundreds of sequences that start, fork, are rewritten and end, with every byte checked."""
    import random

    draw = random.Random(seed)
    stream = backend.streams.create()
    pool = _pool(backend, 48)
    live: list[tuple[list[int], list[torch.Tensor]]] = []
    for _ in range(effort(250, 80)):
        action = draw.choice(["begin", "begin", "fork", "write", "end"])
        if action == "begin" and pool.free:
            blocks = pool.allocate(draw.randint(1, min(6, pool.free)))
            live.append((blocks, _write(backend, pool, blocks, rng, stream)))
        elif action == "fork" and live:
            blocks, tags = draw.choice(live)
            cut = draw.randint(0, len(blocks))
            pool.retain(blocks[:cut])
            live.append((blocks[:cut], tags[:cut]))
        elif action == "write" and live:
            i = draw.randrange(len(live))
            blocks, tags = live[i]
            try:
                blocks = pool.make_writable(blocks, stream=stream)
            except OutOfBlocksError:
                continue
            keep = draw.randint(0, len(blocks))
            new = _write(backend, pool, blocks[keep:], rng, stream)
            live[i] = (blocks, tags[:keep] + new)
        elif action == "end" and live:
            blocks, tags = live.pop(draw.randrange(len(live)))
            stream.synchronize()
            for tag, found in zip(tags, _contents(pool, blocks), strict=True):
                assert_same_bytes(found, tag, f"a block of a sequence of {len(blocks)}")
            pool.release(blocks, after=stream)
    stream.synchronize()
    for blocks, tags in live:
        for tag, found in zip(tags, _contents(pool, blocks), strict=True):
            assert_same_bytes(found, tag, "a block at the end")
        pool.release(blocks)
    assert (pool.free, pool.used, pool.pending) == (48, 0, 0)


def _write(
    backend: Backend, pool: KVPool, blocks: list[int], rng: torch.Generator, stream: object
) -> list[torch.Tensor]:
    """New random contents in stream order; each block's bytes, as :func:`_contents` gives them."""
    cache = pool.cache
    written = []
    for block in blocks:
        parts = []
        for layer in range(cache.layers):
            for plane in range(cache.planes):
                view = cache.view(layer, plane)[block]
                host = random_bytes(view.shape, view.dtype, rng)
                # By way of the device: a copy from pageable memory may wait for the stream.
                source = host.to(backend.device)
                backend.memcpy.copy_async(view, source, stream)  # type: ignore[arg-type]
                parts.append(host.view(torch.uint8).flatten())
        written.append(torch.cat(parts))
    return written
