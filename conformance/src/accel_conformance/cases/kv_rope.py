"""Keys moved to other positions: near double precision, and every other byte as it was."""

from __future__ import annotations

import dataclasses
import gc

import pytest
import torch

from accel import Backend, Capability
from accel_conformance.byte_compare import random_bytes
from accel_conformance.case import case
from accel_conformance.gates import Gates
from accel_conformance.kv_inputs import FORMS, Form, LabelledCache, distinct_layouts, join
from accel_conformance.kv_shapes import MODELS, SMALL, KVShape
from accel_conformance.rope_expected import RopeExpectation, Setting
from accel_conformance.rope_work import KEY_FORMS, RopeWork, rope_work

rope = rope_work

ROPE = [Capability.KV_ROPE]
STREAMS = [*ROPE, Capability.STREAMS, Capability.COPY]
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
STYLES = [False, True]
STYLE_NAMES = ["neox", "interleaved"]
#: A cache of heads of 8 channels, and one whose first plane is MLA's latent and rope part.
PAIRS = Setting()
PARTIAL = Setting(rotary_dim=4, offset=2)
MLA = KVShape("mla", 3, 3, 8, 1, 80, planes=1)
ROPE_OF_MLA = Setting(interleaved=True, offset=64)


def _name(value: object) -> str:
    return str(getattr(value, "name", value)).removeprefix("torch.")


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("interleaved", STYLES, ids=STYLE_NAMES)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
@pytest.mark.parametrize(
    ("head_dim", "rotary_dim", "offset"),
    [(128, None, 0), (128, 64, 0), (80, 32, 48), (96, 64, 16), (64, 2, 0), (70, None, 4)],
)
def test_rope(
    rope: RopeWork,
    head_dim: int,
    rotary_dim: int | None,
    offset: int,
    dtype: torch.dtype,
    interleaved: bool,
) -> None:
    """Full and partial rotations of a few tokens, pairs in halves and interleaved."""
    setting = Setting(rotary_dim, interleaved, offset)
    keys = rope.tensor((37,), 3, head_dim, dtype)
    rope.reposition(keys, setting, rope.positions((37,)), rope.positions((37,)))


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("scaling", ["", "linear", "llama3", "yarn", "yarn-fractional"])
@pytest.mark.parametrize("base", [1e4, 5e5, 1e6])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=_name)
def test_rope_scaling(rope: RopeWork, dtype: torch.dtype, base: float, scaling: str) -> None:
    """Frequencies from the base, as they are and scaled for longer contexts."""
    for interleaved in STYLES:
        setting = Setting(interleaved=interleaved, base=base, scaling=scaling)
        keys = rope.tensor((40,), 2, 128, dtype)
        rope.reposition(keys, setting, rope.positions((40,), 131072), rope.positions((40,), 131072))


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
@pytest.mark.parametrize("by", ["forward", "back", "near", "across", "alike"])
def test_rope_far_positions(rope: RopeWork, by: str, dtype: torch.dtype) -> None:
    """Up to position 2^20, by large and small steps of either sign: as exact as near 0."""
    n, end = 64, 2**20 + 1
    high = torch.randint(end - 4096, end, (n,), generator=rope.rng)
    low = rope.positions((n,))
    high[-1], low[-1] = 2**20, 0
    old, new = {
        "forward": (low, high),
        "back": (high, low),
        "near": (high, (high + 1 - 2 * (low % 2)).clamp(max=2**20)),
        "across": (rope.positions((n,), end), rope.positions((n,), end)),
        "alike": (low, low + 1_000_003),
    }[by]
    for setting in (Setting(), Setting(interleaved=True, base=5e5, scaling="llama3")):
        rope.reposition(rope.tensor((n,), 2, 128, dtype), setting, old, new)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("interleaved", STYLES, ids=STYLE_NAMES)
@pytest.mark.parametrize("table", DTYPES, ids=_name)
@pytest.mark.parametrize("attention", [1.0, 1.3689], ids=["plain", "yarn"])
def test_rope_table(
    rope: RopeWork, table: torch.dtype, attention: float, interleaved: bool
) -> None:
    """Rotations as a cos_sin_cache has them, rounded and with YaRN's attention factor."""
    for dtype in DTYPES:
        setting = Setting(None, interleaved, 0, table=table, attention=attention)
        keys = rope.tensor((50,), 2, 64, dtype)
        old, new = rope.positions((50,)), rope.positions((50,))
        old[0], new[1] = setting.positions - 1, setting.positions - 1
        rope.reposition(keys, setting, old, new)
        partial = dataclasses.replace(setting, rotary_dim=16, offset=8)
        rope.reposition(keys, partial, new, old)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize(
    ("tokens", "heads", "head_dim"),
    [
        ((), 3, 64), ((0,), 2, 64), ((5,), 0, 64), ((1,), 1, 2), ((1,), 1, 64), ((7, 5), 2, 64),
        ((2, 3, 4), 2, 16), ((3, 0, 2), 2, 16), ((1, 9), 1, 48), ((33,), 40, 16), ((3,), 2, 576),
        ((2,), 3, 1200), ((65,), 1, 6),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("interleaved", STYLES, ids=STYLE_NAMES)
def test_rope_shape(
    rope: RopeWork, tokens: tuple[int, ...], heads: int, head_dim: int, interleaved: bool
) -> None:
    """No token, one, positions of no axis and of several, one head, many, odd widths."""
    for dtype in (torch.bfloat16, torch.float32):
        keys = rope.tensor(tokens, heads, head_dim, dtype)
        setting = Setting(interleaved=interleaved)
        rope.reposition(keys, setting, rope.positions(tokens), rope.positions(tokens))


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("form", KEY_FORMS)
@pytest.mark.parametrize("interleaved", STYLES, ids=STYLE_NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=_name)
def test_rope_strides(rope: RopeWork, dtype: torch.dtype, interleaved: bool, form: str) -> None:
    """Keys of any strides; what lies between them is not touched."""
    for tokens, head_dim in (((35,), 64), ((3, 5), 24)):
        for setting in (Setting(None, interleaved), Setting(12, interleaved, 3)):
            keys = rope.tensor(tokens, 3, head_dim, dtype, form)
            rope.reposition(keys, setting, rope.positions(tokens), rope.positions(tokens))


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("old_dtype", [torch.int32, torch.int64], ids=_name)
@pytest.mark.parametrize("new_dtype", [torch.int32, torch.int64], ids=_name)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_rope_positions(
    rope: RopeWork, old_dtype: torch.dtype, new_dtype: torch.dtype, on_device: bool
) -> None:
    """Positions of either integer type, on the host or the device, strided, of two axes."""
    old, new = rope.positions((9, 12)).to(old_dtype), rope.positions((9, 12)).to(new_dtype)
    settings = (Setting(), Setting(table=torch.float32))
    for a, b in ((old, new), (old[:, ::3], new[:, ::3]), (old[2], new.t()[3].repeat(2)[:12])):
        for setting in settings:
            keys = rope.tensor(tuple(a.shape), 2, 16, torch.float16)
            rope.reposition(keys, setting, a, b, on_device=on_device)
    keys = rope.tensor((12, 9), 2, 16, torch.float16)
    rope.reposition(keys, settings[0], old.t(), new.t(), on_device=on_device)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
def test_rope_same_position(rope: RopeWork, dtype: torch.dtype) -> None:
    """Tokens that stay keep their bits, NaN payloads and all; those between them move."""
    for setting in (Setting(), Setting(interleaved=True), Setting(table=torch.bfloat16)):
        keys = rope.tensor((30,), 2, 32, dtype)  # random bytes
        old = rope.positions((30,))
        rope.reposition(keys, setting, old, old.clone(), fill=False)
        moving = torch.arange(30) % 3 == 1
        old = rope.positions((30,))
        new = torch.where(moving, rope.positions((30,)), old)
        rope.fill(keys.raw, dtype, keys.index[moving], old[moving], setting)
        rope.reposition(keys, setting, old, new, fill=False)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
@pytest.mark.parametrize("interleaved", STYLES, ids=STYLE_NAMES)
def test_rope_there_and_back(rope: RopeWork, dtype: torch.dtype, interleaved: bool) -> None:
    """Away and back again: near what it was."""
    setting = Setting(interleaved=interleaved)
    keys = rope.tensor((40,), 2, 64, dtype)
    old, new = rope.positions((40,)), rope.positions((40,))
    rope.fill(keys.raw, dtype, keys.index, old, setting)
    first = keys.keys.cpu().double()
    given = setting.rope(64, rope.backend.device)
    rope.backend.kv.rope_reposition(keys.keys, old, new, given)
    rope.backend.kv.rope_reposition(keys.keys, new, old, given)
    rope.kv.settle()
    off = (keys.keys.cpu().double() - first).abs()
    channels = setting.channels(64)
    length = torch.linalg.vector_norm(first[..., channels], dim=-1)[..., None].expand(
        *first.shape[:-1], *channels.shape
    )
    # Each way adds at most a last place to either channel, and turns what the other way added.
    assert (off[..., channels] <= 2.5 * torch.finfo(dtype).eps * length + 1e-7).all()


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
@pytest.mark.parametrize("interleaved", STYLES, ids=STYLE_NAMES)
def test_rope_special_values(rope: RopeWork, dtype: torch.dtype, interleaved: bool) -> None:
    """NaN, infinities, zeros, subnormal and huge values: each alone affects its own pair."""
    special = [torch.nan, torch.inf, -torch.inf, 0.0, torch.finfo(dtype).tiny / 4,
               torch.finfo(dtype).max]  # fmt: skip
    setting = Setting(None, interleaved)
    keys = rope.tensor((6 * len(special),), 2, 32, dtype)
    old, new = (rope.positions(keys.tokens) for _ in range(2))
    rope.fill(keys.raw, dtype, keys.index, old, setting)
    for i, value in enumerate(special * 6):
        keys.keys[i, i % 2, (5 * i) % 32] = value
    rope.reposition(keys, setting, old, new, fill=False)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=_name)
def test_rope_many_tokens(rope: RopeWork, dtype: torch.dtype) -> None:
    """Enough tokens for several threads: some alike, some not."""
    n = 1500
    for setting in (Setting(), Setting(32, True, 16), Setting(table=torch.float32)):
        keys = rope.tensor((n,), 2, 64, dtype)
        old = rope.positions((n,), 2000)
        new = torch.where(torch.arange(n) % 200 < 150, old + 777, rope.positions((n,)))
        rope.reposition(keys, setting, old, new)


# --- caches ------------------------------------------------------------------------------------


@case(level=2, needs=ROPE)
@pytest.mark.parametrize(
    "layout", [n for n, t in distinct_layouts(2).items() if "H" in t.rpartition("|")[2]]
)
def test_rope_layout(rope: RopeWork, layout: str) -> None:
    """In every layout of keys and values with heads: the keys of some slots, in all layers."""
    shape = dataclasses.replace(SMALL, layers=3)
    for setting in (PAIRS, PARTIAL):
        rope.reposition_cache(rope.kv.make(layout, shape), shape.heads, setting)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("layout", distinct_layouts(1))
def test_rope_layout_of_one_plane(rope: RopeWork, layout: str) -> None:
    """Layouts without a K axis: the rope part of MLA, and keys alone."""
    cache = rope.kv.make(layout, MLA)
    rope.reposition_cache(cache, MLA.heads, ROPE_OF_MLA)
    rope.reposition_cache(cache, MLA.heads, Setting(16, False, 5), layer=1)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("form", FORMS, ids=_name)
@pytest.mark.parametrize("layout", ["vllm_nhd", "vllm_hnd", "sglang_page_head"])
def test_rope_cache_strides(rope: RopeWork, layout: str, form: Form) -> None:
    """Blocks padded apart, steps between elements, axes in another order."""
    for dtype in DTYPES:
        cache = rope.kv.make(layout, SMALL, dtype, form=form)
        rope.reposition_cache(cache, SMALL.heads, PARTIAL)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
def test_rope_vectorised_keys(rope: RopeWork, dtype: torch.dtype) -> None:
    """vLLM's older pair: keys whose head dim is split, beside values."""
    flat = dataclasses.replace(SMALL, head_dim=64, planes=1)
    settings = (
        Setting(), Setting(interleaved=True), Setting(20, False, 7), Setting(4, False, 24),
        Setting(4, True, 60),
    )  # fmt: skip
    for setting in settings:
        pair = join(
            rope.kv.make("vllm_paged_key", flat, dtype),
            rope.kv.make("vllm_paged_value", flat, dtype),
        )
        rope.reposition_cache(pair, flat.heads, setting)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("layer", [0, 1, 2, None])
@pytest.mark.parametrize("separate", [False, True], ids=["one-tensor", "a-tensor-each"])
def test_rope_layers(rope: RopeWork, layer: int | None, separate: bool) -> None:
    """One layer, or all of them; the others and the values stay as they are."""
    shape = dataclasses.replace(SMALL, layers=3)
    cache = rope.kv.make("vllm_nhd", shape, separate=separate)
    rope.reposition_cache(cache, shape.heads, PAIRS, layer=layer)
    part = cache.select_layers([2, 0])
    rope.reposition_cache(part, shape.heads, Setting(interleaved=True), layer=layer and 1)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize(
    "slots",
    [[], [0], [SMALL.slots - 1], [-1, -1], [-1, 4, -(2**31), SMALL.slots - 1], [5, 6, 7, 8, 9],
     [9, 8, 7]],
    ids=["none", "first", "last", "all-padding", "padding", "run", "reversed"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=_name)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_rope_slots(rope: RopeWork, slots: list[int], dtype: torch.dtype, on_device: bool) -> None:
    """Padding is skipped with its positions; no slots, no work."""
    for setting in (PAIRS, Setting(table=torch.float32)):
        cache = rope.kv.make("vllm_nhd", SMALL)
        rope.reposition_cache(cache, SMALL.heads, setting, slots, dtype=dtype, on_device=on_device)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("shape", MODELS, ids=_name)
def test_rope_model(rope: RopeWork, shape: KVShape) -> None:
    """In a real model's pages, a tensor for each layer."""
    if shape.planes == 2:
        setting, layout = Setting(base=5e5, scaling="llama3"), "vllm_nhd"
    else:
        setting, layout = Setting(None, True, 512, scaling="yarn"), "vllm_mla"
    shape = dataclasses.replace(shape, layers=min(shape.layers, 8))
    cache = rope.kv.make(layout, shape, separate=True)
    rope.reposition_cache(cache, shape.heads, setting)


# --- streams -----------------------------------------------------------------------------------


def _queued(rope: RopeWork, setting: Setting) -> tuple[LabelledCache, RopeExpectation, list]:  # type: ignore[type-arg]
    """A cache, what must become of it, and the arguments of the call."""
    cache = rope.kv.make("vllm_nhd", SMALL)
    slots = [3, 0, SMALL.slots - 1, 7]
    old, new = (rope.positions((4,)) for _ in range(2))
    expected = rope.prepare_cache(cache, SMALL.heads, setting, slots, old, new)
    given = setting.rope(SMALL.head_dim, rope.backend.device)
    return cache, expected, [old, new, given, rope.kv.indices(slots)]


@case(level=2, needs=STREAMS)
@pytest.mark.parametrize("setting", [PAIRS, Setting(table=torch.float32)], ids=["angles", "table"])
def test_rope_between_two_copies(
    rope: RopeWork, backend: Backend, gate: Gates, setting: Setting
) -> None:
    """Behind a copy that brings the keys, and ahead of one that takes them away."""
    cache, expected, (old, new, given, slots) = _queued(rope, setting)
    (arena,) = cache.arenas
    final = arena.raw.clone()
    arena.raw.copy_(random_bytes(final.shape, torch.uint8, rope.rng).to(final.device))
    result = torch.empty_like(final)
    spoilt = random_bytes(final.shape, torch.uint8, rope.rng).to(final.device)
    rope.kv.settle()
    stream = backend.streams.create()
    with gate(stream):
        backend.memcpy.copy_async(arena.raw, final, stream)
        backend.kv.rope_reposition(cache.cache, old, new, given, slots=slots, stream=stream)
        backend.memcpy.copy_async(result, arena.raw, stream)
        backend.memcpy.copy_async(arena.raw, spoilt, stream)
        for t in (old, new, slots):
            t.fill_(0)  # host indices were read at the call
    stream.synchronize()
    arena.raw.copy_(result)
    expected.check()


@case(level=2, needs=STREAMS)
@pytest.mark.parametrize("setting", [PAIRS, Setting(table=torch.float32)], ids=["angles", "table"])
def test_rope_inputs_are_kept_alive(
    rope: RopeWork, backend: Backend, gate: Gates, setting: Setting
) -> None:
    """Rope, positions and keys dropped while the work is queued are not reused before it ran."""
    keys = rope.tensor((16,), 2, 8, torch.float32)
    old, new = (rope.positions((16,)) for _ in range(2))
    scratch = rope.fill(keys.raw, torch.float32, keys.index, old, setting)
    expected = RopeExpectation([keys.raw])
    expected.turned(keys.raw, torch.float32, keys.index, old, new, setting, scratch)
    given = setting.rope(8, backend.device)
    stream = backend.streams.create()
    with gate(stream):
        backend.kv.rope_reposition(keys.keys, old, new, given, stream=stream)
        del given, old, new, keys
        gc.collect()
        # Whoever allocates now must not get memory that queued work still reads.
        scribble = [
            torch.full((n,), 1e9, device=backend.device)
            for n in (16, 32, setting.positions * 8)
            for _ in range(4)
        ]
    stream.synchronize()
    expected.check()
    del scribble


@case(level=2, needs=STREAMS)
def test_rope_on_the_current_stream(rope: RopeWork, backend: Backend) -> None:
    """Without a stream the call goes to the current one, between eager torch operations."""
    cache, expected, (old, new, given, slots) = _queued(rope, PAIRS)
    (arena,) = cache.arenas
    final = arena.raw.clone()
    rope.kv.settle()
    stream = backend.streams.create()
    with backend.stream(stream):
        arena.raw.fill_(0)
        arena.raw.copy_(final)
        backend.kv.rope_reposition(cache.cache, old, new, given, slots=slots)
        result = arena.raw.clone()
        arena.raw.fill_(0)
        arena.raw.copy_(result)
    stream.synchronize()
    expected.check()
