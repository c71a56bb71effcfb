"""Repositioning natively: against the reference, on every instruction set, prepared once."""

from __future__ import annotations

import gc
import timeit
import weakref
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import accel
from accel.errors import ArgumentError, DTypeError, OverlapError, SlotError
from accel.kv import KVCache, LinearScaling, Llama3Scaling, Rope, YarnScaling
from accel.native_kernels import rope as rope_module
from accel_cpu import _native
from accel_cpu.kv import CpuKVKernels
from accel_cpu.reference.rope import _round

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
SETS = ("avx512", "avx2", "portable")
#: One last place relative to the value, by which two right results may differ: one of them is
#: within half of one (the reference), the other within one.
PLACES = 1.5


@pytest.fixture(params=SETS)
def instructions(request: pytest.FixtureRequest) -> Any:
    """The row loops of one instruction set."""
    best = next(name for name in SETS if _native.use_row_kernels(name))
    if not _native.use_row_kernels(request.param):
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    _native.use_row_kernels(best)


@pytest.fixture
def kernels() -> CpuKVKernels:
    return CpuKVKernels(accel.get_backend("cpu"))


def reference() -> Any:
    return accel.get_backend("cpu-reference").kv


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view({2: torch.int16, 4: torch.int32}[tensor.element_size()])


def assert_near(got: torch.Tensor, want: torch.Tensor, rope: Rope) -> None:
    """Rotated channels within the two bounds together, all others the same bits."""
    if not got.numel():
        return
    dim, n = rope.dim_for(got.shape[-1]), rope.offset
    for part in (slice(0, n), slice(n + dim, None)):
        assert torch.equal(bits(got)[..., part], bits(want)[..., part])
    a, b = got[..., n : n + dim].double(), want[..., n : n + dim].double()
    if rope.interleaved:
        length = b.unflatten(-1, (-1, 2)).norm(dim=-1).repeat_interleave(2, -1)
    else:
        length = b.unflatten(-1, (2, -1)).norm(dim=-2).repeat(*[1] * (b.dim() - 1), 2)
    info = torch.finfo(got.dtype)
    place = info.eps * torch.maximum(a.abs(), b.abs()).clamp(min=info.tiny)
    allowed = torch.maximum(PLACES * place, 4 * 2.0**-24 * length + place / 2)
    assert (a - b).abs().le(allowed).all()


@st.composite
def ropes(draw: Any, head_dim: int) -> Rope:
    """Any rotation that fits heads of ``head_dim``."""
    dim = 2 * draw(st.integers(1, head_dim // 2))
    offset = draw(st.sampled_from([0, head_dim - dim]))
    rotary = None if offset + dim == head_dim and draw(st.booleans()) else dim
    style = draw(st.booleans())
    if draw(st.booleans()):
        positions = torch.arange(600).double()[:, None]
        inv_freq = torch.tensor(Rope().inv_freq(dim), dtype=torch.float64)
        factor = draw(st.sampled_from([1.0, 1.27]))
        table = factor * torch.cat([(positions * inv_freq).cos(), (positions * inv_freq).sin()], 1)
        table = table.to(draw(st.sampled_from(DTYPES)))
        if draw(st.booleans()):
            table = table.t().contiguous().t()
        return Rope(rotary, interleaved=style, cos_sin_cache=table, offset=offset)
    base = draw(st.sampled_from([1e4, 5e5, 1e6]))
    scaling = draw(
        st.sampled_from([None, LinearScaling(8.0), Llama3Scaling(), YarnScaling(4.0, 4096)])
    )
    return Rope(rotary, base, style, scaling, offset=offset)


@st.composite
def keys_of(draw: Any, tokens: list[int], heads: int, head_dim: int) -> torch.Tensor:
    """Keys in any memory order, with gaps or steps."""
    shape = [*tokens, heads, head_dim]
    order = draw(st.permutations(range(len(shape))))
    strides, step = [0] * len(shape), draw(st.sampled_from([1, 1, 2, 3]))
    for axis in order:
        strides[axis] = step
        step = max(1, step * shape[axis]) + draw(st.sampled_from([0, 0, 0, 5]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(DTYPES))
    flat = torch.randn(step + 9, generator=generator).to(dtype)
    return flat.as_strided(shape, strides, draw(st.integers(0, 8)))


@pytest.mark.parametrize("name", SETS)
@settings(
    max_examples=60, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(data=st.data())
def test_native_is_near_the_reference(name, data):
    draw = data.draw
    best = next(s for s in SETS if _native.use_row_kernels(s))
    if not _native.use_row_kernels(name):
        pytest.skip(f"this processor has no {name}")
    head_dim = draw(st.sampled_from([2, 6, 16, 33, 64, 80, 128, 530, 1100]))
    tokens = draw(st.lists(st.integers(0, 9), max_size=1 if head_dim > 128 else 2))
    heads = draw(st.integers(1, 4))
    rope = draw(ropes(head_dim))
    ours = draw(keys_of(tokens, heads, head_dim))
    theirs = copy_of(ours)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    old = torch.randint(600, tuple(tokens), generator=generator)
    new = torch.randint(600, tuple(tokens), generator=generator)
    if draw(st.booleans()):
        new = (old + draw(st.integers(0, 3))) % 600
    if draw(st.booleans()):
        old, new = old.int(), new.int()
    before = _native.rope.set_parallel_bytes(draw(st.sampled_from([0, -1])))
    try:
        accel.get_backend("cpu").kv.rope_reposition(ours, old, new, rope)
    finally:
        _native.rope.set_parallel_bytes(before)
        _native.use_row_kernels(best)
    reference().rope_reposition(theirs, old, new, rope)
    assert_near(ours, theirs, rope)
    if ours.numel():  # what lies between
        rest, other = whole(ours).clone(), whole(theirs)
        view_like(rest, ours).copy_(view_like(other, ours))
        assert torch.equal(bits(rest), bits(other))


def whole(tensor: torch.Tensor) -> torch.Tensor:
    elements = tensor.untyped_storage().nbytes() // tensor.element_size()
    return tensor.as_strided((elements,), (1,), 0)


def view_like(flat: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def copy_of(tensor: torch.Tensor) -> torch.Tensor:
    """With the same strides, and what lies between."""
    return view_like(whole(tensor).clone(), tensor)


def test_caches_on_every_instruction_set(instructions):
    """Vectorised, HND and channel-outermost keys: near the reference, values untouched."""
    generator = torch.Generator().manual_seed(3)
    for layout in ("vllm_nhd", "vllm_hnd", "L | B H D1 S D0", "L | B H D S", "sglang_page_first"):
        for dtype in DTYPES:
            caches = [
                KVCache.allocate(
                    layout, layers=2, blocks=6, block_size=8, heads=3, head_dim=64, dtype=dtype
                )
                for _ in range(2)
            ]
            for a, b in zip(caches[0].tensors, caches[1].tensors, strict=True):
                a.copy_(torch.randn(a.shape, generator=generator))
                b.copy_(a)
            slots = torch.randperm(48, generator=generator)[:30]
            slots[3] = -1
            old, new = (torch.randint(9000, (30,), generator=generator) for _ in range(2))
            for rope in (Rope(), Rope(32, interleaved=True, offset=9)):
                accel.get_backend("cpu").kv.rope_reposition(caches[0], old, new, rope, slots=slots)
                reference().rope_reposition(caches[1], old, new, rope, slots=slots)
                for layer in range(2):
                    keys = [
                        c.views[layer][0].permute(0, 1, 2, 3, 4).flatten(3).contiguous()
                        for c in caches
                    ]
                    assert_near(keys[0], keys[1], rope)
                    if caches[0].planes == 2:
                        values = [c.view(layer, 1) for c in caches]
                        assert torch.equal(*values)
                # Rounding may differ; start alike again.
                for a, b in zip(caches[0].tensors, caches[1].tensors, strict=True):
                    b.copy_(a)


def test_instruction_sets_agree(instructions):
    """The same bits whatever the processor."""
    generator = torch.Generator().manual_seed(8)
    for dtype in DTYPES:
        keys = torch.randn(50, 3, 96, generator=generator).to(dtype)
        old, new = (torch.randint(2**20, (50,), generator=generator) for _ in range(2))
        got, want = keys.clone(), keys.clone()
        accel.get_backend("cpu").kv.rope_reposition(got, old, new, Rope())
        _native.use_row_kernels("portable")
        accel.get_backend("cpu").kv.rope_reposition(want, old, new, Rope())
        _native.use_row_kernels(instructions)
        assert torch.equal(bits(got), bits(want))


def test_threads_and_blocks_change_nothing():
    """Alone or shared out, in blocks of any content: the same bits as token by token."""
    generator = torch.Generator().manual_seed(4)
    kv = accel.get_backend("cpu").kv
    table = torch.randn(500, 64, generator=generator)
    for rope in (Rope(), Rope(cos_sin_cache=table)):
        keys = torch.randn(300, 2, 64, generator=generator)
        old = torch.randint(100, (300,), generator=generator)
        new = old + torch.randint(3, (300,), generator=generator).repeat_interleave(5)[:300]
        new[100:200] = old[100:200] + 7
        singly, alone, shared = keys.clone(), keys.clone(), keys.clone()
        for i in range(300):
            kv.rope_reposition(singly[i], old[i], new[i], rope)
        before = _native.rope.set_parallel_bytes(1 << 60)
        kv.rope_reposition(alone, old, new, rope)
        _native.rope.set_parallel_bytes(0)
        kv.rope_reposition(shared, old, new, rope)
        _native.rope.set_parallel_bytes(before)
        assert torch.equal(singly, alone)
        assert torch.equal(singly, shared)


def test_frequencies_above_one():
    """Angles beyond what the row loops take, by a scaling that quickens rotations."""
    rope = Rope(scaling=LinearScaling(2.0**-12))
    keys = torch.randn(4, 1, 8)
    other = keys.clone()
    old, new = torch.tensor([0, 5, 2**31 - 1, 2**31 - 1]), torch.tensor([2**31 - 1, 6, 0, 3])
    accel.get_backend("cpu").kv.rope_reposition(keys, old, new, rope)
    reference().rope_reposition(other, old, new, rope)
    assert_near(keys, other, rope)


def test_what_is_prepared_goes_with_its_rope(kernels):
    rope = Rope()
    keys, at = torch.randn(2, 2, 8), torch.tensor([1, 2])
    kernels.rope_reposition(keys, at, at + 1, rope)
    assert len(kernels._rotations) == 1
    gone = weakref.ref(rope)
    del rope
    gc.collect()
    assert gone() is None
    assert not kernels._rotations


def test_one_rope_for_several_widths(kernels):
    rope = Rope()
    for width in (8, 64, 8, 6):
        keys = torch.randn(3, 2, width)
        other, at = keys.clone(), torch.tensor([5, 6, 0])
        kernels.rope_reposition(keys, at, at * 3, rope)
        reference().rope_reposition(other, at, at * 3, rope)
        assert_near(keys, other, rope)
    assert len(kernels._rotations) == 1


def test_prepared_caches_are_bounded(kernels, monkeypatch):
    monkeypatch.setattr(rope_module, "_MOST", 3)
    rope, at = Rope(), torch.tensor([1])
    caches = [
        KVCache.allocate("vllm_nhd", layers=1, blocks=1, block_size=2, heads=1, head_dim=8,
                         dtype=torch.float32)
        for _ in range(6)
    ]  # fmt: skip
    for cache in caches:
        kernels.rope_reposition(cache, at, at, rope, slots=at)
    assert len(kernels._key_caches) == 3
    kernels.close()
    assert not kernels._key_caches
    assert not kernels._rotations


def test_wrong_calls_after_right_ones(kernels):
    """The prepared path refuses what the first call refuses, in the same words."""
    rope, keys = Rope(), torch.zeros(3, 2, 8)
    good = torch.tensor([1, 2, 3])
    cache = KVCache.allocate(
        "vllm_nhd", layers=2, blocks=2, block_size=4, heads=2, head_dim=8, dtype=torch.float32
    )
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (ArgumentError, {"old_positions": torch.tensor([1, -2, 3])}),
        (ArgumentError, {"new_positions": torch.tensor([1, 2, 2**31])}),
        (DTypeError, {"old_positions": [1, 2, 3]}),
        (DTypeError, {"stream": 5}),
        (SlotError, {"slots": torch.tensor([1, 2, 8])}),
        (OverlapError, {"slots": torch.tensor([1, 2, 1])}),
        (ArgumentError, {"layer": 2}),
    ]
    for target in (keys, cache):
        slots = {} if target is keys else {"slots": good}
        call = {"keys": target, "old_positions": good, "new_positions": good + 1, **slots}
        said = []
        for prepared in (False, True):
            if prepared:
                kernels.rope_reposition(rope=rope, **call)
            for error, change in wrong:
                if target is keys and "slots" in change:
                    continue
                with pytest.raises(error) as caught:
                    kernels.rope_reposition(rope=rope, **{**call, **change})
                said.append(str(caught.value))
        assert said[: len(said) // 2] == said[len(said) // 2 :]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_reference_rounds_once(dtype):
    """Against exact neighbours: nearest, ties to even, also where float32 would round first."""
    generator = torch.Generator().manual_seed(1)
    info = torch.finfo(dtype)
    some = torch.randn(20_000, generator=generator, dtype=torch.float64)
    some *= torch.exp2(torch.randint(-26, 15, some.shape, generator=generator))
    low = some.to(dtype)
    high = torch.nextafter(low.float(), torch.full_like(low.float(), torch.inf))
    if dtype != torch.float32:
        ints = bits(low)
        high = (ints + torch.where(low >= 0, 1, -1).to(ints.dtype)).view(dtype)
    middle = (low.double() + high.double()) / 2
    finite = high.double().abs() <= info.max
    low, high, middle = (t[finite] for t in (low, high, middle))
    tiny, ends = middle.abs() * 2.0**-40, torch.stack((low.double(), high.double()))
    down, up = ends.aminmax(dim=0)
    assert torch.equal(_round(middle + tiny, dtype).double(), up)
    assert torch.equal(_round(middle - tiny, dtype).double(), down)
    even = torch.where(bits(low) % 2 == 0, low.double(), high.double())
    assert torch.equal(_round(middle, dtype).double(), even)


def test_calls_are_cheap(kernels):
    """Nothing is prepared twice: a call on one token takes microseconds."""
    rope, keys = Rope(), torch.randn(1, 1, 64)
    old, new = torch.tensor([3]), torch.tensor([9])
    call = lambda: kernels.rope_reposition(keys, old, new, rope)  # noqa: E731
    call()
    assert min(timeit.repeat(call, number=200, repeat=5)) / 200 < 20e-6
