"""A training loop, alone and with DistributedDataParallel, against the same loop on the CPU."""

from __future__ import annotations

import ast
from typing import Any

import pytest

MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 32), nn.ReLU(),
        nn.Linear(32, 4),
    )

def batch(step, size=24):
    data = torch.Generator().manual_seed(step)
    return torch.randn(size, 16, generator=data), torch.randint(4, (size,), generator=data)

def train(model, device, part=slice(None), steps=12):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for step in range(steps):
        inputs, labels = (t[part].to(device, non_blocking=True) for t in batch(step))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""


def test_training_loop(npu: Any) -> None:
    code = MODEL + "print(train(make(), 'cpu'))\nprint(train(make().npu(), 'npu'))\n"
    expected, found = map(ast.literal_eval, npu(delay_us=50).python(code).lines[-2:])
    assert expected[-1] < expected[0]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ddp(npu: Any, ranks: int) -> None:
    """The ranks' shares together are the batch, so that their weights are those of one process."""
    code = (
        MODEL
        + """
import torch.distributed as dist

dist.init_process_group("hccl")
rank, size = dist.get_rank(), dist.get_world_size()
torch.npu.set_device(rank)
model = nn.parallel.DistributedDataParallel(make().npu(), device_ids=[rank])
train(model, "npu", slice(rank, None, size))
mine = nn.utils.parameters_to_vector(model.module.parameters()).detach()
others = [torch.empty_like(mine) for _ in range(size)]
dist.all_gather(others, mine)
assert all(torch.equal(other.cpu(), mine.cpu()) for other in others)
if rank == 0:
    alone = make()
    train(alone, "cpu")
    wanted = nn.utils.parameters_to_vector(alone.parameters()).detach()
    print("largest difference", (mine.cpu() - wanted).abs().max().item())
dist.destroy_process_group()
"""
    )
    done = npu(devices=ranks, delay_us=50).ranks(ranks, code, variables={"OMP_NUM_THREADS": "1"})
    line = next(line for line in done.lines if line.startswith("largest"))
    assert float(line.split()[-1]) < 1e-4
