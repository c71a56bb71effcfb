"""torch.distributed's backend of the simulated device, on the simulated CNCL.

Real libraries' process groups differ in what they do with what CNCL lacks. This one composes an
average from a sum, as torch_mlu's newer releases do, refuses float64, which they pass as float32
(half of the bytes arrive), and raises what failed from ``Work.wait``, later calls and the waiting
stream, where they are thought to end the process.
"""

from __future__ import annotations

from typing import Any

import torch.distributed as dist

from .names import TorchName
from .native import load

__all__ = ["register_backend"]


def register_backend(name: TorchName) -> None:
    """Makes ``name.distributed`` the backend of torch.distributed for ``name.device``."""
    if not dist.is_available() or name.distributed in dist.Backend.backend_list:
        return

    def create(options: Any, backend_options: Any) -> Any:
        return load("_torch_cncl").ProcessGroupCNCL(
            options.store,
            options.group_rank,
            options.group_size,
            options.timeout,
            name.distributed,
            bool(getattr(backend_options, "is_high_priority_stream", False)),
        )

    dist.Backend.register_backend(
        name.distributed, create, extended_api=True, devices=[name.device]
    )
