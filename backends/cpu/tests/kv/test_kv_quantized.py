"""Quantised writes and conversions by every set of row kernels, against the reference."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel.errors import ArgumentError
from accel.kv import KVCache
from accel.native_kernels import conversions
from accel_cpu import _native

VALUES = [torch.float16, torch.bfloat16, torch.float32]
CODES = [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8]
TWO_PLANES = [
    "L | K B S H D", "L | K B H S D", "| B L K S H D", "K L | T H D", "K | B H S L D",
    "| K L T D", "L | B H S K D", "L | B H D1 S D0 ; L | B H D S",
]  # fmt: skip
ONE_PLANE = ["L | B S D", "L | T H D", "L | B H S D", "L | B H D1 S D0"]
KERNELS = ["avx512", "avx2", "portable"]
MANY = settings(
    max_examples=50, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


@pytest.fixture(params=KERNELS)
def rows(request):
    """One set of row kernels; the best of this processor again afterwards."""
    if not _native.use_row_kernels(request.param):
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    next(name for name in KERNELS if _native.use_row_kernels(name))


def bits(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Half of it any bit pattern, half of usual size."""
    raw = torch.randint(0, 256, (*shape, dtype.itemsize), dtype=torch.uint8, generator=generator)
    usual = (torch.randn(shape, generator=generator) * 3).to(dtype)
    wild = torch.rand(shape, generator=generator) < 0.5
    return torch.where(wild, raw.view(dtype).squeeze(-1), usual)


def scale_of(draw: Any, shapes: list[tuple[int, ...] | None], generator: torch.Generator) -> Any:
    """A scale of one of the shapes, or a number for None."""
    shape = draw(st.sampled_from(shapes))
    if shape is None:
        return draw(st.sampled_from([1.0, 0.25, 0.0123, 2.0**-130, 3e38, 1]))
    return torch.exp2(torch.rand(shape, generator=generator) * 16 - 8)


def heads_of(cache: KVCache) -> int:
    return int(cache.views[0][0].shape[2])


def twins(tools: Any, draw: Any, layouts: list[str], dtype: torch.dtype, **sizes: Any) -> list[Any]:
    """Two caches alike, for the two backends."""
    layout, seed = draw(st.sampled_from(layouts)), draw(st.integers(0, 2**32))
    pad, offset = draw(st.sampled_from([0, 0, 5, 64])), draw(st.sampled_from([0, 0, 3]))
    return [
        tools.build(
            layout, tools.Sizes(**sizes), dtype, pad=pad, offset=offset,
            generator=torch.Generator().manual_seed(seed),
        )
        for _ in range(2)
    ]  # fmt: skip


def same(a: Any, b: Any, dtype: torch.dtype) -> None:
    """Every byte alike, but for which NaN it is."""
    for ours, theirs in zip(a.parts, b.parts, strict=True):
        if dtype in VALUES:
            x, y = (p.tensor for p in (ours, theirs))
            assert torch.equal(x.isnan(), y.isnan())
            y.copy_(torch.where(y.isnan(), x, y))
        assert torch.equal(ours.buffer, theirs.buffer)


@MANY
@given(data=st.data())
def test_writes(tools, rows, data):
    draw = data.draw
    layouts = draw(st.sampled_from([TWO_PLANES, ONE_PLANE]))
    heads = draw(st.sampled_from([1, 2, 3]))
    head_dim, split = draw(
        st.sampled_from([(1, 1), (4, 2), (6, 3), (16, 16), (80, 8), (64, 16), (600, 8), (640, 8)])
    )
    dtype, source = draw(st.sampled_from(CODES)), draw(st.sampled_from(VALUES))
    caches = twins(
        tools, draw, layouts, dtype, heads=heads, head_dim=head_dim, split=split,
        block_size=draw(st.sampled_from([1, 3, 4])),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    slots = draw(st.lists(st.integers(-3, caches[0].cache.slots - 1), unique=True, max_size=9))
    tokens = len(slots) + draw(st.integers(0, 2))
    given = []
    for _ in range(caches[0].cache.planes):
        key = bits((tokens, 2 * heads, head_dim), source, generator)
        given.append(draw(st.sampled_from([key[:, heads:], key[:, ::2], key[:, :heads].clone()])))
    own = heads_of(caches[0].cache)
    shapes = [None, (), (1,), (own,), (tokens, 1), (tokens, own)]
    scales = [scale_of(draw, shapes, generator) for _ in given]
    tools.force("cpu", draw(st.booleans()), draw(st.booleans()))
    for name, cache in zip(("cpu", "cpu-reference"), caches, strict=True):
        tools.kv(name).write(
            cache.cache, 1, given[0], given[1] if len(given) > 1 else None, torch.tensor(
                slots, dtype=torch.int64
            ),
            key_scale=scales[0], value_scale=scales[1] if len(given) > 1 else None,
        )  # fmt: skip
    tools.force("cpu", False, False)
    same(*caches, dtype)


@MANY
@given(data=st.data())
def test_conversions(tools, rows, data):
    draw = data.draw
    layouts = draw(st.sampled_from([TWO_PLANES, ONE_PLANE]))
    heads = draw(st.sampled_from([1, 2, 3]))
    head_dim, split = draw(
        st.sampled_from([(1, 1), (4, 2), (6, 3), (16, 16), (80, 8), (64, 16), (600, 8), (640, 8)])
    )
    dtypes = [draw(st.sampled_from(VALUES + CODES)) for _ in range(2)]
    sides = []
    for dtype in dtypes:
        size = draw(st.sampled_from([1, 3, 4, 12]))
        sides.append(
            twins(
                tools, draw, layouts, dtype, heads=heads, head_dim=head_dim, split=split,
                block_size=size, blocks=12 // size,
            )
        )  # fmt: skip
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    scales: list[Any] = []
    for dtype, (cache, _) in zip(dtypes, sides, strict=True):
        own, planes = heads_of(cache.cache), cache.cache.planes
        shapes = [None, (), (planes,), (planes, own), (2, planes, own)]
        scales.append(scale_of(draw, shapes, generator) if dtype in CODES else None)
    tools.force("cpu", draw(st.booleans()), draw(st.booleans()))
    for i, name in enumerate(("cpu", "cpu-reference")):
        src, dst = (side[i].cache for side in sides)
        tools.kv(name).convert(src, dst, src_scale=scales[0], dst_scale=scales[1])
    tools.force("cpu", False, False)
    same(*sides[1], dtypes[1])


@pytest.mark.parametrize("table", [True, False], ids=["exchange-table", "attributes"])
def test_known_shapes_enter_native_code_at_once(monkeypatch, table):
    """After the first call with tensors of a shape nothing is planned, whatever the token count."""
    before = _native.kv.use_exchange_table(table)
    try:
        cache = KVCache([torch.zeros(2, 4, 4, 2, 8, dtype=torch.int8)] * 1, "L | K B S H D")
        kernels = __import__("accel").get_backend("cpu").kv
        key = torch.randn(6, 2, 8, dtype=torch.bfloat16)
        scales = [0.5, 1, torch.ones(()), torch.ones(2), torch.ones(6, 1), torch.ones(6, 2)]
        for scale in (0.5, torch.ones(2)):
            kernels.write(cache, 0, key, key, torch.arange(6), key_scale=scale, value_scale=scale)

        def no_plan(*_: object) -> None:
            raise AssertionError("planned again")

        monkeypatch.setattr(conversions, "plan_quantized_write", no_plan)
        for scale in scales:
            kernels.write(cache, 0, key, key, torch.arange(6), key_scale=scale, value_scale=scale)
        kernels.write(cache, 0, key[:2], key[:2], torch.arange(2), key_scale=0.5, value_scale=0.5)
    finally:
        _native.kv.use_exchange_table(before)


@pytest.mark.parametrize("scale", [numpy.float32(0.5), numpy.float64(0.5), 1, True])
def test_other_numbers(kv, scale):
    cache = KVCache([torch.zeros(2, 2, 4, dtype=torch.int8)], "L | B S D")
    key = torch.full((1, 4), 3.0)
    if scale is True:
        with pytest.raises(TypeError):
            kv.write(cache, 0, key, None, torch.tensor([1]), key_scale=scale)
        return
    kv.write(cache, 0, key, None, torch.tensor([1]), key_scale=scale)
    assert cache.tensors[0].flatten().tolist()[4:8] == [3 / float(scale)] * 4


def test_scales_that_require_gradients(kv):
    """Parameters are tensors like any other."""
    cache = KVCache([torch.zeros(2, 2, 4, dtype=torch.int8)], "L | B S D")
    scale = torch.nn.Parameter(torch.tensor([0.5]))
    key = torch.nn.Parameter(torch.ones(1, 4))
    kv.write(cache, 0, key, None, torch.tensor([1]), key_scale=scale)
    assert cache.tensors[0].sum() == 8


def test_more_shapes_than_are_kept(kv):
    """Plans that were dropped are made again."""
    cache = KVCache([torch.zeros(2, 2, 4, dtype=torch.int8)], "L | B S D")
    wide = torch.arange(400.0).view(1, 400)
    for _ in range(2):
        for step in range(1, 90):
            kv.write(cache, 0, wide[:, ::step][:, :4], None, torch.tensor([1]), key_scale=4.0)
            want = (torch.arange(4) * step / 4).round().clamp(max=127)
            assert torch.equal(cache.tensors[0][0, 1].float(), want)


def test_the_words_are_those_of_the_reference(tools):
    """Native code refuses a scale as the device-free check does."""
    messages = []
    for name in ("cpu", "cpu-reference"):
        cache = KVCache([torch.zeros(2, 4, 4, 2, 8, dtype=torch.int8)], "L | K B S H D")
        key, scale = torch.ones(4, 2, 8), torch.ones(4, 2)
        scale[3, 1] = float("nan")
        slots = torch.tensor([-1, 3, 2, 9])
        with pytest.raises(ArgumentError) as caught:
            tools.kv(name).write(cache, 0, key, key, slots, key_scale=scale, value_scale=1.0)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "nan at [3, 1]" in messages[0]
