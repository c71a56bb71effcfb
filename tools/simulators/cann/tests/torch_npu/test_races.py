"""Races planted in programs, and the same programs done right.

Without delays a simulated stream is fast enough for most races to go unnoticed. With them, each of
these shows within a few seeds, and the right program gives the right answer with every seed.
"""

from __future__ import annotations

import json
from typing import Any

SEEDS = range(1, 5)
PROGRAM = """
import json, torch

N, ROUNDS = 1 << 14, 12
side = torch.npu.Stream()
main = torch.npu.current_stream()


def wait_stream(value, right):
    x = torch.full((N,), -1.0, device="npu")
    y = torch.empty_like(x)
    torch.npu.synchronize()
    x.fill_(value)
    if right:
        side.wait_stream(main)
    with torch.npu.stream(side):
        y.copy_(x)
    torch.npu.synchronize()
    return y.cpu()


def record_stream(value, right):
    x = torch.full((N,), value, device="npu")
    y = torch.empty_like(x)
    side.wait_stream(main)
    with torch.npu.stream(side):
        y.copy_(x)
    if right:
        x.record_stream(side)
    del x
    torch.full((N,), -1.0, device="npu")  # takes the memory that is free by now
    torch.npu.synchronize()
    return y.cpu()


def host_read(value, right):
    x = torch.full((N,), value, device="npu")
    host = torch.full((N,), -1.0).pin_memory()
    host.copy_(x, non_blocking=True)
    if right:
        main.synchronize()
    seen = host.clone()
    torch.npu.synchronize()
    return seen


wrong = {}
for program in (wait_stream, record_stream, host_read):
    for right in (False, True):
        count = sum(
            not program(float(value), right).eq(value).all() for value in range(1, ROUNDS + 1)
        )
        wrong[program.__name__ + (" right" if right else "")] = count
print(json.dumps(wrong))
"""


def test_planted_races_show_under_delays(npu: Any) -> None:
    found = [json.loads(npu(seed=seed, delay_us=500).python(PROGRAM).last) for seed in SEEDS]
    for program in ("wait_stream", "record_stream", "host_read"):
        wrong = [one[program] for one in found]
        right = [one[f"{program} right"] for one in found]
        assert any(wrong), f"{program}: no seed of {list(SEEDS)} shows the race"
        assert not any(right), f"{program}: wrong though it waits, by seeds {right}"


def test_the_right_programs_without_delays(npu: Any) -> None:
    wrong = json.loads(npu(seed=1).python(PROGRAM).last)
    assert not any(count for name, count in wrong.items() if name.endswith("right")), wrong
