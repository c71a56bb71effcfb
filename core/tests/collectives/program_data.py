"""Rank program: every operation on random inputs, against expectations computed from all ranks'
inputs by one process: loops and float64, no reduction of accel's."""

from __future__ import annotations

import random
import types
import zlib
from collections.abc import Sequence
from typing import Any

import torch

from accel.collectives import TorchCollectives
from accel.providers import P2POp

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64]
REDUCED = [*FLOATS, *INTEGERS, torch.bool]
MOVED = [*FLOATS, *INTEGERS, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64]
SHAPES = [(), (1,), (7,), (3, 5), (0,), (4, 0, 2), (9001,), (2, 3, 1201)]


class Inputs:
    """The same random tensors on every rank: tensor(name, rank) is rank's input to a check."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def tensor(self, name: str, rank: int, shape: Any, dtype: torch.dtype) -> torch.Tensor:
        generator = torch.Generator().manual_seed(
            zlib.crc32(f"{self.seed} {name} {rank} {shape} {dtype}".encode())
        )
        if dtype.is_floating_point or dtype.is_complex:
            values = torch.randn(shape, generator=generator, dtype=torch.float64) * 2
            if dtype.is_complex:
                values = torch.complex(values, values.flip(-1) if values.dim() else values)
            return values.to(dtype)
        if dtype is torch.bool:
            return torch.rand(shape, generator=generator) < 0.6
        low, high = (0, 256) if dtype is torch.uint8 else (-100, 100)
        return torch.randint(low, high, shape, generator=generator).to(dtype)


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype)  # of stride one, whatever the input's
    flat.copy_(tensor.reshape(-1))
    return flat.view(torch.uint8)


def same(got: torch.Tensor, expected: torch.Tensor) -> None:
    assert got.shape == expected.shape and got.dtype == expected.dtype
    a, b = _bytes(got), _bytes(expected)
    assert torch.equal(a, b), f"{int((a != b).sum())} of {a.numel()} bytes differ"


def check_reduced(got: torch.Tensor, inputs: list[torch.Tensor], op: str) -> None:
    """Exact for integers and bool; floats within the rounding of float32 or better sums."""
    dtype, size = got.dtype, len(inputs)
    assert got.shape == inputs[0].shape
    if dtype is torch.bool:
        count = sum(t.to(torch.int64) for t in inputs)
        expected = count > 0 if op in ("sum", "max") else count == size
        assert torch.equal(got, expected)
        return
    wide = torch.float64 if dtype.is_floating_point else torch.int64
    stack = torch.stack([t.to(wide) for t in inputs])
    exact = {
        "sum": lambda: stack.sum(0),
        "avg": lambda: stack.sum(0) / size,
        "prod": lambda: stack.prod(0),
        "min": lambda: stack.amin(0) if stack.numel() else stack.sum(0),
        "max": lambda: stack.amax(0) if stack.numel() else stack.sum(0),
    }[op]()
    if not dtype.is_floating_point or op in ("min", "max"):
        assert torch.equal(got, exact.to(dtype))
        return
    rounding = torch.finfo(dtype).eps * 0.51 if dtype.itemsize == 2 else 0.0
    working = torch.finfo(dtype if dtype.itemsize > 2 else torch.float32).eps
    scale = exact.abs() if op == "prod" else stack.abs().sum(0)
    bound = rounding * exact.abs() + size * working * scale + torch.finfo(dtype).tiny
    error = (got.to(torch.float64) - exact).abs()
    # A value past the largest float16 is rightly infinite.
    error = torch.where(exact.abs() >= torch.finfo(dtype).max, torch.zeros_like(error), error)
    assert bool((error <= bound).all()), f"off by up to {float((error / bound).max()):.2f} bounds"


def strided(tensor: torch.Tensor, kind: int) -> torch.Tensor:
    """A tensor of the same shape and contents with other strides."""
    if kind == 0 or tensor.dim() == 0:
        return tensor.clone()
    if kind == 1:
        wide = torch.zeros((*tensor.shape[:-1], tensor.shape[-1] * 2 + 1), dtype=tensor.dtype)
        out = wide[..., 1::2]
    else:
        out = torch.zeros(tensor.shape[::-1], dtype=tensor.dtype).permute(
            *range(tensor.dim() - 1, -1, -1)
        )
    out.copy_(tensor)
    return out


def run_reductions(
    comm: Any, inputs: Inputs, report: Any, label: str, dtypes: Sequence[torch.dtype] = REDUCED
) -> None:
    rank, size = comm.rank, comm.size
    for dtype in dtypes:
        ops = ["sum", "prod", "min", "max"] + (["avg"] if dtype.is_floating_point else [])
        with report(f"{label} reductions {dtype}"):
            for n, (op, shape) in enumerate((o, s) for o in ops for s in SHAPES):
                every = [inputs.tensor(f"red {op}", r, shape, dtype) for r in range(size)]
                mine = strided(every[rank], n % 3)
                work = comm.all_reduce(mine, op, async_op=n % 4 == 0)
                if work is not None:
                    work.wait()
                check_reduced(mine, every, op)
                copies = torch.empty((size, *shape), dtype=dtype)
                comm.all_gather(copies, mine)
                for copy in copies:
                    same(copy, copies[0])
                root = n % size
                mine = strided(every[rank], (n + 1) % 3)
                comm.reduce(mine, root, op)
                if rank == root:
                    check_reduced(mine, every, op)
                else:
                    same(mine, every[rank])
                rows = [inputs.tensor(f"rs {op}", r, (size, *shape), dtype) for r in range(size)]
                output = strided(torch.zeros(shape, dtype=dtype), (n + 2) % 3)
                comm.reduce_scatter(output, strided(rows[rank], n % 3), op)
                check_reduced(output, [row[rank] for row in rows], op)


def run_moves(comm: Any, inputs: Inputs, report: Any, label: str) -> None:
    rank, size = comm.rank, comm.size
    for dtype in MOVED:
        with report(f"{label} moves {dtype}"):
            for n, shape in enumerate(SHAPES):
                every = [inputs.tensor("move", r, shape, dtype) for r in range(size)]
                whole = torch.stack(every)
                root = (n + 1) % size
                mine = strided(every[rank], n % 3)
                comm.broadcast(mine, root)
                same(mine, every[root])
                output = strided(torch.zeros_like(whole), (n + 1) % 3)
                comm.all_gather(output, strided(every[rank], n % 3))
                same(output, whole)
                inside = torch.zeros_like(whole)
                inside[rank] = every[rank]
                comm.all_gather(inside, inside[rank])
                same(inside, whole)
                output = torch.zeros_like(whole) if rank == root else None
                comm.gather(output, strided(every[rank], n % 3), root)
                if output is not None:
                    same(output, whole)
                rows = inputs.tensor("scatter", root, (size, *shape), dtype)
                mine = strided(torch.zeros_like(every[0]), n % 3)
                comm.scatter(mine, strided(rows, n % 3) if rank == root else None, root)
                same(mine, rows[rank])


def run_all_to_all(comm: Any, inputs: Inputs, report: Any, label: str, seed: int) -> None:
    rank, size = comm.rank, comm.size
    with report(f"{label} all_to_all"):
        chance = random.Random(seed)
        for n, dtype in enumerate(MOVED):
            tail = [(), (3,), (0,), (2, 5)][n % 4]
            every = [inputs.tensor("a2a", r, (2 * size, *tail), dtype) for r in range(size)]
            output = strided(torch.zeros_like(every[0]), n % 3)
            comm.all_to_all(output, strided(every[rank], (n + 1) % 3))
            same(output, torch.cat([e[2 * rank : 2 * rank + 2] for e in every]))
            # counts[s][t] rows go from s to t
            counts = [[chance.choice((0, 0, 1, 2, 17)) for _ in range(size)] for _ in range(size)]
            every = [inputs.tensor("a2av", r, (sum(counts[r]), *tail), dtype) for r in range(size)]
            received = [counts[s][rank] for s in range(size)]
            output = torch.zeros((sum(received), *tail), dtype=dtype)
            comm.all_to_all(output, every[rank], received, counts[rank])
            parts = [e.split(c)[rank] for e, c in zip(every, counts, strict=True)]
            same(output, torch.cat(parts))


def run_messages(comm: Any, inputs: Inputs, report: Any, label: str, seed: int) -> None:
    rank, size = comm.rank, comm.size
    with report(f"{label} send and recv around a ring"):
        for n, dtype in enumerate(MOVED):
            for shape in SHAPES:
                expected = inputs.tensor("ring", (rank - 1) % size, shape, dtype)
                got = strided(torch.zeros_like(expected), n % 3)
                mine = strided(inputs.tensor("ring", rank, shape, dtype), (n + 1) % 3)
                if rank % 2 == 0:
                    comm.send(mine, (rank + 1) % size, tag=n)
                    comm.recv(got, (rank - 1) % size, tag=n)
                else:
                    comm.recv(got, (rank - 1) % size, tag=n)
                    comm.send(mine, (rank + 1) % size, tag=n)
                same(got, expected)
    with report(f"{label} tags choose, order holds within a tag"):
        peers = [p for p in range(size) if p != rank]
        chance = random.Random(seed)  # the same on all ranks
        order = [(tag, i) for tag in (0, 5, 65535) for i in range(4)]
        sends, receives = order[:], order[:]
        by_tag = {tag: iter(range(4)) for tag in (0, 5, 65535)}
        chance.shuffle(sends)
        sends = [(tag, next(by_tag[tag])) for tag, _ in sends]
        by_tag = {tag: iter(range(4)) for tag in (0, 5, 65535)}
        chance.shuffle(receives)
        receives = [(tag, next(by_tag[tag])) for tag, _ in receives]
        works, got = [], []
        for p in peers:
            for tag, i in receives:
                buffer = torch.zeros(100 + i)
                got.append((buffer, p, tag, i))
                works.append(comm.irecv(buffer, p, tag))
        for p in peers:
            for tag, i in sends:
                value = torch.full((100 + i,), float(rank * 1000 + p * 100 + (tag % 50) + i))
                works.append(comm.isend(value, p, tag))
        chance.shuffle(works)
        for work in works:
            work.wait()
        for buffer, p, tag, i in got:
            same(buffer, torch.full((100 + i,), float(p * 1000 + rank * 100 + (tag % 50) + i)))
    with report(f"{label} batch: everyone to everyone, also to itself"):
        for count in (0, 1, 1000, 300_000):
            legs, got = [], []
            for p in range(size):
                legs.append(P2POp("send", torch.full((count,), rank * 10 + p), p, tag=3))
                got.append(torch.zeros(count, dtype=torch.int64))
                legs.append(P2POp("recv", got[-1], p, tag=3))
            comm.batch(legs).wait()
            for p in range(size):
                same(got[p], torch.full((count,), p * 10 + rank))
        comm.batch([]).wait()
    comm.barrier()


def run_async(comm: Any, inputs: Inputs, report: Any, label: str) -> None:
    rank, size = comm.rank, comm.size
    with report(f"{label} many operations in flight, waited for in any order"):
        every = [
            [inputs.tensor(f"async {i}", r, (50 + i,), torch.float32) for r in range(size)]
            for i in range(30)
        ]
        works = []
        tensors = []
        for i, contributions in enumerate(every):
            tensor = contributions[rank].clone()
            tensors.append(tensor)
            works.append(comm.all_reduce(tensor, "max", async_op=True))
            if i % 7 == 0:  # a blocking call takes its turn among them
                total = torch.tensor([rank + 1.0])
                comm.all_reduce(total)
                assert total.item() == size * (size + 1) / 2
        random.Random(rank).shuffle(works)
        for work in works:
            work.wait()
            work.wait()
            assert work.is_completed()
        for tensor, contributions in zip(tensors, every, strict=True):
            check_reduced(tensor, contributions, "max")
    with report(f"{label} is_completed ends, without wait, in any order of receives"):
        if size > 1:
            peer, back = (rank + 1) % size, (rank - 1) % size
            late, early = torch.zeros(10), torch.zeros(10)
            first = comm.irecv(late, back, tag=1)
            second = comm.irecv(early, back, tag=2)
            sent = comm.isend(torch.full((10,), 2.0), peer, tag=2)
            while not second.is_completed():
                pass
            assert not first.is_completed()
            comm.barrier()
            comm.isend(torch.full((10,), 1.0), peer, tag=1).wait()
            while not (first.is_completed() and sent.is_completed()):
                pass
            for work in (first, second, sent):
                work.wait()
            assert late.tolist() == [1.0] * 10 and early.tolist() == [2.0] * 10
    comm.barrier()


def run_inference_mode(comm: Any, report: Any, label: str) -> None:
    with (
        report(f"{label} under inference_mode, and on tensors that require grad"),
        torch.inference_mode(),
    ):
        tensor = torch.ones(5, 2).t()
        work = comm.all_reduce(tensor, async_op=True)
        work.wait()
        assert tensor.eq(comm.size).all()
    with report(f"{label} leaves that require grad"):
        leaf = torch.ones(4, requires_grad=True)
        comm.all_reduce(leaf)
        assert leaf.tolist() == [comm.size] * 4


def main(rank: int, size: int, seed: int, report: Any) -> None:
    backend = types.SimpleNamespace(
        device=torch.device("cpu"), info=types.SimpleNamespace(name="cpu")
    )
    collectives = TorchCollectives(backend)
    inputs = Inputs(seed)
    with report("whole world"):
        comm = collectives.communicator(timeout=60)
        assert (comm.rank, comm.size, comm.channel, comm.timeout) == (rank, size, "gloo", 60.0)
    run_reductions(comm, inputs, report, "world")
    run_moves(comm, inputs, report, "world")
    run_all_to_all(comm, inputs, report, "world", seed)
    if size > 1:
        run_messages(comm, inputs, report, "world", seed)
    run_async(comm, inputs, report, "world")
    run_inference_mode(comm, report, "world")

    for group in ([0], list(range(1, size)), list(range(0, size, 2))):
        if not group:
            continue
        part = collectives.communicator(group, timeout=60)
        with report(f"sub-group {group}"):
            if rank in group:
                assert (part.rank, part.size) == (group.index(rank), len(group))
                run_moves(part, inputs, report, f"group {group}")
                run_all_to_all(part, inputs, report, f"group {group}", seed)
                tensor = torch.tensor([2 ** group.index(rank)])
                part.all_reduce(tensor)
                assert tensor.item() == 2 ** len(group) - 1
            else:
                assert (part.rank, part.size) == (-1, len(group))
        part.close()

    with report("large messages: 64 MiB"):
        count = 1 << 24
        large = torch.full((count,), float(rank + 1))
        large[rank::1009] += 1
        expected = torch.full((count,), size * (size + 1) / 2.0)
        for r in range(size):
            expected[r::1009] += 1
        comm.all_reduce(large)
        assert torch.equal(large, expected)
        large = torch.arange(count, dtype=torch.int32) * (rank == size - 1)
        comm.broadcast(large, size - 1)
        assert torch.equal(large, torch.arange(count, dtype=torch.int32))
        comm.all_reduce(large.fill_(rank), "max")
        assert large.eq(size - 1).all()
        row = torch.arange(count // size, dtype=torch.float32) + rank
        rows = torch.zeros(size, count // size)
        comm.all_gather(rows, row)
        assert all(torch.equal(rows[r], row - rank + r) for r in range(size))
        comm.reduce(row, 0)
        if rank == 0:
            assert torch.equal(row, rows.double().sum(0).float())
    comm.close()
    comm.close()
