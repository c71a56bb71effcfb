"""Kernels that the CPU backend may not have: the sanitizer knows what they read and write.

Their provider here does nothing: what the sanitizer says depends on the calls alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import accel
from accel import KVCache, StreamSanitizer
from accel.kv import QuantSpec


class Kernels(accel.KVKernels):
    """Takes every call."""

    def __init__(self) -> None:
        for name in ("convert", "rope_reposition", "quantize", "dequantize", "decode", "novel"):
            setattr(self, name, lambda *args, **kwargs: None)
        self.encode = lambda symbols, model, **kwargs: symbols
        self.entropy_model = lambda symbols, bins, **kwargs: symbols


@pytest.fixture
def backend() -> Iterator[accel.Backend]:
    cpu = accel.get_backend("cpu")
    built = accel.Backend(cpu.info, cpu.probe, cpu._spec)
    for area in ("streams", "events", "pinned", "memcpy", "collectives"):
        setattr(built, area, getattr(cpu, area))
    built.kv = Kernels()
    built.capabilities = cpu.capabilities
    yield built
    cpu.streams.synchronize()


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


X = numbers(16, 64)
CODES, SCALES = numbers(16, 64, dtype=torch.int8), numbers(16, 1)
CACHE = KVCache(numbers(2, 8, 4, 2, 8), "| L B S H D")
OTHER = KVCache(numbers(2, 32, 2, 8), "| L T H D")
ROPE: Any = type("Rope", (), {"cos_sin_cache": numbers(100, 8)})()
POSITIONS = torch.arange(4)
SPEC = QuantSpec()

Call = Callable[[accel.Backend, Any], object]

#: A call, a tensor it reads or None, a tensor it writes or None.
CALLS: dict[str, tuple[Call, torch.Tensor | None, torch.Tensor | None]] = {
    "quantize": (
        lambda b, s: b.kv.quantize(X, CODES, SCALES, spec=SPEC, stream=s), X, CODES,
    ),
    "quantize, its scales": (
        lambda b, s: b.kv.quantize(X, CODES, SCALES, spec=SPEC, stream=s), X, SCALES,
    ),
    "dequantize": (
        lambda b, s: b.kv.dequantize(CODES, SCALES, None, X, spec=SPEC, stream=s), SCALES, X,
    ),
    "convert": (
        lambda b, s: b.kv.convert(CACHE, OTHER, stream=s), CACHE.tensors[0], OTHER.tensors[0],
    ),
    "rope in place": (
        lambda b, s: b.kv.rope_reposition(X, POSITIONS, POSITIONS, ROPE, stream=s),
        ROPE.cos_sin_cache, X,
    ),
    "rope of a layer of a cache": (
        lambda b, s: b.kv.rope_reposition(
            CACHE, POSITIONS, POSITIONS, ROPE, slots=torch.tensor([5, 6, -1, 31]), layer=1, stream=s
        ),
        None, CACHE.tensors[0][1, 7, 3],
    ),
    "decode": (lambda b, s: b.kv.decode(CODES, SCALES, X, stream=s), CODES, X),
    "entropy_model": (lambda b, s: b.kv.entropy_model(CODES, 16, stream=s), CODES, None),
    "a member that it does not know": (
        lambda b, s: b.kv.novel(X, stream=s), X, None,  # type: ignore[attr-defined]
    ),
}  # fmt: skip


@pytest.mark.parametrize("wait", [False, True], ids=["race", "twin"])
@pytest.mark.parametrize("name", CALLS)
def test_reads_race_with_writes_and_writes_with_reads(
    backend: accel.Backend, name: str, wait: bool
) -> None:
    call, read, written = CALLS[name]
    for tensor, kind in ((read, "read-write"), (written, "write-read")):
        if tensor is None:
            continue
        s, t = backend.streams.create(), backend.streams.create()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", accel.StreamRaceWarning)
            with StreamSanitizer(backend) as sanitizer:
                call(backend, s)
                if wait:
                    t.wait_event(s.record_event())
                if kind == "read-write":
                    backend.memcpy.fill(tensor, 0, t)
                else:
                    backend.memcpy.copy_async(torch.empty_like(tensor), tensor, t)
                backend.streams.synchronize()
        assert [r.kind for r in sanitizer.reports] == ([] if wait else [kind])
        if not wait:
            assert sanitizer.reports[0].first.call.startswith("kv.")


def test_other_slots_and_layers_are_not_meant(backend: accel.Backend) -> None:
    s, t = backend.streams.create(), backend.streams.create()
    with StreamSanitizer(backend, raising=True):
        backend.kv.rope_reposition(
            CACHE, POSITIONS, POSITIONS, ROPE, slots=torch.tensor([5, 6, -1, 31]), layer=1, stream=s
        )
        backend.memcpy.fill(CACHE.tensors[0][0], 0, t)
        backend.memcpy.fill(CACHE.tensors[0][1, 7, :3], 0, t)
        POSITIONS.add_(0)  # was read at the call
        backend.streams.synchronize()


def test_encode_waits_for_its_stream(backend: accel.Backend) -> None:
    stream = backend.streams.create()
    with StreamSanitizer(backend, raising=True):
        backend.memcpy.fill(X, 0, stream)
        out = backend.kv.encode(CODES, SCALES, out=X.view(torch.uint8).flatten(), stream=stream)
        assert out is CODES
        X.sum()
