"""Rank program: the path for vendors' libraries, with gloo in the library's place.

It runs the same checks as the composed path; what gloo's own collectives cannot show (stream
order) needs the vendor's device.
"""

from __future__ import annotations

import gc
import types
import weakref
from typing import Any

import program_data
import torch
import torch.distributed as dist

from accel import errors
from accel.collectives import Channel, TorchCollectives, register_channel
from accel.providers import P2POp


def main(rank: int, size: int, seed: int, report: Any) -> None:
    register_channel(Channel("stand-in", "cpu", torch_backend="gloo"))
    backend = types.SimpleNamespace(
        device=torch.device("cpu"), info=types.SimpleNamespace(name="cpu")
    )
    collectives = TorchCollectives(backend)
    with report("a plugin's channel comes before gloo"):
        assert collectives.channels() == ("stand-in", "gloo")
        comm = collectives.communicator(timeout=30)
        assert comm.channel == "stand-in"
    inputs = program_data.Inputs(seed)
    program_data.run_reductions(
        comm, inputs, report, "device", dtypes=[torch.float32, torch.int16, torch.int64, torch.bool]
    )
    program_data.run_moves(comm, inputs, report, "device")
    program_data.run_all_to_all(comm, inputs, report, "device", seed)
    with report("messages both ways at once"):
        others = [p for p in range(size) if p != rank]
        got = {p: torch.zeros(5, 3).t() for p in others}
        legs = [P2POp("recv", got[p], p) for p in others]
        legs += [P2POp("send", torch.full((3, 5), float(rank)), p) for p in others]
        comm.batch(legs).wait()
        assert all(got[p].eq(p).all() for p in others)
        work = comm.irecv(got[others[0]], others[0])
        comm.send(torch.ones(3, 5), others[0])
        work.wait()
        assert got[others[0]].eq(1).all()
        comm.barrier()
    register_channel(Channel("untagged", "cpu", torch_backend="gloo", tags=False))
    untagged = collectives.communicator(channel="untagged", timeout=30)

    def batches_with_tags(comm: Any, tags: tuple[int, ...]) -> None:
        for turn in range(4):
            ways = [(p, t) for p in others for t in tags]
            ways = ways[::-1] if (rank + turn) % 2 else ways
            mine = {way: torch.full((4,), 100.0 * rank + 10 * way[0] + way[1]) for way in ways}
            came = {way: torch.zeros(4) for way in ways}
            legs = [P2POp("send", mine[p, t], p, t) for p, t in ways]
            legs += [P2POp("recv", came[p, t], p, t) for p, t in reversed(ways)]
            comm.batch(legs).wait()
            assert all(came[p, t].eq(100.0 * p + 10 * rank + t).all() for p, t in ways), came

    with report("tags of a batch where the transport has none"):
        batches_with_tags(untagged, (7, 0, 3))
    with report("a batch of more messages one way than the transport takes"):
        register_channel(Channel("once", "cpu", torch_backend="gloo", tags=False, repeats=False))
        once = collectives.communicator(channel="once", timeout=30)
        sizes: list[int] = []

        def counted(legs: list[dist.P2POp]) -> Any:
            ways = [(leg.op, leg.group_peer) for leg in legs]
            assert len(set(ways)) == len(ways), ways
            sizes.append(len(legs))
            return batch_isend_irecv(legs)

        batch_isend_irecv = dist.batch_isend_irecv
        dist.batch_isend_irecv = counted
        try:
            batches_with_tags(once, (7, 0, 3))
            # With one rank more often than with the others.
            counts = {p: 1 + (p + rank) % 3 for p in others}
            sent = [torch.full((2,), float(rank + i)) for i in range(3)]
            came = {(p, i): torch.zeros(2) for p in others for i in range(counts[p])}
            legs = [P2POp("recv", came[p, i], p) for p, i in came]
            legs += [P2POp("send", sent[i], p) for p, i in came]
            once.batch(legs).wait()
            assert all(tensor.eq(p + i).all() for (p, i), tensor in came.items()), came
        finally:
            dist.batch_isend_irecv = batch_isend_irecv
        assert sizes[:12] == [2 * len(others)] * 12, sizes
        assert len(sizes) == 12 + max(counts.values()), sizes
        once.close()
    with report("single messages with tags where the transport has none"):
        for call in (untagged.send, untagged.recv, untagged.isend, untagged.irecv):
            try:
                call(torch.zeros(1), others[0], 1)
            except errors.ArgumentError as error:
                assert "tag: expected 0: untagged matches messages by their order" in str(error)
                assert "batch()" in str(error)
            else:
                raise AssertionError("nothing was raised")
        untagged.barrier()
    untagged.close()
    register_channel(Channel("moves doubles", "cpu", torch_backend="gloo", on_host=("float64",)))
    moving = collectives.communicator(channel="moves doubles", timeout=30)
    program_data.run_reductions(moving, inputs, report, "on the host", dtypes=[torch.float64])
    with report("float64 keeps its digits"):
        third = torch.full((5,), 1 / 3, dtype=torch.float64)
        moving.all_reduce(third)
        assert third.eq(size * (1 / 3)).all(), "as float32 it has half of them"
    moving.close()
    with report("what a finished operation held is let go"):
        # Strided, so that a temporary and the way back from it are among what is held.
        tensor = torch.ones(6, 4).t()
        gone = weakref.ref(tensor)
        work = comm.all_reduce(tensor, async_op=True)
        work.wait()
        del tensor, work
        gc.collect()
        assert gone() is None
    part = collectives.communicator([0], timeout=30)
    with report("a sub-group"):
        assert part.rank == (0 if rank == 0 else -1)
        if rank == 0:
            tensor = torch.ones(3)
            part.all_reduce(tensor)
            assert tensor.tolist() == [1.0] * 3
    part.close()
    comm.close()
    comm = collectives.communicator(timeout=1.0)
    with report("a rank that does not come"):
        if rank == 0:
            try:
                comm.all_reduce(torch.zeros(4))
            except errors.CollectiveTimeoutError as error:
                assert f"rank 0 of {size}: all_reduce #2" in str(error), error
                assert "1 s" in str(error), error
            else:
                raise AssertionError("nothing was raised")
            try:
                comm.barrier()
            except errors.StateError as error:
                assert "all_reduce #2" in str(error), error
            else:
                raise AssertionError("nothing was raised")
        else:
            import time

            time.sleep(2)
    comm.close()
