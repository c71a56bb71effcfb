"""Rank program: the path for vendors' libraries, with gloo in the library's place.

It runs the same checks as the composed path; what gloo's own collectives cannot show (stream
order) needs the vendor's device.
"""

from __future__ import annotations

import types
from typing import Any

import program_data
import torch

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
