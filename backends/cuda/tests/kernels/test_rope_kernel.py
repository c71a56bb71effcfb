"""The rotation kernel on the CPU: layouts, lists of tokens, tables and faults, against float64."""

from __future__ import annotations

import ctypes
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim import arith_args as aa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KINDS = {torch.float32: aa.F32, torch.float16: aa.F16, torch.bfloat16: aa.BF16}
INTS = {2: (np.uint16, np.int16), 4: (np.uint32, np.int32)}
MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Fault(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("state", "kind", "argument", "padding")] + [
        (n, ctypes.c_int64) for n in ("index", "limit", "position", "a", "b", "c")
    ]


class Keys:
    """Keys in guarded memory, in some order of axes, and what they were."""

    def __init__(self, memory: Any, shape: tuple[int, ...], order: tuple[int, ...], pad: int,
                 dtype: torch.dtype, seed: int) -> None:  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        self.dtype, size = dtype, torch.empty((), dtype=dtype).element_size()
        inside = [shape[i] for i in order]
        raw = memory.empty((*inside[:-1], inside[-1] + pad), INTS[size][0])
        stored = torch.from_numpy(raw.view(INTS[size][1])).view(dtype)
        stored.copy_(torch.randn(stored.shape, generator=generator).to(dtype))
        back = [order.index(i) for i in range(len(order))]
        self.stored = stored
        self.view = stored[..., : inside[-1]].permute(back)
        self.image = stored.clone()
        self.before = self.view.clone()
        self.operand = aa.Operand(
            raw.ctypes.data, tuple(self.view.shape), tuple(s * size for s in self.view.stride())
        )

    def check(self, c: torch.Tensor, s: torch.Tensor, moves: torch.Tensor, first: int,
              interleaved: bool) -> None:  # fmt: skip
        """``c``, ``s``: ``[..., pairs]`` of float64, of the tokens that move."""
        pairs = c.shape[-1]
        i = torch.arange(pairs)
        xs, ys = (2 * i, 2 * i + 1) if interleaved else (i, i + pairs)
        x, y = self.before.double()[..., first + xs], self.before.double()[..., first + ys]
        c, s = c.unsqueeze(-2), s.unsqueeze(-2)
        length = torch.hypot(x, y)
        for channels, want in ((xs, x * c - y * s), (ys, x * s + y * c)):
            got = self.view.double()[..., first + channels]
            info = torch.finfo(self.dtype)
            place = info.eps * torch.exp2(want.abs().clamp(min=info.tiny).log2().floor())
            off = (got - want).abs()
            allowed = torch.maximum(place, 4 * 2.0**-24 * length)
            assert (off <= allowed)[moves].all(), (off / allowed)[moves].max()
        # Everything else keeps its bits: other tokens, other channels, and what lies between.
        expected = self.image.clone()
        where = torch.zeros_like(self.image, dtype=torch.bool)
        seen = where.as_strided(self.view.shape, self.view.stride())
        seen[..., first : first + 2 * pairs] = moves[..., None, None]
        expected[where] = self.stored[where]
        size = INTS[expected.element_size()][1]
        assert np.array_equal(
            expected.view(torch.uint8).numpy().view(size),
            self.stored.view(torch.uint8).numpy().view(size),
        )


def frequencies(pairs: int) -> list[float]:
    return [10000.0 ** (-i / pairs) for i in range(pairs)]


def library(shim: Any, kind: int, interleaved: bool, vector: int) -> Any:
    return shim("rope.cu", {"ACCEL_VALUE": kind, "ACCEL_INTERLEAVED": int(interleaved),
                            "ACCEL_VECTOR": vector})  # fmt: skip


def positions(shape: tuple[int, ...], seed: int, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    old, new = (torch.randint(0, most, shape, generator=generator) for _ in range(2))
    stay = torch.rand(shape, generator=generator) < 0.2
    return old, torch.where(stay, old, new)


def put_list(memory: Any, into: aa.RopeList, values: torch.Tensor, wide: bool) -> None:
    array = memory.put(values.numpy().astype(np.int64 if wide else np.int32))
    into.data, into.stride, into.wide = array.ctypes.data, 1, int(wide)


def launch(code: Any, memory: Any, made: aa.Launch) -> None:
    made.args.turns = memory.put(np.array(made.turns, np.uint64), "turns").ctypes.data
    code.launch(
        made.kernel, made.args, grid=made.grid, block=made.block, shared_bytes=made.shared_bytes
    )


def run_tensor(shim: Any, leading: tuple[int, ...], heads: int, dim: int, first: int, pairs: int,
               dtype: torch.dtype, interleaved: bool, order: tuple[int, ...], pad: int, seed: int,
               wide: bool = True, most: int = 2**20) -> None:  # fmt: skip
    print(leading, heads, dim, first, pairs, dtype, interleaved, order, pad, seed, wide)
    kind = KINDS[dtype]
    with library(shim, aa.BF16, False, 16).memory() as memory:
        keys = Keys(memory, (*leading, heads, dim), order, pad, dtype, seed)
        vector = aa.rope_vector(kind, interleaved, keys.operand, first, pairs)
        while vector and pairs % (vector // aa.SIZES[kind] // (2 if interleaved else 1)):
            vector = vector // 2 if vector > 4 else 0
        inv = frequencies(pairs)
        made = aa.rope_launch(keys.operand, kind, interleaved, vector, inv, first=first)
        old, new = positions(leading, seed, most)
        put_list(memory, made.args.old_positions, old, wide)
        put_list(memory, made.args.new_positions, new, wide)
        stride = 1
        for d in reversed(range(len(leading))):
            made.args.dim[d].old_step = made.args.dim[d].new_step = stride
            stride *= leading[d]
        launch(library(shim, kind, interleaved, vector), memory, made)
        angle = (new - old).double()[..., None] * torch.tensor(inv, dtype=torch.float64)
        keys.check(angle.cos(), angle.sin(), old != new, first, interleaved)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", list(KINDS), ids=str)
def test_contiguous(shim, dtype, interleaved):
    run_tensor(shim, (70,), 3, 64, 0, 32, dtype, interleaved, (0, 1, 2), 0, 1)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("first", "pairs"), [(32, 16), (0, 12), (7, 9), (40, 24)])
def test_part_of_the_channels(shim, first, pairs, interleaved):
    run_tensor(shim, (5, 7), 2, 88, first, pairs, torch.bfloat16, interleaved, (0, 1, 2, 3), 8, 2)


@pytest.mark.parametrize("order", [(1, 0, 2), (1, 2, 0), (2, 0, 1)])
def test_any_order_of_axes(shim, order):
    run_tensor(shim, (33,), 4, 32, 0, 16, torch.float16, False, order, 0, 3, wide=False)


def test_wide_heads_are_cut_into_pieces(shim):
    run_tensor(shim, (2,), 1, 2304, 0, 1152, torch.bfloat16, False, (0, 1, 2), 4, 4)


@MANY
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 5), st.integers(1, 40),
    st.integers(0, 9), st.booleans(), st.sampled_from([0, 1, 8]), st.integers(0, 2**31),
)  # fmt: skip
def test_any_keys(shim, leading, heads, pairs, first, interleaved, pad, seed):
    dim = first + 2 * pairs + seed % 3
    order = tuple(range(len(leading) + 2))
    run_tensor(shim, tuple(leading), heads, dim, first, pairs, torch.bfloat16, interleaved, order,
               pad, seed)  # fmt: skip


def paged(shim: Any, memory: Any, slots: torch.Tensor, wide: bool, listed: bool, seed: int,
          bad: dict[str, int] | None = None) -> tuple[Any, ...]:  # fmt: skip
    """Three layers of blocks of 16 slots, padded apart."""
    caches = [
        Keys(memory, (6, 16, 2, 64), (0, 1, 2, 3), 0, torch.bfloat16, seed + i) for i in range(3)
    ]
    first = caches[0].operand
    flat = aa.Operand(first.address, (len(slots), 2, 64), (0, *first.strides[2:]))
    bases = memory.put(np.array([c.operand.address for c in caches], np.uint64), "bases")
    made = aa.rope_launch(flat, aa.BF16, False, 16, frequencies(32), layers=[0] * 3, blocks=6)
    args = made.args
    args.base, args.bases = 0, bases.ctypes.data
    args.units, args.block = 96, aa.Quotient.of(16)
    args.block_stride, args.slot_stride = first.strides[:2]
    old, new = positions(tuple(slots.shape), seed, 5000)
    for name, at in (bad or {}).items():
        {"old": old, "new": new}[name][at] = -5
    record = memory.put(np.zeros(64, np.uint8), "fault")
    args.fault = record.ctypes.data
    if listed:
        rows = [i for i in range(len(slots)) if slots[i] >= 0 and old[i] != new[i]]
        entries = (aa.RopeToken * len(rows))()
        for entry, i in zip(entries, rows, strict=True):
            slot = int(slots[i])
            entry.offset = slot // 16 * args.block_stride + slot % 16 * args.slot_stride
            entry.old, entry.new = int(old[i]), int(new[i])
        args.listed, args.tokens = 1, len(rows)
        if len(rows) <= 48:
            args.here[: len(rows)] = entries
        else:
            args.list = memory.put(np.frombuffer(bytes(entries), np.int64)).ctypes.data
    else:
        put_list(memory, args.slots, slots, wide)
        put_list(memory, args.old_positions, old, wide)
        put_list(memory, args.new_positions, new, wide)
    launch(library(shim, aa.BF16, False, 16), memory, made)
    return caches, old, new, Fault.from_buffer_copy(record.tobytes())


def check_paged(caches: Any, slots: torch.Tensor, old: torch.Tensor, new: torch.Tensor) -> None:
    delta = torch.zeros(96, dtype=torch.int64)
    for i, slot in enumerate(slots.tolist()):
        if slot >= 0:
            delta[slot] = new[i] - old[i]
    angle = delta.view(6, 16, 1).double() * torch.tensor(frequencies(32), dtype=torch.float64)
    for keys in caches:
        keys.check(angle.cos(), angle.sin(), delta.view(6, 16) != 0, 0, False)


@pytest.mark.parametrize("count", [1, 40, 80])
@pytest.mark.parametrize("listed", [False, True])
def test_cache_by_slots(shim, count, listed):
    generator = torch.Generator().manual_seed(count)
    slots = torch.randperm(96, generator=generator)[:count]
    slots[::7] = -1
    with library(shim, aa.BF16, False, 16).memory() as memory:
        for wide in (True, False):
            caches, old, new, fault = paged(shim, memory, slots, wide, listed, seed=count)
            check_paged(caches, slots, old, new)
            assert fault.state == 0


@pytest.mark.parametrize("wide", [True, False])
def test_faults_are_reported_and_their_tokens_left_alone(shim, wide):
    for where, argument in (("slot", 3), ("old", 5), ("new", 6)):
        slots = torch.arange(0, 90)
        bad: dict[str, int] = {}
        if where == "slot":
            slots[41] = 96
        else:
            bad[where] = 41
        with library(shim, aa.BF16, False, 16).memory() as memory:
            caches, old, new, fault = paged(shim, memory, slots, wide, False, 9, bad)
            known = slots.clone()
            known[41] = -1
            check_paged(caches, known, old, new)
            assert (fault.state, fault.argument, fault.position) == (2, argument, 41)
            assert fault.kind == (1 if where == "slot" else 3)
            assert fault.index == (96 if where == "slot" else -5)
            assert fault.limit == (96 if where == "slot" else 2**31)


@pytest.mark.parametrize("table_dtype", list(KINDS), ids=str)
def test_cos_sin_cache(shim, table_dtype):
    """A table whose rows are not rotations of length one: YaRN's attention factor."""
    inv = torch.tensor(frequencies(32), dtype=torch.float64)
    angle = torch.arange(500).double()[:, None] * inv
    table = (1.2 * torch.cat([angle.cos(), angle.sin()], 1)).to(table_dtype)
    size = table.element_size()
    with library(shim, aa.BF16, False, 16).memory() as memory:
        keys = Keys(memory, (60, 2, 64), (0, 1, 2), 0, torch.bfloat16, 5)
        made = aa.rope_launch(keys.operand, aa.BF16, False, 16, inv.tolist(), positions=500)
        raw = memory.put(table.view(torch.uint8).numpy())
        made.args.table, made.args.table_kind = raw.ctypes.data, KINDS[table_dtype]
        made.args.table_row, made.args.table_step = 64 * size, size
        old, new = positions((60,), 6, 500)
        put_list(memory, made.args.old_positions, old, True)
        put_list(memory, made.args.new_positions, new, True)
        made.args.dim[0].old_step = made.args.dim[0].new_step = 1
        launch(library(shim, aa.BF16, False, 16), memory, made)
        at = torch.complex(*table.double().chunk(2, -1))
        by = at[new] / at[old]
        keys.check(by.real, by.imag, old != new, 0, False)


def exact_cos_sin(angle: Decimal) -> tuple[Decimal, Decimal]:
    """By the Taylor series after quartering the angle, to 60 digits."""
    getcontext().prec = 90
    pi = Decimal(
        "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899"
    )
    turns = (angle / (2 * pi)).to_integral_value()
    z = (angle - turns * 2 * pi) / 1024
    c, s, term = Decimal(1), z, z
    power = Decimal(1)
    for n in range(1, 20):
        power *= -z * z / ((2 * n - 1) * (2 * n))
        c += power
        term *= -z * z / ((2 * n) * (2 * n + 1))
        s += term
    for _ in range(10):
        c, s = c * c - s * s, 2 * c * s
    return c, s


def test_angles_up_to_a_million_positions(shim):
    """float32 keys (1, 0) become the cosine and the sine, within a float32's last place."""
    generator = np.random.default_rng(7)
    deltas = [1, 2, 3, 2**20 - 1, 2**20, *generator.integers(1, 2**20, 200).tolist()]
    inv = [1.0, 0.7309, 1e-3]
    with library(shim, aa.F32, False, 4).memory() as memory:
        keys = Keys(memory, (len(deltas), 1, 6), (0, 1, 2), 0, torch.float32, 5)
        keys.view[..., :3], keys.view[..., 3:] = 1.0, 0.0
        made = aa.rope_launch(keys.operand, aa.F32, False, 4, inv)
        old, new = torch.zeros(len(deltas), dtype=torch.int64), torch.tensor(deltas)
        put_list(memory, made.args.old_positions, old, True)
        put_list(memory, made.args.new_positions, new, True)
        made.args.dim[0].old_step = made.args.dim[0].new_step = 1
        launch(library(shim, aa.F32, False, 4), memory, made)
        for row, delta in zip(keys.view[:, 0].tolist(), deltas, strict=True):
            for i, f in enumerate(inv):
                c, s = exact_cos_sin(Decimal(float(delta) * f))
                assert abs(Decimal(row[i]) - c) <= Decimal(2) ** -24
                assert abs(Decimal(row[i + 3]) - s) <= Decimal(2) ** -24
