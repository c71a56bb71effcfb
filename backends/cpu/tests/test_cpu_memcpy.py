"""Copies and fills of the CPU backend: every form, against torch, and every refusal."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    MemRef,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel_cpu.memcpy import CpuMemcpy
from accel_cpu.pinned import CpuPinnedMemory
from accel_cpu.streams import CpuStreams

streams = CpuStreams()
memcpy = CpuMemcpy()
pinned = CpuPinnedMemory()
CPU = torch.device("cpu")
DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float8_e4m3fn,
    torch.int8,
    torch.int64,
    torch.complex128,
    torch.bool,
]


def ref(tensor: torch.Tensor) -> MemRef:
    return MemRef(tensor.data_ptr(), tensor.nbytes, CPU, tensor)


def random_bytes(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n,), dtype=torch.uint8, generator=generator)


def same_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    def flat(t: torch.Tensor) -> torch.Tensor:
        return t.contiguous().reshape(-1).view(torch.uint8)

    return torch.equal(flat(a), flat(b))


@pytest.fixture(params=["default", "worker", "inside use"])
def stream(request):
    if request.param == "default":
        yield None
    elif request.param == "worker":
        made = streams.create()
        yield made
        made.synchronize()
    else:
        with streams.use(streams.create()):
            yield None


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("blocking", [True, False])
def test_copy_of_every_dtype(dtype, blocking, stream):
    src = random_bytes(64 * dtype.itemsize, 1)
    src = (src % 2 if dtype is torch.bool else src).view(dtype).view(4, 16)
    dst = torch.zeros_like(src)
    (memcpy.copy if blocking else memcpy.copy_async)(dst, src, stream)
    if not blocking:
        streams.synchronize()
    assert same_bytes(dst, src)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 4095, 65536, 1 << 20, (1 << 25) + 13])
@pytest.mark.parametrize("offset", [0, 1, 33])
def test_sizes_and_alignments_leave_the_neighbours_alone(n, offset):
    src = random_bytes(n + 64, n)
    block = torch.full((n + 128,), 0xAA, dtype=torch.uint8)
    memcpy.copy(block[64 : 64 + n], src[offset : offset + n])
    assert torch.equal(block[64 : 64 + n], src[offset : offset + n])
    assert (block[:64] == 0xAA).all()
    assert (block[64 + n :] == 0xAA).all()


@st.composite
def views(draw, dims=4):
    """A shape, and two recipes that cut a tensor of that shape out of a larger one."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=dims))
    order = [draw(st.permutations(range(len(shape)))) for _ in range(2)]
    steps = [
        draw(st.lists(st.integers(1, 3), min_size=len(shape), max_size=len(shape))) for _ in "ab"
    ]
    return shape, list(zip(order, steps, strict=True))


def cut(shape, order, steps, dtype, seed):
    """A view of ``shape`` whose dimensions lie in memory in ``order``, ``steps`` apart."""
    big = random_bytes(
        dtype.itemsize * int(torch.tensor([shape[d] * steps[d] for d in order]).prod()), seed
    ).view(dtype)
    laid = big.view([shape[d] * steps[d] for d in order])
    view = laid[tuple(slice(None, None, steps[d]) for d in order)]
    back = [0] * len(shape)
    for at, d in enumerate(order):
        back[d] = at
    return big, view.permute(back)


@settings(deadline=None, max_examples=150)
@given(
    views(), st.sampled_from([torch.int8, torch.int16, torch.float32, torch.int64]), st.booleans()
)
def test_strided_copies_equal_torch(case, dtype, on_worker):
    shape, recipes = case
    block, dst = cut(shape, *recipes[0], dtype, 1)
    _, src = cut(shape, *recipes[1], dtype, 2)
    expected_block = block.clone()
    expected = expected_block.as_strided(dst.shape, dst.stride(), dst.storage_offset())
    expected.view(torch.uint8 if dtype.itemsize == 1 else dtype).copy_(
        src.view(torch.uint8 if dtype.itemsize == 1 else dtype)
    )
    memcpy.copy(dst, src, streams.create() if on_worker else None)
    assert same_bytes(block, expected_block)  # the gaps too


def test_large_strided_copies():
    src = torch.randn(512, 3, 1024)
    dst = torch.zeros(3, 1024, 512)
    memcpy.copy(dst.permute(2, 0, 1), src)
    assert torch.equal(dst.permute(2, 0, 1), src)
    rows = torch.zeros(512, 3, 2048)
    memcpy.copy(rows[:, :, 512:1536], src)
    assert torch.equal(rows[:, :, 512:1536], src)
    assert rows[:, :, :512].abs().sum() == 0
    assert rows[:, :, 1536:].abs().sum() == 0
    column = torch.zeros(1 << 20, 2)
    memcpy.copy(column[:, 1], torch.arange(1 << 20, dtype=torch.float32))
    assert torch.equal(column[:, 1], torch.arange(1 << 20, dtype=torch.float32))
    assert column[:, 0].abs().sum() == 0


def test_raw_memory(stream):
    src, dst = random_bytes(1000, 3), torch.zeros(1000, dtype=torch.uint8)
    memcpy.copy_async(ref(dst), ref(src), stream)
    streams.synchronize()
    assert torch.equal(dst, src)
    memcpy.copy_async(ref(dst), torch.ones(250), stream)
    streams.synchronize()
    assert torch.equal(dst.view(torch.float32), torch.ones(250))
    memcpy.copy(torch.zeros(0), MemRef(0, 0, CPU), stream)


def test_batch(stream):
    srcs = [random_bytes(n, n) for n in (1, 0, 5000, 300_000, 70_000)]
    srcs.append(torch.randn(64, 64).t())
    dsts = [torch.zeros_like(s, memory_format=torch.contiguous_format) for s in srcs]
    srcs.append(srcs[3])  # sources may repeat
    dsts.append(torch.zeros_like(srcs[3]))
    memcpy.copy_batch(dsts, srcs, stream)
    streams.synchronize()
    assert all(torch.equal(d, s) for d, s in zip(dsts, srcs, strict=True))
    memcpy.copy_batch([], [], stream)
    memcpy.copy_batch(tuple(dsts), tuple(srcs), stream)
    streams.synchronize()


def test_batch_of_many(stream):
    block = random_bytes(1 << 20, 5)
    out = torch.zeros_like(block)
    memcpy.copy_batch(list(out.split(512)), list(reversed(block.split(512))), stream)
    streams.synchronize()
    assert torch.equal(out, torch.cat(list(reversed(block.split(512)))))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 5), st.integers(0, 5))
def test_copy_2d(width, height, dst_gap, src_gap):
    dst_pitch, src_pitch = width + dst_gap, width + src_gap
    src = random_bytes(max(height * src_pitch, 1), 1)
    dst = torch.full((max(height * dst_pitch, 1),), 0xAA, dtype=torch.uint8)
    expected = dst.clone()
    for row in range(height):
        expected[row * dst_pitch : row * dst_pitch + width] = src[
            row * src_pitch : row * src_pitch + width
        ]
    memcpy.copy_2d(
        dst, ref(src), width=width, height=height, dst_pitch=dst_pitch, src_pitch=src_pitch
    )
    assert torch.equal(dst, expected)


def test_copy_2d_may_end_with_the_last_row_s_width():
    src = random_bytes(10 * 100 + 40, 1)
    dst = torch.zeros(11 * 40, dtype=torch.uint8)
    memcpy.copy_2d(dst, src, width=40, height=11, dst_pitch=40, src_pitch=100)
    assert torch.equal(dst.view(11, 40)[10], src[1000:])
    with pytest.raises(SizeError, match="src"):
        memcpy.copy_2d(dst, src[:-1], width=40, height=11, dst_pitch=40, src_pitch=100)


def test_fill(stream):
    x = torch.zeros(100, dtype=torch.int32)
    memcpy.fill(x[10:90:2], 0xFF, stream)
    streams.synchronize()
    expected = torch.zeros(100, dtype=torch.int32)
    expected[10:90:2] = -1
    assert torch.equal(x, expected)
    memcpy.fill(ref(x), 7, stream)
    streams.synchronize()
    assert (x.view(torch.uint8) == 7).all()
    big = torch.zeros(1 << 24, dtype=torch.uint8)
    memcpy.fill(big, 3)
    assert (big == 3).all()


def emptied(x: torch.Tensor) -> torch.Tensor:
    x.untyped_storage().resize_(0)
    return x


a8 = torch.arange(8)
freed_buffer = pinned.allocate(64)
freed_ref = MemRef(freed_buffer.pointer, 64, CPU, freed_buffer)
freed_buffer.free()
BAD_PAIRS = {
    "shape": (lambda d: (d, torch.arange(9)), ShapeError, "src"),
    "same bytes, other shape": (lambda d: (d, torch.arange(8).view(2, 4)), ShapeError, "src"),
    "dtype": (lambda d: (d, torch.zeros(8)), DTypeError, "src"),
    "same size, other dtype": (
        lambda d: (d, torch.zeros(8, dtype=torch.float64)),
        DTypeError,
        "src",
    ),
    "not memory": (lambda d: (d, [1, 2]), DTypeError, "src"),
    "none": (lambda d: (d, None), DTypeError, "src"),
    "sparse": (lambda d: (d, torch.arange(8).to_sparse()), DTypeError, "src"),
    "meta": (lambda d: (d, torch.arange(8, device="meta")), DeviceError, "src"),
    "negated view": (
        lambda d: (d.view(torch.float64), torch.zeros(8, dtype=torch.complex128).conj().imag),
        DTypeError,
        "src",
    ),
    "emptied": (lambda d: (d, emptied(torch.arange(8))), FreedError, "src"),
    "emptied, offset": (
        lambda d: (d, emptied(torch.arange(600_000)[500_000:500_008])),
        FreedError,
        "src",
    ),
    "freed owner": (lambda d: (d, freed_ref), FreedError, "src"),
    "raw size": (lambda d: (d, MemRef(a8.data_ptr(), 63, CPU)), SizeError, "src"),
    "raw and strided": (lambda d: (d, ref(torch.zeros(64)[::2])), SizeError, "src"),
    "strided and raw": (lambda d: (d.view(2, 4).t(), ref(a8)), ShapeError, "dst"),
    "negative size": (lambda d: (d, MemRef(a8.data_ptr(), -1, CPU)), SizeError, "src.nbytes"),
    "null": (lambda d: (d, MemRef(0, 64, CPU)), ArgumentError, "src.pointer"),
    "past the end of memory": (lambda d: (d, MemRef(2**64 - 8, 64, CPU)), SizeError, "src.nbytes"),
    "negative pointer": (lambda d: (d, MemRef(-8, 64, CPU)), ArgumentError, "src.pointer"),
    "raw of another device": (
        lambda d: (d, MemRef(a8.data_ptr(), 64, torch.device("cuda", 0))),
        DeviceError,
        "src",
    ),
    "raw without a device": (
        lambda d: (d, MemRef(a8.data_ptr(), 64, 0)),
        DeviceError,
        "src.device",
    ),
    "itself": (lambda d: (d, d), OverlapError, "dst"),
    "overlap": (lambda d: (d[1:], d[:-1]), OverlapError, "dst"),
    "raw overlap": (lambda d: (d, ref(d)), OverlapError, "dst"),
    "strided overlap": (lambda d: (d[::3], d[1::2][:3]), OverlapError, "dst"),
    "expanded": (lambda d: (d[:1].expand(8), a8), OverlapError, "dst"),
    "interlocked": (
        lambda d: (d.as_strided((3, 3), (2, 1)), torch.zeros(3, 3).long()),
        OverlapError,
        "dst",
    ),
}


@pytest.mark.parametrize("case", BAD_PAIRS)
@pytest.mark.parametrize("call", ["copy", "copy_async", "copy_batch"])
def test_refusals_name_the_argument_and_write_nothing(case, call):
    make, error, argument = BAD_PAIRS[case]
    block = torch.arange(8) * 11
    before = block.clone()
    dst, src = make(block)
    if call == "copy_batch":
        good = torch.zeros(4)
        untouched = good.clone()
        with pytest.raises(error) as caught:
            memcpy.copy_batch([good, dst], [torch.ones(4), src])
        argument = argument.replace("src", "srcs[1]").replace("dst", "dsts[1]")
        assert torch.equal(good, untouched)
    else:
        with pytest.raises(error) as caught:
            getattr(memcpy, call)(dst, src)
    assert caught.value.argument == argument
    assert caught.value.expected
    assert caught.value.given
    assert torch.equal(block, before)


def test_interleaved_memory_that_shares_no_byte_is_fine():
    x = torch.arange(24).view(2, 3, 4)
    memcpy.copy(x[:, 0], x[:, 2])
    assert torch.equal(x[:, 0], torch.tensor([[8, 9, 10, 11], [20, 21, 22, 23]]))
    y = torch.arange(30)
    memcpy.copy(y[0::6], y[1::6])
    memcpy.copy(y[2::6], y[3::6])
    assert y[2] == 3


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=3),
    st.integers(0, 20),
)
def test_overlap_is_exact(dst_dims, src_dims, offset):
    """Against the set of all bytes touched, for arbitrary strides."""
    block = torch.zeros(200, dtype=torch.int16)

    def cells(dims, start):
        found = [start]
        for extent, stride in dims:
            found = [cell + i * stride for cell in found for i in range(extent)]
        return found

    dst = block.as_strided([n for n, _ in dst_dims], [s for _, s in dst_dims], 0)
    src = block.as_strided([n for n, _ in src_dims], [s for _, s in src_dims], offset)
    dst_cells, src_cells = cells(dst_dims, 0), cells(src_dims, offset)
    repeats = len(set(dst_cells)) < len(dst_cells)
    meets = bool(set(dst_cells) & set(src_cells))
    other = torch.zeros(dst.shape, dtype=torch.int16)
    if repeats:
        with pytest.raises(OverlapError):
            memcpy.copy(dst, other)
        with pytest.raises(OverlapError):
            memcpy.fill(dst, 1)
    else:
        memcpy.copy(dst, other)
    if dst.shape == src.shape and not repeats:
        if meets:
            with pytest.raises(OverlapError):
                memcpy.copy(dst, src)
        else:
            memcpy.copy(dst, src)


@pytest.mark.parametrize(
    ("dsts", "srcs", "argument"),
    [
        (lambda x: [x[:4], x[3:7]], lambda: [torch.zeros(4)] * 2, "dsts"),
        (lambda x: [x[:4], x[8:12]], lambda: None, "dsts"),
    ],
)
def test_batch_overlap_across_pairs(dsts, srcs, argument):
    x = torch.ones(16)
    before = x.clone()
    to = dsts(x)
    given_srcs = srcs() or [torch.zeros(4), x[:4]]  # the second reads what the first writes
    with pytest.raises(OverlapError, match=argument):
        memcpy.copy_batch(to, given_srcs)
    assert torch.equal(x, before)


def test_batch_arguments():
    x = torch.zeros(4)
    with pytest.raises(SizeError, match="srcs"):
        memcpy.copy_batch([x], [])
    with pytest.raises(DTypeError, match="dsts"):
        memcpy.copy_batch(x, [x])
    with pytest.raises(DTypeError, match="srcs"):
        memcpy.copy_batch([x], 3)


@pytest.mark.parametrize(
    ("change", "error", "argument"),
    [
        ({"width": -1}, SizeError, "width"),
        ({"height": -1}, SizeError, "height"),
        ({"dst_pitch": 9}, SizeError, "dst_pitch"),
        ({"src_pitch": 9}, SizeError, "src_pitch"),
        ({"height": 11}, SizeError, "dst"),
        ({"src_pitch": 20}, SizeError, "src"),
        ({"width": 1.5}, DTypeError, "width"),
        ({"height": 2**62, "dst_pitch": 2**62}, SizeError, "dst"),
        ({"stream": 3}, DTypeError, "stream"),
    ],
)
def test_copy_2d_refusals(change, error, argument):
    dst, src = torch.zeros(100, dtype=torch.uint8), random_bytes(100, 1)
    arguments = {"width": 10, "height": 10, "dst_pitch": 10, "src_pitch": 10, **change}
    with pytest.raises(error) as caught:
        memcpy.copy_2d(dst, src, **arguments)
    assert caught.value.argument == argument
    assert dst.sum() == 0


def test_copy_2d_wants_contiguous_tensors_that_share_no_byte():
    x = torch.zeros(10, 10, dtype=torch.uint8)
    with pytest.raises(ShapeError, match="dst"):
        memcpy.copy_2d(x.t()[1:], x, width=1, height=1, dst_pitch=1, src_pitch=1)
    with pytest.raises(OverlapError):
        memcpy.copy_2d(x, x, width=5, height=2, dst_pitch=10, src_pitch=10)
    memcpy.copy_2d(
        MemRef(x.data_ptr(), 95, CPU, x),
        MemRef(x.data_ptr() + 5, 95, CPU, x),
        width=5,
        height=10,
        dst_pitch=10,
        src_pitch=10,
    )


@pytest.mark.parametrize("value", [-1, 256, 2**70])
def test_fill_values(value):
    x = torch.zeros(4)
    with pytest.raises(ArgumentError, match="value"):
        memcpy.fill(x, value)
    assert x.sum() == 0


def test_fill_wants_an_integer():
    with pytest.raises(DTypeError, match="value"):
        memcpy.fill(torch.zeros(4), 1.0)


def test_copies_on_a_stream_are_in_its_order():
    stream = streams.create()
    x = torch.zeros(1000)
    for i in range(50):
        memcpy.copy_async(x, torch.full((1000,), float(i)), stream)
    memcpy.copy(torch.zeros(1000), x, stream)
    assert (x == 49).all()


def test_a_blocking_copy_waits_for_earlier_work_only():
    stream = streams.create()
    gate = threading.Event()
    x = torch.zeros(10)
    stream.add_callback(lambda: (gate.wait(0.05), x.fill_(1)))
    y = torch.zeros(10)
    memcpy.copy(y, x, stream)
    assert (y == 1).all()
