"""Copying blocks within a cache, and swapping them between two."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from accel import Capability
from accel_conformance.case import case, needs
from accel_conformance.guards import Memory
from accel_conformance.kv_expected import Expectation, blocks_to_tokens
from accel_conformance.kv_inputs import FORMS, Form, LabelledCache, distinct_layouts, join
from accel_conformance.kv_shapes import DTYPES, MODELS, ODD_SHAPES, SMALL, KVShape
from accel_conformance.kv_work import KVWork, Pairs, kv_work

kv = kv_work

COPY = [Capability.KV_COPY_BLOCKS]
SWAP = [Capability.KV_SWAP_BLOCKS]
SHAPE = dataclasses.replace(SMALL, layers=3, blocks=7)
PINNED = pytest.param("pinned", marks=needs(Capability.PINNED))
PAIRS: dict[str, Pairs] = {
    "none": [],
    "one": [(0, 6)],
    "last": [(6, 0)],
    "copy-on-write": [(2, 0), (2, 5), (2, 6)],
    "padding": [(-1, 3), (1, -1), (4, 5), (-9, -9)],
    "run": [(0, 3), (1, 4), (2, 5)],
}


def _name(value: object) -> str:
    return str(getattr(value, "name", value)).removeprefix("torch.")


def _blocks(cache: LabelledCache) -> int:
    return cache.cache.blocks


def _copy(kv: KVWork, cache: LabelledCache, pairs: Pairs, mapping: torch.Tensor) -> None:
    expected = Expectation(cache)
    expected.move(cache, cache, blocks_to_tokens(pairs, cache.cache.block_size))
    kv.backend.kv.copy_blocks(cache.cache, mapping)
    kv.settle()
    expected.check()


def _some(cache: LabelledCache) -> Pairs:
    """From the second half of the blocks to the first, the last block among them."""
    n = _blocks(cache)
    return [(n - 1 - i, i) for i in range(n // 2)]


@case(level=2, needs=COPY)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=_name)
@pytest.mark.parametrize("pairs", PAIRS.values(), ids=PAIRS.keys())
def test_copy_blocks(kv: KVWork, pairs: Pairs, dtype: torch.dtype, on_device: bool) -> None:
    """Every layer's blocks; a source may repeat; padding is skipped."""
    cache = kv.make("vllm_nhd", SHAPE)
    mapping = kv.indices(pairs, dtype, on_device=on_device).reshape(-1, 2)
    _copy(kv, cache, pairs, mapping)


@case(level=2, needs=COPY)
@pytest.mark.parametrize("layout", [*distinct_layouts(2), *distinct_layouts(1)])
def test_copy_blocks_layout(kv: KVWork, layout: str) -> None:
    """In every layout."""
    shape = dataclasses.replace(SHAPE, planes=2 if layout in distinct_layouts(2) else 1)
    cache = kv.make(layout, shape)
    pairs = _some(cache)
    _copy(kv, cache, pairs, kv.indices(pairs))


@case(level=2, needs=COPY)
@pytest.mark.parametrize("form", FORMS, ids=_name)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
def test_copy_blocks_strides(kv: KVWork, dtype: torch.dtype, form: Form) -> None:
    """In each dtype, in views of any strides; padding between blocks is not copied."""
    cache = kv.make("vllm_nhd", SHAPE, dtype, form=form)
    pairs = _some(cache)
    _copy(kv, cache, pairs, kv.indices(pairs))


@case(level=2, needs=COPY)
@pytest.mark.parametrize("shape", [*MODELS, *(s for s in ODD_SHAPES if s.blocks > 1)], ids=_name)
def test_copy_blocks_shape(kv: KVWork, shape: KVShape) -> None:
    """Real models with all their layers, and odd shapes."""
    cache = kv.make("vllm_hnd" if shape.planes == 2 else "vllm_mla", shape, separate=True)
    pairs = _some(cache)
    _copy(kv, cache, pairs, kv.indices(pairs))


@case(level=2, needs=COPY)
def test_copy_blocks_joined(kv: KVWork) -> None:
    """Planes with layouts of their own."""
    flat = dataclasses.replace(SHAPE, head_dim=32, planes=1)
    pair = join(kv.make("vllm_paged_key", flat), kv.make("vllm_paged_value", flat))
    pairs = _some(pair)
    _copy(kv, pair, pairs, kv.indices(pairs))


@case(level=2, needs=COPY)
@pytest.mark.parametrize("form", ["columns", "rows", "offset"])
def test_copy_blocks_strided_mapping(kv: KVWork, form: str) -> None:
    """A mapping that is a view: two rows transposed, every second row, two columns of four."""
    cache = kv.make("vllm_nhd", SHAPE)
    pairs = _some(cache)
    plain = kv.indices(pairs)
    wrong = torch.full_like(plain, 10**6)
    mapping = {
        "columns": plain.t().contiguous().t(),
        "rows": torch.stack([plain, wrong], 1).reshape(-1, 2)[::2],
        "offset": torch.cat([wrong, plain, wrong], 1)[:, 2:4],
    }[form]
    _copy(kv, cache, pairs, mapping)


def _swap(kv: KVWork, src: LabelledCache, dst: LabelledCache, pairs: Pairs | None = None) -> None:
    if pairs is None:
        pairs = kv.pairs(_blocks(src), _blocks(dst))
    expected = Expectation(src, dst)
    expected.move(src, dst, blocks_to_tokens(pairs, src.cache.block_size))
    mapping = kv.indices(pairs).reshape(-1, 2)
    kv.backend.kv.swap_blocks(src.cache, dst.cache, mapping)
    kv.settle()
    expected.check()


@case(level=2, needs=SWAP)
@pytest.mark.parametrize("dst", ["device", "host", PINNED])
@pytest.mark.parametrize("src", ["device", "host", PINNED])
def test_swap_blocks_memory(kv: KVWork, src: Memory, dst: Memory) -> None:
    """Out, in, and between two caches of one memory, host to host included."""
    _swap(kv, kv.make("vllm_nhd", SHAPE, memory=src), kv.make("vllm_nhd", SHAPE, memory=dst))


@case(level=2, needs=SWAP)
@pytest.mark.parametrize("pairs", PAIRS.values(), ids=PAIRS.keys())
def test_swap_blocks(kv: KVWork, pairs: Pairs) -> None:
    """The source is unchanged: nothing is exchanged."""
    _swap(kv, kv.make("vllm_nhd", SHAPE), kv.make("vllm_nhd", SHAPE), pairs)


@case(level=2, needs=SWAP)
def test_swap_blocks_between_layouts_and_sizes(kv: KVWork) -> None:
    """Caches of different layouts and different numbers of blocks."""
    few = dataclasses.replace(SHAPE, blocks=3)
    _swap(kv, kv.make("vllm_nhd", SHAPE), kv.make("vllm_hnd", few))
    _swap(kv, kv.make("sglang_page_head", few), kv.make("vllm_cross_layer", SHAPE))


@case(level=2, needs=SWAP)
@pytest.mark.parametrize("shape", MODELS, ids=_name)
def test_swap_blocks_model(kv: KVWork, shape: KVShape) -> None:
    """A real model's pages to the host and back."""
    layout = "vllm_nhd" if shape.planes == 2 else "vllm_mla"
    device, host = kv.make(layout, shape), kv.make(layout, shape, memory="host")
    _swap(kv, device, host)
    _swap(kv, host, device)
