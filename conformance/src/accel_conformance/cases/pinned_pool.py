"""Pinned memory: the pool, its statistics and its bound."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from accel import (
    Backend,
    Capability,
    FreedError,
    OutOfMemoryError,
    PinnedMemory,
    SizeError,
    StateError,
)
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import RandomTensor

PINNED = [Capability.PINNED]
MIB = 1 << 20


@pytest.fixture
def pool(backend: Backend) -> Iterator[PinnedMemory]:
    """The pool, its bound put back afterwards."""
    if Capability.PINNED not in backend.capabilities:
        pytest.skip(f"missing capability {Capability.PINNED}")
    gc.collect()
    limit = backend.pinned.stats().limit
    yield backend.pinned
    backend.pinned.set_limit(limit)


@case(level=1, needs=PINNED)
@pytest.mark.parametrize("nbytes", [0, 1, 15, 4095, 4096, 4097, MIB + 1, 32 * MIB])
def test_sizes(pool: PinnedMemory, random_tensor: RandomTensor, nbytes: int) -> None:
    """Blocks of any size are aligned, hold what is written, and know their size."""
    buffer = pool.allocate(nbytes)
    assert buffer.nbytes == nbytes
    assert buffer.pointer % 4096 == 0
    tensor = buffer.tensor()
    assert tensor.dtype == torch.uint8
    assert tuple(tensor.shape) == (nbytes,)
    assert tensor.device.type == "cpu"
    if nbytes:
        assert tensor.data_ptr() == buffer.pointer
    data = random_tensor(nbytes, device="cpu")
    tensor.copy_(data)
    assert_same_bytes(buffer.tensor(), data)
    assert buffer.handle == ""
    assert isinstance(buffer.pinned, bool)


@case(level=1, needs=PINNED)
def test_blocks_are_apart(pool: PinnedMemory, random_tensor: RandomTensor) -> None:
    """Blocks in use share no byte."""
    sizes = [1, 100, 4096, 5000, 65536, 70000, 100, 1, MIB]
    buffers = [pool.allocate(size) for size in sizes]
    contents = [random_tensor(size, device="cpu") for size in sizes]
    for buffer, data in zip(buffers, contents, strict=True):
        buffer.tensor().copy_(data)
    for buffer, data in zip(buffers, contents, strict=True):
        assert_same_bytes(buffer.tensor(), data)


@case(level=1, needs=PINNED)
@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float32, torch.float8_e4m3fn, torch.int8, torch.int64],
    ids=str,
)
def test_empty(pool: PinnedMemory, random_tensor: RandomTensor, dtype: torch.dtype) -> None:
    """empty gives a tensor of the shape and dtype asked for; a block gives views of it."""
    tensor = pool.empty((3, 5, 7), dtype)
    assert tensor.dtype == dtype
    assert tuple(tensor.shape) == (3, 5, 7)
    assert tensor.is_contiguous()
    data = random_tensor((3, 5, 7), dtype, device="cpu")
    tensor.copy_(data)
    assert_same_bytes(tensor, data)
    view = pool.allocate(105 * dtype.itemsize).tensor(dtype, (7, 15))
    assert view.dtype == dtype
    assert tuple(view.shape) == (7, 15)


@case(level=1, needs=PINNED)
def test_empty_defaults(pool: PinnedMemory) -> None:
    """An int is a shape of one axis; without a dtype it is torch's default one."""
    tensor = pool.empty(10)
    assert tuple(tensor.shape) == (10,)
    assert tensor.dtype == torch.get_default_dtype()
    assert tuple(pool.empty((0, 4), torch.int8).shape) == (0, 4)


@case(level=1, needs=PINNED)
def test_reuse(pool: PinnedMemory) -> None:
    """A freed block is served again without the operating system, and the statistics say so."""
    size = 3 * MIB + 12345
    pool.allocate(size).free()
    before = pool.stats()
    for _ in range(5):
        pool.allocate(size).free()
    after = pool.stats()
    assert after.allocations == before.allocations + 5
    assert after.cache_hits == before.cache_hits + 5
    assert after.cached == before.cached
    assert after.in_use == before.in_use


@case(level=1, needs=PINNED)
def test_statistics_add_up(pool: PinnedMemory) -> None:
    """in_use, cached and peak follow allocation, freeing and trimming; trim says what it gave."""
    pool.trim()
    start = pool.stats()
    buffers = [pool.allocate(size) for size in (1, 5000, MIB, 2 * MIB + 1)]
    held = pool.stats()
    assert held.in_use - start.in_use >= 1 + 5000 + MIB + 2 * MIB + 1
    assert held.allocations - start.allocations == 4
    assert held.peak_in_use >= held.in_use
    assert held.locked <= held.in_use + held.cached
    assert held.huge <= held.in_use + held.cached
    for buffer in buffers:
        buffer.free()
    freed = pool.stats()
    assert freed.in_use == start.in_use
    assert freed.in_use + freed.cached == held.in_use + held.cached, "bytes appeared or vanished"
    assert freed.peak_in_use >= held.in_use
    given_back = pool.trim()
    trimmed = pool.stats()
    assert given_back == freed.cached - trimmed.cached
    assert given_back >= held.in_use - start.in_use
    assert trimmed.in_use == start.in_use


@case(level=1, needs=PINNED)
@pytest.mark.parametrize("how", ["drop the block", "drop the tensor"])
def test_freed_when_dropped(pool: PinnedMemory, how: str) -> None:
    """A block that nothing refers to goes back to the pool by itself."""
    before = pool.stats().in_use
    keeper: object = pool.allocate(MIB)
    if how == "drop the tensor":
        keeper = pool.empty(MIB, torch.uint8)
    assert pool.stats().in_use > before
    del keeper
    gc.collect()
    assert pool.stats().in_use == before


@case(level=1, needs=PINNED)
def test_view_keeps_block(pool: PinnedMemory, random_tensor: RandomTensor) -> None:
    """A tensor over a block keeps the block, whoever drops the buffer and however it is sliced."""
    data = random_tensor(MIB, device="cpu")
    buffer = pool.allocate(MIB)
    whole = buffer.tensor()
    whole.copy_(data)
    part = whole[1000:200_000].view(-1, 8)[::3]
    del buffer, whole
    gc.collect()
    others = [pool.allocate(MIB) for _ in range(3)]
    for other in others:
        other.tensor().fill_(0xEE)
    assert_same_bytes(part, data[1000:200_000].view(-1, 8)[::3])


@case(level=1, needs=PINNED)
def test_limit(pool: PinnedMemory) -> None:
    """Beyond the bound: OutOfMemoryError with both figures, and nothing is lost by it."""
    pool.trim()
    start = pool.stats()
    limit = start.in_use + start.cached + 4 * MIB
    pool.set_limit(limit)
    assert pool.stats().limit == limit
    first = pool.allocate(2 * MIB)
    in_use = pool.stats().in_use
    with pytest.raises(OutOfMemoryError) as caught:
        pool.allocate(8 * MIB)
    said = str(caught.value)
    assert any(c.isdigit() for c in said), f"the error names no figure: {said}"
    assert str(limit) in said.replace(",", "").replace("_", ""), (
        f"the error does not name the bound of {limit} bytes: {said}"
    )
    assert pool.stats().in_use == in_use
    pool.set_limit(0)
    second = pool.allocate(8 * MIB)
    first.free()
    second.free()


@case(level=1, needs=PINNED)
def test_limit_drops_cache_first(pool: PinnedMemory) -> None:
    """Cached blocks make room before the bound is an error."""
    pool.trim()
    start = pool.stats()
    pool.set_limit(start.in_use + start.cached + 10 * MIB)
    for size in (6 * MIB, 7 * MIB, 5 * MIB, 8 * MIB):
        pool.allocate(size).free()
        now = pool.stats()
        assert now.in_use + now.cached <= now.limit


@case(level=1, needs=PINNED)
def test_sizes_refused(pool: PinnedMemory) -> None:
    """A negative size and a shape that does not fit are SizeErrors that name the argument."""
    with pytest.raises(SizeError) as caught:
        pool.allocate(-1)
    assert caught.value.argument == "nbytes"
    buffer = pool.allocate(100)
    with pytest.raises(SizeError) as caught:
        buffer.tensor(torch.float32, (26,))
    assert caught.value.argument == "shape"
    assert buffer.tensor(torch.float32, (25,)).numel() == 25


@case(level=1, needs=PINNED)
def test_freed_refused(pool: PinnedMemory) -> None:
    """Freeing twice, or using a freed block, is a FreedError."""
    buffer = pool.allocate(1000)
    buffer.free()
    with pytest.raises(FreedError):
        buffer.free()
    with pytest.raises(FreedError):
        buffer.tensor()
    with pytest.raises(FreedError):
        pool.is_pinned(buffer)


@case(level=1, needs=PINNED)
def test_free_with_views(pool: PinnedMemory, random_tensor: RandomTensor) -> None:
    """free is a StateError while tensors over the block exist, and works when they are gone."""
    buffer = pool.allocate(5000)
    data = random_tensor(5000, device="cpu")
    view = buffer.tensor()
    view.copy_(data)
    part = view[100:200]
    del view
    with pytest.raises(StateError):
        buffer.free()
    assert_same_bytes(part, data[100:200])
    del part
    gc.collect()
    buffer.free()


@case(level=1, needs=PINNED)
def test_is_pinned(pool: PinnedMemory) -> None:
    """is_pinned is true of a block, its tensors and parts of them, and of nothing else."""
    buffer = pool.allocate(10_000)
    tensor = buffer.tensor()
    for memory in (buffer, tensor, tensor[17:99], tensor[::2]):
        assert pool.is_pinned(memory) == buffer.pinned
    assert not pool.is_pinned(torch.empty(10_000, dtype=torch.uint8))
