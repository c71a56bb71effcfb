"""KVPool: sizes from a budget, and the rules of its blocks."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import accel
from accel import Capability, KVPool
from accel.kv import PRESETS, KVLayout
from accel.kv.block_references import BlockReferences

SHAPE: dict[str, Any] = dict(layers=3, heads=2, head_dim=8, dtype=torch.float16, block_size=4)


@pytest.fixture(scope="module")
def backend() -> accel.Backend:
    return accel.get_backend("cpu")


@pytest.fixture
def pool(backend: accel.Backend) -> KVPool:
    """Eight blocks of 768 bytes."""
    return KVPool(backend, 8 * 768, **SHAPE)


class Flag:
    """An event that completes when it is told to."""

    def __init__(self) -> None:
        self.done = False

    def query(self) -> bool:
        return self.done


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(backend: accel.Backend, preset: str) -> None:
    """Bytes and blocks are those of the tensors, in every named layout."""
    planes = 2 if "K" in PRESETS[preset] else 1
    token = 3 * planes * 2 * 8 * 2
    pool = KVPool(backend, 7 * token * 4 + 5, layout=preset, **SHAPE)
    assert (pool.bytes_per_token, pool.bytes_per_block) == (token, 4 * token)
    assert (pool.blocks, pool.nbytes) == (7, 28 * token)
    assert (pool.cache.blocks, pool.cache.block_size, pool.cache.layers) == (7, 4, 3)
    assert pool.cache.bytes_per_token == token
    assert sum(t.numel() * t.element_size() for t in pool.cache.tensors) == pool.nbytes
    assert pool.cache.layout == str(KVLayout(preset))
    assert (pool.free, pool.used, pool.pending) == (7, 0, 0)


def test_a_share_of_what_is_free(backend: accel.Backend) -> None:
    free = backend.memcpy.memory_info().free
    pool = KVPool(backend, 0.01, **SHAPE)
    assert pool.nbytes == pytest.approx(free * 0.01, rel=0.3)


def test_a_share_needs_the_capability() -> None:
    class Backend:
        name, capabilities = "blind", accel.Capabilities({Capability.EVENTS: accel.Level.NATIVE})

    with pytest.raises(accel.CapabilityError, match=r"memcpy\.memory_info.*in bytes"):
        KVPool(Backend(), 0.5, **SHAPE)  # type: ignore[arg-type]


WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (767, {}, accel.SizeError, "768 bytes of one block, given 767"),
    (-1, {}, accel.SizeError, "budget"),
    (True, {}, accel.DTypeError, "budget"),
    ("1G", {}, accel.DTypeError, "budget"),
    (0.0, {}, accel.ArgumentError, "budget"),
    (1.5, {}, accel.ArgumentError, "share.*bytes as an int"),
    (float("nan"), {}, accel.ArgumentError, "budget"),
    (10_000, {"layers": 0}, accel.ArgumentError, "layers"),
    (10_000, {"heads": 1.0}, accel.DTypeError, "heads"),
    (10_000, {"block_size": 0}, accel.ArgumentError, "block_size"),
    (10_000, {"dtype": "half"}, accel.DTypeError, "dtype"),
    (10_000, {"planes": 3}, accel.ArgumentError, "planes"),
    (10_000, {"planes": 2, "layout": "mla"}, accel.LayoutError, "planes=1"),
    (10_000, {"layout": "| B S H D"}, accel.LayoutError, "L axis for 3 layers"),
    (10_000, {"layout": "vllm_nhhd"}, accel.LayoutError, "layout"),
]


@pytest.mark.parametrize(("budget", "changes", "error", "match"), WRONG)
def test_refused(
    backend: accel.Backend, budget: Any, changes: dict[str, Any], error: Any, match: str
) -> None:
    with pytest.raises(error, match=match):
        KVPool(backend, budget, **{**SHAPE, **changes})


def test_more_than_the_machine_has(backend: accel.Backend) -> None:
    with pytest.raises(accel.OutOfMemoryError, match="smaller budget"):
        KVPool(backend, 1 << 62, **SHAPE)


def test_one_plane_with_a_key_axis(backend: accel.Backend) -> None:
    pool = KVPool(backend, 4096, planes=1, **SHAPE)
    assert (pool.cache.planes, pool.bytes_per_block) == (1, 384)


# --- blocks --------------------------------------------------------------------------------------


def test_in_order_and_together(pool: KVPool) -> None:
    assert pool.allocate(3) == [0, 1, 2]
    assert pool.allocate(2) == [3, 4]
    assert pool.allocate(0) == []
    pool.release([1, 2])
    assert pool.allocate(3) == [1, 2, 5]


def test_out_of_blocks(pool: KVPool) -> None:
    held = pool.allocate(6)
    with pytest.raises(accel.OutOfBlocksError) as caught:
        pool.allocate(3)
    error = caught.value
    assert (error.wanted, error.free, error.total, error.pending) == (3, 2, 8, 0)
    assert "3 blocks were asked for and 2 of 8 are free" in str(error)
    assert isinstance(error, accel.OutOfMemoryError)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (pool.free, pool.used) == (2, 6)
    pool.release(held[:2], after=Flag())  # type: ignore[arg-type]
    with pytest.raises(accel.OutOfBlocksError, match="wait for the work that 2 released") as caught:
        pool.allocate(3)
    assert caught.value.pending == 2


def test_numbers_that_are_none(pool: KVPool) -> None:
    with pytest.raises(accel.ArgumentError, match="n: expected at least 0, given -1"):
        pool.allocate(-1)
    for n in (1.0, "1", None, True):
        with pytest.raises(accel.DTypeError):
            pool.allocate(n)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([0, 5], accel.FreedError),
        ([0, 8], accel.SlotError),
        ([0, -1], accel.SlotError),
        ([0, 0, 0], accel.FreedError),
        ([0, 1.0], accel.DTypeError),
        ([0, True], accel.DTypeError),
        (3, accel.DTypeError),
    ],
)
def test_not_allocated_blocks(pool: KVPool, blocks: Any, error: Any) -> None:
    """Nothing is given up, not even the blocks of the list that are fine."""
    pool.allocate(3)
    pool.retain([0])
    for call in (
        pool.release, lambda b: pool.release(b, after=Flag()), pool.retain, pool.make_writable
    ):  # fmt: skip
        if call == pool.retain and blocks == [0, 0, 0]:
            continue
        expected = accel.ArgumentError if call == pool.make_writable else error
        with pytest.raises(expected, match="blocks"):
            call(blocks)
    assert [pool.references(b) for b in range(4)] == [2, 1, 1, 0]
    assert (pool.free, pool.used, pool.pending) == (5, 3, 0)


def test_integers_of_other_kinds(pool: KVPool) -> None:
    pool.allocate(4)
    pool.release(torch.tensor([0, 2]))
    assert [pool.references(b) for b in range(4)] == [0, 1, 0, 1]


def test_released_after_an_event(pool: KVPool) -> None:
    late, soon = Flag(), Flag()
    pool.allocate(8)
    pool.release([0, 1], after=late)  # type: ignore[arg-type]
    pool.release([2, 3], after=soon)  # type: ignore[arg-type]
    assert (pool.free, pool.used, pool.pending) == (0, 4, 4)
    with pytest.raises(accel.FreedError):
        pool.release([0])
    soon.done = True
    assert pool.allocate(2) == [2, 3]
    late.done = True
    assert (pool.free, pool.used, pool.pending) == (2, 6, 0)


def test_released_after_a_stream(backend: accel.Backend, pool: KVPool) -> None:
    """The work given to the stream so far counts, not what comes later."""
    stream = backend.streams.create()
    first, second = threading.Event(), threading.Event()
    stream.add_callback(first.wait)
    pool.release(pool.allocate(8), after=stream)
    stream.add_callback(second.wait)
    assert (pool.free, pool.pending) == (0, 8)
    first.set()
    deadline = time.monotonic() + 10
    while pool.free < 8 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert pool.free == 8
    assert not stream.query()
    second.set()
    stream.synchronize()


def test_not_an_event(pool: KVPool) -> None:
    blocks = pool.allocate(1)
    with pytest.raises(accel.DTypeError, match="after"):
        pool.release(blocks, after=5)  # type: ignore[arg-type]
    assert pool.used == 1


def test_a_failing_device_keeps_its_blocks(pool: KVPool) -> None:
    broken, fine = Flag(), Flag()
    pool.release(pool.allocate(2), after=broken)  # type: ignore[arg-type]
    pool.release(pool.allocate(2), after=fine)  # type: ignore[arg-type]
    del broken.done
    fine.done = True
    for _ in range(2):
        with pytest.raises(AttributeError):
            pool.allocate(7)
    broken.done = True
    assert pool.free == 8


# --- copy-on-write -------------------------------------------------------------------------------


def contents(pool: KVPool, block: int) -> set[float]:
    cache = pool.cache
    views = (cache.view(la, p)[block] for la in range(cache.layers) for p in range(cache.planes))
    return {v for view in views for v in view.flatten().tolist()}


def paint(pool: KVPool, block: int, value: float) -> None:
    for layer in range(pool.cache.layers):
        for plane in range(pool.cache.planes):
            pool.cache.view(layer, plane)[block] = value


@pytest.mark.parametrize("layout", ["vllm_hnd", "sglang_page_first", "cross_layer", "mla"])
def test_make_writable(backend: accel.Backend, layout: str) -> None:
    pool = KVPool(backend, 1 << 14, layout=layout, **SHAPE)
    blocks = pool.allocate(4)
    for b in blocks:
        paint(pool, b, 10 + b)
    pool.retain([1, 3])
    assert pool.make_writable(blocks) == [0, 4, 2, 5]
    assert [contents(pool, b) for b in range(6)] == [{10}, {11}, {12}, {13}, {11}, {13}]
    assert [pool.references(b) for b in range(6)] == [1] * 6
    assert pool.make_writable([0, 4, 2, 5]) == [0, 4, 2, 5]
    assert pool.make_writable([]) == []


def test_make_writable_without_room(pool: KVPool) -> None:
    blocks = pool.allocate(7)
    pool.retain(blocks[:2])
    for b in blocks:
        paint(pool, b, b)
    with pytest.raises(accel.OutOfBlocksError) as caught:
        pool.make_writable(blocks)
    assert (caught.value.wanted, caught.value.free) == (2, 1)
    assert [pool.references(b) for b in range(8)] == [2, 2, 1, 1, 1, 1, 1, 0]
    assert all(contents(pool, b) == {b} for b in blocks)


def test_make_writable_when_the_copy_is_refused(pool: KVPool) -> None:
    blocks = pool.allocate(2)
    pool.retain(blocks)
    with pytest.raises(accel.DTypeError, match="stream"):
        pool.make_writable(blocks, stream="none")  # type: ignore[arg-type]
    assert [pool.references(b) for b in range(3)] == [2, 2, 0]
    assert (pool.free, pool.used, pool.pending) == (6, 2, 0)


def test_a_copy_under_way_keeps_its_source(backend: accel.Backend, pool: KVPool) -> None:
    """Until the copy has run, the other owner cannot write in place, nor is the source free."""
    stream = backend.streams.create()
    blocks = pool.allocate(1)
    paint(pool, 0, 7)
    pool.retain(blocks)
    gate = threading.Event()
    stream.add_callback(gate.wait)
    assert pool.make_writable(blocks, stream=stream) == [1]
    assert pool.make_writable(blocks) == [2]  # the other owner
    assert (pool.references(0), pool.pending) == (0, 1)
    gate.set()
    stream.synchronize()
    assert [contents(pool, b) for b in (1, 2)] == [{7}, {7}]
    assert (pool.free, pool.used, pool.pending) == (6, 2, 0)


def test_a_read_under_way_keeps_others_from_writing(pool: KVPool) -> None:
    reading = Flag()
    blocks = pool.allocate(1)
    pool.retain(blocks)
    pool.release(blocks, after=reading)  # type: ignore[arg-type]
    assert pool.make_writable(blocks) == [1]
    reading.done = True
    assert (pool.free, pool.used, pool.pending) == (7, 1, 0)


# --- threads, speed ------------------------------------------------------------------------------


def test_threads(backend: accel.Backend) -> None:
    """Four threads take, share, copy and release; nobody ever holds another's block."""
    pool = KVPool(backend, 4 * (39 + 13) * 768, **SHAPE)  # what they hold at most
    errors: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for i in range(150):
                blocks = pool.allocate(i % 40)
                for b in blocks:
                    paint(pool, b, name)
                pool.retain(blocks[::3])
                mine = pool.make_writable(blocks)
                assert all(contents(pool, b) == {name} for b in mine), "another's contents"
                pool.release(mine)
                pool.release(blocks[::3])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (pool.free, pool.used, pool.pending) == (208, 0, 0)


def test_a_thousand_blocks_well_below_a_millisecond() -> None:
    references = BlockReferences(100_000)
    best = {"take": float("inf"), "give": float("inf"), "retain": float("inf")}
    for _ in range(30):
        start = time.perf_counter()
        blocks = references.take(1000)
        took = time.perf_counter()
        references.retain(blocks)
        retained = time.perf_counter()
        references.give(blocks)
        gave = time.perf_counter()
        for name, value in zip(best, (took - start, gave - retained, retained - took), strict=True):
            best[name] = min(best[name], value)
    assert max(best.values()) < 0.5e-3, best


@pytest.fixture(autouse=True)
def _idle(backend: accel.Backend) -> Iterator[None]:
    yield
    backend.streams.synchronize()
