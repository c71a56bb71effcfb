"""The strided-copy kernels on the CPU, with the arguments that the host side makes for them."""

from __future__ import annotations

import ctypes
import itertools
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.kv import KVCache
from accel.kv.plan import plan_transfer

native = pytest.importorskip("accel_cuda._native", reason="accel-cuda's native part is not built")

THREADS = 128
PLAIN = ["L | K B S H D", "L | K B H S D", "K L | T H D", "K | T L H D", "K | B H S L D",
         "| B L K S H D", "| B L K H S D", "L | B H S K D", "L | B S H K D"]  # fmt: skip
TURNED = ("L | B H D1 S D0", "L | B H D S")


def make(layout, blocks, *, size=4, heads=2, head_dim=16, layers=2, dtype=torch.bfloat16, pad=0):
    """A cache of random bytes; ``pad`` elements between blocks where these come first."""
    if isinstance(layout, tuple):
        parts = [
            make(one, blocks, size=size, heads=heads, head_dim=head_dim, layers=layers, dtype=dtype)
            for one in layout
        ]
        return KVCache.join(*parts)
    cache = KVCache.allocate(
        layout, layers=layers, blocks=blocks, block_size=size, heads=heads, head_dim=head_dim,
        dtype=dtype,
    )  # fmt: skip
    tensors = list(cache.tensors)
    if pad and layout.partition("|")[2].split()[0] == "B":
        tensors = []
        for t in cache.tensors:
            wide = torch.empty(t.shape[0], t[0].numel() + pad, dtype=dtype)
            tensors.append(wide[:, : t[0].numel()].view(t.shape))
        outer = layout.partition("|")[0].strip()
        cache = KVCache(tensors if outer else tensors[0], layout)
    for t in cache.tensors:
        t.untyped_storage().copy_(
            torch.randint(256, (t.untyped_storage().nbytes(),), dtype=torch.uint8).untyped_storage()
        )
    return cache


def contents(cache):
    """``[layer][plane]``: ``[slots, elements]`` of bytes, copied."""
    return [[_bytes(view, cache.slots) for view in row] for row in cache.views]


def _bytes(view, slots):
    rows = view.reshape(slots, -1).contiguous().view(torch.uint8)
    return rows.reshape(slots, -1).clone()


@dataclass
class Move:
    src: KVCache
    dst: KVCache
    grain: str = "token"

    def plan(self):
        return plan_transfer(self.src.geometry, self.dst.geometry, self.grain)

    def unit(self):
        plan = self.plan()
        return self.src.slots // plan.src_units


def expect(move, pairs):
    """What dst holds afterwards, by loops over tokens."""
    before, after, unit = contents(move.src), contents(move.dst), move.unit()
    for s, d in pairs:
        if s < 0 or d < 0:
            continue
        for layer, plane, i in itertools.product(
            range(move.src.layers), range(move.src.planes), range(unit)
        ):
            after[layer][plane][d * unit + i] = before[layer][plane][s * unit + i]
    return after


def run(library, move, pairs, *, group=1, form="here", blocks=None, fault=0, table=0, count=0):
    plan = move.plan()
    src, dst = [s for s, _ in pairs], [d for _, d in pairs]
    held = []

    def listed(values):
        if form == "here":
            return values
        kind = torch.int64 if form == "int64" else torch.int32
        held.append(torch.tensor([[v, -9] for v in values], dtype=kind))
        return (held[-1].data_ptr(), 2, form == "int64")

    launches = native.kv.describe_launches(
        plan.layers, plan.pack(), list(move.src.pointers), list(move.dst.pointers), group,
        len(pairs), listed(src), listed(dst), plan.src_units, plan.dst_units,
        table, fault, count,
    )  # fmt: skip
    for kernel, tiles, shared, args in launches:
        library.launch(kernel, args, grid=blocks or tiles, block=THREADS, shared_bytes=shared)
    return launches


def compare(move, expected):
    for layer, row in enumerate(contents(move.dst)):
        for plane, found in enumerate(row):
            assert torch.equal(found, expected[layer][plane]), (layer, plane)


def some_pairs(move, count):
    plan = move.plan()
    dst = random.sample(range(plan.dst_units), min(count, plan.dst_units))
    pairs = [(random.randrange(plan.src_units), d) for d in dst]
    for at, hole in ((1, (-1, pairs[0][1])), (3, (0, -5))):
        if len(pairs) > at + 1:
            pairs[at] = hole if hole[0] else (pairs[at][0], -5)
    return pairs


@pytest.fixture(scope="module")
def library(shim):
    return shim("kv_copy.cu")


@pytest.mark.parametrize("grain", ["token", "block"])
@pytest.mark.parametrize("target", [*PLAIN, TURNED], ids=str)
@pytest.mark.parametrize("source", [*PLAIN, TURNED], ids=str)
def test_every_pair_of_layouts(library, source, target, grain):
    size = 8
    move = Move(make(source, 5, size=size), make(target, 6, size=size), grain)
    if grain == "block" and (move.src.block_size != move.dst.block_size):
        pytest.skip("blocks of different sizes cannot move whole")
    pairs = some_pairs(move, 3 if grain == "block" else 21)
    expected = expect(move, pairs)
    run(library, move, pairs, form=random.choice(["here", "int32", "int64"]))
    compare(move, expected)


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.int64], ids=str
)
@pytest.mark.parametrize("way", ["to", "from"])
@pytest.mark.parametrize("size", [16, 32, 48])  # stretches that are dealt out, and that are not
def test_elements_are_turned(library, dtype, way, size):
    """Values kept as [head dim, slot]: squares of 16 bytes, of elements of every size."""
    old = make(TURNED, 5, size=size, head_dim=48, dtype=dtype)
    new = make("L | K B S H D", 5, size=size, head_dim=48, dtype=dtype)
    move = Move(old, new, "block") if way == "to" else Move(new, old, "block")
    pairs = [(0, 3), (2, 1), (-1, 0), (4, 4)]
    expected = expect(move, pairs)
    kernels = [name for name, *_ in run(library, move, pairs)]
    compare(move, expected)
    assert f"kv_copy_turned_{dtype.itemsize}" in kernels and "kv_copy_turned_16" in kernels


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape(library, data):
    draw = data.draw
    size, heads = draw(st.sampled_from([1, 2, 3, 4, 16])), draw(st.integers(1, 5))
    head_dim = draw(st.sampled_from([1, 2, 3, 5, 8, 12, 33, 66, 80]))
    dtype = draw(st.sampled_from([torch.uint8, torch.bfloat16, torch.float32, torch.int64]))
    shape = {"size": size, "heads": heads, "head_dim": head_dim, "dtype": dtype,
             "layers": draw(st.integers(1, 3))}  # fmt: skip
    source, target = draw(st.sampled_from(PLAIN)), draw(st.sampled_from(PLAIN))
    move = Move(
        make(source, draw(st.integers(1, 4)), pad=draw(st.sampled_from([0, 1, 7, 8])), **shape),
        make(target, draw(st.integers(1, 4)), pad=draw(st.sampled_from([0, 3, 16])), **shape),
        draw(st.sampled_from(["token", "block"])),
    )
    if move.grain == "block" and move.src.block_size != move.dst.block_size:
        move.grain = "token"
    pairs = some_pairs(move, draw(st.integers(1, 60)))
    expected = expect(move, pairs)
    run(library, move, pairs, blocks=draw(st.sampled_from([None, 1, 3])))
    compare(move, expected)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_neighbouring_units_as_one(library, data):
    """Groups of tokens that follow one another on both sides, within their blocks."""
    draw = data.draw
    group = draw(st.sampled_from([2, 4, 8]))
    size = group * draw(st.integers(1, 2))
    source, target = (draw(st.sampled_from([*PLAIN, TURNED])) for _ in range(2))
    shape = {"size": size, "heads": draw(st.integers(1, 3)), "head_dim": 16,
             "dtype": draw(st.sampled_from([torch.uint8, torch.bfloat16]))}  # fmt: skip
    move = Move(make(source, 4, **shape), make(target, 4, **shape))
    starts = list(range(0, 4 * size, group))
    pairs = list(zip(random.sample(starts, 3), random.sample(starts, 3), strict=True))
    tokens = [(s + i, d + i) for s, d in pairs for i in range(group)]
    expected = expect(move, tokens)
    run(library, move, pairs, group=group)
    compare(move, expected)


def test_bases_off_by_the_same_bytes(library):
    """Long runs whose addresses are off alike: a short first vector, then whole ones."""
    for off, step in itertools.product((1, 5, 15), (512, 528)):
        raw = [torch.randint(256, (6 * step + 32,), dtype=torch.uint8) for _ in range(2)]
        views = []
        for r in raw:
            first = -r.data_ptr() % 16 + off
            views.append(torch.as_strided(r, (6, 500), (step, 1), first))
        move = Move(KVCache(views[0], "| T D"), KVCache(views[1], "| T D"))
        pairs = [(0, 5), (3, 0), (4, 2)]
        expected, guard = expect(move, pairs), raw[1].clone()
        run(library, move, pairs)
        compare(move, expected)
        views[1].copy_(torch.as_strided(guard, (6, 500), (step, 1), views[1].storage_offset()))
        assert torch.equal(raw[1], guard)


@pytest.mark.parametrize("tabled", [True, False])
def test_more_bases_than_arguments_hold(library, tabled):
    """From a table in one launch, or without one in several."""
    move = Move(make("L | K B S H D", 3, layers=100), make("L | B K S H D", 3, layers=100))
    table = np.zeros(2 * 200, np.uint64)
    pairs = some_pairs(move, 8)
    expected = expect(move, pairs)
    launches = run(library, move, pairs, table=table.ctypes.data if tabled else 0)
    compare(move, expected)
    assert len(launches) == (1 if tabled else 2)


@pytest.mark.parametrize("count", [1, 64, 65])
def test_few_units_take_small_arguments(library, count):
    """With the bases in a table, up to 64 pairs go with a struct of a third of the size."""
    move = Move(make("L | K B S H D", 20), make("L | K B H S D", 20))
    table = np.zeros(2 * 4, np.uint64)
    pairs = some_pairs(move, count)
    expected = expect(move, pairs)
    launches = run(library, move, pairs, table=table.ctypes.data)
    compare(move, expected)
    assert [name for name, *_ in launches] == ["kv_copy_rows_16" + ("_few" if count < 65 else "")]


def test_three_sorts_of_planes(library):
    """More kinds of planes than one launch takes."""
    sizes = {"layers": 2, "blocks": 4, "block_size": 4, "dtype": torch.uint8}
    caches = []
    for _ in range(2):
        parts = [
            KVCache.allocate("L | B S D", heads=1, head_dim=dim, **sizes) for dim in (64, 4, 12)
        ]
        for part in parts:
            for t in part.tensors:
                t.random_(256)
        caches.append(KVCache.join(*parts))
    move = Move(*caches)
    pairs = some_pairs(move, 9)
    expected = expect(move, pairs)
    assert len(run(library, move, pairs)) == 2
    compare(move, expected)


class Fault(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_uint32) for name in ("state", "kind", "argument", "padding")],
        *[(name, ctypes.c_int64) for name in ("index", "limit", "position")],
        ("unused", ctypes.c_int64 * 3),
    ]


@pytest.mark.parametrize("side", [1, 2])
def test_an_index_out_of_range_is_reported_and_skipped(library, side):
    move = Move(make("L | K B S H D", 3), make("| K L T H D", 3))
    good = [(0, 1), (2, 0), (5, 11)]
    wrong = (12, 3) if side == 1 else (3, 10**9)
    expected = expect(move, good)
    fault = Fault()
    # Beside padding an index out of range is padding too.
    pairs = [*good[:2], (-1, 10**9), wrong, good[2]]
    run(library, move, pairs, form="int64", fault=ctypes.addressof(fault))
    compare(move, expected)
    assert (fault.state, fault.kind, fault.argument) == (2, 1, side)
    assert (fault.index, fault.limit, fault.position) == (wrong[side - 1], 12, 3)


@pytest.mark.parametrize("given", [-1, 0, 3, 100])
def test_the_number_of_units_from_the_device(library, given):
    move = Move(make("L | K B S H D", 3), make("L | K B H S D", 3))
    pairs = [(i, 11 - i) for i in range(9)]
    expected = expect(move, pairs[: max(0, given)])
    count = ctypes.c_longlong(given)
    run(library, move, pairs, count=ctypes.addressof(count))
    compare(move, expected)
