"""Captured work does not run, so the sanitizer has nothing to say about it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

import accel
from accel import StreamSanitizer


@pytest.mark.parametrize("captured", [True, False])
def test_captured_work_is_not_seen(monkeypatch: pytest.MonkeyPatch, captured: bool) -> None:
    """Two writes that nothing orders: a race when they run, nothing when they are recorded."""
    backend = accel.get_backend("cpu")
    monkeypatch.setattr(backend.streams, "capture", lambda stream: nullcontext("graph"))
    first, second = backend.streams.create(), backend.streams.create()
    target, sources = torch.zeros(64), [torch.ones(64), torch.ones(64)]
    with StreamSanitizer(backend) as sanitizer, pytest.warns() if not captured else nullcontext():
        scope = backend.streams.capture(first) if captured else nullcontext("graph")
        with scope as graph:
            backend.memcpy.copy_async(target, sources[0], first)
            backend.memcpy.copy_async(target, sources[1], second)
            assert graph == "graph"
        backend.streams.synchronize()
    assert len(sanitizer.reports) == (0 if captured else 1)
    # Afterwards everything is seen again.
    with StreamSanitizer(backend) as sanitizer:
        if captured:
            with backend.streams.capture(first):
                pass
        backend.memcpy.copy_async(target, sources[0], first)
        with pytest.warns(accel.StreamRaceWarning):
            backend.memcpy.copy_async(target, sources[1], second)
        backend.streams.synchronize()
    assert len(sanitizer.reports) == 1
