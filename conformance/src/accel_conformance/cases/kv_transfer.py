"""Transfers between layouts: every model, every pair, every dtype, every odd shape."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import pytest
import torch

from accel import Backend, Capability, DeviceError
from accel_conformance.case import case, needs
from accel_conformance.guards import Memory
from accel_conformance.kv_expected import Expectation
from accel_conformance.kv_inputs import FORMS, Form, build, distinct_layouts
from accel_conformance.kv_shapes import DTYPES, MODELS, ODD_SHAPES, SMALL, KVShape
from accel_conformance.kv_work import KVWork, kv_work

if TYPE_CHECKING:
    from accel.kv.plan import Grain

kv = kv_work

TOKENS = [Capability.KV_TRANSFER]
BLOCKS = [Capability.KV_TRANSFER_BLOCKS]
BOTH = [*TOKENS, *BLOCKS]
ONE_PLANE = dataclasses.replace(SMALL, planes=1)
PINNED = pytest.param("pinned", marks=needs(Capability.PINNED))


def _pairs_of_layouts() -> list[object]:
    return [
        pytest.param(a, b, shape, id=f"{a}-{b}")
        for shape in (SMALL, ONE_PLANE)
        for a in distinct_layouts(shape.planes)
        for b in distinct_layouts(shape.planes)
    ]


def _name(value: object) -> str:
    return str(getattr(value, "name", value)).removeprefix("torch.")


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize(("src", "dst", "shape"), _pairs_of_layouts())
def test_layout_pair(kv: KVWork, src: str, dst: str, shape: KVShape) -> None:
    """Tokens from any layout to any other."""
    kv.transfer(kv.make(src, shape), kv.make(dst, shape))


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize(("src", "dst", "shape"), _pairs_of_layouts())
def test_layout_pair_by_block(kv: KVWork, src: str, dst: str, shape: KVShape) -> None:
    """Blocks from any layout to any other."""
    a, b = kv.make(src, shape), kv.make(dst, shape)
    kv.transfer(a, b, grain="block", block_size=shape.block_size)


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("memory", ["device", "host", PINNED])
@pytest.mark.parametrize("shape", MODELS, ids=_name)
def test_model_round_trip(kv: KVWork, shape: KVShape, memory: Memory) -> None:
    """A real model's pages to a contiguous object, and back into another engine's pages."""
    first, last = ("vllm_nhd", "sglang_page_head") if shape.planes == 2 else ("vllm_mla",) * 2
    tokens = shape.slots - 5
    held = dataclasses.replace(shape, blocks=tokens, block_size=1)
    engine, other = kv.make(first, shape), kv.make(last, shape)
    middle = kv.make("lmcache_object" if shape.planes == 2 else "| L T D", held, memory=memory)
    taken = torch.randperm(shape.slots, generator=kv.rng)[:tokens].tolist()
    out = list(zip(taken, range(tokens), strict=True))
    back = [(d, s) for s, d in out]
    expected = Expectation(engine, middle, other)
    expected.move(engine, middle, out)
    expected.move(middle, other, back)
    kv.call_transfer(engine, middle, out)
    kv.call_transfer(middle, other, back)
    kv.settle()
    expected.check()


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize("shape", MODELS, ids=_name)
def test_model_blocks(kv: KVWork, shape: KVShape) -> None:
    """A real model's pages, whole, between two engines."""
    names = ("vllm_hnd", "sglang_layer_first") if shape.planes == 2 else ("vllm_mla", "sglang_mla")
    src, dst = (kv.make(n, shape, separate=True) for n in names)
    kv.transfer(src, dst, grain="block", block_size=shape.block_size)


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
def test_dtype(kv: KVWork, dtype: torch.dtype) -> None:
    """Random bytes of each dtype, NaNs included, arrive bit for bit."""
    for dst in ("vllm_hnd", "sglang_page_head", "lmcache_object"):
        kv.transfer(kv.make("vllm_nhd", SMALL, dtype), kv.make(dst, SMALL, dtype))
    for dst in ("vllm_paged_key", "vllm_paged_value"):
        kv.transfer(kv.make("vllm_mla", ONE_PLANE, dtype), kv.make(dst, ONE_PLANE, dtype))


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
def test_dtype_by_block(kv: KVWork, dtype: torch.dtype) -> None:
    """The same at block grain."""
    for dst in ("vllm_hnd", "sglang_page_first"):
        a, b = kv.make("vllm_nhd", SMALL, dtype), kv.make(dst, SMALL, dtype)
        kv.transfer(a, b, grain="block", block_size=SMALL.block_size)


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8], ids=_name)
@pytest.mark.parametrize("shape", ODD_SHAPES, ids=_name)
def test_odd_shape(kv: KVWork, shape: KVShape, dtype: torch.dtype) -> None:
    """One token, one element, block size 1, odd head sizes and head counts."""
    for src, dst in (("vllm_nhd", "vllm_hnd"), ("sglang_page_head", "contiguous")):
        kv.transfer(kv.make(src, shape, dtype), kv.make(dst, shape, dtype))
    flat = dataclasses.replace(shape, planes=1)
    kv.transfer(kv.make("vllm_paged_key", flat, dtype), kv.make("vllm_mla", flat, dtype))


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize("shape", ODD_SHAPES, ids=_name)
def test_odd_shape_by_block(kv: KVWork, shape: KVShape) -> None:
    """The same at block grain."""
    for src, dst in (("vllm_nhd", "vllm_hnd"), ("sglang_page_head", "contiguous")):
        a, b = kv.make(src, shape), kv.make(dst, shape)
        kv.transfer(a, b, grain="block", block_size=shape.block_size)


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("dst", FORMS, ids=_name)
@pytest.mark.parametrize("src", FORMS, ids=_name)
def test_strides(kv: KVWork, src: Form, dst: Form) -> None:
    """Offset, strided and transposed views, and blocks padded apart; padding stays as it was."""
    for layout in ("vllm_nhd", "sglang_page_first", "vllm_cross_layer"):
        kv.transfer(kv.make(layout, SMALL, form=src), kv.make("flashinfer", SMALL, form=dst))


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize("dst", FORMS, ids=_name)
@pytest.mark.parametrize("src", FORMS, ids=_name)
def test_strides_by_block(kv: KVWork, src: Form, dst: Form) -> None:
    """The same at block grain."""
    a = kv.make("vllm_nhd", SMALL, form=src)
    b = kv.make("vllm_hnd", SMALL, form=dst)
    kv.transfer(a, b, grain="block", block_size=SMALL.block_size)


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("layout", ["vllm_nhd", "sglang_layer_first", "NL_X_TWO_X_NB_BS_NH_HS"])
def test_separate_allocations(kv: KVWork, layout: str) -> None:
    """A tensor of its own for each layer, or for each layer's K and V: no common base address."""
    shape = dataclasses.replace(SMALL, layers=5)
    a, b = (kv.make(name, shape, separate=True) for name in (layout, "vllm_hnd"))
    kv.transfer(a, b)
    kv.transfer(b, a)


@case(level=2, needs=TOKENS)
def test_different_block_sizes(kv: KVWork) -> None:
    """Token grain between pages of 16, of 3 and of 1."""
    shapes = [dataclasses.replace(SMALL, blocks=b, block_size=s) for b, s in
              ((2, 16), (11, 3), (40, 1))]  # fmt: skip
    for a in shapes:
        for b in shapes:
            kv.transfer(kv.make("vllm_nhd", a), kv.make("vllm_hnd", b))


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize("flat", ["contiguous", "lmcache_object", "sglang_layer_first"])
def test_flat_cache_adopts_the_block_size(kv: KVWork, flat: str) -> None:
    """At block grain a flat cache of block size 1 counts in its counterpart's blocks."""
    tokens = dataclasses.replace(SMALL, blocks=SMALL.slots, block_size=1)
    paged, object_ = kv.make("vllm_nhd", SMALL), kv.make(flat, tokens)
    kv.transfer(paged, object_, grain="block", block_size=SMALL.block_size)
    kv.transfer(object_, paged, grain="block", block_size=SMALL.block_size)


@case(level=2, needs=TOKENS)
def test_some_layers(kv: KVWork) -> None:
    """Only the selected layers move, also when they are permuted."""
    shape = dataclasses.replace(SMALL, layers=4)
    a, b = kv.make("vllm_nhd", shape), kv.make("vllm_cross_layer", shape)
    kv.transfer(a.select_layers([3, 1]), b.select_layers([0, 2]))


@case(level=2, needs=TOKENS)
def test_within_one_cache(kv: KVWork) -> None:
    """Source and destination are one cache, and the slots are disjoint."""
    cache = kv.make("vllm_hnd", SMALL)
    n = cache.slots // 2
    kv.transfer(cache, cache, [(i, i + n) for i in range(n)])


@case(level=2, needs=TOKENS)
def test_two_caches_interleaved_in_one_allocation(kv: KVWork) -> None:
    """Blocks of two caches alternate in one allocation; each is the other's padding."""
    cross = kv.make("vllm_cross_layer", dataclasses.replace(SMALL, layers=4))
    kv.transfer(cross.select_layers([0, 2]), cross.select_layers([1, 3]))


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("dst", ["device", "host", PINNED])
@pytest.mark.parametrize("src", ["device", "host", PINNED])
def test_memory(kv: KVWork, src: Memory, dst: Memory) -> None:
    """Between the device's memory, pageable and pinned host memory, in all directions."""
    for a, b in (("vllm_nhd", "lmcache_object"), ("lmcache_object", "vllm_hnd")):
        kv.transfer(kv.make(a, SMALL, memory=src), kv.make(b, SMALL, memory=dst))


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("side", ["src", "dst"])
def test_pageable(kv: KVWork, side: str) -> None:
    """Pageable host memory is moved exactly, or refused by name; the device stays usable."""
    pageable = build(
        "lmcache_object", SMALL, torch.bfloat16,
        lambda n: torch.empty(n, dtype=torch.uint8), kv.rng,
    )  # fmt: skip
    device = kv.make("vllm_nhd", SMALL)
    src, dst = (pageable, device) if side == "src" else (device, pageable)
    untouched = Expectation(src, dst)
    try:
        kv.transfer(src, dst)
    except DeviceError as error:
        assert error.argument.partition(".")[0] == side, f"it names {error.argument!r}: {error}"
        kv.settle()
        untouched.check()
    kv.transfer(device, kv.make("vllm_hnd", SMALL))


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize("dst", ["device", "host", PINNED])
@pytest.mark.parametrize("src", ["device", "host", PINNED])
def test_memory_by_block(kv: KVWork, src: Memory, dst: Memory) -> None:
    """The same at block grain."""
    a = kv.make("vllm_nhd", SMALL, memory=src)
    b = kv.make("sglang_page_first", SMALL, memory=dst)
    kv.transfer(a, b, grain="block", block_size=SMALL.block_size)


def _any_layout(dice: random.Random) -> str:
    """Axes in any order, some of them separate tensors, some split, some missing or of one."""
    outer = dice.sample(["L", "K"], dice.randint(0, 2))
    inner = [a for a in ("L", "K") if a not in outer] + dice.choice([["B", "S"], ["T"]])
    inner += dice.choice([["H"], []]) + dice.choice([["D"], ["D1", "D0"]])
    inner += ["1"] * dice.randint(0, 1)
    dice.shuffle(inner)
    return " ".join([*outer, "|", *inner])


@case(level=2, needs=BOTH)
@pytest.mark.parametrize("number", range(40))
def test_any_layout(kv: KVWork, seed: int, number: int) -> None:
    """Layouts that no engine has (yet): random orders of the axes, as the letters allow them."""
    dice = random.Random(seed)
    a, b = _any_layout(dice), _any_layout(dice)
    src, dst = kv.make(a, SMALL, form=dice.choice(FORMS)), kv.make(b, SMALL)
    try:
        kv.transfer(src, dst)
        kv.transfer(src, dst, grain="block", block_size=SMALL.block_size)
    except AssertionError as error:
        raise AssertionError(f"from {a!r} to {b!r}: {error}") from error


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("grain", ["token", "block"])
def test_agrees_with_the_reference(kv: KVWork, oracle: Backend, grain: Grain) -> None:
    """The same bytes as the plain-torch backend leaves in caches of its own."""
    src, ours = kv.make("vllm_nhd", SMALL), kv.make("sglang_page_head", SMALL)
    seed = kv.rng.get_state()
    mirror = [
        build(n, SMALL, torch.bfloat16, lambda n: torch.empty(n, dtype=torch.uint8), kv.rng)
        for n in ("vllm_nhd", "sglang_page_head")
    ]
    kv.rng.set_state(seed)
    for here, there in zip((src, ours), mirror, strict=True):
        there.arenas[0].raw.copy_(here.arenas[0].image())
    unit = SMALL.block_size if grain == "block" else 1
    pairs = kv.pairs(SMALL.slots // unit, SMALL.slots // unit)
    s, d = (kv.indices(side) for side in zip(*pairs, strict=True))
    kv.backend.kv.transfer(src.cache, ours.cache, s, d, grain=grain)
    oracle.kv.transfer(mirror[0].cache, mirror[1].cache, s, d, grain=grain)
    kv.settle()
    oracle.streams.synchronize()
    assert torch.equal(ours.arenas[0].image(), mirror[1].arenas[0].image())
