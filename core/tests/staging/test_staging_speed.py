"""Large tensors on the CPU: one hop, and so nearly the speed of a plain copy."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

import accel

SIZE = 128 << 20


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_nine_tenths_of_a_plain_copy() -> None:
    backend = accel.get_backend("cpu")
    x, out = torch.ones(SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    before = backend.pinned.stats().in_use
    ratios = []
    with accel.HostStaging(backend) as staging:
        ways: dict[str, Callable[[], object]] = {
            "plain": lambda: backend.memcpy.copy(out, x),
            "to host": lambda: staging.copy_to_host_async(x, out).wait(),
            "to device": lambda: staging.copy_to_device_async(x, out).wait(),
        }
        # Others use the machine too: the best of several looks, each the best of some turns.
        for _ in range(6):
            best = dict.fromkeys(ways, float("inf"))
            for _ in range(5):
                for name, way in ways.items():
                    best[name] = min(best[name], timed(way))
            ratios.append(best["plain"] / max(best["to host"], best["to device"]))
            if ratios[-1] >= 0.9:
                break
        assert backend.pinned.stats().in_use == before
    assert max(ratios) >= 0.9, f"ratios to a plain copy: {ratios}"
