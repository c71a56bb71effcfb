"""Write plans, geometries as keys, and what KVCache.allocate refuses."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from accel import ArgumentError, DTypeError, LayoutError, ShapeError
from accel.kv import KVCache, plan_transfer
from accel.kv.geometry import Geometry
from accel.kv.write import plan_write

SIZES = {"layers": 2, "blocks": 3, "block_size": 4, "heads": 2, "head_dim": 8}


def test_write_plans_are_made_once_per_shape() -> None:
    cache = KVCache.allocate("vllm_nhd", **SIZES, dtype=torch.float16)
    rows = torch.zeros(5, 2, 8, dtype=torch.float16)
    plan = plan_write(cache, 0, rows, rows)
    assert plan_write(cache, 1, rows[:3], rows[:3]) is plan
    assert plan.target == ((0, 0), (1, 0))
    assert plan.plan.planes[0].run_bytes == 32
    wide = torch.zeros(5, 2, 16, dtype=torch.float16)[:, :, :8]
    strided = plan_write(cache, 0, wide, rows).plan.planes
    assert [p.run_bytes for p in strided] == [16, 32]
    assert strided[0].src.block_stride == 64


def test_two_parts_of_one_head_dim() -> None:
    cache = KVCache.allocate("mla", **{**SIZES, "heads": 1, "head_dim": 12}, dtype=torch.float16)
    plan = plan_write(
        cache, 0, torch.zeros(2, 8, dtype=torch.half), torch.zeros(2, 1, 4, dtype=torch.half)
    )
    assert plan.target == ((0, 0), (0, 16))
    assert [p.run_bytes for p in plan.plan.planes] == [16, 8]
    with pytest.raises(ShapeError, match="add up to the cache's 12"):
        plan_write(cache, 0, *(torch.zeros(2, 8, dtype=torch.half) for _ in range(2)))


@pytest.mark.parametrize(
    ("layer", "key", "value", "error", "name"),
    [
        (2, torch.zeros(1, 16), torch.zeros(1, 16), ArgumentError, "layer"),
        (None, torch.zeros(1, 16), torch.zeros(1, 16), ArgumentError, "layer"),
        (0, None, torch.zeros(1, 16), DTypeError, "key"),
        (0, torch.zeros(1, 16), [0.0], DTypeError, "value"),
        (0, torch.zeros(16), torch.zeros(16), ShapeError, "key"),
        (0, torch.zeros(2, 16), torch.zeros(1, 16), ShapeError, "value"),
        (0, torch.zeros(1, 15), torch.zeros(1, 16), ShapeError, "key"),
        (0, torch.zeros(1, 16), None, ArgumentError, "value"),
        (0, torch.zeros(1, 16).half(), torch.zeros(1, 16), DTypeError, "key"),
    ],
)
def test_what_does_not_fit(layer, key, value, error, name) -> None:
    cache = KVCache.allocate("vllm_nhd", **SIZES, dtype=torch.float32)
    with pytest.raises(error) as caught:
        plan_write(cache, layer, key, value)
    assert caught.value.argument == name


def test_geometries_are_keys() -> None:
    a, b = (KVCache.allocate("vllm_hnd", **SIZES, dtype=torch.int8).geometry for _ in range(2))
    other = KVCache.allocate("vllm_nhd", **SIZES, dtype=torch.int8).geometry
    assert a == b
    assert hash(a) == hash(b)
    assert a != other
    assert plan_transfer(a, other) is plan_transfer(b, other)
    for twin in (pickle.loads(pickle.dumps(a)), copy.deepcopy(a)):
        assert isinstance(twin, Geometry)
        assert twin == a
        assert hash(twin) == hash(a)


def test_strides_of_axes_of_one_do_not_matter() -> None:
    pages = torch.zeros(2, 1, 4, 2, 8)
    odd = torch.zeros(2000).as_strided((2, 1, 4, 2, 8), (64, 777, 16, 8, 1))
    assert KVCache([pages, odd], "vllm_nhd").layers == 2


def test_too_many_strided_axes_are_refused() -> None:
    cache = KVCache([torch.zeros(2, 1, 1024)], "L | B S D")
    key = torch.zeros([1, *[3] * 10])[(slice(None), *[slice(0, 2)] * 10)]
    with pytest.raises(LayoutError, match="at most 8 strided axes"):
        plan_write(cache, 0, key, None)


@pytest.mark.parametrize(
    "change",
    [{"layers": 0}, {"block_size": 0}, {"heads": -1}, {"head_dim": 0}, {"blocks": -1}, {"kv": 0}],
)
def test_sizes_that_make_no_cache(change) -> None:
    with pytest.raises(ArgumentError) as caught:
        KVCache.allocate("vllm_nhd", **{**SIZES, **change}, dtype=torch.int8)
    assert caught.value.argument in change


def test_selected_layers_hold_only_their_tensors() -> None:
    cache = KVCache.allocate("vllm_nhd", **SIZES, dtype=torch.int8)
    part = cache.select_layers(1)
    assert len(part.tensors) == 1
    cache.tensors[0].untyped_storage().resize_(0)
    part.check_alive("src")  # its own layer is still there
    with pytest.raises(DTypeError, match="layers"):
        cache.select_layers(["1"])
