"""Run by torchrun: joins the world by its environment, and leaves it without being asked to."""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path

import torch

from accel.collectives import TorchCollectives

warnings.simplefilter("error")
backend = types.SimpleNamespace(device=torch.device("cpu"), info=types.SimpleNamespace(name="cpu"))
comm = TorchCollectives(backend).communicator(timeout=60)
tensor = torch.tensor([10.0**comm.rank])
comm.all_reduce(tensor)
half = TorchCollectives(backend).communicator([1], timeout=60)
Path(sys.argv[1], f"result{comm.rank}").write_text(f"{tensor.item()} {half.rank}")
# No close(): the process ends, and must do so in order.
