"""The kernels of copies on the host shim: what the native planner launches, against NumPy."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_cuda import _native

THREADS = 256
MARGIN = 64  # bytes around the views that no kernel may change

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Piece(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("dst", "src", "nbytes")]


INLINE = 160


class PiecesArgs(ctypes.Structure):
    _fields_ = [
        ("list", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("piece", Piece * INLINE),
    ]


def elements(array, offset, shape, strides, itemsize):
    """The bytes of a strided view as an array of shape + (itemsize,)."""
    return np.lib.stride_tricks.as_strided(
        array[offset:], (*shape, itemsize), (*strides, 1), writeable=True
    )


@st.composite
def layouts(draw, shape, itemsize, may_repeat):
    """Byte strides for ``shape`` that overlap nowhere, in any order of axes, with any gaps."""
    order = draw(st.permutations(range(len(shape))))
    strides, step = [0] * len(shape), itemsize
    for axis in order:
        step += draw(st.sampled_from([0, 0, 1, 3])) * itemsize
        strides[axis] = step
        step *= shape[axis]
    if may_repeat:
        for axis in range(len(shape)):
            if draw(st.integers(0, 5)) == 0:
                strides[axis] = 0
    return tuple(strides)


@st.composite
def copies(draw):
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=0, max_size=5)))
    if draw(st.booleans()):  # long enough for several tiles, or blocks
        shape = (*shape[:2], draw(st.integers(30, 70)), draw(st.integers(30, 70)))
    elif draw(st.booleans()):  # long rows
        shape = (*shape[:2], draw(st.integers(90, 600)))
    itemsize = draw(st.sampled_from([1, 2, 4, 8, 16]))
    return (
        shape,
        itemsize,
        draw(layouts(shape, itemsize, False)),
        draw(layouts(shape, itemsize, True)),
        draw(st.integers(0, 33)) * draw(st.sampled_from([1, itemsize])),
        draw(st.integers(0, 33)) * draw(st.sampled_from([1, itemsize])),
        draw(st.integers(1, 5)),
    )


def span(shape, strides, itemsize):
    return itemsize + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))


def run_launches(library, launches, seed):
    for name, blocks, args in launches:
        library.launch(name, args, grid=blocks, block=THREADS, seed=seed)


@SETTINGS
@given(copies(), st.integers(1, 2**31))
def test_strided_copy(shim, case, seed):
    shape, itemsize, to, from_, to_offset, from_offset, blocks = case
    library = shim("strided.cu")
    generator = np.random.default_rng(seed)
    src = generator.integers(0, 256, from_offset + span(shape, from_, itemsize), np.uint8)
    with library.memory() as memory:
        source = memory.put(src, "source", alignment=1)
        target = memory.empty(to_offset + span(shape, to, itemsize) + MARGIN, np.uint8, "target")
        expected = target.copy()
        elements(expected, to_offset, shape, to, itemsize)[...] = elements(
            src, from_offset, shape, from_, itemsize
        )
        launches = _native.strided_launches(
            shape, to, from_, itemsize, target.ctypes.data + to_offset,
            source.ctypes.data + from_offset, blocks,
        )  # fmt: skip
        run_launches(library, launches, seed)
        assert np.array_equal(target, expected)


@SETTINGS
@given(copies(), st.integers(0, 255), st.integers(1, 2**31))
def test_strided_fill(shim, case, value, seed):
    shape, itemsize, to, _, to_offset, _, blocks = case
    library = shim("strided.cu")
    with library.memory() as memory:
        target = memory.empty(to_offset + span(shape, to, itemsize) + MARGIN, np.uint8, "target")
        expected = target.copy()
        elements(expected, to_offset, shape, to, itemsize)[...] = value
        launches = _native.strided_launches(
            shape, to, to, itemsize, target.ctypes.data + to_offset, 0, blocks, fill=value
        )
        run_launches(library, launches, seed)
        assert np.array_equal(target, expected)


def test_many_axes(shim):
    """More axes than a kernel takes: the rest are gone through by several launches."""
    library = shim("strided.cu")
    shape, itemsize = (2,) * 14, 1
    to = tuple(3 * 2**k for k in range(14))
    from_ = tuple(reversed([2 * 2**k for k in range(14)]))
    src = np.random.default_rng().integers(0, 256, span(shape, from_, 1), np.uint8)
    with library.memory() as memory:
        source = memory.put(src, alignment=1)
        target = memory.empty(span(shape, to, 1), np.uint8)
        expected = target.copy()
        elements(expected, 0, shape, to, 1)[...] = elements(src, 0, shape, from_, 1)
        launches = _native.strided_launches(
            shape, to, from_, itemsize, target.ctypes.data, source.ctypes.data, 4
        )
        assert len(launches) == 4
        run_launches(library, launches, None)
        assert np.array_equal(target, expected)


@pytest.mark.parametrize(
    ("shape", "to", "from_", "itemsize", "kernel"),
    [
        ((64, 64), (256, 4), (4, 256), 4, "copy_tiles_4"),  # a transposition
        ((64, 64), (128, 2), (2, 130), 2, "copy_tiles_2"),
        ((10, 64, 32), (4096, 64, 2), (4096, 2, 128), 2, "copy_tiles_2"),
        ((64, 4), (16, 4), (4, 256), 4, "copy_strided_4"),  # too narrow for tiles
        ((40, 100), (512, 1), (128, 1), 1, "copy_strided_4"),  # rows of 100 bytes
        ((40, 101), (512, 1), (128, 1), 1, "copy_rows_1"),
        ((40, 128), (512, 1), (256, 1), 1, "copy_strided_16"),
        ((40, 500), (1000, 2), (2000, 4), 2, "copy_rows_2"),  # every second element
        ((4096,), (2,), (2,), 2, "copy_rows_16"),
        ((512,), (2,), (2,), 2, "copy_strided_16"),
    ],
)
def test_choice(shape, to, from_, itemsize, kernel):
    """The widest unit that addresses, strides and runs allow; tiles where both sides have runs."""
    launches = _native.strided_launches(shape, to, from_, itemsize, 1 << 20, 2 << 20, 100)
    assert [name for name, _, _ in launches] == [kernel]


def test_odd_addresses_narrow_the_unit():
    for offset, unit in [(0, 16), (8, 8), (4, 4), (2, 2), (1, 1)]:
        name, _, _ = _native.strided_launches(
            (8, 64), (256, 1), (128, 1), 1, (1 << 20) + offset, 2 << 20, 100
        )[0]
        assert name == f"copy_strided_{unit}"


def magic_of(extent):
    """The factor and shift that the launch carries for an axis of this extent."""
    [(name, _, args)] = _native.strided_launches((extent, 2), (4, 1), (6, 2), 1, 0, 0, 1)
    assert name == "copy_strided_1"
    axes = [args[32 + 32 * (k + 1) :][:32] for k in range(2)]
    for axis in axes:
        if int.from_bytes(axis[:8], "little") == extent:
            return int.from_bytes(axis[24:28], "little"), int.from_bytes(axis[28:32], "little")
    raise AssertionError(f"no axis of {extent}")


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 2**31 - 1) | st.integers(0, 30).map(lambda k: 1 << k), st.data())
def test_division_is_exact(extent, data):
    """n // extent for every n below 2**31, also at the multiples and beside them."""
    extent = max(3, extent)
    magic, shift = magic_of(extent)
    assert magic < 2**32
    quotient = data.draw(st.integers(0, (2**31 - 1) // extent))
    for n in (quotient * extent - 1, quotient * extent, quotient * extent + extent - 1, 2**31 - 1):
        if 0 <= n < 2**31:
            assert n * magic >> shift == n // extent


@SETTINGS
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0, 1, 3, 16, 31, 700])
                  | st.integers(0, 9000)),
        min_size=1, max_size=12,
    ),
    st.booleans(),
    st.integers(1, 2**31),
)  # fmt: skip
def test_pieces(shim, sizes, listed, seed):
    """Pieces of any size at any alignment, from the arguments or from a list in memory."""
    library = shim("pieces.cu")
    generator = np.random.default_rng(seed)
    with library.memory() as memory:
        total = sum(gap + n for gap, _, n in sizes) + MARGIN
        source = memory.put(
            generator.integers(0, 256, sum(g + n for _, g, n in sizes) + 1, np.uint8), alignment=1
        )
        target = memory.empty(total, np.uint8, "target")
        expected = target.copy()
        pieces, to, from_ = [], 0, 0
        for to_gap, from_gap, nbytes in sizes:
            to, from_ = to + to_gap, from_ + from_gap
            pieces.append(Piece(target.ctypes.data + to, source.ctypes.data + from_, nbytes))
            expected[to : to + nbytes] = source[from_ : from_ + nbytes]
            to, from_ = to + nbytes, from_ + nbytes
        args = PiecesArgs(0, len(pieces), 0)
        if listed:
            held = (Piece * len(pieces))(*pieces)
            args.list = ctypes.addressof(held)
        else:
            args.piece[: len(pieces)] = pieces
        blocks = 1 + seed % (len(pieces) + 1)
        library.launch("copy_pieces", args, grid=blocks, block=THREADS, seed=seed)
        assert np.array_equal(target, expected)


class FlatArgs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("dst", "src", "nbytes")]


@SETTINGS
@given(
    st.integers(0, 70_000) | st.integers(0, 40) | st.sampled_from([16384, 32768, 32767]),
    st.integers(0, 20), st.integers(0, 20), st.integers(1, 4), st.integers(1, 2**31),
)  # fmt: skip
def test_flat(shim, nbytes, to, from_, blocks, seed):
    """One copy of any size and alignment, by fewer blocks than it has parts."""
    library = shim("pieces.cu")
    data = np.random.default_rng(seed).integers(0, 256, from_ + nbytes, np.uint8)
    with library.memory() as memory:
        source = memory.put(data, alignment=1)
        target = memory.empty(to + nbytes + MARGIN, np.uint8)
        expected = target.copy()
        expected[to : to + nbytes] = data[from_:]
        args = FlatArgs(target.ctypes.data + to, source.ctypes.data + from_, nbytes)
        library.launch("copy_flat", args, grid=blocks, block=THREADS, seed=seed)
        assert np.array_equal(target, expected)


def test_argument_structs(shim):
    assert ctypes.sizeof(PiecesArgs) == shim("pieces.cu").args_bytes("copy_pieces") <= 4096
    assert shim("strided.cu").args_bytes("copy_tiles_16") <= 4096
