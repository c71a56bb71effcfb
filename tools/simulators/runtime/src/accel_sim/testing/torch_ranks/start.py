"""What the programs share: a process group on this rank's device, and results as a line of JSON.

RANK_DEVICE is the device type, RANK_BACKEND the name of torch.distributed's backend for it.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

RANK = int(os.environ["RANK"])
RANKS = int(os.environ["WORLD_SIZE"])
DEVICE = torch.device(os.environ["RANK_DEVICE"], RANK)
#: ``torch.npu`` or its like.
SPACE: Any = torch.get_device_module(DEVICE)


def start(seconds: float = 300.0) -> None:
    """Choose the device and join."""
    SPACE.set_device(DEVICE)
    dist.init_process_group(os.environ["RANK_BACKEND"], timeout=timedelta(seconds=seconds))


def report(value: Any) -> None:
    """The program's result."""
    print(json.dumps(value), flush=True)
