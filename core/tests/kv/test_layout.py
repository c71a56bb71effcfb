"""Layouts: what parses, what does not, and that every preset describes a cache."""

from __future__ import annotations

import pytest
import torch

from accel import (
    ArgumentError,
    DTypeError,
    FreedError,
    LayoutError,
    ShapeError,
    SizeError,
)
from accel.kv import PRESETS, KVCache, KVLayout, dsa_indexer

SIZES = {"layers": 3, "blocks": 4, "block_size": 4, "heads": 2, "head_dim": 8}


@pytest.mark.parametrize(
    ("text", "outer", "inner"),
    [
        ("L | K B S H D", ("L",), ("K", "B", "S", "H", "D")),
        ("  K L|T H D ", ("K", "L"), ("T", "H", "D")),
        ("B S D", (), ("B", "S", "D")),
        ("L | B H D1 S D0", ("L",), ("B", "H", "D1", "S", "D0")),
        ("L | K B H 1 S D", ("L",), ("K", "B", "H", "1", "S", "D")),
    ],
)
def test_axes(text: str, outer: tuple[str, ...], inner: tuple[str, ...]) -> None:
    layout = KVLayout(text)
    assert (layout.outer, layout.inner) == (outer, inner)
    assert KVLayout(str(layout)) == layout


@pytest.mark.parametrize(
    "text",
    [
        "L | K B S H Q", "no_such_preset", "L | B S H", "L | B S D D", "L | T B D", "L | B D",
        "B | S D", "L | B S D1", "L | B S D D1 D0", "L | B S1 S0 D", "1 | T D", "",
    ],
)  # fmt: skip
def test_refused_layouts_name_the_argument(text: str) -> None:
    with pytest.raises(LayoutError) as caught:
        KVLayout(text)
    assert caught.value.argument == "layout"
    assert caught.value.expected
    assert caught.value.given


def test_unknown_letter_is_named() -> None:
    with pytest.raises(LayoutError, match="'Q'"):
        KVLayout("L | B S Q")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_describes_a_cache(name: str) -> None:
    cache = KVCache.allocate(name, **SIZES, dtype=torch.float16)
    layout = KVLayout(name)
    has_k = "K" in layout.outer + layout.inner
    has_l = "L" in layout.outer + layout.inner
    assert cache.planes == (2 if has_k else 1)
    assert cache.layers == (3 if has_l else 1)
    assert cache.slots == 16
    total = sum(t.numel() * t.element_size() for t in cache.tensors)
    assert cache.bytes_per_token * cache.slots == total
    # Every byte belongs to exactly one (layer, plane, slot, head, dim).
    for i, view in enumerate(v for row in cache.views for v in row):
        view.fill_(i)
    values = torch.cat([t.flatten() for t in cache.tensors])
    expected = torch.arange(cache.layers * cache.planes).repeat_interleave(
        total // 2 // (cache.layers * cache.planes)
    )
    assert torch.equal(values.sort().values, expected.half())


def test_views_follow_the_letters() -> None:
    k, b, s, h, d = 2, 3, 4, 5, 6
    tensor = torch.arange(k * b * s * h * d).view(k, b, h, s, d)
    cache = KVCache([tensor], "L | K B H S D")
    for plane in range(k):
        for block in range(b):
            for slot in range(s):
                for head in range(h):
                    got = cache.view(0, plane)[block, slot, head]
                    assert torch.equal(got, tensor[plane, block, head, slot])


def test_shapes_that_do_not_fit_are_refused() -> None:
    good = torch.zeros(2, 4, 4, 2, 8)
    for tensors, error in [
        (good, LayoutError),  # not a sequence of layers
        ([], LayoutError),
        ([good[0]], ShapeError),  # an axis short
        ([good, good[:, :3]], ShapeError),
        ([good, good.half()], DTypeError),
        ([good, torch.zeros(2, 4, 2, 4, 8).transpose(2, 3)], LayoutError),
        ([good, "layer"], DTypeError),
        ([good.to_sparse()], DTypeError),
    ]:
        with pytest.raises(error) as caught:
            KVCache(tensors, "L | K B S H D")
        assert isinstance(caught.value, ArgumentError)


def test_block_size_of_flat_caches() -> None:
    flat = [torch.zeros(12, 2, 8)]
    assert KVCache(flat, "L | T H D").block_size == 1
    assert KVCache(flat, "L | T H D", block_size=4).blocks == 3
    with pytest.raises(SizeError, match="block_size"):
        KVCache(flat, "L | T H D", block_size=5)
    with pytest.raises(SizeError, match="block_size"):
        KVCache([torch.zeros(3, 4, 2, 8)], "L | B S H D", block_size=2)


def test_selected_layers_share_memory() -> None:
    cache = KVCache.allocate("vllm_nhd", **SIZES, dtype=torch.float32)
    part = cache.select_layers([2, 0])
    part.view(0).fill_(7)
    assert cache.tensors[2][0].unique().tolist() == [7.0]
    assert cache.select_layers(slice(1, 3)).layers == 2
    with pytest.raises(ArgumentError, match="layers"):
        cache.select_layers(3)


def test_join_makes_planes_of_caches() -> None:
    sizes = {**SIZES, "dtype": torch.float16}
    keys, values = (KVCache.allocate(n, **sizes) for n in ("vllm_paged_key", "vllm_paged_value"))
    joined = KVCache.join(keys, values)
    assert (joined.planes, joined.layers) == (2, 3)
    assert joined.pointers[0] == keys.tensors[0].data_ptr()
    assert joined.pointers[1] == values.tensors[0].data_ptr()
    with pytest.raises(ShapeError, match=r"caches\[1\]"):
        KVCache.join(keys, KVCache.allocate("mla", **{**sizes, "blocks": 5}))
    with pytest.raises(ArgumentError):
        KVCache.join()


def test_dsa_pages_are_values_then_scales() -> None:
    pages = [torch.arange(2 * 4 * 132, dtype=torch.int64).remainder(251).byte().view(2, 4, 132)]
    cache = dsa_indexer(pages, block_size=4)
    raw = pages[0].view(2, 4 * 132)
    for block in range(2):
        for slot in range(4):
            value = raw[block, slot * 128 : (slot + 1) * 128]
            scale = raw[block, 4 * 128 + slot * 4 : 4 * 128 + (slot + 1) * 4]
            assert torch.equal(cache.view(0, 0)[block, slot, 0], value)
            assert torch.equal(cache.view(0, 1)[block, slot, 0], scale)
    with pytest.raises(SizeError, match=r"pages\[0\]"):
        dsa_indexer([torch.zeros(2, 4, 131, dtype=torch.uint8)], block_size=4)


def test_freed_tensors_are_found() -> None:
    cache = KVCache.allocate("vllm_nhd", **SIZES, dtype=torch.float32)
    cache.check_alive("src")
    cache.tensors[1].untyped_storage().resize_(0)
    with pytest.raises(FreedError, match="tensor 1") as caught:
        cache.check_alive("src")
    assert caught.value.argument == "src"
