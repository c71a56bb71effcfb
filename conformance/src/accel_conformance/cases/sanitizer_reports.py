"""The stream sanitizer sees this backend's calls: a missing wait is found, a wait is heeded."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch

from accel import Backend, Capability, KVCache, MemRef, ShapeError, StreamRaceWarning
from accel.providers import Stream
from accel.sanitizer import Race, StreamSanitizer
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Guards, RandomTensor

NEEDS = [Capability.STREAMS, Capability.EVENTS, Capability.COPY]
Order = Callable[[Stream, Stream], object]


def _reports(backend: Backend, program: Callable[[], object]) -> list[Race]:
    if any("StreamSanitizer" in mode for mode in backend.modes):
        pytest.skip("ACCEL_SANITIZE is on: another sanitizer would report what is planted here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StreamRaceWarning)
        with StreamSanitizer(backend) as sanitizer:
            program()
            backend.streams.synchronize()
    return sanitizer.reports


WAITS: dict[str, Order] = {
    "nothing": lambda a, b: None,
    "wait_event": lambda a, b: b.wait_event(a.record_event()),
    "event.wait": lambda a, b: a.record_event().wait(b),
    "wait_stream": lambda a, b: b.wait_stream(a),
    "synchronize": lambda a, b: a.synchronize(),
    "event.synchronize": lambda a, b: a.record_event().synchronize(),
}


@case(level=1, needs=NEEDS)
@pytest.mark.parametrize("how", WAITS)
def test_missing_wait(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, how: str
) -> None:
    """A copy that reads what another stream writes: reported with both lines, unless it waits."""
    src, middle, dst = random_tensor(5000), guarded(5000), guarded(5000)
    producer, consumer = backend.streams.create(), backend.streams.create()

    def program() -> None:
        backend.memcpy.copy_async(middle, src, producer)
        WAITS[how](producer, consumer)
        backend.memcpy.copy_async(dst, middle, consumer)

    races = _reports(backend, program)
    if how != "nothing":
        assert not races, str(races[0])
        assert_same_bytes(dst, src)
        return
    assert len(races) == 1, f"expected one report, given {len(races)}"
    race = races[0]
    assert race.kind == "write-read"
    assert (race.lo, race.hi - race.lo) == (middle.data_ptr(), 5000)
    lines = [race.first.site.line, race.second.site.line]
    assert race.first.site.file == race.second.site.file == __file__
    assert lines[1] == lines[0] + 2, f"the two copies are two lines apart, reported: {lines}"


@case(level=1, needs=[*NEEDS, Capability.COPY_RAW])
@pytest.mark.parametrize("gap", [0, -1], ids=["side by side", "overlapping"])
def test_raw_ranges(backend: Backend, guarded: Guards, gap: int) -> None:
    """Copies of raw references race exactly when a byte is common."""
    memory, data = guarded(4000), guarded(2000, init=torch.zeros(2000, dtype=torch.uint8))
    left, right = backend.streams.create(), backend.streams.create()
    at = memory.data_ptr()

    def program() -> None:
        first = MemRef(at, 2000, backend.device, memory)
        second = MemRef(at + 2000 + gap, 2000, backend.device, memory)
        backend.memcpy.copy_async(first, data, left)
        backend.memcpy.copy_async(second, data, right)

    races = _reports(backend, program)
    assert [r.kind for r in races] == (["write-write"] if gap else [])


@case(level=2, needs=[*NEEDS, Capability.KV_TRANSFER])
@pytest.mark.parametrize("layout", ["vllm_nhd", "sglang_page_head"])
@pytest.mark.parametrize("common", [False, True], ids=["other slots", "a common slot"])
def test_slots(backend: Backend, layout: str, common: bool) -> None:
    """Transfers on two streams race exactly when a slot is common."""
    caches = [
        KVCache.allocate(
            layout, layers=2, blocks=6, block_size=4, heads=2, head_dim=8, dtype=torch.float16,
            device=backend.device,
        )
        for _ in range(3)
    ]  # fmt: skip
    left, right = backend.streams.create(), backend.streams.create()
    taken = torch.tensor([1, 5, 9]), torch.tensor([2, 6, 9 if common else 10])

    def program() -> None:
        backend.kv.transfer(caches[0], caches[1], taken[0], taken[0], stream=left)
        backend.kv.transfer(caches[1], caches[2], taken[1], taken[1], stream=right)

    races = _reports(backend, program)
    assert [(r.kind, r.slot) for r in races] == ([("write-read", 9)] if common else [])


@case(level=1, needs=NEEDS)
def test_calls_go_through(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """Under the sanitizer calls and errors are what they were, and nothing is left of it."""
    before = {name: getattr(backend.memcpy, name) for name in ("copy", "copy_async", "fill")}
    src, dst = random_tensor(3000), guarded(3000)
    stream = backend.streams.create()

    def program() -> None:
        with backend.stream(stream):
            assert backend.streams.current().handle == stream.handle
            backend.memcpy.copy_async(dst, src)
        stream.synchronize()
        with pytest.raises(ShapeError):
            backend.memcpy.copy(dst, src[:5])

    assert not _reports(backend, program)
    assert_same_bytes(dst, src)
    assert {name: getattr(backend.memcpy, name) for name in before} == before
