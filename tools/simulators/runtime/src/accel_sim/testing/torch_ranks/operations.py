"""torch.distributed's operations on a vendor's backend against direct computations on the CPU."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from accel_sim.testing.torch_ranks.start import DEVICE, RANK, RANKS, SPACE, report, start

CHECKED: list[str] = []


def same(what: str, found: torch.Tensor, expected: torch.Tensor) -> None:
    found = found.cpu()
    assert found.dtype == expected.dtype and found.shape == expected.shape, what
    assert torch.equal(found, expected), (what, RANK, found.flatten()[:8], expected.flatten()[:8])
    CHECKED.append(what)


def of_rank(rank: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A rank's contribution: small whole numbers, whose sums are exact in every dtype."""
    source = torch.Generator().manual_seed(100 + rank)
    return torch.randint(-3, 4, shape, generator=source).to(dtype)


def every(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [of_rank(rank, shape, dtype) for rank in range(RANKS)]


def reductions() -> None:
    for dtype in (
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int32,
        torch.int64,
        torch.int8,
    ):
        x = of_rank(RANK, (5, 3), dtype).to(DEVICE)
        dist.all_reduce(x)
        wide = torch.stack(every((5, 3), dtype)).to(torch.float64)
        same(f"all_reduce {dtype}", x, wide.sum(0).to(dtype))
    stacked = torch.stack(every((7,)))
    for name, op, expected in (
        ("product", dist.ReduceOp.PRODUCT, stacked.prod(0)),
        ("max", dist.ReduceOp.MAX, stacked.amax(0)),
        ("min", dist.ReduceOp.MIN, stacked.amin(0)),
        ("avg", dist.ReduceOp.AVG, stacked.sum(0) / RANKS),
    ):
        x = of_rank(RANK, (7,)).to(DEVICE)
        dist.all_reduce(x, op)
        same(f"all_reduce {name}", x, expected)
    x = of_rank(RANK, (7,)).to(DEVICE)
    work = dist.all_reduce(x, async_op=True)
    assert work is not None
    work.wait()
    same("all_reduce async", x, stacked.sum(0))
    x = of_rank(RANK, (7,)).to(DEVICE)
    dist.reduce(x, RANKS - 1)
    if RANK == RANKS - 1:
        same("reduce", x, stacked.sum(0))
    out = torch.empty(4, 2, device=DEVICE)
    dist.reduce_scatter_tensor(out, of_rank(RANK, (4 * RANKS, 2)).to(DEVICE))
    total = torch.stack(every((4 * RANKS, 2))).sum(0)
    same("reduce_scatter_tensor", out, total[4 * RANK : 4 * RANK + 4])
    parts = list(of_rank(RANK, (4 * RANKS, 2)).to(DEVICE).chunk(RANKS))
    dist.reduce_scatter(out, parts)
    same("reduce_scatter", out, total[4 * RANK : 4 * RANK + 4])


def movements() -> None:
    values = every((3, 2))
    for dtype in (torch.float32, torch.int64, torch.uint8, torch.bool, torch.bfloat16):
        x = of_rank(RANK, (3, 2)).abs().to(dtype).to(DEVICE)
        dist.broadcast(x, RANKS - 1)
        same(f"broadcast {dtype}", x, values[-1].abs().to(dtype))
    own = values[RANK].to(DEVICE)
    gathered = [torch.empty(3, 2, device=DEVICE) for _ in range(RANKS)]
    dist.all_gather(gathered, own)
    for rank in range(RANKS):
        same("all_gather", gathered[rank], values[rank])
    whole = torch.empty(3 * RANKS, 2, device=DEVICE)
    dist.all_gather_into_tensor(whole, own)
    same("all_gather_into_tensor", whole, torch.cat(values))
    if RANK == 0:
        wide = [value.to(DEVICE) for value in values]
    into = torch.empty(3, 2, device=DEVICE)
    dist.scatter(into, wide if RANK == 0 else None, src=0)
    same("scatter", into, values[RANK])
    many = every((RANKS * 2, 3))
    out = torch.empty(RANKS * 2, 3, device=DEVICE)
    dist.all_to_all_single(out, many[RANK].to(DEVICE))
    same("all_to_all_single", out, torch.cat([m[2 * RANK : 2 * RANK + 2] for m in many]))
    # Rank i sends i + j rows to rank j.
    sends = [RANK + j for j in range(RANKS)]
    receives = [i + RANK for i in range(RANKS)]
    full = every((RANKS * RANKS * 2, 2))
    out = torch.empty(sum(receives), 2, device=DEVICE)
    source = full[RANK][: sum(sends)].to(DEVICE)
    dist.all_to_all_single(out, source, receives, sends)
    expected = []
    for i in range(RANKS):
        begin = sum(i + j for j in range(RANK))
        expected.append(full[i][begin : begin + i + RANK])
    same("all_to_all_single uneven", out, torch.cat(expected))
    outs = [torch.empty(2, 3, device=DEVICE) for _ in range(RANKS)]
    dist.all_to_all(outs, list(many[RANK].to(DEVICE).chunk(RANKS)))
    for i in range(RANKS):
        same("all_to_all", outs[i], many[i][2 * RANK : 2 * RANK + 2])


def messages() -> None:
    values = every((4,))
    right, left = (RANK + 1) % RANKS, (RANK - 1) % RANKS
    x = torch.empty(4, device=DEVICE)
    if RANK % 2 == 0:
        dist.send(values[RANK].to(DEVICE), right)
        dist.recv(x, left)
    else:
        dist.recv(x, left)
        dist.send(values[RANK].to(DEVICE), right)
    same("send and recv", x, values[left])
    source, x = values[RANK].to(DEVICE), torch.empty(4, device=DEVICE)
    works = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.isend, source, right),
            dist.P2POp(dist.irecv, x, left),
        ]
    )
    for work in works:
        work.wait()
    same("batch_isend_irecv", x, values[left])
    if RANK < 2:
        x = torch.empty(4, device=DEVICE)
        alone = dist.isend(source, 1) if RANK == 0 else dist.irecv(x, 0)
        assert alone is not None
        alone.wait()
        if RANK == 1:
            same("isend and irecv", x, values[0])


def objects_and_groups() -> None:
    objects: list[object] = [None] * RANKS
    dist.all_gather_object(objects, {"rank": RANK})
    assert objects == [{"rank": rank} for rank in range(RANKS)]
    shared = [{"from": 0} if RANK == 0 else None]
    dist.broadcast_object_list(shared, src=0)
    assert shared == [{"from": 0}]
    halves = [
        dist.new_group([rank for rank in range(RANKS) if rank % 2 == half]) for half in range(2)
    ]
    x = torch.full((2,), float(RANK + 1), device=DEVICE)
    dist.all_reduce(x, group=halves[RANK % 2])
    total = sum(rank + 1 for rank in range(RANKS) if rank % 2 == RANK % 2)
    same("new_group", x, torch.full((2,), float(total)))
    rows = [torch.full((3,), float(RANK + 10 * i), device=DEVICE) for i in range(3)]
    with distributed_c10d._coalescing_manager(device=DEVICE, async_ops=True) as manager:
        for row in rows:
            dist.all_reduce(row)
    manager.wait()
    for i, row in enumerate(rows):
        same("coalesced", row, torch.full((3,), float(sum(range(RANKS)) + 10 * i * RANKS)))
    dist.barrier()


def in_stream_order() -> None:
    """Results are there for work that comes after on the stream; nothing waits on the host."""
    other = SPACE.Stream()
    x = torch.ones(1 << 16, device=DEVICE)
    for _ in range(3):
        dist.all_reduce(x)
        x.div_(RANKS).add_(1)
    same("between kernels", x, torch.full((1 << 16,), 4.0))
    with SPACE.stream(other):
        other.wait_stream(SPACE.current_stream(DEVICE))
        y = torch.full((1 << 12,), float(RANK), device=DEVICE)
        dist.all_reduce(y)
        y.mul_(2)
    SPACE.current_stream(DEVICE).wait_stream(other)
    same("another stream", y, torch.full((1 << 12,), 2.0 * sum(range(RANKS))))


start()
for part in (reductions, movements, messages, objects_and_groups, in_stream_order):
    part()
SPACE.synchronize()
dist.destroy_process_group()
report(sorted(set(CHECKED)))
