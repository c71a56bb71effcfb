"""Many copies in one call: few launches, and one call of the driver where that serves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim.device_memory import contents, pinned, random_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel import (
    MemRef,
)

HOST = torch.device("cpu")
MIB = 1 << 20
SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SETTINGS
@given(st.data(), st.booleans())
def test_batch(backend: Any, memcpy: Any, pool: Any, memory: Any, data: Any, default: bool) -> None:
    """Batches of all sizes and memories: each byte where it belongs, guards untouched."""
    sizes = data.draw(
        st.lists(st.integers(0, 300) | st.sampled_from([70_000, 1_100_000]), max_size=12)
    )
    total = sum(sizes) + 10 * len(sizes) + 10
    sources = {
        "device": memory.empty(total), "pinned": pinned(pool, random_bytes(total)),
        "host": torch.from_numpy(random_bytes(total)),
    }  # fmt: skip
    targets = {
        "device": memory.empty(total), "pinned": pinned(pool, random_bytes(total)),
        "host": torch.from_numpy(random_bytes(total)), "peer": memory.empty(total, device=1),
    }  # fmt: skip

    def seen(what: Any) -> Any:
        return contents(what) if isinstance(what, MemRef) else what.numpy()

    def part(what: Any, at: int, n: int) -> Any:
        if isinstance(what, MemRef):
            return MemRef(what.pointer + at, n, what.device, owner=what)
        return what[at : at + n]

    expected = {name: seen(target).copy() for name, target in targets.items()}
    dsts, srcs, at = [], [], 0
    for n in sizes:
        at += data.draw(st.integers(0, 9))
        to = data.draw(st.sampled_from(sorted(targets)))
        from_ = data.draw(st.sampled_from(sorted(sources)))
        dsts.append(part(targets[to], at, n))
        srcs.append(part(sources[from_], at, n))
        expected[to][at : at + n] = seen(sources[from_])[at : at + n]
        at += n
    stream = backend.streams.default() if default else backend.streams.create()
    memcpy.copy_batch(dsts, srcs, stream)
    stream.synchronize()
    for name, target in targets.items():
        assert np.array_equal(seen(target), expected[name]), name


@pytest.mark.parametrize("count", [160, 161, 1000])
def test_small_copies_are_one_launch(
    backend: Any, memcpy: Any, memory: Any, driver: Any, count: int
) -> None:
    src, dst = memory.empty(count * 64), memory.empty(count * 64)
    refs = [
        [MemRef(m.pointer + 64 * i, 64, m.device, owner=m) for i in range(count)]
        for m in (dst, src)
    ]
    stream = backend.streams.create()
    launches, copies = driver.calls("cuLaunchKernel"), driver.calls("cuMemcpyAsync")
    memcpy.copy_batch(*refs, stream)
    assert driver.calls("cuLaunchKernel") == launches + 1
    assert driver.calls("cuMemcpyAsync") == copies
    stream.synchronize()
    assert np.array_equal(contents(dst), contents(src))


def test_large_copies_are_one_driver_call(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """But on the default stream, which the driver refuses, and in a capture, one call each."""
    host = pinned(pool, random_bytes(4 * MIB))
    device = memory.empty(4 * MIB)
    parts = [MemRef(device.pointer + MIB * i, MIB, device.device, owner=device) for i in range(4)]
    stream = backend.streams.create()
    batches, copies = driver.calls("cuMemcpyBatchAsync"), driver.calls("cuMemcpyAsync")
    memcpy.copy_batch(parts, list(host.view(4, MIB)), stream)
    assert driver.calls("cuMemcpyBatchAsync") == batches + 1
    assert driver.calls("cuMemcpyAsync") == copies
    memcpy.copy_batch(parts, list(host.view(4, MIB)), backend.streams.default())
    with backend.streams.capture(stream) as graph:
        memcpy.copy_batch(parts, list(host.view(4, MIB)), stream)
    assert driver.calls("cuMemcpyBatchAsync") == batches + 1
    assert driver.calls("cuMemcpyAsync") == copies + 8
    backend.streams.synchronize()
    contents(device)[:] = 0
    graph.replay(stream)
    stream.synchronize()
    assert np.array_equal(contents(device), host.numpy())
