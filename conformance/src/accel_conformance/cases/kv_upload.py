"""Small uploads: every length arrives, as the source was at the call."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from accel import (
    ArgumentError,
    Backend,
    Capability,
    DeviceError,
    DTypeError,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel_conformance.byte_compare import assert_same_bytes, random_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Effort, Gates, Guards
from accel_conformance.refusals import assert_untouched

UPLOAD = [Capability.KV_UPLOAD]
GATED = [*UPLOAD, Capability.STREAMS, Capability.STREAM_CALLBACK]

DTYPES = [torch.int32, torch.int64, torch.float32, torch.float64]
#: Around launch-argument sizes, 4 KiB of each width, and well beyond.
LENGTHS = [0, 1, 2, 3, 63, 64, 65, 72, 511, 512, 513, 1000, 1023, 1024, 1025, 4097, 100_003]


def _host(rng: torch.Generator, shape: int | tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return random_bytes((shape,) if isinstance(shape, int) else shape, dtype, rng)


def _settle(backend: Backend) -> None:
    if Capability.STREAMS in backend.capabilities:
        backend.streams.synchronize()


@case(level=2, needs=UPLOAD)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d).removeprefix("torch."))
def test_upload_lengths(
    backend: Backend, guarded: Guards, rng: torch.Generator, dtype: torch.dtype
) -> None:
    """Every length from none to far beyond launch arguments, bit for bit, nothing beside it."""
    for length in LENGTHS:
        src, dst = _host(rng, length, dtype), guarded(length, dtype)
        backend.kv.upload_small(dst, src)
        _settle(backend)
        assert_same_bytes(dst, src, f"{length} elements")


@case(level=2, needs=UPLOAD)
@pytest.mark.parametrize("form", ["2-d", "stepped", "transposed", "column", "expanded", "offset"])
def test_upload_forms(backend: Backend, guarded: Guards, rng: torch.Generator, form: str) -> None:
    """A source of any shape and strides: a row of a block table, a column of a mapping."""
    whole = _host(rng, (24, 36), torch.int32)
    src = {
        "2-d": whole,
        "stepped": whole[::3, ::2],
        "transposed": whole.t(),
        "column": whole[:, 5],
        "expanded": whole[:1].expand(24, 36),
        "offset": whole.flatten()[1:],
    }[form]
    dst = guarded(tuple(src.shape), torch.int32, offset=1)
    backend.kv.upload_small(dst, src)
    _settle(backend)
    assert_same_bytes(dst, src.contiguous())


@case(level=2, needs=GATED)
@pytest.mark.parametrize("length", [1, 64, 1024, 1025, 50_000])
@pytest.mark.parametrize("form", ["flat", "stepped"])
def test_upload_snapshot(
    backend: Backend, gate: Gates, guarded: Guards, rng: torch.Generator, length: int, form: str
) -> None:
    """The source may be overwritten and dropped at once: what was there at the call arrives."""
    stream = backend.streams.create()
    wanted, dst = _host(rng, length, torch.int64), guarded(length, torch.int64)
    poison = dst.cpu().clone()
    with gate(stream) as held:
        memory = torch.zeros(length * 2 if form == "stepped" else length, dtype=torch.int64)
        src = memory[::2] if form == "stepped" else memory
        src.copy_(wanted)
        backend.kv.upload_small(dst, src, stream=stream)
        memory.fill_(-77)
        del src, memory
        gc.collect()
        junk = [torch.full((length,), 0x5A5A, dtype=torch.int64) for _ in range(4)]
        if held.exact:
            assert_same_bytes(dst, poison, "before the stream got there")
    stream.synchronize()
    assert_same_bytes(dst, wanted)
    assert len(junk) == 4


@case(level=2, needs=GATED)
def test_upload_many(
    backend: Backend, gate: Gates, guarded: Guards, rng: torch.Generator, effort: Effort
) -> None:
    """Hundreds in flight from one reused host buffer: none sees a later one's values."""
    stream = backend.streams.create()
    rounds, length = effort(400, 60), 700
    wanted = _host(rng, (rounds, length), torch.int64)
    dsts = guarded((rounds, length), torch.int64)
    step = torch.empty(length, dtype=torch.int64)
    with gate(stream):
        for i in range(rounds):
            step.copy_(wanted[i])
            backend.kv.upload_small(dsts[i], step, stream=stream)
    stream.synchronize()
    assert_same_bytes(dsts, wanted)


@case(level=2, needs=[*GATED, Capability.COPY])
def test_upload_order(backend: Backend, gate: Gates, guarded: Guards, rng: torch.Generator) -> None:
    """Between two copies of one stream an upload takes effect between them."""
    stream = backend.streams.create()
    values = [_host(rng, 300, torch.int32) for _ in range(2)]
    dst = guarded(300, torch.int32)
    seen = [torch.zeros(300, dtype=torch.int32, device=backend.device) for _ in range(2)]
    _settle(backend)  # the zeros are another stream's work
    with gate(stream):
        for value, copy in zip(values, seen, strict=True):
            backend.kv.upload_small(dst, value, stream=stream)
            backend.memcpy.copy_async(copy, dst, stream)
    stream.synchronize()
    for value, copy in zip(values, seen, strict=True):
        assert_same_bytes(copy, value)


_Call = Callable[[Backend, torch.Tensor, torch.Tensor], object]

REFUSED: dict[str, tuple[type[ArgumentError] | tuple[type[ArgumentError], ...], _Call]] = {
    "shape": ((ShapeError, SizeError), lambda b, d, s: b.kv.upload_small(d, s[:-1])),
    "same-count": ((ShapeError, SizeError), lambda b, d, s: b.kv.upload_small(d, s.view(4, 16))),
    "dtype": (DTypeError, lambda b, d, s: b.kv.upload_small(d, s.float())),
    "payload": (
        DTypeError,
        lambda b, d, s: b.kv.upload_small(d.view(torch.half), s.view(torch.half)),
    ),
    "list": (DTypeError, lambda b, d, s: b.kv.upload_small(d, s.tolist())),  # type: ignore[arg-type]
    "none": (DTypeError, lambda b, d, s: b.kv.upload_small(None, s)),  # type: ignore[arg-type]
    "meta": (DeviceError, lambda b, d, s: b.kv.upload_small(d, s.to("meta"))),
    "strided": (ShapeError, lambda b, d, s: b.kv.upload_small(d[::2], s[::2])),
}


@case(level=2, needs=UPLOAD)
@pytest.mark.parametrize("what", list(REFUSED))
def test_upload_refused(backend: Backend, guarded: Guards, rng: torch.Generator, what: str) -> None:
    """What is no such pair of tensors is refused before anything is written."""
    src, dst = _host(rng, 64, torch.int32), guarded(64, torch.int32)
    error, call = REFUSED[what]
    assert_untouched(
        error, ("dst", "src"), lambda: call(backend, dst, src), dst, settle=lambda: _settle(backend)
    )


@case(level=2, needs=UPLOAD)
def test_upload_overlap(backend: Backend, guarded: Guards) -> None:
    """Where the device shares the host's memory, a source within the destination is refused."""
    whole: Any = guarded(96, torch.int32)
    error = OverlapError if backend.device.type == "cpu" else DeviceError
    assert_untouched(
        error, ("dst", "src"), lambda: backend.kv.upload_small(whole[:64], whole[32:]), whole,
        settle=lambda: _settle(backend),
    )  # fmt: skip
