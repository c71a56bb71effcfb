"""What torch.distributed's callers see when ranks disagree, wait in vain or die."""

from __future__ import annotations

import os
import sys

import torch
import torch.distributed as dist

from accel_sim.testing.torch_ranks.start import DEVICE, RANK, RANKS, SPACE, report, start


def mismatch() -> None:
    dist.all_reduce(torch.ones(8 if RANK == RANKS - 1 else 4, device=DEVICE))
    SPACE.synchronize()


def death() -> None:
    x = torch.ones(4, device=DEVICE)
    for _ in range(6):
        dist.all_reduce(x)
        SPACE.synchronize()


def deadlock() -> None:
    x = torch.ones(4, device=DEVICE)
    dist.send(x, 1 - RANK)
    dist.recv(x, 1 - RANK)
    SPACE.synchronize()


start()
warm = torch.ones(1, device=DEVICE)
if sys.argv[1] == "mismatch":  # the communicator is there
    dist.all_reduce(warm)
    SPACE.synchronize()
try:
    {"mismatch": mismatch, "death": death, "deadlock": deadlock}[sys.argv[1]]()
    report("no error")
except RuntimeError as error:
    report(str(error))
sys.stdout.flush()
os._exit(0)  # a failed group cannot be taken down in an orderly way
