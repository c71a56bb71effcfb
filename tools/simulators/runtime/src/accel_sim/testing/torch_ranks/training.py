"""Data-parallel training against training on one process's CPU with the whole batch."""

from __future__ import annotations

import copy

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from accel_sim.testing.torch_ranks.start import DEVICE, RANK, RANKS, report, start

STEPS, BATCH, WIDTH = 6, 8, 16


def model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, 4))


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    source = torch.Generator().manual_seed(11)
    return [
        (
            torch.randn(BATCH * RANKS, WIDTH, generator=source),
            torch.randn(BATCH * RANKS, 4, generator=source),
        )
        for _ in range(STEPS)
    ]


def train(net: nn.Module, rows: slice, device: torch.device) -> list[float]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for x, y in batches():
        optimizer.zero_grad()
        loss = ((net(x[rows].to(device)) - y[rows].to(device)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


start()
alone = model()
expected = train(alone, slice(None), torch.device("cpu"))
shared = DistributedDataParallel(copy.deepcopy(model()).to(DEVICE), device_ids=[RANK])
losses = train(shared, slice(BATCH * RANK, BATCH * (RANK + 1)), DEVICE)
mean = torch.tensor(losses, device=DEVICE)
dist.all_reduce(mean)
torch.testing.assert_close((mean / RANKS).cpu(), torch.tensor(expected), rtol=1e-4, atol=1e-5)
for own, other in zip(shared.module.parameters(), alone.parameters(), strict=True):
    torch.testing.assert_close(own.detach().cpu(), other.detach(), rtol=1e-4, atol=1e-5)
moved = sum(
    (own.detach() - before.detach()).abs().sum().item()
    for own, before in zip(alone.parameters(), model().parameters(), strict=True)
)
dist.destroy_process_group()
report(moved)
