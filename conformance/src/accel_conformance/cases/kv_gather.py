"""Gathering sequences by block table."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from accel import Capability
from accel_conformance.case import case, needs
from accel_conformance.guards import Memory
from accel_conformance.kv_expected import Expectation
from accel_conformance.kv_inputs import LabelledCache, distinct_layouts
from accel_conformance.kv_shapes import DTYPES, MODELS, SMALL, KVShape
from accel_conformance.kv_work import KVWork, Pairs, kv_work

kv = kv_work

GATHER = [Capability.KV_GATHER]
UNREAD = 10**6  #: an entry of a block table that must not be looked at
PINNED = pytest.param("pinned", marks=needs(Capability.PINNED))


def _name(value: object) -> str:
    return str(getattr(value, "name", value)).removeprefix("torch.")


def _pairs(
    table: list[list[int]], lens: list[int], starts: list[int] | None, block_size: int
) -> Pairs:
    """What the call means, token by token."""
    out: Pairs = []
    at = 0
    for i, row in enumerate(table):
        first = starts[i] if starts else 0
        for j in range(lens[i]):
            block, offset = divmod(first + j, block_size)
            out.append((row[block] * block_size + offset if row[block] >= 0 else -1, at))
            at += 1
    return out


def _gather(
    kv: KVWork,
    src: LabelledCache,
    dst: LabelledCache,
    table: list[list[int]],
    lens: list[int],
    starts: list[int] | None = None,
    *,
    dtype: torch.dtype = torch.int64,
    on_device: bool = False,
) -> None:
    expected = Expectation(src, dst)
    expected.move(src, dst, _pairs(table, lens, starts, src.cache.block_size))
    args = [torch.tensor(table, dtype=dtype).reshape(len(table), len(table[0]) if table else 3)]
    args.append(torch.tensor(lens, dtype=dtype))
    if starts is not None:
        args.append(torch.tensor(starts, dtype=dtype))
    if on_device:
        args = [a.to(kv.backend.device) for a in args]
    kv.backend.kv.gather(
        src.cache, dst.cache, args[0], args[1], seq_starts=args[2] if starts is not None else None
    )
    kv.settle()
    expected.check()


TABLES: dict[str, tuple[list[list[int]], list[int], list[int] | None]] = {
    "one": ([[3, 1]], [6], None),
    "whole-blocks": ([[4, 0], [2, 1]], [8, 4], None),
    "ragged": ([[4, 0, 1], [2, UNREAD, UNREAD], [3, 2, UNREAD]], [9, 1, 5], None),
    "starts": ([[4, 0, 1], [2, 3, UNREAD], [3, 2, 1]], [5, 3, 4], [3, 4, 8]),
    "starts-inside-a-block": ([[1, 4]], [1], [6]),
    "zero-lengths": ([[UNREAD, 0], [2, 3], [UNREAD, 0]], [0, 7, 0], None),
    "only-zero-lengths": ([[UNREAD], [UNREAD]], [0, 0], None),
    "no-sequences": ([], [], None),
    "holes": ([[-1, 4, -1], [2, -1, 1]], [11, 10], None),
    "all-holes": ([[-1, -1]], [8], None),
    "shared-blocks": ([[2, 1], [2, 3], [2, 2]], [5, 6, 8], None),
    "last-block": ([[4]], [4], None),
    "zero-starts": ([[4, 2], [1, 0]], [5, 6], [0, 0]),
}


@case(level=2, needs=GATHER)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=_name)
@pytest.mark.parametrize("name", TABLES)
def test_gather(kv: KVWork, name: str, dtype: torch.dtype, on_device: bool) -> None:
    """Ragged lengths, starts, holes, shared blocks; entries past a sequence's end are not read."""
    src = kv.make("vllm_nhd", SMALL)
    dst = kv.make("contiguous", dataclasses.replace(SMALL, blocks=30, block_size=1))
    _gather(kv, src, dst, *TABLES[name], dtype=dtype, on_device=on_device)


@case(level=2, needs=GATHER)
@pytest.mark.parametrize("layout", [*distinct_layouts(2), *distinct_layouts(1)])
def test_gather_layout(kv: KVWork, layout: str) -> None:
    """Out of every layout into a contiguous object, and into pages of another size."""
    planes = 2 if layout in distinct_layouts(2) else 1
    shape = dataclasses.replace(SMALL, planes=planes)
    flat = dataclasses.replace(shape, blocks=17, block_size=1)
    pages = dataclasses.replace(shape, blocks=6, block_size=3)
    src = kv.make(layout, shape)
    if src.cache.block_size != SMALL.block_size:
        raise AssertionError("the source must have blocks")
    table, lens, starts = TABLES["starts"]
    _gather(kv, src, kv.make("lmcache_object" if planes == 2 else "| L T D", flat), table, lens)
    target = kv.make("vllm_hnd" if planes == 2 else "L | B S D", pages)
    _gather(kv, src, target, table, lens, starts)


@case(level=2, needs=GATHER)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
def test_gather_dtype(kv: KVWork, dtype: torch.dtype) -> None:
    """Random bytes of each dtype, NaNs included, arrive bit for bit."""
    flat = dataclasses.replace(SMALL, blocks=20, block_size=1)
    src, dst = kv.make("vllm_hnd", SMALL, dtype), kv.make("lmcache_object", flat, dtype)
    _gather(kv, src, dst, *TABLES["ragged"])


@case(level=2, needs=GATHER)
@pytest.mark.parametrize("memory", ["device", "host", PINNED])
def test_gather_memory(kv: KVWork, memory: Memory) -> None:
    """Into the device's memory, pageable and pinned host memory."""
    flat = dataclasses.replace(SMALL, blocks=20, block_size=1)
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("lmcache_object", flat, memory=memory)
    _gather(kv, src, dst, *TABLES["starts"])


@case(level=2, needs=GATHER)
@pytest.mark.parametrize("shape", MODELS, ids=_name)
def test_gather_model(kv: KVWork, shape: KVShape) -> None:
    """Two sequences out of a real model's pages."""
    flat = dataclasses.replace(shape, blocks=40, block_size=1)
    src = kv.make("vllm_nhd" if shape.planes == 2 else "vllm_mla", shape)
    dst = kv.make("lmcache_object" if shape.planes == 2 else "| L T D", flat)
    _gather(kv, src, dst, [[2, 0], [1, 2]], [21, 13], [3, 11])


@case(level=2, needs=GATHER)
def test_gather_strided_tables(kv: KVWork) -> None:
    """A block table that is a view of a wider one, and lengths that are a column."""
    src = kv.make("vllm_nhd", SMALL)
    dst = kv.make("contiguous", dataclasses.replace(SMALL, blocks=20, block_size=1))
    table, lens, starts = [[4, 0], [2, 3]], [5, 6], [2, 1]
    wide = torch.full((4, 6), UNREAD)
    wide[::2, 1:5:2] = torch.tensor(table)
    columns = torch.tensor([lens, starts]).t().contiguous()
    expected = Expectation(src, dst)
    expected.move(src, dst, _pairs(table, lens, starts, SMALL.block_size))
    kv.backend.kv.gather(
        src.cache, dst.cache, wide[::2, 1:5:2], columns[:, 0], seq_starts=columns[:, 1]
    )
    kv.settle()
    expected.check()


@case(level=2, needs=GATHER)
def test_gather_random(kv: KVWork) -> None:
    """Forty random batches."""
    shape = KVShape("many-blocks", 1, 24, 5, 1, 6)
    src = kv.make("flashinfer", shape)
    for _ in range(40):
        batch, width = (int(torch.randint(1, n, (), generator=kv.rng)) for n in (6, 5))
        table = torch.randint(-3, shape.blocks, (batch, width), generator=kv.rng).tolist()
        room = width * shape.block_size
        starts = torch.randint(room, (batch,), generator=kv.rng).tolist()
        lens = [int(torch.randint(room - s + 1, (), generator=kv.rng)) for s in starts]
        flat = dataclasses.replace(shape, blocks=max(1, sum(lens)), block_size=1)
        _gather(kv, src, kv.make("contiguous", flat), table, lens, starts)
