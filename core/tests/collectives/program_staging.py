"""Rank program (2 ranks): device tensors staged through pinned memory, on a backend whose copies
run late. Inputs are written and outputs read on a stream, so a missing wait shows."""

from __future__ import annotations

from typing import Any

import torch
from slow_backend import SlowBackend

from accel.collectives import TorchCollectives
from accel.providers import P2POp


def main(rank: int, size: int, seed: int, report: Any) -> None:
    backend = SlowBackend(seed)
    comm = TorchCollectives(backend).communicator(timeout=30, _stage_always=True)
    generator = torch.Generator().manual_seed(seed)
    other = 1 - rank

    def every(shape: tuple[int, ...]) -> list[torch.Tensor]:
        return [torch.randn(shape, generator=generator) for _ in range(size)]

    for repeat in range(6):
        asynchronous = repeat % 2 == 1

        def done(work: Any) -> None:
            if asynchronous:  # noqa: B023
                work.wait()
            else:
                assert work is None

        with report(f"in place, repeat {repeat}"):
            inputs = every((40, 30))
            tensor = torch.zeros(30, 40).t()
            backend.write(tensor, inputs[rank])
            done(comm.all_reduce(tensor, "max", async_op=asynchronous))
            assert torch.equal(backend.read(tensor), torch.maximum(*inputs))
            backend.write(tensor, inputs[rank])
            done(comm.broadcast(tensor, 1, async_op=asynchronous))
            assert torch.equal(backend.read(tensor), inputs[1])
            backend.write(tensor, inputs[rank])
            done(comm.reduce(tensor, 0, "min", async_op=asynchronous))
            expected = torch.minimum(*inputs) if rank == 0 else inputs[rank]
            assert torch.equal(backend.read(tensor), expected)
        with report(f"gathering and scattering, repeat {repeat}"):
            inputs = every((2, 50))
            mine, output = torch.zeros(2, 50), torch.zeros(2, 2, 50)
            backend.write(mine, inputs[rank])
            done(comm.all_gather(output, mine, async_op=asynchronous))
            assert torch.equal(backend.read(output), torch.stack(inputs))
            half = torch.zeros(50)
            done(comm.reduce_scatter(half, mine, "max", async_op=asynchronous))
            assert torch.equal(backend.read(half), torch.maximum(*inputs)[rank])
            swapped = torch.zeros(2, 50)
            done(comm.all_to_all(swapped, mine, async_op=asynchronous))
            assert torch.equal(backend.read(swapped), torch.stack([i[rank] for i in inputs]))
            output = torch.zeros(2, 2, 50) if rank == 1 else None
            done(comm.gather(output, mine, 1, async_op=asynchronous))
            if output is not None:
                assert torch.equal(backend.read(output), torch.stack(inputs))
            done(comm.scatter(half, mine if rank == 0 else None, 0, async_op=asynchronous))
            assert torch.equal(backend.read(half), inputs[0][rank])
        with report(f"messages, repeat {repeat}"):
            inputs = every((123,))
            mine, got = torch.zeros(123), torch.zeros(123)
            backend.write(mine, inputs[rank])
            if asynchronous:
                receive = comm.irecv(got, other, tag=9)
                comm.isend(mine, other, tag=9).wait()
                while not receive.is_completed():
                    pass
                receive.wait()
            else:
                comm.batch([P2POp("recv", got, other), P2POp("send", mine, other)]).wait()
            assert torch.equal(backend.read(got), inputs[other])
            backend.write(got, torch.zeros(123))
            if rank == 0:
                comm.send(mine, 1)
                comm.recv(got, 1)
            else:
                comm.recv(got, 0)
                comm.send(mine, 0)
            assert torch.equal(backend.read(got), inputs[other])
        with report(f"nothing to move, repeat {repeat}"):
            empty = torch.zeros(0, 3)
            done(comm.all_reduce(empty, async_op=asynchronous))
            done(comm.all_gather(torch.zeros(2, 0, 3), empty, async_op=asynchronous))
            comm.barrier()
    with report("the bytes did pass through the backend's copies"):
        assert backend.copies > 100
    comm.close()
