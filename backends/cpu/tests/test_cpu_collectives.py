"""The CPU's provider: what it claims, and that it works between two ranks, also when tensors are
staged through the backend's own pinned memory, copies, streams and events."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from accel import get_backend
from accel.capabilities import Capability, Level
from accel.errors import ArgumentError
from accel_cpu.collectives import CpuCollectives

PROGRAM = """
import sys
import torch
import torch.distributed as dist
from accel import get_backend
from accel.providers import P2POp

rank, seed, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", store=dist.FileStore(store, 2), rank=rank, world_size=2)
backend = get_backend("cpu")
plain = backend.collectives.communicator(timeout=60)
staged = backend.collectives.communicator(timeout=60, _stage_always=True)
generator = torch.Generator().manual_seed(seed)
for repeat in range(20):
    for comm in (plain, staged):
        every = [torch.randn(7, 300, generator=generator) for _ in range(2)]
        with backend.stream(backend.streams.create()) as stream:
            mine = torch.zeros(300, 7).t()
            backend.memcpy.copy_async(mine, every[rank], stream)
            work = comm.all_reduce(mine, "max", async_op=repeat % 2 == 1)
            if work is not None:
                work.wait()
            result = torch.zeros(7, 300)
            backend.memcpy.copy_async(result, mine, stream)
            got = torch.zeros(7, 300)
            comm.batch([P2POp("recv", got, 1 - rank), P2POp("send", every[rank], 1 - rank)]).wait()
            seen = torch.zeros(7, 300)
            backend.memcpy.copy_async(seen, got, stream)
            stream.synchronize()
            assert torch.equal(result, torch.maximum(*every))
            assert torch.equal(seen, every[1 - rank])
before = backend.pinned.stats()
assert before.allocations >= 60, before
plain.close()
staged.close()
assert backend.pinned.stats().in_use == 0
print("passed")
"""


def test_what_it_claims() -> None:
    collectives = get_backend("cpu").collectives
    assert isinstance(collectives, CpuCollectives)
    assert collectives.channels() == ("gloo",)
    assert collectives.capabilities == {
        Capability.COLLECTIVES: Level.COMPOSED,
        Capability.COLLECTIVE_TIMEOUT: Level.NATIVE,
        Capability.P2P: Level.NATIVE,
    }


def test_an_unknown_channel_is_refused_before_any_world_is_joined() -> None:
    with pytest.raises(ArgumentError, match=r"channel: expected .* gloo.* given 'hccl'"):
        get_backend("cpu").collectives.communicator(channel="hccl")


def test_two_ranks_plain_and_staged(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    ranks = [
        subprocess.Popen(
            [sys.executable, str(program), str(rank), str(seed), str(tmp_path / "store")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=120)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n---\n".join(said)
    assert all(text.endswith("passed\n") for text in said), said
