"""A training loop, alone and with DistributedDataParallel, against the same loop on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

from accel_sim.torch_programs import MODEL, check_training


def test_training_loop(npu: Any) -> None:
    check_training(npu(delay_us=50), "npu")


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
