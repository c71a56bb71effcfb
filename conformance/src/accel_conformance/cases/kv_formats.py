"""LMCache's nineteen engine formats, and caches joined of planes with layouts of their own."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from accel import Capability
from accel.kv import dsa_indexer
from accel_conformance.case import case
from accel_conformance.kv_inputs import Arena, LabelledCache, PlaneMap, join
from accel_conformance.kv_shapes import SMALL, KVShape
from accel_conformance.kv_work import KVWork, kv_work

kv = kv_work

TOKENS = [Capability.KV_TRANSFER]
BLOCKS = [Capability.KV_TRANSFER_BLOCKS]

#: Number -> name, in LMCache's order.
FORMATS = (
    "NB_NL_TWO_BS_NH_HS",
    "NL_X_TWO_NB_BS_NH_HS",
    "NL_X_NB_TWO_BS_NH_HS",
    "NL_X_NB_BS_HS",
    "TWO_X_NL_X_NBBS_NH_HS",
    "NL_X_NBBS_ONE_HS",
    "NL_X_TWO_NB_NH_BS_HS",
    "NL_X_NB_TWO_NH_BS_HS",
    "NB_NL_TWO_NH_BS_HS",
    "TWO_X_NL_X_NB_BS_NH_HS",
    "NL_X_NB_NH_BS_TWO_HS",
    "NL_X_NB_BS_NH_TWO_HS",
    "NL_X_NB_NH_BS_CS",
    "NL_X_NB_BS_NH_CS",
    "NL_X_NB_BSV_BSS",
    "NL_X_TWO_NB_NH_ONE_BS_HS",
    "NL_X_TWO_X_NB_BS_NH_HS",
    "NL_X_NP_X_NB_BS_ONE_HS",
    "NL_X_NB_BS_NH_HS",
)
ONE_PLANE = frozenset(
    ["NL_X_NB_BS_HS", "NL_X_NBBS_ONE_HS", "NL_X_NB_NH_BS_CS", "NL_X_NB_BS_NH_CS",
     "NL_X_NB_BS_NH_HS"]
)  # fmt: skip

VALUE_BYTES, SCALE_BYTES = 128, 4
NUMBERED = pytest.mark.parametrize(
    "name", [pytest.param(n, id=f"{i:02}-{n}") for i, n in enumerate(FORMATS)]
)


def _object(kv: KVWork, shape: KVShape, dtype: torch.dtype = torch.bfloat16) -> LabelledCache:
    """One contiguous plane: ``[layer, token, element]``."""
    return kv.make("| L T D", dataclasses.replace(shape, planes=1), dtype)


def _indexer(kv: KVWork, shape: KVShape, gap: int = 0) -> LabelledCache:
    """Pages of values followed by scales; ``gap`` bytes between pages."""
    need = shape.block_size * (VALUE_BYTES + SCALE_BYTES)
    step = need + gap
    pages, values, scales, arenas = [], [], [], []
    token = torch.arange(shape.slots)
    page, slot = token // shape.block_size, token % shape.block_size
    for layer in range(shape.layers):
        lead = 32 + 4 * layer
        raw = kv.place("device")(lead + shape.blocks * step + 32)
        raw.copy_(torch.randint(256, (raw.numel(),), dtype=torch.uint8, generator=kv.rng))
        arena = Arena(raw)
        arenas.append(arena)
        pages.append(raw.as_strided((shape.blocks, need), (step, 1), lead))
        start = lead + page * step
        values.append((start + slot * VALUE_BYTES)[:, None] + torch.arange(VALUE_BYTES))
        scales.append(
            (start + shape.block_size * VALUE_BYTES + slot * SCALE_BYTES)[:, None]
            + torch.arange(SCALE_BYTES)
        )
    return LabelledCache(
        dsa_indexer(pages, block_size=shape.block_size),
        tuple(PlaneMap(tuple(arenas), 1, torch.stack(rows)) for rows in (values, scales)),
        tuple(arenas),
    )


def _format(kv: KVWork, name: str) -> tuple[LabelledCache, LabelledCache]:
    """A cache in the format, and a contiguous object that holds as much."""
    if name == "NL_X_NB_BSV_BSS":
        parts = [
            _object(kv, dataclasses.replace(SMALL, heads=1, head_dim=n), torch.uint8)
            for n in (VALUE_BYTES, SCALE_BYTES)
        ]
        return _indexer(kv, SMALL), join(*parts)
    if name == "NL_X_NP_X_NB_BS_ONE_HS":
        shapes = [dataclasses.replace(SMALL, heads=1, head_dim=d, planes=1) for d in (512, 64)]
        return (
            join(*(kv.make("L | B S H D", s) for s in shapes)),
            join(*(_object(kv, s) for s in shapes)),
        )
    if name in ONE_PLANE:
        heads = 1 if name == "NL_X_NBBS_ONE_HS" else SMALL.heads
        shape = dataclasses.replace(SMALL, heads=heads, planes=1)
        return kv.make(name, shape), _object(kv, shape)
    return kv.make(name, SMALL), kv.make("lmcache_object", SMALL)


@case(level=2, needs=TOKENS)
@NUMBERED
def test_format(kv: KVWork, name: str) -> None:
    """Tokens of each LMCache format to a contiguous object, and back."""
    paged, held = _format(kv, name)
    kv.transfer(paged, held)
    kv.transfer(held, paged)


@case(level=2, needs=BLOCKS)
@NUMBERED
def test_format_by_block(kv: KVWork, name: str) -> None:
    """Blocks of each LMCache format between two caches."""
    src, dst = _format(kv, name)[0], _format(kv, name)[0]
    kv.transfer(src, dst, grain="block", block_size=SMALL.block_size)


@case(level=2, needs=TOKENS + BLOCKS)
def test_indexer_pages_padded_apart(kv: KVWork) -> None:
    """DSA indexer pages (values, then scales) with a gap between pages, which stays as it was."""
    src, dst = _indexer(kv, SMALL, gap=12), _indexer(kv, SMALL, gap=5)
    kv.transfer(src, dst)
    kv.transfer(dst, src, grain="block", block_size=SMALL.block_size)


@case(level=2, needs=TOKENS + BLOCKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.int8], ids=str)
def test_paged_pair(kv: KVWork, dtype: torch.dtype) -> None:
    """vLLM's older pair: vectorised keys beside transposed values, to and from one tensor."""
    shape = dataclasses.replace(SMALL, head_dim=32)
    flat = dataclasses.replace(shape, planes=1)
    pair = join(kv.make("vllm_paged_key", flat, dtype), kv.make("vllm_paged_value", flat, dtype))
    flash = kv.make("vllm_nhd", shape, dtype)
    kv.transfer(pair, flash)
    kv.transfer(flash, pair)
    kv.transfer(pair, flash, grain="block", block_size=shape.block_size)
    kv.transfer(flash, pair, grain="block", block_size=shape.block_size)


@case(level=2, needs=TOKENS)
def test_planes_of_different_dtypes(kv: KVWork) -> None:
    """int8 values beside float32 scales, joined into one cache."""
    flat = dataclasses.replace(SMALL, planes=1)
    one = dataclasses.replace(flat, head_dim=1)
    src, dst = (
        join(kv.make(layout, flat, torch.int8), kv.make(layout, one, torch.float32))
        for layout in ("L | B S H D", "L | B H S D")
    )
    kv.transfer(src, dst)
    kv.transfer(src, dst, grain="block", block_size=SMALL.block_size)


@case(level=2, needs=TOKENS)
def test_three_planes(kv: KVWork) -> None:
    """A joined cache of three planes with widths of their own."""
    shapes = [dataclasses.replace(SMALL, heads=1, head_dim=d, planes=1) for d in (24, 7, 1)]
    src, dst = (
        join(*(kv.make(layout, s) for s in shapes)) for layout in ("L | B S H D", "L | T H D")
    )
    kv.transfer(src, dst)
