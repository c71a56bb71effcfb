"""Copies: batches, pitched rows and fills."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from accel import Backend, Capability, MemRef
from accel_conformance.byte_compare import assert_same_bytes, host_copy
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor

BATCH = [Capability.STREAMS, Capability.COPY_BATCH]
ROWS = [Capability.STREAMS, Capability.COPY_2D]
FILL = [Capability.STREAMS, Capability.FILL]
MIB = 1 << 20


@case(level=1, needs=BATCH)
def test_batch_mixed(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """300 pairs of all sizes, dtypes and strides in one call."""
    dtypes = [torch.uint8, torch.float16, torch.float32, torch.int64]
    srcs, dsts = [], []
    for i in range(300):
        dtype = dtypes[i % 4]
        src, dst = random_tensor((i % 7 + 1, 3 * i), dtype), guarded((i % 7 + 1, 3 * i), dtype)
        srcs.append(src[::2] if i % 5 == 0 else src)
        dsts.append(dst[::2] if i % 5 == 0 else dst)
    stream = backend.streams.create()
    stream.wait_stream(backend.streams.default())
    backend.memcpy.copy_batch(dsts, srcs, stream)
    stream.synchronize()
    for dst, src in zip(dsts, srcs, strict=True):
        assert_same_bytes(dst, src)


@case(level=1, needs=BATCH)
@pytest.mark.parametrize("count", [0, 1, 2, 2000])
def test_batch_counts(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, count: int
) -> None:
    """No pair, one, and thousands; rows of one buffer to rows of another."""
    src, dst = random_tensor((count, 96)), guarded((count, 96))
    backend.memcpy.copy_batch(list(dst), list(src))
    backend.streams.current().synchronize()
    assert_same_bytes(dst, src)


@case(level=1, needs=[*BATCH, Capability.COPY])
def test_batch_in_order(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """A batch takes its turn between the copies before and after it."""
    stream = backend.streams.create()
    src, a, b, dst = random_tensor((20, MIB // 8)), *(guarded((20, MIB // 8)) for _ in range(3))
    stream.wait_stream(backend.streams.default())
    backend.memcpy.copy_async(a, src, stream)
    backend.memcpy.copy_batch(list(b), list(a), stream)
    backend.memcpy.copy_async(dst, b, stream)
    stream.synchronize()
    assert_same_bytes(dst, src)


@case(level=1, needs=[*BATCH, Capability.COPY_RAW])
def test_batch_raw(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """Raw references and tensors in one batch; one source for many destinations."""
    src = random_tensor(5000)
    dsts = [guarded(5000) for _ in range(4)]
    raw = [MemRef(d.data_ptr(), 5000, d.device, owner=d) for d in dsts]
    source = MemRef(src.data_ptr(), 5000, src.device, owner=src)
    backend.memcpy.copy_batch([raw[0], dsts[1], raw[2], dsts[3]], [source, source, src, src])
    backend.streams.current().synchronize()
    for dst in dsts:
        assert_same_bytes(dst, src)


@case(level=1, needs=ROWS)
@pytest.mark.parametrize(
    ("width", "height", "dst_pitch", "src_pitch"),
    [
        (1, 1, 1, 1),
        (16, 10, 16, 16),
        (15, 10, 17, 31),
        (100, 37, 128, 100),
        (100, 37, 100, 128),
        (100, 37, 128, 128),
        (4097, 9, 5000, 4100),
        (MIB, 5, MIB + 64, MIB + 1),
        (0, 10, 5, 5),
        (10, 0, 20, 30),
        (3, 2000, 7, 5),
    ],
)
def test_rows(
    backend: Backend,
    guarded: Guards,
    random_tensor: RandomTensor,
    width: int,
    height: int,
    dst_pitch: int,
    src_pitch: int,
) -> None:
    """Rows of any pitch arrive, and nothing between them is touched."""
    # Each operand ends with its last row, not with its last pitch.
    ends = [max(0, (height - 1) * p + width if height else 0) for p in (dst_pitch, src_pitch)]
    dst, src = guarded(ends[0]), random_tensor(ends[1])
    expected = host_copy(dst)
    if width and height:
        rows = src.cpu().as_strided((height, width), (src_pitch, 1))
        expected.as_strided((height, width), (dst_pitch, 1)).copy_(rows)
    stream = backend.streams.create()
    stream.wait_stream(backend.streams.default())
    backend.memcpy.copy_2d(
        dst, src, width=width, height=height, dst_pitch=dst_pitch, src_pitch=src_pitch,
        stream=stream,
    )  # fmt: skip
    stream.synchronize()
    assert_same_bytes(dst, expected)


@case(level=1, needs=[*ROWS, Capability.COPY_RAW])
def test_rows_of_any_dtype(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """Operands are bytes: tensors of two dtypes, or a raw reference and a tensor."""
    src = random_tensor((8, 12), torch.float32)  # 48 bytes a row
    dst = guarded((8, 40), torch.int16)  # 80 bytes a row
    expected = host_copy(dst)
    expected.view(torch.uint8)[:, :33] = src.cpu().view(torch.uint8)[:, :33]
    extents: dict[str, Any] = {"width": 33, "height": 8, "dst_pitch": 80, "src_pitch": 48}
    backend.memcpy.copy_2d(dst, src, **extents)
    backend.streams.current().synchronize()
    assert_same_bytes(dst, expected)
    again = guarded((8, 40), torch.int16, init=expected)
    raw = MemRef(src.data_ptr(), 8 * 48, src.device, owner=src)
    backend.memcpy.copy_2d(again, raw, **extents)
    backend.streams.current().synchronize()
    assert_same_bytes(again, expected)


@case(level=1, needs=FILL)
@pytest.mark.parametrize("value", [0, 1, 127, 128, 255])
@pytest.mark.parametrize("nbytes", [0, 1, 17, 4095, MIB + 3])
def test_fill(backend: Backend, guarded: Guards, nbytes: int, value: int) -> None:
    """Every byte is set, and none beyond."""
    dst = guarded(nbytes, offset=1)
    stream = backend.streams.create()
    stream.wait_stream(backend.streams.default())
    backend.memcpy.fill(dst, value, stream)
    stream.synchronize()
    assert_same_bytes(dst, torch.full((nbytes,), value, dtype=torch.uint8))


@case(level=1, needs=FILL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64], ids=str)
def test_fill_strided(backend: Backend, guarded: Guards, dtype: torch.dtype) -> None:
    """Bytes, not elements, are set; what lies between a view's elements stays."""
    base = guarded((30, 40), dtype)
    expected = host_copy(base)
    expected[::3, 5:29].copy_(
        torch.full((10, 24 * dtype.itemsize), 0xA7, dtype=torch.uint8).view(dtype)
    )
    backend.memcpy.fill(base[::3, 5:29], 0xA7)
    backend.streams.current().synchronize()
    assert_same_bytes(base, expected)


@case(level=1, needs=[*FILL, Capability.COPY_RAW])
def test_fill_raw(backend: Backend, guarded: Guards) -> None:
    """A raw reference can be filled."""
    dst = guarded(10_001)
    backend.memcpy.fill(MemRef(dst.data_ptr(), 10_001, dst.device, owner=dst), 0x3C)
    backend.streams.current().synchronize()
    assert_same_bytes(dst, torch.full((10_001,), 0x3C, dtype=torch.uint8))


@case(level=1, needs=[*FILL, Capability.COPY, Capability.STREAM_CALLBACK])
def test_fill_in_order(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """A fill takes its turn: the copy before it sees the old bytes."""
    stream = backend.streams.create()
    src, kept, buffer = random_tensor(9000), guarded(9000), guarded(9000)
    with gate(stream):
        backend.memcpy.copy_async(buffer, src, stream)
        backend.memcpy.copy_async(kept, buffer, stream)
        backend.memcpy.fill(buffer, 9, stream)
    stream.synchronize()
    assert_same_bytes(kept, src)
    assert_same_bytes(buffer, torch.full((9000,), 9, dtype=torch.uint8))
