"""What the programs share: a process group on this rank's NPU, and results as a line of JSON."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

RANK = int(os.environ["RANK"])
RANKS = int(os.environ["WORLD_SIZE"])
DEVICE = torch.device("npu", RANK)


def start(seconds: float = 300.0) -> None:
    """Choose the device and join."""
    torch.npu.set_device(DEVICE)
    dist.init_process_group("hccl", timeout=timedelta(seconds=seconds))


def report(value: Any) -> None:
    """The program's result."""
    print(json.dumps(value), flush=True)
