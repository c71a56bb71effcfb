"""Messages between NPUs over HCCL. The suite does not ask for them: collectives.p2p is not claimed,
since HCCL has no tags and runs a pair's messages in the order of the calls."""

from __future__ import annotations

from typing import Any

import pytest

RANKS = """
import itertools, os, random, torch, accel
from accel.providers import P2POp
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
backend = accel.get_backend("ascend", device=f"npu:{rank}")
comm = backend.collectives.communicator()
assert comm.channel == "hccl", comm.channel
assert "collectives.p2p" not in [str(c) for c in backend.capabilities]

def noise(sender, receiver, tag, count):
    dice = torch.Generator().manual_seed(sender * 1000 + receiver * 100 + tag)
    return torch.randint(-100, 100, (count,), generator=dice, dtype=torch.int32)

def check(got, *of):
    assert torch.equal(got.cpu(), noise(*of)), of
"""

RING = """
# Round the ring, three messages of one pair in their order.
before, after = (rank - 1) % size, (rank + 1) % size
for count in (1, 7, 40_000):
    got = torch.zeros(count, dtype=torch.int32, device=backend.device)
    mine = noise(rank, after, 0, count).to(backend.device)
    calls = [lambda: comm.send(mine, after), lambda: comm.recv(got, before)]
    for call in calls if rank == 0 else reversed(calls):
        call()
    check(got, before, rank, 0, count)
"""

BATCH = """
# Everybody to everybody with two tags, in an order of each rank's own.
peers = [peer for peer in range(size) if peer != rank]
ops, expected = [], []
for peer, tag in itertools.product(peers, (5, 9)):
    got = torch.zeros(999, dtype=torch.int32, device=backend.device)
    ops.append(P2POp("send", noise(rank, peer, tag, 999).to(backend.device), peer, tag))
    ops.append(P2POp("recv", got, peer, tag))
    expected.append((got, peer, tag))
random.Random(rank).shuffle(ops)
comm.batch(ops).wait()
for got, peer, tag in expected:
    check(got, peer, rank, tag, 999)
"""

REFUSED = """
# A tag outside a batch would be lost on the way: it is refused, and nothing was sent.
try:
    comm.send(torch.ones(3, device=backend.device), (rank + 1) % size, tag=4)
except accel.AccelError as error:
    assert "batch()" in str(error), error
else:
    raise AssertionError("a tag was taken")
comm.barrier()
"""


@pytest.mark.parametrize("size", [2, 4])
def test_messages(simulation: Any, size: int) -> None:
    """send and recv, batches with tags, and tags that are refused."""
    run = simulation("cann", devices=size, strict=True, delay_us=200)
    source = RANKS + RING + BATCH + REFUSED + "comm.close()\nprint('right', flush=True)\n"
    assert run.ranks(size, source).check().stdout.count("right") == size
