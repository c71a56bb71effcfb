"""Wrong transfers, copies and swaps are refused by name, with every byte left as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch

from accel import Backend, Capability
from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    LayoutError,
    OverlapError,
    ShapeError,
    SizeError,
    SlotError,
)
from accel.kv import KVCache, KVLayout
from accel_conformance.case import case
from accel_conformance.kv_expected import Expectation
from accel_conformance.kv_inputs import LabelledCache
from accel_conformance.kv_shapes import SMALL
from accel_conformance.kv_work import KVWork, Pairs, kv_work
from accel_conformance.refusals import assert_untouched

if TYPE_CHECKING:
    from accel.kv.plan import Grain

kv = kv_work

TRANSFER = [Capability.KV_TRANSFER]
BOTH = [Capability.KV_TRANSFER, Capability.KV_TRANSFER_BLOCKS]
COPY = [Capability.KV_COPY_BLOCKS]
SWAP = [Capability.KV_SWAP_BLOCKS]
GOOD: Pairs = [(i, SMALL.slots - 1 - i) for i in range(7)]
COUNTS = {"token": SMALL.slots, "block": SMALL.blocks}


def _refused(
    kv: KVWork,
    error: type[ArgumentError] | tuple[type[ArgumentError], ...],
    argument: str | tuple[str, ...],
    call: Callable[[], object],
    *caches: LabelledCache,
) -> None:
    watched = [a.raw for c in caches for a in c.arenas]
    assert_untouched(error, argument, call, *watched, settle=kv.settle)


@case(level=2, needs=BOTH)
@pytest.mark.parametrize("beyond", ["count", "count+1", "2**31-1", "2**40"])
@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize("side", ["src", "dst"])
@pytest.mark.parametrize("grain", ["token", "block"])
def test_out_of_range(kv: KVWork, grain: Grain, side: str, position: str, beyond: str) -> None:
    """An index past the end, anywhere in the list, by one or by far."""
    n = COUNTS[grain]
    value = {"count": n, "count+1": n + 1, "2**31-1": 2**31 - 1, "2**40": 2**40}[beyond]
    pairs = [(i, n - 1 - i) for i in range(5)]
    at = {"first": 0, "middle": 2, "last": 4}[position]
    s, d = pairs[at]
    pairs[at] = (value, d) if side == "src" else (s, value)
    a, b = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    call = lambda: kv.call_transfer(a, b, pairs, grain=grain)  # noqa: E731
    _refused(kv, SlotError, f"{side}_slots", call, a, b)


@case(level=2, needs=BOTH)
@pytest.mark.parametrize("grain", ["token", "block"])
@pytest.mark.parametrize(
    "pairs",
    [[(0, 1), (2, 1)], [(0, 4), (1, 2), (3, 0), (1, 4)], [(0, 3), (0, 3)]],
    ids=["neighbours", "ends", "same-source"],
)
def test_destination_twice(kv: KVWork, pairs: Pairs, grain: Grain) -> None:
    """A destination named twice, though the source be the same."""
    a, b = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    call = lambda: kv.call_transfer(a, b, pairs, grain=grain)  # noqa: E731
    _refused(kv, OverlapError, "dst_slots", call, a, b)


@case(level=2, needs=TRANSFER)
@pytest.mark.parametrize("pairs", [[(0, 1), (1, 2)], [(3, 3)], [(0, 4), (5, 0)]], ids=str)
def test_read_and_written(kv: KVWork, pairs: Pairs) -> None:
    """One cache on both sides, and a slot that is a source and a destination."""
    cache = kv.make("vllm_nhd", SMALL)
    twin = LabelledCache(KVCache(cache.cache.tensors, "vllm_nhd"), cache.planes, cache.arenas)
    for other in (cache, twin):
        call = lambda other=other: kv.call_transfer(cache, other, pairs)  # noqa: E731
        _refused(kv, OverlapError, ("dst_slots", "dst"), call, cache)


@case(level=2, needs=TRANSFER)
def test_caches_that_overlap_by_a_block(kv: KVWork) -> None:
    """Two caches over one tensor, one block apart: refused where bytes meet, else done."""
    cache = kv.make("L | B K S H D", SMALL)
    low = KVCache([t[:-1] for t in cache.cache.tensors], "flashinfer")
    high = KVCache([t[1:] for t in cache.cache.tensors], "flashinfer")
    size = SMALL.block_size
    transfer = kv.backend.kv.transfer
    meet = (kv.indices([0, size]), kv.indices([1, 0]))
    call = lambda: transfer(low, high, *meet)  # noqa: E731
    _refused(kv, OverlapError, ("dst_slots", "dst"), call, cache)
    expected = Expectation(cache)
    expected.move(cache, cache, [(0, 2 * size), (1, 3 * size + 1)])
    transfer(low, high, kv.indices([0, 1]), kv.indices([size, 2 * size + 1]))
    kv.settle()
    expected.check()


@case(level=2, needs=TRANSFER)
@pytest.mark.parametrize("axis", [0, 1, 2, 3, 4], ids=["K", "B", "S", "H", "D"])
def test_expanded_destination(kv: KVWork, axis: int) -> None:
    """A destination whose own elements share memory (an expanded tensor)."""
    shape = [2, SMALL.blocks, SMALL.block_size, SMALL.heads, SMALL.head_dim]
    src, under = kv.make("vllm_nhd", SMALL), kv.make("vllm_nhd", SMALL)
    tensors = [t.narrow(axis, 0, 1).expand(shape) for t in under.cache.tensors]
    dst = KVCache(tensors, "vllm_nhd")
    s, d = kv.indices([0, 1, 2, 3]), kv.indices([0, 5, 10, 19])
    call = lambda: kv.backend.kv.transfer(src.cache, dst, s, d)  # noqa: E731
    _refused(kv, OverlapError, ("dst", "dst_slots"), call, src, under)


def _wrong_slots(kv: KVWork) -> dict[str, tuple[type[ArgumentError], object]]:
    good = kv.indices([d for _, d in GOOD])
    return {
        "float": (DTypeError, good.float()),
        "int16": (DTypeError, good.short()),
        "uint8": (DTypeError, good.byte()),
        "bool": (DTypeError, good.bool()),
        "list": (DTypeError, good.tolist()),
        "none": (DTypeError, None),
        "two-axes": (ShapeError, good[:, None]),
        "no-axis": (ShapeError, good[0]),
        "meta": (DeviceError, good.to("meta")),
    }


@case(level=2, needs=TRANSFER)
@pytest.mark.parametrize("side", ["src", "dst"])
@pytest.mark.parametrize(
    "kind",
    ["float", "int16", "uint8", "bool", "list", "none", "two-axes", "no-axis", "meta"],
)
def test_wrong_slots(kv: KVWork, side: str, kind: str) -> None:
    """Slots that are no 1-D int32 or int64 tensor, or lie on a device that is neither."""
    error, wrong = _wrong_slots(kv)[kind]
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    good = kv.indices([d for _, d in GOOD])
    slots = (wrong, good) if side == "src" else (good, wrong)
    call = lambda: kv.backend.kv.transfer(src.cache, dst.cache, *slots)  # noqa: E731
    # Two tensors that disagree: either may be called the wrong one.
    names = ("src_slots", "dst_slots") if kind == "meta" else (f"{side}_slots",)
    _refused(kv, error, names, call, src, dst)


@case(level=2, needs=TRANSFER)
@pytest.mark.parametrize("lengths", [(3, 4), (4, 3), (0, 1), (1, 0)], ids=str)
def test_slots_of_different_lengths(kv: KVWork, lengths: tuple[int, int]) -> None:
    """One list longer than the other."""
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    slots = [kv.indices(range(n)) for n in lengths]
    call = lambda: kv.backend.kv.transfer(src.cache, dst.cache, *slots)  # noqa: E731
    _refused(kv, (ShapeError, SizeError), ("src_slots", "dst_slots"), call, src, dst)


MISMATCHES = {
    "layers": dataclasses.replace(SMALL, layers=3),
    "heads": dataclasses.replace(SMALL, heads=2),
    "head-dim": dataclasses.replace(SMALL, head_dim=16),
    "same-elements-other-heads": dataclasses.replace(SMALL, heads=8, head_dim=3),
}


@case(level=2, needs=BOTH)
@pytest.mark.parametrize("grain", ["token", "block"])
@pytest.mark.parametrize("what", MISMATCHES)
def test_mismatched_shapes(kv: KVWork, what: str, grain: Grain) -> None:
    """Caches with different layers, heads, or head dims that do not divide each other."""
    # Heads and head dim that are both axes in memory of their own cannot be regrouped.
    src = kv.make("vllm_hnd", SMALL)
    dst = kv.make("vllm_hnd", MISMATCHES[what])
    call = lambda: kv.call_transfer(src, dst, [(0, 1)], grain=grain)  # noqa: E731
    _refused(kv, LayoutError, ("src", "dst"), call, src, dst)


@case(level=2, needs=TRANSFER)
@pytest.mark.parametrize(
    "dtypes",
    [(torch.bfloat16, torch.float16), (torch.int8, torch.float8_e4m3fn),
     (torch.bfloat16, torch.float32), (torch.float32, torch.int8)],
    ids=lambda pair: "-".join(str(d).removeprefix("torch.") for d in pair),
)  # fmt: skip
def test_mismatched_dtypes(kv: KVWork, dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    """Different dtypes, also of one size."""
    src, dst = kv.make("vllm_nhd", SMALL, dtypes[0]), kv.make("vllm_nhd", SMALL, dtypes[1])
    call = lambda: kv.call_transfer(src, dst, GOOD)  # noqa: E731
    _refused(kv, DTypeError, ("src", "dst"), call, src, dst)


@case(level=2, needs=BOTH)
@pytest.mark.parametrize("grain", ["token", "block"])
def test_mismatched_planes(kv: KVWork, grain: Grain) -> None:
    """K and V against a single plane of the same width."""
    src = kv.make("vllm_nhd", SMALL)
    dst = kv.make("vllm_mla", dataclasses.replace(SMALL, planes=1))
    call = lambda: kv.call_transfer(src, dst, [(0, 1)], grain=grain)  # noqa: E731
    _refused(kv, LayoutError, ("src", "dst"), call, src, dst)


@case(level=2, needs=[Capability.KV_TRANSFER_BLOCKS])
@pytest.mark.parametrize("size", [1, 5, 8])
def test_mismatched_block_sizes(kv: KVWork, size: int) -> None:
    """Block grain between pages of different sizes."""
    other = dataclasses.replace(SMALL, block_size=size)
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", other)
    call = lambda: kv.call_transfer(src, dst, [(0, 1)], grain="block")  # noqa: E731
    _refused(kv, SizeError, ("src", "dst"), call, src, dst)


@case(level=2, needs=[Capability.KV_TRANSFER_BLOCKS])
def test_flat_cache_with_half_a_block(kv: KVWork) -> None:
    """A flat cache that would adopt the block size but has tokens left over."""
    src = kv.make("vllm_nhd", SMALL)
    dst = kv.make("contiguous", dataclasses.replace(SMALL, blocks=SMALL.slots - 1, block_size=1))
    call = lambda: kv.call_transfer(src, dst, [(0, 1)], grain="block")  # noqa: E731
    _refused(kv, SizeError, ("src", "dst"), call, src, dst)


@case(level=2, needs=TRANSFER)
@pytest.mark.parametrize("what", ["grain", "src", "dst", "stream", "tensor"])
def test_wrong_kind_of_argument(kv: KVWork, what: str) -> None:
    """A grain, a cache or a stream that is none."""
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    s, d = (kv.indices(column) for column in zip(*GOOD, strict=True))
    wrong: dict[str, object] = {"src": src.cache, "dst": dst.cache}
    if what == "grain":
        wrong["grain"] = "page"
    elif what == "tensor":
        wrong["src"] = src.cache.tensors[0]
    else:
        wrong[what] = "no such thing"
    call = lambda: kv.backend.kv.transfer(src_slots=s, dst_slots=d, **wrong)  # type: ignore[arg-type]  # noqa: E731
    _refused(kv, ArgumentError, "src" if what == "tensor" else what, call, src, dst)


@case(level=2, needs=BOTH)
@pytest.mark.parametrize("grain", ["token", "block"])
@pytest.mark.parametrize("side", ["src", "dst"])
def test_cache_of_another_device(kv: KVWork, side: str, grain: Grain) -> None:
    """A cache on the meta device, which has no memory at all."""
    good = kv.make("vllm_nhd", SMALL)
    meta = KVCache.allocate(
        "vllm_nhd", layers=2, blocks=5, block_size=4, heads=3, head_dim=8,
        dtype=torch.bfloat16, device="meta",
    )  # fmt: skip
    caches = (meta, good.cache) if side == "src" else (good.cache, meta)
    slots = kv.indices([0]), kv.indices([1])
    call = lambda: kv.backend.kv.transfer(*caches, *slots, grain=grain)  # noqa: E731
    _refused(kv, DeviceError, side, call, good)


@case(level=2, needs=TRANSFER)
@pytest.mark.parametrize("index", [0, -1], ids=["first-tensor", "last-tensor"])
@pytest.mark.parametrize("side", ["src", "dst"])
def test_freed_cache(kv: KVWork, side: str, index: int) -> None:
    """A cache one of whose tensors gave its memory back."""
    good = kv.make("vllm_nhd", SMALL)
    gone = kv.make("vllm_nhd", SMALL, separate=True)
    gone.cache.tensors[index].untyped_storage().resize_(0)
    pair = (gone, good) if side == "src" else (good, gone)
    call = lambda: kv.call_transfer(*pair, GOOD)  # noqa: E731
    _refused(kv, FreedError, side, call, good)


def _wrong_mappings(kv: KVWork) -> dict[str, tuple[type[ArgumentError], object]]:
    good = kv.indices([(0, 4), (1, 3)])
    return {
        "out-of-range-source": (SlotError, kv.indices([(0, 4), (5, 3)])),
        "out-of-range-destination": (SlotError, kv.indices([(0, 5), (1, 3)])),
        "far-out-of-range": (SlotError, kv.indices([(0, 4), (2**40, 3)])),
        "destination-twice": (OverlapError, kv.indices([(0, 4), (1, 4)])),
        "one-axis": (ShapeError, good.flatten()),
        "three-columns": (ShapeError, kv.indices([(0, 4), (1, 3)])[:, [0, 1, 1]]),
        "float": (DTypeError, good.float()),
        "int16": (DTypeError, good.short()),
        "list": (DTypeError, good.tolist()),
        "meta": (DeviceError, good.to("meta")),
    }


MAPPINGS = [
    "out-of-range-source", "out-of-range-destination", "far-out-of-range", "destination-twice",
    "one-axis", "three-columns", "float", "int16", "list", "meta",
]  # fmt: skip
MAPPING_NAMES = ("block_mapping", "block_mapping[:, 0]", "block_mapping[:, 1]")


@case(level=2, needs=COPY)
@pytest.mark.parametrize("kind", MAPPINGS)
def test_copy_blocks_wrong_mapping(kv: KVWork, kind: str) -> None:
    """Block mappings that are no [n, 2] of block indices, or write a block twice."""
    error, wrong = _wrong_mappings(kv)[kind]
    cache = kv.make("vllm_nhd", SMALL)
    call = lambda: kv.backend.kv.copy_blocks(cache.cache, wrong)  # type: ignore[arg-type]  # noqa: E731
    _refused(kv, error, MAPPING_NAMES, call, cache)


@case(level=2, needs=SWAP)
@pytest.mark.parametrize("kind", MAPPINGS)
def test_swap_blocks_wrong_mapping(kv: KVWork, kind: str) -> None:
    """The same for swap_blocks."""
    error, wrong = _wrong_mappings(kv)[kind]
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("vllm_nhd", SMALL, memory="host")
    call = lambda: kv.backend.kv.swap_blocks(src.cache, dst.cache, wrong)  # type: ignore[arg-type]  # noqa: E731
    _refused(kv, error, MAPPING_NAMES, call, src, dst)


@case(level=2, needs=COPY)
@pytest.mark.parametrize("pairs", [[(0, 1), (1, 2)], [(4, 4)], [(0, 4), (3, 0)]], ids=str)
def test_copy_blocks_read_and_written(kv: KVWork, pairs: Pairs) -> None:
    """A chain of copies: a block that is both a source and a destination."""
    cache = kv.make("vllm_nhd", SMALL)
    call = lambda: kv.backend.kv.copy_blocks(cache.cache, kv.indices(pairs))  # noqa: E731
    _refused(kv, OverlapError, MAPPING_NAMES, call, cache)


@case(level=2, needs=COPY + SWAP)
def test_blocks_of_wrong_caches(kv: KVWork) -> None:
    """Something that is no cache, one that was freed, and sizes that do not agree."""
    cache = kv.make("vllm_nhd", SMALL)
    gone = kv.make("vllm_nhd", SMALL, separate=True)
    gone.cache.tensors[1].untyped_storage().resize_(0)
    bigger = kv.make("vllm_nhd", dataclasses.replace(SMALL, block_size=8))
    kernels, mapping = kv.backend.kv, kv.indices([(0, 1)])
    swap = kernels.swap_blocks
    calls: list[tuple[type[ArgumentError], tuple[str, ...], Callable[[], object]]] = [
        (DTypeError, ("cache",), lambda: kernels.copy_blocks("no cache", mapping)),  # type: ignore[arg-type]
        (FreedError, ("cache",), lambda: kernels.copy_blocks(gone.cache, mapping)),
        (DTypeError, ("src",), lambda: swap(None, cache.cache, mapping)),  # type: ignore[arg-type]
        (DTypeError, ("dst",), lambda: swap(cache.cache, 1, mapping)),  # type: ignore[arg-type]
        (FreedError, ("src",), lambda: swap(gone.cache, cache.cache, mapping)),
        (FreedError, ("dst",), lambda: swap(cache.cache, gone.cache, mapping)),
        (SizeError, ("src", "dst"), lambda: swap(cache.cache, bigger.cache, mapping)),
    ]
    for error, names, call in calls:
        _refused(kv, error, names, call, cache, bigger)


@case(level=2)
@pytest.mark.parametrize(
    "layout",
    ["L | K B S H X", "L | K B S H", "L | B S S D", "L | T B D", "B | S H D", "no_such_preset", ""],
)
def test_unknown_layout(backend: Backend, layout: str) -> None:
    """A layout that cannot be parsed is refused by name, with what is accepted."""
    tensor = torch.zeros(2, 3, 4, 1, 8, device=backend.device)
    for make in (lambda: KVLayout(layout), lambda: KVCache([tensor], layout)):
        assert_untouched(LayoutError, "layout", make, tensor)
