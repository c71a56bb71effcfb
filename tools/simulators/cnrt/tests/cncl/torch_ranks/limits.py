"""What CNCL's process group refuses, composes and gives up, on every rank."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from accel_sim.testing.torch_ranks.start import DEVICE, RANK, RANKS, SPACE, report, start


def refusal(call: Any, *arguments: Any, **named: Any) -> str:
    """The error's type and text; the group works afterwards."""
    try:
        call(*arguments, **named)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def refused() -> dict[str, str]:
    wide = torch.ones(4, dtype=torch.float64, device=DEVICE)
    x = torch.ones(4, device=DEVICE)
    return {
        "float64": refusal(dist.all_reduce, wide),
        "float64 moved": refusal(dist.broadcast, wide, 0),
        "bits": refusal(dist.all_reduce, x.int(), dist.ReduceOp.BAND),
        "bool average": refusal(dist.all_reduce, x.bool(), dist.ReduceOp.AVG),
        "strided": refusal(dist.all_reduce, torch.ones(4, 4, device=DEVICE)[:, 1]),
        "sizes": refusal(dist.all_gather_into_tensor, torch.empty(3, device=DEVICE), x),
        "splits": refusal(dist.all_to_all_single, x, x, [3] * RANKS, [3] * RANKS),
    }


def composed() -> None:
    """Averages, gathers and lists of uneven tensors, in whole numbers."""
    total = sum(range(1, RANKS + 1))
    for dtype in (torch.float32, torch.float16, torch.int32):
        x = torch.tensor([RANK + 1, -RANK - 1], dtype=dtype, device=DEVICE)
        dist.all_reduce(x, dist.ReduceOp.AVG)
        mean = torch.tensor([total, -total], dtype=torch.float64) / RANKS
        expected = mean.trunc() if dtype is torch.int32 else mean
        assert torch.equal(x.cpu().double(), expected), (x.cpu(), expected)
    out = torch.empty(2, device=DEVICE)
    pieces = torch.arange(2.0 * RANKS, device=DEVICE)
    dist.reduce_scatter_tensor(out, pieces, dist.ReduceOp.AVG)
    assert torch.equal(out.cpu(), torch.arange(2.0 * RANKS)[2 * RANK : 2 * RANK + 2])
    flags = torch.tensor([RANK == 0, False, True], device=DEVICE)
    dist.all_reduce(flags)
    assert flags.tolist() == [True, False, True], "a sum of booleans is an or"

    mine = torch.full((3,), float(RANK), device=DEVICE)
    root = RANKS - 1
    lists = [torch.empty(3, device=DEVICE) for _ in range(RANKS)] if root == RANK else None
    dist.gather(mine, lists, dst=root)
    for rank, found in enumerate(lists or []):
        assert torch.equal(found.cpu(), torch.full((3,), float(rank)))

    uneven = [torch.empty(rank + 1, device=DEVICE) for rank in range(RANKS)]
    dist.all_gather(uneven, torch.full((RANK + 1,), float(RANK), device=DEVICE))
    for rank, found in enumerate(uneven):
        assert torch.equal(found.cpu(), torch.full((rank + 1,), float(rank)))
    sources = [torch.full((rank + 1,), 1.0 + RANK, device=DEVICE) for rank in range(RANKS)]
    out = torch.empty(RANK + 1, device=DEVICE)
    dist.reduce_scatter(out, sources)
    assert torch.equal(out.cpu(), torch.full((RANK + 1,), float(total)))

    x = torch.full((2,), float(RANK), device=DEVICE)
    work = dist.all_reduce(x, async_op=True)
    assert work is not None
    (result,) = work.get_future().wait()
    assert torch.equal(result.cpu(), torch.full((2,), float(sum(range(RANKS)))))
    assert work.is_success()


def given_up() -> list[str]:
    """A rank that never comes: a wait with a limit, then an abort, then another group."""
    group = dist.new_group(timeout=timedelta(seconds=300))
    x = torch.ones(2, device=DEVICE)
    dist.all_reduce(x, group=group)
    SPACE.synchronize()
    texts = []
    if RANK == 0:
        work = dist.all_reduce(x, group=group, async_op=True)
        assert work is not None and not work.is_completed()
        texts.append(refusal(work.wait, timedelta(milliseconds=200)))
        group.abort()
        texts.append(refusal(dist.all_reduce, x, group=group))
    dist.barrier()
    fresh = torch.ones(2, device=DEVICE)
    dist.all_reduce(fresh, group=dist.new_group())
    assert fresh.tolist() == [float(RANKS)] * 2
    return texts


def late() -> str:
    """The watchdog of a group with a short limit gives up a send that nobody takes."""
    group = dist.new_group()
    x = torch.ones(2, device=DEVICE)
    if RANK == 0:
        dist.send(x, 1, group=group)
    else:
        dist.recv(x, 0, group=group)
    SPACE.synchronize()
    text = ""
    if RANK == 0:
        group._get_backend(DEVICE)._set_default_timeout(timedelta(milliseconds=300))
        work = dist.isend(x, 1, group=group)
        assert work is not None
        end = time.monotonic() + 60
        while not work.is_completed() and time.monotonic() < end:
            time.sleep(0.01)
        text = refusal(work.wait)
    dist.barrier()
    return text


start()
composed()
said: dict[str, Any] = {"refused": refused(), "given up": given_up(), "late": late()}
dist.barrier(device_ids=[RANK])
dist.destroy_process_group()
report(said)
